"""Tokens: credentials that expire, obtained once for everybody and renewed in time.

Subclass `Expiring` to say how, or give a function to `TokenFrom`. A request for a token passes
through the client of the requests it is for: the same limit, retries, timeout and connections.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import math
import os
import threading
import time
from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeAlias

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx

from blocks.errors import AuthError, ConfigError, Denied
from blocks.exchanges import apart
from blocks.outcomes import verdict
from blocks.secrets import Secret, named, visible

__all__ = ["Expiring", "Step", "Token", "TokenFrom"]

logger = logging.getLogger(__name__)

Step: TypeAlias = "httpx.Request | Callable[[], object] | Future[_Held | None]"
"""What `Expiring.obtain` yields: a request to send, or a function to call (or to await)."""
_Flow: TypeAlias = Generator[httpx.Request, httpx.Response, None]
_AsyncFlow: TypeAlias = AsyncGenerator[httpx.Request, httpx.Response]

# A token is renewed this many seconds early, or when three quarters of a short life are over: a
# request may wait for its turn after it has been given the token.
_EARLY = 60.0

# One for all of them, as it is held for microseconds and never across a wait.
_lock = threading.Lock()
os.register_at_fork(
    before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Token(Secret):
    """A token, and for how many seconds from now it is good; `None` is until the API refuses it.

    >>> Token("t0ken", lifetime=3600)
    Token('***', lifetime=3600)
    """

    value: str
    lifetime: float | None = None

    def __post_init__(self) -> None:
        visible("token", self.value)

    def __repr__(self) -> str:
        return f"Token('***', lifetime={self.lifetime})"


class Expiring(Secret, httpx.Auth):
    """Auth by a token that is obtained when first needed, and anew when it expires or is refused.

    One object is shared by all who use the credential: tasks, threads and event loops, on asyncio
    and trio, and clients sync and async. Whoever needs a token first obtains it, everybody else
    waits for that one; cancelled, the first leaves it to the next. Lifetimes count on `clock`
    (seconds, monotonic) from when the token was asked for, whatever the time of day.

    A refused request (401, or a body that `blocks.rules` marks "reauth") is sent once more with a
    newer token, which is obtained once however many were refused together. A refusal of that one
    is an `AuthError`, as is no token; `Denied` is final and not tried again. 403 is about
    permission (RFC 6750, section 3.1) and left to the caller. Subclasses give `obtain`, and `sign`
    where the token is not a bearer token.
    """

    __slots__ = ("_denied", "_flight", "_held", "clock")

    clock: Callable[[], float]

    def __init__(self) -> None:
        self.clock = time.monotonic
        self._held: _Held | None = None
        self._denied: Denied | None = None
        # Who obtains a token, and in which process: a forked child has none of its parent's tasks.
        self._flight: tuple[Future[_Held | None], int] | None = None

    @abstractmethod
    def obtain(self, request: httpx.Request) -> Generator[Step, Any, Token]:
        """A new token, for `request`: yields requests and functions, gets responses and results."""

    def sign(self, request: httpx.Request, token: str) -> None:
        """Add `token` to `request`, in the place of an older one: `Authorization: Bearer ...`."""
        request.headers["Authorization"] = f"Bearer {token}"

    async def async_auth_flow(self, request: httpx.Request) -> _AsyncFlow:
        """Send with a token; for `httpx.AsyncClient`."""
        await request.aread()  # a refused request is sent again
        flow = self._flow(request)
        try:
            step = next(flow)
            while True:
                answer: object
                if isinstance(step, httpx.Request):
                    answer = response = yield step
                    if step is not request:
                        answer = apart(response, await _body(response))
                    elif verdict(response).outcome == "reauth":
                        await response.aread()  # for the error, if it comes to that
                elif isinstance(step, Future):
                    answer = await _landed(step)
                else:
                    answer = await _called(step)
                step = flow.send(answer)
        except StopIteration:
            return
        except BaseException as error:  # noqa: BLE001 - which `throw` raises, once all know
            flow.throw(error)

    def sync_auth_flow(self, request: httpx.Request) -> _Flow:
        """Send with a token; for `httpx.Client`."""
        request.read()
        flow = self._flow(request)
        try:
            step = next(flow)
            while True:
                answer: object
                if isinstance(step, httpx.Request):
                    answer = response = yield step
                    if step is not request:
                        answer = apart(response, b"".join(response.iter_bytes()))
                    elif verdict(response).outcome == "reauth":
                        response.read()
                elif isinstance(step, Future):
                    answer = step.result()
                else:
                    answer = _called_here(step)
                step = flow.send(answer)
        except StopIteration:
            return
        except BaseException as error:  # noqa: BLE001 - as above
            flow.throw(error)

    def _flow(self, request: httpx.Request) -> Generator[Step, Any, None]:
        held, mine = yield from self._get(request, None)
        while True:
            self.sign(request, held.token.value)
            response = yield request
            if verdict(response).outcome != "reauth":
                held.accepted = held.accepted or response.status_code < 400
                return
            # Enough, where there is no newer token, if this one was obtained for this request, or
            # if it was to replace a refused one and worked for nobody. Had it worked for somebody,
            # it may have been revoked since.
            if held is self._held and (mine or (held.renewed and not held.accepted)):
                raise AuthError("expected success with a new token, got a refusal", response)
            held, led = yield from self._get(request, held)
            mine = mine or led

    def _get(
        self, request: httpx.Request, refused: _Held | None
    ) -> Generator[Step, Any, tuple[_Held, bool]]:
        """A token other than the `refused`; whether it was obtained here because of that."""
        while True:
            leads = False
            with _lock:
                if self._denied is not None:
                    raise self._denied.with_traceback(None)
                held = self._held
                if held is not None and held is not refused and self.clock() < held.until:
                    return held, False
                flight = self._flight
                if flight is None or flight[1] != os.getpid():
                    leads = True
                    flight = self._flight = (Future(), os.getpid())
            if leads:
                renewed = refused is not None
                return (yield from self._lead(request, flight[0], renewed=renewed)), renewed
            landed = yield flight[0]
            if landed is not None:
                return landed, False

    def _lead(
        self, request: httpx.Request, flight: Future[_Held | None], *, renewed: bool
    ) -> Generator[Step, Any, _Held]:
        asked = self.clock()
        held: _Held | None = None
        error: Exception | None = None
        try:
            token = yield from self.obtain(request)
            held = _Held(token, asked, renewed=renewed)
        except Exception as failure:
            error = failure
            raise
        finally:
            with _lock:
                self._flight = None
                self._held = self._held if held is None else held
                self._denied = error if isinstance(error, Denied) else None
            # Those who wait share what came of it. Cancelled, or closed as its request could not be
            # sent, it is nothing, and the next of them tries.
            flight.set_result(held) if error is None else flight.set_exception(error)
        logger.info("new token for %r, good for %s s", self, token.lifetime or "unknown")
        return held


class TokenFrom(Expiring):
    """Auth by the bearer token that `function` returns, plain or async, as text or as a `Token`.

    It is called when a token is first needed, when a `Token`'s lifetime is over, and when the API
    has refused the last one; under an async client a plain function runs in a thread of its own.

    >>> TokenFrom(lambda: Token("from-a-vault", lifetime=900))
    TokenFrom(<lambda>)
    """

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[], object]) -> None:
        super().__init__()
        self._function = function

    def __repr__(self) -> str:
        return f"TokenFrom({named(self._function)})"

    def obtain(self, request: httpx.Request) -> Generator[Step, Any, Token]:  # noqa: ARG002
        """What the function returns."""
        made = _made((yield self._function))
        if isinstance(made, str):
            raise AuthError(f"expected a token from {named(self._function)}: {made}")
        return made


def _made(got: Any) -> Token | str:
    try:
        return got if isinstance(got, Token) else Token(got)
    except ConfigError as error:
        return str(error)


async def _body(response: httpx.Response) -> bytes:
    return b"".join([part async for part in response.aiter_bytes()])


async def _landed(flight: Future[_Held | None]) -> _Held | None:
    # What obtains the token may be at home in another event loop, or in a thread without any.
    landed = anyio.Event()
    loop: Any = anyio.lowlevel.current_token().native_token  # trio's own, or asyncio's loop
    wake = loop.run_sync_soon if hasattr(loop, "run_sync_soon") else loop.call_soon_threadsafe

    def tell(_: object) -> None:
        with contextlib.suppress(RuntimeError):  # its loop has ended, and so has its waiting
            wake(landed.set)

    flight.add_done_callback(tell)
    await landed.wait()
    return flight.result()


async def _called(function: Callable[[], object]) -> object:
    if inspect.iscoroutinefunction(function):
        return await function()
    result = await anyio.to_thread.run_sync(function)
    return await result if inspect.isawaitable(result) else result


def _called_here(function: Callable[[], object]) -> object:
    result = function()
    if inspect.iscoroutine(result):
        result.close()
        raise ConfigError("expected a plain function for a sync client, got an async one")
    return result


class _Held:
    """The current token, until when it is used, and what is known of it."""

    __slots__ = ("accepted", "renewed", "token", "until")

    def __init__(self, token: Token, asked: float, *, renewed: bool) -> None:
        lifetime = math.inf if token.lifetime is None else token.lifetime
        self.token = token
        self.until = asked + lifetime - min(_EARLY, lifetime / 4)
        self.renewed = renewed  # because the one before was refused
        self.accepted = False
