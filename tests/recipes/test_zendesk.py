"""The recipe for Zendesk's tickets and users."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dlt
import pytest

from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial, pick
from cookbook.zendesk import zendesk
from tests.replicas.zendesk import zendesk_api

pytest_plugins = ["blocks.testing.fixtures"]

Row = dict[str, Any]
Rows = Callable[[dlt.Pipeline, str], list[Row]]
MAY = 1714557600  # 2024-05-01T10:00:00Z


def ticket(number: int, at: int, status: str = "open") -> Row:
    """A ticket, last changed at a time of the epoch."""
    fields = [{"id": 27642, "value": str(number)}]
    times = {"updated_at": "2024-05-01T09:00:00Z", "generated_timestamp": at}
    return {"id": number, "status": status, "custom_fields": fields, **times}


@pytest.fixture
def tickets() -> list[Row]:
    """Several in each second, one of them deleted."""
    return [ticket(n, MAY + n // 4, "deleted" if n == 9 else "open") for n in range(1, 26)]


@pytest.fixture
def users() -> list[Row]:
    """More than fit on a page."""
    return [{"id": n, "name": f"User {n}", "role": "end-user"} for n in range(1, 131)]


@pytest.fixture
def server(tickets: list[Row], users: list[Row]) -> Iterator[Server]:
    """The account, served."""
    with serving(zendesk_api(tickets, users, size=10, minute=0.5)) as server:
        yield server


def source(server: Server, token: str = "t0ken") -> Any:
    """The recipe against the replica."""
    return zendesk(server.url, calls=600, email="me@example.com", token=token)


def test_trial(trial: Trial, server: Server, tickets: list[Row], users: list[Row]) -> None:
    """All is loaded, then what changed: tickets that were deleted go, and users who were."""

    def change() -> None:
        tickets[2] |= {"generated_timestamp": MAY + 90, "status": "solved", "custom_fields": []}
        tickets[3] |= {"generated_timestamp": MAY + 91, "status": "deleted"}
        tickets.append(ticket(26, MAY + 91))
        del users[5]

    def expected() -> dict[str, list[Row]]:
        live = [each for each in tickets if each["status"] != "deleted"]
        return {
            "tickets": pick(live, "id", "status", "generated_timestamp"),
            "tickets__custom_fields": [field for each in live for field in each["custom_fields"]],
            "users": users,
        }

    again = trial(server, lambda: source(server), expected, change)
    (export,) = [call for call in again if "incremental" in call.path]
    assert list(export.query) == ["cursor"]


def test_a_ticket_that_changes_while_it_is_exported(
    pipeline: dlt.Pipeline, rows: Rows, server: Server, tickets: list[Row]
) -> None:
    """It comes twice, and its last version counts: here, of one that came back."""
    back = {"generated_timestamp": MAY + 99, "status": "open"}
    server.before(2, lambda: tickets[8].update(back), path="*/incremental/*")
    pipeline.run(source(server).with_resources("tickets"))
    assert len(rows(pipeline, "tickets")) == 25


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("*/cursor.json", {"error": "InvalidValue"}, "array of records at 'tickets'"),
        ("*/cursor.json", {"tickets": []}, "end_of_stream"),
        ("*/cursor.json", {"tickets": [], "end_of_stream": False}, "expected a next page"),
        ("*/users.json", {"users": []}, "meta.has_more"),
    ],
)
def test_wrong_answers(
    fails: Callable[..., None], server: Server, path: str, body: Row, message: str
) -> None:
    """What is no page of tickets, or of users, fails aloud, and loads nothing."""
    server.fail(lambda _: Answer(body), path=path)
    fails(source(server), message, "tickets", "users")


def test_wrong_token(refused: Callable[..., None], server: Server) -> None:
    """It is refused, and not tried again."""
    refused(source(server, token="other").with_resources("users"), server)
