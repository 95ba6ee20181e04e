"""Klaviyo profiles, events and metrics: JSON:API next links, limits by tiers of endpoints.

Loads `profiles` (by the time of change), `events` (by the time they happened, the last day again
for those that are tracked late) and `metrics`, which events refer to. What a shop has made up, the
`properties` of profiles and `event_properties`, stays JSON, or each would be a column. Profiles
that are deleted are not told of. Authenticates with a private key (scopes profiles:read,
events:read, metrics:read).

Each endpoint has a tier, with so many calls in a second (burst) and in a minute (steady) for the
whole account: events are XL, profiles L, metrics M. Change: the start of events, the revision, the
pools of endpoints that you add; with predictive_analytics in `additional-fields[profile]` profiles
are M.

https://developers.klaviyo.com/en/docs/rate_limits_and_error_handling
https://developers.klaviyo.com/en/reference/api_overview
https://developers.klaviyo.com/en/reference/get_profiles
https://developers.klaviyo.com/en/reference/get_events
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dlt

from blocks.auth import HeaderKey
from blocks.client import client
from blocks.dlt import cursor, load
from blocks.fetch import pages
from blocks.kinds import Times
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.paginators import NextUrl
from blocks.pools import Limits, Pools
from blocks.quotas import RateLimit

SECONDS = Times(timedelta(seconds=1))


def tier(burst: int, steady: int) -> Limits:
    # Any minute holds `steady` calls, of which `burst` may come in its first second.
    minutes = Rate(steady - burst, per=60, burst=burst, quotas=RateLimit())
    return Limits(minutes, Rate(burst))


@dlt.source
def klaviyo(
    start: str = "2024-01-01T00:00:00Z",
    base_url: str = "https://a.klaviyo.com",
    revision: str = "2026-04-15",
    key: str = dlt.secrets.value,
) -> Any:
    api = client(
        base_url,
        auth=HeaderKey(f"Klaviyo-API-Key {key}", name="Authorization"),
        headers={"revision": revision, "accept": "application/vnd.api+json"},
        limit=Pools(
            {"GET /api/events*": tier(350, 3500), "GET /api/profiles*": tier(75, 700)},
            default=tier(10, 150),
        ),
    )

    def found(path: str, **params: str) -> Iterator[Any]:
        first = api.build_request("GET", path, params=params)
        return prefetch(pages(api, first, NextUrl("links.next")))

    @dlt.resource(
        primary_key="id",
        write_disposition="merge",
        columns={"attributes__properties": {"data_type": "json"}},
    )
    def profiles() -> Iterator[Any]:
        # In the first run all of them, as one may not have changed for years.
        updated = cursor("attributes__updated", start="2012-01-01T00:00:00Z", kind=SECONDS)
        params = {"filter": f"greater-than(updated,{updated.after})", "page[size]": "100"}
        yield from load(found("/api/profiles", sort="updated", **params), updated, path="data")

    @dlt.resource(
        primary_key="id",
        write_disposition="merge",
        columns={"attributes__event_properties": {"data_type": "json"}},
    )
    def events() -> Iterator[Any]:
        day = timedelta(days=1)
        seen = cursor("attributes__datetime", start=start, kind=SECONDS, lookback=day)
        since = f"greater-or-equal(datetime,{seen.since})"
        yield from load(found("/api/events", sort="datetime", filter=since), seen, path="data")

    @dlt.resource(primary_key="id", write_disposition="merge")
    def metrics() -> Iterator[Any]:
        yield from load(found("/api/metrics"), path="data")

    return profiles, events, metrics
