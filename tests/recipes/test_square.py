"""The recipe for Square against a replica."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dlt
import pytest

from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial
from cookbook.square import square
from tests.replicas.square import square_api

pytest_plugins = ["blocks.testing.fixtures"]

Row = dict[str, Any]
Rows = Callable[[dlt.Pipeline, str], list[Row]]
LOCATIONS = [f"L{number}" for number in range(12)]  # two requests for orders


def item(number: int, updated: str) -> Row:
    """An item with a variation."""
    variation = {"id": f"V{number}", "item_variation_data": {"sku": f"sku-{number}"}}
    data = {"name": f"Item {number}", "variations": [variation]}
    fields = {"type": "ITEM", "updated_at": updated, "is_deleted": False}
    return {"id": f"I{number}", **fields, "item_data": data}


def order(number: int, updated: str) -> Row:
    """An order with a line."""
    fields = {"location_id": LOCATIONS[number % 12], "updated_at": updated}
    return {"id": f"O{number}", **fields, "line_items": [{"uid": f"u{number}", "quantity": "1"}]}


@pytest.fixture
def catalog() -> list[Row]:
    """Objects of two pages, several of one moment."""
    return [item(n, f"2024-05-{1 + n % 7:02}T10:00:00.123Z") for n in range(30)]


@pytest.fixture
def orders() -> list[Row]:
    """Orders of two pages for each ten locations."""
    return [order(n, f"2024-05-{1 + n % 7:02}T10:00:00.123Z") for n in range(40)]


@pytest.fixture
def server(catalog: list[Row], orders: list[Row]) -> Iterator[Server]:
    """The replica."""
    with serving(square_api(catalog, orders, LOCATIONS, size=20)) as server:
        yield server


def source(server: Server) -> Any:
    """The recipe."""
    return square(base_url=server.url, token="t0ken")


def test_seller(trial: Trial, server: Server, catalog: list[Row], orders: list[Row]) -> None:
    """All of it; then what changed or was deleted."""

    def change() -> None:
        late = "2024-06-01T10:00:00Z"
        catalog[4] |= {"updated_at": late, "item_data": {"name": "Renamed"}}
        catalog[8] = {"id": "I8", "type": "ITEM", "updated_at": late, "is_deleted": True}
        catalog.append(item(900, late))
        orders[3] |= {"updated_at": late, "state": "CANCELED"}

    def expected() -> dict[str, list[Row]]:
        live = [row for row in catalog if not row["is_deleted"]]
        lists = [row["item_data"].get("variations", []) for row in live]
        return {
            "catalog": [{"id": r["id"], "item_data__name": r["item_data"]["name"]} for r in live],
            "catalog__item_data__variations": [{"id": v["id"]} for some in lists for v in some],
            "orders": [{"id": row["id"], "state": row.get("state")} for row in orders],
            "orders__line_items": [{"uid": f"u{number}"} for number in range(40)],
            "locations": [{"id": each} for each in LOCATIONS],
        }

    again = trial(server, lambda: source(server), expected, change)
    bodies = {call.path: call.json for call in again if call.content}
    assert bodies["/v2/catalog/search"]["begin_time"] == "2024-05-07T10:00:00.122000Z"
    filters = bodies["/v2/orders/search"]["query"]["filter"]["date_time_filter"]
    assert filters == {"updated_at": {"start_at": "2024-05-07T10:00:00.123000Z"}}
    assert len(again) == 1 + 1 + 2


def test_nothing_new(pipeline: dlt.Pipeline, rows: Rows, server: Server, orders: list[Row]) -> None:
    """Answers without any list are pages without rows."""
    orders.clear()
    pipeline.run(source(server), loader_file_format="parquet")
    assert (len(rows(pipeline, "catalog")), rows(pipeline, "orders")) == (30, [])


FAILED = {"errors": [{"category": "API_ERROR", "code": "INTERNAL_SERVER_ERROR"}]}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v2/catalog/search", "one object at objects, got nothing"),
        ("/v2/orders/search", "one object at orders, got nothing"),
        ("/v2/locations", "at locations, got nothing"),
    ],
)
def test_wrong_answers(fails: Callable[..., None], server: Server, path: str, message: str) -> None:
    """What is neither empty nor a page fails aloud, and loads nothing."""
    server.fail(lambda _: Answer(FAILED), path=path)
    fails(source(server), message, "catalog", "orders")


def test_wrong_token(refused: Callable[..., None], server: Server) -> None:
    """A token that is refused is sent once."""
    refused(square(base_url=server.url, token="other").with_resources("catalog"), server)
