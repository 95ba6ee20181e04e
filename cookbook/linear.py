"""Linear issues by GraphQL: filtered by change, labels completed, paced by complexity.

Loads `issues` with `issues__labels`; archived ones stay, those in the trash are deleted. `key` is a
personal API key: `sources.linear.key`. For a token of OAuth take `Bearer(key)` as auth.

Limits: 2,500 requests (5,000 with OAuth) and 3,000,000 points of complexity (2,000,000) an hour,
which come back all the time; what is left is read from the answers. One query may cost 10,000
points: 0.1 for a property, 1 for an object, times the size of the lists around it, about 2,300 for
the page below. Change: `start`, what is asked for, and with it the sizes.

https://linear.app/developers/graphql
https://linear.app/developers/filtering
https://linear.app/developers/rate-limiting
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

import dlt
import httpx

from blocks.auth import HeaderKey
from blocks.client import client
from blocks.connections import Connections
from blocks.dlt import cursor, load
from blocks.fetch import pages
from blocks.graphql import Errors, Relay, query, reads
from blocks.limits import Rate
from blocks.nested import complete, more
from blocks.network import prefetch
from blocks.places import values
from blocks.quotas import Quota, XRateLimit
from blocks.retries import Retry
from blocks.rules import Judged

LABELS = "nodes { id name } pageInfo { hasNextPage endCursor }"
CHANGED = f"""query($since: DateTimeOrDuration!, $after: String) {{
  issues(
    first: 100, after: $after, orderBy: updatedAt, includeArchived: true
    filter: {{updatedAt: {{gte: $since}}}}
  ) {{
    nodes {{
      id identifier title description priority estimate dueDate url trashed
      createdAt updatedAt startedAt completedAt canceledAt archivedAt
      state {{ id name type }} team {{ id key }} project {{ id name }} cycle {{ id number }}
      assignee {{ id name }} creator {{ id name }} parent {{ id }} labels(first: 10) {{ {LABELS} }}
    }}
    pageInfo {{ hasNextPage endCursor }}
  }}
}}"""
REST = f"""query($id: String!, $after: String) {{
  issue(id: $id) {{ labels(first: 100, after: $after) {{ {LABELS} }} }}
}}"""


@dlt.source
def linear(
    start: str = "2020-01-01T00:00:00Z",
    base_url: str = "https://api.linear.app",
    key: str = dlt.secrets.value,
) -> Any:
    auth, again = HeaderKey(key, name="Authorization"), partial(Retry, reads=reads)
    rate, judged = Rate(2500, per=3600, burst=100, quotas=left), Judged(Connections(), Errors())
    api = client(base_url, auth=auth, limit=rate, retry=again, transport=judged)

    def following(issue: dict[str, Any]) -> httpx.Request | None:
        after = more(issue.get("labels"))
        return query(api, "/graphql", REST, {"id": issue["id"], "after": after}) if after else None

    async def changed(since: str) -> AsyncIterator[list[dict[str, Any]]]:
        first, rest = query(api, "/graphql", CHANGED, {"since": since}), Relay("data.issue.labels")
        labels = "data.issue.labels.nodes"
        async for page in pages(api, first, Relay("data.issues")):
            issues = values(page, "data.issues.nodes", "")
            await complete(api, issues, following, rest, nested="labels.nodes", source=labels)
            yield [issue | {"labels": issue["labels"]["nodes"]} for issue in issues]

    @dlt.resource(
        primary_key="id",
        write_disposition="merge",
        columns={
            "trashed": {"data_type": "bool", "hard_delete": True},
            "due_date": {"data_type": "date"},
        },
    )
    def issues() -> Iterator[Any]:
        updated = cursor("updated_at", start=start)
        yield from load(prefetch(changed(updated.since)), updated)

    return issues


def left(response: httpx.Response, now: datetime) -> Iterator[Quota]:
    """What is left of requests and of complexity, of which the next query may need as much."""
    cost = float(response.headers.get("X-Complexity", 1))
    for name, needed in (("Requests", 1.0), ("Complexity", cost)):
        for quota in XRateLimit("epoch-ms", prefix=f"X-RateLimit-{name}-")(response, now):
            yield replace(quota, needed=needed, restore=(quota.limit or 0) / 3600, name=name)
