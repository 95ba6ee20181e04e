"""Restarts: a list begun again when the API no longer knows the place that was reached in it.

Tokens and offsets of pages expire, or are lost where a list is read too slowly. Then there is
nothing to go on from, and no other request that would help: only the first one.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, nullcontext

import httpx

from blocks.errors import ConfigError, StatusError

__all__ = ["restart"]

logger = logging.getLogger(__name__)


async def restart(
    listing: Callable[[], AsyncIterator[httpx.Response]],
    lost: Callable[[httpx.Response], object],
    *,
    at_most: int = 3,
) -> AsyncIterator[httpx.Response]:
    """The pages of `listing()`, and of another `listing()` where `lost` is true of an answer.

    `lost` sees the answers that raised `StatusError`, but for the one to the first request of a
    list: without a page there is no place to lose. Each new beginning is logged as a warning; the
    error of a list that is lost after `at_most` of them is raised, as all others are.

    Nothing is missed: the last list is read from its first page to its last. Rows of the pages
    before come a second time, so it is for merge and replace, or for those who take note of ids.

    >>> import anyio
    >>> from blocks.fetch import pages
    >>> from blocks.paginators import NextToken
    >>> fresh = [{"rows": [1], "next": "a"}, {"rows": [1], "next": "b"}, {"rows": [2]}]
    >>> def api(request):
    ...     if request.url.params.get("token") == "a":
    ...         return httpx.Response(410)
    ...     return httpx.Response(200, json=fresh.pop(0))
    >>> def listing():
    ...     first = client.build_request("GET", "https://api.example.com/rows")
    ...     return pages(client, first, NextToken("next", "token"))
    >>> client = httpx.AsyncClient(transport=httpx.MockTransport(api))
    >>> async def main():
    ...     found = restart(listing, lambda answer: answer.status_code == 410)
    ...     return [page.json()["rows"] async for page in found]
    >>> anyio.run(main)
    [[1], [1], [2]]
    """
    if at_most < 1:
        raise ConfigError(f"restart needs at_most >= 1, got {at_most!r}")
    for number in range(at_most + 1):
        had, found = 0, listing()
        try:
            # In this task: elsewhere, generators cannot leave their task groups.
            async with aclosing(found) if isinstance(found, AsyncGenerator) else nullcontext():
                async for page in found:
                    had += 1
                    yield page
        except StatusError as error:
            if not had or number == at_most or not lost(error.response):
                raise
            logger.warning("the list is begun again, after %d pages: %s", had, error)
        else:
            return
