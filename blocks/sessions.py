"""Sessions: log in once, go on with the token or the cookie of the answer.

For APIs with a login of their own instead of OAuth. A refused session (401) is renewed once, as
with every auth that expires (`blocks.tokens.Expiring`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Mapping
from typing import Any, Literal
from urllib.parse import urlencode

import httpx
import msgspec

from blocks.auth import CookieKey, HeaderKey
from blocks.errors import AuthError, ConfigError, Denied
from blocks.exchanges import endpoint, token_request
from blocks.json import Path, dumps, peek
from blocks.tokens import Expiring, Step, Token

__all__ = ["CookieLogin", "TokenLogin"]

# Wrong credentials, in the statuses that APIs say it with. Tried again, they lock accounts.
_FINAL = {400, 401, 403, 422}


class _Login(Expiring):
    __slots__ = ("_content", "_headers", "_lifetime", "_names", "_url")

    def __init__(
        self,
        login_url: str,
        credentials: Mapping[str, Any],
        lifetime: float | None,
        encoding: Literal["json", "form"],
    ) -> None:
        super().__init__()
        self._url = endpoint(login_url)
        if encoding not in {"json", "form"}:
            raise ConfigError(f"encoding: expected 'json' or 'form', got {encoding!r}")
        kind = "json" if encoding == "json" else "x-www-form-urlencoded"
        try:
            form = dumps(dict(credentials)) if encoding == "json" else urlencode(credentials)
        except (TypeError, ValueError):  # whose text may hold a part of them
            raise ConfigError(f"credentials: expected what {encoding} can say") from None
        self._content = form if isinstance(form, bytes) else form.encode("ascii")
        self._headers = {"Content-Type": f"application/{kind}"}
        self._names = dict.fromkeys(credentials, "***")
        self._lifetime = lifetime

    @abstractmethod
    def found(self, response: httpx.Response) -> object:
        """What the answer to the login has for a session, and `None` where it has none."""

    def obtain(self, request: httpx.Request) -> Generator[Step, Any, Token]:
        """What the login answers."""
        response = yield token_request(self._url, self._content, self._headers, request)
        bare = httpx.Response(response.status_code, request=response.request)
        if response.status_code in _FINAL:
            raise Denied("expected a session, got a refusal of the credentials", bare)
        if response.status_code >= 400:
            raise AuthError("expected a session, got no success", bare)
        token = self._token(response)
        if token is None:
            raise AuthError(f"expected a session from {self!r}, got none", bare)
        return token

    def _token(self, response: httpx.Response) -> Token | None:
        value = self.found(response)
        if not isinstance(value, str):
            return None
        try:
            self.sign(httpx.Request("GET", self._url), value)  # as it can be sent back
            return Token(value, self._lifetime)
        except ConfigError:
            return None

    def _shown(self, **options: object) -> str:
        options["lifetime"] = self._lifetime
        listed = [f"{name}={value!r}" for name, value in options.items() if value is not None]
        url = str(self._url.copy_with(query=None))
        return f"{type(self).__name__}({', '.join([repr(url), repr(self._names), *listed])})"


class TokenLogin(_Login):
    """Auth by the token that the answer to a login has at `path`.

    `credentials` are POSTed to `login_url` as JSON, or as a form. The token is sent in `header`,
    after `prefix`. A session known to last `lifetime` seconds is renewed before that is over; any
    is when it is refused. Wrong credentials (400, 401, 403, 422) raise `Denied`.

    >>> TokenLogin("https://api.example.com/login", {"user": "me", "pin": "1234"}, path="token")
    TokenLogin('https://api.example.com/login', {'user': '***', 'pin': '***'}, path='token', \
header='Authorization', prefix='Bearer ')
    """

    __slots__ = ("_header", "_path", "_prefix")

    def __init__(
        self,
        login_url: str,
        credentials: Mapping[str, Any],
        *,
        path: Path,
        header: str = "Authorization",
        prefix: str = "Bearer ",
        lifetime: float | None = None,
        encoding: Literal["json", "form"] = "json",
    ) -> None:
        super().__init__(login_url, credentials, lifetime, encoding)
        HeaderKey(f"{prefix}token", name=header)
        self._path = path
        self._header = header
        self._prefix = prefix

    def __repr__(self) -> str:
        return self._shown(path=self._path, header=self._header, prefix=self._prefix)

    def found(self, response: httpx.Response) -> object:
        """The value at the path."""
        try:
            return peek(response.content, self._path)
        except msgspec.DecodeError:
            return None

    def sign(self, request: httpx.Request, token: str) -> None:
        """Set the header."""
        next(HeaderKey(f"{self._prefix}{token}", name=self._header).auth_flow(request))


class CookieLogin(_Login):
    """Auth by the cookie `name` that the answer to a login sets, which may be a redirect.

    `credentials` are POSTed to `login_url` as a form, or as JSON. The rest is as for `TokenLogin`.

    >>> CookieLogin("https://api.example.com/login", {"user": "me", "password": "pass"}, name="sid")
    CookieLogin('https://api.example.com/login', {'user': '***', 'password': '***'}, name='sid')
    """

    __slots__ = ("_name",)

    def __init__(
        self,
        login_url: str,
        credentials: Mapping[str, Any],
        *,
        name: str,
        lifetime: float | None = None,
        encoding: Literal["json", "form"] = "form",
    ) -> None:
        super().__init__(login_url, credentials, lifetime, encoding)
        CookieKey("token", name=name)
        self._name = name

    def __repr__(self) -> str:
        return self._shown(name=self._name)

    def found(self, response: httpx.Response) -> object:
        """The cookie, of several the last; one set for somebody else's domain is none."""
        values = [cookie.value for cookie in response.cookies.jar if cookie.name == self._name]
        return values[-1] if values else None

    def sign(self, request: httpx.Request, token: str) -> None:
        """Set the cookie."""
        next(CookieKey(token, name=self._name).auth_flow(request))
