"""GitHub issues and pull requests of one repository: Link paging, incremental by updated_at.

Loads `issues` with `issues__labels` and `issues__assignees`. Change: `repo` and the start; the
token needs read access to issues and is dlt's secret `sources.github_issues.token`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dlt

from blocks.auth import Bearer
from blocks.client import client
from blocks.dlt import cursor, load
from blocks.fetch import pages
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.paginators import LinkHeader


@dlt.source
def github(
    repo: str = "duckdb/duckdb",
    base_url: str = "https://api.github.com",
    token: str = dlt.secrets.value,
) -> Any:
    api = client(base_url, auth=Bearer(token), limit=Rate(5000, per=3600, burst=1000))

    @dlt.resource(primary_key="id", write_disposition="merge")
    def issues() -> Iterator[Any]:
        updated = cursor("updated_at", start="2024-01-01T00:00:00Z")
        order = {"sort": "updated", "direction": "asc", "since": updated.since}
        params = {"state": "all", "per_page": "100"} | order
        first = api.build_request("GET", f"/repos/{repo}/issues", params=params)
        yield from load(prefetch(pages(api, first, LinkHeader())), updated)

    return issues
