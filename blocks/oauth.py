"""OAuth: tokens by the grants of RFC 6749 that need no browser.

Grants by signed assertions are in `blocks.assertions`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import Any, Literal

import httpx

from blocks.errors import ConfigError
from blocks.grants import Grant, with_fields
from blocks.secrets import named, printable, visible
from blocks.tokens import Step, Token

__all__ = ["ClientCredentials", "LegacyPassword", "RefreshToken"]


class ClientCredentials(Grant):
    """Auth by the client credentials grant (RFC 6749, section 4.4).

    `fields` go into the form as well, such as an `audience` or a `resource`. `client_auth` is as
    for `Grant`.

    >>> ClientCredentials("https://login.example.com/token", "me", "s3cret", scope="read")
    ClientCredentials('https://login.example.com/token', 'me', '***', scope='read')
    """

    __slots__ = ("_options",)

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str,
        *,
        scope: str = "",
        fields: Mapping[str, str] | None = None,
        client_auth: Literal["basic", "post"] = "basic",
    ) -> None:
        form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
        super().__init__(
            token_url,
            with_fields(form, fields),
            client_id=_given("client_id", client_id),
            client_secret=_given("client_secret", client_secret),
            client_auth=client_auth,
        )
        self._options = {"scope": scope, **_hidden(fields), **_unusual(client_auth)}

    def __repr__(self) -> str:
        return self._shown(repr(self._id), "'***'", **self._options)


class RefreshToken(Grant):
    """Auth by the refresh token grant (RFC 6749, section 6), which may renew its own token, too.

    A new refresh token goes to `save`, plain or async, before the access token that came with it is
    used, as the old one is now void (RFC 9700, section 4.14). When `save` raises, that is the
    error, and the next who needs a token has `save` called again before anything else. What cannot
    be helped: whoever is killed, or cancelled, after the server has renewed the token and before
    the answer is here is left with the old one. Servers have a grace period for that, such as
    Okta (https://developer.okta.com/docs/guides/refresh-tokens/main/): ask for one.

    `client_secret` may be empty, for public clients. `fields` and `client_auth` are as for
    `ClientCredentials`; a scope narrower than the one granted is one of the fields.

    >>> RefreshToken("https://login.example.com/token", "me", "s3cret", "r3fresh", save=print)
    RefreshToken('https://login.example.com/token', 'me', '***', '***', save=print)
    """

    __slots__ = ("_options", "_save", "_unsaved")

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str,
        refresh_token: str,
        *,
        save: Callable[[str], object],
        fields: Mapping[str, str] | None = None,
        client_auth: Literal["basic", "post"] = "basic",
    ) -> None:
        refresh = {"refresh_token": visible("refresh_token", refresh_token, spaces=True)}
        super().__init__(
            token_url,
            with_fields({"grant_type": "refresh_token", **refresh}, fields),
            client_id=client_id,
            client_secret=client_secret,
            client_auth=client_auth,
        )
        self._save = save
        self._unsaved: tuple[Token, Token] | None = None
        self._options = {**_hidden(fields), **_unusual(client_auth)}

    def __repr__(self) -> str:
        secret = "'***'" if len(self._headers) > 1 or "client_secret" in self._form else "''"
        saved = f"save={named(self._save)}"
        return self._shown(repr(self._id), secret, "'***'", saved, **self._options)

    def obtain(self, request: httpx.Request) -> Generator[Step, Any, Token]:
        """The access token; the refresh token that came with it is saved."""
        if self._unsaved is None:
            token, refresh = self._granted((yield self._request(request)))
            if refresh is None or refresh.value == self._form["refresh_token"]:
                return token
            self._unsaved = token, refresh
        token, refresh = self._unsaved
        yield partial(_save, self._save, refresh)
        self._form["refresh_token"] = refresh.value
        self._unsaved = None
        return token


class LegacyPassword(Grant):
    """Auth by the password grant (RFC 6749, section 4.3), which must not be used any more.

    RFC 9700, section 2.4 says so: it shows the user's password to the client. For servers that
    offer nothing else. Options are as for `ClientCredentials`; a scope is one of the fields.

    >>> LegacyPassword("https://login.example.com/token", "ann", "s3cret", client_id="me")
    LegacyPassword('https://login.example.com/token', '***', '***', client_id='me')
    """

    __slots__ = ("_options",)

    def __init__(
        self,
        token_url: str,
        user: str,
        password: str,
        *,
        client_id: str = "",
        client_secret: str = "",
        fields: Mapping[str, str] | None = None,
        client_auth: Literal["basic", "post"] = "basic",
    ) -> None:
        form = {"username": _given("user", user), "password": _given("password", password)}
        super().__init__(
            token_url,
            with_fields({"grant_type": "password", **form}, fields),
            client_id=client_id,
            client_secret=client_secret,
            client_auth=client_auth,
        )
        secret = "***" if client_secret else ""
        who: dict[str, object] = {"client_id": client_id, "client_secret": secret}
        self._options = {**who, **_hidden(fields), **_unusual(client_auth)}

    def __repr__(self) -> str:
        return self._shown("'***'", "'***'", **self._options)


def _save(save: Callable[[str], object], refresh: Token) -> object:
    return save(refresh.value)


def _given(name: str, text: str) -> str:
    if not printable(name, text):
        raise ConfigError(f"{name}: expected text, got an empty string")
    return text


def _hidden(fields: Mapping[str, str] | None) -> dict[str, object]:
    return {"fields": dict.fromkeys(fields or {}, "***")}


def _unusual(client_auth: str) -> dict[str, object]:
    return {"client_auth": client_auth if client_auth != "basic" else ""}
