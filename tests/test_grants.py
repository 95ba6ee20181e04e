"""A token is read from what a server says, or what it says instead is an error."""

from __future__ import annotations

import base64
import math
import traceback
from typing import Any
from urllib.parse import unquote_plus

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import AuthError, ConfigError, Denied
from blocks.grants import Grant, with_fields
from tests.authority import Authority, Received, answering

SECRET = "c4n4ry&1"
ITEMS = "https://api.example.com/items"
TOKEN = "https://login.example.com/token"


def grant(**options: Any) -> Grant:
    """One that sends a password and a secret."""
    form = {"grant_type": "test", "password": "pass:w0rd"}
    return Grant(TOKEN, form, client_id="me", client_secret=SECRET, **options)


def ask(auth: httpx.Auth, answers: list[httpx.Response]) -> httpx.Request:
    """The API's request when the token endpoint answers so; it is refused while answers remain."""
    arrived: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        arrived.append(request)
        return answers.pop(0) if request.url.path == "/token" else httpx.Response(200)

    with httpx.Client(transport=httpx.MockTransport(answer), auth=auth) as api:
        api.get(ITEMS)
    return arrived[-1]


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (b"3600", 3600.0),
        (b'"3600"', 3600.0),
        (b'"3599.5"', 3599.5),
        (b"3599.5", 3599.5),
        (b"1e12", 1e12),
        (b"100000000000000000000", 1e20),
        (b'"inf"', math.inf),
        (b"null", math.inf),
        (b"0", math.inf),
        (b"-5", math.inf),
        (b"true", math.inf),
        (b'"nan"', math.inf),
        (b'"soon"', math.inf),
        (b"[60]", math.inf),
    ],
)
def test_expires_in_as_servers_send_it(said: bytes, seconds: float) -> None:
    """A number, or one as text; whatever else it is, the token is used until it is refused."""
    now = 0.0
    auth = grant()
    auth.clock = lambda: now
    body = b'{"access_token": "t1", "token_type": "bearer", "expires_in": ' + said + b"}"
    answers = [httpx.Response(200, content=body), httpx.Response(200, json={"access_token": "t2"})]
    ask(auth, answers)
    now = min(seconds, 1e15) - 61
    assert ask(auth, answers).headers["authorization"] == "Bearer t1"
    now = seconds
    expected = "Bearer t1" if math.isinf(seconds) else "Bearer t2"
    now = 1e300 if math.isinf(seconds) else seconds
    assert ask(auth, answers).headers["authorization"] == expected


@pytest.mark.parametrize(
    "body",
    [
        {"access_token": "t1"},
        {"access_token": "t1", "token_type": "BEARER"},
        {"access_token": "t1", "error": None, "refresh_token": None},
        {"access_token": "t1", "error": "", "refresh_token": ""},
    ],
)
def test_answers_that_are_tokens(body: dict[str, Any]) -> None:
    """RFC 6749, section 5.1, and what servers leave out or send empty."""
    request = ask(grant(), [httpx.Response(201, json=body)])
    assert request.headers["authorization"] == "Bearer t1"


ENCODED = base64.b64encode(b"me:c4n4ry%261").decode()


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (httpx.Response(200, html="<h1>Hi</h1>"), "got 'text/html' that is no JSON object"),
        (httpx.Response(200, content=b""), "got 'no content type' that is no JSON object"),
        (httpx.Response(200, json=["t1"]), "got 'application/json' that is no JSON object"),
        (httpx.Response(200, json={}), "expected access_token to be one: token: .* empty string"),
        (httpx.Response(200, json={"access_token": None}), "access_token to be one: .* empty"),
        (httpx.Response(200, json={"access_token": 7}), "access_token to be one: .* got int"),
        (httpx.Response(200, json={"access_token": SECRET + "\n"}), "position 8"),
        (
            httpx.Response(200, json={"access_token": "t", "refresh_token": ["r"]}),
            "refresh_token to be one: token: expected text, got list",
        ),
        (
            httpx.Response(200, json={"access_token": SECRET, "token_type": "mac"}),
            "expected a bearer token, got one of type 'mac'",
        ),
        (httpx.Response(200, json={"access_token": "t", "token_type": 1}), "got one of type '1'"),
        (
            httpx.Response(200, json={"error": "bad_code", "access_token": SECRET}),
            "got error 'bad_code' ",
        ),
        (
            httpx.Response(200, json={"ok": False, "error": {"code": 7}}),
            "got error \"{'code': 7}\"",
        ),
        (httpx.Response(503, text="Busy"), "got no success .*status 503"),
        (httpx.Response(400, json={"message": "no"}), "got no success .*status 400"),
        (httpx.Response(307, headers={"Location": "https://evil"}), "got no success .*status 307"),
        (
            httpx.Response(
                503, json={"error": "server_error", "error_description": "Try\nlater" + 300 * "x"}
            ),
            r"'server_error': 'Trylaterx{192}' \(POST login.example.com/token, status 503",
        ),
        (
            httpx.Response(400, json={"error": "no", "error_description": f"wrong: {SECRET}"}),
            "error 'no': a text that repeats what was sent",
        ),
        (
            httpx.Response(400, json={"error": "no", "error_description": "x c4n4ry%261 x"}),
            "error 'no': a text that repeats what was sent",
        ),
        (
            httpx.Response(400, json={"error": "pass:w0rd", "error_description": ENCODED}),
            "error a text that repeats what was sent: a text that repeats what was sent",
        ),
    ],
)
def test_answers_that_are_no_tokens(response: httpx.Response, message: str) -> None:
    """What came, where, and no secret; the next request asks again."""
    auth = grant()
    with pytest.raises(AuthError, match=message) as caught:
        ask(auth, [response])
    assert type(caught.value) is AuthError
    assert "c4n4ry" not in str(caught.value) + repr(caught.value.__context__)
    assert caught.value.response is not None
    assert caught.value.response.content == b""
    assert "authorization" not in caught.value.response.request.headers
    ask(auth, [httpx.Response(200, json={"access_token": "t1"})])


