"""Several credentials serve as one: whichever has something left."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import anyio
import httpx
import pytest

from blocks.auth import Bearer, HeaderKey
from blocks.client import client
from blocks.connections import Connections
from blocks.credentials import CredentialPool, Usage
from blocks.errors import ConfigError, RetryError
from blocks.limits import Rate
from blocks.retries import Retry
from blocks.tokens import TokenFrom
from tests.authority import Received, answering
from tests.loopback import JSON, answer

SECRET = "c4n4ry"

at_once = functools.partial(Retry, chance=lambda: 0.0)


class GitHub:
    """An API that counts by token, in windows that end at `reset` (seconds of the epoch)."""

    def __init__(self, left: dict[str, int], reset: dict[str, int], status: str = "403 No") -> None:
        self.left, self.reset, self.status = left, reset, status
        self.used: list[str] = []
        self.lock = threading.Lock()
        self.now: Callable[[], float] = time.time

    def __call__(self, request: Received) -> bytes:
        """The answer, and what is left."""
        token = request.headers["authorization"].removeprefix("Bearer ")
        with self.lock:
            if self.now() >= self.reset[token]:
                self.left[token], self.reset[token] = 5, int(self.now()) + 3600
            self.left[token] -= 1
            left = max(0, self.left[token])
            fine = self.left[token] >= 0
            self.used.append(token if fine else f"{token}!")
            headers = [
                ("X-RateLimit-Remaining", str(left)),
                ("X-RateLimit-Reset", str(self.reset[token])),
                ("Date", formatdate(self.now(), usegmt=True)),
            ]
        return answer(b"{}", "200 OK" if fine else self.status, [*JSON, *headers])


def later(seconds: int = 3600) -> int:
    """An instant, in seconds of the epoch."""
    return int(time.time()) + seconds


def pool(*tokens: str, **options: Any) -> CredentialPool:
    """One of bearer tokens."""
    return CredentialPool(Connections(), [Bearer(token) for token in tokens], **options)


@pytest.mark.anyio
async def test_the_one_with_the_most_left_is_used() -> None:
    """Unknown ones first, then by what their answers say, never one with nothing left."""
    api_of = GitHub({"a": 3, "b": 6}, {"a": later(), "b": later()})
    with answering(api_of) as server:
        credentials = pool("a", "b")
        async with client(server.url, transport=credentials) as api:
            for _ in range(9):
                assert (await api.get("/items")).status_code == 200
    assert sorted(api_of.used) == ["a"] * 3 + ["b"] * 6
    assert api_of.used[:5] == ["a", "b", "b", "b", "b"]
    assert credentials.statistics() == (Usage(3, 0, {"": 0}), Usage(6, 0, {"": 0}))


@pytest.mark.anyio
@pytest.mark.parametrize("status", ["403 Forbidden", "429 Too Many Requests"])
async def test_a_refused_attempt_is_made_again_with_another(status: str) -> None:
    """At once, without a pause for anybody, and not with the one that was refused."""
    api_of = GitHub({"a": 0, "b": 0, "c": 9}, dict.fromkeys("abc", later()), status)
    limit = Rate(1000)
    with answering(api_of) as server:
        credentials = pool("a", "b", "c")
        async with client(server.url, transport=credentials, limit=limit) as api:
            for _ in range(3):
                response = await api.post("/items", content=b"body")
                assert response.status_code == 200
                assert "authorization" not in response.request.headers
        bodies = {request.body for request in server.seen}
    assert api_of.used == ["a!", "b!", "c", "c", "c"]
    assert bodies == {b"body"}
    assert limit.statistics().pauses == 0
    assert [usage.refused for usage in credentials.statistics()] == [1, 1, 0]


@pytest.mark.anyio
async def test_64_tasks_never_take_more_than_there_is() -> None:
    """What is under way counts as used, whatever order answers come in."""
    api_of = GitHub({"a": 40, "b": 40}, {"a": later(), "b": later()})
    with answering(api_of) as server:
        async with client(server.url, transport=pool("a", "b")) as api:
            for _ in range(2):
                await api.get("/items")
            async with anyio.create_task_group() as tasks:
                for _ in range(78):
                    tasks.start_soon(api.get, "/items")
    assert sorted(api_of.used) == ["a"] * 40 + ["b"] * 40


@pytest.mark.anyio
async def test_when_all_are_used_up_the_first_to_open_is_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """By the limiter and the retries, and said in the log."""
    caplog.set_level(logging.INFO)
    api_of = GitHub({"a": 1, "b": 0}, {"a": later(), "b": later(2)})
    limit = Rate(1000)
    with answering(api_of) as server:
        transport = pool("a", "b")
        async with client(server.url, transport=transport, limit=limit, retry=at_once) as api:
            for _ in range(3):
                assert (await api.get("/items")).status_code == 200
    assert [token for token in api_of.used if "!" not in token] == ["a", "b", "b"]
    assert limit.statistics().pauses >= 1
    assert "all 2 credentials are used up for" in caplog.text


@pytest.mark.anyio
async def test_a_wait_longer_than_retries_allow_is_an_error() -> None:
    """Without a request in vain."""
    api_of = GitHub({"a": 0}, {"a": later(7200)})
    with answering(api_of) as server:
        async with client(server.url, transport=pool("a"), retry=at_once) as api:
            for _ in range(2):
                with pytest.raises(RetryError, match=r"told to wait 7[12]\d\d s, more than"):
                    await api.get("/items")
    assert api_of.used == ["a!"]


class Fake(httpx.AsyncBaseTransport):
    """Answers in a row, and who they went to."""

    def __init__(self, *answers: httpx.Response) -> None:
        self.answers = list(answers)
        self.tokens: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The next answer."""
        self.tokens.append(request.headers.get("authorization", "").removeprefix("Bearer "))
        return self.answers.pop(0)


