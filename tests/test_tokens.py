"""A token is obtained once for everybody, renewed in time, and once when it is refused."""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from blocks.client import client
from blocks.errors import AuthError, ConfigError, Denied
from blocks.exchanges import token_request
from blocks.fetch import pages
from blocks.limits import Rate
from blocks.oauth import ClientCredentials
from blocks.outcomes import Verdict, mark
from blocks.paginators import NextUrl
from blocks.tokens import Expiring, Step, Token, TokenFrom
from tests.authority import Authority, answering, said

SECRET = "c4n4ry"
URL = "https://api.example.com/items"


def once(transport: httpx.AsyncBaseTransport) -> httpx.AsyncBaseTransport:
    """No retries."""
    return transport


asking: ContextVar[int] = ContextVar("asking")


class Numbered(Expiring):
    """Tokens t1, t2, ... for which /token is asked."""

    def __init__(self, url: str = URL) -> None:
        super().__init__()
        self.url = httpx.URL(url).join("/token")

    def obtain(self, request: httpx.Request) -> Generator[Step, Any, Token]:
        """Ask for it."""
        response = yield token_request(self.url, b"{}", {}, request)
        if response.status_code == 400:
            raise Denied("no", httpx.Response(400))
        return Token(response.json()["access_token"], response.json().get("expires_in"))


async def gather(count: int, ask: Callable[[], Any]) -> list[Any]:
    """What `ask` returns, or raises, in as many tasks."""
    found: list[Any] = []

    async def one() -> None:
        try:
            found.append(await ask())
        except Exception as error:  # noqa: BLE001 - to be looked at
            found.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(one)
    return found


@pytest.mark.anyio
async def test_one_request_for_64_tasks() -> None:
    """All wait for the one token and use it."""
    authority = Authority()
    with answering(authority) as server:
        async with client(server.url, auth=Numbered(server.url)) as api:
            found = await gather(64, lambda: api.get("/items"))
    assert [response.json()["token"] for response in found] == ["t1"] * 64
    assert authority.asked == 1


def test_one_request_for_threads_and_loops_of_all_kinds() -> None:
    """asyncio, trio and plain threads share one token, whoever of them obtains it."""
    authority = Authority(gate=threading.Event())
    with answering(authority) as server:
        auth = Numbered(server.url)
        start = threading.Barrier(13)

        async def several() -> list[str]:
            transport = httpx.AsyncHTTPTransport()
            async with client(server.url, auth=auth, transport=transport) as api:
                found = await gather(8, lambda: api.get("/items"))
            return [response.json()["token"] for response in found]

        def looping(backend: str) -> list[str]:
            start.wait()
            return anyio.run(several, backend=backend)

        def plain() -> list[str]:
            start.wait()
            with httpx.Client(base_url=server.url, auth=auth) as api:
                return [api.get("/items").json()["token"]]

        with ThreadPoolExecutor(12) as threads:
            results = [threads.submit(looping, kind) for kind in ["asyncio", "trio"] * 4]
            results += [threads.submit(plain) for _ in range(4)]
            start.wait()
            authority.gate.set() if authority.gate else None
            tokens = [token for result in results for token in result.result()]
    assert tokens == ["t1"] * 68
    assert authority.asked == 1


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.parametrize("leading", [True, False])
async def test_whoever_is_cancelled_the_others_get_their_token(
    anyio_backend: str, leading: bool
) -> None:
    """The one that obtains it leaves it to the next; one that waits is not missed."""
    calls: list[int] = []
    go_on = anyio.Event()

    async def fetch() -> str:
        calls.append(asking.get())
        await go_on.wait()
        return "t"

    transport = httpx.MockTransport(lambda request: httpx.Response(200))
    api = httpx.AsyncClient(transport=transport, auth=TokenFrom(fetch))
    scopes = [anyio.CancelScope() for _ in range(3)]
    done: set[int] = set()

    async def ask(number: int) -> None:
        asking.set(number)
        with scopes[number]:
            await api.get(URL)
            done.add(number)

    async with api, anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(ask, number)
        await anyio.wait_all_tasks_blocked()
        (leader,) = calls
        victim = leader if leading else (leader + 1) % 3
        scopes[victim].cancel()
        await anyio.wait_all_tasks_blocked()
        go_on.set()
    assert done == {0, 1, 2} - {victim}
    assert len(calls) == (2 if leading else 1)


