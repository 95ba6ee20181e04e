"""The grants of RFC 6749, each against a server that knows what it must be sent."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, cast

import anyio.lowlevel
import httpx
import pytest

from blocks.client import client
from blocks.errors import AuthError, ConfigError, Denied
from blocks.oauth import ClientCredentials, LegacyPassword, RefreshToken
from blocks.retries import Retry
from tests.authority import Authority, Received, answering, said

SECRET = "c4n4ry"
URL = "https://login.example.com/token"


def nothing(refresh: str) -> None:
    """Saves nothing."""


REFRESH = functools.partial(RefreshToken, save=nothing)


@pytest.mark.anyio
async def test_client_credentials() -> None:
    """RFC 6749, section 4.4.2, with the fields that some servers want besides."""
    with answering(Authority()) as server:
        auth = ClientCredentials(
            f"{server.url}/token", "me", SECRET, scope="read all", fields={"audience": "https://a"}
        )
        async with client(server.url, auth=auth) as api:
            assert (await api.get("/items")).json() == {"token": "t1"}
        sent, used = server.seen
    assert (sent.method, sent.basic) == ("POST", f"me:{SECRET}")
    expected = {"grant_type": "client_credentials", "scope": "read all", "audience": "https://a"}
    assert sent.form == expected
    assert sent.headers["user-agent"] == used.headers["user-agent"]


@pytest.mark.anyio
async def test_the_password_grant() -> None:
    """RFC 6749, section 4.3.2: the user's password, and the client's secret where it has one."""
    with answering(Authority()) as server:
        auth = LegacyPassword(
            f"{server.url}/token",
            "ann",
            SECRET,
            client_id="me",
            client_secret="s",
            fields={"scope": "read"},
            client_auth="post",
        )
        async with client(server.url, auth=auth) as api:
            await api.get("/items")
        sent = server.seen[0]
    assert sent.form == {
        "grant_type": "password",
        "username": "ann",
        "password": SECRET,
        "scope": "read",
        "client_id": "me",
        "client_secret": "s",
    }


class Rotating:
    """A server whose refresh tokens r1, r2, ... are good for one use each."""

    def __init__(self) -> None:
        self.authority = Authority()
        self.valid = 1
        self.log: list[str] = []

    def __call__(self, request: Received) -> bytes:
        """The answer to any request."""
        if request.path != "/token":
            token = request.headers["authorization"]
            self.log.append(f"used {token}")
            return self.authority(request)
        given = request.form["refresh_token"]
        self.log.append(f"granted for {given}")
        if given != f"r{self.valid}":
            return said({"error": "invalid_grant"}, "400 Bad Request")
        self.valid += 1
        self.authority.extra = {"refresh_token": f"r{self.valid}"}
        return self.authority(request)


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_a_new_refresh_token_is_saved_before_the_access_token_is_used(kind: str) -> None:
    """In this order, at each renewal."""
    rotating = Rotating()

    def save(refresh: str) -> None:
        rotating.log.append(f"saved {refresh}")

    async def save_later(refresh: str) -> None:
        await anyio.lowlevel.checkpoint()
        save(refresh)

    with answering(rotating) as server:
        keep = save if kind == "plain" else save_later
        auth = RefreshToken(f"{server.url}/token", "me", SECRET, "r1", save=keep)
        async with client(server.url, auth=auth) as api:
            await api.get("/items")
            rotating.authority.left.clear()
            await api.get("/items")
    assert rotating.log == [
        *("granted for r1", "saved r2", "used Bearer t1"),
        *("used Bearer t1", "granted for r2", "saved r3", "used Bearer t2"),
    ]


@pytest.mark.anyio
async def test_a_token_that_could_not_be_saved_is_not_used() -> None:
    """The error comes out; the next try saves what is there, before anything else."""
    rotating = Rotating()
    fail = [OSError("disk full"), OSError("disk still full")]

    def save(refresh: str) -> None:
        rotating.log.append(f"saving {refresh}")
        if fail:
            raise fail.pop(0)

    with answering(rotating) as server:
        auth = RefreshToken(f"{server.url}/token", "me", "", "r1", save=save)
        async with client(server.url, auth=auth) as api:
            for message in ("disk full", "disk still full"):
                with pytest.raises(OSError, match=message):
                    await api.get("/items")
            await api.get("/items")
        form = server.seen[0].form
    assert rotating.log == ["granted for r1", *["saving r2"] * 3, "used Bearer t1"]
    assert form == {"grant_type": "refresh_token", "refresh_token": "r1", "client_id": "me"}


@pytest.mark.parametrize("extra", [{}, {"refresh_token": "r1"}, {"refresh_token": None}])
def test_a_refresh_token_that_stays_is_not_saved(extra: dict[str, Any]) -> None:
    """Nothing new, nothing to keep; the old one serves again."""
    saved: list[str] = []
    authority = Authority(uses=1, extra=extra)
    with answering(authority) as server:
        auth = RefreshToken(f"{server.url}/token", "me", SECRET, "r1", save=saved.append)
        with httpx.Client(base_url=server.url, auth=auth) as api:
            api.get("/items")
            api.get("/items")
        given = [seen.form["refresh_token"] for seen in server.seen if seen.path == "/token"]
    assert saved == []
    assert given == ["r1", "r1"]


@pytest.mark.anyio
async def test_a_refresh_token_that_is_void_is_tried_once() -> None:
    """invalid_grant is final, and says what to do about it."""
    rotating = Rotating()
    with answering(rotating) as server:
        auth = RefreshToken(f"{server.url}/token", "me", SECRET, "stolen", save=nothing)
        async with client(server.url, auth=auth) as api:
            for _ in range(3):
                with pytest.raises(Denied, match=r"'invalid_grant' .POST 127.0.0.1:.*status 400"):
                    await api.get("/items")
    assert rotating.log == ["granted for stolen"]


@pytest.mark.anyio
async def test_tokens_saved_to_a_file_survive_the_process(tmp_path: Path) -> None:
    """The recipe: read it, have it replaced, go on from there."""
    rotating, kept = Rotating(), tmp_path / "refresh_token"
    kept.write_text("r1")
    with answering(rotating) as server:
        for _ in range(3):
            auth = RefreshToken(
                f"{server.url}/token", "me", SECRET, kept.read_text(), save=kept.write_text
            )
            async with client(server.url, auth=auth) as api:
                await api.get("/items")
    assert kept.read_text() == "r4"


@pytest.mark.anyio
async def test_a_token_endpoint_that_stays_down_is_an_error() -> None:
    """Not a final one: the next request asks again."""
    authority = Authority(answers=[said({}, "503 Busy")] * 2)
    with answering(authority) as server:
        auth = ClientCredentials(f"{server.url}/token", "me", SECRET)
        once = functools.partial(Retry, attempts=1)
        async with client(server.url, auth=auth, retry=once) as api:
            for _ in range(2):
                with pytest.raises(AuthError, match=r"got no success .*status 503"):
                    await api.get("/items")
            assert (await api.get("/items")).status_code == 200


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        (ClientCredentials(URL, "me", SECRET), f"ClientCredentials('{URL}', 'me', '***')"),
        (
            ClientCredentials(f"{URL}?key={SECRET}", "me", SECRET, client_auth="post"),
            f"ClientCredentials('{URL}', 'me', '***', client_auth='post')",
        ),
        (
            ClientCredentials(URL, "me", SECRET, scope="a b", fields={"x": SECRET}),
            f"ClientCredentials('{URL}', 'me', '***', scope='a b', fields={{'x': '***'}})",
        ),
        (
            REFRESH(URL, "me", SECRET, SECRET),
            f"RefreshToken('{URL}', 'me', '***', '***', save=nothing)",
        ),
        (
            REFRESH(URL, "me", "", SECRET, fields={"scope": "a"}),
            f"RefreshToken('{URL}', 'me', '', '***', save=nothing, fields={{'scope': '***'}})",
        ),
        (
            REFRESH(URL, "me", SECRET, SECRET, client_auth="post"),
            f"RefreshToken('{URL}', 'me', '***', '***', save=nothing, client_auth='post')",
        ),
        (LegacyPassword(URL, SECRET, SECRET), f"LegacyPassword('{URL}', '***', '***')"),
        (
            LegacyPassword(URL, SECRET, SECRET, client_id="me", client_secret=SECRET),
            f"LegacyPassword('{URL}', '***', '***', client_id='me', client_secret='***')",
        ),
    ],
)
def test_repr_is_the_expression_without_the_secrets(auth: httpx.Auth, expected: str) -> None:
    """What it was made of, but for what is nobody's business."""
    assert repr(auth) == str(auth) == expected
    assert repr(eval(expected)) == expected
    assert SECRET not in str(vars(auth))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ClientCredentials(URL, "", SECRET), "client_id: expected text, got an empty"),
        (lambda: ClientCredentials(URL, "me", ""), "client_secret: expected text, got an empty"),
        (
            lambda: ClientCredentials(URL, "me", cast("str", None)),
            "client_secret: expected text, got NoneType",
        ),
        (lambda: ClientCredentials(URL, "me", f"{SECRET}\n"), "client_secret: .* position 6"),
        (lambda: ClientCredentials("/token", "me", SECRET), "with scheme and host"),
        (lambda: ClientCredentials(URL, "me", SECRET, fields={"grant_type": "x"}), "grant_type"),
        (lambda: REFRESH(URL, "me", SECRET, ""), "refresh_token: expected text, got an empty"),
        (lambda: REFRESH(URL, "me", SECRET, f"{SECRET}\n"), "refresh_token: .* position 6"),
        (lambda: LegacyPassword(URL, "", SECRET), "user: expected text"),
        (lambda: LegacyPassword(URL, "ann", ""), "password: expected text"),
    ],
)
def test_arguments_that_cannot_work(build: Any, message: str) -> None:
    """Said at construction, the secret not in the text."""
    with pytest.raises(ConfigError, match=message) as caught:
        build()
    assert SECRET not in str(caught.value)
