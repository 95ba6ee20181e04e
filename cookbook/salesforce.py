"""Salesforce objects: small ones by REST queries, big ones by jobs of Bulk API 2.0.

Loads a table for each object, all fields with the types that Salesforce gives them, incremental by
SystemModstamp. Records that were deleted or merged away are deleted, if a run comes before they
leave the recycle bin; else compare ids (deletes.md). A new field fills up as its records change.

Change: `base_url` is your My Domain, "https://example.my.salesforce.com"; the secrets are those of
an external client app with the client credentials flow. An object is big above some 10,000 records,
or if its fields fill a URL (2,000 characters are safe). An org has 100,000 requests a day or more,
and 10,000 query jobs.

https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_queryall.htm
https://developer.salesforce.com/docs/atlas.en-us.api_asynch.meta/api_asynch/queries.htm
https://developer.salesforce.com/docs/atlas.en-us.api_asynch.meta/api_asynch/query_get_job_results.htm
https://help.salesforce.com/s/articleView?id=xcloud.remoteaccess_oauth_client_credentials_flow.htm
https://help.salesforce.com/s/articleView?id=000386264 (lengths of queries)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import dlt
import httpx
import pyarrow as pa

from blocks.client import client
from blocks.connections import Connections
from blocks.dlt import cursor, load
from blocks.fetch import pages
from blocks.formats import csv
from blocks.jobs import Job, Patience, States, run
from blocks.kinds import Times
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.oauth import ClientCredentials
from blocks.paginators import NextToken, NextUrl, SinglePage
from blocks.places import Header, read
from blocks.quotas import Salesforce
from blocks.requests import path
from blocks.retries import Retry
from blocks.rules import Judged, Value
from blocks.stops import Flag, Until

TYPES: Any = {"boolean": "bool", "date": "date", "datetime": "timestamp"}
TYPES |= dict.fromkeys(["int", "long"], "bigint")
TYPES |= dict.fromkeys(["double", "currency", "percent"], "double")
# Bulk API takes none of them. Of the first two the parts are fields, too.
LEFT_OUT = {"address", "location", "base64"}
LOCATOR = Header("Sforce-Locator")


@dlt.source
def salesforce(
    base_url: str,
    small: list[str],
    big: list[str],
    start: str = "2000-01-01T00:00:00Z",
    client_id: str = dlt.secrets.value,
    client_secret: str = dlt.secrets.value,
    poll: float = 10.0,  # seconds
) -> Any:
    token = f"{base_url}/services/oauth2/token"
    too_many = Value([0, "errorCode"], "REQUEST_LIMIT_EXCEEDED", "limited")
    api = client(
        f"{base_url}/services/data/v66.0",
        auth=ClientCredentials(token, client_id, client_secret, client_auth="post"),
        limit=Rate(100_000, per=86400, burst=1000, quotas=Salesforce()),
        retry=partial(Retry, reads=lambda _: True),  # a job made twice does no harm
        transport=Judged(Connections(), sheets, too_many),
    )

    def by_rest(query: str, names: Collection[str]) -> Iterator[Any]:
        first = api.build_request("GET", "/queryAll", params={"q": query})
        batches = Until(NextUrl("nextRecordsUrl"), Flag("done", last=True))
        for page in prefetch(pages(api, first, batches)):
            yield [{name: row[name] for name in names} for row in page.json()["records"]]

    def by_bulk(query: str, names: Collection[str]) -> Iterator[Any]:
        asked = {"operation": "queryAll", "query": query}
        at, aborted = partial(path, "/jobs/query/{}"), {"state": "Aborted"}
        job = Job(
            api.build_request("POST", "/jobs/query", json=asked),
            id="id",
            poll=lambda job_id: api.build_request("GET", at(job_id)),
            status=States("state", waiting=["UploadComplete", "InProgress"], done=["JobComplete"]),
            cancel=lambda job_id: api.build_request("PATCH", at(job_id), json=aborted),
        )
        for _, done in prefetch(run(api, [job], patience=Patience(least=poll, total=4 * 3600))):
            results, most = f"{at(done.json()['id'])}/results", {"maxRecords": 50_000}
            first = api.build_request("GET", results, params=most)
            batches = Until(
                NextToken(LOCATOR, "locator"), lambda page: read(page, LOCATOR) == "null"
            )
            for page in prefetch(pages(api, first, batches)):
                if page.headers["Sforce-NumberOfRecords"] != "0":
                    yield from csv([page.content], types=dict.fromkeys(names, pa.string()))

    def table(name: str, rows: Callable[[str, Collection[str]], Iterator[Any]]) -> Any:
        gone: Any = {"IsDeleted": {"data_type": "bool", "hard_delete": True}}

        @dlt.resource(name=name, primary_key="Id", write_disposition="merge", columns=gone)
        def records() -> Iterator[Any]:
            described = api.build_request("GET", path("/sobjects/{}/describe", name))
            (page,) = prefetch(pages(api, described, SinglePage()))
            kinds = {each["name"]: each["type"] for each in page.json()["fields"]}
            names = [each for each, kind in kinds.items() if kind not in LEFT_OUT]
            hints: Any = {each: {"data_type": TYPES.get(kinds[each], "text")} for each in names}
            dlt.current.resource().apply_hints(columns=hints)
            # A transaction is seen when it ends, with the times at which its records were written.
            lookback, second = timedelta(minutes=10), Times(timedelta(seconds=1))
            changed = cursor("system_modstamp", start=start, kind=second, lookback=lookback)
            since = f"SystemModstamp >= {changed.since}"
            query = f"SELECT {', '.join(names)} FROM {name} WHERE {since}"  # noqa: S608
            yield from load(rows(query, names), changed)

        return records

    return [*(table(name, by_rest) for name in small), *(table(name, by_bulk) for name in big)]


def sheets(response: httpx.Response) -> Any:
    kind = response.headers.get("Content-Type", "")
    return "ok" if response.status_code == 200 and kind.startswith("text/csv") else None
