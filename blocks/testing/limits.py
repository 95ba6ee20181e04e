"""Limits from the other side: a guard that says 429."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

from blocks.errors import ConfigError
from blocks.testing.calls import Call, Refused

__all__ = ["Allowance"]


class Allowance:
    """A guard that lets `count` calls pass in any `per` seconds on `clock`.

    Others are refused with 429 and the whole seconds to wait in `Retry-After` (RFC 6585, section
    4); they do not count. One object limits all routes that have it, so a tier is an object.

    >>> now = 0.0
    >>> allowance = Allowance(2, per=60.0, clock=lambda: now)
    >>> allowance.left()
    2
    """

    def __init__(
        self, count: int, per: float = 1.0, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if count < 1 or not per > 0:
            raise ConfigError(f"expected count >= 1 and per > 0, got {count!r} and {per!r}")
        self._count = count
        self._per = per
        self._clock = clock
        self._passed: deque[float] = deque()

    def __call__(self, call: Call) -> None:  # noqa: ARG002
        """Let a call pass, or refuse it."""
        now = self._clock()
        if not self._left(now):
            wait = math.ceil(self._passed[0] + self._per - now)
            raise Refused(429, "too many requests", {"Retry-After": str(wait)})
        self._passed.append(now)

    def left(self) -> int:
        """How many calls may pass now; for an API that tells."""
        return self._left(self._clock())

    def _left(self, now: float) -> int:
        while self._passed and self._passed[0] + self._per <= now:
            self._passed.popleft()
        return self._count - len(self._passed)
