"""Zendesk tickets by the incremental export, and users.

Loads `tickets` (with `tickets__custom_fields`, `tickets__tags` and others) and `users`. The export
goes on where the run before ended, by a cursor kept in dlt's state; it leaves the last minute out.
Deleted tickets come with the status "deleted", and are deleted. All users are read in each run and
take the place of those before; where they are very many, `/incremental/users/cursor.json` works as
it does for tickets.

Authenticates as an administrator, with email address and API token. Exports may be asked for 10
times a minute, other endpoints 200 to 2,500 times, by plan.

Change: `base_url` is your account, "https://example.zendesk.com"; the start; `calls`, by plan.

https://developer.zendesk.com/api-reference/ticketing/ticket-management/incremental_exports/
https://developer.zendesk.com/documentation/ticketing/managing-tickets/using-the-incremental-export-api
https://developer.zendesk.com/api-reference/introduction/pagination/
https://developer.zendesk.com/api-reference/introduction/rate-limits/
https://developer.zendesk.com/api-reference/introduction/security-and-auth/
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import dlt

from blocks.auth import Basic
from blocks.client import client
from blocks.dlt import load
from blocks.fetch import pages
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.paginators import NextToken, NextUrl
from blocks.places import read, values
from blocks.pools import Pools
from blocks.stops import Flag, Until


@dlt.source
def zendesk(
    base_url: str,
    start: str = "2024-01-01T00:00:00Z",
    calls: float = 200,  # a minute
    email: str = dlt.secrets.value,
    token: str = dlt.secrets.value,
) -> Any:
    exports = Rate(10, per=60, burst=5)
    limit = Pools({"GET */incremental/*": exports}, default=Rate(calls, per=60, burst=20))
    api = client(f"{base_url}/api/v2", auth=Basic(f"{email}/token", token), limit=limit)

    @dlt.resource(
        primary_key="id",
        write_disposition="merge",
        columns={
            "deleted": {"data_type": "bool", "hard_delete": True},
            # Of a ticket that changes while it is exported there are two versions.
            "generated_timestamp": {"data_type": "bigint", "dedup_sort": "desc"},
        },
    )
    def tickets() -> Iterator[Any]:
        state = dlt.current.resource_state()
        begin = {"start_time": str(int(datetime.fromisoformat(start).timestamp()))}
        if "cursor" in state:
            begin = {"cursor": state["cursor"]}
        first = api.build_request("GET", "/incremental/tickets/cursor.json", params=begin)
        rest = Until(NextToken("after_cursor", "cursor", keep=[]), Flag("end_of_stream", last=True))

        def exported() -> Iterator[list[dict[str, Any]]]:
            for page in prefetch(pages(api, first, rest)):
                found = values(page, "tickets", "")
                yield [{**each, "deleted": each["status"] == "deleted"} for each in found]
                if after := read(page, "after_cursor"):  # the last page has one, too
                    state["cursor"] = after

        yield from load(exported())

    @dlt.resource(primary_key="id", write_disposition="replace")
    def users() -> Iterator[Any]:
        first = api.build_request("GET", "/users.json", params={"page[size]": 100})
        rest = Until(NextUrl("links.next"), Flag("meta.has_more"))
        yield from load(prefetch(pages(api, first, rest)), path="users")

    return tickets, users
