"""Adaptive limits: rates that follow what the API answers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import httpx

from blocks.errors import ConfigError
from blocks.limits import Rate
from blocks.parts import lock
from blocks.quotas import Quota, Quotas

__all__ = ["Adaptive", "Pace"]

# The slowest, as a part of the fastest: after six halvings it is not the pace that is refused.
_SLOWEST = 1 / 64


class Adaptive(Rate):
    """At most `count` calls per `per` seconds, fewer while the API refuses some.

    For APIs whose limits nobody knows, or that change with the hour. A refusal halves the rate, a
    burst of them only once, down to a 64th of `count`; answers let it grow again, evenly, from
    nothing to `count` in `recovery` seconds. At any time no more turns are given than at the rate
    of that time; else as `blocks.limits.Rate`.

    >>> rate = Adaptive(8)
    >>> rate.slower(sent=100.0, now=101.0)
    >>> rate.slower(sent=100.5, now=101.5)  # was under way when the first one came back
    >>> rate.statistics().rate
    4.0
    """

    steady = False

    def __init__(
        self,
        count: float,
        per: float = 1.0,
        burst: int = 1,
        *,
        recovery: float = 60.0,
        cost: Callable[[httpx.Request], float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not recovery > 0:
            raise ConfigError(f"an Adaptive needs recovery > 0 seconds, got {recovery!r}")
        super().__init__(count, per, burst, cost=cost, clock=clock)
        self._arguments += f", recovery={recovery}"
        self._fastest = count / per
        self._growth = self._fastest / recovery
        self._cut = self._grown = -math.inf

    def faster(self, now: float) -> None:
        """Grow a little."""
        if self.turns.pace < self._fastest:
            with lock:
                pace = self.turns.pace
                # For the time one call takes at this pace, as most: a pause proves nothing.
                earned = self._growth * min(now - self._grown, 1 / pace)
                self.turns.change(min(self._fastest, pace + max(0.0, earned)), now)
                self._grown = now

    def slower(self, sent: float, now: float) -> None:
        """Go half as fast, if that was not yet done for those sent before."""
        with lock:
            if sent >= self._cut:
                pace = max(self._fastest * _SLOWEST, self.turns.pace / 2)
                self.turns.change(pace, now)
                self._cut = self._grown = now


class Pace(Rate):
    """What the API says is left, spread over the time until there is more.

    `quotas` reads it from each response (see `blocks.quotas`); of several the one that binds first
    counts. Never more than `count` calls per `per` seconds, which is also the rate until the first
    answer and where nothing is said, nor less than a 64th of that while something is left.

    >>> from blocks.quotas import XRateLimit
    >>> rate = Pace(XRateLimit("seconds"), 10)
    >>> headers = {"X-RateLimit-Remaining": "120", "X-RateLimit-Reset": "60"}
    >>> _ = rate.heed(httpx.Response(200, headers=headers), now=100.0)
    >>> rate.statistics().rate
    2.0
    """

    steady = False

    def __init__(
        self,
        quotas: Quotas,
        count: float,
        per: float = 1.0,
        burst: int = 1,
        *,
        cost: Callable[[httpx.Request], float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(count, per, burst, cost=cost, clock=clock)
        self._arguments = f"{getattr(quotas, '__name__', quotas)}, {self._arguments}"
        self._quotas = quotas
        self._fastest = count / per

    def heed(self, response: httpx.Response, now: float) -> Sequence[Quota]:
        """Go as fast as what is left allows."""
        quotas = super().heed(response, now)
        paces = [quota.pace for quota in quotas if quota.pace is not None]
        if paces:
            with lock:
                pace = max(self._fastest * _SLOWEST, min(self._fastest, *paces))
                self.turns.change(pace, now)
        return quotas
