"""The ready-made client: httpx's, with every block of this package at its place.

    request -> Redirects -> SameOrigin -> Retry -> Limited -> Whole -> Connections -> response

Each is a transport and works alone; leave out or exchange what you like with `httpx.AsyncClient`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from blocks import __version__
from blocks.bodies import Whole
from blocks.connections import Connections
from blocks.errors import ConfigError, ForeignOrigin, where
from blocks.limits import Limit, Limited
from blocks.logs import hide_queries
from blocks.redirects import Redirects
from blocks.retries import Retry

__all__ = ["SameOrigin", "client"]


def client(
    base_url: str,
    *,
    auth: httpx.Auth | None = None,
    limit: Limit | None = None,
    retry: Callable[[httpx.AsyncBaseTransport], httpx.AsyncBaseTransport] = Retry,
    timeout: float = 60.0,
    headers: Mapping[str, str] | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> httpx.AsyncClient:
    """An `httpx.AsyncClient` for one API: same origin only, limited, retried, bodies whole.

    Whatever request is sent, by whom ever, to another scheme, host or port than `base_url`'s raises
    `ForeignOrigin` before a byte or a credential leaves. Redirects are followed within it, as
    `blocks.redirects.Redirects` says; one to files elsewhere where that is allowed by name,
    `transport=RedirectsTo(Connections(), ["https://files.example.com"])`. Where nobody knows the
    name beforehand, a client without credentials, `blocks.downloads.storage`, takes a new request
    to its `Location` (httpx's `next_request` has the headers of the old one).

    `limit` holds for everybody it is given to. `retry` wraps a transport: `functools.partial(Retry,
    attempts=8)`, or `lambda transport: transport` for none. `timeout` is in seconds, for each wait
    (a connection, the next bytes), and five times it for one attempt as a whole, body included, so
    that no server holds it by dripping. Environment variables (proxies, `.netrc`) are not heeded.

    `transport` is by default `blocks.connections.Connections`, on aiohttp: of what exists for httpx
    the least CPU for pages, and with 32 requests in flight a fifth of httpx's own
    (bench/transports.py); widely used and kept up; and, unlike the ones in Rust, at home in forked
    processes. For trio, pass `httpx.AsyncHTTPTransport()`.

    What bodies say is for rules: `transport=Judged(Connections(), Value("ok", False))` (see
    `blocks.rules`) marks it so that limit, retry, auth and `pages` act on it. A body is at most 256
    MiB, and 32 MiB where that is more than 100 times what was sent; another bound is set by
    `transport=Whole(Connections(), largest=2**30)` (see `blocks.bodies`).

    Closing is optional: forgotten, its connections close when it is garbage-collected.

    >>> from blocks.limits import Rate
    >>> api = client("https://api.example.com/v1", limit=Rate(10))
    >>> str(api.build_request("GET", "/items", params={"page": 1}).url)
    'https://api.example.com/v1/items?page=1'
    """
    url = httpx.URL(base_url)
    if url.scheme not in {"http", "https"} or not url.host:
        raise ConfigError(f"base_url needs a scheme and a host, got {url.scheme}://{url.host}")
    if url.userinfo or url.query or url.fragment:
        raise ConfigError("base_url is scheme, host and path; credentials go into `auth`")
    if not timeout > 0:
        raise ConfigError(f"timeout is more than 0 seconds, got {timeout!r}")
    bare: httpx.AsyncBaseTransport = Whole(transport or Connections(), timeout=5 * timeout)
    guarded = SameOrigin(retry(bare if limit is None else Limited(bare, limit)), base_url)
    hide_queries()
    return _Client(
        base_url=url,
        auth=auth,
        # gzip alone: what is offered must be what `Whole` decodes, and bounds.
        headers={"Accept-Encoding": "gzip", "User-Agent": f"dlt-blocks/{__version__}"}
        | dict(headers or {}),
        timeout=timeout,
        transport=Redirects(guarded),
        trust_env=False,
        follow_redirects=False,
    )


class SameOrigin(httpx.AsyncBaseTransport):
    """A transport that refuses requests to any other origin than that of the URL `origin`.

    Scheme, host and port must be equal, as httpx has normalized them, and no user may be named in
    the URL: httpx and others would send it instead of the credentials at hand. Outermost, it sees
    whatever auth flows, redirects and paginators have built, before anything is sent. A token
    request (`blocks.exchanges`) goes to its own URL, wherever that is, and nowhere else.

    >>> api = httpx.AsyncClient(transport=SameOrigin(httpx.AsyncHTTPTransport(), "https://api"))
    """

    def __init__(self, transport: httpx.AsyncBaseTransport, origin: str) -> None:
        self._transport = transport
        self._origin = _origin(httpx.URL(origin))

    def __repr__(self) -> str:
        scheme, host, port = self._origin
        return f"SameOrigin({self._transport!r}, '{scheme}://{host}:{port}')"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The response, or `ForeignOrigin`."""
        # Set by an auth flow of ours. A redirect would copy it, but has another URL; no server and
        # no paginator can set it, as next pages are at the origin of the page before.
        token_url = request.extensions.get("token_url")
        at_home = _origin(request.url) == self._origin
        if not (at_home if token_url is None else str(request.url) == token_url):
            scheme, host, port = self._origin
            message = f"expected a request to {scheme}://{host}:{port}"
            raise ForeignOrigin(f"{message}, got {request.url.scheme}, {where(request)}; not sent")
        if request.url.userinfo:
            raise ForeignOrigin(f"expected a URL without a user: {where(request)}; not sent")
        response = await self._transport.handle_async_request(request)
        response.request = request
        _check_location(response)
        return response

    async def aclose(self) -> None:
        """Close the transport within."""
        await self._transport.aclose()


class _Client(httpx.AsyncClient):
    """httpx's client, which looks for cookies only where some are set.

    httpx dresses each response, and the request, for the standard library's jar: a tenth of the CPU
    of a small request over a transport that costs none.
    """

    _kept: httpx.Cookies | None = None

    @property
    def cookies(self) -> httpx.Cookies:
        """Those that responses have set, and those given."""
        if self._kept is None:
            self._kept = _Cookies()
        return self._kept

    @cookies.setter
    def cookies(self, cookies: Any) -> None:
        self._kept = _Cookies(cookies)


class _Cookies(httpx.Cookies):
    def extract_cookies(self, response: httpx.Response) -> None:
        if "set-cookie" in response.headers:
            super().extract_cookies(response)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _check_location(response: httpx.Response) -> None:
    # httpx makes a request of it, followed or not, and knows no URLs but those with a host:
    # `javascript:` and `mailto:` end in an error that is not one of `httpx.HTTPError`.
    if not response.has_redirect_location:
        return
    scheme = _SCHEME.match(response.headers["location"])
    if scheme and scheme[1].lower() not in {"http", "https"}:
        message = f"expected a redirect to http or https, got one to {scheme[1]}"
        raise ForeignOrigin(message, response)


_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]{0,30}):")
