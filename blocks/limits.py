"""Limits: how many calls in how much time, over everybody who uses one credential.

A limit is an async context manager: entering waits for a turn. `Limited` wears it as a transport
and pauses it when the API refuses. Besides `Rate`, the one here, there are `blocks.slots.InFlight`
(how many at once), `blocks.adaptive` (rates that follow the API's answers) and `blocks.pools`
(several limits as one).
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import TracebackType

import httpx

from blocks.errors import ConfigError, where
from blocks.headers import retry_after
from blocks.outcomes import Verdict, mark, verdict
from blocks.parts import Part, Statistics
from blocks.quotas import Quotas
from blocks.turns import Turns
from blocks.waiting import enter, leave, reserve

__all__ = ["Limit", "Limited", "Rate"]


class Limit(ABC):
    """What calls wait for. Use it with `async with`, or let `blocks.limits.Limited` do so.

    One object is shared by all who are to be limited together: tasks, threads, event loops, on
    asyncio and trio.
    """

    @abstractmethod
    def parts(self, request: httpx.Request | None = None) -> tuple[Part, ...]:
        """What a call of `request` has to wait for; the first is what a refusal pauses."""

    @abstractmethod
    def statistics(self) -> Statistics:
        """The counts so far, all of one moment."""

    def reserve(self, now: float, request: httpx.Request | None = None) -> float:
        """Claim a turn at clock time `now` (seconds); return when it opens, `now` or later.

        For callers that wait elsewhere; a turn reserved so does not follow a later `pause`.
        """
        return reserve(self.parts(request), request, now)

    def pause(self, until: float, reason: str = "a pause") -> None:
        """Let nobody pass before clock time `until`, those already waiting included."""
        self.parts()[0].pause(until, reason)

    async def __aenter__(self) -> None:
        await enter(self.parts())

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        leave(self.parts())


class Rate(Part, Limit):
    """At most `count` calls per `per` seconds, evenly spaced, the first `burst` of them at once.

    Exactly: any stretch of t seconds holds at most `burst + t * count / per` turns, given in the
    order they are asked for. That holds over all tasks, threads and event loops using this one
    object, on asyncio and trio. A turn cancelled while it waits goes to the next who asks; one that
    a pause or a stall of the event loop makes more than 0.1 s late (or an interval, if longer) is
    claimed anew, at the end of the line. `clock` (seconds) is what all times given to and by this
    object are measured on.

    Where calls differ, `cost` says what that of a request takes of `count`: 1 unless given. One
    that costs more than `burst` waits until all of it is there. `quotas` reads from each response
    what is left (see `blocks.quotas`); nothing left pauses until there is more.

    >>> rate = Rate(4)
    >>> [rate.reserve(now=100.0) for _ in range(3)]
    [100.0, 100.25, 100.5]
    """

    turns: Turns

    def __init__(
        self,
        count: float,
        per: float = 1.0,
        burst: int = 1,
        *,
        cost: Callable[[httpx.Request], float] | None = None,
        quotas: Quotas | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not (0 < count < math.inf and burst >= 1 and 0 < per < math.inf):
            got = f"count={count!r}, per={per!r}, burst={burst!r}"
            raise ConfigError(f"a rate needs count > 0, burst >= 1 and per > 0 seconds, got {got}")
        super().__init__(clock, Turns(count / per, burst), cost, quotas)
        self._arguments = f"{count}, per={per}, burst={burst}"
        if cost is not None:
            self._arguments += f", cost={getattr(cost, '__name__', cost)}"
        if quotas is not None:
            self._arguments += f", quotas={getattr(quotas, '__name__', quotas)}"
        self.late = max(Part.late, per / count)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._arguments})"

    def parts(self, request: httpx.Request | None = None) -> tuple[Part, ...]:  # noqa: ARG002
        """The rate itself."""
        return (self,)


class Limited(httpx.AsyncBaseTransport):
    """A transport whose every request waits for its turn in `limit`, shared with whom you like.

    An answer that is "limited" (`blocks.outcomes.verdict`: 429, 403 or 503 with `Retry-After`, or
    what a rule below says) pauses the limit for everybody: for the time told, or for 1 s, doubling
    while one follows the other, when none is told. So does an answer from which the limit reads
    that its quota is used up; an error status beside that is marked "limited", too: GitHub's
    primary limit is a 403. A wait of more than an hour pauses nobody; the response then speaks for
    itself. Responses are otherwise returned as they came.

    What holds a place in flight is left when the response is there: with its body, if
    `blocks.bodies.Whole` is below.

    >>> api = httpx.AsyncClient(transport=Limited(httpx.AsyncHTTPTransport(), Rate(10)))
    """

    def __init__(self, transport: httpx.AsyncBaseTransport, limit: Limit) -> None:
        self._transport = transport
        self._limit = limit

    def __repr__(self) -> str:
        return f"Limited({self._transport!r}, {self._limit!r})"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The response, once the request had its turn."""
        parts = self._limit.parts(request)
        clock = parts[0].clock
        await enter(parts, request)
        try:
            sent = clock()
            response = await self._transport.handle_async_request(request)
        finally:
            leave(parts)
        response.request = request
        _learn(parts, response, sent, clock())
        return response

    async def aclose(self) -> None:
        """Close the transport within; the limit goes on."""
        await self._transport.aclose()


def _learn(parts: Sequence[Part], response: httpx.Response, sent: float, now: float) -> None:
    used_up = [quota for part in parts for quota in part.heed(response, now) if quota.used_up]
    found = verdict(response)
    if used_up and response.is_error and not found.reason:
        waits = [quota.wait for quota in used_up if quota.wait is not None]
        found = Verdict("limited", str(used_up[0]), max(waits, default=None))
        mark(response, found)
    if found.outcome == "limited":
        for part in parts:
            part.slower(sent, now)
        told = retry_after(response, datetime.now(UTC))
        reason = f"{where(response)} answered {response.status_code}"
        if found.reason:
            reason += f", {found.reason}"
        parts[0].hold(found.wait if told is None else told, sent, now, reason)
    elif found.outcome != "retry":
        for part in parts:
            part.answered(sent)
            part.faster(now)