def told(status: int = 200, **headers: str) -> httpx.Response:
    """An answer with rate-limit headers, at a time of its own."""
    names = {"left": "X-RateLimit-Remaining", "reset": "X-RateLimit-Reset", "after": "Retry-After"}
    found = {names.get(name, name): value for name, value in headers.items()}
    date = {"Date": "Thu, 01 Jan 1970 00:16:40 GMT"}  # 1000 s of the epoch
    return httpx.Response(status, headers=date | found)


async def ask(credentials: CredentialPool, path: str = "/") -> httpx.Response:
    """One request."""
    request = httpx.Request("GET", f"https://api.example.com{path}")
    return await credentials.handle_async_request(request)


@pytest.mark.anyio
async def test_times_count_on_the_clock_given() -> None:
    """From the server's own date: a wrong clock on either side does no harm."""
    now = 50.0
    api = Fake(told(left="0", reset="1060"), told(left="7", reset="4660"))
    credentials = CredentialPool(api, [Bearer("a")], clock=lambda: now)
    await ask(credentials)
    response = await ask(credentials)
    assert (response.status_code, response.headers["Retry-After"]) == (429, "60")
    now = 109.5
    assert (await ask(credentials)).headers["Retry-After"] == "1"
    now = 110.0
    assert credentials.statistics() == (Usage(1, 0, {}),)
    assert (await ask(credentials)).status_code == 200
    assert credentials.statistics() == (Usage(2, 0, {"": 7}),)


@pytest.mark.anyio
async def test_within_a_window_the_least_heard_counts() -> None:
    """Answers overtake each other; a new window begins anew."""
    api = Fake(
        told(left="5", reset="1060"),
        told(left="8", reset="1060"),
        told(left="2", reset="1061"),
        told(left="90", reset="1120"),
    )
    credentials = CredentialPool(api, [Bearer("a")], clock=lambda: 0.0)
    left = []
    for _ in range(4):
        await ask(credentials)
        left.append(credentials.statistics()[0].left[""])
    assert left == [5, 4, 2, 90]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("refusal", "wait"),
    [
        (told(429, after="30"), "30"),
        (told(403, after="30", left="10", reset="1900"), "30"),
        (told(429, left="0", reset="1090"), "90"),
        (told(403, left="0", reset="1090"), "90"),
        (told(403, left="0", reset="900"), "1"),
        (told(429), "60"),
        (told(403, left="0", reset="soon"), "60"),
    ],
)
async def test_refusals_and_how_long_they_last(refusal: httpx.Response, wait: str) -> None:
    """What was told, else until the window ends, else a minute."""
    credentials = CredentialPool(Fake(refusal), [Bearer("a")], clock=lambda: 0.0)
    assert (await ask(credentials)).headers["Retry-After"] == wait


@pytest.mark.anyio
@pytest.mark.parametrize(
    "answered",
    [told(403), told(403, left="3", reset="2000"), told(401), told(500), told(404, left="x")],
)
async def test_what_is_no_refusal_for_a_quota_is_passed_on(answered: httpx.Response) -> None:
    """Permissions and the like are for those above."""
    credentials = CredentialPool(Fake(answered), [Bearer("a"), Bearer("b")], clock=lambda: 0.0)
    assert await ask(credentials) is answered


