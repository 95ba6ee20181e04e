"""The recipe for Klaviyo against a replica."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import dlt
import pytest

from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial
from cookbook.klaviyo import klaviyo
from tests.replicas.klaviyo import klaviyo_api

pytest_plugins = ["blocks.testing.fixtures"]

Row = dict[str, Any]
Rows = Callable[[dlt.Pipeline, str], list[Row]]


def profile(number: int, updated: str) -> Row:
    """A profile with properties of the shop's own."""
    given = {"email": f"{number}@example.com", "properties": {f"Size {number}": number}}
    return {"type": "profile", "id": f"P{number}", "attributes": {**given, "updated": updated}}


def event(number: int, at: str) -> Row:
    """An event."""
    attributes = {"datetime": at, "event_properties": {f"Item {number}": number}}
    return {"type": "event", "id": f"E{number}", "attributes": attributes}


@pytest.fixture
def profiles() -> list[Row]:
    """Two pages of them, several of one second."""
    return [profile(n, f"2024-05-{1 + n % 9:02}T10:00:00+00:00") for n in range(130)]


@pytest.fixture
def events() -> list[Row]:
    """Three pages of them, one an hour."""
    days = [f"2024-05-{day:02}T{hour:02}:00:00+00:00" for day in (1, 2, 3) for hour in range(20)]
    return [event(number, at) for number, at in enumerate(days)]


@pytest.fixture
def server(profiles: list[Row], events: list[Row]) -> Iterator[Server]:
    """The replica."""
    metrics = [{"type": "metric", "id": f"M{n}", "attributes": {"name": f"m{n}"}} for n in range(3)]
    with serving(klaviyo_api(profiles, events, metrics)) as server:
        yield server


def source(server: Server, key: str = "pk_x") -> Any:
    """The recipe."""
    return klaviyo(base_url=server.url, key=key)


def test_account(trial: Trial, server: Server, profiles: list[Row], events: list[Row]) -> None:
    """All of it; then profiles that changed, and events that are new or were tracked late."""

    def change() -> None:
        profiles[3]["attributes"] |= {"updated": "2024-05-20T10:00:00+00:00", "email": "new"}
        profiles.append(profile(900, "2024-05-20T11:00:00.25+00:00"))
        events.append(event(900, "2024-05-04T10:00:00+00:00"))
        events.append(event(901, "2024-05-03T05:30:00+00:00"))

    def expected() -> dict[str, list[Row]]:
        emails = {row["id"]: row["attributes"]["email"] for row in profiles}
        return {
            "profiles": [{"id": key, "attributes__email": emails[key]} for key in emails],
            "events": [{"id": row["id"]} for row in events],
            "metrics": [{"id": "M0"}, {"id": "M1"}, {"id": "M2"}],
        }

    again = trial(server, lambda: source(server), expected, change)
    filters = {call.path: call.query.get("filter") for call in reversed(again)}
    assert filters["/api/profiles"] == "greater-than(updated,2024-05-09T09:59:59Z)"
    assert filters["/api/events"] == "greater-or-equal(datetime,2024-05-02T19:00:00Z)"
    assert len(again) == 1 + 2 + 1


def test_properties_are_one_column(pipeline: dlt.Pipeline, rows: Rows, server: Server) -> None:
    """What a shop has made up is JSON, not a column for each."""
    pipeline.run(source(server), loader_file_format="parquet")
    (row,) = [row for row in rows(pipeline, "profiles") if row["id"] == "P7"]
    assert json.loads(row["attributes__properties"]) == {"Size 7": 7}
    assert not [name for name in row if name.startswith("attributes__properties__")]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"errors": [{"status": 500, "code": "error"}]}, "one object at data, got nothing"),
        ({"data": [], "links": {"next": "https://b.klaviyo.com/api"}}, "next page leaves"),
    ],
)
def test_wrong_answers(fails: Callable[..., None], server: Server, body: Row, message: str) -> None:
    """What is no page fails aloud, and loads nothing."""
    server.fail(lambda _: Answer(body), path="/api/events")
    fails(source(server), message, "profiles")


def test_wrong_key(refused: Callable[..., None], server: Server) -> None:
    """A key that is refused is no reason to ask again."""
    refused(source(server, "pk_other").with_resources("events"), server)