@pytest.mark.anyio
async def test_a_token_request_that_cannot_be_sent_fails_for_its_own_caller() -> None:
    """With the error it has; those who waited try themselves."""
    failing = [httpx.ConnectError("down"), httpx.ConnectError("down")]
    begun = anyio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/token":
            return httpx.Response(200)
        await begun.wait()
        if failing:
            raise failing.pop()
        return httpx.Response(200, json={"access_token": "t"})

    found: list[list[Any]] = []
    api = httpx.AsyncClient(transport=httpx.MockTransport(answer), auth=Numbered())

    async def run() -> None:
        found.append(await gather(5, lambda: api.get(URL)))

    async with api, anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await anyio.wait_all_tasks_blocked()
        begun.set()
    kinds = sorted(type(result).__name__ for result in found[0])
    assert kinds == ["ConnectError"] * 2 + ["Response"] * 3


@pytest.mark.anyio
async def test_an_answer_that_is_no_token_fails_for_all_who_wait_for_it() -> None:
    """One request, one error for each; the next request asks again."""
    authority = Authority(answers=[said({}, "400 Bad"), said({"access_token": 1})])
    calls = 0

    async def fetch() -> object:
        nonlocal calls
        calls += 1
        await anyio.wait_all_tasks_blocked()
        return None if calls == 1 else "t"

    transport = httpx.MockTransport(lambda request: httpx.Response(200))
    async with httpx.AsyncClient(transport=transport, auth=TokenFrom(fetch)) as api:
        found = await gather(16, lambda: api.get(URL))
        assert {str(error) for error in found} == {
            "expected a token from fetch: token: expected text, got NoneType"
        }
        assert calls == 1
        assert (await api.get(URL)).status_code == 200
    assert authority.asked == 0


@pytest.mark.anyio
async def test_what_was_denied_is_not_asked_for_again() -> None:
    """Wrong credentials lock accounts: one request ever, the same error for everybody."""
    authority = Authority(answers=[said({}, "400 Bad Request")])
    with answering(authority) as server:
        async with client(server.url, auth=Numbered(server.url)) as api:
            found = await gather(16, lambda: api.get("/items"))
            found += await gather(2, lambda: api.get("/items"))
    assert {type(error) for error in found} == {Denied}
    assert authority.asked == 1


@pytest.mark.anyio
async def test_lifetimes_count_on_the_clock_given_and_end_early() -> None:
    """From when the token was asked for, less a minute; the time of day does not matter."""
    now = 1000.0
    authority = Authority(extra={"expires_in": 600})
    with answering(authority) as server:
        auth = Numbered(server.url)
        auth.clock = lambda: now
        async with client(server.url, auth=auth) as api:

            async def used() -> str:
                return str((await api.get("/items")).json()["token"])

            assert await used() == "t1"
            now = 1539.9
            assert await used() == "t1"
            now = 1540.0
            assert await used() == "t2"
            authority.extra = {"expires_in": 40}  # a quarter early, where life is short
            now = 3000.0
            assert await used() == "t3"
            now = 3029.9
            assert await used() == "t3"
            now = 3030.0
            assert await used() == "t4"


