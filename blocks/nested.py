"""Nested lists: records whose own lists were cut off, completed.

APIs give the first few of a record's own list (the labels of an issue, the lines of an invoice)
with a cursor or a flag, and the rest page by page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import anyio
import httpx

from blocks.errors import BodyError, ConfigError
from blocks.fetch import pages
from blocks.json import Path, keys
from blocks.paginators import Paginator
from blocks.places import kind, read

__all__ = ["complete", "more"]


async def complete(
    client: httpx.AsyncClient,
    records: Sequence[dict[str, Any]],
    following: Callable[[dict[str, Any]], httpx.Request | None],
    paginator: Paginator,
    *,
    nested: Path,
    source: Path,
    at_once: int = 8,
) -> None:
    """Append to the list at `nested` of each record, in place, what was cut off from it.

    `following` makes of a record the request of the page after what it has, or says `None` where it
    is whole. `paginator` goes on from there, and in each page the elements are at `source`. Up to
    `at_once` records are completed at a time. On an error the others are given up, and the records
    are not to be used.

    >>> def rest(order):
    ...     url = order["lines"]["next"]
    ...     return api.build_request("GET", url) if url else None
    >>> def server(request):
    ...     return httpx.Response(200, json={"data": [2, 3], "next": None})
    >>> api = httpx.AsyncClient(transport=httpx.MockTransport(server), base_url="https://api")
    >>> from blocks.paginators import NextUrl
    >>> order = {"id": 7, "lines": {"data": [1], "next": "/orders/7/lines?page=2"}}
    >>> async def main():
    ...     await complete(api, [order], rest, NextUrl("next"), nested="lines.data", source="data")
    >>> anyio.run(main)
    >>> order["lines"]["data"]
    [1, 2, 3]
    """
    if at_once < 1:
        raise ConfigError(f"complete needs at_once >= 1, got {at_once!r}")
    waiting = ((record, request) for record in records if (request := following(record)))
    reason: Exception | None = None

    async def work() -> None:
        nonlocal reason
        try:
            for record, request in waiting:
                elements = _list(record, nested)
                async for page in pages(client, request, paginator):
                    elements.extend(_elements(page, source))
        except Exception as error:  # noqa: BLE001 - raised below, not as a group of one
            reason = reason or error
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for _ in range(min(at_once, len(records))):
            tasks.start_soon(work)
    if reason is not None:
        raise reason


def more(connection: Any) -> str | None:
    """The end cursor of a Relay connection in a record that has more pages, else `None`.

    >>> more({"nodes": [], "pageInfo": {"hasNextPage": True, "endCursor": "c2"}})
    'c2'
    """
    info = connection.get("pageInfo") if isinstance(connection, dict) else None
    if not isinstance(info, dict) or not isinstance(info.get("hasNextPage"), bool):
        raise BodyError(f"expected a connection with pageInfo, got {kind(connection)}")
    if not info["hasNextPage"]:
        return None
    cursor = info.get("endCursor")
    if not isinstance(cursor, str) or not cursor:
        message = f"expected an endCursor, as there is a next page, got {kind(cursor)}"
        raise BodyError(message)
    return cursor


def _elements(page: httpx.Response, source: Path) -> list[Any]:
    found = read(page, source)
    if not isinstance(found, list):
        raise BodyError(f"expected an array at {source!r}, got {kind(found)}", page)
    return found


def _list(record: dict[str, Any], nested: Path) -> list[Any]:
    found: Any = record
    for step in keys(nested):
        found = found.get(step) if isinstance(found, dict) else None
    if not isinstance(found, list):
        raise BodyError(f"expected a list at {nested!r} of a record, got {kind(found)}")
    return found
