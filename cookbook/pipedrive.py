"""Pipedrive deals with the names of their custom fields, archived and deleted ones included.

Loads `deals` and `deal_fields`. Custom fields, whose keys are hashes, get the names that people
gave them: `custom_fields__deal_size` (and the key as well, where two share a name). A field that is
renamed becomes a new column. Choices are numbers; `deal_fields__options` has their labels.

Deals that were deleted are told for 30 days, and are deleted: run more often than that. Archived
ones are a list of their own, in the same table, with `is_archived`.

Authenticates with a personal API token in x-api-token, of a user who sees all deals. Each may ask
20 times in 2 seconds (Lite; more in other plans), and a company has a budget of tokens a day, by
plan and seats, of which each request takes some. One that is used up fails the run.

Change: the start; `burst`, to the requests that your plan allows in 2 seconds; the same way
/persons, /organizations, /products with their fields.

https://developers.pipedrive.com/docs/api/v1/Deals#getDeals
https://developers.pipedrive.com/docs/api/v1/DealFields
https://pipedrive.readme.io/docs/core-api-concepts-rate-limiting
https://pipedrive.readme.io/docs/pipedrive-api-v2-migration-guide
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import dlt
import httpx

from blocks.auth import HeaderKey
from blocks.client import client
from blocks.dlt import cursor, load
from blocks.fetch import pages
from blocks.fields import distinct, rename
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.paginators import NextToken
from blocks.places import values
from blocks.quotas import XRateLimit

LISTS = {"/deals": "open,won,lost,deleted", "/deals/archived": "open,won,lost"}


@dlt.source
def pipedrive(
    start: str = "2010-01-01T00:00:00Z",
    burst: int = 20,
    base_url: str = "https://api.pipedrive.com",
    token: str = dlt.secrets.value,
) -> Any:
    api = client(
        f"{base_url}/api/v2",
        auth=HeaderKey(token, name="x-api-token"),
        limit=Rate(burst - 2, per=2, burst=2, quotas=XRateLimit("seconds")),
    )

    def listing(path: str, **params: str) -> Iterator[httpx.Response]:
        first = api.build_request("GET", path, params={"limit": "500", **params})
        return prefetch(pages(api, first, NextToken("additional_data.next_cursor", "cursor")))

    @cache
    def fields() -> list[dict[str, Any]]:
        return [row for page in listing("/dealFields") for row in values(page, "data", "")]

    @dlt.resource(primary_key="field_code", write_disposition="replace")
    def deal_fields() -> Iterator[Any]:
        yield from load([fields()])

    @dlt.resource(
        primary_key="id",
        write_disposition="merge",
        columns={"is_deleted": {"data_type": "bool", "hard_delete": True}},
    )
    def deals() -> Iterator[Any]:
        updated = cursor("update_time", start=start, lookback=timedelta(minutes=5))
        updated.stale(timedelta(days=30), datetime.now(UTC))  # a warning: deletions may be missed
        names = distinct(
            {each["field_code"]: each["field_name"] for each in fields() if each["is_custom_field"]}
        )
        for path, status in LISTS.items():
            found = listing(path, status=status, updated_since=updated.since)
            yield from load((named(page, names) for page in found), updated)

    return deal_fields, deals


def named(page: httpx.Response, names: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {**deal, "custom_fields": rename(deal["custom_fields"], names)}
        for deal in values(page, "data", "")
    ]
