"""Windows into DuckDB, run after run: each row once, whatever fails, and nothing read twice."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import dlt
import httpx
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.client import client
from blocks.dlt import intervals, load, raise_on_gaps
from blocks.errors import AuthError, ConfigError, Incomplete, Overflow
from blocks.fetch import pages
from blocks.intervals import Interval
from blocks.kinds import Dates, Kind, Times
from blocks.network import prefetch
from blocks.paginators import NextToken
from blocks.places import whole
from blocks.retries import Retry
from blocks.windows import windows
from tests.test_dlt import caused_by
from tests.warehouse import Warehouse

ROOT = Path(__file__).parent.parent
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
START = datetime(2024, 1, 1, tzinfo=UTC)
CAP, PAGE = 10, 4


def at(days: float) -> datetime:
    """So many days after the start."""
    return START + days * DAY


def text(time: datetime) -> str:
    """As the API writes it."""
    return time.isoformat().replace("+00:00", "Z")


@dataclass
class Calls:
    """An API that lists calls by time: pages of four, at most ten rows of a window.

    `faults` says by which status a window with that time is answered (0: never). `whole` are the
    windows of which all pages were sent.
    """

    rows: list[dict[str, Any]]
    faults: dict[datetime, int] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    whole: list[tuple[str, str]] = field(default_factory=list)
    hung: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def answer(self, query: dict[str, str]) -> tuple[int, Any]:
        """Status and body."""
        bounds = (query["from"], query["to"])
        self.requests.append(bounds)
        for time, status in self.faults.items():
            if bounds[0] <= text(time) < bounds[1]:
                if status == 0:
                    self.hung.set()
                    self.over.wait(30)
                return status or 500, {"error": "on demand"}
        found = [row for row in self.rows if bounds[0] <= row["at"] < bounds[1]]
        first = int(query.get("cursor", 0))
        last = first + PAGE >= min(len(found), CAP)
        if last and len(found) <= CAP:
            self.whole.append(bounds)
        rows = found[first : first + PAGE]
        following = None if last else first + PAGE
        return 200, {"calls": rows, "total": len(found), "next": following}

    def covered(self) -> tuple[str, str]:
        """The range that the whole windows make up, each part of it exactly once."""
        ordered = sorted(self.whole)
        for left, right in pairwise(ordered):
            assert left[1] == right[0], (left, right)
        return ordered[0][0], ordered[-1][1]


@contextmanager
def serving(api: Calls) -> Iterator[Calls]:
    """`api` over HTTP while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
            status, body = api.answer(query)
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's
            """Nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Nothing: a client that was killed."""

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        api.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield api
        finally:
            api.over.set()
            server.shutdown()


def calls(days: int, each: int = 1) -> list[dict[str, Any]]:
    """So many calls on each of the days."""
    return [
        {"id": day * each + n, "at": text(at(day + n / each)), "state": "new"}
        for day in range(days)
        for n in range(each)
    ]


def source(url: str, now: datetime, every: Any = 7 * DAY, **options: Any) -> Any:
    """The calls of an API, as of `now`."""
    disposition = options.pop("disposition", "append")
    least = options.pop("least", HOUR)

    @dlt.resource(name="calls", primary_key="id", write_disposition=disposition)
    def resource() -> Iterator[Any]:
        api = client(url, retry=partial(Retry, attempts=1), timeout=20)
        kind = options.pop("kind", Times(timedelta(seconds=1)))
        done = intervals("calls", start=START, kind=kind, clock=lambda: now, **options)

        async def fetch(window: Interval) -> AsyncIterator[httpx.Response]:
            bounds = {"from": window.since, "to": window.until}
            first = api.build_request("GET", "/calls", params=bounds)
            async for page in pages(api, first, NextToken("next", "cursor")):
                if whole(page, "total") > CAP:
                    raise Overflow(f"expected at most {CAP} calls", page)
                yield page

        for window, found in prefetch(windows(fetch, done.todo(every), least=least)):
            yield from load(found, path="calls")
            done.add(window)

    return resource


def loaded(warehouse: Warehouse) -> list[int]:
    """The ids in the warehouse, as often as they are there."""
    return [id_ for (id_,) in warehouse.query("SELECT id FROM calls ORDER BY id")]


