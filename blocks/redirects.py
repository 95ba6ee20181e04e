"""Redirects: followed at home with everything, elsewhere by name and with nothing.

Elsewhere are files mostly, behind links that an API hands out as redirects. Links in bodies are for
`blocks.downloads`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

import httpx

from blocks.connections import Connections
from blocks.errors import ConfigError, ForeignOrigin, PagingError, StatusError, where
from blocks.links import origin, rebase, reference, resolve
from blocks.outcomes import verdict
from blocks.requests import follow

__all__ = ["Redirects", "RedirectsTo"]

logger = logging.getLogger(__name__)

# One is usual, three are seen; browsers stop at 20.
_MOST = 10
_READS = {"GET", "HEAD"}
# What another server needs to know of us. All others may be credentials, or an API's own.
_PLAIN = {"accept", "accept-encoding", "if-range", "range", "user-agent"}


class Redirects(httpx.AsyncBaseTransport):
    """A transport that follows redirects within the origin of the request: scheme, host and port.

    Of a GET or HEAD all kinds, with the same method; of others 307 and 308, with the same method
    and body. A 301, 302 or 303 would make a GET of a POST (RFC 9110, section 15.4): it is returned
    as it came, which `blocks.fetch.pages` takes for an error, as are redirects to other origins,
    those whose `Location` parsers read differently, and those that a rule has marked. Requests for
    tokens are not followed anywhere. More than 10 in a row, or one to where it has been, raise
    `StatusError`. Cookies that a redirect sets are not sent on.

    Outermost, it has each hop pass the guard, the retries and the limit below, and be signed anew.
    A key of `blocks.auth.QueryKey` goes along, whether the server repeats it or not.

    The answer is that to the request as it was made: `response.request` has the first URL, and
    later pages are asked for as it was, as a redirect may lead elsewhere by then (RFC 9110, 15.4.3
    and 15.4.8). References in it are relative to the URL it came from (RFC 3986, section 5.1.3), as
    `blocks.requests.follow` knows. A listing that has moved for good costs two requests a page: the
    log says so.

    >>> api = httpx.AsyncClient(transport=Redirects(httpx.AsyncHTTPTransport()))
    """

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    def __repr__(self) -> str:
        return f"Redirects({self._transport!r})"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The first answer that leads no further."""
        response = await self._transport.handle_async_request(request)
        if not _leads_on(request, response):
            return response
        response.request = request
        key = request.extensions.get("query_key")
        seen = {request.url if key is None else key.unkeyed(request.url)}
        while following := _following(response):
            if key is not None:
                following.url = key.unkeyed(following.url)
            await response.aclose()
            _check(following.url, seen, response)
            logger.info("%d leads to %s", response.status_code, where(following))
            sent = following if key is None else key.keyed(following)
            response = await self._transport.handle_async_request(sent)
            rebase(response, following.url)
            response.request = sent
            if not _leads_on(sent, response):
                break
        response.request = request
        return response

    async def aclose(self) -> None:
        """Close the transport within."""
        await self._transport.aclose()


class RedirectsTo(httpx.AsyncBaseTransport):
    """A transport that follows redirects of a GET or HEAD to `origins`, without credentials.

    With the ready-made client, right above the connections, so that a link that has expired is
    asked for anew by the retries: `client(url, transport=RedirectsTo(Connections(),
    ["https://files.example.com"]))`. An origin is scheme, host and port, one by one.

    Sent there is a request of its own: no header of the first but what it accepts, its range and
    the user agent, no body, and no key of `blocks.auth.QueryKey` that the API repeats in its
    redirect. `https` is not left for `http`. It goes `through` a transport that connects to nothing
    but the public internet, unless given; `RedirectsTo(..., through=Connections())` is for files
    inside. Other redirects of the API are returned as they came; one of theirs that leads back, or
    to anybody else, raises `ForeignOrigin`, too many raise `StatusError`. Cookies that they set are
    dropped.

    >>> allowed = RedirectsTo(httpx.AsyncHTTPTransport(), ["https://files.example.com"])
    >>> api = httpx.AsyncClient(transport=allowed)
    """

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        origins: Collection[str],
        *,
        through: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._transport = transport
        self._origins = sorted({_named(text) for text in origins})
        self._through = through or Connections(public=True)

    def __repr__(self) -> str:
        return f"RedirectsTo({self._transport!r}, {self._origins}, through={self._through!r})"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer of the API, or that of the last one it leads to."""
        response = await self._transport.handle_async_request(request)
        if not _leads_on(request, response):
            return response
        response.request = request
        url = self._allowed(request, response)
        if url is None:
            return response
        seen = {request.url}
        while True:
            await response.aclose()
            _check(url, seen, response)
            sent = _bare(request, url)
            logger.info("%d leads to %s", response.status_code, where(sent))
            response = await self._through.handle_async_request(sent)
            response.request = sent
            if not response.has_redirect_location:
                break
            url = self._allowed(request, response)
            if url is None:
                await response.aclose()
                raise ForeignOrigin("expected a redirect to an origin that was named", response)
        response.headers.pop("set-cookie", None)
        rebase(response, url)
        response.request = request
        return response

    async def aclose(self) -> None:
        """Close both transports."""
        await self._transport.aclose()
        await self._through.aclose()

    def _allowed(self, request: httpx.Request, response: httpx.Response) -> httpx.URL | None:
        """Where `response` leads, if that is elsewhere and allowed."""
        base, location = response.request.url, _location(response)
        if request.method not in _READS or location is None:
            return None
        try:
            url = resolve(base, reference(location))
        except (httpx.InvalidURL, ValueError):
            return None
        falls = (base.scheme, url.scheme) == ("https", "http")
        if falls or origin(url) == origin(request.url) or origin(url) not in self._origins:
            return None
        key = request.extensions.get("query_key")
        return url if key is None else key.unkeyed(url)


def _leads_on(request: httpx.Request, response: httpx.Response) -> bool:
    # What a rule has marked is for whoever acts upon that.
    return (
        response.has_redirect_location
        and "token_url" not in request.extensions
        and not verdict(response).reason
    )


def _following(response: httpx.Response) -> httpx.Request | None:
    """The request that `response` redirects to, if it may be followed."""
    location = _location(response)
    if location is None or (
        response.status_code not in {307, 308} and response.request.method not in _READS
    ):
        return None
    try:
        return follow(response, location)
    except PagingError:  # another origin, no URL, or a body that was a stream
        return None


def _location(response: httpx.Response) -> str | None:
    found: list[str] = response.headers.get_list("location")
    return found[0] if len(found) == 1 else None


def _check(url: httpx.URL, seen: set[httpx.URL], response: httpx.Response) -> None:
    if url in seen:
        raise StatusError("expected an answer, got redirects that go round in circles", response)
    if len(seen) > _MOST:
        raise StatusError(f"expected an answer after {_MOST} redirects, got another one", response)
    seen.add(url)


def _bare(request: httpx.Request, url: httpx.URL) -> httpx.Request:
    headers = [item for item in request.headers.multi_items() if item[0] in _PLAIN]
    timeout = request.extensions.get("timeout")
    extensions = {} if timeout is None else {"timeout": timeout}
    return httpx.Request(request.method, url, headers=headers, extensions=extensions)


def _named(text: str) -> str:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        raise ConfigError("origins: expected URLs, got other text") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise ConfigError(f"origins: expected scheme and host, got {url.scheme}://{url.host}")
    if url.userinfo or url.raw_path != b"/" or url.fragment:
        raise ConfigError(f"origins: expected scheme, host and port alone for {url.host}")
    return origin(url)
