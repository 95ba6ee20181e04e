"""Turns: which calls fit when into so many per second, as arithmetic on a clock.

The generic cell rate algorithm (GCRA, ITU-T I.371), which is a token bucket without the bucket: a
call takes a stretch of a line on which one unit of cost is as long as it takes to be earned. No
clock, lock or waiting here: those are in `blocks.limits`.
"""

from __future__ import annotations

import bisect
import math

__all__ = ["Turns"]

# Units of cost; for what rounding does to sums.
_TINY = 1e-9
# Shorter gaps between claims are not kept for others: a usual call would not fit.
_USEFUL = 1.0


class Turns:
    """`pace` units of cost a second, `burst` of them at once after a rest.

    Places on the line are measured in units of cost, so that a later change of pace moves the times
    of all turns already claimed and keeps their order. Whatever is claimed, in whatever order, any
    stretch of t seconds at a constant pace holds at most `max(burst, dearest) + t * pace`, where
    dearest is the cost of the dearest call.

    >>> turns = Turns(pace=2.0, burst=1)
    >>> [turns.claim(at=10.0, now=10.0, cost=1), turns.opening(at=10.0, now=10.0, cost=1)]
    [20.0, 10.5]
    """

    __slots__ = ("_free", "_full", "_place", "_time", "burst", "pace")

    def __init__(self, pace: float, burst: float) -> None:
        self.pace = pace
        self.burst = burst
        # The line's place at one time; elsewhere it follows from the pace.
        self._time = self._place = 0.0
        # All places from here on are free, and those in the stretches before.
        self._full = -math.inf
        self._free: list[tuple[float, float]] = []

    def opening(self, at: float, now: float, cost: float) -> float:
        """The first time from `at` on (not before `now`) at which a call of `cost` may pass."""
        return max(at, self.due(self._find(at, now, cost)[0], cost))

    def claim(self, at: float, now: float, cost: float) -> float:
        """Take the place of the call that passes at `opening(at, now, cost)`, and return it.

        Places skipped by passing later than need be stay open to others.
        """
        place, index = self._find(at, now, cost)
        if index is None:
            start, end = max(self._full, self._at(now)), place
            self._full = place + cost
        else:
            start, end = self._free.pop(index)
            self._keep(place + cost, end)
        self._keep(start, place)
        return place

    def claim_first(self, now: float, cost: float) -> tuple[float, float]:
        """The opening from `now` on, and the place there, taken.

        >>> Turns(pace=2.0, burst=1).claim_first(now=10.0, cost=1)
        (10.0, 20.0)
        """
        if self._free:
            at = self.opening(now, now, cost)
            return at, self.claim(at, now, cost)
        place = max(self._full, self._at(now))
        self._full = place + cost
        return max(now, self.due(place, cost)), place

    def due(self, place: float, cost: float) -> float:
        """The time at which the call that has `place` may pass."""
        return self._time + (place + cost - self.burst - self._place) / self.pace

    def give_back(self, place: float, cost: float) -> None:
        """Leave `place` to whoever asks next."""
        bisect.insort(self._free, (place, place + cost))

    def change(self, pace: float, now: float) -> None:
        """From time `now` on, earn `pace` units a second."""
        self._time, self._place = now, self._at(now)
        self.pace = pace

    def _at(self, time: float) -> float:
        return self._place + (time - self._time) * self.pace

    def _find(self, at: float, now: float, cost: float) -> tuple[float, int | None]:
        earliest = self._at(now)
        if at > now:
            # What costs more than the bucket holds is earned beforehand, from now on.
            earliest = max(earliest, self._at(at) - max(0.0, cost - self.burst))
        if self._free:
            self._forget(self._at(now))
            for index, (start, end) in enumerate(self._free):
                place = max(start, earliest)
                if place + cost <= end + _TINY:
                    return place, index
        return max(self._full, earliest), None

    def _forget(self, place: float) -> None:
        gone = 0
        while gone < len(self._free) and self._free[gone][1] <= place:
            gone += 1
        del self._free[:gone]

    def _keep(self, start: float, end: float) -> None:
        if end - start >= _USEFUL - _TINY:
            bisect.insort(self._free, (start, end))
