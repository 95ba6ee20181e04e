"""Cursors in dlt pipelines, against an API whose rows change while pages of them are read."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import dlt
import httpx
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks import testing
from blocks.client import client
from blocks.cursors import Cursor
from blocks.dlt import cursor, load, partitions
from blocks.fetch import pages
from blocks.kinds import Integers, Kind, Pattern, Texts, Times
from blocks.network import prefetch
from blocks.paginators import NextToken
from blocks.places import Header
from blocks.testing import offset, unwrap, wrap
from tests.warehouse import Warehouse

START = "2024-05-01T00:00:00Z"
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
Row = dict[str, Any]


@dataclass
class Api:
    """Rows by id, listed by `changed` and id; before a page is answered they may change.

    It reads `since`, `after`, `until`, `through` as bounds, compares what `order` makes of texts,
    and pages by the last row it gave, as APIs do whose pages hold while rows move.
    """

    rows: dict[int, Row] = field(default_factory=dict)
    size: int = 3
    order: Callable[[str], Any] = str
    changes: dict[int, Callable[[], None]] = field(default_factory=dict)
    fails: int | None = None
    asked: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def put(self, number: int, changed: Any, **values: Any) -> None:
        """Make or change a row; it has nested rows too."""
        self.rows[number] = {"id": number, "changed": changed, "tags": [{"n": number}], **values}

    def answer(self, query: dict[str, str]) -> tuple[int, Any]:
        """One page."""
        self.asked.append(query)
        if change := self.changes.pop(len(self.asked), None):
            change()
        if len(self.asked) == self.fails:
            return 403, {}
        bound = {
            name: self.order(query[name])
            for name in ("since", "after", "until", "through") & query.keys()
        }
        last = json.loads(query["cursor"]) if "cursor" in query else None
        found = []
        for row in self.rows.values():
            key = self.order(str(row["changed"]))
            if (
                ("since" not in bound or key >= bound["since"])
                and ("after" not in bound or key > bound["after"])
                and ("until" not in bound or key < bound["until"])
                and ("through" not in bound or key <= bound["through"])
                and (last is None or (key, row["id"]) > (self.order(last[0]), last[1]))
            ):
                found.append((key, row["id"], row))
        page = [row for *_, row in sorted(found, key=lambda each: each[:2])][: self.size]
        if len(page) < self.size:
            return 200, {"rows": page}
        return 200, {"rows": page, "next": json.dumps([str(page[-1]["changed"]), page[-1]["id"]])}

    def source(
        self, make: Callable[[], Cursor], *bounds: str, append: bool = False, newest: bool = True
    ) -> Any:
        """Its rows, by the cursor that `make` makes in the run, asked for with `bounds`."""

        @dlt.resource(
            name="rows",
            primary_key="id",
            write_disposition="append" if append else "merge",
            columns={
                "changed": {"dedup_sort": "desc"} if newest else {},
                "deleted": {"hard_delete": True, "data_type": "bool"},
            },
        )
        def rows() -> Iterator[Any]:
            seen = make()
            api = client(self.url)
            query = {name: str(getattr(seen, name)) for name in bounds}
            first = api.build_request("GET", "/rows", params=query)
            found = prefetch(pages(api, first, NextToken("next", "cursor")))
            yield from load(found, seen, path="rows", where=seen.within if append else None)
            if append:
                seen.complete()

        return rows


@contextmanager
def serving(api: Any) -> Iterator[Any]:
    """`api` with its `url`, while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, body = api.answer(dict(parse_qsl(urlsplit(self.path).query)))
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - its name there
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()


def at(minutes: float) -> str:
    """A time so long after the start."""
    return (datetime.fromisoformat(START) + minutes * MINUTE).isoformat()


def instant(text: str) -> datetime:
    """What an API compares that knows times."""
    return datetime.fromisoformat(text)


def loaded(warehouse: Warehouse, columns: str = "id") -> list[Any]:
    """The rows of the table, in order."""
    return [
        row if "," in columns else row[0]
        for row in warehouse.query(f"SELECT {columns} FROM rows ORDER BY ALL")
    ]


