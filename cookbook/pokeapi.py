"""PokeAPI: a list of names, a request for each of them, one more for its species; and only once.

Loads `pokemon` and `pokemon_species` with their lists, such as `pokemon__types`; the longest stay
JSON. No auth and no limit, but a fair use policy: what was had is to be kept, not asked for again.
So the destination is the cache. Names that it has are left out, and since the API does not say what
changed, a run with `anew=True` reads all, now and then.

Change: the rate, low here to be no burden; `LONG`, what is not made into tables.

https://pokeapi.co/docs/v2
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import dlt
import httpx

from blocks.client import client
from blocks.dlt import known, load
from blocks.fanout import fan_out, parents
from blocks.fetch import pages
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.paginators import NextUrl, SinglePage
from blocks.places import values
from blocks.requests import path

LONG: Any = {name: {"data_type": "json"} for name in ("moves", "sprites")}


@dlt.source
def pokeapi(base_url: str = "https://pokeapi.co/api/v2", anew: bool = False) -> Any:
    api = client(base_url, limit=Rate(10, burst=10))

    async def listed(without: set[str]) -> AsyncIterator[str]:
        first = api.build_request("GET", "/pokemon/", params={"limit": 100})
        async for page in pages(api, first, NextUrl("next")):
            for name in values(page, "results", "name"):
                if name not in without:
                    yield name

    def one(kind: str, name: str) -> AsyncIterator[httpx.Response]:
        return pages(api, api.build_request("GET", path("/{}/{}/", kind, name)), SinglePage())

    @dlt.resource(primary_key="id", write_disposition="merge", columns=LONG)
    def pokemon() -> Iterator[Any]:
        there = set() if anew else {*known("name").column("name").to_pylist()}
        found = prefetch(fan_out(listed(there), partial(one, "pokemon")))
        # Some hundred kB each: fewer at a time than usual.
        yield from load((page for _, page in found), rows=200)

    @dlt.transformer(data_from=pokemon, primary_key="id", write_disposition="merge")
    def pokemon_species(table: Any) -> Iterator[Any]:
        # Each species has one Pokémon that stands for it, the rest are varieties.
        rows = parents(table, "species__name", "is_default")
        names = [row["species__name"] for row in rows if row["is_default"]]
        found = prefetch(fan_out(names, partial(one, "pokemon-species")))
        yield from load(page for _, page in found)

    return pokemon, pokemon_species
