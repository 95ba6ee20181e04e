"""The recipe for Shopify's REST API against a replica."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dlt
import pytest

from blocks.events import Event, Retried, listen
from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial
from cookbook.shopify import shopify
from tests.replicas.shopify import ADMIN, shopify_api

pytest_plugins = ["blocks.testing.fixtures"]

Row = dict[str, Any]
Rows = Callable[[dlt.Pipeline, str], list[Row]]


def order(number: int, updated: str) -> Row:
    """An order with a line, every third one closed."""
    lines = [{"id": 10 * number, "sku": f"sku-{number}", "price": "4.50"}]
    closed = None if number % 3 else updated
    fields = {"updated_at": updated, "closed_at": closed, "total_price": f"{number}.10"}
    return {"id": number, **fields, "line_items": lines}


@pytest.fixture
def orders() -> list[Row]:
    """Two pages of orders, several of one moment."""
    return [order(n, f"2024-05-{1 + n % 20:02}T10:00:00-04:00") for n in range(1, 301)]


@pytest.fixture
def events() -> list[Row]:
    """No order has been deleted."""
    return []


@pytest.fixture
def server(orders: list[Row], events: list[Row]) -> Iterator[Server]:
    """The replica."""
    with serving(shopify_api(orders, events)) as server:
        yield server


def source(server: Server, token: str = "shpat_x") -> Any:
    """The recipe."""
    return shopify(server.url, token=token)


def test_orders(trial: Trial, server: Server, orders: list[Row], events: list[Row]) -> None:
    """All orders, then those that changed, without those that were deleted."""

    def change() -> None:
        orders[4] |= {"updated_at": "2024-06-01T10:00:00-04:00", "line_items": []}
        orders.append(order(900, "2024-06-02T10:00:00-04:00"))
        deleted = {"id": 1, "subject_id": orders.pop(7)["id"], "subject_type": "Order"}
        events.append(deleted | {"verb": "destroy", "created_at": "2024-06-02T09:00:00-04:00"})

    def expected() -> dict[str, list[Row]]:
        lines = [{"sku": line["sku"]} for row in orders for line in row["line_items"]]
        return {"orders": [{"id": row["id"]} for row in orders], "orders__line_items": lines}

    again = trial(server, lambda: source(server), expected, change)
    assert [call.path.rpartition("/")[2] for call in again] == ["orders.json", "events.json"]
    assert again[0].query["updated_at_min"] == again[1].query["created_at_min"]
    assert again[0].query["updated_at_min"] == "2024-05-20T14:00:00Z"


def test_later_pages_are_asked_for_by_page_info_alone(
    pipeline: dlt.Pipeline, rows: Rows, server: Server
) -> None:
    """Nothing but the limit is beside it; money keeps its digits."""
    pipeline.run(source(server))
    _, second, _ = server.requests
    assert second.query.keys() == {"page_info", "limit"}
    prices = {row["id"]: row["total_price"] for row in rows(pipeline, "orders")}
    assert str(prices[7]).rstrip("0") == "7.1"


def test_the_bucket_is_heeded(pipeline: dlt.Pipeline, rows: Rows, server: Server) -> None:
    """A full bucket, which another app's calls may have filled, is waited for."""
    full = {"X-Shopify-Shop-Api-Call-Limit": "40/40", "Retry-After": "0.5"}
    problem = {"errors": "Exceeded 2 calls per second for api client."}
    server.fail(lambda _: Answer(problem, 429, full), at=2)
    seen: list[Event] = []
    stop = listen(seen.append)
    pipeline.run(source(server))
    stop()
    assert "0 of 40 left" in {event.reason for event in seen if isinstance(event, Retried)}
    assert server.statuses == {200: 3, 429: 1}
    assert len(rows(pipeline, "orders")) == 300


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        ({"errors": "Not Found"}, f"{ADMIN}/orders.json", "one object at orders, got nothing"),
        ({"events": [{"id": 1}]}, f"{ADMIN}/events.json", "expected a key at 'subject_id'"),
    ],
)
def test_wrong_answers(
    fails: Callable[..., None], server: Server, body: Row, path: str, message: str
) -> None:
    """What is no page of the kind fails aloud, and loads nothing."""
    server.fail(lambda _: Answer(body), path=path)
    fails(source(server), message, "orders")


def test_wrong_token(refused: Callable[..., None], server: Server) -> None:
    """A token that is refused is sent once."""
    refused(source(server, "shpat_other"), server)