def kept(warehouse: Warehouse) -> Any:
    """What the state has for cursors."""
    (source,) = warehouse.pipeline().state["sources"].values()
    return source["resources"]["rows"].get("cursors")


@pytest.mark.parametrize("newest", [True, False])
def test_merge_ends_equal_to_the_api(newest: bool, tmp_path: Path) -> None:
    """Rows that come, change and go between pages are what they are in the API.

    At once, if dlt is told which of two versions in a run to keep; else after the next run.
    """
    now = datetime.now(UTC)
    api = Api(order=instant)
    for number in range(9):
        api.put(number, at(number // 3), v=0)

    def later(seconds: int) -> str:
        return (now + seconds * timedelta(seconds=1)).isoformat()

    def first() -> None:
        api.put(0, later(1), v=1)  # read on the page before
        api.put(8, later(2), v=1)  # not read yet
        api.put(100, later(3), v=0)
        api.put(4, later(4), v=0, deleted=True)

    def second() -> None:
        api.put(100, later(5), v=1)
        api.put(1, later(6), v=1, deleted=True)

    api.changes = {2: first, 4: second}
    warehouse = Warehouse(tmp_path)
    with serving(api):
        source = api.source(lambda: cursor("changed", start=START), "since", newest=newest)
        for _ in range(1 if newest else 2):
            warehouse.run(source)
    expected = sorted((row["id"], row["v"]) for row in api.rows.values() if "deleted" not in row)
    assert loaded(warehouse, "id, v") == expected
    assert warehouse.query("SELECT n FROM rows__tags ORDER BY 1") == [(row,) for row, _ in expected]


def ending(end: str, kind: Kind | None = None, lookback: timedelta | None = None) -> Any:
    """How to make a cursor in dlt's state whose range ends there, whatever our clock says."""

    def make() -> Cursor:
        state = dlt.current.resource_state()
        return Cursor("changed", start=START, until=end, state=state, kind=kind, lookback=lookback)

    return make


@pytest.mark.parametrize("append", [False, True])
def test_ties_across_a_page_border(append: bool, tmp_path: Path) -> None:
    """Rows with the time of the last one read are had, once, though they come a run later."""
    api = Api(size=2, order=instant)
    for number in range(5):
        api.put(number, at(1))
    warehouse = Warehouse(tmp_path)
    with serving(api):
        warehouse.run(api.source(ending(at(1)), "since", append=append))
        for number in range(5, 8):
            api.put(number, at(1))
        for _ in range(2):
            warehouse.run(api.source(ending(at(2)), "since", append=append))
    assert loaded(warehouse) == [*range(8)]
    assert kept(warehouse) == {"changed": f"2024-05-01T00:0{2 if append else 1}:00Z"}


def test_a_clock_that_jumps(tmp_path: Path) -> None:
    """Set back it reads nothing, and when it is right again all that it has not, each once."""
    api = Api(order=instant)
    warehouse = Warehouse(tmp_path)
    with serving(api):
        for number, now in enumerate([0.5, 10.5, -500, 30.5, 5, 50.5]):
            api.put(number, at(10 * number))
            warehouse.run(api.source(ending(at(now)), "since", "until", append=True))
            if now == 5:
                assert loaded(warehouse) == [0, 1, 2, 3]
    assert loaded(warehouse) == [*range(6)]
    assert kept(warehouse) == {"changed": "2024-05-01T00:50:30Z"}


@pytest.mark.parametrize(
    ("kind", "order", "bounds"),
    [
        (Pattern("%Y-%m-%d %H:%M", zone="Europe/Berlin"), str, ("since", "through")),
        (Times(MINUTE), instant, ("after", "until")),
    ],
)
def test_append_by_the_step_of_the_api(
    kind: Kind, order: Callable[[str], Any], bounds: tuple[str, str], tmp_path: Path
) -> None:
    """An API that knows minutes only, inclusive or not, has each row loaded once."""
    api = Api(order=order)
    warehouse = Warehouse(tmp_path)
    number = 0
    with serving(api):
        for minute in (0, 4, 8):
            # Some share a minute; the last two are of the minute in which the run begins.
            for later in (0, 0, 1, 2, 3.5, 4, 4):
                api.put(number, kind.write(instant(at(minute + later))))
                number += 1
            warehouse.run(api.source(ending(at(minute + 4.9), kind), *bounds, append=True))
            assert len(loaded(warehouse)) == number - 2
        warehouse.run(api.source(ending(at(99), kind), *bounds, append=True))
    assert loaded(warehouse) == [*range(number)]


def test_late_rows(tmp_path: Path) -> None:
    """A lookback as long as rows are late finds them; a lag waits for them."""
    api = Api(order=instant)
    merge, append = Warehouse(tmp_path, "merge"), Warehouse(tmp_path, "append")
    with serving(api):
        for minute in (10, 20):
            api.put(minute, at(minute))
            api.put(minute + 1, at(minute - 5))
            merge.run(api.source(ending(at(minute), lookback=15 * MINUTE), "since"))
            append.run(api.source(ending(at(minute - 5)), "since", append=True))
        append.run(api.source(ending(at(99)), "since", append=True))
    assert loaded(merge) == [10, 11, 20, 21]
    assert loaded(append) == [10, 11, 20, 21]


def test_the_range_ends_when_the_clock_says(tmp_path: Path) -> None:
    """So it can be told what a run at any time does, for one cursor and for those of parents.

    Rows of the future wait, the last hour does while it is not over, and a clock that was wrong,
    and has been set back, makes no row come again, nor leaves one out.
    """
    api = Api(order=instant)
    began = datetime(2024, 5, 1, 12, tzinfo=UTC)
    for hours in range(6):
        api.put(hours, (began + hours * HOUR).isoformat())
    clocks = [began + 2 * HOUR, began + 4 * HOUR, began + 3 * HOUR, began + 9 * HOUR]
    expected = [[0], [0, 1, 2], [0, 1, 2], [0, 1, 2, 3, 4, 5]]
    warehouse = Warehouse(tmp_path)
    with serving(api):
        for now, rows in zip(clocks, expected, strict=True):

            def seen(now: datetime = now) -> Any:
                return cursor("changed", start=START, lag=HOUR, clock=lambda: now)

            warehouse.run(api.source(seen, "since", "until", append=True))
            assert loaded(warehouse) == rows

    ends = []

    @dlt.resource
    def bounds() -> Iterator[Any]:
        of = partitions("changed", start=START, lag=HOUR, clock=lambda: began, kind=Times())
        ends.append(of.of("a").until)
        yield {"id": 1}

    warehouse.run(bounds)
    assert ends == ["2024-05-01T11:00:00Z"]


@pytest.mark.parametrize("bounds", [("since", "until"), ("after", "through"), ("since",)])
def test_the_second_that_is_now_is_for_the_next_run(
    bounds: tuple[str, ...], tmp_path: Path
) -> None:
    """Rows of it, before and after the moment of the run, are loaded then, and once."""
    api = Api(order=instant)
    began = datetime(2024, 5, 1, 12, tzinfo=UTC)
    for number, second in enumerate([-0.000001, 0, 0.021376, 0.5, 0.999999, 1]):
        api.put(number, (began + second * timedelta(seconds=1)).isoformat())
    warehouse = Warehouse(tmp_path)
    with serving(api):
        for second, rows in [(0.5, [0]), (0.9, [0]), (1.7, [0, 1, 2, 3, 4]), (2, [*range(6)])]:
            now = began + second * timedelta(seconds=1) + HOUR

            def seen(now: datetime = now) -> Any:
                return cursor("changed", start=START, lag=HOUR, clock=lambda: now)

            warehouse.run(api.source(seen, *bounds, append=True))
            assert loaded(warehouse) == rows


def test_the_range_ends_now(tmp_path: Path) -> None:
    """Or so long ago; rows of the future wait, and do not keep the others from being read."""
    api = Api(order=instant)
    now = datetime.now(UTC)
    for number, when in enumerate([now - 3 * HOUR, now - HOUR, now + HOUR, now + 99999 * HOUR]):
        api.put(number, when.isoformat())
    warehouse = Warehouse(tmp_path)
    with serving(api):
        lagging = api.source(
            lambda: cursor("changed", start=START, lag=2 * HOUR), "since", "until", append=True
        )
        warehouse.run(lagging)
        assert loaded(warehouse) == [0]
        warehouse.run(api.source(lambda: cursor("changed", start=START), "since", append=True))
        assert loaded(warehouse) == [0, 1]
        merged = Warehouse(tmp_path, "merged")
        merged.run(api.source(lambda: cursor("changed", start=START), "since"))
        assert loaded(merged) == [0, 1, 2, 3]
        assert instant(kept(merged)["changed"]) == now - HOUR


def test_backfills_leave_the_state_alone(tmp_path: Path) -> None:
    """A range of its own, whatever was read before, and the next run goes on as if it was not."""
    api = Api(order=instant)
    for number in range(6):
        api.put(number, at(number))
    warehouse = Warehouse(tmp_path)
    with serving(api):
        warehouse.run(api.source(lambda: cursor("changed", start=at(4)), "since"))
        state = kept(warehouse)
        backfill = api.source(lambda: cursor("changed", start=at(1), end=at(3)), "since", "until")
        warehouse.run(backfill)
        assert loaded(warehouse) == [1, 2, 4, 5]
        assert kept(warehouse) == state == {"changed": "2024-05-01T00:05:00Z"}
        fresh = Warehouse(tmp_path, "fresh")
        fresh.run(backfill)
        assert loaded(fresh) == [1, 2]
        assert "cursors" not in str(fresh.pipeline().state)


@pytest.mark.parametrize(
    ("kind", "start", "write", "first"),
    [
        (Integers(unique=True), 0, int, "-1"),
        (Texts(unique=True), "", lambda number: f"01HV{number:06}", ""),
    ],
)
def test_ids(
    kind: Kind, start: Any, write: Callable[[int], Any], first: str, tmp_path: Path
) -> None:
    """Unique ids have no end, need no completion, and no row is asked for again."""
    api = Api(order=int if start == 0 else str)
    for number in range(1, 5):
        api.put(number, write(number))
    # Between pages more come, as ids grow: in this run or the next.
    api.changes = {2: lambda: api.put(5, write(5))}
    warehouse = Warehouse(tmp_path)

    @dlt.resource(name="rows", write_disposition="append")
    def rows() -> Iterator[Any]:
        seen = cursor("changed", start=start, kind=kind)
        request = httpx.Request("GET", f"{api.url}/rows", params={"after": seen.after})
        found = prefetch(pages(client(api.url), request, NextToken("next", "cursor")))
        yield from load(found, seen, path="rows")

    with serving(api):
        warehouse.run(rows)
        api.put(6, write(6))
        warehouse.run(rows)
    assert loaded(warehouse) == [1, 2, 3, 4, 5, 6]
    asked = [query.get("after", "") for query in api.asked if "cursor" not in query]
    assert asked == [first, str(write(5))]


def test_a_lag_needs_times(tmp_path: Path) -> None:
    """For ids there is no now."""

    @dlt.resource(name="rows")
    def rows() -> Iterator[Any]:
        yield from load([[{"id": 1}]], cursor("id", start=0, lag=HOUR))

    with pytest.raises(PipelineStepFailed, match="lag: expected a cursor over times"):
        Warehouse(tmp_path).run(rows)


def test_a_run_that_fails_leaves_the_state(tmp_path: Path) -> None:
    """What was read of it is read again."""
    api = Api(size=2, order=instant)
    for number in range(6):
        api.put(number, at(number))
    warehouse = Warehouse(tmp_path)
    with serving(api):
        source = api.source(lambda: cursor("changed", start=START), "since", append=True)
        api.fails = 3
        with pytest.raises(PipelineStepFailed, match="403"):
            warehouse.run(source)
        for _ in range(2):
            warehouse.run(source)
    assert loaded(warehouse) == [*range(6)]


# The same rows of two runs through dlt's own incremental; whether it has them all.
CASES: dict[str, tuple[Any, list[Any], list[Any], bool]] = {
    "one_writing": (
        START,
        ["2024-05-01T10:00:00Z", "2024-05-01T11:00:00Z"],
        ["2024-05-01T11:00:00Z", "2024-05-01T12:00:00Z"],
        True,
    ),
    "days": ("2024-01-01", ["2024-05-01", "2024-05-02"], ["2024-05-02", "2024-05-03"], True),
    "integers": (0, [9, 10], [10, 11, 100], True),
    "fraction": (START, ["2024-05-01T10:00:00Z"], ["2024-05-01T10:00:00.5Z"], False),
    "other_offset": (START, ["2024-05-01T10:00:00+02:00"], ["2024-05-01T09:00:00Z"], False),
    "other_utc": (START, ["2024-05-01T10:00:00Z"], ["2024-05-01T10:00:00+00:00"], False),
    "space": (START, ["2024-05-01T10:00:00Z"], ["2024-05-01 11:00:00Z"], False),
    "longer": ("0", ["9"], ["10"], False),
    "future": (START, ["2099-01-01T00:00:00Z"], ["2024-05-02T00:00:00Z"], False),
}


def theirs(case: str, rows: list[Row]) -> Any:
    """Rows through dlt's incremental, which compares texts as texts."""

    @dlt.resource(name=case, primary_key="id", write_disposition="merge")
    def resource(
        changed: Any = dlt.sources.incremental("changed", initial_value=CASES[case][0]),  # noqa: B008
    ) -> Iterator[Any]:
        yield rows

    return resource


def ours(case: str, rows: list[Row]) -> Any:
    """Rows through a cursor; of an API that is asked for them from `since` on."""

    @dlt.resource(name=case, primary_key="id", write_disposition="merge")
    def resource() -> Iterator[Any]:
        kind = Integers() if case == "longer" else None
        seen = cursor("changed", start=CASES[case][0], kind=kind)
        asked = Cursor("changed", start=seen.since, state={}, kind=kind)
        yield from load([rows], seen, where=asked.within)

    return resource


def test_beside_dlt(tmp_path: Path) -> None:
    """Where dlt's own incremental has the rows of both runs, we have the same; we lose none."""
    tables: dict[str, dict[str, Any]] = {}
    for make in (ours, theirs):
        warehouse = Warehouse(tmp_path, make.__name__)
        for run in (1, 2):

            @dlt.source(name="cases")
            def cases(make: Any = make, run: int = run) -> Any:
                for case, (_, *given, _) in CASES.items():
                    rows = [{"id": f"{run}-{value}", "changed": value} for value in given[run - 1]]
                    yield make(case, rows)

            warehouse.run(cases())
        tables[make.__name__] = {
            case: warehouse.query(f"SELECT id, changed FROM {case} ORDER BY id") for case in CASES
        }
    for case, (_, first, second, right) in CASES.items():
        expected = sorted([f"1-{each}" for each in first] + [f"2-{each}" for each in second])
        assert [id_ for id_, _ in tables["ours"][case]] == expected
        if right:
            assert tables["theirs"][case] == tables["ours"][case]
        else:
            assert [id_ for id_, _ in tables["theirs"][case]] == expected[:1]


@dataclass
class Calendar:
    """Events with tokens: a page token while there are more, a sync token on the last page."""

    log: list[Row] = field(default_factory=list)
    oldest: int = 0
    fails: bool = False
    asked: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def answer(self, query: dict[str, str]) -> tuple[int, Any]:
        """One page of two events."""
        self.asked.append(query)
        first = int(query.get("pageToken", query.get("syncToken", "0")))
        if "syncToken" in query and first < self.oldest:
            return 410, {}
        if self.fails and "pageToken" in query:
            return 403, {}
        page = {"items": self.log[first : first + 2]}
        name = "nextPageToken" if first + 2 < len(self.log) else "nextSyncToken"
        return 200, {**page, name: str(min(first + 2, len(self.log)))}


@pytest.fixture
def guide(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the snippets of cookbook/cursors.md define, run in the order of the page."""
    text = (Path(__file__).parent.parent / "cookbook" / "cursors.md").read_text(encoding="utf-8")
    module = ModuleType("guide")  # dlt looks a source's module up
    monkeypatch.setitem(sys.modules, "guide", module)
    names = vars(module) | {"asked": []}
    for snippet in re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
        exec(compile(snippet, "cursors.md", "exec"), names)
    return names


def test_the_guide_runs(tmp_path: Path, guide: dict[str, Any]) -> None:
    """The sources of cookbook/cursors.md load what they say."""
    with serving(Api(order=instant)) as api:
        for number in range(5):
            api.put(number, at(number))
        warehouse = Warehouse(tmp_path)
        warehouse.run(guide["backfill"](api.url, at(1), at(3)))
        assert warehouse.query("SELECT id FROM orders ORDER BY 1") == [(1,), (2,)]
        for _ in range(2):
            warehouse.run([guide["orders"](api.url), guide["events"](api.url)])
        for table in ("orders", "events"):
            assert warehouse.query(f"SELECT id FROM {table} ORDER BY 1") == [(n,) for n in range(5)]
    with pytest.raises(ValueError, match="to the API itself"):
        guide["delta"](guide["graph"], "https://other.example/v1.0/users/delta?$deltatoken=abc")
    with pytest.raises(KeyError):
        guide["delta"](guide["graph"], "https://graph.microsoft.com/v1.0/users/delta?sig=abc")


def test_migration(tmp_path: Path, guide: dict[str, Any]) -> None:
    """A resource that had dlt's incremental goes on where that was."""
    warehouse = Warehouse(tmp_path)
    warehouse.run(theirs("one_writing", [{"id": "1", "changed": at(5)}]).with_name("legacy"))
    for changed in (at(6), at(7)):
        warehouse.run(guide["migrated"]([{"id": changed, "changed": changed}]))
    assert guide["asked"] == [Times().write(instant(at(minute))) for minute in (5, 6)]
    assert warehouse.query("SELECT count(*) FROM legacy") == [(3,)]


class Tickets:
    """Tickets that move to where the newest are when they change; three a page.

    The newest are listed by their place in the list, whatever moves; a search shows nine.
    """

    def __init__(self) -> None:
        self.now = instant(START)
        self.rows: dict[int, Row] = {}

    def put(self, number: int, *, after: timedelta = MINUTE) -> None:
        """Make or change one."""
        self.now += after
        version = self.rows[number]["version"] + 1 if number in self.rows else 0
        self.rows[number] = {"id": number, "changed": Times().write(self.now), "version": version}

    def change(self) -> None:
        """One new, and two changed at once."""
        self.put(len(self.rows))
        self.put(3)
        self.put(8, after=timedelta())

    def api(self) -> testing.Api:
        """Both endpoints."""
        api = testing.Api()

        def line() -> list[tuple[list[Any], Row]]:
            return sorted(([row["changed"], row["id"]], row) for row in self.rows.values())

        @api.get("/newest", query="cursor")
        def newest(call: testing.Call) -> Row:
            rows = [row for _, row in line()[::-1]]
            page = offset(rows, unwrap(call.query.get("cursor"), 0), 3)
            return {"rows": page.rows, "next": wrap(page.next)}

        @api.get("/search", query="since cursor")
        def search(call: testing.Call) -> Row:
            shown, last = unwrap(call.query.get("cursor"), [0, [call.query["since"], -1]])
            if shown == 9:
                raise testing.Refused(400, "no more than nine")
            left = [(key, row) for key, row in line() if key > last][:4]
            more = wrap([shown + 3, left[2][0]]) if len(left) > 3 else None
            return {"rows": [row for _, row in left[:3]], "next": more}

        return api


@pytest.mark.parametrize("name", ["tickets", "contacts"])
def test_lists_that_move_while_they_are_read(
    tmp_path: Path, guide: dict[str, Any], name: str
) -> None:
    """Newest first, or by searches with a cap: after a quiet run the table is the API's."""
    warehouse = Warehouse(tmp_path)
    api = Tickets()
    for number in range(25):
        api.put(number, after=MINUTE * (number % 3))
    with testing.serving(api.api()) as server:
        for number in (2, 3, 5):
            server.before(number, api.change)
        warehouse.run(guide[name](server.url))
        api.change()
        first = len(server.requests)
        for _ in range(2):
            warehouse.run(guide[name](server.url))
        assert len(server.requests) - first < 2 * first
    expected = [(row["id"], row["version"]) for row in api.rows.values()]
    assert warehouse.query(f"SELECT id, version FROM {name} ORDER BY 1") == sorted(expected)


class Prices:
    """Prices that bear no time; a listing says up to when it is, in a header and in its body."""

    def __init__(self) -> None:
        self.now = instant(START)
        self.rows: dict[int, tuple[datetime, int]] = {}
        self.silent = False

    def put(self, number: int, price: int) -> None:
        """Make or change a price, a minute after the last."""
        self.now += MINUTE
        self.rows[number] = (self.now, price)

    def api(self) -> testing.Api:
        """What lists them by id, two a page."""
        api = testing.Api()

        @api.get("/prices", query="since cursor")
        def prices(call: testing.Call) -> testing.Answer:
            since = instant(call.query["since"])
            found = sorted(number for number, (at, _) in self.rows.items() if at >= since)
            left = [number for number in found if number > unwrap(call.query.get("cursor"), -1)]
            rows = [{"id": number, "price": self.rows[number][1]} for number in left[:2]]
            body = {"rows": rows, "next": wrap(left[1]) if len(left) > 2 else None}
            if self.silent:
                return testing.Answer(body)
            as_of = self.now.isoformat()
            return testing.Answer({**body, "meta": {"as_of": as_of}}, headers={"X-As-Of": as_of})

        return api


@pytest.mark.parametrize("place", [Header("X-As-Of"), "meta.as_of"])
def test_a_listing_that_says_up_to_when_it_is(
    tmp_path: Path, guide: dict[str, Any], place: Any
) -> None:
    """What changes while it is read comes with the next run, wherever the time stands."""
    warehouse = Warehouse(tmp_path)
    prices = Prices()
    for number in range(5):
        prices.put(number, 1)

    def change() -> None:
        prices.put(0, 2)  # read on the page before
        prices.put(3, 2)  # not read yet
        prices.put(9, 1)

    def state() -> Any:
        (source,) = warehouse.pipeline().state["sources"].values()
        return source["resources"]["prices"]["cursors"]

    with testing.serving(prices.api()) as server:
        server.before(2, change)
        warehouse.run(guide["prices"](server.url, place))
        assert state() == {"as_of": "2024-05-01T00:05:00Z"}
        warehouse.run(guide["prices"](server.url, place))
        assert state() == {"as_of": "2024-05-01T00:08:00Z"}
        asked = [request.query["since"] for request in server.requests]
        # What was told is read again, as more may have come in the same moment.
        assert [*dict.fromkeys(asked)] == ["2024-01-01T00:00:00Z", "2024-05-01T00:05:00Z"]
        prices.silent = True
        warehouse.run(guide["prices"](server.url, place))
        assert state() == {"as_of": "2024-05-01T00:08:00Z"}
    found = warehouse.query("SELECT id, price FROM prices ORDER BY 1")
    assert found == [(number, price) for number, (_, price) in sorted(prices.rows.items())]


def test_sync_tokens(tmp_path: Path, guide: dict[str, Any]) -> None:
    """A token is kept with the last page, not before; an expired one means a full sync."""
    warehouse = Warehouse(tmp_path)

    def synced() -> tuple[list[Any], Any]:
        """Ids loaded, and the token kept."""
        warehouse.run(guide["calendar"](api.url))
        (source,) = warehouse.pipeline().state["sources"].values()
        found = warehouse.query("SELECT id FROM calendar ORDER BY id")
        return [id_ for (id_,) in found], source["resources"]["calendar"]["token"]

    with serving(Calendar(log=[{"id": number} for number in range(3)])) as api:
        assert synced() == ([0, 1, 2], "3")
        api.log += [{"id": 3}, {"id": 1, "cancelled": True}, {"id": 4}]
        api.fails = True
        with pytest.raises(PipelineStepFailed, match="403"):
            synced()
        api.fails = False
        assert synced() == ([0, 2, 3, 4], "6")
        assert [query.get("syncToken") for query in api.asked] == [None, None, "3", "3", "3", "3"]
        api.oldest = 7
        api.log = [{"id": number} for number in (0, 2, 3, 4, 5, 6, 7)]
        assert synced() == ([0, 2, 3, 4, 5, 6, 7], "7")
