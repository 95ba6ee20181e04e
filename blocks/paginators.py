"""Paginators: from a response to the next request.

A paginator is any callable `(httpx.Response) -> httpx.Request | None`; `None` says the page was the
last. Those here keep no state: all they know is the response and the request it answers. They end
where the API says so, and raise where it says something else; `blocks.stops.Until` sets another
end. `turn` and `follow` make your own:

>>> def next_page(response: httpx.Response) -> httpx.Request | None:
...     after = response.headers.get("x-after")
...     return turn(response.request, {"after": after}) if after else None
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import KW_ONLY, dataclass
from typing import Any, TypeAlias

import httpx

from blocks.errors import BodyError, ConfigError, PagingError, PagingLoop, where
from blocks.json import OrAbsent, Path, keys
from blocks.links import parse
from blocks.places import (
    Header,
    OrNull,
    Records,
    Source,
    Target,
    kind,
    put,
    read,
    records,
    sent,
    size,
)
from blocks.requests import follow, turn

__all__ = [
    "Keyset",
    "LinkHeader",
    "NextToken",
    "NextUrl",
    "Offset",
    "PageNumber",
    "Paginator",
    "SinglePage",
    "advance",
    "follow",
    "turn",
]

Paginator: TypeAlias = Callable[[httpx.Response], httpx.Request | None]


@dataclass(frozen=True, slots=True)
class SinglePage:
    """No next page: the first is all there is."""

    def __call__(self, response: httpx.Response) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class LinkHeader:
    """The page the `Link` header names with relation `rel` (RFC 8288); the last page names none.

    >>> request = httpx.Request("GET", "https://api.example.com/items")
    >>> headers = {"Link": '</items?page=2>; rel="next"'}
    >>> LinkHeader()(httpx.Response(200, headers=headers, request=request)).url
    URL('https://api.example.com/items?page=2')
    """

    rel: str = "next"

    def __post_init__(self) -> None:
        if len(self.rel.split()) != 1:
            raise ConfigError(f"rel: expected one relation type, got {self.rel!r}")

    def __call__(self, response: httpx.Response) -> httpx.Request | None:
        """The request of the next page."""
        try:
            links = parse(response.headers.get_list("link"))
        except ValueError as error:
            raise PagingError(str(error), response) from error
        rel = self.rel.lower()
        # A link with an anchor is about something other than this page (section 3.2).
        targets = {link.target for link in links if rel in link.rels and link.anchor is None}
        if len(targets) > 1:
            raise PagingError(f"expected one link to {rel!r}, got {len(targets)}", response)
        return advance(response, follow(response, targets.pop())) if targets else None


@dataclass(frozen=True, slots=True)
class NextUrl:
    """The page whose URL is at `source`: a path into the body, or a `Header`.

    The last page has null, false, "" or nothing there.

    >>> request = httpx.Request("GET", "https://api.example.com/items")
    >>> page = httpx.Response(200, json={"links": {"next": "?page=2"}}, request=request)
    >>> NextUrl("links.next")(page).url
    URL('https://api.example.com/items?page=2')
    """

    source: Source

    def __call__(self, response: httpx.Response) -> httpx.Request | None:
        """The request of the next page."""
        url = _next(response, self.source)
        if url is None:
            return None
        if not isinstance(url, str):
            raise PagingError(f"expected a URL at {self.source!r}, got {kind(url)}", response)
        return advance(response, follow(response, url))


@dataclass(frozen=True, slots=True)
class NextToken:
    """The same request with the token at `source` as `target`, a query parameter if it is text.

    The last page has null, false, "" or nothing there. Some APIs accept nothing beside a token but
    what belongs to it: with `keep`, only those of the other parameters stay (`keep=[]`: none).

    >>> request = httpx.Request("GET", "https://api.example.com/items?limit=50&status=open")
    >>> page = httpx.Response(200, json={"meta": {"next": "c2"}}, request=request)
    >>> NextToken("meta.next", "cursor")(page).url
    URL('https://api.example.com/items?limit=50&status=open&cursor=c2')
    >>> NextToken("meta.next", "cursor", keep=["limit"])(page).url
    URL('https://api.example.com/items?limit=50&cursor=c2')
    """

    source: Source
    target: Target
    _: KW_ONLY
    keep: Collection[str] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.keep, str):
            raise ConfigError(f"keep: expected a list of names, got {self.keep!r}")
        if self.keep is not None and isinstance(self.target, Header):
            raise ConfigError("keep: expected a token in the query or body, got a Header")

    def __call__(self, response: httpx.Response) -> httpx.Request | None:
        """The request of the next page."""
        token = _next(response, self.source)
        if token is None:
            return None
        if not isinstance(token, str | int) or token is True:
            raise PagingError(f"expected a token at {self.source!r}, got {kind(token)}", response)
        return advance(response, put(response.request, self.target, token, self.keep))


@dataclass(frozen=True, slots=True)
class Keyset:
    """The same request for what comes after the last record: its value at `key` as `target`.

    `records` is where the array of them is; a page with none is the last.

    >>> request = httpx.Request("GET", "https://api.example.com/charges?limit=2")
    >>> page = httpx.Response(200, json={"data": [{"id": "a"}, {"id": "b"}]}, request=request)
    >>> Keyset("data", "id", "starting_after")(page).url
    URL('https://api.example.com/charges?limit=2&starting_after=b')
    """

    records: Records
    key: Path
    target: Target

    def __call__(self, response: httpx.Response) -> httpx.Request | None:
        """The request of the next page."""
        if not size(response, self.records):
            return None
        place = self.records
        path = place.path if isinstance(place, OrAbsent | OrNull) else place
        value = read(response, [*keys(path), -1, *keys(self.key)])
        if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
            message = f"expected text or a whole number at {self.key!r} of the last record"
            raise PagingError(f"{message}, got {kind(value)}", response)
        return advance(response, put(response.request, self.target, value))


@dataclass(frozen=True, slots=True)
class PageNumber:
    """The same request with the number at `target` one higher; the first page has number `start`.

    Ends at a page whose array at `records` is empty; with `records=None` never, which is for
    `blocks.stops.Until`.

    >>> request = httpx.Request("GET", "https://api.example.com/items")
    >>> PageNumber(records="data")(httpx.Response(200, json={"data": [1]}, request=request)).url
    URL('https://api.example.com/items?page=2')
    """

    target: Target = "page"
    _: KW_ONLY
    start: int = 1
    records: Records | None = ""

    def __call__(self, response: httpx.Response) -> httpx.Request | None:
        """The request of the next page."""
        if self.records is not None and not size(response, self.records):
            return None
        return self.to(response.request, self.position(response.request) + 1)

    def position(self, request: httpx.Request) -> int:
        """How many pages come before the one `request` asks for."""
        return _position(request, self.target, self.start)

    def to(self, request: httpx.Request, position: int) -> httpx.Request:
        """`request` for the page that has `position` pages before it."""
        return put(request, self.target, self.start + position)

    def rows(self, response: httpx.Response) -> bytes | None:
        """The records of a page as JSON, by which to see one that repeats; `None` without any."""
        return None if self.records is None else _some(response, self.records)


@dataclass(frozen=True, slots=True)
class Offset:
    """The same request from the row after those received, asking for `limit` rows.

    Advances by the rows in the array at `records`, so a server may send fewer than asked for. Ends
    at an empty page. The first row has number `start`: 0, or 1 as in SCIM (RFC 7644, section
    3.4.2.4).

    >>> request = httpx.Request("GET", "https://api.example.com/items?offset=100")
    >>> Offset(100)(httpx.Response(200, json=[1, 2, 3], request=request)).url
    URL('https://api.example.com/items?offset=103&limit=100')
    """

    limit: int
    _: KW_ONLY
    offset_param: Target = "offset"
    limit_param: Target = "limit"
    start: int = 0
    records: Records = ""

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ConfigError(f"limit: expected at least 1, got {self.limit}")

    def __call__(self, response: httpx.Response) -> httpx.Request | None:
        """The request of the next page."""
        rows = size(response, self.records)
        if not rows:
            return None
        return self.to(response.request, self.position(response.request) + rows)

    def position(self, request: httpx.Request) -> int:
        """How many rows come before those that `request` asks for."""
        return _position(request, self.offset_param, self.start)

    def to(self, request: httpx.Request, position: int) -> httpx.Request:
        """`request` for the rows that have `position` rows before them."""
        moved = put(request, self.offset_param, self.start + position)
        return put(moved, self.limit_param, self.limit)

    def rows(self, response: httpx.Response) -> bytes | None:
        """The records of a page as JSON, by which to see one that repeats; `None` without any."""
        return _some(response, self.records)


def advance(response: httpx.Response, request: httpx.Request) -> httpx.Request:
    """`request`, or `PagingLoop` if it is the one that `response` answers.

    For paginators that follow what the server says. Longer loops are seen by who sends the
    requests.
    """
    old = response.request
    if (request.url, request.content, request.headers) == (old.url, old.content, old.headers):
        raise PagingLoop("expected another page, got this one again", response)
    return request


def _next(response: httpx.Response, source: Source) -> Any:
    value = read(response, source)
    if value is None and not isinstance(source, Header) and (steps := keys(source)):
        # An absent key says "the last page" only in a document that could have held it.
        what, opening = ("object", b"{") if isinstance(steps[0], str) else ("array", b"[")
        if not response.content.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(opening):
            raise BodyError(f"expected an {what} with {source!r}, got other JSON", response)
    return None if value is False or value == "" else value


def _position(request: httpx.Request, target: Target, start: int) -> int:
    if (position := sent(request, target, start) - start) < 0:
        message = f"expected {start} or more as {target!r}, got {start + position}"
        raise PagingError(f"{message} ({where(request)})")
    return position


def _some(response: httpx.Response, place: Records) -> bytes | None:
    count, text = records(response, place)
    return text if count else None