@pytest.mark.anyio
@pytest.mark.parametrize("lifetime", [-5.0, 0.0])
async def test_a_token_that_is_over_at_once_serves_those_who_wait_for_it(lifetime: float) -> None:
    """Whoever waited for it uses it, the next obtains another."""
    calls = 0

    async def fetch() -> Token:
        nonlocal calls
        calls += 1
        await anyio.wait_all_tasks_blocked()
        return Token(f"t{calls}", lifetime)

    transport = httpx.MockTransport(
        lambda request: httpx.Response(200, text=request.headers["Authorization"])
    )
    async with httpx.AsyncClient(transport=transport, auth=TokenFrom(fetch)) as api:
        found = await gather(16, lambda: api.get(URL))
        assert {response.text for response in found} == {"Bearer t1"}
        assert (await api.get(URL)).text == "Bearer t2"


@pytest.mark.anyio
async def test_a_refused_token_is_renewed_and_the_request_sent_again() -> None:
    """Body and all, once."""
    authority = Authority()
    with answering(authority) as server:
        auth = Numbered(server.url)
        async with client(server.url, auth=auth, retry=once) as api:
            await api.get("/items")
            authority.left.clear()

            async def content() -> Any:
                yield b"streamed"

            response = await api.post("/items", content=content())
            assert response.json() == {"token": "t2"}
        sent = [request.body for request in server.seen if request.method == "POST"]
    assert sent == [b"{}", b"streamed", b"{}", b"streamed"]


@pytest.mark.anyio
async def test_64_refused_together_are_renewed_once() -> None:
    """One new token for the epoch, no matter how many were refused."""
    authority = Authority()
    with answering(authority) as server:
        async with client(server.url, auth=Numbered(server.url)) as api:
            await api.get("/items")
            authority.left.clear()
            found = await gather(64, lambda: api.get("/items"))
    assert [response.json()["token"] for response in found] == ["t2"] * 64
    assert authority.asked == 2


@pytest.mark.anyio
@pytest.mark.parametrize("count", [1, 64])
async def test_an_api_that_refuses_every_token_is_asked_once_more(count: int) -> None:
    """Then it is an error for all, with the answer; no token is asked for after that."""
    authority = Authority(uses=0)
    with answering(authority) as server:
        async with client(server.url, auth=Numbered(server.url)) as api:
            found = await gather(count, lambda: api.get("/items"))
            found += await gather(count, lambda: api.get("/items"))
    assert {type(error) for error in found} == {AuthError}
    assert found[0].response.json() == {"error": "invalid_token"}
    assert "with a new token, got a refusal (GET 127.0.0.1:" in str(found[0])
    assert authority.asked == 2


@pytest.mark.anyio
async def test_tokens_that_are_revoked_again_and_again() -> None:
    """Each good for three requests only: every row arrives, with one token for each three."""
    authority = Authority(uses=3)
    with answering(authority) as server:
        async with client(server.url, auth=Numbered(server.url)) as api:
            for _ in range(15):
                await api.get("/items")
    assert authority.asked == 5


