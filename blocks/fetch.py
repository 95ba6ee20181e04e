"""Pages: request after request, each answer checked, until the paginator says it was the last."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable

import httpx

from blocks.errors import AuthError, BodyError, PagingError, PagingLoop, StatusError, where

__all__ = ["check", "pages"]


async def pages(
    client: httpx.AsyncClient,
    request: httpx.Request,
    paginator: Callable[[httpx.Response], httpx.Request | None],
    *,
    at_most: int | None = None,
) -> AsyncIterator[httpx.Response]:
    """The response to `request`, then to what `paginator` makes of each response, until `None`.

    Every one has been read and passed `check`. It never ends early in silence: a request like one
    sent before (method, URL and body) raises `PagingLoop`, more than `at_most` pages `PagingError`.
    Iterate with `async for`, or from plain code through `blocks.network.prefetch`.

    >>> import anyio
    >>> from blocks.paginators import NextUrl
    >>> def api(request):
    ...     following = None if request.url.query else "/items?page=2"
    ...     return httpx.Response(200, json={"next": following})
    >>> async def main():
    ...     async with httpx.AsyncClient(transport=httpx.MockTransport(api)) as client:
    ...         first = client.build_request("GET", "https://api.example.com/items")
    ...         async for page in pages(client, first, NextUrl("next")):
    ...             print(page.url.raw_path)
    >>> anyio.run(main)
    b'/items'
    b'/items?page=2'
    """
    following: httpx.Request | None = request
    response: httpx.Response | None = None
    sent: set[bytes] = set()
    while following is not None:
        if at_most is not None and len(sent) >= at_most:
            raise PagingError(f"expected at most {at_most} pages, got a next one", response)
        mark = await _mark(following)
        if mark in sent:
            message = f"next page, number {len(sent) + 1}, repeats a request already sent"
            raise PagingLoop(f"{message}: {where(following)}", response)
        sent.add(mark)
        response = await client.send(following)
        check(response)
        yield response
        following = paginator(response)


def check(response: httpx.Response) -> None:
    """Raise unless `response` is a success with a body that may be JSON.

    `AuthError` for 401 and 403, `StatusError` for anything else but 2xx, and for 206 when no range
    was asked for. `BodyError` for a content type not of the JSON family (none given passes), for an
    empty body, and for one that starts as HTML does: some APIs say "overloaded" with 200.

    >>> request = httpx.Request("GET", "https://api.example.com/items")
    >>> check(httpx.Response(200, html="<h1>Back soon</h1>", request=request))
    Traceback (most recent call last):
    blocks.errors.BodyError: expected JSON, got text/html (GET api.example.com/items, status 200)
    """
    status = response.status_code
    if status in {401, 403}:
        raise AuthError("expected success, got a refusal of the credentials", response)
    if not response.is_success or (status == 206 and "range" not in response.request.headers):
        raise StatusError("expected success", response)
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and "json" not in kind:
        raise BodyError(f"expected JSON, got {kind}", response)
    start = response.content[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start or start.startswith(b"<"):
        raise BodyError(f"expected JSON, got {'HTML or XML' if start else 'nothing'}", response)


async def _mark(request: httpx.Request) -> bytes:
    # 16 bytes a page keep a long run small; two of 10^9 pages coincide in one of 10^20 runs.
    mark = hashlib.blake2b(digest_size=16)
    for part in (request.method.encode(), str(request.url).encode(), await request.aread()):
        mark.update(len(part).to_bytes(8, "big"))
        mark.update(part)
    return mark.digest()
