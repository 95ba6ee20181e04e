"""Parts: the single things a call may wait for, each with its pauses and counts.

A limit (`blocks.limits.Limit`) resolves to its parts for each request: a rate to itself, several
limits as one to the parts of each, a pool to those of the route. A call passes when it has a place
in all of them at one time; `blocks.waiting` finds that time and waits for it.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from blocks.errors import where
from blocks.quotas import Quota, Quotas
from blocks.turns import Turns

__all__ = ["LONG", "Part", "Statistics", "lock"]

logger = logging.getLogger(__name__)

lock = threading.Lock()
"""Guards the arithmetic of all limits, as one call may claim places in several of them. Held for
microseconds, never across a wait."""
LONG = 10.0
"""Seconds; a longer wait is said when it begins and when it ends."""

os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)

# A turn taken later than this is claimed anew, else a stalled loop or a sleeping laptop would send
# all it missed at once. Shorter is an ordinary hiccup of loop and scheduler.
_LATE = 0.1
# Longer told waits do not pause: everybody would hang for hours. Hourly quotas still fit.
_LONGEST = 3600.0
# Waits when a refusal does not say how long: 1 s, doubling up to about a minute.
_FIRST, _LAST = 1.0, 64.0


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a limit did so far: calls let through, seconds they waited in all, pauses.

    `rate` is how many calls a second it allows now; `inf` where it does not say.
    """

    calls: int
    waited: float
    pauses: int
    rate: float = math.inf


class Part:
    """One thing to wait for, which can be paused and counts.

    With `turns` it limits how often, and with `held` how many: a kind of its own then overrides
    `take` and `drop`. `cost` and `quotas` are as for `blocks.limits.Rate`.
    """

    held = False
    """Whether something is taken on entering that is to be dropped on leaving."""
    steady = True
    """Whether a turn stays when it was claimed for, pauses aside."""
    late = _LATE
    """By how many seconds a turn may be missed and still be used."""

    def __init__(
        self,
        clock: Callable[[], float],
        turns: Turns | None = None,
        cost: Callable[[httpx.Request], float] | None = None,
        quotas: Quotas | None = None,
    ) -> None:
        self.clock = clock
        self.turns = turns
        self.paused = -math.inf
        self.reason = ""
        self.announced = False
        self._cost = cost
        self._quotas = quotas
        self._calls = 0
        self._waited = 0.0
        self._pauses = 0
        self._blind = _FIRST
        self._since = -math.inf

    def cost(self, request: httpx.Request | None) -> float:
        """What a call of `request` costs; `None` stands for a usual one."""
        return 1.0 if self._cost is None or request is None else self._cost(request)

    def opening(self, at: float, now: float, cost: float) -> float:
        """The first time from `at` on, asked at `now`, at which a call of `cost` may pass."""
        at, now = max(at, self.paused), max(now, self.paused)
        return at if self.turns is None else self.turns.opening(at, now, cost)

    def claim(self, at: float, now: float, cost: float) -> float:
        """Take the place that `opening` found for `at`, and return it (with `lock` held)."""
        at, now = max(at, self.paused), max(now, self.paused)
        return at if self.turns is None else self.turns.claim(at, now, cost)

    def claim_first(self, now: float, cost: float) -> tuple[float, float]:
        """The opening from `now` on, and the place there, taken (with `lock` held)."""
        now = max(now, self.paused)
        return (now, now) if self.turns is None else self.turns.claim_first(now, cost)

    def due(self, place: float, cost: float) -> float:
        """The time at which the call that has `place` may pass."""
        return place if self.turns is None else self.turns.due(place, cost)

    def give_back(self, place: float, cost: float) -> None:
        """Leave `place` to whoever asks next (with `lock` held)."""
        if self.turns is not None:
            self.turns.give_back(place, cost)

    async def take(self) -> None:
        """Wait for what is `held`."""

    def drop(self) -> None:
        """Leave what is `held` to others."""

    def count(self, waited: float) -> None:
        """Count a call that passes (with `lock` held)."""
        self._calls += 1
        self._waited += waited

    def pause(self, until: float, reason: str = "a pause") -> None:
        """Let nobody pass before clock time `until`, those already waiting included."""
        with lock:
            if until > self.paused:
                self.paused, self.reason = until, reason
                self._pauses += 1

    def hold(self, wait: float | None, sent: float, now: float, reason: str) -> None:
        """Pause for `wait` seconds, or, after a refusal that told none, for longer each time.

        `sent` is when the call that was refused had passed. A wait of more than an hour pauses
        nobody.
        """
        if wait is None:
            # One step for a volley: what was sent before the last step answers for that one.
            if sent < self._since:
                return
            wait = self._blind
            self._blind = min(2 * wait, _LAST)
            self._since = now + wait
        if wait <= _LONGEST:
            if now + wait > self.paused + _LATE:
                logger.info("pausing %.0f s: %s", wait, reason)
            self.pause(now + wait, reason)

    def answered(self, sent: float) -> None:
        """Learn that a call that passed at `sent` was not refused."""
        if sent >= self._since:
            self._blind = _FIRST

    def faster(self, now: float) -> None:
        """Follow an answer, if the pace may change."""

    def slower(self, sent: float, now: float) -> None:
        """Follow the refusal of a call that passed at `sent`, if the pace may change."""

    def heed(self, response: httpx.Response, now: float) -> Sequence[Quota]:
        """Pause when `response` says that nothing is left, and return what it says."""
        if self._quotas is None:
            return ()
        quotas = tuple(self._quotas(response, datetime.now(UTC)))
        # A wait told outright counts more (draft-ietf-httpapi-ratelimit-headers-10, section 5).
        if "retry-after" not in response.headers:
            for quota in quotas:
                if quota.used_up and quota.wait is not None:
                    self.hold(quota.wait, now, now, f"{quota} ({where(response)})")
        return quotas

    def statistics(self) -> Statistics:
        """The counts so far, all of one moment."""
        with lock:
            rate = math.inf if self.turns is None else self.turns.pace
            return Statistics(self._calls, self._waited, self._pauses, rate)
