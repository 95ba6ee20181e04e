"""Limits: how many calls in how much time, over everybody who uses one credential.

A limit is an async context manager: entering waits for a turn. `Limited` wears it as a transport
and pauses it when the API says 429.
"""

from __future__ import annotations

import heapq
import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType

import anyio
import httpx

from blocks.errors import ConfigError, where
from blocks.headers import retry_after

__all__ = ["Limited", "Rate", "Statistics"]

logger = logging.getLogger(__name__)

# Longer told waits do not pause: everybody would hang without a word. Hourly quotas still fit.
_LONGEST = 3600.0
# Waits when a 429 does not say how long: 1 s, doubling up to about a minute.
_FIRST, _LAST = 1.0, 64.0
# A turn taken later than this is claimed anew, else a stalled loop or a sleeping laptop would send
# all it missed at once. Shorter is an ordinary hiccup of loop and scheduler.
_LATE = 0.1


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a `Rate` did so far: turns given, seconds waited for them in all, pauses."""

    calls: int
    waited: float
    pauses: int


class Rate:
    """At most `count` calls per `per` seconds, evenly spaced, the first `burst` of them at once.

    Exactly: any stretch of t seconds holds at most `burst + t * count / per` turns, given in the
    order they are asked for. That holds over all tasks, threads and event loops using this one
    object, on asyncio and trio. A turn cancelled while it waits goes to the next who asks; one that
    a pause or a stall of the event loop makes more than 0.1 s late (or an interval, if longer) is
    claimed anew, at the end of the line. `clock` (seconds) is what all times given to and by this
    object are measured on.

    >>> rate = Rate(4)
    >>> [rate.reserve(now=100.0) for _ in range(3)]
    [100.0, 100.25, 100.5]
    """

    def __init__(
        self,
        count: int,
        per: float = 1.0,
        burst: int = 1,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not (count >= 1 and burst >= 1 and 0 < per < math.inf):
            got = f"count={count!r}, per={per!r}, burst={burst!r}"
            raise ConfigError(f"a Rate needs count >= 1, burst >= 1 and per > 0 seconds, got {got}")
        self._arguments = (count, per, burst)
        self._interval = per / count
        self._tolerance = (burst - 1) * self._interval
        self._late = max(_LATE, self._interval)
        self.clock = clock
        self._lock = threading.Lock()
        # GCRA (ITU-T I.371): the one number a token bucket needs, the time at which it is full.
        self._full = -math.inf
        self._paused = -math.inf
        self._returned: list[float] = []
        self._calls = 0
        self._waited = 0.0
        self._pauses = 0

    def __repr__(self) -> str:
        count, per, burst = self._arguments
        return f"Rate({count}, per={per}, burst={burst})"

    def reserve(self, now: float) -> float:
        """Claim a turn at clock time `now` (seconds); return when it opens, `now` or later.

        For callers that wait elsewhere; a turn reserved so does not follow a later `pause`.
        """
        with self._lock:
            now = max(now, self._paused)
            while self._returned:
                turn = heapq.heappop(self._returned)
                if turn >= now:
                    return turn
            full = max(self._full, now)
            self._full = full + self._interval
            return max(full - self._tolerance, now)

    def pause(self, until: float) -> None:
        """Let nobody pass before clock time `until`, those already waiting included."""
        with self._lock:
            if until > self._paused:
                self._paused = until
                self._pauses += 1

    def statistics(self) -> Statistics:
        """The counts so far, all of one moment."""
        with self._lock:
            return Statistics(self._calls, self._waited, self._pauses)

    async def __aenter__(self) -> None:
        asked = self.clock()
        turn = self.reserve(asked)
        now = asked
        while now < turn or self._missed(turn, now):
            if now < turn:
                try:
                    await anyio.sleep(turn - now)
                except BaseException:
                    self._give_back(turn)
                    raise
            else:
                turn = self.reserve(now)
            now = self.clock()
        with self._lock:
            self._calls += 1
            self._waited += now - asked

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def _missed(self, turn: float, now: float) -> bool:
        # Read without the lock: one float, and a pause set a moment later is a pause set later.
        return turn < self._paused or now - turn > self._late

    def _give_back(self, turn: float) -> None:
        with self._lock:
            heapq.heappush(self._returned, turn)


class Limited(httpx.AsyncBaseTransport):
    """A transport whose every request waits for its turn in `limit`, shared with whom you like.

    A 429, or a 503 or 403 with `Retry-After`, pauses the limit for everybody: for the time told, or
    for 1 s, doubling while 429 follows 429, when none is told. A told wait of more than an hour
    pauses nobody; the response then speaks for itself. Responses are returned as they came.

    >>> api = httpx.AsyncClient(transport=Limited(httpx.AsyncHTTPTransport(), Rate(10)))
    """

    def __init__(self, transport: httpx.AsyncBaseTransport, limit: Rate) -> None:
        self._transport = transport
        self._limit = limit
        self._blind = _FIRST
        self._since = -math.inf

    def __repr__(self) -> str:
        return f"Limited({self._transport!r}, {self._limit!r})"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The response, once the request had its turn."""
        async with self._limit:
            sent = self._limit.clock()
            response = await self._transport.handle_async_request(request)
        if response.status_code in {403, 429, 503}:
            self._refused(request, response, sent)
        elif sent >= self._since:
            self._blind = _FIRST
        return response

    async def aclose(self) -> None:
        """Close the transport within; the limit goes on."""
        await self._transport.aclose()

    def _refused(self, request: httpx.Request, response: httpx.Response, sent: float) -> None:
        wait = retry_after(response, datetime.now(UTC))
        if wait is None:
            # One step for a volley: what was sent before the last step answers for that one.
            if response.status_code != 429 or sent < self._since:
                return
            wait = self._blind
            self._blind = min(2 * wait, _LAST)
            self._since = self._limit.clock() + wait
        if wait <= _LONGEST:
            self._limit.pause(self._limit.clock() + wait)
            place = where(request)
            logger.info("pausing %.0f s: %s answered %d", wait, place, response.status_code)