def test_a_range_with_failures_is_resumed_from_its_gaps(tmp_path: Path) -> None:
    """Appended over four runs with faults, each row is there once, each window was read once."""
    warehouse = Warehouse(tmp_path)
    with serving(Calls(calls(40))) as api:
        api.faults = {at(9): 500, at(24): 404}
        pipeline = warehouse.run(source(api.url, at(31) + HOUR, lag=HOUR, least=7 * DAY))
        assert loaded(warehouse) == [n for n in range(31) if not 7 <= n < 14 and not 21 <= n < 28]
        with pytest.raises(Incomplete) as caught:
            raise_on_gaps(pipeline)
        assert str(caught.value) == (
            "expected no gaps, got warehouse.calls, calls: 2 with"
            " 2024-01-08T00:00:00Z to 2024-01-15T00:00:00Z"
        )

        # Halved now, all but the hour of the fault is there.
        del api.requests[:], api.faults[at(24)]
        pipeline = warehouse.run(source(api.url, at(31) + HOUR, lag=HOUR))
        assert loaded(warehouse) == [n for n in range(31) if n != 9]
        assert (min(api.requests)[0], max(api.requests)[1]) == (text(at(7)), text(at(28)))
        with pytest.raises(Incomplete, match="calls: 1 with 2024-01-09T23:15:00Z to "):
            raise_on_gaps(pipeline)

        # Days later: the gap and what is new.
        del api.requests[:]
        api.faults.clear()
        pipeline = warehouse.run(source(api.url, at(35) + HOUR, lag=HOUR))
        assert len(api.requests) == 2
        assert loaded(warehouse) == list(range(35))
        raise_on_gaps(pipeline)

        del api.requests[:]
        warehouse.run(source(api.url, at(35) + HOUR, lag=HOUR))
        assert api.requests == []
        assert loaded(warehouse) == list(range(35))
        assert api.covered() == (text(START), text(at(35)))


def test_a_cap_of_the_api_is_gone_round(tmp_path: Path) -> None:
    """Where more rows lie than a window may have, windows are halved until all rows came."""
    warehouse = Warehouse(tmp_path)
    with serving(Calls(calls(8, each=24))) as api:
        pipeline = warehouse.run(source(api.url, at(8)))
        raise_on_gaps(pipeline)
        assert loaded(warehouse) == list(range(8 * 24))
        assert api.covered() == (text(START), text(at(8)))


def test_nothing_had_is_nothing_kept(tmp_path: Path) -> None:
    """When all windows fail, or the credentials are refused, the run fails and can be repeated."""
    warehouse = Warehouse(tmp_path)
    with serving(Calls(calls(20))) as api:
        api.faults = {at(n): 500 for n in range(20)}
        with pytest.raises(PipelineStepFailed) as caught:
            warehouse.run(source(api.url, at(20), least=7 * DAY))
        assert caused_by(caught.value, Incomplete)
        api.faults = {at(10): 401}
        with pytest.raises(PipelineStepFailed) as caught:
            warehouse.run(source(api.url, at(20)))
        assert caused_by(caught.value, AuthError)
        assert not warehouse.pipeline().has_pending_data
        api.faults.clear()
        del api.whole[:]
        warehouse.run(source(api.url, at(20)))
        assert loaded(warehouse) == list(range(20))
        assert api.covered() == (text(START), text(at(20)))


CHILD = """
    import sys
    from pathlib import Path

    from tests.test_interval_runs import at, source
    from tests.warehouse import Warehouse

    Warehouse(Path(sys.argv[2])).run(source(sys.argv[1], at(30), least=1000 * (at(1) - at(0))))
"""


def test_killed_midway_a_run_leaves_no_trace(tmp_path: Path) -> None:
    """After SIGKILL in the middle of a run, with a gap from the one before, each row comes once."""
    warehouse = Warehouse(tmp_path)
    with serving(Calls(calls(30))) as api:
        api.faults = {at(3): 404}
        warehouse.run(source(api.url, at(14)))
        api.faults = {at(25): 0}
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(CHILD), api.url, str(tmp_path)], cwd=ROOT
        ) as child:
            assert api.hung.wait(60)
            child.kill()
        api.over.set()
        api.faults.clear()
        del api.requests[:]
        pipeline = warehouse.run(source(api.url, at(30)))
        raise_on_gaps(pipeline)
        assert loaded(warehouse) == list(range(30))
        assert min(api.requests) == (text(START), text(at(7)))
        assert (text(at(7)), text(at(14))) not in api.requests


