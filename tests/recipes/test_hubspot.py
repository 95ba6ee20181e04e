"""The recipe for HubSpot against a replica of its CRM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dlt
import pytest

from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial
from cookbook.hubspot import hubspot
from tests.replicas.hubspot import CONTACTS, contact, hubspot_api

pytest_plugins = ["blocks.testing.fixtures"]

Row = dict[str, Any]
Rows = Callable[[dlt.Pipeline, str], list[Row]]
NAMES = [f"field_{number}" for number in range(260)]  # two requests for a batch


@pytest.fixture
def contacts() -> list[Row]:
    """More than a page of a search, all changed in three moments."""
    return [
        contact(
            number, f"2024-05-0{1 + number % 3}T10:00:00.123Z", field_7="a", field_259=str(number)
        )
        for number in range(98, 308)
    ]


@pytest.fixture
def server(contacts: list[Row]) -> Iterator[Server]:
    """The replica; a search shows one page only."""
    with serving(hubspot_api(contacts, NAMES, most=200)) as server:
        yield server


def source(server: Server, token: str = "t0ken") -> Any:
    """The recipe, allowed more searches as nobody else searches."""
    return hubspot(searches=20, base_url=server.url, token=token)


def test_contacts(trial: Trial, server: Server, contacts: list[Row]) -> None:
    """All contacts with all properties and companies; then what changed, and what is archived."""

    def change() -> None:
        contacts[0]["archived"] = contacts[9]["archived"] = True
        contacts[5]["properties"] |= {"lastmodifieddate": "2024-05-09T10:00:00Z", "field_7": "b"}
        contacts[5]["companies"] = [7]
        contacts.append(contact(900, "2024-05-09T11:00:00Z", field_259="new"))

    def expected() -> dict[str, list[Row]]:
        live = [each for each in contacts if not each["archived"]]
        names = {"properties__field_7": "field_7", "properties__field_259": "field_259"}
        return {
            "contacts": [
                {"id": each["id"], **{key: each["properties"].get(names[key]) for key in names}}
                for each in live
            ],
            "contacts__companies": [
                {"to_object_id": company} for each in live for company in each["companies"]
            ],
        }

    again = trial(server, lambda: source(server), expected, change)
    (search,) = [call for call in again if call.path.endswith("/search")]
    # The last change seen, less ten minutes.
    assert search.json["filterGroups"][0]["filters"][0]["value"] == 1714729800123
    read = [call.json["inputs"] for call in again if call.path.endswith("/batch/read")]
    assert {each["id"] for inputs in read for each in inputs} < {each["id"] for each in contacts}


def test_a_contact_that_changes_between_two_parts(
    pipeline: dlt.Pipeline, rows: Rows, server: Server, contacts: list[Row]
) -> None:
    """Its batch is read again, so that no row is of two moments; one archived then is left out."""

    def change() -> None:
        contacts[150]["properties"] |= {"lastmodifieddate": "2024-06-01T00:00:00Z", "field_7": "c"}
        contacts[150]["properties"]["field_259"] = "c"
        contacts[160]["archived"] = True

    server.before(4, change, path=f"{CONTACTS}/batch/read")
    pipeline.run(source(server), loader_file_format="parquet")
    found = {row["id"]: row for row in rows(pipeline, "contacts")}
    row = found[contacts[150]["id"]]
    assert (row["properties__field_7"], row["properties__field_259"]) == ("c", "c")
    assert len(found) == len(contacts) - 1


FAILED = {"status": "error", "category": "VALIDATION_ERROR"}


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        (f"{CONTACTS}/search", {"total": 0}, 200, "array of records at 'results'"),
        ("*/batch/read", {"status": "COMPLETE"}, 200, "array of records at 'results'"),
        ("*/batch/read", {"results": [], "errors": [FAILED]}, 207, "got a failure by failed"),
        ("*", FAILED, 401, "refusal of the credentials"),
    ],
)
def test_wrong_answers(
    fails: Callable[..., None], server: Server, path: str, body: Row, status: int, message: str
) -> None:
    """What is no page of contacts fails aloud, and loads nothing."""
    server.fail(lambda _: Answer(body, status), path=path, times=99)
    fails(source(server), message, "contacts")


def test_wrong_token(refused: Callable[..., None], server: Server) -> None:
    """It is refused once, and not tried again."""
    refused(source(server, "other"), server)
