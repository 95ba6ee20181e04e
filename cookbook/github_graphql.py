"""GitHub pull requests by GraphQL: nested lists completed, points counted, newest first.

Loads `pull_requests` with `pull_requests__labels` and `pull_requests__reviews`. The API takes no
date: pages come in order of change and end at the first that is older than the run before.

`token` needs read access to pull requests: `sources.github_graphql.token`. Limits: 5,000 points an
hour; a query costs a hundredth of the lists it may open, 1 at least. A query of more than 500,000
nodes or 10 seconds fails: then lower `at_a_time`. Change: `repo`, `start`, what is asked for.

https://docs.github.com/en/graphql/reference/objects#pullrequest
https://docs.github.com/en/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import dlt
import httpx

from blocks.auth import Bearer
from blocks.client import client
from blocks.connections import Connections
from blocks.dlt import cursor, load
from blocks.fetch import pages
from blocks.graphql import Errors, Relay, query, reads
from blocks.json import peek
from blocks.limits import Rate
from blocks.nested import complete, more
from blocks.network import prefetch
from blocks.places import values
from blocks.quotas import XRateLimit
from blocks.retries import Retry
from blocks.rules import Judged, Text
from blocks.stops import Older, Until

NESTED = {
    "labels": "nodes { id name } pageInfo { hasNextPage endCursor }",
    "reviews": "nodes { id state submittedAt author { login } } pageInfo { hasNextPage endCursor }",
}
CHANGED = f"""query($owner: String!, $name: String!, $pulls: Int!, $after: String) {{
  repository(owner: $owner, name: $name) {{
    pullRequests(first: $pulls, after: $after, orderBy: {{field: UPDATED_AT, direction: DESC}}) {{
      nodes {{
        id number title state isDraft createdAt updatedAt closedAt mergedAt author {{ login }}
        labels(first: 20) {{ {NESTED["labels"]} }} reviews(first: 20) {{ {NESTED["reviews"]} }}
      }}
      pageInfo {{ hasNextPage endCursor }}
    }}
  }}
}}"""
REST = """query($id: ID!, $after: String) {
  node(id: $id) { ... on PullRequest { %s(first: 100, after: $after) { %s } } }
}"""

# Too much at once; without Retry-After GitHub asks for a minute at least.
SECONDARY = Text("secondary rate limit", "limited", wait=60)


@dlt.source
def github_graphql(
    repo: str = "duckdb/duckdb",
    start: str = "2024-01-01T00:00:00Z",
    at_a_time: int = 50,
    base_url: str = "https://api.github.com",
    token: str = dlt.secrets.value,
) -> Any:
    rate = Rate(5000, per=3600, burst=500, cost=points, quotas=XRateLimit("epoch"))
    again = partial(Retry, reads=reads, total=3900)  # points are there again within the hour
    judged = Judged(Connections(), SECONDARY, Errors())
    api = client(base_url, auth=Bearer(token), limit=rate, retry=again, transport=judged)
    owner, name = repo.split("/")

    def following(field: str, pull: dict[str, Any]) -> httpx.Request | None:
        after, document = more(pull.get(field)), REST % (field, NESTED[field])
        variables = {"id": pull["id"], "after": after}
        return query(api, "/graphql", document, variables) if after else None

    async def changed(since: str) -> AsyncIterator[list[dict[str, Any]]]:
        variables = {"owner": owner, "name": name, "pulls": at_a_time}
        first, found = query(api, "/graphql", CHANGED, variables), "data.repository.pullRequests"
        older = Older("updatedAt", records=f"{found}.nodes", than=since)
        async for page in pages(api, first, Until(Relay(found), older)):
            pulls = [p for p in values(page, f"{found}.nodes", "") if p["updatedAt"] >= since]
            for field in NESTED:
                rest, at = partial(following, field), f"data.node.{field}"
                place = {"nested": f"{field}.nodes", "source": f"{at}.nodes"}
                # One at a time: GitHub asks for no concurrent requests.
                await complete(api, pulls, rest, Relay(at), at_once=1, **place)
            yield [pull | {field: pull[field]["nodes"] for field in NESTED} for pull in pulls]

    @dlt.resource(primary_key="id", write_disposition="merge")
    def pull_requests() -> Iterator[Any]:
        updated = cursor("updated_at", start=start)
        yield from load(prefetch(changed(updated.since)), updated)

    return pull_requests


def points(request: httpx.Request) -> float:
    """What a query costs: for each pull request two lists, for the rest of one list the least."""
    return max(1, round((1 + 2 * (peek(request.content, "variables.pulls") or 0)) / 100))
