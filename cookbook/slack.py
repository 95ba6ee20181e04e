"""Slack messages and their threads, of all channels that the app is in.

Loads `channels` and `messages` (a reply has the `thread_ts` of another; `messages__reactions` and
others). Each channel has a cursor of its own: one that the app joins later is read from `start`. Of
the last `days` all messages are read again, for edits, reactions, and the replies, of which only
the first message of a thread tells. Replies to older messages are not seen; deleted messages stay.

Authenticates with a bot token (scopes channels:read, groups:read, channels:history,
groups:history). Limits are by method: 50 calls a minute for messages and replies (tier 3), 20 are
safe for the others. An app sold outside of Slack's Marketplace has one call a minute for each of
these two, of 15 messages: set `limit`, too. Change: the start, `days`; `types`, for direct ones.

https://docs.slack.dev/reference/methods/users.conversations
https://docs.slack.dev/reference/methods/conversations.history
https://docs.slack.dev/reference/methods/conversations.replies
https://docs.slack.dev/apis/web-api/pagination
https://docs.slack.dev/apis/web-api/rate-limits
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import dlt
import httpx

from blocks.auth import Bearer
from blocks.client import client
from blocks.connections import Connections
from blocks.dlt import load, partitions
from blocks.fanout import fan_out, parents
from blocks.fetch import pages
from blocks.kinds import Epoch
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.outcomes import Outcome, Verdict
from blocks.paginators import NextToken
from blocks.places import read
from blocks.pools import Pools
from blocks.rules import Judged

# The errors that are not about the request.
MEANINGS: dict[str, Outcome] = {
    **dict.fromkeys(["invalid_auth", "not_authed", "token_expired", "token_revoked"], "reauth"),
    **dict.fromkeys(["internal_error", "fatal_error", "service_unavailable"], "retry"),
    "ratelimited": "limited",
}


def said(response: httpx.Response) -> Verdict | None:
    """What an answer means that has status 200 but is not ok."""
    if not response.is_success or read(response, "ok") is True:
        return None
    error = str(read(response, "error"))
    return Verdict(MEANINGS.get(error, "fail"), error)


@dlt.source
def slack(
    start: str = "2024-01-01T00:00:00Z",
    days: int = 7,
    base_url: str = "https://slack.com/api",
    token: str = dlt.secrets.value,
) -> Any:
    methods = ("conversations.history", "conversations.replies")
    tier3 = {f"GET */{method}": Rate(50, per=60, burst=20) for method in methods}
    limit = Pools(tier3, default=Rate(20, per=60, burst=10))
    api = client(base_url, auth=Bearer(token), limit=limit, transport=Judged(Connections(), said))

    def listing(method: str, **params: str | int) -> AsyncIterator[httpx.Response]:
        first = api.build_request("GET", method, params={**params, "limit": 200})
        return pages(api, first, NextToken("response_metadata.next_cursor", "cursor"))

    @dlt.resource(primary_key="id", write_disposition="merge")
    def channels() -> Iterator[Any]:
        types = "public_channel,private_channel"
        yield from load(prefetch(listing("users.conversations", types=types)), path="channels")

    @dlt.transformer(
        data_from=channels,
        primary_key=("channel", "ts"),
        write_disposition="merge",
        columns={"blocks": {"data_type": "json"}, "attachments": {"data_type": "json"}},
    )
    def messages(table: Any) -> Iterator[Any]:
        again, minute, kind = timedelta(days=days), timedelta(minutes=1), Epoch("s")
        seen = partitions("ts", start=start, key="channel", kind=kind, lookback=again, lag=minute)

        async def fetch(channel: str) -> AsyncIterator[httpx.Response]:
            since = seen.of(channel)
            # Bounds are exclusive unless inclusive is asked for.
            known = {"channel": channel, "inclusive": "true"}
            new = since.since if since.mark is None else since.mark
            async for page in listing("conversations.history", oldest=since.since, **known):
                yield page
                for each in page.json()["messages"]:
                    if float(each.get("latest_reply", 0)) >= new:
                        thread = {"ts": each["ts"], "oldest": new, **known}
                        async for replies in listing("conversations.replies", **thread):
                            yield replies

        found = prefetch(fan_out(parents(table, "id"), fetch, at_once=4))
        yield from load(((page, {"channel": key}) for key, page in found), seen, path="messages")

    return channels, messages
