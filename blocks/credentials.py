"""Credentials: several of one kind, each with a quota of its own, used as one."""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx

from blocks.errors import ConfigError, where
from blocks.headers import http_date, retry_after
from blocks.secrets import Secret, named

__all__ = ["CredentialPool", "Usage"]

logger = logging.getLogger(__name__)

# A refusal that does not say for how long: GitHub asks for a minute at least.
_BLIND = 60.0
_NUMBER = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Usage:
    """What one credential did so far: requests, refusals among them for a quota that was used up.

    `left` is what it has left of each quota, as far as that is known.
    """

    calls: int
    refused: int
    left: Mapping[str, int]


@dataclass(slots=True)
class _Quota:
    """What a credential has left, until when that is true."""

    left: float = math.inf
    until: float = -math.inf

    def now(self, now: float) -> float:
        return self.left if now < self.until else math.inf


@dataclass(slots=True)
class _Member:
    auth: httpx.Auth
    calls: int = 0
    refused: int = 0
    quotas: dict[str, _Quota] = field(default_factory=dict)

    def quota(self, name: str) -> _Quota:
        return self.quotas.setdefault(name, _Quota())


def _one(request: httpx.Request) -> str:  # noqa: ARG001 - the default: one quota for all requests
    return ""


class CredentialPool(Secret, httpx.AsyncBaseTransport):
    """A transport that sends each request with that of `credentials` that has the most left.

    What is left is read from each answer's `X-RateLimit-Remaining` and `X-RateLimit-Reset` (in
    seconds of the epoch, GitHub's way: https://docs.github.com/en/rest/using-the-rest-api/
    rate-limits-for-the-rest-api). An attempt refused for its quota (403 or 429 with nothing left,
    or with `Retry-After`; any 429) is made again at once with another credential. When all are used
    up, the answer is a 429 with `Retry-After`, for the limiter and the retries above to wait for
    the first that opens; give `blocks.retries.Retry` a `total` that is longer than the quota's
    window. `X-RateLimit-Remaining` then says what all of them together have left, if known.

    It sits right above the connections, in the place of the client's `auth`:
    `client(url, transport=CredentialPool(Connections(), [Bearer(a), Bearer(b)]))`. A credential is
    any `httpx.Auth`; one that expires obtains its tokens right here, unlimited. Where an API counts
    some requests apart, as GitHub does searches, `quota` says for a request by which name. One
    object may be used from any task, thread and event loop.

    >>> from blocks.auth import Bearer
    >>> pool = CredentialPool(httpx.AsyncHTTPTransport(), [Bearer("one"), Bearer("two")])
    >>> pool.statistics()
    (Usage(calls=0, refused=0, left={}), Usage(calls=0, refused=0, left={}))
    """

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        credentials: Sequence[httpx.Auth],
        *,
        quota: Callable[[httpx.Request], str] = _one,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not credentials:
            raise ConfigError("credentials: expected one or more, got none")
        self._transport = transport
        self._members = [_Member(auth) for auth in credentials]
        self._quota = quota
        self._clock = clock
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        listed = ", ".join(named(member.auth) for member in self._members)
        return f"CredentialPool({self._transport!r}, [{listed}])"

    def statistics(self) -> tuple[Usage, ...]:
        """The counts of each credential, in the order they were given, all of one moment."""
        with self._lock:
            now = self._clock()
            return tuple(
                Usage(
                    member.calls,
                    member.refused,
                    {
                        name: int(quota.left)
                        for name, quota in member.quotas.items()
                        if quota.now(now) < math.inf
                    },
                )
                for member in self._members
            )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The response to the request with the first credential that was not refused."""
        await request.aread()
        name = self._quota(request)
        tried: list[_Member] = []
        while member := self._next(name, tried):
            response = await self._send(member.auth, request)
            if not self._learn(member, name, response):
                return response
            await response.aclose()
            tried.append(member)
            others, place = len(self._members) - len(tried), where(request)
            logger.info("a quota is used up, %d not tried yet: %s", others, place)
        return self._used_up(name, request)

    async def aclose(self) -> None:
        """Close the transport within."""
        await self._transport.aclose()

    def _next(self, name: str, tried: Sequence[_Member]) -> _Member | None:
        """The credential to use now, of equal ones that which was used least."""
        with self._lock:
            now = self._clock()
            member = max(
                (member for member in self._members if member not in tried),
                key=lambda member: (member.quota(name).now(now), -member.calls),
                default=None,
            )
            if member is None or member.quota(name).now(now) <= 0:
                return None
            member.calls += 1
            member.quota(name).left -= 1  # till the answer says what is left
            return member

    async def _send(self, auth: httpx.Auth, request: httpx.Request) -> httpx.Response:
        # A copy, so that no credential stays on what is sent again with another.
        copy = httpx.Request(
            request.method,
            request.url,
            headers=request.headers,
            stream=httpx.ByteStream(request.content),
            extensions=request.extensions,
        )
        flow = auth.async_auth_flow(copy)
        try:
            step = await anext(flow)
            while True:
                response = await self._transport.handle_async_request(step)
                response.request = step
                try:
                    step = await flow.asend(response)
                except StopAsyncIteration:
                    response.request = request
                    return response
                await response.aclose()
        finally:
            await flow.aclose()

    def _learn(self, member: _Member, name: str, response: httpx.Response) -> bool:
        """Note what is left; whether the request was refused because of that."""
        told = retry_after(response, datetime.now(UTC))
        left = _number(response, "x-ratelimit-remaining")
        window = _reset(response)
        status = response.status_code
        refused = status == 429 or (status == 403 and (left == 0 or told is not None))
        with self._lock:
            now = self._clock()
            quota = member.quota(name)
            if refused:
                member.refused += 1
                wait = next((wait for wait in (told, window) if wait is not None), _BLIND)
                resting = quota.until if quota.left <= 0 else now
                quota.left, quota.until = 0, max(now + wait, resting)
            elif left is not None and window is not None:
                # Answers overtake each other: within one window the least that was heard is true.
                # Its end is known to a second or so, and the next is a minute away at least.
                fresh = now >= quota.until or now + window > quota.until + 5
                quota.left = left if fresh else min(left, quota.left)
                quota.until = now + window
                self._sum_up(name, now, response)
        return refused

    def _sum_up(self, name: str, now: float, response: httpx.Response) -> None:
        # One token's own numbers would have the limiter above wait while others have some left.
        left = sum(max(0.0, member.quota(name).now(now)) for member in self._members)
        if 0 < left < math.inf:
            response.headers["x-ratelimit-remaining"] = str(int(left))
        else:  # not all are known yet, or the next request finds out when there is more
            del response.headers["x-ratelimit-remaining"]

    def _used_up(self, name: str, request: httpx.Request) -> httpx.Response:
        with self._lock:
            now = self._clock()
            wait = max(
                1, math.ceil(min(member.quota(name).until - now for member in self._members))
            )
        count, place = len(self._members), where(request)
        logger.info("all %d credentials are used up for %d s: %s", count, wait, place)
        return httpx.Response(429, headers={"Retry-After": str(wait)}, request=request)


def _number(response: httpx.Response, header: str) -> int | None:
    text = response.headers.get(header, "").strip()
    return int(text) if _NUMBER.fullmatch(text) else None


def _reset(response: httpx.Response) -> float | None:
    """Seconds until the quota is full again, by the server's own clock where it shows it."""
    at = _number(response, "x-ratelimit-reset")
    if at is None:
        return None
    now = datetime.now(UTC)
    start = http_date(response.headers.get("date", ""), now) or now
    return max(0.0, at - start.timestamp())
