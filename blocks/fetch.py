"""Pages: request after request, each answer checked, until the paginator says it was the last.

`pages` asks for one after the other; `gather` for several at once, where the first page tells all
requests of the rest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import anyio
import httpx

from blocks import events
from blocks.errors import (
    AuthError,
    BodyError,
    ConfigError,
    Overflow,
    PagingLoop,
    ResponseError,
    StatusError,
    where,
)
from blocks.guards import Arrays, Countable, Moved, Rows, Sent, Shrunk
from blocks.outcomes import accept

__all__ = ["check", "gather", "pages"]


async def pages(
    client: httpx.AsyncClient,
    request: httpx.Request,
    paginator: Callable[[httpx.Response], httpx.Request | None],
    *,
    at_most: int | None = None,
    past: Callable[[httpx.Response], object] | None = None,
    instead: Callable[[httpx.Response], httpx.Request | None] | None = None,
) -> AsyncIterator[httpx.Response]:
    """The response to `request`, then to what `paginator` makes of each response, until `None`.

    Every one has been read and passed `check`. It never ends early in silence: a request like one
    sent before (method, URL, body) raises `PagingLoop`, as does a numbered page with the very rows
    of the page before; more than `at_most` pages `PagingError`, as does a total that becomes
    smaller, for then rows have moved past the next page; and anything else where pages have been
    arrays `BodyError`. Iterate with `async for`, or from
    plain code through `blocks.network.prefetch`.

    Where an API answers the request after the last page with an error, `past` is true of that
    answer, as in `past=lambda answer: answer.status_code == 404`; the first answer is always taken
    for a page. Of an answer that does not pass `check`, `instead` may make another request to send
    in its place, for fewer rows, say; where it makes none, the error is raised.

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
    sent, number = Sent(), 0
    guards = Arrays(), Rows(paginator), Shrunk(paginator)
    while following is not None:
        if at_most is not None and number >= at_most:
            raise Overflow(f"expected at most {at_most} pages, got a next one", response)
        if await sent.before(following, response):
            message = f"next page, number {number + 1}, repeats a request already sent"
            raise PagingLoop(f"{message}: {where(following)}", response)
        found = await client.send(following)
        if response is not None and past is not None and past(found):
            return
        try:
            check(found)
        except ResponseError:
            following = None if instead is None else instead(found)
            if following is None:
                raise
            continue
        response, number = found, number + 1
        for guard in guards:
            guard.check(response)
        _tell(response, number)
        yield response
        following = paginator(response)


async def gather(
    client: httpx.AsyncClient,
    request: httpx.Request,
    paginator: Countable,
    *,
    at_once: int,
    at_most: int | None = None,
) -> AsyncIterator[httpx.Response]:
    """What `pages` gives, in the same order, fetched up to `at_once` at a time.

    For paginators that know from the first page what the others are, such as
    `Until(PageNumber(records="data"), TotalPages("pages"))`. As many pages again as `at_once` may
    wait for those before them; no more are asked for until some are taken. After an error no more
    are begun; it is raised after the pages before it. Rows that move while they are read are an
    error where it shows: the total changes, or a page does not end where the next begins.

    It holds a task group across its yields: run it under `blocks.network.prefetch`, or in one task
    that closes it (`contextlib.aclosing`).
    """
    if at_once < 1:
        raise ConfigError(f"gather needs at_once >= 1, got {at_once!r}")
    first = await client.send(request)
    check(first)
    number = 0
    reason: BaseException | None = None
    async with anyio.create_task_group() as tasks:
        try:
            arrays, rows, moved = Arrays(), Rows(paginator), Moved(paginator)
            window = _Window(client, at_once, _limited(paginator, first, at_most))
            page: httpx.Response | None = first
            while page is not None:
                arrays.check(page)
                rows.check(page)
                for ahead in window.open():
                    tasks.start_soon(window.fetch, ahead)
                number += 1
                _tell(page, number)
                yield page
                moved.check(page, window.following())
                page = await window.take()
        except (Exception, GeneratorExit) as caught:  # noqa: BLE001 - raised below
            # Out of the task group as it is, not as a group of one.
            reason = caught
            tasks.cancel_scope.cancel()
    if reason is not None:
        raise reason


