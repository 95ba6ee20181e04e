"""The recipe for Shopify's GraphQL API against a replica."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.events import Event, Waited, listen
from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial
from cookbook.shopify_graphql import shopify_graphql
from tests.replicas.shopify_graphql import cost, shopify_api, throttled

pytest_plugins = ["blocks.testing.fixtures"]

Row = dict[str, Any]
Rows = Callable[[dlt.Pipeline, str], list[Row]]


def product(number: int, updated: str, variants: int = 1) -> Row:
    """A product with so many variants."""
    node = {"sku": f"sku-{number}", "price": "4.50", "updatedAt": updated}
    several = [node | {"id": f"gid://shopify/ProductVariant/{number}{n}"} for n in range(variants)]
    key = f"gid://shopify/Product/{number}"
    return {"id": key, "title": f"P{number}", "updatedAt": updated, "variants": several}


@pytest.fixture
def products() -> list[Row]:
    """Three pages of products, one of them with more variants than come with it."""
    found = [product(n, f"2024-05-{1 + n % 20:02}T10:00:00Z") for n in range(1, 61)]
    return [*found, product(61, "2024-05-20T10:00:00Z", variants=300)]


@pytest.fixture
def server(products: list[Row]) -> Iterator[Server]:
    """The replica."""
    with serving(shopify_api(products)) as server:
        yield server


def source(server: Server, token: str = "shpat_x") -> Any:
    """The recipe."""
    return shopify_graphql(server.url, token=token)


def test_products(trial: Trial, server: Server, products: list[Row]) -> None:
    """All products and variants, then those that changed, without those that are gone."""

    def change() -> None:
        products[4] |= {"updatedAt": "2024-06-01T10:00:00Z", "title": "Renamed"}
        products[5] |= {"updatedAt": "2024-06-01T10:00:00Z", "variants": []}
        products.append(product(900, "2024-06-02T10:00:00Z"))
        del products[9]

    def expected() -> dict[str, list[Row]]:
        variants = [{"id": each["id"]} for row in products for each in row["variants"]]
        rows = [{"id": row["id"], "title": row["title"]} for row in products]
        return {"products": rows, "products__variants__nodes": variants}

    again = trial(server, lambda: source(server), expected, change)
    # One of what changed, two more for the variants of the one that shares the last moment, ids.
    assert len(again) == 4
    assert again[0].json["variables"] == {"since": "updated_at:>='2024-05-20T10:00:00Z'"}


def test_points_are_waited_for(pipeline: dlt.Pipeline, rows: Rows, server: Server) -> None:
    """A query that came too early is sent again when there are enough points for it."""
    server.fail(lambda _: throttled(asked=702, left=602), at=2)
    seen: list[Event] = []
    stop = listen(seen.append)
    pipeline.run(source(server), loader_file_format="parquet")
    stop()
    assert [event for event in seen if isinstance(event, Waited) and "points" in event.reason]
    assert len(rows(pipeline, "products")) == 61
    assert len(server.requests) == 1 + 3 + 2 + 1


DENIED = {"message": "Access denied", "extensions": {"code": "ACCESS_DENIED"}}
CUT = {"products": {"nodes": [], "pageInfo": {"hasNextPage": True, "endCursor": None}}}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"errors": [DENIED], "data": None}, "got a failure by Errors"),
        ({"data": {"shop": {}}}, "array of records at 'data.products.nodes'"),
        ({"data": CUT, "extensions": cost(9, 99)}, "expected an endCursor"),
    ],
)
def test_wrong_answers(fails: Callable[..., None], server: Server, body: Row, message: str) -> None:
    """What is no page of products fails aloud, and loads nothing."""
    server.fail(lambda _: Answer(body), at=2)
    fails(source(server), message, "products")


def test_a_listing_cut_short_deletes_nothing(
    pipeline: dlt.Pipeline, rows: Rows, server: Server, products: list[Row]
) -> None:
    """If most ids are missing, the run fails instead."""
    pipeline.run(source(server), loader_file_format="parquet")
    del products[10:]
    with pytest.raises(PipelineStepFailed, match="the listing may be cut short"):
        pipeline.run(source(server), loader_file_format="parquet")
    assert len(rows(pipeline, "products")) == 61


def test_wrong_token(refused: Callable[..., None], server: Server) -> None:
    """It is refused once, and not tried again."""
    refused(source(server, "other"), server)
