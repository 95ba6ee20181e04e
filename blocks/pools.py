"""Pools: several limits as one, all at once or each for requests of its own."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping

import httpx

from blocks.errors import ConfigError
from blocks.limits import Limit
from blocks.parts import Part, Statistics

__all__ = ["Limits", "Pools"]


class Limits(Limit):
    """All of `limits` at once: 10 a second, and 1000 an hour, and 5 in flight.

    A call passes when it has a turn in all of them at one time, so each of them holds exactly, and
    turns that one has to skip because of another stay open for others that share it. A refusal
    pauses the first, which so should be the one that fewest share.

    >>> from blocks.limits import Rate
    >>> limit = Limits(Rate(10, burst=3), Rate(1000, per=3600, burst=2))
    >>> [limit.reserve(now=100.0) for _ in range(4)]
    [100.0, 100.0, 103.6, 107.2]
    """

    def __init__(self, *limits: Limit) -> None:
        if not limits:
            raise ConfigError("a Limits needs limits, got none")
        self._limits = limits
        # Looked up for each call: kept where no request can make a difference.
        self._parts = self._of(None) if all(isinstance(limit, Part) for limit in limits) else None
        if len({part.clock for part in self.parts()}) > 1:
            raise ConfigError("a Limits needs limits on one clock, got several clocks")

    def __repr__(self) -> str:
        return f"Limits({', '.join(map(repr, self._limits))})"

    def parts(self, request: httpx.Request | None = None) -> tuple[Part, ...]:
        """Those of all, each once."""
        return self._of(request) if self._parts is None else self._parts

    def statistics(self) -> Statistics:
        """Waits and pauses of all; the most calls that one of them had, and the lowest rate."""
        each = [limit.statistics() for limit in self._limits]
        return Statistics(
            max(one.calls for one in each),
            sum(one.waited for one in each),
            sum(one.pauses for one in each),
            min(one.rate for one in each),
        )

    def _of(self, request: httpx.Request | None) -> tuple[Part, ...]:
        return tuple({part: None for limit in self._limits for part in limit.parts(request)})


class Pools(Limit):
    """For each request the limit of the first of `routes` that it fits, else `default`.

    A route is a method and a path, both with `*` for anything: "GET /search/*", "* /graphql". The
    path is the whole of it, percent-encoded and without the query. Without a request, as in `async
    with`, it is `default`.

    >>> from blocks.limits import Rate
    >>> github = Pools({"GET /search/code": Rate(10, per=60), "GET /search/*": Rate(30, per=60)},
    ...     default=Rate(5000, per=3600))
    >>> github.of(httpx.Request("GET", "https://api.github.com/search/issues?q=bug"))
    Rate(30, per=60, burst=1)
    """

    def __init__(self, routes: Mapping[str, Limit], default: Limit) -> None:
        for route in routes:
            if not re.fullmatch(r"[A-Z*]+ [/*]\S*", route):
                raise ConfigError(f"a route is a method and a path ('GET /items/*'), got {route!r}")
        self._routes = dict(routes)
        self._default = default
        self._fits = [
            (re.compile(fnmatch.translate(route)), limit) for route, limit in routes.items()
        ]

    def __repr__(self) -> str:
        return f"Pools({self._routes!r}, default={self._default!r})"

    def of(self, request: httpx.Request) -> Limit:
        """The limit of `request`."""
        path = request.url.raw_path.partition(b"?")[0].decode("ascii")
        subject = f"{request.method} {path}"
        return next((limit for fits, limit in self._fits if fits.match(subject)), self._default)

    def parts(self, request: httpx.Request | None = None) -> tuple[Part, ...]:
        """Those of the limit of `request`."""
        return (self._default if request is None else self.of(request)).parts(request)

    def statistics(self) -> Statistics:
        """The sums of all pools; what they share counts in each."""
        limits = dict.fromkeys((*self._routes.values(), self._default))
        each = [limit.statistics() for limit in limits]
        return Statistics(
            sum(one.calls for one in each),
            sum(one.waited for one in each),
            sum(one.pauses for one in each),
            sum(one.rate for one in each),
        )
