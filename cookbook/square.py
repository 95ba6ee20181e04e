"""Square's catalog with its deletions, and orders: cursors in the body, tombstones by time.

Loads `catalog` (items with variations, categories, taxes, discounts, ...), `orders` with their
lines, and `locations`. What is deleted from the catalog goes: the search by `begin_time` lists it,
with is_deleted. Orders are never deleted, but canceled. Authenticates with an access token
(permissions ITEMS_READ, ORDERS_READ, MERCHANT_PROFILE_READ). Square publishes no rate, and answers
429 with RATE_LIMITED to too many calls: 10 a second at most, half as many after each such answer.

Change: the start of orders, the version, `base_url` for the sandbox (https://connect.squareupsandbox.com).

https://developer.squareup.com/reference/square/catalog-api/search-catalog-objects
https://developer.squareup.com/reference/square/orders-api/search-orders
https://developer.squareup.com/docs/build-basics/common-api-patterns/pagination
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import dlt
import httpx

from blocks.adaptive import Adaptive
from blocks.auth import Bearer
from blocks.batches import batches
from blocks.client import client
from blocks.dlt import cursor, load
from blocks.fanout import fan_out
from blocks.fetch import pages
from blocks.json import OrAbsent
from blocks.kinds import Times
from blocks.network import prefetch
from blocks.paginators import NextToken, SinglePage
from blocks.places import JsonBody, values
from blocks.retries import Retry

MILLIS = Times(timedelta(milliseconds=1))
# What an answer without any rows may have; it has no list at all.
BESIDE = ["cursor", "latest_time"]


@dlt.source
def square(
    start: str = "2024-01-01T00:00:00Z",
    base_url: str = "https://connect.squareup.com",
    version: str = "2025-10-16",
    token: str = dlt.secrets.value,
) -> Any:
    api = client(
        base_url,
        auth=Bearer(token),
        headers={"Square-Version": version},
        limit=Adaptive(10, burst=10),
        retry=partial(Retry, reads=lambda _: True),
    )

    def search(path: str, body: dict[str, Any]) -> AsyncIterator[httpx.Response]:
        first = api.build_request("POST", path, json=body)
        return pages(api, first, NextToken("cursor", JsonBody("cursor")))

    @dlt.resource(
        primary_key="id",
        write_disposition="merge",
        columns={"is_deleted": {"data_type": "bool", "hard_delete": True}},
    )
    def catalog() -> Iterator[Any]:
        # In the first run all of it, as it may not have changed for years.
        updated = cursor("updated_at", start="2009-01-01T00:00:00Z", kind=MILLIS)
        body = {"begin_time": updated.after, "include_deleted_objects": True, "limit": 1000}
        found = prefetch(search("/v2/catalog/search", body))
        yield from load(found, updated, path=OrAbsent("objects", BESIDE))

    @dlt.resource(primary_key="id", write_disposition="merge")
    def orders() -> Iterator[Any]:
        updated = cursor("updated_at", start=start, kind=MILLIS)
        since = {"date_time_filter": {"updated_at": {"start_at": updated.since}}}
        order = {"sort_field": "UPDATED_AT", "sort_order": "ASC"}

        def fetch(some: list[str]) -> AsyncIterator[httpx.Response]:
            query = {"filter": since, "sort": order}
            return search("/v2/orders/search", {"location_ids": some, "query": query, "limit": 500})

        first = api.build_request("GET", "/v2/locations")
        (places,) = prefetch(pages(api, first, SinglePage()))
        yield from load(places, path="locations", table="locations")
        found = fan_out(batches(values(places, "locations", "id"), 10), fetch, at_once=4)
        rows = (page for _, page in prefetch(found))
        yield from load(rows, updated, path=OrAbsent("orders", BESIDE))

    return catalog, orders