@pytest.mark.anyio
async def test_tokens_that_are_revoked_under_48_tasks() -> None:
    """Whoever is refused goes on with what another obtained, as long as somebody gets on."""
    left = {"t0": 0}
    asked = 0

    def api_of(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        if request.url.path == "/token":
            asked += 1
            left[f"t{asked}"] = 3
            return httpx.Response(200, json={"access_token": f"t{asked}"})
        token = request.headers["Authorization"].removeprefix("Bearer ")
        left[token] -= 1
        return httpx.Response(200 if left[token] >= 0 else 401)

    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await anyio.lowlevel.checkpoint()
            return api_of(request)

    async with httpx.AsyncClient(transport=Slow(), auth=Numbered()) as api:
        found = await gather(48, lambda: api.get(URL))
    assert {getattr(response, "status_code", response) for response in found} == {200}
    assert asked == 16


@pytest.mark.anyio
async def test_one_request_renews_once_even_where_others_get_on() -> None:
    """An endpoint that always says 401 is an error, also with a token that works elsewhere."""
    authority = Authority()

    def handle(request: Any) -> bytes:
        return said({}, "401 No") if request.path == "/closed" else authority(request)

    with answering(handle) as server:
        async with client(server.url, auth=Numbered(server.url)) as api:
            for _ in range(2):
                await api.get("/items")
                with pytest.raises(AuthError, match="with a new token"):
                    await api.get("/closed")
    assert authority.asked == 3


@pytest.mark.anyio
async def test_a_lack_of_permission_renews_nothing() -> None:
    """403 insufficient_scope is for the caller."""
    authority = Authority()

    def handle(request: Any) -> bytes:
        return said({}, "403 Forbidden") if request.path == "/closed" else authority(request)

    with answering(handle) as server:
        async with client(server.url, auth=Numbered(server.url)) as api:
            assert (await api.get("/closed")).status_code == 403
            with pytest.raises(AuthError, match="status 403"):
                async for _ in pages(api, api.build_request("GET", "/closed"), NextUrl("next")):
                    pass
    assert authority.asked == 1


def test_a_body_that_means_log_in_again() -> None:
    """What a rule has marked counts as 401 does."""
    tokens = iter(["t1", "t2"])

    def answer(request: httpx.Request) -> httpx.Response:
        response = httpx.Response(200, text=request.headers["Authorization"])
        if response.text == "Bearer t1":
            mark(response, Verdict("reauth", "error"))
        return response

    auth = TokenFrom(lambda: next(tokens))
    with httpx.Client(transport=httpx.MockTransport(answer), auth=auth) as api:
        assert api.get(URL).text == "Bearer t2"


def test_a_sync_client_fares_the_same() -> None:
    """One token, renewed when refused, an error then."""
    authority = Authority()
    with answering(authority) as server:
        auth = Numbered(server.url)
        with httpx.Client(base_url=server.url, auth=auth) as api:
            assert api.get("/items").json() == {"token": "t1"}
            authority.left.clear()
            assert api.post("/items", content=b"ab").json() == {"token": "t2"}
            authority.left.clear()
            authority.uses = 0
            with pytest.raises(AuthError):
                api.get("/items")
    assert authority.asked == 3


def test_threads_wait_for_the_one_that_obtains_it() -> None:
    """The second asks while the first is at it, and gets what that one got."""
    seen: list[str] = []
    calls: list[int] = []

    def waiting(thread: threading.Thread) -> bool:
        frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 - documented, for this
        stack = traceback.extract_stack(frame)
        return any(step.filename.endswith("concurrent/futures/_base.py") for step in stack)

    def fetch() -> str:
        calls.append(1)
        second = threading.Thread(target=ask)
        second.start()
        while not waiting(second):
            time.sleep(0.001)
        threads.append(second)
        return "t"

    threads: list[threading.Thread] = []
    auth = TokenFrom(fetch)
    transport = httpx.MockTransport(
        lambda request: httpx.Response(200, text=request.headers["Authorization"])
    )

    def ask() -> None:
        with httpx.Client(transport=transport, auth=auth) as api:
            seen.append(api.get(URL).text)

    ask()
    threads[0].join(10)
    assert (seen, calls) == (["Bearer t"] * 2, [1])


def test_a_sync_client_cannot_await() -> None:
    """An async function is refused, without a warning about it."""

    async def fetch() -> str:
        return SECRET

    transport = httpx.MockTransport(lambda request: httpx.Response(200))
    api = httpx.Client(transport=transport, auth=TokenFrom(fetch))
    with api, pytest.raises(ConfigError, match="got an async one"):
        api.get(URL)


@pytest.mark.anyio
async def test_functions_of_every_kind() -> None:
    """Plain ones run in a thread of their own, so that they may wait; async ones right here."""
    threads: list[int] = []

    def plain() -> str:
        threads.append(threading.get_ident())
        return "plain"

    async def awaited() -> Token:
        threads.append(threading.get_ident())
        return Token("awaited", 60)

    transport = httpx.MockTransport(
        lambda request: httpx.Response(200, text=request.headers["Authorization"])
    )

    def wrapped(function: Callable[[], object]) -> object:
        return function()

    seen = []
    for function in (plain, awaited, functools.partial(wrapped, awaited)):
        async with httpx.AsyncClient(transport=transport, auth=TokenFrom(function)) as api:
            seen.append((await api.get(URL)).text)
    assert seen == ["Bearer plain", "Bearer awaited", "Bearer awaited"]
    assert [ident == threading.get_ident() for ident in threads] == [False, True, True]


@pytest.mark.parametrize("bad", [None, "", 7, f"{SECRET}\n", b"bytes"])
def test_a_function_without_a_token(bad: object) -> None:
    """An error that says what came, not the secret."""
    transport = httpx.MockTransport(lambda request: httpx.Response(200))
    api = httpx.Client(transport=transport, auth=TokenFrom(lambda: bad))
    message = "expected a token from <lambda>: token: "
    with api, pytest.raises(AuthError, match=message) as caught:
        api.get(URL)
    assert SECRET not in str(caught.value)


def test_an_error_of_the_function_is_its_own() -> None:
    """It comes out as it is."""

    def broken() -> str:
        raise LookupError("no such secret")

    transport = httpx.MockTransport(lambda request: httpx.Response(200))
    api = httpx.Client(transport=transport, auth=TokenFrom(broken))
    with api, pytest.raises(LookupError, match="no such secret"):
        api.get(URL)


def test_a_loop_that_has_ended_is_not_woken() -> None:
    """A task waits in one loop for what another obtains, is cancelled, and its loop closes."""
    gate = threading.Event()
    authority = Authority(gate=gate)
    with answering(authority) as server:
        auth = Numbered(server.url)

        def lead() -> str:
            with httpx.Client(base_url=server.url, auth=auth) as api:
                return str(api.get("/items").json()["token"])

        async def join() -> None:
            async with client(server.url, auth=auth) as api, anyio.create_task_group() as tasks:
                tasks.start_soon(api.get, "/items")
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()

        with ThreadPoolExecutor(1) as threads:
            first = threads.submit(lead)
            while not server.requests:
                threading.Event().wait(0.01)
            anyio.run(join)
            gate.set()
            assert first.result() == "t1"
    assert authority.asked == 1


def test_a_forked_child_does_not_wait_for_its_parent() -> None:
    """A token that was on its way in the parent is obtained anew in the child."""
    calls: list[int] = []
    outcome: list[int] = []

    def fetch() -> str:
        calls.append(os.getpid())
        if len(calls) == 1:
            child = os.fork()
            if child == 0:
                try:
                    os._exit(0 if ask() == "Bearer token" else 1)
                finally:
                    os._exit(2)
            outcome.append(os.waitpid(child, 0)[1])
        return "token"

    auth = TokenFrom(fetch)
    transport = httpx.MockTransport(
        lambda request: httpx.Response(200, text=request.headers["Authorization"])
    )

    def ask() -> str:
        with httpx.Client(transport=transport, auth=auth) as api:
            return api.get(URL).text

    assert ask() == "Bearer token"
    assert outcome == [0]


@pytest.mark.parametrize("value", ["", f"{SECRET}\n", None, f" {SECRET}"])
def test_tokens_are_checked(value: str) -> None:
    """What no header can hold is refused, and not shown."""
    with pytest.raises(ConfigError) as caught:
        Token(value)
    assert SECRET not in str(caught.value)


@pytest.mark.anyio
async def test_the_limit_counts_token_requests() -> None:
    """They pass the same limit as all others."""
    limit = Rate(1000)
    with answering(Authority()) as server:
        auth = ClientCredentials(f"{server.url}/token", "me", SECRET)
        async with client(server.url, auth=auth, limit=limit) as api:
            await api.get("/items")
    assert limit.statistics().calls == 2
