"""Google Analytics 4: a report by day, from runReport, day after day as they are complete.

Loads `report`: a row for each day and combination of DIMENSIONS, with METRICS by their types. Days
are those of the property's time zone. Analytics may change a day for 48 hours, so the last three
days are read again each time, and their rows replaced, also by fewer.

Change: DIMENSIONS and METRICS (a new set belongs into a new table), `zone`, the start. The service
account, whose key file has `client_email` and `private_key`, needs to be a Viewer of the property.
A standard property has 14,000 tokens an hour for each project, a request mostly takes fewer than
10, and 10 requests at once; a run reads 26 weeks at most, older ones first. Without tokens it waits
for five minutes, then fails, and nothing of it is kept.

https://developers.google.com/analytics/devguides/reporting/data/v1/rest/v1beta/properties/runReport
https://developers.google.com/analytics/devguides/reporting/data/v1/rest/v1beta/RunReportResponse
https://developers.google.com/analytics/devguides/reporting/data/v1/rest/v1beta/PropertyQuota
https://support.google.com/analytics/answer/11198161 (freshness)
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
from blocks.dlt import intervals, load
from blocks.fetch import pages
from blocks.intervals import Interval
from blocks.json import OrAbsent
from blocks.kinds import Dates
from blocks.network import prefetch
from blocks.places import JsonBody, put, records, sent, whole
from blocks.requests import path
from blocks.retries import Retry
from blocks.slots import InFlight
from blocks.windows import windows

DIMENSIONS = ["date", "sessionSource", "sessionMedium", "deviceCategory"]
METRICS = ["sessions", "totalUsers", "engagementRate", "totalRevenue"]
# Of no rows the list and their count are left out.
ROWS = OrAbsent("rows", ["dimensionHeaders", "metricHeaders", "metadata", "kind"])
SCOPE = "https://www.googleapis.com/auth/analytics.readonly"


@dlt.source
def google_analytics(
    property_id: str,
    zone: str = "UTC",
    start: str = "2024-01-01",
    base_url: str = "https://analyticsdata.googleapis.com",
    token_url: str = "https://oauth2.googleapis.com/token",
    client_email: str = dlt.secrets.value,
    private_key: str = dlt.secrets.value,
) -> Any:
    claims = {"iss": client_email, "scope": SCOPE}
    api = client(
        base_url,
        auth=JwtBearer(token_url, JwtKey(private_key), claims=claims),
        limit=InFlight(10),
        retry=partial(Retry, reads=lambda _: True),  # its POSTs only read
    )

    def fetch(week: Interval) -> AsyncIterator[httpx.Response]:
        body = {
            "dateRanges": [{"startDate": week.since, "endDate": week.through}],
            "dimensions": [{"name": name} for name in DIMENSIONS],
            "metrics": [{"name": name} for name in METRICS],
            "orderBys": [{"dimension": {"dimensionName": name}} for name in DIMENSIONS],
            "limit": 100_000,
        }
        report = path("/v1beta/properties/{}:runReport", property_id)
        return pages(api, api.build_request("POST", report, json=body), following)

    @dlt.resource(
        primary_key=["property_id", *DIMENSIONS],
        merge_key=["property_id", "date"],
        write_disposition="merge",
        columns={"date": {"data_type": "date"}},
    )
    def report() -> Iterator[Any]:
        three = timedelta(days=3)
        done = intervals(property_id, start=start, kind=Dates(zone=zone), lookback=three)
        for week, found in prefetch(windows(fetch, done.todo("week")[:26], strict=True), ahead=1):
            yield from load((table(page), {"property_id": property_id}) for page in found)
            done.add(week)

    return report


def following(page: httpx.Response) -> httpx.Request | None:
    rows = records(page, ROWS)[0]
    end = sent(page.request, JsonBody("offset"), 0) + rows
    more = rows and end < whole(page, "rowCount")
    return put(page.request, JsonBody("offset"), end) if more else None


def table(page: httpx.Response) -> list[dict[str, Any]]:
    report = page.json()
    headers: list[tuple[str, Any]] = [(each["name"], str) for each in report["dimensionHeaders"]]
    for each in report["metricHeaders"]:
        headers += [(each["name"], int if each["type"] == "TYPE_INTEGER" else float)]
    rows = [row["dimensionValues"] + row["metricValues"] for row in report.get("rows", [])]
    return [
        {name: kind(each["value"]) for (name, kind), each in zip(headers, row, strict=True)}
        for row in rows
    ]
