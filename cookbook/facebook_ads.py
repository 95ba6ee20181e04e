"""Facebook (Meta) ads: what each ad did on each day, by asynchronous Insights reports.

Loads `insights` with `insights__actions`. Days are those of the ad account's time zone, and change
as conversions are attributed: the last 28 are read again each time, and their rows replaced. A
report is made for a week; one that fails or is too much is halved, down to a day.

Change: FIELDS, `zone` (the account's), the start: 37 months ago at most. `account` is the number
behind "act_"; the token is a system user's with ads_read. An app with limited access has 60 calls
an hour for each account, and 400 for each active ad in it; give `calls` 190,000 with full access. A
limit is a 400 with a code, and a header says how many minutes it will last.

https://developers.facebook.com/docs/marketing-api/insights/best-practices/
https://developers.facebook.com/documentation/ads-commerce/marketing-api/insights/error-codes
https://developers.facebook.com/docs/graph-api/overview/rate-limiting
https://developers.facebook.com/docs/graph-api/using-graph-api/error-handling/
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import dlt
import httpx

from blocks.auth import Bearer
from blocks.client import client
from blocks.connections import Connections
from blocks.dlt import intervals, load
from blocks.errors import JobError, StatusError
from blocks.fetch import pages
from blocks.intervals import Interval
from blocks.jobs import Job, Patience, States, run
from blocks.kinds import Dates
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.outcomes import Verdict
from blocks.paginators import NextToken
from blocks.places import read
from blocks.requests import path
from blocks.retries import Retry
from blocks.rules import Judged, Value
from blocks.stops import Until
from blocks.windows import narrow, windows

FIELDS = ["account_id", "campaign_id", "adset_id", "ad_id", "ad_name"]
FIELDS += ["impressions", "clicks", "spend", "actions"]
TYPES: dict[str, Any] = {"date_start": "date", "date_stop": "date", "spend": "decimal"}
TYPES |= {"impressions": "bigint", "clicks": "bigint"}
WAITING = ["Job Not Started", "Job Started", "Job Running"]


@dlt.source
def facebook_ads(
    account: str,
    zone: str = "UTC",
    start: str = "2024-01-01",
    base_url: str = "https://graph.facebook.com/v25.0",
    token: str = dlt.secrets.value,
    calls: int = 400,  # an hour
    poll: float = 5.0,  # seconds
) -> Any:
    expired, moment = Value("error.code", 190, "reauth"), Value("error.code", 2, "retry")
    api = client(
        base_url,
        auth=Bearer(token),
        limit=Rate(calls, per=3600, burst=60),
        retry=partial(Retry, total=3900, reads=lambda _: True),  # a report made twice does no harm
        transport=Judged(Connections(), throttled, expired, moment),
    )

    async def fetch(week: Interval) -> AsyncIterator[httpx.Response]:
        bounds = json.dumps({"since": week.since, "until": week.through})
        asked = {"level": "ad", "time_increment": "1", "time_range": bounds}
        insights = path("/act_{}/insights", account)
        job = Job(
            api.build_request("POST", insights, data={**asked, "fields": ",".join(FIELDS)}),
            id="report_run_id",
            poll=lambda report: api.build_request("GET", path("/{}", report)),
            status=States("async_status", waiting=WAITING, done=["Job Completed"]),
        )
        ((_, done),) = [each async for each in run(api, [job], patience=Patience(least=poll))]
        rows = path("/{}/insights", read(done, "id"))
        first = api.build_request("GET", rows, params={"limit": 500})
        # Not by the next link itself, which the last page lacks: the token may be in it.
        following = NextToken("paging.cursors.after", "after")
        after = Until(following, lambda page: read(page, "paging.next") is None)
        async for page in pages(api, first, after):
            yield page

    @dlt.resource(
        primary_key=["account_id", "date_start", "ad_id"],
        merge_key=["account_id", "date_start"],
        write_disposition="merge",
        columns={name: {"data_type": kind} for name, kind in TYPES.items()},
    )
    def insights() -> Iterator[Any]:
        month, day = timedelta(days=28), timedelta(days=1)
        done = intervals(account, start=start, kind=Dates(zone=zone), lookback=month)
        had = windows(fetch, done.todo("week"), least=day, narrow=too_much, strict=True)
        for week, found in prefetch(had, ahead=1):
            yield from load(found, path="data")
            done.add(week)

    return insights


def throttled(response: httpx.Response) -> Verdict | None:
    codes = (4, 17, 32, 613, 80000, 80003, 80004)
    if not any(Value("error.code", code, "limited")(response) for code in codes):
        return None
    usage = json.loads(response.headers.get("X-Business-Use-Case-Usage", "{}"))
    lasts = [each["estimated_time_to_regain_access"] for uses in usage.values() for each in uses]
    return Verdict("limited", wait=60 * max(lasts, default=0) or None)


def too_much(error: Exception) -> bool:
    if isinstance(error, StatusError) and Value("error.error_subcode", 1487534)(error.response):
        return True
    return isinstance(error, JobError) or narrow(error)
