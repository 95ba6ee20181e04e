"""Every kind of credential: nobody but the API sees it, and nothing prints it."""

from __future__ import annotations

import base64
import io
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import pytest
from botocore.credentials import Credentials  # type: ignore[import-untyped]
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from blocks.assertions import ClientAssertion, JwtBearer, JwtKey
from blocks.auth import Basic, Bearer, CookieKey, HeaderKey, QueryKey
from blocks.client import client
from blocks.connections import Connections
from blocks.credentials import CredentialPool
from blocks.errors import BlocksError, ForeignOrigin
from blocks.fetch import pages
from blocks.oauth import ClientCredentials, LegacyPassword, RefreshToken
from blocks.paginators import LinkHeader, NextUrl, follow
from blocks.redirects import RedirectsTo
from blocks.sessions import CookieLogin, TokenLogin
from blocks.signing import Hmac, Signed, SigV4
from blocks.tokens import Token, TokenFrom
from tests.authority import Received, answering, said
from tests.loopback import JSON, answer, serving

# 33 letters, so that each base64 of it has letters of its own at any offset.
SECRET = "c4n4ry-secret+/=-0123456789abcdef"
ISSUED = "c4n4ry-issued-0123456789abcdef"
RENEWED = "c4n4ry-renewed-0123456789abcdef"

PEM = (
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    .decode()
)
WHO = {"user": SECRET, "password": SECRET}


def message(request: httpx.Request) -> bytes:
    """What Hmac signs."""
    return request.url.raw_path


def save(refresh: str) -> None:
    """Keeps nothing."""


def signed(sign: Callable[[httpx.Request], object]) -> dict[str, Any]:
    """A client's options for a signature."""
    return {"transport": Signed(Connections(), sign)}


def auth(value: httpx.Auth) -> dict[str, Any]:
    """A client's options for an auth."""
    return {"auth": value}


KINDS: dict[str, Callable[[str], dict[str, Any]]] = {
    "bearer": lambda url: auth(Bearer(SECRET)),
    "basic": lambda url: auth(Basic(SECRET, SECRET)),
    "header": lambda url: auth(HeaderKey(SECRET)),
    "query": lambda url: auth(QueryKey(SECRET)),
    "cookie": lambda url: auth(CookieKey(SECRET, name="sid")),
    "function": lambda url: auth(TokenFrom(lambda: Token(SECRET, 3600))),
    "client-basic": lambda url: auth(ClientCredentials(f"{url}/token", "me", SECRET)),
    "client-post": lambda url: auth(
        ClientCredentials(f"{url}/token", "me", SECRET, fields={"more": SECRET}, client_auth="post")
    ),
    "refresh": lambda url: auth(RefreshToken(f"{url}/token", "me", SECRET, SECRET, save=save)),
    "password": lambda url: auth(LegacyPassword(f"{url}/token", SECRET, SECRET)),
    "jwt": lambda url: auth(
        JwtBearer(f"{url}/token", JwtKey(SECRET, algorithm="HS256"), claims={"iss": "me"})
    ),
    "assertion": lambda url: auth(
        ClientAssertion(f"{url}/token", "me", JwtKey(PEM, algorithm="ES256"))
    ),
    "login-token": lambda url: auth(TokenLogin(f"{url}/login", WHO, path="token")),
    "login-cookie": lambda url: auth(CookieLogin(f"{url}/login", WHO, name="sid")),
    "hmac": lambda url: signed(Hmac(SECRET, message)),
    "aws": lambda url: signed(
        SigV4(Credentials("AKIDEXAMPLE", SECRET, SECRET), region="r", service="es")
    ),
    "pool": lambda url: {
        "transport": CredentialPool(Connections(), [Bearer(SECRET), HeaderKey(SECRET)])
    },
}

ANSWERS = {
    "/token": answer(
        (
            f'{{"access_token": "{ISSUED}", "token_type": "bearer", "expires_in": 3600,'
            f' "refresh_token": "{RENEWED}"}}'
        ).encode()
    ),
    "/login": answer(
        f'{{"token": "{ISSUED}"}}'.encode(), headers=[*JSON, ("Set-Cookie", f"sid={ISSUED}")]
    ),
}


