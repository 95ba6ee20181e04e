"""The Amplitude recipe against its replica: each hour once, whatever comes in between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.testing import Server, faults, serving
from cookbook.amplitude import amplitude
from tests.replicas.amplitude import HOUR, Amplitude

pytest_plugins = ["blocks.testing.fixtures"]


@pytest.fixture
def now() -> datetime:
    """The hour that it is."""
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


@pytest.fixture
def replica(now: datetime) -> Amplitude:
    """Two events in every third hour of the last three days, those to come included."""
    replica = Amplitude(most=1000)
    for ago in range(-1, 72, 3):
        for number in range(2):
            replica.add(now - ago * HOUR, "click", number=number, ago={"hours": ago})
    return replica


@pytest.fixture
def server(replica: Amplitude) -> Iterator[Server]:
    """The replica at an address."""
    with serving(replica.api) as server:
        yield server


def source(server: Server, now: datetime, hours: int = 60, secret: str = "not-a-secret") -> Any:
    """The recipe, for so many hours."""
    start = f"{now - hours * HOUR:%Y%m%dT%H}"
    return amplitude(start, server.url, "key", secret)


def ids(replica: Amplitude, now: datetime, hours: int = 60) -> list[str]:
    """The events of hours that are there, of the last so many."""
    there = range(4, hours + 1)
    found = [replica.events.get(now - ago * HOUR, []) for ago in there]
    return sorted(row["uuid"] for rows in found for row in rows)


def loaded(rows: Any, pipeline: dlt.Pipeline) -> list[str]:
    """The events in the destination."""
    return sorted(row["uuid"] for row in rows(pipeline, "events"))


def test_all_once(
    pipeline: dlt.Pipeline, rows: Any, server: Server, replica: Amplitude, now: datetime
) -> None:
    """All hours come, days without events too; then none again, and of an earlier start the gap."""
    for ago in range(24, 60):
        replica.events.pop(now - ago * HOUR, None)
    pipeline.run(source(server, now), loader_file_format="parquet")
    assert loaded(rows, pipeline) == ids(replica, now)
    assert max(call.query["end"] for call in server.requests) == f"{now - 4 * HOUR:%Y%m%dT%H}"
    assert server.statuses[404] >= 1
    server.requests.clear()
    pipeline.run(source(server, now), loader_file_format="parquet")
    assert server.requests == []
    pipeline.run(source(server, now, hours=70), loader_file_format="parquet")
    assert loaded(rows, pipeline) == ids(replica, now, hours=70)
    assert max(call.query["end"] for call in server.requests) == f"{now - 61 * HOUR:%Y%m%dT%H}"


def test_columns(
    pipeline: dlt.Pipeline, rows: Any, server: Server, replica: Amplitude, now: datetime
) -> None:
    """Times are timestamps in UTC, properties stay JSON."""
    pipeline.run(source(server, now, hours=5), loader_file_format="parquet")
    row = min(rows(pipeline, "events"), key=lambda row: row["uuid"])
    upload = now - 5 * HOUR + timedelta(minutes=59, seconds=59, milliseconds=123)
    assert row["server_upload_time"] == upload
    assert json.loads(row["event_properties"]) == {"number": 0, "ago": {"hours": 5}}


def test_too_large(
    pipeline: dlt.Pipeline, rows: Any, server: Server, replica: Amplitude, now: datetime
) -> None:
    """Too many events for an export are asked for in halves."""
    replica.most = 4
    pipeline.run(source(server, now), loader_file_format="parquet")
    assert loaded(rows, pipeline) == ids(replica, now)
    assert server.statuses[400] >= 2


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (faults.html, "expected a file, got HTML"),
        (faults.cut, "gave up on a file"),
        (faults.garbled, "expected a zip archive"),
        (400, "status 400"),
        ("secret", "refusal of the credentials"),
    ],
)
def test_wrong(
    pipeline: dlt.Pipeline,
    rows: Any,
    server: Server,
    replica: Amplitude,
    now: datetime,
    wrong: Any,
    said: str,
) -> None:
    """What is no whole archive loads nothing; the next run loads all, through a 429 and a 503."""
    if wrong != "secret":
        server.fail(wrong, at=2, times=100)
    with pytest.raises(PipelineStepFailed, match=said):
        pipeline.run(source(server, now, secret="other" if wrong == "secret" else "not-a-secret"))
    assert rows(pipeline, "events") == []
    server.mend()
    server.fail(429, at=2)
    server.fail(503, at=3)
    pipeline.run(source(server, now), loader_file_format="parquet")
    assert loaded(rows, pipeline) == ids(replica, now)
