"""The recipe for Airtable against a replica."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dlt
import httpx
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.outcomes import Verdict
from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial
from cookbook.airtable import BUSY, airtable
from tests.replicas.airtable import Base

pytest_plugins = ["blocks.testing.fixtures"]

Row = dict[str, Any]
Rows = Callable[[dlt.Pipeline, str], list[Row]]
NAMES = {"fldName": "Name", "fldDone": "Done?", "fldTags": "Tags", "fldNotes": "Internal notes"}
WANTED = {"fldName": "title", "fldDone": "is_done", "fldTags": "tags"}


def record(number: int, modified: str = "2024-05-01T10:00:00.000Z", **fields: Any) -> Row:
    """A record with all fields but those that are empty."""
    values = {"fldName": f"Task {number}", "fldDone": number % 2 == 0, "fldNotes": "no"}
    created = "2024-01-01T00:00:00.000Z"
    return {
        "id": f"rec{number}",
        "created": created,
        "modified": modified,
        "fields": values | {"fldTags": [f"t{number}", "all"]} | fields,
    }


@pytest.fixture
def base() -> Base:
    """A base with two pages of records."""
    return Base(NAMES, [record(number) for number in range(130)])


@pytest.fixture
def server(base: Base) -> Iterator[Server]:
    """It, served."""
    with serving(base.api) as server:
        yield server


def source(server: Server, token: str = "pat.t0ken", **more: Any) -> Any:
    """The recipe."""
    return airtable("app1", "tbl1", WANTED, "tasks", base_url=server.url, token=token, **more)


def now() -> str:
    """The time as Airtable has it."""
    return datetime.now(UTC).isoformat()


def test_records(trial: Trial, server: Server, base: Base) -> None:
    """The fields chosen of all records, then of those that changed; deleted ones go."""

    def change() -> None:
        base.records[3] |= {"modified": now()}
        base.records[3]["fields"] |= {"fldName": "", "fldDone": True, "fldTags": ["new"]}
        del base.records[7]
        base.records.append(record(900, now()))

    def expected() -> dict[str, list[Row]]:
        tags = [{"value": tag} for row in base.records for tag in row["fields"]["fldTags"]]
        return {
            "tasks": [
                {
                    "id": row["id"],
                    "title": row["fields"]["fldName"] or None,
                    "is_done": row["fields"]["fldDone"] or None,
                }
                for row in base.records
            ],
            "tasks__tags": tags,
        }

    again = trial(server, lambda: source(server), expected, change, expire=base.expire)
    filters = [call.query.get("filterByFormula", "") for call in again]
    assert [bool(each) for each in filters] == [True, False, False]
    assert all("fldNotes" not in call.query.several("fields[]") for call in again)
    (since,) = {each.split("'")[1] for each in filters if each}
    # When the run before began, less ten minutes.
    ago = datetime.now(UTC) - datetime.fromisoformat(since)
    assert timedelta(minutes=10) < ago < timedelta(minutes=12)


def test_without_the_sweep(pipeline: dlt.Pipeline, rows: Rows, server: Server, base: Base) -> None:
    """A run without it asks for what changed alone, and leaves what was deleted."""
    pipeline.run(source(server, sweep=False))
    del base.records[:10]
    server.requests.clear()
    pipeline.run(source(server, sweep=False))
    assert len(server.requests) == 1
    assert len(rows(pipeline, "tasks")) == 130


def test_a_list_that_loses_its_place(
    new_pipeline: Callable[[], dlt.Pipeline], rows: Rows, server: Server, base: Base
) -> None:
    """It is begun again, a few times; then it is an error."""
    server.before(2, base.expire)
    pipeline = new_pipeline()
    pipeline.run(source(server, sweep=False))
    assert server.statuses == {200: 3, 422: 1}
    assert len(rows(pipeline, "tasks")) == 130
    for number in (2, 4, 6, 8):
        server.before(number, base.expire)
    with pytest.raises(PipelineStepFailed, match="status 422"):
        new_pipeline().run(source(server, sweep=False))


def test_the_penalty() -> None:
    """A refusal is one for 30 seconds."""
    assert BUSY(httpx.Response(429)) == Verdict("limited", wait=30)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": "NOT_FOUND"}, "array of records at 'records'"),
        ({"records": [{"id": "rec1", "createdTime": "2024-01-01T00:00:00Z"}]}, "fields"),
        ({"records": []}, "got an empty listing"),
    ],
    ids=["an error", "a key less", "nothing"],
)
def test_wrong_answers(
    pipeline: dlt.Pipeline, rows: Rows, server: Server, body: Row, message: str
) -> None:
    """What is no page of records fails aloud, and neither loads nor deletes anything."""
    pipeline.run(source(server, sweep=False))
    server.fail(lambda _: Answer(body), times=2)
    with pytest.raises(PipelineStepFailed, match=message):
        pipeline.run(source(server))
    assert len(rows(pipeline, "tasks")) == 130


def test_wrong_token(refused: Callable[..., None], server: Server) -> None:
    """It is refused once, and not tried again."""
    refused(source(server, "other"), server)
