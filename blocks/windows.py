"""Windows: stretches of a range fetched several at once, each whole or not at all.

What fails is made smaller where that may help, and left out where it does not; the others go on.
With `blocks.intervals` those had are remembered, and the rest is asked for again by the next run.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

import anyio
import httpx

from blocks import events
from blocks.errors import (
    AuthError,
    BlocksError,
    ConfigError,
    ForeignOrigin,
    Incomplete,
    Overflow,
    ResponseError,
    RetryError,
)
from blocks.intervals import Interval
from blocks.outcomes import verdict

__all__ = ["narrow", "windows"]

logger = logging.getLogger(__name__)

_MINUTE = timedelta(minutes=1)
# Of an exchange, that is: another window may go better.
_FAILURES = (httpx.HTTPError, ResponseError, RetryError, TimeoutError)


def narrow(error: Exception) -> bool:
    """Whether a shorter window may go through where this one met `error`.

    True for `Overflow`; for what was too late, or cut midway; for the statuses that
    `blocks.outcomes.verdict` calls "retry"; also when `RetryError` reports them. Not for a server
    that cannot be reached, nor for rate limits.

    >>> narrow(httpx.ReadTimeout("60 s")), narrow(httpx.ConnectTimeout("60 s"))
    (True, False)
    """
    if isinstance(error, RetryError) and isinstance(error.__cause__, Exception):
        return narrow(error.__cause__)
    if isinstance(error, ResponseError | RetryError) and error.response is not None:
        return isinstance(error, Overflow) or verdict(error.response).outcome == "retry"
    breaks = httpx.ReadTimeout | httpx.ReadError | httpx.RemoteProtocolError | httpx.DecodingError
    return isinstance(error, Overflow | TimeoutError | breaks)


async def windows(
    fetch: Callable[[Interval], AsyncIterable[httpx.Response]],
    ranges: Iterable[Interval],
    *,
    at_once: int = 4,
    least: timedelta | int | None = None,
    narrow: Callable[[Exception], bool] = narrow,
    strict: bool = False,
) -> AsyncIterator[tuple[Interval, list[httpx.Response]]]:
    """Each of `ranges` with all of its pages, in their order; `fetch` makes the pages of one.

    Up to `at_once` windows are fetched or wait for those before them; of one that is not complete
    nothing is given out. A window whose error is one that `narrow` is true of is fetched again as
    two halves, and these as theirs, while the longer has `least`: a minute for times, 1 for
    integers. When one has failed even so by anything but `Overflow`, others are not halved until
    some window was had: it may be the server.

    A window that fails is logged at level ERROR, published as `Skipped`, and left out, and the
    others go on. With `strict` that raises `Incomplete` after the last one; without, the windows
    given out are all that may be taken for done, as with `Intervals.add`. Where none can be had
    `Incomplete` is raised at any rate, with the first error as its cause. What no window survives
    is raised at once: `AuthError`, `ConfigError`, `ForeignOrigin`, and what is no failure of an
    exchange (`httpx.HTTPError`, `ResponseError`, `RetryError`, `TimeoutError`) but of the code.

    It holds a task group across its yields: run it under `blocks.network.prefetch`, or in one task
    that closes it (`contextlib.aclosing`). `prefetch` keeps windows of its own, `ahead` of them.

    >>> import anyio
    >>> from blocks.kinds import Integers
    >>> async def fetch(window):
    ...     if window.length > 50:
    ...         raise Overflow("expected at most 50 rows")
    ...     yield httpx.Response(200, json=[window.since, window.through])
    >>> async def main():
    ...     async for window, pages in windows(fetch, [Interval(0, 100, Integers())]):
    ...         print(window, [page.json() for page in pages])
    >>> anyio.run(main)
    0 to 50 [[0, 49]]
    50 to 100 [[50, 99]]
    """
    if at_once < 1:
        raise ConfigError(f"windows need at_once >= 1, got {at_once!r}")
    work = _Work(ranges, at_once, least, narrow)
    reason: BaseException | None = None
    async with anyio.create_task_group() as tasks:

        def begin() -> None:
            for part in work.open():
                tasks.start_soon(run, part)

        async def run(part: _Part) -> None:
            try:
                work.had(part, [page async for page in fetch(part.window)])
            except Exception as error:  # noqa: BLE001 - sorted there
                work.broke(part, error)
            begin()

        try:
            begin()
            while (part := await work.next()) is not None:
                begin()
                yield part.window, part.pages
        except (Exception, GeneratorExit) as caught:  # noqa: BLE001 - raised below
            # Out of the task group as it is, not as a group of one.
            reason = caught
            tasks.cancel_scope.cancel()
    if reason is not None:
        raise reason
    work.end(strict=strict)


@dataclass(slots=True, eq=False)
class _Part:
    """A window of the ranges, or a half of one: to be begun, under way, or there."""

    window: Interval
    state: Literal["new", "begun", "there"] = "new"
    pages: list[httpx.Response] = field(default_factory=list)


class _Work:
    """The windows not yet given out, in order, and what became of the others."""

    def __init__(
        self,
        ranges: Iterable[Interval],
        at_once: int,
        least: timedelta | int | None,
        narrow: Callable[[Exception], bool],
    ) -> None:
        self._parts = deque(_Part(window) for window in ranges)
        if least is not None and self._parts:
            span = type(self._parts[0].window.length)
            if not isinstance(least, span) or not least > span():
                message = f"least: expected a positive {span.__name__}, got {least!r}"
                raise ConfigError(message)
        self._room = at_once
        self._least = least
        self._narrow = narrow
        self._news = anyio.Event()
        self._fatal: Exception | None = None
        self._stuck = False
        self._had = 0
        self._failed = 0
        self._first: tuple[str, Exception] | None = None

    def open(self) -> Iterator[_Part]:
        """The windows to fetch now, each in a task of its own."""
        # The first to be given out is always among those begun, or nothing would move: halves
        # come before what lies behind them.
        while self._room and self._fatal is None:
            part = next((part for part in self._parts if part.state == "new"), None)
            if part is None:
                return
            part.state = "begun"
            self._room -= 1
            yield part

    def had(self, part: _Part, pages: list[httpx.Response]) -> None:
        """Take all pages of a window."""
        part.state, part.pages = "there", pages
        self._had += 1
        self._stuck = False
        self._news.set()

    def broke(self, part: _Part, error: Exception) -> None:
        """Put halves in the place of a window, or nothing."""
        self._room += 1
        self._news.set()
        fatal = isinstance(error, AuthError | ConfigError | ForeignOrigin)
        if fatal or not isinstance(error, _FAILURES):
            self._fatal = self._fatal or error
            return
        halves: tuple[Interval, ...] = ()
        reason = _reason(error)
        if self._narrow(error) and (isinstance(error, Overflow) or not self._stuck):
            halves = _halves(part.window, self._least)
            if not halves:
                reason += f", and it may not be halved (least={self._least!r})"
                self._stuck = not isinstance(error, Overflow)
        place = self._parts.index(part)
        del self._parts[place]
        for half in reversed(halves):
            self._parts.insert(place, _Part(half))
        if halves:
            logger.info("window %s: %s: halved", part.window, reason)
            return
        self._failed += 1
        self._first = self._first or (f"{part.window}: {reason}", error)
        logger.error("window %s is left out: %s", part.window, reason)
        events.publish(events.Skipped(f"window {part.window}", type(error).__name__))

    async def next(self) -> _Part | None:
        """The window to give out next, when it is there; `None` after the last."""
        while self._fatal is None:
            if not self._parts:
                return None
            if self._parts[0].state == "there":
                self._room += 1
                return self._parts.popleft()
            self._news = anyio.Event()
            await self._news.wait()
        raise self._fatal

    def end(self, *, strict: bool) -> None:
        """Raise if windows were left out and must not be."""
        if self._first is not None and (strict or not self._had):
            failed, error = self._first
            count = f"{self._failed} of {self._failed + self._had} windows failed"
            raise Incomplete(f"{count}, the first of them {failed}") from error


def _halves(window: Interval, least: timedelta | int | None) -> tuple[Interval, ...]:
    if least is None:
        least = _MINUTE if isinstance(window.length, timedelta) else 1
    halves = window.halves()
    return halves if any(half.length >= least for half in halves) else ()


def _reason(error: Exception) -> str:
    # The texts of httpx's errors may hold URLs with their queries.
    text = f": {error}" if isinstance(error, BlocksError) else ""
    return f"{type(error).__name__}{text}"
