"""Shopify products, by the Admin GraphQL API: by cost, variants completed, ids compared.

Loads `products` and their variants; products that are deleted go, found by comparing all ids, as
this API lists no deleted ones. Authenticates with an app's access token in X-Shopify-Access-Token
(scope read_products).

A query costs points, at most 1,000; each app has a bucket of them for each shop, into which come
100 a second (200 with Advanced, 1,000 with Plus). Each answer says what is left, so that a query is
sent when there is enough for it; one that came too early is answered THROTTLED, with status 200.

Change: the shop, the start, the fields of PRODUCTS and REST. For all of a large shop at once there
are bulk operations (`blocks.jobs`).

https://shopify.dev/docs/api/usage/limits
https://shopify.dev/docs/apps/build/apis/graphql-admin/rate-limits
https://shopify.dev/docs/api/admin-graphql/latest/queries/products
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import dlt
import httpx

from blocks.auth import HeaderKey
from blocks.client import client
from blocks.connections import Connections
from blocks.deletes import Keys, flag, vanished
from blocks.dlt import cursor, known, load
from blocks.fetch import pages
from blocks.graphql import Errors, Relay, query, reads
from blocks.limits import Rate
from blocks.nested import complete, more
from blocks.network import prefetch
from blocks.places import values
from blocks.quotas import ShopifyCost
from blocks.retries import Retry
from blocks.rules import Judged

NODES = "data.products.nodes"
VARIANTS = "nodes { id sku price updatedAt } pageInfo { hasNextPage endCursor }"
PRODUCTS = f"""query($since: String, $after: String) {{
  products(first: 25, after: $after, sortKey: UPDATED_AT, query: $since) {{
    nodes {{
      id title handle status vendor tags createdAt updatedAt variants(first: 25) {{ {VARIANTS} }}
    }}
    pageInfo {{ hasNextPage endCursor }}
  }}
}}"""
REST = f"""query($id: ID!, $after: String) {{
  product(id: $id) {{ variants(first: 250, after: $after) {{ {VARIANTS} }} }}
}}"""
IDS = """query($after: String) {
  products(first: 250, after: $after) { nodes { id } pageInfo { hasNextPage endCursor } }
}"""


@dlt.source
def shopify_graphql(
    base_url: str,
    start: str = "2006-01-01T00:00:00Z",
    version: str = "2026-07",
    token: str = dlt.secrets.value,
) -> Any:
    path = f"/admin/api/{version}/graphql.json"
    api = client(
        base_url,
        auth=HeaderKey(token, name="X-Shopify-Access-Token"),
        limit=Rate(10, burst=10, quotas=ShopifyCost()),
        retry=partial(Retry, reads=reads),
        transport=Judged(Connections(), Errors()),
    )

    def rest(product: dict[str, Any]) -> httpx.Request | None:
        after = more(product["variants"])
        return query(api, path, REST, {"id": product["id"], "after": after}) if after else None

    async def whole(since: str) -> AsyncIterator[list[dict[str, Any]]]:
        first = query(api, path, PRODUCTS, {"since": f"updated_at:>='{since}'"})
        variants, nodes = Relay("data.product.variants"), "data.product.variants.nodes"
        async for page in pages(api, first, Relay("data.products")):
            found = values(page, NODES, "")
            await complete(api, found, rest, variants, nested="variants.nodes", source=nodes)
            yield found

    @dlt.resource(primary_key="id", write_disposition="merge", columns=flag())
    def products() -> Iterator[Any]:
        updated = cursor("updated_at", start=start)
        yield from load(prefetch(whole(updated.since)), updated)
        listed = Keys("id")
        for page in prefetch(pages(api, query(api, path, IDS), Relay("data.products"))):
            listed.add(values(page, NODES, "id"))
        yield from load([(vanished(known("id"), listed.table), {"deleted": True})])

    return products
