"""Twilio: messages, calls and daily usage of an account and its subaccounts.

Loads `accounts` without their tokens, `messages`, `calls` and `usage`. Each account has a cursor of
its own: one that is opened later is read from `start`. Twilio filters by days of UTC, and what it
lists may change for days (deliveries, prices), so the last `days` are read again. Messages without
a date sent come when they have one; deleted messages and calls are not told of, and stay.

Authenticates with the SID and the auth token of the main account, which may read its subaccounts,
too. The limit is one of requests at once; Twilio does not say how many: 8 are few. Change: the
start, `days`, the resources at the end.

https://www.twilio.com/docs/api/rest/data-types (pages)
https://www.twilio.com/docs/iam/api/account
https://www.twilio.com/docs/messaging/api/message-resource
https://www.twilio.com/docs/voice/api/call-resource
https://www.twilio.com/docs/usage/api/usage-record
https://www.twilio.com/docs/api/errors/20429
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import dlt
import httpx

from blocks.auth import Basic
from blocks.client import client
from blocks.dlt import load, partitions
from blocks.fanout import fan_out, parents
from blocks.fetch import pages
from blocks.kinds import Dates
from blocks.network import prefetch
from blocks.paginators import NextUrl
from blocks.places import values
from blocks.requests import path
from blocks.slots import InFlight

# Of RFC 2822, which destinations do not read.
TIMES = {"date_created", "date_sent", "date_updated", "end_time", "start_time"}
LEFT_OUT = {"auth_token", "subresource_uris"}


def rows(page: httpx.Response, name: str) -> list[dict[str, Any]]:
    """The records of a page, without secrets, and with times as others write them."""
    return [
        {
            key: parsedate_to_datetime(value).isoformat() if value and key in TIMES else value
            for key, value in row.items()
            if key not in LEFT_OUT
        }
        for row in values(page, name, "")
    ]


@dlt.source
def twilio(
    start: str = "2024-01-01",
    days: int = 5,
    base_url: str = "https://api.twilio.com",
    account_sid: str = dlt.secrets.value,
    auth_token: str = dlt.secrets.value,
) -> Any:
    api = client(f"{base_url}/2010-04-01", auth=Basic(account_sid, auth_token), limit=InFlight(8))

    def listing(place: str, **params: str) -> AsyncIterator[httpx.Response]:
        first = api.build_request("GET", place, params={**params, "PageSize": "1000"})
        return pages(api, first, NextUrl("next_page_uri"))

    @dlt.resource(primary_key="sid", write_disposition="merge")
    def accounts() -> Iterator[Any]:
        yield from load(rows(page, "accounts") for page in prefetch(listing("/Accounts.json")))

    # `records` is where they are in an answer.
    def of_accounts(name: str, records: str, place: str, since: str, **params: str) -> Any:
        @dlt.transformer(
            data_from=accounts,
            name=name,
            primary_key="sid" if name != "usage" else ("account_sid", "category", "start_date"),
            write_disposition="merge",
            columns={"price": {"data_type": "decimal"}},
        )
        def children(table: Any) -> Iterator[Any]:
            seen = partitions("day", start=start, kind=Dates(), lookback=timedelta(days=days))

            def fetch(sid: str) -> AsyncIterator[httpx.Response]:
                bound = {since: str(seen.of(sid).since)}
                return listing(path(f"/Accounts/{{}}/{place}.json", sid), **bound, **params)

            sids = parents(table, "sid")
            found = prefetch(fan_out(sids, fetch, at_once=8))
            yield from load(rows(page, records) for _, page in found)
            for sid in sids:
                seen.of(sid).complete()

        return children

    usage = ("usage", "usage_records", "Usage/Records/Daily", "StartDate")
    return (
        accounts,
        of_accounts("messages", "messages", "Messages", "DateSent>"),
        of_accounts("calls", "calls", "Calls", "StartTime>"),
        # That of the main account includes its subaccounts', unless told otherwise.
        of_accounts(*usage, IncludeSubaccounts="false"),
    )
