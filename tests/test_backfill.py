"""Backfill: a history in many loads, none of them twice, whatever kills it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dlt
import duckdb
import httpx
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks import testing
from blocks.backfill import Progress, backfill
from blocks.client import client
from blocks.dlt import cursor, load
from blocks.errors import ConfigError
from blocks.fetch import pages
from blocks.intervals import Interval, Intervals
from blocks.kinds import Integers, Times
from blocks.network import prefetch
from blocks.paginators import NextToken
from blocks.testing import unwrap, wrap
from tests.kills.child import Order, pipeline, tens, window
from tests.kills.matrix import Process

START = datetime(2024, 5, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Kills pipelines."""
    with Process(tmp_path_factory.mktemp("kills") / "errors.txt") as started:
        yield started


def query(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    """Rows from the database of the pipeline."""
    with duckdb.connect(str(folder / "warehouse.duckdb")) as connection:
        return connection.execute("USE data").execute(sql).fetchall()


def bounds(interval: Interval) -> tuple[int, int]:
    """Of an interval of integers."""
    return int(interval.since), int(interval.until)


def counts(folder: Path) -> list[tuple[Any, ...]]:
    """Rows, different rows and nested rows."""
    return query(
        folder,
        "SELECT count(*), count(DISTINCT version), (SELECT count(*) FROM items__parts) FROM items",
    )


@pytest.mark.parametrize(
    ("point", "nth"), [("E1", 7), ("E3", 2), ("N3", 2), ("L2", 8), ("L5", 2), ("L6", 2), ("L7", 2)]
)
def test_a_killed_backfill_goes_on(process: Process, tmp_path: Path, point: str, nth: int) -> None:
    """Killed in its second load at any point, every row is there once in the end."""
    order = Order(str(tmp_path), 60, "append", per_load=2)
    killed = Order(str(tmp_path), 60, "append", per_load=2, point=point, nth=nth, workers=1)
    assert process(killed) == "signal 9"
    [(before,)] = query(tmp_path, "SELECT count(*) FROM _dlt_loads")
    assert before == (2 if point in {"L6", "L7"} else 1)
    assert process(order) == ""
    assert counts(tmp_path) == [(60, 60, 120)]
    assert query(tmp_path, "SELECT count(*) FROM _dlt_loads") == [(3,)]


def test_what_is_done_is_known_to_the_destination(process: Process, tmp_path: Path) -> None:
    """A backfill goes on in another working directory."""
    killed = Order(str(tmp_path), 60, "append", per_load=2, point="L8", nth=2)
    assert process(killed) == "signal 9"
    (tmp_path / "pipelines").rename(tmp_path / "lost")
    assert backfill(pipeline(tmp_path), window, tens(60), name="history") == 2
    assert counts(tmp_path) == [(60, 60, 120)]


def test_windows_are_loaded_in_their_order(tmp_path: Path) -> None:
    """Each load is told of, with what is left."""
    told: list[Progress] = []
    windows = tens(50)[::-1]
    made = pipeline(tmp_path)
    loaded = backfill(made, window, windows, name="history", per_load=2, report=told.append)
    assert loaded == 5
    assert [each.windows for each in told] == [
        (windows[0], windows[1]),
        (windows[2], windows[3]),
        (windows[4],),
    ]
    assert [(each.done, each.total, each.rows) for each in told] == [
        (2, 5, 60),
        (4, 5, 60),
        (5, 5, 30),
    ]
    assert told[0].left > told[1].left > told[2].left == 0
    assert counts(tmp_path) == [(50, 50, 100)]
    assert backfill(made, window, windows, name="history") == 0


def test_windows_may_change_and_overlap(tmp_path: Path) -> None:
    """What is done of them is not loaded again, what is not is."""
    made = pipeline(tmp_path)
    assert backfill(made, window, tens(60)[2:4], name="history") == 2
    told: list[Progress] = []
    wide = [Interval(0, 30, Integers()), Interval(25, 60, Integers()), Interval(50, 60, Integers())]
    assert backfill(made, window, iter(wide), name="history", report=told.append) == 2
    assert [str(each.windows[0]) for each in told] == ["0 to 20", "40 to 60"]
    assert counts(tmp_path) == [(60, 60, 120)]


@pytest.mark.parametrize(("restores", "loads"), [(True, 4), (False, 2)])
def test_backfills_have_names(tmp_path: Path, restores: bool, loads: int) -> None:
    """Another name is another backfill; resources and empty windows will do, too.

    Where the destination does not keep the state, a load without rows is none.
    """

    def source(interval: Interval) -> Any:
        rows = [{"id": each} for each in range(*bounds(interval)) if each < 15]
        return dlt.resource(rows, name="numbers", primary_key="id", write_disposition="merge")

    made = pipeline(tmp_path)
    made.config.restore_from_destination = restores
    for name in ("first", "second"):
        assert backfill(made, source, tens(40), name=name, per_load=3) == 4
    assert query(tmp_path, "SELECT count(*), count(DISTINCT id) FROM numbers") == [(15, 15)]
    assert query(tmp_path, "SELECT count(*) FROM _dlt_loads") == [(loads,)]
    tables = [name for (name,) in query(tmp_path, "SHOW TABLES") if not name.startswith("_dlt")]
    assert tables == ["numbers"]


def test_a_failed_load_ends_it(tmp_path: Path) -> None:
    """With dlt's error; what was loaded before is done."""

    def source(interval: Interval) -> Any:
        def rows() -> Iterator[Any]:
            if interval.start == 20:
                raise ConnectionError("gone")
            yield {"id": interval.start}

        return dlt.resource(rows, name="numbers")

    made = pipeline(tmp_path)
    with pytest.raises(PipelineStepFailed, match="gone"):
        backfill(made, source, tens(50), name="history")
    assert query(tmp_path, "SELECT id FROM numbers ORDER BY 1") == [(0,), (10,)]
    assert backfill(made, window, tens(50), name="history") == 3


@pytest.mark.parametrize(
    "disposition", ["replace", {"disposition": "replace", "strategy": "truncate-and-insert"}]
)
def test_replacing_is_refused(tmp_path: Path, disposition: Any) -> None:
    """In the end, the last window would be all there is."""

    def source(interval: Interval) -> Any:
        return dlt.resource([{"id": 1}], name="numbers", write_disposition=disposition)

    with pytest.raises(ConfigError, match="numbers to append or to merge"):
        backfill(pipeline(tmp_path), source, tens(20), name="history")


def test_empty_loads_are_refused(tmp_path: Path) -> None:
    """They would never end."""
    with pytest.raises(ConfigError, match="at least 1 window per load, got 0"):
        backfill(pipeline(tmp_path), window, tens(20), name="history", per_load=0)


def test_times_are_windows_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Months of a history, the newest first, with a line in the log for each."""

    def source(month: Interval) -> Any:
        return dlt.resource([{"since": month.since, "until": month.until}], name="months")

    history = Intervals("history", start="2023-11-15", end="2024-02-10", state={})
    with caplog.at_level(logging.INFO, "blocks.backfill"):
        backfill(pipeline(tmp_path), source, history.todo("month")[::-1], name="history")
    lines = [each.getMessage() for each in caplog.records if each.name == "blocks.backfill"]
    assert [line.split(" in ")[0] for line in lines] == [
        "history: 2024-02-01 to 2024-02-10, 1 rows",
        "history: 2024-01-01 to 2024-02-01, 1 rows",
        "history: 2023-12-01 to 2024-01-01, 1 rows",
        "history: 2023-11-15 to 2023-12-01, 1 rows",
    ]
    assert lines[-1].endswith("4 of 4 windows, 0:00:00 left")
    assert query(tmp_path, "SELECT count(*) FROM months") == [(4,)]


class Orders:
    """Orders by the time they changed; a minute goes by with each change."""

    def __init__(self) -> None:
        self.now = START + 5 * MINUTE
        self.rows: dict[int, dict[str, Any]] = {}
        for number in range(30):
            self.put(number, START - (30 - number) * MINUTE)

    def put(self, number: int, at: datetime | None = None, *, deleted: bool = False) -> None:
        """Make or change an order."""
        version = self.rows.get(number, {"version": 0})["version"] + 1
        self.now += MINUTE * (at is None)
        changed = Times().write(at or self.now)
        row = {"id": number, "changed": changed, "version": version, "deleted": deleted}
        self.rows[number] = row

    def change(self, read: list[int]) -> None:
        """One that was just read, some that were not, a deletion, and a new one."""
        self.put(read[0])
        self.put(read[-1], deleted=True)
        old = min(self.rows.values(), key=lambda row: str(row["changed"]))
        self.put(old["id"])
        self.put(len(self.rows))

    def api(self) -> testing.Api:
        """What lists them, three a page, each after the last row of the page before."""
        api = testing.Api()

        @api.get("/orders", query="since until cursor")
        def orders(call: testing.Call) -> dict[str, Any]:
            since, until = call.query["since"], call.query.get("until", "9")
            last = unwrap(call.query.get("cursor"), ["", 0])
            found = sorted(
                ([row["changed"], row["id"]], row)
                for row in self.rows.values()
                if since <= row["changed"] < until and [row["changed"], row["id"]] > last
            )
            more = wrap(found[2][0]) if len(found) > 3 else None
            return {"rows": [row for _, row in found[:3]], "next": more}

        return api


@pytest.mark.parametrize(("lookback", "same"), [(timedelta(hours=1), True), (None, False)])
def test_a_history_beside_daily_runs(
    tmp_path: Path, lookback: timedelta | None, same: bool
) -> None:
    """Rows change while both are at it, and a load fails: in the end the table is the API's.

    If the daily cursor looks back as long as a load of the history takes: without, a row that the
    daily run loads before the history does is put back to what it was.
    """
    world = Orders()
    hints: Any = {
        "primary_key": "id",
        "write_disposition": "merge",
        "columns": {"deleted": {"data_type": "bool", "hard_delete": True}},
    }

    def listing(url: str, bounds: dict[str, Any]) -> Iterator[httpx.Response]:
        api = client(url)
        first = api.build_request("GET", "/orders", params=bounds)
        return prefetch(pages(api, first, NextToken("next", "cursor")))

    def made(name: str) -> dlt.Pipeline:
        destination = dlt.destinations.duckdb(str(tmp_path / "warehouse.duckdb"))
        folder = str(tmp_path / "pipelines")
        return dlt.pipeline(
            name, pipelines_dir=folder, destination=destination, dataset_name="data"
        )

    def daily() -> None:
        @dlt.resource(name="orders", **hints)
        def orders() -> Iterator[Any]:
            options: Any = {"lookback": lookback, "clock": lambda: world.now}
            seen = cursor("changed", start=START, **options)
            yield from load(listing(server.url, {"since": seen.since}), seen, path="rows")

        made("daily").run(orders, loader_file_format="parquet")

    fails = [True]

    def history(part: Interval) -> Any:
        @dlt.resource(name="orders", **hints, file_format="parquet")
        def orders() -> Iterator[Any]:
            found = listing(server.url, {"since": part.since, "until": part.until})
            for number, page in enumerate(found):
                yield from load(page, path="rows")
                if number == 1:
                    world.change([row["id"] for row in page.json()["rows"]])
                    with ThreadPoolExecutor(1) as other:  # as a process of its own would
                        other.submit(daily).result()
                    if fails.pop() if fails else False:
                        raise ConnectionError

        return orders

    whole = Intervals("orders", start=START - 30 * MINUTE, end=START, state={}, kind=Times())
    windows = whole.todo(10 * MINUTE)[::-1]
    with testing.serving(world.api()) as server:
        with pytest.raises(PipelineStepFailed):
            backfill(made("history"), history, windows, name="orders")
        assert backfill(made("history"), history, windows, name="orders") == 3
        daily()
    expected = [(n, row["version"]) for n, row in sorted(world.rows.items()) if not row["deleted"]]
    assert (query(tmp_path, "SELECT id, version FROM orders ORDER BY 1") == expected) is same
