"""The source under test: client, retries, limit, paginator, pages, cursor, normalizer.

It is read in three ways: on virtual time, through the network thread, and by dlt into DuckDB.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from blocks.client import client
from blocks.connections import Connections
from blocks.cursors import Cursor
from blocks.fetch import gather, pages
from blocks.network import prefetch
from blocks.normalize import Normalizer
from blocks.retries import Retry
from blocks.retries import reads as is_read
from blocks.rules import Judged
from blocks.tokens import Expiring
from tests.faults.cases import Case
from tests.faults.world import START, Row

__all__ = ["Loaded", "connect", "read", "read_ahead", "responses", "rows"]

Tables = dict[str, Any]


def connect(
    case: Case, url: str, clock: Callable[[], float] | None = None, **options: Any
) -> httpx.AsyncClient:
    """A client for the API of `case`; without a clock failures are tried again at once."""
    bare: httpx.AsyncBaseTransport = Connections(tls=case.trust)
    if case.plain and clock:  # which, forgotten, does not close itself as ours does
        bare = httpx.AsyncHTTPTransport(verify=case.trust or True, trust_env=False)
    transport = Judged(bare, *case.rules) if case.rules else bare
    waits: dict[str, Any] = {} if clock else {"delay": lambda *_: 0.0}
    post = case.world.style.method == "POST"
    waits["reads"] = (lambda _: True) if post else is_read
    retry = partial(Retry, chance=case.rng.random, **waits)
    limit = case.limit(clock) if case.limit and clock else None
    auth = case.auth(url) if case.auth else None
    if clock and isinstance(auth, Expiring):
        auth.clock = clock
    given = {"auth": auth, "limit": limit, "retry": retry, "transport": transport}
    made = client(url, **(given | options))
    if case.tune:
        case.tune(made)
    return made


def responses(
    case: Case, api: httpx.AsyncClient, since: str | int
) -> AsyncIterator[httpx.Response]:
    """All pages of what was updated at `since` or later."""
    world = case.world
    first = api.build_request(**world.request(since))
    if at_once := world.style.at_once:
        return gather(api, first, world.paginator, at_once=at_once, at_most=case.at_most)  # type: ignore[arg-type]
    return pages(api, first, world.paginator, at_most=case.at_most)


async def read(case: Case, api: httpx.AsyncClient, state: dict[str, Any]) -> list[Row]:
    """All rows, in the running event loop; `state` moves with them."""
    take = _Taking(case, state)
    stream: Any = responses(case, api, case.ask(take.cursor))
    async with aclosing(stream):
        async for page in stream:
            take(page)
    return take.rows()


def read_ahead(case: Case, api: httpx.AsyncClient, state: dict[str, Any]) -> list[Row]:
    """All rows, fetched in the network thread; `state` moves with them."""
    take = _Taking(case, state)
    for page in prefetch(responses(case, api, case.ask(take.cursor))):
        take(page)
    return take.rows()


class _Taking:
    def __init__(self, case: Case, state: dict[str, Any]) -> None:
        self.cursor = (case.cursor or _cursor)(state)
        self._normalizer = Normalizer("items", path=case.world.style.path)
        self._tables: list[Tables] = []

    def __call__(self, page: httpx.Response) -> None:
        tables = self._normalizer(page.content)
        if "items" in tables:
            self.cursor.observe(tables["items"])
        self._tables.append(tables)

    def rows(self) -> list[Row]:
        return [row for tables in self._tables for row in rows(tables)]


def _cursor(state: dict[str, Any]) -> Cursor:
    return Cursor("updated_at", start=START, state=state)


def rows(tables: Tables) -> Iterator[Row]:
    """The records in `tables`, nested ones put back."""
    if "items" not in tables:
        return
    tags: dict[str, list[tuple[int, str]]] = {}
    if "items__tags" in tables:
        for tag in tables["items__tags"].to_pylist():
            place = tag["_dlt_list_idx"], tag["value"]
            tags.setdefault(tag["_dlt_parent_id"], []).append(place)
    for found in tables["items"].to_pylist():
        yield _row(found, tags.get(found["_dlt_id"], []))


def _row(found: dict[str, Any], tags: Iterable[tuple[int, str]]) -> Row:
    when = found["updated_at"]
    if isinstance(when, datetime):
        when = when.astimezone(UTC)
    amount = found.get("amount")
    amount = amount if amount is None or math.isfinite(amount) else repr(amount)
    values = found["id"], when, found.get("name"), amount, found.get("reference")
    return *values, tuple(value for _, value in sorted(tags))


class Loaded:
    """A pipeline into a DuckDB file in `folder`, and what is in it."""

    def __init__(self, folder: Path) -> None:
        from tests.warehouse import Warehouse  # dlt takes a second to import

        self._warehouse = Warehouse(folder)

    def run(self, case: Case, api: httpx.AsyncClient) -> None:
        """Load what is new."""
        import dlt

        from blocks.dlt import cursor, load

        @dlt.resource(name="items", primary_key="id", write_disposition="merge")
        def items() -> Iterator[Any]:
            updated = cursor("updated_at", start=START)
            found = prefetch(responses(case, api, updated.since))
            yield from load(found, updated, path=case.world.style.path)

        self._warehouse.run(dlt.source(lambda: items, name="world")())

    @property
    def state(self) -> Any:
        """What dlt remembers of the source."""
        return self._warehouse.pipeline().state.get("sources", {})

    @property
    def pending(self) -> bool:
        """Whether a load was begun and not finished."""
        return self._warehouse.pipeline().has_pending_data

    def rows(self) -> list[Row]:
        """The records in the file, nested ones put back."""
        if not self._warehouse.file.exists():
            return []
        import duckdb
        import pyarrow as pa

        try:
            found = self._warehouse.rows()
        except duckdb.CatalogException:  # a run that failed first of all left an empty file
            return []
        return [*rows({name: pa.Table.from_pylist(each) for name, each in found.items()})]
