"""Retries: which failures deserve another attempt, and when.

`classify` and `delay` decide; `Retry` wears them as a transport.
"""

from __future__ import annotations

import logging
import random
import ssl
from collections.abc import Callable
from datetime import UTC, datetime

import anyio
import httpx

from blocks import bodies, events
from blocks.errors import ConfigError, RetryError, where
from blocks.headers import retry_after
from blocks.outcomes import Outcome, verdict

__all__ = ["Retry", "classify", "delay", "reads"]

logger = logging.getLogger(__name__)

# OpenSSL's words for peers that have no version of TLS in common, or of which one has none.
_NO_COMMON_TLS = {
    "NO_PROTOCOLS_AVAILABLE",
    "TLSV1_ALERT_PROTOCOL_VERSION",
    "UNSUPPORTED_PROTOCOL",
    "WRONG_VERSION_NUMBER",
}

# Of a told wait, at most this share is added at random, and at most these seconds.
_SPREAD, _WIDEST = 0.5, 60.0


def reads(request: httpx.Request) -> bool:
    """Whether the request's method promises to change nothing (RFC 9110, section 9.2.1).

    A request for a token (`blocks.exchanges`) counts as one that does, too.
    """
    return request.method in {"GET", "HEAD", "OPTIONS"} or "token_url" in request.extensions


def classify(outcome: httpx.Response | Exception) -> Outcome:
    """What to do with the outcome of one attempt.

    Of a response what `blocks.outcomes.verdict` says. Of exceptions "retry" are lost, late and cut
    exchanges; "fail" are certificates that are not trusted, servers without a TLS that we speak,
    and errors of our own making.

    >>> classify(httpx.Response(502)), classify(httpx.Response(404))
    ('retry', 'fail')
    >>> classify(httpx.ReadTimeout("60 s"))
    'retry'
    """
    if isinstance(outcome, httpx.Response):
        return verdict(outcome).outcome
    if isinstance(outcome, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        return "fail"
    # httpx has one ConnectError for a server that is down and one that is not who it says it is.
    cause: BaseException | None = outcome
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "fail"
        if getattr(cause, "reason", None) in _NO_COMMON_TLS:  # aiohttp's own SSL errors have none
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

    Tried again is what `classify` calls "retry" or "limited"; each time the reason is logged and
    published. An attempt includes the body, which is read and decoded here (see
    `blocks.bodies.read`), so that one cut midway counts as failed.

    A told `Retry-After` is waited for in full, and so is a reset that a limit below read from the
    API's own headers; then up to half as long again, at random, as a herd sent away together should
    not come back together: of twenty, first and last are then nearly always more than a quarter of
    the wait apart. Never less than up to a second, which costs nothing, nor more than up to a
    minute: that thins out any herd, while half of an hour would be half an hour lost.

    Waits of one request add up to at most `total` seconds: one told to wait longer than is left
    raises `RetryError` at once. When attempts are used up the last response is returned as it is,
    and a last exception is the cause of a `RetryError`. An attempt's own time is bounded elsewhere
    (`blocks.bodies.Whole`), the wait for a turn not at all. `delay` says how long to wait where
    nothing was told (see there), `chance` draws from [0, 1).

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
        delay: Callable[[int, float], float] = delay,
        chance: Callable[[], float] = random.random,
    ) -> None:
        if not (attempts >= 1 and total >= 0):
            got = f"attempts={attempts!r}, total={total!r}"
            raise ConfigError(f"a Retry needs attempts >= 1 and total >= 0 seconds, got {got}")
        self._transport = transport
        self._attempts = attempts
        self._total = total
        self._reads = reads
        self._delay = delay
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
            found = classify(outcome)
            if found not in {"retry", "limited"} or attempt == attempts:
                break
            wait = self._wait(outcome, attempt, self._total - waited)
            if wait is None:
                break
            reason, place = _reason(outcome), where(request)
            logger.info("attempt %d: %s, next in %.1f s: %s", attempt, reason, wait, place)
            events.publish(events.Retried(place, attempt, reason, wait))
            await anyio.sleep(wait)
            waited += wait
            attempt += 1
        if isinstance(outcome, httpx.Response):
            return outcome
        if found == "fail" or not repeatable:
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

    def _wait(self, outcome: httpx.Response | Exception, attempt: int, left: float) -> float | None:
        if isinstance(outcome, httpx.Response):
            told = retry_after(outcome, datetime.now(UTC))
            if told is None:
                told = verdict(outcome).wait
            if told is not None:
                if told > left:
                    message = f"told to wait {told:.0f} s, more than the {left:.0f} s left of total"
                    raise RetryError(f"{message}={self._total}", outcome)
                # Within what is left, not cut off there: those cut off would come back together.
                spread = min(left - told, _WIDEST, max(1.0, told * _SPREAD))
                return told + self._chance() * spread
        wait = self._delay(attempt, self._chance())
        return wait if wait <= left else None


def _reason(outcome: httpx.Response | Exception) -> str:
    if isinstance(outcome, httpx.Response):
        return verdict(outcome).reason or str(outcome.status_code)
    return type(outcome).__name__
