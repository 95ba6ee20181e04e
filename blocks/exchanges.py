"""Exchanges: credentials for a token, apart from the requests that the token is for.

An auth flow has the client send them, through the same limit, retries and timeout; nothing of the
API's request goes along, and nothing of the answer stays where others find it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx

from blocks.errors import AuthError, ConfigError

__all__ = ["apart", "endpoint", "token_request"]


def endpoint(text: str) -> httpx.URL:
    """The URL of a token or login endpoint; it may have a query, but holds no user.

    >>> endpoint("https://me:s3cret@login.example.com/token")
    Traceback (most recent call last):
    blocks.errors.ConfigError: expected a URL without user and fragment
    """
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        raise ConfigError("expected the URL of an endpoint, got other text") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise ConfigError(f"expected a URL with scheme and host, got {url.scheme}://{url.host}")
    if url.userinfo or url.fragment:
        raise ConfigError("expected a URL without user and fragment")
    return url


def token_request(
    url: httpx.URL, content: bytes, headers: dict[str, str], like: httpx.Request
) -> httpx.Request:
    """A POST of credentials to `url`, with the timeout of `like`, and nothing else of it.

    Its extension `token_url` tells transports that it may go there, to another origin than the
    API's, and nowhere else; and that it may be repeated. A redirect does not take the body along.

    >>> api = httpx.Request("GET", "https://api.example.com", headers={"Cookie": "a=b"})
    >>> token_request(httpx.URL("https://login.example.com"), b"{}", {}, api).headers
    Headers({'host': 'login.example.com', 'accept': 'application/json', 'content-length': '2'})
    """
    own = {"Host": url.netloc.decode("ascii"), "Accept": "application/json", **headers}
    if agent := like.headers.get("User-Agent"):
        own["User-Agent"] = agent
    extensions = {"timeout": like.extensions["timeout"]} if "timeout" in like.extensions else {}
    return httpx.Request(
        "POST",
        url,
        headers={**own, "Content-Length": str(len(content))},
        stream=_Once(content),
        extensions={**extensions, "token_url": str(url)},
    )


def apart(response: httpx.Response, body: bytes) -> httpx.Response:
    """The answer to a token request, with `body`, for whoever asked for it alone.

    `response`, which httpx keeps in the history of what follows, is left without credentials: its
    body empty, its request a bare one with the extension `token_url`, by which errors about it are
    known. One that came from elsewhere, as the client followed a redirect, raises `AuthError`.
    """
    sent = response.request
    url = sent.url.copy_with(query=None)
    bare = httpx.Request(sent.method, url, extensions={"token_url": str(url)})
    dropped = {b"content-encoding", b"content-length", b"transfer-encoding"}  # the body is decoded
    # As bytes: httpx reads headers that are no ASCII, but writes none.
    headers = [item for item in response.headers.raw if item[0].lower() not in dropped]
    response.request = bare
    response.stream = httpx.ByteStream(b"")
    response.is_stream_consumed = response.is_closed = False
    if sent.extensions.get("token_url", str(sent.url)) != str(sent.url):
        raise AuthError("expected an answer to the token request, got one by a redirect", response)
    return httpx.Response(response.status_code, headers=headers, content=body, request=bare)


class _Once(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body for one reader: a client that follows redirects would send it on to wherever."""

    def __init__(self, content: bytes) -> None:
        self._left: list[bytes] = [content]

    def __iter__(self) -> Iterator[bytes]:
        if not self._left:
            raise httpx.StreamConsumed
        yield self._left.pop()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for content in self:
            yield content
