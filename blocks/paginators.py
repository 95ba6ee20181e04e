"""Paginators: from a response to the next request.

A paginator is any callable `(httpx.Response) -> httpx.Request | None`; `None` says the page was the
last. Those here keep no state: all they know is the response and the request it answers. They end
where the API says so, and raise where it says something else. `turn` and `follow` make your own:

>>> def next_page(response: httpx.Response) -> httpx.Request | None:
...     after = response.headers.get("x-after")
...     return turn(response.request, {"after": after}) if after else None
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, TypeVar
from urllib.parse import quote, unquote_plus

import httpx
import msgspec

from blocks.errors import BodyError, ConfigError, ForeignOrigin, PagingError, PagingLoop, where
from blocks.json import Path, count, peek
from blocks.links import origin, parse, resolve

__all__ = ["LinkHeader", "NextToken", "NextUrl", "Offset", "PageNumber", "follow", "turn"]

_T = TypeVar("_T")


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
        return _advance(response, follow(response, targets.pop())) if targets else None


@dataclass(frozen=True, slots=True)
class NextUrl:
    """The page whose URL is at `path` in the body.

    The last page has null, false, "" or nothing there.

    >>> request = httpx.Request("GET", "https://api.example.com/items")
    >>> page = httpx.Response(200, json={"links": {"next": "?page=2"}}, request=request)
    >>> NextUrl("links.next")(page).url
    URL('https://api.example.com/items?page=2')
    """

    path: Path

    def __call__(self, response: httpx.Response) -> httpx.Request | None:
        """The request of the next page."""
        url = _next(response, self.path)
        if url is None:
            return None
        if not isinstance(url, str):
            raise PagingError(f"expected a URL at {self.path!r}, got {_kind(url)}", response)
        return _advance(response, follow(response, url))


@dataclass(frozen=True, slots=True)
class NextToken:
    """The same request with the token at `path` as query parameter `param`.

    The last page has null, false, "" or nothing there.

    >>> request = httpx.Request("GET", "https://api.example.com/items")
    >>> page = httpx.Response(200, json={"meta": {"next": "c2"}}, request=request)
    >>> NextToken("meta.next", "cursor")(page).url
    URL('https://api.example.com/items?cursor=c2')
    """

    path: Path
    param: str

    def __call__(self, response: httpx.Response) -> httpx.Request | None:
        """The request of the next page."""
        token = _next(response, self.path)
        if token is None:
            return None
        if not isinstance(token, str | int) or token is True:
            raise PagingError(f"expected a token at {self.path!r}, got {_kind(token)}", response)
        return _advance(response, turn(response.request, {self.param: token}))


@dataclass(frozen=True, slots=True)
class PageNumber:
    """The same request with query parameter `param` one higher; the first page has number `start`.

    Ends at the number of pages at `total_pages`, where given, else at a page whose array at
    `records` is empty.

    >>> request = httpx.Request("GET", "https://api.example.com/items")
    >>> PageNumber(records="data")(httpx.Response(200, json={"data": [1]}, request=request)).url
    URL('https://api.example.com/items?page=2')
    """

    param: str = "page"
    _: KW_ONLY
    start: int = 1
    records: Path = ""
    total_pages: Path | None = None

    def __call__(self, response: httpx.Response) -> httpx.Request | None:
        """The request of the next page."""
        rows = _rows(response, self.records)
        page = _asked(response, self.param, self.start)
        if self.total_pages is None:
            more = rows > 0
        else:
            pages, done = _total(response, self.total_pages), page - self.start + 1
            if rows and done > pages:
                raise PagingError(f"expected rows on {pages} pages, got some after", response)
            more = done < pages
        return turn(response.request, {self.param: page + 1}) if more else None


@dataclass(frozen=True, slots=True)
class Offset:
    """The same request from the row after those received, asking for `limit` rows.

    Advances by the rows in the array at `records`, so a server may send fewer than asked for. Ends
    at the number of rows at `total`, where given, else at an empty page.

    >>> request = httpx.Request("GET", "https://api.example.com/items?offset=100")
    >>> Offset(100)(httpx.Response(200, json=[1, 2, 3], request=request)).url
    URL('https://api.example.com/items?offset=103&limit=100')
    """

    limit: int
    _: KW_ONLY
    offset_param: str = "offset"
    limit_param: str = "limit"
    records: Path = ""
    total: Path | None = None

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ConfigError(f"limit: expected at least 1, got {self.limit}")

    def __call__(self, response: httpx.Response) -> httpx.Request | None:
        """The request of the next page."""
        rows = _rows(response, self.records)
        seen = _asked(response, self.offset_param, 0) + rows
        if self.total is None:
            more = rows > 0
        else:
            total = _total(response, self.total)
            more = seen < total
            if more and not rows:
                raise PagingError(f"expected {total} rows, got none after {seen}", response)
        changes = {self.offset_param: seen, self.limit_param: self.limit}
        return turn(response.request, changes) if more else None


def follow(response: httpx.Response, url: str) -> httpx.Request:
    """The request `response` answers, again, for `url`, which may be relative to that request's.

    Method, headers, body and extensions are kept; that is safe as scheme, host and port stay too: a
    `url` with others, with user info or with characters that parsers read differently raises
    `ForeignOrigin`.
    """
    base = response.request.url
    if _AMBIGUOUS.search(url):
        raise ForeignOrigin("next page's URL has a backslash, control or outer space", response)
    try:
        target = httpx.URL(url)
        if target.scheme not in ("", "http", "https"):
            raise ForeignOrigin(f"expected an http URL, got scheme {target.scheme!r}", response)
        if target.userinfo:
            raise ForeignOrigin("next page's URL has user info", response)
        target = resolve(base, target)
        if origin(target) != origin(base):
            message = f"next page leaves {origin(base)} for {origin(target)}"
            raise ForeignOrigin(message, response)
        # The base's own spelling of the origin, whatever the target's.
        target = base.copy_with(raw_path=target.raw_path, fragment=None)
    except (httpx.InvalidURL, UnicodeError):
        # Not chained: httpx's message quotes the URL.
        raise PagingError("expected a URL for the next page, got other text", response) from None
    return _copy(response.request, target)


def turn(request: httpx.Request, params: Mapping[str, str | int]) -> httpx.Request:
    """`request` again, with query parameters replaced, or added where they are not there.

    The bytes of the others stay as they are.

    >>> turn(httpx.Request("GET", "https://api.example.com/items?page=1&q=a,b"), {"page": 2}).url
    URL('https://api.example.com/items?page=2&q=a,b')
    """
    new = {name: f"{quote(name, safe='')}={quote(str(params[name]), safe='')}" for name in params}
    pairs = [
        new.pop(name, "") if (name := unquote_plus(pair.partition("=")[0])) in params else pair
        for pair in request.url.query.decode("ascii").split("&")
    ]
    query = "&".join(pair for pair in [*pairs, *new.values()] if pair)
    try:
        return _copy(request, request.url.copy_with(query=query.encode("ascii") or None))
    except httpx.InvalidURL:  # longer than httpx allows
        raise PagingError(f"expected parameters that fit a URL ({where(request)})") from None


# What URL parsers disagree on: browsers read a backslash as a slash and drop tabs and line ends.
_AMBIGUOUS = re.compile(r"^\s|\s$|[\x00-\x1f\x7f\\]")


def _copy(request: httpx.Request, url: httpx.URL) -> httpx.Request:
    try:
        body = request.content
    except httpx.RequestNotRead:
        message = f"expected a body that can be sent again, got a stream ({where(request)})"
        raise PagingError(message) from None
    return httpx.Request(
        request.method, url, headers=request.headers, content=body, extensions=request.extensions
    )


def _advance(response: httpx.Response, request: httpx.Request) -> httpx.Request:
    # Only the URL can differ. Longer loops are seen by whoever sends the requests.
    if request.url == response.request.url:
        raise PagingLoop("expected another page, got this one again", response)
    return request


def _next(response: httpx.Response, path: Path) -> Any:
    value = _read(response, peek, path)
    if value is None and path:
        # An absent key says "the last page" only in a document that could have held it.
        kind, opening = ("array", b"[") if isinstance(path[0], int) else ("object", b"{")
        if not response.content.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(opening):
            raise BodyError(f"expected an {kind} with {path!r}, got other JSON", response)
    return None if value is False or value == "" else value


def _rows(response: httpx.Response, path: Path) -> int:
    rows = _read(response, count, path)
    if rows is None:
        got = _kind(_read(response, peek, path))
        raise BodyError(f"expected an array of records at {path!r}, got {got}", response)
    return rows


def _total(response: httpx.Response, path: Path) -> int:
    value = _read(response, peek, path)
    if (number := _whole(value)) is None:
        raise BodyError(f"expected a whole number at {path!r}, got {_kind(value)}", response)
    return number


def _read(response: httpx.Response, reader: Callable[[bytes, Path], _T], path: Path) -> _T:
    try:
        return reader(response.content, path)
    except msgspec.DecodeError as error:
        got = f"{len(response.content)} bytes of {response.headers.get('content-type', 'no type')}"
        raise BodyError(f"expected JSON, got {got}: {error}", response) from error


def _asked(response: httpx.Response, param: str, default: int) -> int:
    text = response.request.url.params.get(param, str(default))
    if (number := _whole(text)) is None:
        raise PagingError(f"expected a whole number as {param!r}, got other text", response)
    return number


def _whole(value: Any) -> int | None:
    # As text too: APIs send totals as "250". Up to 19 digits: int() of many is slow or refused.
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return value if isinstance(value, int) and value >= 0 and not isinstance(value, bool) else None


def _kind(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__