def forms(secret: str) -> Iterator[str]:
    """How a secret may look: plain, backwards, as in URLs, in hex, in base64 at any offset."""
    raw = secret.encode()
    yield from (secret, secret[::-1], quote(secret, safe=""), quote_plus(secret), raw.hex())
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + raw).decode()
        yield encoded[4 if offset else 0 : len(encoded) // 4 * 4 - 4]
    yield PEM.splitlines()[1]


FORMS = [form for secret in (SECRET, ISSUED, RENEWED) for form in forms(secret)]


def found(text: str) -> list[str]:
    """The forms of the secrets that are in `text`."""
    return [form for form in FORMS if form in text]


def test_the_search_finds_them() -> None:
    """Else all the rest here means nothing."""
    for text in (SECRET, f"Basic {base64.b64encode(f'me:{SECRET}'.encode()).decode()}"):
        assert found(text)
    assert found(base64.b64encode(f"x:y:{ISSUED}{ISSUED}".encode()).decode())
    assert not found("c4n4ry")


def targets(url: str) -> dict[str, str]:
    """Other origins than the API's, at which `url`'s server listens, or would."""
    port = url.rpartition(":")[2]
    return {
        "port": f"{url}/items",
        "host": f"http://localhost:{port}/items",
        "scheme": f"https://127.0.0.1:{port}/items",
        "relative": f"//127.0.0.1:{port}/items",
        "user": f"http://api@127.0.0.1:{port}/items",
        "number": f"http://2130706433:{port}/items",
        "slashes": f"http:\\\\127.0.0.1:{port}/items",
    }


@pytest.mark.anyio
@pytest.mark.parametrize("target", targets("http://x:1"))
@pytest.mark.parametrize("kind", KINDS)
async def test_another_origin_sees_nothing(kind: str, target: str) -> None:
    """By next link, `Link`, `Location` and every redirect, followed or not: not one byte."""
    with serving({"/items": [answer()], "/": [answer()]}) as foreign:
        away = targets(foreign.url)[target]

        def handle(request: Received) -> bytes:
            if request.path in ANSWERS:
                return ANSWERS[request.path]
            status = request.path.strip("/")
            if status.isdigit():
                return answer(b"{}", f"{status} See There", [*JSON, ("Location", away)])
            body = f'{{"next": "{away}"}}'.replace("\\", "\\\\").encode()
            return answer(body, headers=[*JSON, ("Link", f'<{away}>; rel="next"')])

        with answering(handle) as server:
            async with client(server.url, **KINDS[kind](server.url)) as api:
                for paginator in (NextUrl("next"), LinkHeader()):
                    first = api.build_request("GET", "/items")
                    with pytest.raises(BlocksError):
                        async for _ in pages(api, first, paginator):
                            pass
                # httpx itself raises for a Location that it cannot read.
                for status in () if target == "slashes" else (301, 302, 303, 307, 308):
                    for method in ("GET", "POST"):
                        answered = await api.request(method, f"/{status}", content=b"{}")
                        assert answered.status_code == status
                        with pytest.raises(ForeignOrigin):
                            follow(answered, away)
                        with pytest.raises((ForeignOrigin, httpx.HTTPError)):
                            await api.request(method, f"/{status}", follow_redirects=True)
            assert server.requests
        assert (foreign.connections, foreign.requests) == (0, [])


@pytest.mark.anyio
@pytest.mark.parametrize("kind", KINDS)
async def test_an_origin_that_was_named_sees_no_secret(kind: str) -> None:
    """Neither in what we send nor in what the API repeats of a query; nothing is posted there."""
    with serving({"/items": [answer()]}) as foreign:

        def handle(request: Received) -> bytes:
            if request.path in ANSWERS:
                return ANSWERS[request.path]
            location = f"{foreign.url}/items?{request.target.partition('?')[2]}"
            return answer(b"", f"{request.path[1:]} See There", [("Location", location)])

        with answering(handle) as server:
            options = KINDS[kind](server.url)
            inner = options.pop("transport", None) or Connections()
            allowed = RedirectsTo(inner, [foreign.url], through=Connections())
            async with client(server.url, **options, transport=allowed) as api:
                for status in (301, 302, 303, 307, 308):
                    assert (await api.get(f"/{status}")).status_code == 200
                    posted = await api.post(f"/{status}", json={"key": SECRET})
                    assert posted.status_code == status
            assert found(b"".join(server.requests).decode("latin-1")) or kind == "hmac"
        assert len(foreign.requests) == 5
        assert found(b"".join(foreign.requests).decode("latin-1")) == []


FAULTS = {
    "refused": answer(b'{"error": "invalid_token"}', "401 Unauthorized"),
    "forbidden": answer(b"{}", "403 Forbidden"),
    "html": answer(b"<h1>Hi</h1>", headers=(("Content-Type", "text/html"),)),
    "down": answer(b"{}", "501 Not Implemented"),
    "fine": answer(b'{"next": null}'),
}


@pytest.mark.anyio
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("at", ["api", "token"])
@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_prints_a_secret(
    kind: str, at: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Logs at DEBUG, errors with their chains and our frames' variables, reprs, pickles."""
    caplog.set_level(logging.DEBUG)
    shown = io.StringIO()

    def handle(request: Received) -> bytes:
        if request.path in ANSWERS and (at == "api" or fault == "fine"):
            return ANSWERS[request.path]
        if request.path in ANSWERS and fault == "refused":
            sent = request.body.decode(), request.headers.get("authorization")
            body = {"error": "invalid_grant", "error_description": f"{sent} {request.form}"}
            return said(body, "400 Bad Request")
        return FAULTS[fault if at == "api" else "fine"]

    with answering(handle) as server:
        options = KINDS[kind](server.url)
        async with client(server.url, **options) as api:
            try:
                async for page in pages(api, api.build_request("GET", "/items"), NextUrl("next")):
                    print(repr(page), page.history, file=shown)
                    print(
                        [(past.content, past.request.content) for past in page.history], file=shown
                    )
            except BlocksError as error:
                print(str(error), repr(error), error.args, file=shown)
                shown.write(str(pickle.loads(pickle.dumps(error)).__dict__))
                print(pickle.dumps(error), file=shown)
                shown.writelines(printed(error))
    for value in options.values():
        print(repr(value), str(value), f"{value}", value.__dict__, file=shown)
        with pytest.raises(TypeError) as caught:
            pickle.dumps(value)
        print(caught.value, file=shown)
    assert [line for line in shown.getvalue().splitlines() if found(line)] == []
    assert found(caplog.text) == []


# Elsewhere `request` may be a variable, whose repr, httpx's, has the URL with its query.
OURS = [f"blocks.{name}" for name in ("tokens", "exchanges", "grants", "oauth", "assertions")]
OURS += [f"blocks.{name}" for name in ("sessions", "signing", "secrets", "credentials")]


def printed(error: BaseException) -> Iterator[str]:
    """Its traceback, with the variables of our own frames."""
    yield from traceback.TracebackException.from_exception(error).format()
    current: BaseException | None = error
    while current is not None:
        for frame, _ in traceback.walk_tb(current.__traceback__):
            if frame.f_globals["__name__"] in OURS:
                yield f"{frame.f_code.co_qualname} {frame.f_locals}\n"
        current = current.__cause__ or current.__context__