@pytest.mark.anyio
async def test_the_longest_rest_counts() -> None:
    """Of two refusals under way together."""
    api = Fake(told(429, after="100"), told(429, after="10"), told(429, after="300"))
    credentials = CredentialPool(api, [Bearer("a"), Bearer("b"), Bearer("c")], clock=lambda: 0.0)
    assert (await ask(credentials)).headers["Retry-After"] == "10"
    slow = httpx.Response(200)
    begun, go_on = anyio.Event(), anyio.Event()

    class Slow(Fake):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response = await super().handle_async_request(request)
            if response is slow:
                begun.set()
                await go_on.wait()
                return told(429, after="5")
            return response

    credentials = CredentialPool(Slow(slow, told(429, after="50")), [Bearer("a")], clock=lambda: 0)
    waits: list[str] = []

    async def one() -> None:
        waits.append((await ask(credentials)).headers["Retry-After"])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one)
        await begun.wait()
        await one()
        go_on.set()
    assert waits == ["50", "50"]


@pytest.mark.anyio
async def test_what_all_have_left_is_what_those_above_see() -> None:
    """One token's own number would have a limiter wait while another has some."""
    api = Fake(
        told(left="4", reset="1060"),
        told(left="2", reset="1060"),
        told(left="3", reset="1060"),
        told(left="0", reset="1060"),
    )
    credentials = CredentialPool(api, [Bearer("a"), Bearer("b")], clock=lambda: 0.0)
    seen = [(await ask(credentials)).headers.get("x-ratelimit-remaining") for _ in range(4)]
    assert seen == [None, "6", "5", "2"]
    assert api.tokens == ["a", "b", "a", "a"]
    alone = CredentialPool(Fake(told(left="0", reset="1060")), [Bearer("a")], clock=lambda: 0.0)
    assert "x-ratelimit-remaining" not in (await ask(alone)).headers


@pytest.mark.anyio
async def test_quotas_by_name() -> None:
    """A search that is used up leaves the rest alone."""
    api = Fake(
        told(left="0", reset="1060"), told(left="9", reset="1060"), told(left="8", reset="1060")
    )
    credentials = CredentialPool(
        api, [Bearer("a")], quota=lambda request: request.url.path, clock=lambda: 0.0
    )
    assert (await ask(credentials, "/search")).status_code == 200
    assert (await ask(credentials, "/search")).status_code == 429
    assert (await ask(credentials, "/items")).status_code == 200
    assert (await ask(credentials, "/items")).status_code == 200
    assert credentials.statistics() == (Usage(3, 0, {"/search": 0, "/items": 8}),)


@pytest.mark.anyio
async def test_any_auth_is_a_credential() -> None:
    """Of different kinds, each alone on its attempt; those that renew themselves do so."""
    calls: list[str] = []

    def fetch() -> str:
        calls.append("fetch")
        return f"t{len(calls)}"

    seen: list[tuple[str, str]] = []

    def handle(request: Received) -> bytes:
        pair = request.headers.get("authorization", ""), request.headers.get("x-api-key", "")
        seen.append(pair)
        if pair[1]:
            return answer(b"{}", "429 No", (("Retry-After", "99"),))
        return answer(b"{}", "200 OK" if pair[0] == "Bearer t2" else "401 No")

    with answering(handle) as server:
        transport = CredentialPool(Connections(), [HeaderKey("k3y"), TokenFrom(fetch)])
        async with client(server.url, transport=transport) as api:
            assert (await api.get("/items")).status_code == 200
    assert seen == [("", "k3y"), ("Bearer t1", ""), ("Bearer t2", "")]


def test_a_pool_of_none() -> None:
    """Is a mistake."""
    with pytest.raises(ConfigError, match="expected one or more, got none"):
        CredentialPool(Connections(), [])


def test_repr_has_no_secret() -> None:
    """Each as it shows itself; an auth of somebody else's by its class."""
    theirs = httpx.BasicAuth("me", SECRET)
    shown = repr(CredentialPool(Connections(), [Bearer(SECRET), theirs]))
    assert shown == "CredentialPool(Connections(100), [Bearer('***'), BasicAuth])"


@pytest.mark.anyio
async def test_closing_closes_what_is_below() -> None:
    """And the connections with it."""
    with answering(GitHub({"a": 9}, {"a": later()})) as server:
        async with client(server.url, transport=pool("a")) as api:
            await api.get("/items")
        server.closed(1)
