"""Retries: which failures deserve another attempt, and when.

`classify` and `delay` decide; `Retry` wears them as a transport.
"""

from __future__ import annotations

import logging
import random
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

import anyio
import httpx

from blocks import bodies
from blocks.errors import ConfigError, RetryError, where
from blocks.headers import retry_after

__all__ = ["Retry", "classify", "delay", "reads"]

logger = logging.getLogger(__name__)

# Not worth asking again, among the 5xx: the answer is about the request, not about the moment.
_FINAL = {501, 505, 506, 508, 510, 511}


def reads(request: httpx.Request) -> bool:
    """Whether the request's method promises to change nothing (RFC 9110, section 9.2.1)."""
    return request.method in {"GET", "HEAD", "OPTIONS"}


def classify(outcome: httpx.Response | Exception) -> Literal["ok", "retry", "limited", "fail"]:
    """What to do with the outcome of one attempt.

    "limited" (try again, when told): 429, and 403 or 503 with `Retry-After`, which GitHub sends for
    its secondary limits. "retry": 408, 421, 425, any 5xx that is about the moment, and lost, late
    or cut exchanges. "fail": all other statuses from 400, certificates that are not trusted, and
    errors of our own making. The rest is "ok".

    >>> classify(httpx.Response(502)), classify(httpx.Response(404))
    ('retry', 'fail')
    >>> classify(httpx.ReadTimeout("60 s"))
    'retry'
    """
    if isinstance(outcome, httpx.Response):
        status = outcome.status_code
        if status < 400:
            return "ok"
        if status == 429 or (status in {403, 503} and "retry-after" in outcome.headers):
            return "limited"
        passing = status in {408, 421, 425} or (status >= 500 and status not in _FINAL)
        return "retry" if passing else "fail"
    if isinstance(outcome, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        return "fail"
    # httpx has one ConnectError for a server that is down and one that is not who it says it is.
    cause: BaseException | None = outcome
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "fail"
        cause = cause.__cause__ or cause.__context__
    return "retry" if isinstance(outcome, httpx.TransportError | httpx.DecodingError) else "fail"


def delay(attempt: int, chance: float) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 1), with `chance` in [0, 1).

    Exponential with full jitter: anything up to 1, 2, 4, 8 ... 60 seconds, so that many who failed
    together do not come back together.

    >>> [delay(attempt, chance=0.5) for attempt in (1, 2, 3, 9)]
    [0.5, 1.0, 2.0, 30.0]
    """
    return chance * min(60.0, 2.0 ** min(attempt - 1, 6))


class Retry(httpx.AsyncBaseTransport):
    """A transport that tries requests for which `reads` says so up to `attempts` times.

    An attempt includes the body, which is read and decoded here (see `blocks.bodies.read`), so that
    one cut midway counts as failed. A told `Retry-After` is waited for in full, and up to a quarter
    longer (at least a second), as a herd sent away together should not come back together.

    Waits of one request add up to at most `total` seconds: one told to wait longer than is left
    raises `RetryError` at once. When attempts are used up the last response is returned as it is,
    and a last exception is the cause of a `RetryError`. An attempt's own time is bounded elsewhere
    (`blocks.bodies.Whole`), the wait for a turn not at all. `chance` draws from [0, 1).

    Not built on tenacity or stamina, which know neither responses nor Retry-After and would have us
    raise and catch an exception per answer; httpx-retries reads no bodies and has no jitter on, nor
    limit to, a told wait.

    >>> api = httpx.AsyncClient(transport=Retry(httpx.AsyncHTTPTransport(), attempts=3))
    """

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        attempts: int = 5,
        total: float = 300.0,
        *,
        reads: Callable[[httpx.Request], bool] = reads,
        chance: Callable[[], float] = random.random,
    ) -> None:
        if not (attempts >= 1 and total >= 0):
            got = f"attempts={attempts!r}, total={total!r}"
            raise ConfigError(f"a Retry needs attempts >= 1 and total >= 0 seconds, got {got}")
        self._transport = transport
        self._attempts = attempts
        self._total = total
        self._reads = reads
        self._chance = chance

    def __repr__(self) -> str:
        return f"Retry({self._transport!r}, attempts={self._attempts}, total={self._total})"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The first response that needs no other attempt, or the last one."""
        repeatable = self._reads(request)
        attempts = self._attempts if repeatable else 1
        await request.aread()  # every attempt sends the same bytes
        attempt, waited = 1, 0.0
        while True:
            outcome = await self._attempt(request)
            verdict = classify(outcome)
            if verdict in {"ok", "fail"} or attempt == attempts:
                break
            wait = self._wait(outcome, attempt, self._total - waited)
            if wait is None:
                break
            what = getattr(outcome, "status_code", type(outcome).__name__)
            place = where(request)
            logger.info("attempt %d: %s, next in %.1f s: %s", attempt, what, wait, place)
            await anyio.sleep(wait)
            waited += wait
            attempt += 1
        if isinstance(outcome, httpx.Response):
            return outcome
        if verdict == "fail" or not repeatable:
            raise outcome
        message = f"gave up after {attempt} of {attempts} attempts and {waited:.0f} s of waiting"
        raise RetryError(f"{message}: {where(request)}") from outcome

    async def aclose(self) -> None:
        """Close the transport within."""
        await self._transport.aclose()

    async def _attempt(self, request: httpx.Request) -> httpx.Response | httpx.RequestError:
        try:
            response = await self._transport.handle_async_request(request)
            response.request = request
            await bodies.read(response)
        except (httpx.TransportError, httpx.DecodingError) as error:
            return error
        return response

    def _wait(self, outcome: object, attempt: int, left: float) -> float | None:
        if isinstance(outcome, httpx.Response):
            told = retry_after(outcome, datetime.now(UTC))
            if told is not None:
                if told > left:
                    message = f"told to wait {told:.0f} s, more than the {left:.0f} s left of total"
                    raise RetryError(f"{message}={self._total}", outcome)
                return min(left, told + self._chance() * max(1.0, told / 4))
        wait = delay(attempt, self._chance())
        return wait if wait <= left else None
