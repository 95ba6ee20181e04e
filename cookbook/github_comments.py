"""GitHub issues and their comments, of several repositories: children, and a pool of tokens.

Loads `issues` (and pull requests, with `issues__labels` and `issues__assignees`) and `comments`.
Each repository has a cursor of its own; one added later is read from `start`. Of an issue that
changed all comments are read, and take the place of those loaded before. Review comments lie at
`/pulls/comments`, not here.

`tokens`, of a user each, as those of one share a quota, need read access to issues; they are a list
in dlt's secrets, `sources.github_comments.tokens`. Limits: 5,000 requests an hour and user, as the
answers tell, and 900 a minute. Change: `repos`, `start`.

https://docs.github.com/en/rest/issues/issues#list-repository-issues
https://docs.github.com/en/rest/issues/comments#list-issue-comments
https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from typing import Any

import dlt
import httpx

from blocks.auth import Bearer
from blocks.client import client
from blocks.connections import Connections
from blocks.credentials import CredentialPool
from blocks.dlt import load, partitions
from blocks.fanout import fan_out, parents
from blocks.fetch import pages
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.paginators import LinkHeader
from blocks.requests import path
from blocks.retries import Retry
from blocks.rules import Judged, Text

# Too much at once; without Retry-After GitHub asks for a minute at least.
SECONDARY = Text("secondary rate limit", "limited", wait=60)


@dlt.source
def github_comments(
    repos: Sequence[str] = ("duckdb/duckdb",),
    start: str = "2024-01-01T00:00:00Z",
    base_url: str = "https://api.github.com",
    tokens: Sequence[str] = dlt.secrets.value,
) -> Any:
    pool = CredentialPool(Judged(Connections(), SECONDARY), [Bearer(token) for token in tokens])
    patient = partial(Retry, total=3900)  # quotas open again within the hour
    version = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
    rate = Rate(800, per=60, burst=100)
    api = client(base_url, transport=pool, limit=rate, retry=patient, headers=version)

    def listing(repo: str, *rest: str | int, **params: str) -> AsyncIterator[httpx.Response]:
        url = path("/repos/{}/{}/issues" + "/{}" * len(rest), *repo.split("/"), *rest)
        first = api.build_request("GET", url, params={"per_page": "100", **params})
        return pages(api, first, LinkHeader())

    @dlt.resource(primary_key="id", write_disposition="merge")
    def issues() -> Iterator[Any]:
        updated = partitions("updated_at", start=start, key="repo")

        def changed(repo: str) -> AsyncIterator[httpx.Response]:
            # Newest first: what changes while pages are read moves towards those already read.
            return listing(repo, state="all", sort="updated", since=updated.of(repo).since)

        found = prefetch(fan_out(repos, changed))
        yield from load(((page, {"repo": repo}) for repo, page in found), updated)

    @dlt.transformer(
        data_from=issues, primary_key="id", merge_key="issue_id", write_disposition="merge"
    )
    def comments(table: Any) -> Iterator[Any]:
        def said(issue: dict[str, Any]) -> AsyncIterator[httpx.Response]:
            return listing(issue["repo"], issue["number"], "comments")

        every = parents(table, "id", "repo", "number", "comments")
        discussed = [issue for issue in every if issue["comments"]]
        found = prefetch(fan_out(discussed, said, skip={404, 410}))
        yield from load(
            (page, {"issue_id": issue["id"], "repo": issue["repo"]}) for issue, page in found
        )

    return issues, comments
