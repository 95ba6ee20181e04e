"""The recipe for Zoom's recordings and usage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.dlt import raise_on_gaps
from blocks.errors import Incomplete
from blocks.testing import Answer, Server, faults, serving
from cookbook.zoom import zoom
from tests.replicas.zoom import Zoom

pytest_plugins = ["blocks.testing.fixtures"]

Row = dict[str, Any]
Rows = Callable[[dlt.Pipeline, str], list[Row]]
TODAY = datetime.now(UTC).date()
# The first day of the month before last: the recipe reads to yesterday, whenever that is.
START = ((TODAY.replace(day=1) - timedelta(days=1)).replace(day=1) - timedelta(days=1)).replace(
    day=1
)
YESTERDAY = TODAY - timedelta(days=1)


def meeting(number: int, day: date) -> Row:
    """A meeting of that day, and its recording."""
    return {
        "uuid": f"u{number}==",
        "start_time": f"{day}T10:00:00Z",
        "recording_files": [{"id": f"f{number}", "file_type": "MP4"}],
    }


@pytest.fixture
def account() -> Zoom:
    """A meeting each other day, five on a page."""
    days = [START + timedelta(days=n) for n in range(0, (YESTERDAY - START).days + 1, 2)]
    return Zoom([meeting(number, day) for number, day in enumerate(days)], size=5)


@pytest.fixture
def server(account: Zoom) -> Iterator[Server]:
    """It, served."""
    with serving(account.api) as server:
        yield server


def source(server: Server, secret: str = "s3cret") -> Any:
    """The recipe against the replica."""
    urls = {"base_url": f"{server.url}/v2", "token_url": f"{server.url}/oauth/token"}
    return zoom("acc", str(START), "app", secret, **urls)


def test_all_and_changes(pipeline: dlt.Pipeline, rows: Rows, server: Server, account: Zoom) -> None:
    """All there is in months; then the last days alone, with what is new or came late in them."""
    server.fail(429, path="*/recordings")
    server.fail(faults.cut, path="*/daily")
    pipeline.run(source(server))
    raise_on_gaps(pipeline)
    assert {row["uuid"] for row in rows(pipeline, "recordings")} == {
        row["uuid"] for row in account.meetings
    }
    days = {row["date"] for row in rows(pipeline, "usage")}
    assert {START, YESTERDAY} <= days
    asked = [call.query for call in server.requests if "recordings" in call.path]
    assert {query["from"][:7] for query in asked} >= {str(START)[:7], str(YESTERDAY)[:7]}
    account.meetings.append(meeting(900, YESTERDAY))
    account.meetings[-2]["recording_files"].append({"id": "late", "file_type": "CHAT"})
    account.minutes[str(YESTERDAY)] = 90
    server.requests.clear()
    server.before(2, account.tokens.expire)
    pipeline.run(source(server))
    assert len(rows(pipeline, "recordings")) == len(account.meetings)
    assert len(rows(pipeline, "recordings__recording_files")) == len(account.meetings) + 1
    assert sum(row["meeting_minutes"] for row in rows(pipeline, "usage")) == 90
    asked = [call.query for call in server.requests if "recordings" in call.path]
    assert min(query["from"] for query in asked) == str(TODAY - timedelta(days=3))
    assert account.tokens.issued == 3


def test_tokens_of_pages_that_expire(
    pipeline: dlt.Pipeline, rows: Rows, server: Server, account: Zoom
) -> None:
    """A month whose pages took too long is read in halves, and nothing is missing."""
    server.before(5, account.expire_pages, path="*/recordings")
    pipeline.run(source(server).with_resources("recordings"))
    raise_on_gaps(pipeline)
    assert server.statuses[400] >= 1
    assert len(rows(pipeline, "recordings")) == len(account.meetings)


def test_a_month_that_fails(
    pipeline: dlt.Pipeline, rows: Rows, server: Server, account: Zoom
) -> None:
    """It is said after the others are loaded, and the next run asks for it alone."""
    server.fail(faults.html, path="*/recordings")
    pipeline.run(source(server).with_resources("recordings"))
    with pytest.raises(Incomplete, match=r"zoom\.recordings"):
        raise_on_gaps(pipeline)
    assert 0 < len(rows(pipeline, "recordings")) < len(account.meetings)
    pipeline.run(source(server).with_resources("recordings"))
    raise_on_gaps(pipeline)
    assert len(rows(pipeline, "recordings")) == len(account.meetings)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>Back soon</html>", "windows failed"),
        ({"code": 300, "message": "Validation Failed."}, "at meetings, got nothing"),
    ],
)
def test_wrong_answers(fails: Callable[..., None], server: Server, body: Any, message: str) -> None:
    """What is nowhere a page fails aloud, and loads nothing."""
    server.fail(lambda _: Answer(body), path="*/recordings", times=99)
    fails(source(server), message, "recordings", "usage")


def test_wrong_secret(pipeline: dlt.Pipeline, server: Server) -> None:
    """It is refused, and nothing is asked for."""
    with pytest.raises(PipelineStepFailed, match="expected a token"):
        pipeline.run(source(server, secret="other").with_resources("usage"))
    assert set(server.statuses) == {401}
