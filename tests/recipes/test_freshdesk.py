"""The recipe for Freshdesk's tickets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dlt
import httpx
import pytest

from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial, pick
from cookbook.freshdesk import freshdesk, left
from tests.replicas.freshdesk import Freshdesk

pytest_plugins = ["blocks.testing.fixtures"]

Row = dict[str, Any]
Rows = Callable[[dlt.Pipeline, str], list[Row]]
MAY = datetime(2024, 5, 1, tzinfo=UTC)


def ticket(number: int, second: int, gone: str = "") -> Row:
    """A ticket, last changed so many seconds after the beginning of May."""
    at = (MAY + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")
    extra = {"description": "Help", "requester": {"id": 7}, "stats": {"closed_at": None}}
    return {"id": number, "tags": ["a"], "updated_at": at, "gone": gone, **extra}


@pytest.fixture
def desk() -> Freshdesk:
    """More tickets than a list shows, 120 of them changed in one second; some are gone."""
    seconds = [n if n < 100 else 100 if n < 220 else n for n in range(430)]
    tickets = [ticket(n, second) for n, second in enumerate(seconds)]
    return Freshdesk([*tickets, ticket(900, 50, "deleted"), ticket(901, 60, "spam")], most=3)


@pytest.fixture
def server(desk: Freshdesk) -> Iterator[Server]:
    """The account, served."""
    with serving(desk.api) as server:
        yield server


def source(server: Server, key: str = "k3y") -> Any:
    """The recipe against the replica, in a very big plan."""
    return freshdesk(server.url, lists=6000, key=key)


def test_trial(trial: Trial, server: Server, desk: Freshdesk) -> None:
    """All tickets, however many pages; then what changed, and what was deleted or is spam."""

    def change() -> None:
        desk.tickets[7] |= ticket(7, 1000) | {"tags": []}
        desk.tickets[8] |= ticket(8, 1001, "deleted")
        desk.tickets[9] |= ticket(9, 1001, "spam")
        desk.tickets.append(ticket(950, 1002))

    def expected() -> dict[str, list[Row]]:
        live = [row for row in desk.tickets if not row["gone"]]
        tickets = [{**row, "requester__id": 7} for row in pick(live, "id", "description")]
        return {
            "tickets": tickets,
            "tickets__tags": [{"value": t} for r in live for t in r["tags"]],
        }

    again = trial(server, lambda: source(server), expected, change)
    # A second before the last change.
    assert {call.query["updated_since"] for call in again} == {"2024-05-01T00:07:08Z"}
    assert [call.query.get("filter") for call in again] == [None, "deleted", "spam"]


def test_tickets_that_change_while_pages_are_read(
    pipeline: dlt.Pipeline, rows: Rows, server: Server, desk: Freshdesk
) -> None:
    """They move to the end, and none is lost by that."""

    def change() -> None:
        for number in range(60):
            desk.tickets[number] |= ticket(number, 2000)

    server.before(2, change)
    pipeline.run(source(server))
    assert {row["id"] for row in rows(pipeline, "tickets")} == {*range(430)}


def test_credits() -> None:
    """Where fewer are left than a list takes, the next one waits for the minute to be over."""
    headers = {"X-RateLimit-Remaining": "6", "X-RateLimit-Used-CurrentRequest": "7"}
    (quota,) = left(httpx.Response(200, headers=headers), MAY)
    assert (quota.used_up, quota.wait) == (True, 60.0)
    assert [*left(httpx.Response(401), MAY)] == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"code": "access_denied"}, "expected column updated_at"),
        ([{"id": 1}], "expected column updated_at"),
    ],
)
def test_wrong_answers(fails: Callable[..., None], server: Server, body: Any, message: str) -> None:
    """What is no page of tickets fails aloud, and loads nothing."""
    server.fail(lambda _: Answer(body))
    fails(source(server), message, "tickets")


def test_wrong_key(refused: Callable[..., None], server: Server) -> None:
    """It is refused, and not tried again."""
    refused(source(server, key="other"), server)
