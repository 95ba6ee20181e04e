"""Credentials from the other side: guards that know which are good, and what hands out tokens."""

from __future__ import annotations

import base64
import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote_plus

from blocks.testing.api import Guard
from blocks.testing.calls import Answer, Call, Refused

__all__ = ["Tokens", "basic", "bearer", "header_key", "query_key"]


def bearer(*tokens: str) -> Guard:
    """A guard that wants one of `tokens` as `Authorization: Bearer ...` (RFC 6750)."""
    return header_key("Authorization", *(f"Bearer {token}" for token in tokens))


def basic(user: str, password: str = "") -> Guard:
    """A guard that wants `user` and `password` as `Authorization: Basic ...` (RFC 7617)."""
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return header_key("Authorization", f"Basic {pair}")


def header_key(name: str, *keys: str) -> Guard:
    """A guard that wants one of `keys` in the header `name`."""

    def check(call: Call) -> None:
        if call.headers.get(name.lower()) not in keys:
            scheme = keys[0].partition(" ")[0] if name == "Authorization" and keys else "Key"
            raise Refused(401, "invalid credentials", {"WWW-Authenticate": scheme})

    return check


def query_key(name: str, *keys: str) -> Guard:
    """A guard that wants one of `keys` as the query parameter `name`, which it takes out."""

    def check(call: Call) -> None:
        if call.query.pop(name, None) not in keys:
            raise Refused(401, "invalid credentials")

    return check


class Tokens:
    """A guard for bearer tokens that expire, and the route that hands them out.

    Each is good for `lifetime` seconds on `clock`, or until `expire`; `lifetime=None` is not told
    to the client. With `refresh`, the first refresh token, the grant is that of RFC 6749, section
    6, and each refresh token is good once: the answer has the next. Without, it is that of client
    credentials (section 4.4). `fields` are put into the answers, too. For other grants, check
    `call.form` in a route of yours and return `issue()`.

    >>> from blocks.testing.api import Api
    >>> tokens = Tokens("client-id", "client-secret")
    >>> api = Api(tokens)
    >>> grant = api.post("/oauth/token", body=Tokens.FIELDS, guards=())(tokens.grant)
    """

    FIELDS = "grant_type client_id client_secret refresh_token scope"

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        *,
        refresh: str | None = None,
        lifetime: float | None = 3600,
        fields: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = (client_id, client_secret)
        self._refresh = refresh
        self._lifetime = lifetime
        self._fields = dict(fields or {})
        self._clock = clock
        self._until: dict[str, float] = {}
        self._numbers = itertools.count(1)

    def __repr__(self) -> str:
        return f"Tokens('***', issued={self.issued})"

    @property
    def issued(self) -> int:
        """How many were handed out."""
        return len(self._until)

    def __call__(self, call: Call) -> None:
        """Refuse a call without a token that is good now."""
        token = call.headers.get("authorization", "").removeprefix("Bearer ")
        if not self._clock() < self._until.get(token, float("-inf")):
            challenge = 'Bearer error="invalid_token"'
            raise Refused(401, "invalid or expired token", {"WWW-Authenticate": challenge})

    def expire(self) -> None:
        """Let no token handed out so far be good any longer, without telling anybody."""
        self._until = dict.fromkeys(self._until, float("-inf"))

    def issue(self) -> dict[str, Any]:
        """A new token, in the words of RFC 6749, section 5.1."""
        number = next(self._numbers)
        token, lifetime = f"token-{number}", self._lifetime
        self._until[token] = float("inf") if lifetime is None else self._clock() + lifetime
        issued: dict[str, Any] = {"access_token": token, "token_type": "Bearer"}
        if lifetime is not None:
            issued["expires_in"] = lifetime
        if self._refresh is not None:
            self._refresh = issued["refresh_token"] = f"refresh-{number}"
        return issued | self._fields

    def grant(self, call: Call) -> Answer:
        """The answer to a token request; refusals are in the words of RFC 6749, section 5.2."""
        wanted = "client_credentials" if self._refresh is None else "refresh_token"
        if self._said(call) != self._client:
            return Answer({"error": "invalid_client"}, 401, {"WWW-Authenticate": "Basic"})
        if call.form["grant_type"] != wanted:
            return Answer({"error": "unsupported_grant_type"}, 400)
        if call.form.get("refresh_token") != self._refresh:
            return Answer({"error": "invalid_grant"}, 400)
        return Answer(self.issue(), headers={"Cache-Control": "no-store"})

    def _said(self, call: Call) -> tuple[str, ...]:
        """Who the client says it is: with Basic or in the form, not both (section 2.3)."""
        scheme, _, encoded = call.headers.get("authorization", "").partition(" ")
        in_form = (call.form.get("client_id", ""), call.form.get("client_secret", ""))
        if scheme != "Basic":
            return in_form
        try:
            said = base64.b64decode(encoded, validate=True).decode()
        except ValueError:
            return ()
        user, _, password = said.partition(":")
        return () if any(in_form) else (unquote_plus(user), unquote_plus(password))
