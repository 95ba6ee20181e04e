"""Zoom: cloud recordings of an account and its daily usage, month by month.

Loads `recordings` (meetings, with `recordings__recording_files`) and `usage`, a row for each day.
Months are fetched side by side; one that fails is logged and asked for again by the next run, so
call `blocks.dlt.raise_on_gaps(pipeline)` after each. The last three days are read again, for what
comes late. Recordings moved to the trash stay.

A token for a next page is good for 15 minutes: the pages of a month are taken one right after the
other, and a month that takes longer is read in halves.

Authenticates as a server-to-server OAuth app, with scopes for recordings and reports of the account
(paid plans). Limits are by label, here those of Pro: 20 calls a second for recordings (medium), 10
a second and 30,000 a day for reports (heavy).

Change: `start`; the rates, for a Business plan.

https://developers.zoom.us/docs/rooms/s2s-oauth/
https://developers.zoom.us/docs/api/rate-limits/
https://developers.zoom.us/docs/api/errors/
https://marketplace.zoom.us/docs/api-reference/zoom-api/cloud-recording/getaccountcloudrecording
https://marketplace.zoom.us/docs/api-reference/zoom-api/reports/reportdaily
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any

import dlt
import httpx

from blocks import windows
from blocks.client import client
from blocks.dlt import intervals, load
from blocks.errors import StatusError
from blocks.fetch import pages
from blocks.grants import Grant
from blocks.intervals import Interval
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.paginators import NextToken, SinglePage
from blocks.pools import Limits, Pools


def narrow(error: Exception) -> bool:
    """Whether half of a month may go through: also where the token for a next page has expired."""
    if isinstance(error, StatusError) and error.response.status_code == 400:
        return b"next page token" in error.response.content
    return windows.narrow(error)


@dlt.source
def zoom(
    account_id: str,
    start: str = "2024-01-01",
    client_id: str = dlt.secrets.value,
    client_secret: str = dlt.secrets.value,
    base_url: str = "https://api.zoom.us/v2",
    token_url: str = "https://zoom.us/oauth/token",
) -> Any:
    form = {"grant_type": "account_credentials", "account_id": account_id}
    heavy = Limits(Rate(10), Rate(30_000, per=86_400, burst=1000))
    api = client(
        base_url,
        auth=Grant(token_url, form, client_id=client_id, client_secret=client_secret),
        limit=Pools({"GET */report/*": heavy}, default=Rate(20, burst=5)),
    )

    def monthly(
        name: str, fetch: Callable[[Interval], AsyncIterator[httpx.Response]], path: str
    ) -> Iterator[Any]:
        done = intervals(name, start=start, lookback=timedelta(days=3))
        found = windows.windows(fetch, done.todo("month"), narrow=narrow)
        for month, whole in prefetch(found, ahead=1):
            yield from load(whole, path=path)
            done.add(month)

    @dlt.resource(primary_key="uuid", write_disposition="merge")
    def recordings() -> Iterator[Any]:
        def fetch(month: Interval) -> AsyncIterator[httpx.Response]:
            params = {"from": month.since, "to": month.through, "page_size": 300}
            first = api.build_request("GET", "/accounts/me/recordings", params=params)
            return pages(api, first, NextToken("next_page_token", "next_page_token"))

        yield from monthly("recordings", fetch, "meetings")

    @dlt.resource(
        primary_key="date", write_disposition="merge", columns={"date": {"data_type": "date"}}
    )
    def usage() -> Iterator[Any]:
        def fetch(month: Interval) -> AsyncIterator[httpx.Response]:
            params = {"year": month.start.year, "month": month.start.month}
            first = api.build_request("GET", "/report/daily", params=params)
            return pages(api, first, SinglePage())

        yield from monthly("usage", fetch, "dates")

    return recordings, usage
