"""Requests: the next one, made of one that was sent, and paths made of ids.

Each is a new `httpx.Request`; the one sent is left as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import quote, unquote, unquote_plus

import httpx

from blocks.errors import ConfigError, ForeignOrigin, PagingError, where
from blocks.links import base, origin, reference, resolve

__all__ = ["follow", "path", "repeat", "replaced", "turn"]


def follow(response: httpx.Response, url: str) -> httpx.Request:
    """The request `response` answers, again, for `url`, which may be relative to its own.

    Method, headers, body and extensions are kept; that is safe as scheme, host and port stay too: a
    `url` with others, with user info or with characters that parsers read differently raises
    `ForeignOrigin`.
    """
    sent = response.request.url
    try:
        target = resolve(base(response), reference(url))
        if origin(target) != origin(sent):
            message = f"next page leaves {origin(sent)} for {origin(target)}"
            raise ForeignOrigin(message, response)
        home = f"{sent.scheme}://{sent.netloc.decode('ascii')}/"
        if sent.userinfo or not str(target).startswith(home):
            # The request's own spelling of the origin, whatever the target's.
            target = sent.copy_with(raw_path=target.raw_path, fragment=None)
    except (httpx.InvalidURL, UnicodeError):
        # Not chained: httpx's message quotes the URL.
        raise PagingError("expected a URL for the next page, got other text", response) from None
    except ValueError as error:
        message = f"expected a plain http URL for the next page, got {error}"
        raise ForeignOrigin(message, response) from None
    return repeat(response.request, url=target)


def turn(
    request: httpx.Request,
    params: Mapping[str, str | int],
    *,
    keep: Collection[str] | None = None,
) -> httpx.Request:
    """`request` again, with query parameters replaced, or added where they are not there.

    The bytes of the others stay as they are; with `keep`, others not named in it are left out.

    >>> turn(httpx.Request("GET", "https://api.example.com/items?page=1&q=a,b"), {"page": 2}).url
    URL('https://api.example.com/items?page=2&q=a,b')
    """
    query = replaced(request.url.query, params, keep)
    try:
        return repeat(request, url=request.url.copy_with(query=query or None))
    except httpx.InvalidURL:  # longer than httpx allows
        raise PagingError(f"expected parameters that fit a URL ({where(request)})") from None


def replaced(
    form: bytes, values: Mapping[str, str | int], keep: Collection[str] | None = None
) -> bytes:
    """A query or form body with `values` in place; of the other fields those in `keep`, or all.

    >>> replaced(b"limit=9&cursor=a&q=x%2cy", {"cursor": "b/c"}, ["limit"])
    b'limit=9&cursor=b%2Fc'
    """
    new = {name: f"{quote(name, safe='')}={quote(str(values[name]), safe='')}" for name in values}
    pairs = []
    # latin-1 for the bytes of a form that was not encoded as it should be.
    for pair in form.decode("latin-1").split("&"):
        name = unquote_plus(pair.partition("=")[0])
        if name in values:
            pairs.append(new.pop(name, ""))
        elif keep is None or name in keep:
            pairs.append(pair)
    return "&".join(pair for pair in [*pairs, *new.values()] if pair).encode("latin-1")


def repeat(
    request: httpx.Request,
    *,
    url: httpx.URL | None = None,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> httpx.Request:
    """`request` again, with another URL or body, and with `headers` replaced or added.

    >>> again = repeat(httpx.Request("POST", "https://api/", content=b"{}"), body=b'{"a":1}')
    >>> again.content, again.headers["Content-Length"]
    (b'{"a":1}', '7')
    """
    kept = request.headers  # of which httpx makes a copy
    if body is None:
        try:
            body = request.content
        except httpx.RequestNotRead:
            message = f"expected a body that can be sent again, got a stream ({where(request)})"
            raise PagingError(message) from None
    else:
        kept = kept.copy()
        kept.pop("content-length", None)  # httpx sets it anew
    if headers:
        kept = kept.copy()
        kept.update(headers)
    return httpx.Request(
        request.method,
        request.url if url is None else url,
        headers=kept,
        content=body,
        extensions=request.extensions,
    )


def path(template: str, *ids: str | int) -> str:
    """`template` with each `{}` replaced by an id, quoted so that it stays one part of the path.

    Raises `ConfigError` for ids that no path can hold, empty, `.`, `..`, lone surrogates, and for
    what is no text and no integer: `None` would be asked for as "None".

    >>> path("/users/{}/posts", "a/../b?x=1")
    '/users/a%2F..%2Fb%3Fx%3D1/posts'
    """
    texts = template.split("{}")
    if len(texts) != len(ids) + 1:
        raise ConfigError(f"path: expected {len(texts) - 1} ids for {template!r}, got {len(ids)}")
    for each in ids:
        if isinstance(each, bool) or not isinstance(each, (str, int)):
            raise ConfigError(f"path: expected ids for {template!r}, got {type(each).__name__}")
    try:
        quoted = [quote(str(each), safe="") for each in ids]
    except UnicodeEncodeError:
        raise ConfigError(f"path: expected ids of Unicode text for {template!r}") from None
    if "" in quoted:
        raise ConfigError(f"path: expected ids for {template!r}, got an empty one")
    made = "".join(part for pair in zip(texts, [*quoted, ""], strict=True) for part in pair)
    # Percent-encoded dots are dots to most: RFC 3986, section 6.2.2.3.
    if any(unquote(segment) in (".", "..") for segment in made.partition("?")[0].split("/")):
        raise ConfigError(f"path: expected ids for {template!r}, got one of dots")
    return made
