"""Grants: what all of OAuth's have in common, a form POSTed and a token read from the answer.

`blocks.oauth` and `blocks.assertions` have the usual ones. Write another by giving `Grant` its
form; for an endpoint that follows no standard, give a function to `blocks.tokens.TokenFrom`.
"""

from __future__ import annotations

import base64
from collections.abc import Generator, Mapping
from typing import Any, Literal
from urllib.parse import quote_plus, urlencode

import httpx

from blocks.errors import AuthError, ConfigError, Denied
from blocks.exchanges import endpoint, token_request
from blocks.json import loads
from blocks.secrets import mentions, printable
from blocks.tokens import Expiring, Step, Token

__all__ = ["Grant", "with_fields"]

# RFC 6749, section 5.2. None of them is about the moment.
_FINAL = {
    *("invalid_client", "invalid_grant", "invalid_request", "invalid_scope"),
    *("unauthorized_client", "unsupported_grant_type"),
}
# Fields of the form that may be quoted.
_HARMLESS = {"client_id", "grant_type", "scope"}
# Of what a server says of its reasons, at most so much is quoted.
_QUOTED = 200


class Grant(Expiring):
    """Auth by a bearer token for which `form` is POSTed to `token_url`.

    The client says who it is in the form (`client_auth="post"`) or, as RFC 6749, section 2.3.1
    would have it, with Basic, each part percent-encoded as in a form first. One without a secret is
    a public one, and one without `client_id` says nothing. `clock` is as for `Expiring`.

    The error codes of RFC 6749, section 5.2 raise `Denied`; what else is not a token, whatever its
    status, raises `AuthError`, whose `response` is without its body. Without a useful `expires_in`
    the token is used until it is refused. Redirects are not followed.
    """

    __slots__ = ("_form", "_headers", "_id", "_secrets", "_sent", "_url")

    def __init__(
        self,
        token_url: str,
        form: Mapping[str, str],
        *,
        client_id: str = "",
        client_secret: str = "",
        client_auth: Literal["basic", "post"] = "basic",
    ) -> None:
        super().__init__()
        self._url = endpoint(token_url)
        self._form = {name: printable(name, text) for name, text in form.items()}
        self._id = printable("client_id", client_id)
        printable("client_secret", client_secret)
        if client_auth not in {"basic", "post"}:
            raise ConfigError(f"client_auth: expected 'basic' or 'post', got {client_auth!r}")
        self._headers = {"Content-Type": "application/x-www-form-urlencoded"}
        # What no error may quote, should the server repeat it; `_sent` adds the last form's own.
        self._secrets = [client_secret]
        self._sent: list[str] = []
        if client_secret and client_auth == "basic":
            pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
            encoded = base64.b64encode(pair.encode()).decode()
            self._headers["Authorization"] = f"Basic {encoded}"
            self._secrets.append(encoded)
        else:
            given = {"client_id": client_id, "client_secret": client_secret}
            self._form |= {name: text for name, text in given.items() if text}

    def obtain(self, request: httpx.Request) -> Generator[Step, Any, Token]:
        """The token that the server grants."""
        response = yield self._request(request)
        return self._granted(response)[0]

    def fresh(self) -> Mapping[str, str]:
        """Fields that are made anew for each token request, such as an assertion."""
        return {}

    def _request(self, like: httpx.Request) -> httpx.Request:
        form = {**self._form, **self.fresh()}
        self._sent = [text for name, text in form.items() if name not in _HARMLESS]
        return token_request(self._url, urlencode(form).encode("ascii"), self._headers, like)

    def _granted(self, response: httpx.Response) -> tuple[Token, Token | None]:
        """The access token and, where there is one, the refresh token."""
        # Two steps, as one that raised would show the tokens in its frame's variables.
        if problem := self._problem(response):
            final, text = problem
            bare = httpx.Response(response.status_code, request=response.request)
            raise (Denied if final else AuthError)(text, bare)
        body = loads(response.content)
        refresh = body.get("refresh_token")
        return (
            Token(body["access_token"], _lifetime(body.get("expires_in"))),
            Token(refresh) if refresh else None,
        )

    def _problem(self, response: httpx.Response) -> tuple[bool, str] | None:
        """What is wrong with the response, and whether for good."""
        kind = response.headers.get("content-type", "no content type").partition(";")[0]
        try:
            body = loads(response.content)
        except ValueError:
            body = None
        if isinstance(body, dict) and (error := body.get("error")):
            said = [f"error {self._quoted(error)}"]
            if description := body.get("error_description"):
                said.append(self._quoted(description))
            final = isinstance(error, str) and error in _FINAL
            return final, f"expected a token, got {': '.join(said)}"
        if not response.is_success:
            return False, "expected a token, got no success"
        if not isinstance(body, dict):
            return False, f"expected a token, got {self._quoted(kind)} that is no JSON object"
        for name in ("access_token", "refresh_token"):
            try:
                Token(body.get(name) or ("" if name == "access_token" else "-"))
            except ConfigError as wrong:
                return False, f"expected {name} to be one: {wrong}"
        kind = body.get("token_type", "bearer")  # required, but many leave it out
        if not isinstance(kind, str) or kind.lower() != "bearer":
            return False, f"expected a bearer token, got one of type {self._quoted(kind)}"
        return None

    def _quoted(self, said: object) -> str:
        if mentions(str(said), self._secrets + self._sent):
            return "a text that repeats what was sent"
        return repr("".join(filter(str.isprintable, str(said)))[:_QUOTED])

    def _shown(self, *arguments: str, **options: object) -> str:
        url = str(self._url.copy_with(query=None))
        given = [f"{name}={value!r}" for name, value in options.items() if value]
        return f"{type(self).__name__}({', '.join([repr(url), *arguments, *given])})"


def with_fields(form: Mapping[str, str], fields: Mapping[str, str] | None) -> dict[str, str]:
    """`form` and `fields` together; `ConfigError` where both have the same name.

    >>> with_fields({"grant_type": "password"}, {"grant_type": "mine"})
    Traceback (most recent call last):
    blocks.errors.ConfigError: fields: expected others than those of the grant, got grant_type
    """
    if twice := {*form, "client_id", "client_secret"} & {*(fields or {})}:
        got = ", ".join(sorted(twice))
        raise ConfigError(f"fields: expected others than those of the grant, got {got}")
    return {**form, **(fields or {})}


def _lifetime(seconds: object) -> float | None:
    # Required to be a number, sent as text, too. Zero and less, meant as "for ever" by some, would
    # have every request ask for a token; whatever it was meant to say, a refusal says it better.
    try:
        lifetime = float(seconds) if isinstance(seconds, int | float | str) else 0.0
    except ValueError:
        return None
    return lifetime if lifetime > 0 and seconds is not True else None