def check(response: httpx.Response) -> None:
    """Raise unless `response` is a success with a body that may be JSON.

    What a rule said of it counts (`blocks.outcomes.accept`). Of others: `AuthError` for 401 and
    403, `StatusError` for anything else but 2xx, and for 206 when no range was asked for.
    `BodyError` for a content type not of the JSON family (none given passes), for an empty body,
    and for one that starts as HTML does: some APIs say "overloaded" with 200.

    >>> request = httpx.Request("GET", "https://api.example.com/items")
    >>> check(httpx.Response(200, html="<h1>Back soon</h1>", request=request))
    Traceback (most recent call last):
    blocks.errors.BodyError: expected JSON, got text/html (GET api.example.com/items, status 200)
    """
    if accept(response):
        return
    status = response.status_code
    if status in {401, 403}:
        raise AuthError("expected success, got a refusal of the credentials", response)
    if not response.is_success or (status == 206 and "range" not in response.request.headers):
        redirect = ", got a redirect that is not followed" if response.has_redirect_location else ""
        raise StatusError(f"expected success{redirect}", response)
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and "json" not in kind:
        raise BodyError(f"expected JSON, got {kind}", response)
    start = response.content[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start or start.startswith(b"<"):
        raise BodyError(f"expected JSON, got {'HTML or XML' if start else 'nothing'}", response)


def _tell(page: httpx.Response, number: int) -> None:
    if events.heard():
        events.publish(events.Page(where(page), number, len(page.content)))


def _limited(
    paginator: Countable, first: httpx.Response, at_most: int | None
) -> Iterator[httpx.Request]:
    for number, request in enumerate(paginator.rest(first), 2):
        if at_most is not None and number > at_most:
            raise Overflow(f"expected at most {at_most} pages, got a next one", first)
        yield request


@dataclass(slots=True, eq=False)
class _Ahead:
    """A page asked for before its turn: its request, and its response or error when it is there."""

    number: int
    request: httpx.Request | None
    done: anyio.Event
    found: httpx.Response | Exception | None = None


class _Window:
    """The pages asked for and not yet handed over, in order."""

    def __init__(
        self, client: httpx.AsyncClient, at_once: int, requests: Iterator[httpx.Request]
    ) -> None:
        self._client = client
        self._requests = requests
        # Sending yields to others anyway.
        self._turns = anyio.Semaphore(at_once, fast_acquire=True)
        # Twice as many: when one is slow, those behind it go on.
        self._most = 2 * at_once
        self._pages: deque[_Ahead] = deque()
        self._opened = 0
        self._broken: int | None = None

    def open(self) -> Iterator[_Ahead]:
        """The pages to `fetch` now, each in a task of its own."""
        while len(self._pages) < self._most and self._broken is None:
            page = _Ahead(self._opened, None, anyio.Event())
            try:
                page.request = next(self._requests)
            except StopIteration:
                return
            except Exception as error:  # noqa: BLE001 - raised in its turn
                page.found, self._broken = error, page.number
            self._opened += 1
            self._pages.append(page)
            yield page

    async def fetch(self, page: _Ahead) -> None:
        """Ask for `page`, unless one before it has failed."""
        async with self._turns:
            if page.request is not None and (self._broken is None or page.number < self._broken):
                try:
                    response = await self._client.send(page.request)
                    check(response)
                    page.found = response
                except Exception as error:  # noqa: BLE001 - raised in its turn
                    page.found, self._broken = error, page.number
        page.done.set()

    def following(self) -> httpx.Request | None:
        """The request of the page to hand over next."""
        if not self._pages:
            return None
        page = self._pages[0]
        if page.request is None and isinstance(page.found, Exception):
            raise page.found
        return page.request

    async def take(self) -> httpx.Response | None:
        """The page to hand over next, when it is there."""
        if not self._pages:
            return None
        page = self._pages.popleft()
        await page.done.wait()
        if isinstance(page.found, Exception):
            raise page.found
        return page.found
