"""A session is begun once, used by all, and begun anew when it is refused."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from blocks.client import client
from blocks.errors import AuthError, ConfigError, Denied
from blocks.sessions import CookieLogin, TokenLogin
from tests.authority import Received, answering, said
from tests.loopback import answer

SECRET = "c4n4ry"
URL = "https://api.example.com/login"
WHO = {"user": "ann", "password": SECRET}
HIDDEN = dict.fromkeys(WHO, "***")


class Api:
    """Sessions s1, s2, ... of so many uses each, begun at /login and sent in `header`."""

    def __init__(self, header: str, value: str, status: str = "200 OK", uses: int = 10**9) -> None:
        self.header, self.value, self.status, self.uses = header, value, status, uses
        self.logins: list[Received] = []
        self.left = 0

    def __call__(self, request: Received) -> bytes:
        """The answer to any request."""
        if request.path == "/login":
            self.logins.append(request)
            self.left = self.uses
            session = f"s{len(self.logins)}"
            cookies = [
                ("Set-Cookie", f"{name}; Path=/; HttpOnly")
                for name in ("lang=en", f"sid={session}")
            ]
            body = json.dumps({"data": {"token": session}}).encode()
            return answer(body, self.status, cookies)
        expected = self.value.format(f"s{len(self.logins)}")
        self.left -= 1
        if request.headers.get(self.header) != expected or self.left < 0:
            return said({}, "401 Unauthorized")
        return said([])


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("options", "header", "value"),
    [
        ({}, "authorization", "Bearer {}"),
        ({"prefix": "Token "}, "authorization", "Token {}"),
        ({"header": "X-Session", "prefix": ""}, "x-session", "{}"),
    ],
)
async def test_a_token_from_a_login(options: dict[str, str], header: str, value: str) -> None:
    """JSON there, a header from then on; refused once, it logs in anew."""
    api_of = Api(header, value, uses=2)
    with answering(api_of) as server:
        auth = TokenLogin(f"{server.url}/login", WHO, path="data.token", **options)  # type: ignore[arg-type]
        async with client(server.url, auth=auth) as api:
            assert [(await api.get("/items")).status_code for _ in range(4)] == [200] * 4
    first, second = api_of.logins
    assert first.raw == second.raw
    assert (first.headers["content-type"], json.loads(first.body)) == ("application/json", WHO)


@pytest.mark.anyio
@pytest.mark.parametrize("status", ["200 OK", "302 Found"])
async def test_a_cookie_from_a_login(status: str) -> None:
    """A form there, its cookie from then on; the redirect that forms answer with is fine."""
    api_of = Api("cookie", "a=b; sid={}", status, uses=2)
    with answering(api_of) as server:
        auth = CookieLogin(f"{server.url}/login", WHO, name="sid")
        async with client(server.url, auth=auth) as api:
            headers = {"Cookie": "a=b; sid=old"}
            found = [await api.get("/items", headers=headers) for _ in range(4)]
            assert [response.status_code for response in found] == [200] * 4
    assert [request.form for request in api_of.logins] == [WHO] * 2


@pytest.mark.anyio
async def test_the_other_encoding() -> None:
    """Forms for tokens, JSON for cookies."""
    api_of = Api("authorization", "Bearer {}")
    with answering(api_of) as server:
        auth = TokenLogin(f"{server.url}/login", WHO, path=["data", "token"], encoding="form")
        async with client(server.url, auth=auth) as api:
            assert (await api.get("/items")).status_code == 200
    assert api_of.logins[0].form == WHO
    api_of = Api("cookie", "sid={}")
    with answering(api_of) as server:
        other = CookieLogin(f"{server.url}/login", WHO, name="sid", encoding="json")
        async with client(server.url, auth=other) as api:
            assert (await api.get("/items")).status_code == 200
    assert json.loads(api_of.logins[0].body) == WHO


@pytest.mark.anyio
async def test_a_session_known_to_end() -> None:
    """Is renewed before it does."""
    now = 0.0
    api_of = Api("authorization", "Bearer {}")
    with answering(api_of) as server:
        auth = TokenLogin(f"{server.url}/login", WHO, path="data.token", lifetime=600)
        auth.clock = lambda: now
        async with client(server.url, auth=auth) as api:
            await api.get("/items")
            now = 540
            await api.get("/items")
    assert len(api_of.logins) == 2


def ask(auth: httpx.Auth, response: httpx.Response) -> httpx.Request:
    """What arrives at the API, where the login is answered so."""
    arrived: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        arrived.append(request)
        return response if request.url.path == "/login" else httpx.Response(200)

    with httpx.Client(transport=httpx.MockTransport(answer), auth=auth) as api:
        api.get("https://api.example.com/items")
    return arrived[-1]


@pytest.mark.parametrize("status", [400, 401, 403, 422])
def test_wrong_credentials_are_tried_once(status: int) -> None:
    """Accounts are locked for less."""
    auth = TokenLogin(URL, WHO, path="token")
    for response in (httpx.Response(status, text=SECRET), httpx.Response(200, json={"token": "t"})):
        with pytest.raises(Denied, match=f"got a refusal of the credentials .*status {status}"):
            ask(auth, response)


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, html="<h1>Hi</h1>"),
        httpx.Response(200, json={"data": SECRET}),
        httpx.Response(200, json={"token": 7}),
        httpx.Response(200, json={"token": None}),
        httpx.Response(200, json={"token": f"{SECRET}\n"}),
        httpx.Response(204, headers={"Set-Cookie": "other=1"}),
        httpx.Response(200, headers={"Set-Cookie": "sid=1; Domain=evil.example.org"}),
        httpx.Response(200, headers={"Set-Cookie": f'sid="{SECRET},x"'}),
    ],
)
@pytest.mark.parametrize(
    "auth", [TokenLogin(URL, WHO, path="token"), CookieLogin(URL, WHO, name="sid")]
)
def test_answers_without_a_session(auth: httpx.Auth, response: httpx.Response) -> None:
    """An error that says what was expected, not what came."""
    with pytest.raises(AuthError, match=r"expected a session from .*Login.*, got none") as caught:
        ask(auth, response)
    assert SECRET not in str(caught.value)
    assert caught.value.response is not None
    assert (caught.value.response.content, list(caught.value.response.headers)) == (b"", [])


def test_a_login_that_is_down() -> None:
    """An error now, but not for ever."""
    auth = TokenLogin(URL, WHO, path="token")
    with pytest.raises(AuthError, match=r"got no success .*status 503"):
        ask(auth, httpx.Response(503))
    ask(auth, httpx.Response(200, json={"token": "t"}))


def test_of_several_cookies_the_last() -> None:
    """As a browser would have it, where the same one is set for two paths."""
    cookies = [("Set-Cookie", "sid=a; Path=/"), ("Set-Cookie", "sid=b; Path=/api")]
    auth = CookieLogin(URL, WHO, name="sid")
    request = ask(auth, httpx.Response(200, headers=cookies))
    assert request.headers["cookie"] == "sid=b"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: TokenLogin("/login", WHO, path="t"), "with scheme and host"),
        (lambda: TokenLogin(URL, WHO, path="t", header="a b"), "name of a header"),
        (lambda: TokenLogin(URL, WHO, path="t", prefix="a\n"), "visible ASCII"),
        (lambda: CookieLogin(URL, WHO, name="a;b"), "name of a cookie"),
        (lambda: CookieLogin(URL, WHO, name="sid", encoding="xml"), "'json' or 'form', got 'xml'"),  # type: ignore[arg-type]
        (
            lambda: TokenLogin(URL, {"password": SECRET.encode()}, path="t"),
            "credentials: expected what json can say",
        ),
        (
            lambda: CookieLogin(URL, {"password": f"{SECRET}\ud800"}, name="sid"),
            "credentials: expected what form can say",
        ),
    ],
)
def test_arguments_that_cannot_work(build: Any, message: str) -> None:
    """Said at construction, the secret not in the text."""
    with pytest.raises(ConfigError, match=message) as caught:
        build()
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        (
            TokenLogin(
                URL + f"?key={SECRET}", WHO, path=[0], header="X-Token", prefix="", lifetime=60
            ),
            f"TokenLogin('{URL}', {HIDDEN}, path=[0], header='X-Token', prefix='', lifetime=60)",
        ),
        (
            CookieLogin(URL, WHO, name="sid"),
            f"CookieLogin('{URL}', {HIDDEN}, name='sid')",
        ),
    ],
)
def test_repr_is_the_expression_without_the_secrets(auth: httpx.Auth, expected: str) -> None:
    """The names of what is sent, not the values."""
    assert repr(auth) == str(auth) == expected
    assert repr(eval(expected)) == expected
    assert SECRET not in str(vars(auth))
