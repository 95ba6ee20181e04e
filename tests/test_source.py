"""A whole source against a real API: what arrives, what is asked again, and what goes wrong."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import httpx
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.auth import Bearer
from blocks.client import client
from blocks.demo.run import recipe
from blocks.demo.server import Server, Settings, serving
from blocks.dlt import cursor, load
from blocks.errors import AuthError, BodyError, ForeignOrigin, PagingLoop
from blocks.fetch import pages
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.paginators import LinkHeader
from tests.loopback import JSON, Answer, Loopback, answer
from tests.loopback import serving as scripted
from tests.test_dlt import caused_by
from tests.warehouse import Warehouse, same

ISSUES = {"state": "all", "sort": "updated", "direction": "asc", "per_page": "100"}


def plain(server: Server, since: str) -> Any:
    """The same pages through httpx and a plain dlt resource."""

    @dlt.resource(name="issues", primary_key="id", write_disposition="merge")
    def issues() -> Iterator[Any]:
        headers = {"Authorization": f"Bearer {server.token}"}
        url: str | None = f"{server.url}/repos/{server.repository}/issues"
        params: dict[str, str] | None = {**ISSUES, "since": since}
        with httpx.Client(headers=headers, trust_env=False) as api:
            while url:
                page = api.get(url, params=params).raise_for_status()
                yield page.json()
                url, params = page.links.get("next", {}).get("url"), None

    return issues


def test_recipe_loads_what_dlt_loads(tmp_path: Path) -> None:
    """After both runs the tables are those dlt makes of the pages; the second fetches changes."""
    ours, theirs = Warehouse(tmp_path / "ours"), Warehouse(tmp_path / "theirs")
    with serving(Settings(records=700, burst=1000)) as server:
        source = recipe()
        token = {"base_url": server.url, "token": server.token}
        ours.run(source(repo=server.repository, **token).with_resources("issues"))
        theirs.run(plain(server, "2024-01-01T00:00:00Z"))
        same(ours, theirs, "issues")
        (since,) = ours.query("SELECT strftime(max(updated_at), '%Y-%m-%dT%H:%M:%SZ') FROM issues")
        changes = server.change()
        before = server.counts()
        ours.run(source(repo=server.repository, **token))
        fetched = server.counts()["pages"] - before["pages"]
        assert fetched == 1 + (len(changes.updated) + len(changes.created)) // 100
        theirs.run(plain(server, since[0]))
        same(ours, theirs, "issues")


def source(server: Loopback, path: str = "/items", limit: Rate | None = None) -> Any:
    """Items of a scripted server."""

    @dlt.resource(name="items", primary_key="id", write_disposition="merge")
    def items() -> Iterator[Any]:
        api = client(server.url, auth=Bearer("canary-token"), limit=limit, timeout=5)
        seen = cursor("id", start=0)
        first = api.build_request("GET", path, params={"since": seen.since})
        yield from load(prefetch(pages(api, first, LinkHeader())), seen, path="rows")

    return items


def body(*ids: int) -> bytes:
    """A page of items."""
    return json.dumps({"rows": [{"id": id_, "tags": [id_]} for id_ in ids]}).encode()


def link(target: str) -> tuple[tuple[str, str], ...]:
    """The headers of a page that has a next one."""
    return (*JSON, ("Link", f'<{target}>; rel="next"'))


HTML = (("Content-Type", "text/html"),)

FAULTS: dict[str, tuple[bytes, type[Exception], str]] = {
    "wrong token": (answer(b"{}", "401 Unauthorized"), AuthError, "refusal of the credentials"),
    "html": (answer(b"<html>busy</html>", headers=HTML), BodyError, "expected JSON, got text/html"),
    "html as json": (answer(b"<html>busy</html>"), BodyError, "expected JSON, got HTML"),
    "cut json": (answer(b'{"rows": [{"id": 2}'), BodyError, "page 2: expected JSON"),
    "no records": (answer(b'{"error": "x"}'), BodyError, "at rows, got nothing"),
    "repeated next": (answer(body(2), headers=link("/next")), PagingLoop, "got this one again"),
    "foreign next": (answer(body(2), headers=link("http://other.test/")), ForeignOrigin, "other"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults(name: str, tmp_path: Path) -> None:
    """What goes wrong names the place and no secret; the load before stands, the next is right."""
    fault, error, message = FAULTS[name]
    warehouse = Warehouse(tmp_path)
    with scripted({"/items": [answer(body(1))]}) as server:
        warehouse.run(source(server))
    first = answer(body(5), headers=link("/next"))
    with scripted({"/items": [first], "/next": [fault]}) as server:
        with pytest.raises(PipelineStepFailed) as failure:
            warehouse.run(source(server))
        assert caused_by(failure.value, error)
        text = str(failure.value)
        assert message in text
        assert f"GET {server.url.removeprefix('http://')}/next" in text
        assert "canary" not in text + repr(failure.value)
        assert b"canary-token" in server.requests[-1]
    assert warehouse.query("SELECT id FROM items") == [(1,)]
    assert not warehouse.pipeline().has_pending_data
    with scripted({"/items": [first], "/next": [answer(body(2, 6))]}) as server:
        warehouse.run(source(server))
        assert b"since=1" in server.requests[0]
    assert warehouse.query("SELECT id FROM items ORDER BY id") == [(1,), (2,), (5,), (6,)]
    assert warehouse.query("SELECT value FROM items__tags ORDER BY 1") == [(1,), (2,), (5,), (6,)]


def test_storm_of_429(tmp_path: Path) -> None:
    """Refused again and again, a source waits, loads every row once, and counts it in the trace."""
    busy = answer(b"{}", "429 Too Many Requests", (*JSON, ("Retry-After", "0")))
    script = {
        f"/{page}": [busy, busy, answer(body(page), headers=link(f"/{page + 1}"))]
        for page in range(1, 4)
    }
    script["/4"] = [busy, answer(body(4))]
    warehouse = Warehouse(tmp_path)
    with scripted(script) as server:
        pipeline = warehouse.run(source(server, "/1", Rate(1000, per=1, burst=10)))
        assert len(server.requests) == 11
    assert warehouse.query("SELECT id FROM items ORDER BY id") == [(n,) for n in range(1, 5)]
    trace: Any = pipeline.last_trace
    (metrics,) = [step for each in trace.last_extract_info.metrics.values() for step in each][:1]
    counted = metrics["resource_metrics"]["items"].custom_metrics
    assert (counted["requests"], counted["pages"], counted["retries"]) == (11, 4, 7)


CHILD = """
    import sys, threading, time
    from pathlib import Path

    from tests.loopback import Loopback
    from tests.test_source import source
    from tests.warehouse import Warehouse

    class Api:
        url = sys.argv[1]

    try:
        Warehouse(Path(sys.argv[2])).run(source(Api))
    except BaseException as error:
        print("ended by", type(error.__cause__ or error).__name__)
    print("threads", [thread.name for thread in threading.enumerate() if not thread.daemon])
    print("pending", Warehouse(Path(sys.argv[2])).pipeline().has_pending_data)
"""


def test_ctrl_c_in_extract(tmp_path: Path) -> None:
    """Ctrl-C while a page is awaited: threads go, nothing partial stays, the next run is right."""
    warehouse = Warehouse(tmp_path)
    script: dict[str, list[Answer | bytes]] = {
        "/items": [answer(body(1), headers=link("/next"))],
        "/next": [Answer(b"HTTP/1.1 200 OK\r\nContent-", then="hang"), answer(body(2))],
    }
    with scripted(script) as server:
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(CHILD), server.url, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
        ) as child:
            while not server.hits("/next"):
                assert child.poll() is None
            child.send_signal(signal.SIGINT)
            out, _ = child.communicate(timeout=30)
        assert "ended by KeyboardInterrupt" in out
        assert "threads ['MainThread']" in out
        assert "pending False" in out
        warehouse.run(source(server))
        assert b"since=0" in server.requests[2]
    assert warehouse.query("SELECT id FROM items ORDER BY id") == [(1,), (2,)]
