"""Slots: at most so many calls in flight at once."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import anyio
import httpx
from anyio.lowlevel import current_token

from blocks import events
from blocks.errors import ConfigError
from blocks.limits import Limit
from blocks.parts import LONG, Part, lock

__all__ = ["InFlight"]

logger = logging.getLogger(__name__)


class InFlight(Part, Limit):
    """At most `count` calls between entering and leaving, served in the order they ask.

    Over all tasks, threads and event loops that use this one object. In `blocks.limits.Limited` a
    call is in flight until its response is there.

    >>> async def main():
    ...     limit = InFlight(2)
    ...     async with limit:
    ...         return limit.statistics().calls
    >>> anyio.run(main)
    1
    """

    held = True

    def __init__(self, count: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        if count < 1:
            raise ConfigError(f"an InFlight needs count >= 1, got {count!r}")
        super().__init__(clock)
        self._count = self._left = count
        self._waiting: deque[_Waiter] = deque()

    def __repr__(self) -> str:
        return f"InFlight({self._count})"

    def parts(self, request: httpx.Request | None = None) -> tuple[Part, ...]:  # noqa: ARG002
        """The limit itself."""
        return (self,)

    async def take(self) -> None:
        """Wait for a place in flight."""
        with lock:
            if self._left:
                self._left -= 1
                return
            waiter = _Waiter()
            self._waiting.append(waiter)
        asked = self.clock()
        try:
            await self._wait(waiter, asked)
        except BaseException:
            with lock:
                if waiter in self._waiting:
                    self._waiting.remove(waiter)
            if waiter.served:
                self.drop()
            raise
        waited = self.clock() - asked
        with lock:
            self._waited += waited
        if events.heard():
            events.publish(events.Waited(repr(self), "all in use", waited))

    def drop(self) -> None:
        """Leave the place to who has waited longest."""
        while True:
            with lock:
                if not self._waiting:
                    self._left += 1
                    return
                waiter = self._waiting.popleft()
                waiter.served = True
            try:
                waiter.wake()
            except RuntimeError:  # its event loop has ended without it
                waiter.served = False
                continue
            return

    async def _wait(self, waiter: _Waiter, asked: float) -> None:
        with anyio.move_on_after(LONG):
            await waiter.event.wait()
            return
        mine = not self.announced
        if mine:
            self.announced = True
            logger.info("waiting for %r: all in use for %.0f s", self, LONG)
        try:
            await waiter.event.wait()
        finally:
            if mine:
                self.announced = False
                logger.info("waited %.0f s for %r: all in use", self.clock() - asked, self)


class _Waiter:
    """A task that waits, and how to wake it from any thread."""

    def __init__(self) -> None:
        self.event = anyio.Event()
        self.served = False
        # anyio's own way into another loop blocks the caller's; asyncio's and trio's do not.
        token: Any = current_token().native_token
        self._call = getattr(token, "call_soon_threadsafe", None) or token.run_sync_soon

    def wake(self) -> None:
        self._call(self.event.set)
