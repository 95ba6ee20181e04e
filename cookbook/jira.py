"""Jira Cloud issues by JQL, incremental by the minute, custom fields under their names.

Loads `issues`, a column for each field, and lists in tables of their own (`issues__labels`);
`description` and `environment` stay documents (ADF). A custom field is named as in Jira, with its
id added where others share the name. Comments and worklogs are left out: a search has 20 of each.

Authenticates with the email address and an API token of an account, and sees what it sees. JQL
reads times on the clock of that account, whose zone is asked for, and knows no seconds. The index
behind a search follows some moments late, hence the lookback. Jira refuses bursts, by endpoint,
with 429 and Retry-After.

Change: `base_url` is your site, "https://example.atlassian.net"; `jql` narrows the search, as in
"project in (APP, WEB)". Deleted issues are listed nowhere, and stay: compare ids (deletes.md).

https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issue-search/
https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issue-fields/
https://developer.atlassian.com/cloud/jira/software/basic-auth-for-rest-apis/
https://developer.atlassian.com/cloud/jira/platform/rate-limiting/
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import dlt

from blocks.auth import Basic
from blocks.client import client
from blocks.dlt import cursor, load
from blocks.fetch import pages
from blocks.fields import distinct, rename
from blocks.kinds import Pattern
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.paginators import NextToken, SinglePage
from blocks.places import values


@dlt.source
def jira(
    base_url: str,
    jql: str = "",
    start: str = "2024-01-01T00:00:00Z",
    email: str = dlt.secrets.value,
    token: str = dlt.secrets.value,
) -> Any:
    api = client(f"{base_url}/rest/api/3", auth=Basic(email, token), limit=Rate(10, burst=10))

    def ask(path: str) -> Any:
        (page,) = prefetch(pages(api, api.build_request("GET", path), SinglePage()))
        return page.json()

    @dlt.resource(
        primary_key="id",
        write_disposition="merge",
        max_table_nesting=1,
        columns={
            "updated": {"data_type": "timestamp", "dedup_sort": "desc"},
            "description": {"data_type": "json"},
            "environment": {"data_type": "json"},
        },
    )
    def issues() -> Iterator[Any]:
        updated = cursor("updated", start=start, lookback=timedelta(minutes=10), missing="raise")
        # Issues have times with an offset, JQL has none: the cursor's kind is not the query's.
        minutes = Pattern("%Y-%m-%d %H:%M", zone=ask("/myself")["timeZone"])
        since = minutes.write(minutes.floor(datetime.fromisoformat(updated.since)))
        fields = ask("/field")
        taken = ["id", "key", "self", "expand", *(f["id"] for f in fields if not f["custom"])]
        names = distinct({f["id"]: f["name"] for f in fields if f["custom"]}, taken)
        where = f'updated >= "{since}" ORDER BY updated ASC'
        asked = {"fields": "*all,-comment,-worklog", "maxResults": "100"}
        params = {"jql": f"({jql}) AND {where}" if jql else where, **asked}
        first = api.build_request("GET", "/search/jql", params=params)
        found = prefetch(pages(api, first, NextToken("nextPageToken", "nextPageToken")))
        rows = (
            [row | rename(row.pop("fields"), names) for row in values(page, "issues", "")]
            for page in found
        )
        yield from load(rows, updated)

    return issues
