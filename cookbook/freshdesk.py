"""Freshdesk tickets with requester, statistics and description; deleted tickets and spam are gone.

Loads `tickets` (with `tickets__tags` and others), incremental by updated_at.

A list is numbered pages, sorted by change: a ticket that changes while they are read would pull one
past the next page, and there are 300 pages at most. So each page begins anew at the last change on
the one before.

Authenticates with the API key of an agent. There may be 20 lists a minute in the plan Growth, 100
in Pro, 200 in Enterprise. Each takes 1 credit and 2 more for each thing included, of 200, 400 or
700 that an account has a minute; the answers tell what is left of them.

Change: `base_url` is your account, "https://example.freshdesk.com"; the start; `lists`, by plan;
what to include.

https://developers.freshdesk.com/api/#list_all_tickets
https://developers.freshdesk.com/api/#ratelimit
https://support.freshdesk.com/support/solutions/articles/225439 (the limits by plan)
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import dlt
import httpx

from blocks.auth import Basic
from blocks.client import client
from blocks.deletes import flag, tombstones
from blocks.dlt import cursor, load
from blocks.fetch import pages
from blocks.kinds import Times
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.paginators import LinkHeader
from blocks.places import values
from blocks.quotas import Quota
from blocks.requests import turn

SECONDS = Times(timedelta(seconds=1))


def left(response: httpx.Response, _: datetime) -> Iterator[Quota]:
    """The credits left of a minute, and what a call like this takes."""
    names = ("Remaining", "Used-CurrentRequest")
    found = [response.headers.get(f"X-RateLimit-{name}") for name in names]
    if None not in found:
        yield Quota(float(found[0]), reset=60.0, needed=float(found[1]), name="credits")


def following(page: httpx.Response) -> httpx.Request | None:
    """The tickets from the last second on the page, or its next page where that is no later."""
    by_link = LinkHeader()(page)
    if by_link is None:
        return None
    # A second earlier, as nobody says whether `updated_since` is inclusive.
    last = SECONDS.read(values(page, "", "updated_at")[-1])
    since = SECONDS.write(SECONDS.back(last))
    later = since > page.request.url.params["updated_since"]
    return turn(page.request, {"updated_since": since, "page": 1}) if later else by_link


@dlt.source
def freshdesk(
    base_url: str,
    start: str = "2024-01-01T00:00:00Z",
    lists: float = 20,  # a minute
    key: str = dlt.secrets.value,
) -> Any:
    limit = Rate(lists, per=60, burst=5, quotas=left)
    api = client(f"{base_url}/api/v2", auth=Basic(key, "X"), limit=limit)

    @dlt.resource(primary_key="id", write_disposition="merge", columns=flag())
    def tickets() -> Iterator[Any]:
        updated = cursor("updated_at", start=start, kind=SECONDS, missing="raise")
        order = {"order_by": "updated_at", "order_type": "asc", "per_page": "100"}
        params = {"updated_since": updated.after, **order}
        included = params | {"include": "requester,stats,description"}
        first = api.build_request("GET", "/tickets", params=included)
        yield from load(prefetch(pages(api, first, following)), updated)
        for gone in ("deleted", "spam"):
            first = api.build_request("GET", "/tickets", params=params | {"filter": gone})
            yield from load(tombstones(prefetch(pages(api, first, following))))

    return tickets