def test_the_lookback_brings_changes(tmp_path: Path) -> None:
    """Rows that changed after they were read are merged; asked for is the lookback, and the new."""
    warehouse = Warehouse(tmp_path)
    options = {"lookback": 3 * DAY, "disposition": "merge", "every": "week"}
    with serving(Calls(calls(20))) as api:
        warehouse.run(source(api.url, at(10), **options))
        for row in api.rows[8:]:
            row["state"] = "changed"
        del api.requests[:]
        warehouse.run(source(api.url, at(20), **options))
        # A week from Monday, cut at the gap's ends; two pages where there are more than four rows.
        bounds = [text(at(n)) for n in (7, 14, 20)]
        assert sorted({*api.requests}) == [(bounds[0], bounds[1]), (bounds[1], bounds[2])]
    assert loaded(warehouse) == list(range(20))
    changed = warehouse.query("SELECT id FROM calls WHERE state = 'changed' ORDER BY id")
    assert changed == [(n,) for n in range(8, 20)]


@pytest.mark.parametrize("kind", [Dates(), Dates(zone="America/New_York")])
def test_the_last_day_is_a_complete_one(kind: Kind, tmp_path: Path) -> None:
    """Without an end the range goes up to the last day that is over in the account's zone."""
    warehouse = Warehouse(tmp_path)
    with serving(Calls([])) as api:
        warehouse.run(source(api.url, at(10) + 2 * HOUR, kind=kind, every=None))
        (days,) = api.requests
    assert days[1] == {"UTC": "2024-01-11", "America/New_York": "2024-01-10"}[kind.zone]  # type: ignore[attr-defined]


def test_a_clock_that_was_ahead_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What was done beyond now cannot have been; with `replace` nothing is done before a run."""
    warehouse = Warehouse(tmp_path)
    with serving(Calls(calls(5))) as api:
        warehouse.run(source(api.url, at(9)))
        warehouse.run(source(api.url, at(5)))
        (record,) = [record for record in caplog.records if record.name == "blocks.dlt.state"]
        assert record.levelno == logging.WARNING
        assert record.getMessage() == (
            "intervals calls: done up to 2024-01-10T00:00:00Z, now is 2024-01-06T00:00:00Z:"
            " was the clock wrong, or the lag shorter?"
        )
        assert len({*api.requests}) == 2
        again = Warehouse(tmp_path, "again")
        for _ in range(2):
            again.run(source(api.url, at(5), disposition="replace"))
        assert len({*api.requests}) == 3
        assert len(api.requests) == 3 + 2 + 2
    assert loaded(warehouse) == loaded(again) == list(range(5))


def test_ends_that_cannot_be() -> None:
    """Numbers have no now, and a lag is one from now."""
    with pytest.raises(ConfigError, match="ids: expected an end of a range over Integers"):
        intervals("ids", start=0)
    with pytest.raises(ConfigError, match="calls: expected a lag or an end, got both"):
        intervals("calls", start="2024-01-01", end="2024-02-01", lag=DAY)


def test_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The snippets of cookbook/windows.md run in the order of the page, and load each row once."""
    guide = (ROOT / "cookbook" / "windows.md").read_text(encoding="utf-8")
    snippets = re.findall(r"^```python\n(.*?)^```$", guide, flags=re.MULTILINE | re.DOTALL)
    module = ModuleType("guide")  # dlt looks a source's module up
    monkeypatch.setitem(sys.modules, "guide", module)
    warehouse = Warehouse(tmp_path)
    with serving(Calls(calls(20))) as api:
        names = vars(module)
        names |= {"httpx": httpx, "url": api.url, "pipeline": warehouse.pipeline()}
        for snippet in snippets:
            exec(compile(snippet, "windows.md", "exec"), names)
        api.covered()
    assert loaded(warehouse) == list(range(20))
