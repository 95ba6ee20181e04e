"""Guards: what a run of pages watches for, so that it neither goes in circles nor leaves rows out.

They keep what stateless paginators cannot know: what was before. `blocks.fetch` has one of each in
a run.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import httpx

from blocks.errors import BodyError, ConfigError, PagingError, PagingLoop

__all__ = ["Arrays", "Countable", "Moved", "Numbered", "Rows", "Sent", "Shrunk"]


@runtime_checkable
class Numbered(Protocol):
    """A paginator that counts up by itself, and goes on where an API does not heed its number."""

    def rows(self, response: httpx.Response) -> bytes | None:
        """The records of a page as JSON; `None` without any."""
        ...


@runtime_checkable
class Countable(Protocol):
    """A paginator that knows the requests of all pages from one, as `blocks.stops.Until` may."""

    def rest(self, response: httpx.Response) -> Iterator[httpx.Request]:
        """The requests of all pages after `response`."""
        ...

    def follows(self, response: httpx.Response, request: httpx.Request | None) -> bool:
        """Whether `request` is for what follows `response`; `None` is the end."""
        ...

    def total(self, response: httpx.Response) -> int:
        """The total by which it knows."""
        ...


class Sent:
    """The requests of a run, to see one that was sent before, in bounded memory.

    A circle of at most `recent` requests (some 10 MB of marks) is seen at the first request that
    repeats. A longer one is seen too, by Brent's algorithm, after some three times as many requests
    as lead round it, or as led to it.
    """

    def __init__(self, recent: int = 65_536) -> None:
        self.count = 0
        self._most = recent
        self._recent: deque[bytes] = deque()
        self._known: set[bytes] = set()
        self._landmark = b""

    async def before(self, request: httpx.Request, previous: httpx.Response | None) -> bool:
        """Whether `request`, which follows `previous`, was here before; if not, remember it."""
        mark = await _mark(request, previous)
        if mark in self._known or mark == self._landmark:
            return True
        if len(self._recent) == self._most:
            self._known.remove(self._recent.popleft())
        self._recent.append(mark)
        self._known.add(mark)
        self.count += 1
        if self.count.bit_count() == 1:  # a power of two
            self._landmark = mark
        return False


class Rows:
    """The rows of the page before, to see a page of a `Numbered` paginator that has the same.

    With a cursor of the API's own they may be rows that are alike. With a number that we count up
    they mean that the API does not heed it, and would send the same page for ever. Pages without
    rows are no sign: some APIs filter after cutting pages.
    """

    def __init__(self, paginator: object) -> None:
        self._paginator = paginator if isinstance(paginator, Numbered) else None
        self._rows: bytes | None = None

    def check(self, page: httpx.Response) -> None:
        """Raise `PagingLoop` if `page` has the rows of the page before."""
        if self._paginator is None:
            return
        rows = self._paginator.rows(page)
        if rows is not None and rows == self._rows:
            raise PagingLoop("expected another page, got the rows of the page before", page)
        self._rows = rows


class Arrays:
    """Whether pages that began as arrays go on as arrays.

    An array has no room for what went wrong, so that an API tells it in an object instead, some
    with status 200, which a normalizer would take for one more record.
    """

    def __init__(self) -> None:
        self._expected = False

    def check(self, page: httpx.Response) -> None:
        """Raise `BodyError` if `page` is no array, and one before was."""
        start = page.content[:64].removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
        if self._expected and start != b"[":
            raise BodyError("expected an array as on the pages before, got other JSON", page)
        self._expected = start == b"["


class Moved:
    """Whether pages that were asked for beforehand still fit together."""

    def __init__(self, paginator: Countable) -> None:
        self._paginator = paginator
        self._total: int | None = None

    def check(self, page: httpx.Response, planned: httpx.Request | None) -> None:
        """Raise `PagingError` unless `planned` is what follows `page` and the total is as before.

        Call with each page in order.
        """
        total = self._paginator.total(page)
        if self._total not in {None, total}:
            message = f"expected a total of {self._total} as on the pages before, got {total}"
            raise PagingError(f"{message}: rows moved while they were read", page)
        self._total = total
        if not self._paginator.follows(page, planned):
            message = "expected this page to end where the next begins"
            raise PagingError(f"{message}: rows moved while they were read", page)


class Shrunk:
    """Whether a total that pages tell has become smaller.

    Then rows were deleted meanwhile, and those after them moved up, past where the next page
    begins. One that grows is no reason to stop: rows at the end are read, and those further in
    front at worst bring others a second time.
    """

    def __init__(self, paginator: object) -> None:
        self._paginator = paginator if isinstance(paginator, Countable) else None
        self._total = 0

    def check(self, page: httpx.Response) -> None:
        """Raise `PagingError` if the total of `page` is less than that of a page before."""
        if self._paginator is None:
            return
        try:
            total = self._paginator.total(page)
        except ConfigError:  # it ends by something else
            self._paginator = None
            return
        if total < self._total:
            message = f"expected a total of {self._total} as on the pages before, got {total}"
            raise PagingError(f"{message}: rows moved while they were read", page)
        self._total = total


async def _mark(request: httpx.Request, previous: httpx.Response | None) -> bytes:
    # Headers count where the paginator changed them, as a cursor may be in one; all others are the
    # client's and differ for other reasons, such as signatures and new tokens.
    before = request.headers.raw if previous is None else previous.request.headers.raw
    changed = [
        part
        for name, value in request.headers.raw
        if (name, value) not in before and name.lower() != b"content-length"
        for part in (name.lower(), value)
    ]
    # 16 bytes a page keep a long run small; two of 10^9 pages coincide in one of 10^20 runs.
    mark = hashlib.blake2b(digest_size=16)
    parts = [request.method.encode(), str(request.url).encode(), await request.aread()]
    for part in parts + changed:
        mark.update(len(part).to_bytes(8, "big"))
        mark.update(part)
    return mark.digest()
