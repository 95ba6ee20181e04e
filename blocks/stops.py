"""Stops: what says that a page was the last, where the paginator alone cannot know.

A stop is any callable `(httpx.Response) -> bool`. `Until` sets it over any paginator:

| the API says | for example |
|---|---|
| nothing: an empty page is the last | `Until(NextToken("cursor", "cursor"), Empty("items"))` |
| a flag | `Until(Keyset("data", "id", "starting_after"), Flag("has_more"))` |
| how many pages there are | `Until(PageNumber(records="data"), TotalPages("meta.pages"))` |
| how many rows, in pages | `Until(PageNumber(records="data"), TotalPages("total", size=50))` |
| how many rows, by offset | `Until(Offset(100, records="data"), TotalRows("total"))` |
| nothing, newest first | `Until(LinkHeader(), Older("updated_at", records="", than=seen.since))` |

An API that answers the request after the last page with an error is for `past` of
`blocks.fetch.pages`, as that answer is no page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass
from typing import TypeAlias

import httpx

from blocks.errors import ConfigError, PagingError
from blocks.json import Path
from blocks.kinds import Kind, kind_for
from blocks.paginators import Offset, PageNumber, Paginator
from blocks.places import Records, Source, size, truth, values, whole

__all__ = ["Empty", "Flag", "Older", "Stop", "TotalPages", "TotalRows", "Until"]

Stop: TypeAlias = Callable[[httpx.Response], bool]


@dataclass(frozen=True, slots=True)
class Empty:
    """The array at `records` is empty.

    >>> Empty("items")(httpx.Response(200, json={"items": []}))
    True
    """

    records: Records

    def __call__(self, response: httpx.Response) -> bool:
        """Whether `response` is the last page."""
        return not size(response, self.records)


@dataclass(frozen=True, slots=True)
class Flag:
    """The boolean at `source` is `last`: `Flag("has_more")`, `Flag("is_last", last=True)`.

    It may be written as text, or as 0 and 1. Absent, it is an error.

    >>> Flag("has_more")(httpx.Response(200, json={"has_more": "false"}))
    True
    """

    source: Source
    _: KW_ONLY
    last: bool = False

    def __call__(self, response: httpx.Response) -> bool:
        """Whether `response` is the last page."""
        return truth(response, self.source) is self.last


@dataclass(frozen=True, slots=True)
class Older:
    """All records of a page are older than `than` by their value at `key`.

    For lists sorted newest first that no parameter cuts off: what a cursor has is not read again.
    Values are compared as points of `kind` (that of `than`, if not given), so their precision and
    offset do not matter. One record that is not older, or has no value, is reason to go on: records
    may lie out of order by up to a page. So is an empty page.

    The end of the list is an end as well, and the only one in a first run. A cursor over such a
    list is at its final value after the first page. That is safe in `blocks.dlt`, which commits a
    state with all rows of the run or not at all; elsewhere keep it until all pages are through.

    >>> page = httpx.Response(200, json=[{"at": "2024-05-01T12:00:00.5+02:00"}])
    >>> Older("at", records="", than="2024-05-01T10:00:00Z")(page)
    False
    >>> Older("at", records="", than="2024-05-01T10:00:01Z")(page)
    True
    """

    key: Path
    _: KW_ONLY
    records: Records
    than: str | int
    kind: Kind | None = None

    def __call__(self, response: httpx.Response) -> bool:
        """Whether no page after `response` has anything new."""
        kind = self.kind or kind_for(self.than)
        bound = kind.read(self.than)
        found = values(response, self.records, self.key)
        return bool(found) and all(each is not None and kind.read(each) < bound for each in found)


@dataclass(frozen=True, slots=True)
class TotalPages:
    """As many pages as the number at `source` says, or as many rows, where `size` are on a page.

    For `PageNumber`. Every page but the last then must have `size` rows: a server that sends fewer
    than asked for has more pages than this would count.
    """

    source: Source
    _: KW_ONLY
    size: int | None = None

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 1:
            raise ConfigError(f"size: expected at least 1 row on a page, got {self.size}")

    def rest(self, response: httpx.Response, paginator: PageNumber) -> range:
        """The positions of all pages after `response`."""
        total = whole(response, self.source)
        pages = total if self.size is None else -(-total // self.size)
        done = paginator.position(response.request) + 1
        if paginator.records is not None:
            rows = size(response, paginator.records)
            if rows and done > pages:
                raise PagingError(f"expected rows on {pages} pages, got some after", response)
            if self.size is not None and done <= pages:
                expected = min(self.size, total - (done - 1) * self.size)
                if rows != expected:
                    message = f"expected {expected} rows on page {done} of {pages}, got {rows}"
                    raise PagingError(message, response)
        return range(done, pages)


@dataclass(frozen=True, slots=True)
class TotalRows:
    """As many rows as the number at `source` says. For `Offset`."""

    source: Source

    def rest(self, response: httpx.Response, paginator: Offset) -> range:
        """The positions of all pages after `response`, taking each to have as many rows as it."""
        total = whole(response, self.source)
        rows = size(response, paginator.records)
        seen = paginator.position(response.request) + rows
        if rows and seen > total:
            # So does a count that is capped, as search engines do.
            raise PagingError(f"expected {total} rows, got {seen}", response)
        if not rows and seen < total:
            raise PagingError(f"expected {total} rows, got none after {seen}", response)
        return range(seen, total, max(1, rows))


@dataclass(frozen=True, slots=True)
class Until:
    """The pages of `paginator` up to the one of which `stop` says that it is the last.

    `stop` alone decides: where it says there are more and `paginator` finds none, that is an error.
    `Older` is another end beside that of the list itself.
    With a total it also knows all requests beforehand, for `blocks.fetch.gather`.

    >>> paginator = Until(PageNumber(records="data"), TotalPages("pages"))
    >>> request = httpx.Request("GET", "https://api.example.com/items?page=2")
    >>> page = httpx.Response(200, json={"data": [4, 5, 6], "pages": 4}, request=request)
    >>> [request.url.query for request in paginator.rest(page)]
    [b'page=3', b'page=4']
    >>> paginator(page).url.query
    b'page=3'
    """

    paginator: Paginator
    stop: Stop | TotalPages | TotalRows

    def __post_init__(self) -> None:
        stop, paginator = self.stop, self.paginator
        if isinstance(stop, TotalPages):
            if not isinstance(paginator, PageNumber):
                raise ConfigError(f"TotalPages: expected a PageNumber, got {paginator!r}")
            if stop.size is not None and paginator.records is None:
                raise ConfigError("TotalPages: with a size, PageNumber needs to know its records")
        if isinstance(stop, TotalRows) and not isinstance(paginator, Offset):
            raise ConfigError(f"TotalRows: expected an Offset, got {paginator!r}")

    def __call__(self, response: httpx.Response) -> httpx.Request | None:
        """The request of the next page."""
        if isinstance(self.stop, TotalPages | TotalRows):
            return next(self.rest(response), None)
        if self.stop(response):
            return None
        following = self.paginator(response)
        if following is None and not isinstance(self.stop, Older):
            message = f"expected a next page, as {self.stop!r} is not reached, got none"
            raise PagingError(message, response)
        return following

    def rest(self, response: httpx.Response) -> Iterator[httpx.Request]:
        """The requests of all pages after `response`; needs a total."""
        paginator, positions = self._rest(response)
        return (paginator.to(response.request, position) for position in positions)

    def follows(self, response: httpx.Response, request: httpx.Request | None) -> bool:
        """Whether `request` is for what follows `response`; `None` is the end. Needs a total."""
        paginator, positions = self._rest(response)
        if request is None or not positions:
            return request is None and not positions
        return paginator.position(request) == positions[0]

    def total(self, response: httpx.Response) -> int:
        """The total that `response` says."""
        if isinstance(self.stop, TotalPages | TotalRows):
            return whole(response, self.stop.source)
        raise ConfigError(f"expected a total, by which the rest is known, got {self.stop!r}")

    def rows(self, response: httpx.Response) -> bytes | None:
        """The records of a numbered page as JSON; `None` without any, or if they are not known."""
        if isinstance(self.paginator, PageNumber | Offset):
            return self.paginator.rows(response)
        return None

    def _rest(self, response: httpx.Response) -> tuple[PageNumber | Offset, range]:
        match self.stop, self.paginator:
            case TotalPages() as pages, PageNumber() as numbered:
                return numbered, pages.rest(response, numbered)
            case TotalRows() as rows, Offset() as offset:
                return offset, rows.rest(response, offset)
        raise ConfigError(f"expected a total, by which the rest is known, got {self.stop!r}")
