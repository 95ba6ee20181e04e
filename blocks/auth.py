"""Auth: credentials that do not change, as `httpx.Auth` flows.

A flow yields the request it has signed and receives the response; it does no I/O, so each of these
serves `httpx.Client` and `httpx.AsyncClient` alike. Write your own by subclassing `httpx.Auth`.
Credentials are checked when they are given, and are neither printed nor pickled. Those that expire
are in `blocks.tokens`, `oauth`, `assertions` and `sessions`; signatures are in `blocks.signing`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Generator
from urllib.parse import quote, unquote_plus

import httpx

from blocks.errors import ConfigError
from blocks.secrets import Secret, printable, visible

__all__ = ["Basic", "Bearer", "CookieKey", "HeaderKey", "QueryKey"]

_Flow = Generator[httpx.Request, httpx.Response, None]


class _Credential(Secret, httpx.Auth):
    __slots__ = ("_secret",)

    def __init__(self, secret: str) -> None:
        self._secret = secret


class Bearer(_Credential):
    """Sends `Authorization: Bearer <token>` (RFC 6750).

    >>> Bearer("t0ken")
    Bearer('***')
    >>> Bearer("Bearer t0ken")
    Traceback (most recent call last):
    blocks.errors.ConfigError: token: expected visible ASCII, got another character at position 6
    """

    __slots__ = ()

    def __init__(self, token: str) -> None:
        super().__init__(f"Bearer {visible('token', token)}")

    def auth_flow(self, request: httpx.Request) -> _Flow:
        """Set the header anew, also on a request that carries one already."""
        request.headers["Authorization"] = self._secret
        yield request

    def __repr__(self) -> str:
        return "Bearer('***')"


class Basic(_Credential):
    """Sends `Authorization: Basic ...` with `user` and `password` as UTF-8 (RFC 7617).

    Either may be empty, as where a key is the user and there is no password.

    >>> Basic("me", "secret")
    Basic('***', '***')
    """

    __slots__ = ()

    def __init__(self, user: str, password: str) -> None:
        # RFC 7617, section 2: neither may hold control characters, the user no colon.
        printable("user", user, colons=False)
        printable("password", password)
        if not user + password:
            raise ConfigError("user and password: expected text, got two empty strings")
        super().__init__(f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}")

    def auth_flow(self, request: httpx.Request) -> _Flow:
        """Set the header anew, also on a request that carries one already."""
        request.headers["Authorization"] = self._secret
        yield request

    def __repr__(self) -> str:
        return "Basic('***', '***')"


class HeaderKey(_Credential):
    """Sends `key` as the header `name`.

    `key` may hold spaces inside, for schemes of an API's own.

    >>> HeaderKey("Token abc", name="Authorization")
    HeaderKey('***', name='Authorization')
    """

    __slots__ = ("_name",)

    def __init__(self, key: str, *, name: str = "X-API-Key") -> None:
        super().__init__(visible("key", key, spaces=True))
        self._name = _token("a header", name)

    def auth_flow(self, request: httpx.Request) -> _Flow:
        """Set the header anew, also on a request that carries one already."""
        request.headers[self._name] = self._secret
        yield request

    def __repr__(self) -> str:
        return f"HeaderKey('***', name={self._name!r})"


class QueryKey(_Credential):
    """Sends `key` as the query parameter `name`, in the place of any that is there.

    For APIs that take no header: URLs are logged by servers, proxies and httpx. The key is on what
    is sent alone; the request that pages and errors carry is without.

    >>> QueryKey("abc", name="apikey")
    QueryKey('***', name='apikey')
    """

    __slots__ = ("_name",)

    def __init__(self, key: str, *, name: str = "api_key") -> None:
        super().__init__(visible("key", key, spaces=True))
        if not name:
            raise ConfigError("name: expected the name of a query parameter, got an empty string")
        self._name = name

    def auth_flow(self, request: httpx.Request) -> _Flow:
        """Replace the parameter; the bytes of the others stay as they are."""
        response = yield self.keyed(request)
        response.request = request

    def keyed(self, request: httpx.Request) -> httpx.Request:
        """`request` with the key, and with this object as its extension `query_key`.

        So whoever sends it on (`blocks.redirects`) knows what is the key there.
        """
        # httpx's copy_set_param decodes and encodes the whole query, which changes signed URLs.
        kept = [pair for pair in _pairs(request.url) if _decoded(pair)[0] != self._name]
        mine = f"{quote(self._name, safe='')}={quote(self._secret, safe='')}"
        return _Keyed(request, _with(request.url, [*kept, mine]), self)

    def unkeyed(self, url: httpx.URL) -> httpx.URL:
        """`url` without parameters whose value is the key, as a server may have repeated it."""
        pairs = _pairs(url)
        kept = [pair for pair in pairs if _decoded(pair)[1] != self._secret]
        return url if kept == pairs else _with(url, kept)

    def __repr__(self) -> str:
        return f"QueryKey('***', name={self._name!r})"


class _Keyed(httpx.Request):
    """A request that shows no query to whoever prints the variables of a traceback."""

    def __init__(self, request: httpx.Request, url: httpx.URL, key: QueryKey) -> None:
        vars(self).update(vars(request))
        self.url = url
        self.extensions = {**request.extensions, "query_key": key}

    def __repr__(self) -> str:
        return f"<Request({self.method!r}, '{self.url.copy_with(query=None)}')>"


class CookieKey(_Credential):
    """Sends `key` as the cookie `name`, in the place of any of that name; others stay.

    >>> CookieKey("abc", name="session")
    CookieKey('***', name='session')
    """

    __slots__ = ("_name",)

    def __init__(self, key: str, *, name: str) -> None:
        # RFC 6265, section 4.1.1: what a cookie's value may not hold.
        if found := re.search(r'[",;\\]', visible("key", key)):
            got = f"got another at position {found.start()}"
            raise ConfigError(f"key: expected the characters of a cookie, {got}")
        super().__init__(key)
        self._name = _token("a cookie", name)

    def auth_flow(self, request: httpx.Request) -> _Flow:
        """Replace the cookie; the bytes of the others stay as they are."""
        kept = [
            pair
            for pair in map(str.strip, request.headers.get("Cookie", "").split(";"))
            if pair and pair.partition("=")[0] != self._name
        ]
        request.headers["Cookie"] = "; ".join([*kept, f"{self._name}={self._secret}"])
        yield request

    def __repr__(self) -> str:
        return f"CookieKey('***', name={self._name!r})"


def _pairs(url: httpx.URL) -> list[str]:
    return [pair for pair in url.query.decode("ascii").split("&") if pair]


def _decoded(pair: str) -> tuple[str, str]:
    name, _, value = pair.partition("=")
    return unquote_plus(name), unquote_plus(value)


def _with(url: httpx.URL, pairs: list[str]) -> httpx.URL:
    return url.copy_with(query="&".join(pairs).encode("ascii") or None)


def _token(what: str, name: str) -> str:
    # RFC 9110, section 5.6.2; RFC 6265, section 4.1.1: both names are tokens.
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        raise ConfigError(f"name: expected the name of {what}, got {name!r}")
    return name
