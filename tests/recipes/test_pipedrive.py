"""The recipe for Pipedrive against a replica."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial, pick
from cookbook.pipedrive import pipedrive
from tests.replicas.pipedrive import pipedrive_api

pytest_plugins = ["blocks.testing.fixtures"]

Row = dict[str, Any]
SIZE, REGION, AREA = ("a" * 40, "b" * 40, "c" * 40)


def field(code: str, name: str, kind: str, **more: Any) -> Row:
    """A custom field, or one that all deals have."""
    return {
        "field_code": code,
        "field_name": name,
        "field_type": kind,
        "is_custom_field": len(code) == 40,
        **more,
    }


FIELDS = [
    field("title", "Title", "varchar"),
    field(SIZE, "Deal size", "monetary"),
    field(REGION, "Region", "enum", options=[{"id": 7, "label": "North"}]),
    field(AREA, "region", "varchar"),
]


def deal(number: int, updated: str, **more: Any) -> Row:
    """An open deal."""
    custom = {SIZE: {"value": 10 * number, "currency": "EUR"}, REGION: 7, AREA: None}
    row = {"id": number, "title": f"Deal {number}", "status": "open", "update_time": updated}
    return row | {"is_deleted": False, "is_archived": False, "custom_fields": custom} | more


@pytest.fixture
def deals() -> list[Row]:
    """Two pages of deals, some of them archived."""
    return [
        deal(n, f"2024-05-{1 + n % 9:02}T10:00:00Z", is_archived=n % 10 == 0) for n in range(1, 31)
    ]


@pytest.fixture
def server(deals: list[Row]) -> Iterator[Server]:
    """The replica."""
    with serving(pipedrive_api(deals, FIELDS, most=20)) as server:
        yield server


def source(server: Server, token: str = "t0ken") -> Any:
    """The recipe."""
    return pipedrive(base_url=server.url, token=token)


def test_deals(trial: Trial, server: Server, deals: list[Row]) -> None:
    """All deals under the names of their fields, then those that changed; deleted ones go."""

    def change() -> None:
        deals[3] |= {"update_time": "2024-06-01T10:00:00Z", "is_deleted": True}
        deals[4] |= {"update_time": "2024-06-01T11:00:00Z", "is_archived": True}
        deals[5] |= {"update_time": "2024-06-02T10:00:00Z", "title": "Another"}
        deals.append(deal(90, "2024-06-02T11:00:00Z"))

    def expected() -> dict[str, list[Row]]:
        live = [row for row in deals if not row["is_deleted"]]
        region = f"custom_fields__region_{REGION}"
        return {
            "deals": [
                pick([row], "id", "title", "is_archived")[0]
                | {"custom_fields__deal_size__value": row["custom_fields"][SIZE]["value"]}
                | {region: 7}
                for row in live
            ],
            "deal_fields": pick(FIELDS, "field_code", "field_name"),
            "deal_fields__options": [{"id": 7, "label": "North"}],
        }

    again = trial(server, lambda: source(server), expected, change)
    asked = [(call.path.removeprefix("/api/v2"), call.query.get("updated_since")) for call in again]
    since = "2024-05-09T09:55:00Z"  # the last change seen, less five minutes
    assert asked == [("/dealFields", None), ("/deals", since), ("/deals/archived", since)]


def test_a_run_after_a_long_time(
    pipeline: dlt.Pipeline, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """Deletions that are not told any more are warned of."""
    pipeline.run(source(server))
    assert "some are gone" not in caplog.text
    pipeline.run(source(server))
    assert "some are gone" in caplog.text


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("*/deals", {"success": False, "error": "no"}, "array of records at 'data'"),
        ("*/deals/archived", {"success": True, "data": [{"id": 1}]}, "custom_fields"),
        ("*/dealFields", {"success": True, "data": [{"name": "x"}]}, "is_custom_field"),
    ],
    ids=["an error", "no custom fields", "fields of another version"],
)
def test_wrong_answers(
    fails: Callable[..., None], server: Server, path: str, body: Row, message: str
) -> None:
    """What is no page of deals or fields fails aloud, and loads nothing."""
    server.fail(lambda _: Answer(body), path=path)
    fails(source(server), message, "deals")


def test_a_budget_used_up(pipeline: dlt.Pipeline, server: Server) -> None:
    """A refusal until tomorrow fails the run, and is not slept over."""
    server.fail(lambda _: Answer({"success": False}, 429, {"Retry-After": "40000"}))
    with pytest.raises(PipelineStepFailed, match="told to wait 40000 s"):
        pipeline.run(source(server))
    assert server.statuses == {429: 1}


def test_wrong_token(refused: Callable[..., None], server: Server) -> None:
    """A token that is refused is an error at once."""
    refused(source(server, "other"), server)