@pytest.mark.parametrize("status", [200, 400, 401])
@pytest.mark.parametrize(
    "code",
    [
        *("invalid_client", "invalid_grant", "invalid_request", "invalid_scope"),
        *("unauthorized_client", "unsupported_grant_type"),
    ],
)
def test_what_is_final_is_asked_for_once(code: str, status: int) -> None:
    """The codes of RFC 6749, section 5.2, in whatever status."""
    auth = grant()
    denied = httpx.Response(status, json={"error": code, "error_description": "Sorry"})
    for answers in ([denied], []):
        with pytest.raises(Denied, match=f"got error '{code}': 'Sorry'"):
            ask(auth, answers)


def test_errors_show_no_token_in_their_frames() -> None:
    """A traceback with local variables, as some crash reporters make, has none of the secrets."""
    response = httpx.Response(200, json={"access_token": "c4n4ry-token", "token_type": "mac"})
    with pytest.raises(AuthError) as caught:
        ask(grant(), [response])
    text = "".join(
        traceback.TracebackException.from_exception(caught.value, capture_locals=True).format()
    )
    assert "c4n4ry" not in text.replace(repr(SECRET), "")


@given(st.text(min_size=1), st.text(min_size=1))
def test_basic_client_auth_is_encoded_as_a_form(user: str, secret: str) -> None:
    """RFC 6749, section 2.3.1: any id and secret arrive as they were, colons included."""
    try:
        auth = Grant(TOKEN, {}, client_id=user, client_secret=secret)
    except ConfigError:
        assert any(not letter.isprintable() for letter in user + secret)
        return
    flow = auth.sync_auth_flow(httpx.Request("GET", ITEMS))
    sent = next(flow)
    flow.close()
    scheme, _, encoded = sent.headers["authorization"].partition(" ")
    found = base64.b64decode(encoded).decode().split(":")
    assert (scheme, [unquote_plus(part) for part in found]) == ("Basic", [user, secret])
    assert sent.read() == b""


@pytest.mark.parametrize(
    ("options", "basic", "form"),
    [
        ({"client_id": "a b", "client_secret": "c:%+é"}, "a+b:c%3A%25%2B%C3%A9", {}),
        (
            {"client_id": "a b", "client_secret": "c:%+é", "client_auth": "post"},
            None,
            {"client_id": "a b", "client_secret": "c:%+é"},
        ),
        ({"client_id": "public"}, None, {"client_id": "public"}),
        ({}, None, {}),
    ],
)
def test_how_the_client_says_who_it_is(
    options: dict[str, Any], basic: str | None, form: dict[str, str]
) -> None:
    """In a header, in the form, or not at all; in the URL never."""
    with answering(Authority()) as server:
        auth = Grant(f"{server.url}/token?v=1", {"grant_type": "test"}, **options)
        with httpx.Client(auth=auth) as api:
            api.get(f"{server.url}/items")
        sent = server.seen[0]
    assert sent.target == "/token?v=1"
    assert sent.headers["content-type"] == "application/x-www-form-urlencoded"
    assert sent.form == {"grant_type": "test", **form}
    assert (sent.basic if "authorization" in sent.headers else None) == basic


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: grant(client_auth="jwt"), "client_auth: expected 'basic' or 'post', got 'jwt'"),
        (lambda: Grant(TOKEN, {"password": f"{SECRET}\n"}), "password: .* position 8"),
        (lambda: Grant(TOKEN, {}, client_id="me\n"), "client_id: .* position 2"),
        (lambda: Grant(TOKEN, {}, client_secret=f"{SECRET}\r"), "client_secret: .* position 8"),
        (lambda: Grant(f"https://me:{SECRET}@host/", {}), "without user"),
        (lambda: with_fields({"a": "b"}, {"a": SECRET, "client_secret": ""}), "a, client_secret"),
    ],
)
def test_arguments_that_cannot_work(build: Any, message: str) -> None:
    """Said at construction, the secret not in the text."""
    with pytest.raises(ConfigError, match=message) as caught:
        build()
    assert "c4n4ry" not in str(caught.value)


def test_fields_are_added() -> None:
    """Those of the grant and one's own together."""
    assert with_fields({"a": "b"}, {"c": "d"}) == {"a": "b", "c": "d"}
    assert with_fields({"a": "b"}, None) == {"a": "b"}


def test_a_grant_of_ones_own() -> None:
    """A form, and what is made anew for each request."""

    class Device(Grant):
        count = 0

        def fresh(self) -> dict[str, str]:
            type(self).count += 1
            return {"device_code": f"d{self.count}"}

    seen: list[Received] = []
    authority = Authority(uses=1)

    def handle(request: Received) -> bytes:
        seen.append(request)
        return authority(request)

    with answering(handle) as server:
        api = httpx.Client(auth=Device(f"{server.url}/token", {"grant_type": "x"}))
        with api:
            api.get(f"{server.url}/items")
            api.get(f"{server.url}/items")
    forms = [request.form["device_code"] for request in seen if request.path == "/token"]
    assert forms == ["d1", "d2"]
