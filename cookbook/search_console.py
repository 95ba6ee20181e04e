"""Search Console: clicks and impressions by day, page, query, country and device.

Loads `search_analytics`, of final data. Days are those of Pacific time, and final after two or
three: so the last is the one three days ago, and the two before it are read again, as some take
longer. A day's rows replace those that were there.

Change: DIMENSIONS, `search_type`, the start. `site` is the property as Search Console writes it,
"https://www.example.com/" or "sc-domain:example.com"; the service account, whose key file has
`client_email` and `private_key`, is to be a user of it. The API shows the top 50,000 rows of a day
and type. It answers 1,200 requests a minute, and fewer where they cost it much (page with query):
after five minutes of "quota exceeded" a run fails, to be begun again 15 minutes later.

https://developers.google.com/webmaster-tools/v1/searchanalytics/query
https://developers.google.com/webmaster-tools/v1/how-tos/all-your-data
https://developers.google.com/webmaster-tools/limits
https://developers.google.com/identity/protocols/oauth2/service-account
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import dlt
import httpx

from blocks.assertions import JwtBearer, JwtKey
from blocks.client import client
from blocks.connections import Connections
from blocks.dlt import intervals, load
from blocks.fetch import pages
from blocks.intervals import Interval
from blocks.json import OrAbsent, loads
from blocks.kinds import Dates
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.paginators import Offset
from blocks.places import JsonBody, records
from blocks.requests import path
from blocks.retries import Retry
from blocks.rules import Judged, Value
from blocks.windows import windows

DIMENSIONS = ["date", "page", "query", "country", "device"]
SCOPE = "https://www.googleapis.com/auth/webmasters.readonly"
KEY = ["site", "search_type", "date"]
# Left out where there are none: after the last.
ROWS = OrAbsent("rows", ["responseAggregationType", "metadata"])
FOLLOWING = Offset(
    25_000, offset_param=JsonBody("startRow"), limit_param=JsonBody("rowLimit"), records=ROWS
)


@dlt.source
def search_console(
    site: str,
    search_type: str = "web",
    start: str = "2024-01-01",
    base_url: str = "https://www.googleapis.com",
    token_url: str = "https://oauth2.googleapis.com/token",
    client_email: str = dlt.secrets.value,
    private_key: str = dlt.secrets.value,
) -> Any:
    reason: Any = ["error", "errors", 0, "reason"]
    claims = {"iss": client_email, "scope": SCOPE}
    api = client(
        base_url,
        auth=JwtBearer(token_url, JwtKey(private_key), claims=claims),
        limit=Rate(1200, per=60, burst=20),
        retry=partial(Retry, reads=lambda _: True),  # its POSTs only read
        transport=Judged(Connections(), Value(reason, "quotaExceeded", "limited")),
    )

    def fetch(day: Interval) -> AsyncIterator[httpx.Response]:
        body = {
            "startDate": day.since,
            "endDate": day.through,
            "dimensions": DIMENSIONS,
            "type": search_type,
            "dataState": "final",
            "rowLimit": 25_000,
        }
        query = path("/webmasters/v3/sites/{}/searchAnalytics/query", site)
        return pages(api, api.build_request("POST", query, json=body), FOLLOWING)

    @dlt.resource(
        primary_key=KEY + DIMENSIONS[1:],
        merge_key=KEY,
        write_disposition="merge",
        columns={"date": {"data_type": "date"}},
    )
    def search_analytics() -> Iterator[Any]:
        pacific, two = Dates(zone="America/Los_Angeles"), timedelta(days=2)
        of = {"site": site, "search_type": search_type}
        done = intervals(str(of), start=start, kind=pacific, lag=two, lookback=two)
        for day, found in prefetch(windows(fetch, done.todo("day"), strict=True)):
            yield from load((table(page), of) for page in found)
            done.add(day)

    return search_analytics


def table(page: httpx.Response) -> list[dict[str, Any]]:
    answer = page.json()
    by = {"aggregation_type": answer["responseAggregationType"]}
    return [
        dict(zip(DIMENSIONS, row.pop("keys"), strict=True)) | row | by
        for row in loads(records(page, ROWS)[1])
    ]
