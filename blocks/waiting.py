"""Waiting: until a call has its turn in all it has to wait for, with reason and end said.

The one place where limits wait; what for is arithmetic (`blocks.turns`, `blocks.parts`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import anyio
import httpx

from blocks import events
from blocks.parts import LONG, Part, lock

__all__ = ["enter", "leave", "reserve"]

logger = logging.getLogger(__name__)

# Where the pace may change meanwhile, waiting looks at the clock at least this often...
_GLANCE = 1.0
# ...and not more often than this.
_BLINK = 0.05
# Rounding may move a time already agreed by an ulp or two, for ever.
_TINY = 1e-9


def reserve(parts: Sequence[Part], request: httpx.Request | None, now: float) -> float:
    """Claim a turn at clock time `now` in all of `parts`; return when it opens."""
    costs = [part.cost(request) for part in parts]
    with lock:
        return _claim(parts, costs, now)[0]


async def enter(parts: Sequence[Part], request: httpx.Request | None = None) -> None:
    """Wait until `request`, or a usual call, may pass all of `parts`; leave them afterwards.

    What is held is taken first: a turn in time cannot be kept while waiting for something else.
    """
    held: list[Part] = []
    try:
        for part in parts:
            if part.held:
                await part.take()
                held.append(part)
        costs = [part.cost(request) for part in parts]
        now = parts[0].clock()
        with lock:
            at, places, binding = _claim(parts, costs, now)
            if at <= now:
                for part in parts:
                    part.count(0.0)
                return
        waiting = _Waiting(parts, costs, places, at, binding)
        try:
            await waiting.wait(now)
        finally:
            waiting.end(now)
    except BaseException:
        leave(held)
        raise


def leave(parts: Sequence[Part]) -> None:
    """Drop what `enter` has taken."""
    for part in parts:
        if part.held:
            part.drop()


def _claim(
    parts: Sequence[Part], costs: Sequence[float], now: float
) -> tuple[float, list[float], Part]:
    """The first time at which all have a place, these places, and who made it that late."""
    at, binding = now, parts[0]
    if len(parts) == 1:
        at, place = binding.claim_first(now, costs[0])
        return at, [place], binding
    settled = False
    while not settled:
        settled = True
        for part, cost in zip(parts, costs, strict=True):
            opening = part.opening(at, now, cost)
            if opening > at + _TINY:
                at, binding, settled = opening, part, False
    places = [part.claim(at, now, cost) for part, cost in zip(parts, costs, strict=True)]
    return at, places, binding


class _Waiting:
    """One call that waits for its turn."""

    def __init__(
        self,
        parts: Sequence[Part],
        costs: Sequence[float],
        places: list[float],
        at: float,
        binding: Part,
    ) -> None:
        self._parts = parts
        self._costs = costs
        self._places = places
        self._at = at
        self._binding = binding
        self._reason = ""
        self._steady = all(part.steady for part in parts)
        self._announced: Part | None = None

    async def wait(self, asked: float) -> None:
        """Return at the turn, counted, or give the places back."""
        clock = self._parts[0].clock
        now = asked
        self._explain(now)
        while True:
            if now < self._at:
                try:
                    await anyio.sleep(self._stretch(self._at - now))
                except BaseException:
                    with lock:
                        for part, place, cost in self._claims():
                            part.give_back(place, cost)
                    raise
            elif any(self._at < part.paused or now - self._at > part.late for part in self._parts):
                with lock:
                    self._at, self._places, self._binding = _claim(self._parts, self._costs, now)
                self._explain(now)
            else:
                break
            now = clock()
            if not self._steady:
                with lock:
                    self._at = max(part.due(place, cost) for part, place, cost in self._claims())
        with lock:
            for part in self._parts:
                part.count(now - asked if part is self._binding else 0.0)

    def end(self, asked: float) -> None:
        """Say that it is over, whatever way."""
        waited = self._parts[0].clock() - asked
        if self._announced is not None:
            self._announced.announced = False
            logger.info("waited %.0f s for %r: %s", waited, self._announced, self._reason)
        if events.heard():
            events.publish(events.Waited(repr(self._binding), self._reason, waited))

    def _claims(self) -> list[tuple[Part, float, float]]:
        return list(zip(self._parts, self._places, self._costs, strict=True))

    def _stretch(self, left: float) -> float:
        return left if self._steady else min(left, max(_BLINK, min(_GLANCE, left / 2)))

    def _explain(self, now: float) -> None:
        binding = self._binding
        self._reason = binding.reason if binding.paused > now else "its pace"
        # One of all who wait for the same says so.
        if self._at - now > LONG and self._announced is None and not binding.announced:
            binding.announced = True
            self._announced = binding
            logger.info("waiting %.0f s for %r: %s", self._at - now, binding, self._reason)
