"""Chess.com: players and all of their games, month by month, one request after the other.

Loads `players` and `games`; a game of two of the players is one row. A player's archives are listed
first, then each month's games are asked for, and in later runs only those from the last month on: a
month is done when it was read two days after its end, as what the API says may be 12 hours old.

No auth, but `contact`, an email or a username at chess.com, as the API refuses who does not say
whom to write to. As much as you like, but never two requests at once. A player added to the list
later is read from `start`. Change: `players`, the start (the first archives are of 2007).

https://support.chess.com/en/articles/9650547-what-is-the-pubapi-and-how-do-i-use-it
https://www.chess.com/news/view/published-data-api
https://www.chess.com/announcements/view/breaking-change-user-agent-contact-info-required
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import dlt
import httpx

from blocks.client import client
from blocks.dlt import load, partitions
from blocks.fanout import fan_out
from blocks.fetch import pages
from blocks.kinds import Dates
from blocks.network import prefetch
from blocks.paginators import SinglePage
from blocks.places import values
from blocks.requests import path
from blocks.slots import InFlight


@dlt.source
def chess_com(
    players: list[str],
    contact: str,
    start: str = "2007-01-01",
    base_url: str = "https://api.chess.com",
) -> Any:
    agent = {"User-Agent": f"dlt-blocks (contact: {contact})"}
    api = client(base_url, headers=agent, limit=InFlight(1))
    names = sorted({name.lower() for name in players})

    def one(template: str, *ids: str) -> AsyncIterator[httpx.Response]:
        return pages(api, api.build_request("GET", path(template, *ids)), SinglePage())

    @dlt.resource(
        name="players",
        primary_key="player_id",
        write_disposition="merge",
        columns=times("joined", "last_online"),
    )
    def profiles() -> Iterator[Any]:
        found = fan_out(names, lambda name: one("/pub/player/{}", name), at_once=1)
        yield from load(page for _, page in prefetch(found))

    @dlt.resource(
        primary_key="url",
        write_disposition="merge",
        columns=times("start_time", "end_time"),
    )
    def games() -> Iterator[Any]:
        seen = partitions("month", start=start, kind=Dates(), lag=timedelta(days=2))

        async def fetch(name: str) -> AsyncIterator[httpx.Response]:
            since = str(seen.of(name).since)[:7]
            async for listed in one("/pub/player/{}/games/archives", name):
                for url in values(listed, "archives", ""):
                    year, month = url.split("/")[-2:]
                    if f"{year}-{month}" >= since:
                        async for page in one("/pub/player/{}/games/{}/{}", name, year, month):
                            yield page

        found = fan_out(names, fetch, at_once=1)
        yield from load((page for _, page in prefetch(found)), path="games")
        for name in names:
            seen.of(name).complete()

    return profiles, games


def times(*columns: str) -> Any:
    return {column: {"data_type": "timestamp"} for column in columns}
