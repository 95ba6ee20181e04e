"""Chargebee customers, subscriptions and invoices: incremental by updated_at, deletions included.

Loads `customers`, `subscriptions` and `invoices`, each with its lists (`invoices__line_items`).
Records that were deleted come with `deleted: true`, and are deleted. Amounts are in the smallest
unit of their currency, times are seconds since 1970; custom fields have names that begin with cf_.

Authenticates with an API key, a read-only one will do, as the user of Basic auth without password.
Allowed are 150 requests a minute for test sites and small plans, up to 3,500 for others; one that
is too much may have no Retry-After, and the limit is free again after about a minute.

The first run has no filter, as records that nobody touched since 2016 have no updated_at.

Change: `base_url` is your site, "https://example.chargebee.com"; `per_minute`, by plan; ENTITIES:
credit_notes, transactions, items... are the same, events and usages are not.

https://apidocs.chargebee.com/docs/api/list-ops
https://apidocs.chargebee.com/docs/api/customers/list-customers
https://apidocs.chargebee.com/docs/api/error-handling
https://support.chargebee.com/support/solutions/articles/250853-js-api-rate-limit-chargebee
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dlt
import httpx

from blocks.auth import Basic
from blocks.client import client
from blocks.connections import Connections
from blocks.dlt import cursor, load
from blocks.errors import BodyError
from blocks.fetch import pages
from blocks.kinds import Epoch
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.paginators import NextToken
from blocks.places import values
from blocks.rules import Judged, Status

# Those without Retry-After: about when the limit is free again.
BUSY = Status(429, "limited", wait=60)
ENTITIES = {"customers": "customer", "subscriptions": "subscription", "invoices": "invoice"}
HINTS: Any = {
    "deleted": {"data_type": "bool", "hard_delete": True},
    # Of a record that changes while it is read there are two versions.
    "resource_version": {"data_type": "bigint", "dedup_sort": "desc"},
}


@dlt.source
def chargebee(
    base_url: str,
    per_minute: int = 150,
    api_key: str = dlt.secrets.value,
) -> Any:
    api = client(
        f"{base_url}/api/v2",
        auth=Basic(api_key, ""),
        limit=Rate(per_minute - 10, per=60, burst=10),
        transport=Judged(Connections(), BUSY),
    )

    def table(name: str, entity: str) -> Any:
        @dlt.resource(name=name, primary_key="id", write_disposition="merge", columns=HINTS)
        def listed() -> Iterator[Any]:
            again = timedelta(minutes=2)
            updated = cursor("updated_at", start=0, kind=Epoch("s"), lookback=again)
            query = {"limit": "100", "include_deleted": "true"}
            if updated.mark is not None:
                query |= {"updated_at[after]": str(updated.after), "sort_by[asc]": "updated_at"}
            first = api.build_request("GET", f"/{name}", params=query)
            found = prefetch(pages(api, first, NextToken("next_offset", "offset")))
            yield from load((unwrapped(page, entity) for page in found), updated)

        return listed

    return [table(name, entity) for name, entity in ENTITIES.items()]


def unwrapped(page: httpx.Response, entity: str) -> list[Any]:
    """The records of a page: each is in an object of its own, beside others such as its card."""
    rows = values(page, "list", entity)
    if None in rows:
        raise BodyError(f"expected {entity!r} in each element of the list", page)
    return rows
