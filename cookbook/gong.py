"""Gong: calls with their participants, topics and trackers, by the month; and users.

Loads `calls` (`calls__parties`, `calls__content__topics` and more) and `users`. Calls are asked for
by when they began, or were to begin, a month at a time; those of the last `days` before the run
before are read again, as Gong goes on adding to a call for a while. A month without calls is a 404
at Gong that says so; other 404s are errors. Deleted calls are not told of, and stay.

Authenticates with an access key and its secret (Company settings, API; with OAuth the scopes are
api:calls:read:extensive and api:users:read). Limits are of the company, over all who use the API:
3 calls a second, and 10,000 a day; who was granted more by Gong's support sets `rate` and `daily`.

Change: the start, EXPOSED (what to know of a call); `base_url` is the one that Gong shows beside
the key, of the form https://us-12345.api.gong.io.

https://help.gong.io/apidocs/introduction-2
https://help.gong.io/apidocs/retrieve-call-data-by-date-range-v2calls-2
https://help.gong.io/apidocs/retrieve-detailed-call-data-by-various-filters-v2callsextensive-2
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import dlt
import httpx

from blocks.auth import Basic
from blocks.client import client
from blocks.connections import Connections
from blocks.dlt import intervals, load
from blocks.fetch import pages
from blocks.intervals import Interval
from blocks.kinds import Times
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.paginators import NextToken
from blocks.places import JsonBody
from blocks.pools import Limits
from blocks.retries import Retry
from blocks.rules import Judged, Text
from blocks.windows import windows

EXPOSED = {"parties": True, "content": {"topics": True, "trackers": True}}


@dlt.source
def gong(
    start: str = "2024-01-01T00:00:00Z",
    days: int = 7,
    rate: float = 3,
    daily: int = 10_000,
    base_url: str = "https://api.gong.io",
    access_key: str = dlt.secrets.value,
    access_key_secret: str = dlt.secrets.value,
) -> Any:
    # With its burst, no day has more than `daily`.
    limit = Limits(Rate(rate), Rate(0.9 * daily, per=86400, burst=daily // 10))
    api = client(
        base_url,
        auth=Basic(access_key, access_key_secret),
        limit=limit,
        retry=partial(Retry, reads=lambda _: True),  # its POSTs only read
        transport=Judged(Connections(), Text("No calls found", "skip"), empty=b'{"calls": []}'),
    )

    def fetch(window: Interval) -> AsyncIterator[httpx.Response]:
        bounds = {"fromDateTime": window.since, "toDateTime": window.until}
        body = {"filter": bounds, "contentSelector": {"exposedFields": EXPOSED}}
        first = api.build_request("POST", "/v2/calls/extensive", json=body)
        return pages(api, first, NextToken("records.cursor", JsonBody("cursor")))

    @dlt.resource(primary_key="meta_data__id", write_disposition="merge")
    def calls() -> Iterator[Any]:
        again, second = timedelta(days=days), Times(timedelta(seconds=1))
        done = intervals("calls", start=start, kind=second, lookback=again)
        for window, found in prefetch(windows(fetch, done.todo("month"), strict=True), ahead=1):
            yield from load(found, path="calls")
            done.add(window)

    @dlt.resource(primary_key="id", write_disposition="merge")
    def users() -> Iterator[Any]:
        first = api.build_request("GET", "/v2/users")
        yield from load(
            prefetch(pages(api, first, NextToken("records.cursor", "cursor"))), path="users"
        )

    return calls, users
