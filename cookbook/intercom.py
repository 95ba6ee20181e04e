"""Intercom conversations and their parts: search by POST, token in the body, parts one by one.

Loads `conversations`, incremental by updated_at, and of each that changed its `conversation_parts`
(replies, notes, assignments), at most the 500 newest, as the API has no more. Deleted conversations
are not told of. Authenticates with an app's access token (scope: read conversations). Allowed are
10,000 calls a minute for a private app, counted in periods of 10 seconds, and 25,000 for all apps
of a workspace; what is left stands in X-RateLimit headers.

Change: the start; `base_url` for workspaces in Europe (https://api.eu.intercom.io) and Australia
(https://api.au.intercom.io). Times are whole seconds since 1970.

https://developers.intercom.com/docs/references/rest-api/api.intercom.io/conversations/searchconversations
https://developers.intercom.com/docs/build-an-integration/learn-more/rest-apis/pagination
https://developers.intercom.com/docs/references/rest-api/errors/rate-limiting
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import dlt
import httpx
import pyarrow as pa

from blocks.auth import Bearer
from blocks.client import client
from blocks.dlt import cursor, load
from blocks.fanout import fan_out, parents
from blocks.fetch import pages
from blocks.kinds import Epoch
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.paginators import NextToken, SinglePage
from blocks.places import JsonBody
from blocks.quotas import XRateLimit
from blocks.requests import path
from blocks.retries import Retry


@dlt.source
def intercom(
    start: str = "2024-01-01T00:00:00Z",
    base_url: str = "https://api.intercom.io",
    version: str = "2.14",
    token: str = dlt.secrets.value,
) -> Any:
    api = client(
        base_url,
        auth=Bearer(token),
        headers={"Intercom-Version": version},
        # Any 10 seconds hold 1,666 calls, a sixth of 10,000.
        limit=Rate(1500, per=10, burst=166, quotas=XRateLimit("epoch")),
        retry=partial(Retry, reads=lambda _: True),
    )

    @dlt.resource(primary_key="id", write_disposition="merge")
    def conversations() -> Iterator[Any]:
        updated = cursor("updated_at", start=start, kind=Epoch("s"))
        body = {
            "query": {"field": "updated_at", "operator": ">", "value": updated.after},
            "sort": {"field": "updated_at", "order": "ascending"},
            "pagination": {"per_page": 150},
        }
        first = api.build_request("POST", "/conversations/search", json=body)
        token = NextToken("pages.next.starting_after", JsonBody("pagination.starting_after"))
        yield from load(prefetch(pages(api, first, token)), updated, path="conversations")

    @dlt.transformer(data_from=conversations, primary_key="id", write_disposition="merge")
    def conversation_parts(table: pa.Table) -> Iterator[Any]:
        def fetch(conversation: str) -> AsyncIterator[httpx.Response]:
            one = path("/conversations/{}", conversation)
            return pages(api, api.build_request("GET", one), SinglePage())

        found = fan_out(parents(table, "id"), fetch, at_once=8, skip={404})
        several = ((page, {"conversation_id": each}) for each, page in prefetch(found))
        yield from load(several, path="conversation_parts.conversation_parts")

    return conversations, conversation_parts
