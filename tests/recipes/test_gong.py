"""The recipe for Gong against a replica."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial
from cookbook.gong import gong
from tests.replicas.gong import gong_api

pytest_plugins = ["blocks.testing.fixtures"]

Row = dict[str, Any]
Rows: TypeAlias = Callable[[dlt.Pipeline, str], list[Row]]
NOW = datetime.now(UTC).replace(microsecond=0)
START = NOW - timedelta(days=100)


def call(number: int, ago: timedelta) -> Row:
    """A call that began so long ago."""
    began = (NOW - ago).isoformat()
    meta = {"id": str(7782342274025937000 + number), "title": f"Call {number}", "started": began}
    parties = [{"id": f"p{number}", "emailAddress": f"a{number}@example.com"}]
    content = {"topics": [{"name": "Pricing", "duration": number}]}
    return {"metaData": meta, "parties": parties, "content": content, "media": {"audioUrl": "x"}}


@pytest.fixture
def calls() -> list[Row]:
    """Calls of the last days and of two months ago; in other months there are none."""
    old = [call(n, timedelta(days=70, minutes=n)) for n in range(12)]
    return old + [call(100 + n, timedelta(days=2, minutes=n)) for n in range(3)]


@pytest.fixture
def users() -> list[Row]:
    """Users on two pages."""
    return [{"id": str(n), "emailAddress": f"u{n}@example.com", "active": True} for n in range(12)]


@pytest.fixture
def server(calls: list[Row], users: list[Row]) -> Iterator[Server]:
    """The replica."""
    with serving(gong_api(calls, users, size=10, per_second=100)) as server:
        yield server


def source(server: Server, secret: str = "s3cret") -> Any:
    """The recipe, by a company that was granted a higher rate."""
    start = START.isoformat()
    return gong(start, rate=90, base_url=server.url, access_key="key", access_key_secret=secret)


def test_calls(trial: Trial, server: Server, calls: list[Row], users: list[Row]) -> None:
    """All of it; then the days before the last run again, and no others."""

    def change() -> None:
        calls[-1]["metaData"]["title"] = "Renamed"
        calls.append(call(900, timedelta(days=1)))
        users[3]["active"] = False

    def expected() -> dict[str, list[Row]]:
        titles = [{f"meta_data__{k}": row["metaData"][k] for k in ("id", "title")} for row in calls]
        emails = [{"email_address": p["emailAddress"]} for row in calls for p in row["parties"]]
        active = [{"id": user["id"], "active": user["active"]} for user in users]
        return {"calls": titles, "calls__parties": emails, "users": active}

    again = trial(server, lambda: source(server), expected, change)
    since = min(each.json["filter"]["fromDateTime"] for each in again if each.content)
    assert datetime.fromisoformat(since) >= NOW - timedelta(days=7)
    assert len(again) <= 2 + 2  # a week may be of two months


def test_months_without_calls(
    pipeline: dlt.Pipeline, rows: Rows, server: Server, calls: list[Row]
) -> None:
    """Gong's 404 is an empty window, which is done like others."""
    calls.clear()
    pipeline.run(source(server))
    assert rows(pipeline, "calls") == []
    assert server.statuses[404] == server.count("/v2/calls/extensive") > 3
    server.requests.clear()
    pipeline.run(source(server))
    assert server.count("/v2/calls/extensive") <= 2


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer({"errors": ["no such path"]}, 404), "status 404"),
        (Answer({"errors": ["failed"]}), "at calls, got nothing"),
    ],
)
def test_wrong_answers(
    fails: Callable[..., None], server: Server, answer: Answer, message: str
) -> None:
    """Another 404, and errors with status 200, fail the run, and nothing is loaded."""
    server.fail(lambda _: answer, path="/v2/calls/*", times=100)
    fails(source(server).with_resources("calls"), message, "calls")


def test_the_documented_rate(pipeline: dlt.Pipeline, rows: Rows, users: list[Row]) -> None:
    """By default a run keeps to the three calls a second that all companies have."""
    start = (NOW - timedelta(days=1)).isoformat()
    with serving(gong_api([], users, size=4)) as server:
        pipeline.run(gong(start, base_url=server.url, access_key="key", access_key_secret="s3cret"))
    assert len(rows(pipeline, "users")) == 12


def test_wrong_secret(pipeline: dlt.Pipeline, server: Server) -> None:
    """A refused key is an error at once."""
    with pytest.raises(PipelineStepFailed, match="credentials"):
        pipeline.run(source(server, "other").with_resources("users"))
    assert server.statuses == {401: 1}
