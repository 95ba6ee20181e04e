"""Shopify orders, by the Admin REST API: Link paging, incremental by updated_at, deletions.

Loads `orders`, with their lines, fulfillments, refunds and the like as nested tables; orders that
the merchant deletes go, by events. Shopify's page names `destroy` for all that has events, but not
among those of orders; connectors ask for it as here. Where a shop tells none, compare the ids
(deletes.md). Authenticates with an app's access token in X-Shopify-Access-Token (scopes
read_orders, for orders of the last 60 days, and read_all_orders for older ones). Each app has a
bucket of 40 calls for each shop, that leaks 2 a second (4 with Advanced, 20 with Plus).

The link to a next page has `page_info` and `limit` alone, and is followed as it is: Shopify refuses
a filter beside it. Change: the shop, the start, `leak` to that of the plan. REST is legacy since
October 2024, for apps that have it; shopify_graphql.py shows the other API.

https://shopify.dev/docs/api/admin-rest/usage/pagination
https://shopify.dev/docs/api/admin-rest/usage/rate-limits
https://shopify.dev/docs/api/admin-rest/latest/resources/order
https://shopify.dev/docs/api/admin-rest/latest/resources/event
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dlt

from blocks.auth import HeaderKey
from blocks.client import client
from blocks.deletes import flag, tombstones
from blocks.dlt import cursor, load
from blocks.fetch import pages
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.paginators import LinkHeader
from blocks.quotas import ShopifyBucket

MONEY = ("current_total_price", "subtotal_price", "total_price", "total_tax")


@dlt.source
def shopify(
    base_url: str,
    start: str = "2024-01-01T00:00:00Z",
    leak: float = 2,
    version: str = "2026-07",
    token: str = dlt.secrets.value,
) -> Any:
    api = client(
        f"{base_url}/admin/api/{version}",
        auth=HeaderKey(token, name="X-Shopify-Access-Token"),
        limit=Rate(leak, burst=40, quotas=ShopifyBucket(leak)),
    )

    @dlt.resource(
        primary_key="id",
        write_disposition="merge",
        columns={**flag(), **{name: {"data_type": "decimal"} for name in MONEY}},
    )
    def orders() -> Iterator[Any]:
        updated = cursor("updated_at", start=start)
        query = {"status": "any", "limit": 250, "updated_at_min": updated.since}
        first = api.build_request("GET", "orders.json", params=query)
        yield from load(prefetch(pages(api, first, LinkHeader())), updated, path="orders")
        query = {"filter": "Order", "verb": "destroy", "limit": 250}
        query["created_at_min"] = updated.since
        first = api.build_request("GET", "events.json", params=query)
        gone = prefetch(pages(api, first, LinkHeader()))
        yield from load(tombstones(gone, {"id": "subject_id"}, records="events"))

    return orders
