"""A case: one draw of a kind of fault, with what has to come of it, and the API that plays it."""

from __future__ import annotations

import signal
import ssl
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeAlias

import httpx

from blocks.auth import Basic, Bearer, CookieKey, HeaderKey, QueryKey
from blocks.cursors import Cursor
from blocks.limits import Limit
from blocks.rules import Rule
from tests.authority import Received
from tests.faults.server import Reply
from tests.faults.world import Row, World
from tests.loopback import JSON, answer

__all__ = ["CANARY", "ECHO", "Api", "Asked", "Case", "Fault"]

# Long enough that each base64 of it, at any offset, has letters of its own.
CANARY = "c4n4ry+secret/=0123456789abcdef"
# What a server may repeat of it in a body, which errors carry, but do not quote.
ECHO = "3ch0+secret/=0123456789abcdef"


@dataclass
class Asked:
    """A request for a page, and the page as an API without faults would send it."""

    received: Received
    envelope: dict[str, Any]
    start: int
    links: list[tuple[str, str]]
    api: Api

    @property
    def rng(self) -> Random:
        """The chance of this case."""
        return self.api.case.rng

    @property
    def body(self) -> bytes:
        """The page as JSON."""
        return self.api.case.world.write(self.envelope)

    def say(
        self,
        body: bytes | None = None,
        status: str = "200 OK",
        headers: Sequence[tuple[str, str]] = (),
        length: int | None = -1,
    ) -> bytes:
        """A response as bytes; the page unless said otherwise."""
        kept = [pair for pair in JSON if not any(name == pair[0] for name, _ in headers)]
        links = self.links if body is None or status.startswith("200") else []
        return answer(
            self.body if body is None else body, status, [*kept, *links, *headers], length
        )

    def tell(self, seconds: float) -> None:
        """Keep in mind that the client was told to wait: all of it, if a limit is shared."""
        api = self.api
        # Of a wait of more than an hour `blocks.limits` says that it pauses nobody.
        key = b"" if api.case.limit and seconds <= 3600 else _mark(self.received)
        now = api.clock()
        api.told[key] = now, max(api.told.get(key, (0.0, 0.0))[1], now + seconds)


Fault: TypeAlias = Callable[[Asked], Reply]


@dataclass
class Case:
    """What happens to a world, how it is read, and which verdicts are right: "A", "B" or "AB".

    `faults` are for the pages in the order in which they are first asked for, one fault for each
    time. `most` of them may be asked for, all if not said; `extra` more requests are in order.
    """

    rng: Random
    world: World
    what: str = ""
    expected: str = "A"
    faults: dict[int, list[Fault]] = field(default_factory=dict)
    most: int | None = None
    extra: int = 0
    rules: tuple[Rule, ...] = ()
    changes: dict[int, Callable[[World], None]] = field(default_factory=dict)
    allowed: dict[int, Row] = field(default_factory=dict)
    merge: bool = False
    warm: bool = True
    virtual: bool = False
    at_most: int | None = None
    limit: Callable[[Callable[[], float]], Limit] | None = None
    auth: Callable[[str], httpx.Auth] | None = None
    credentials: str = ""
    route: Callable[[Received, Api], Reply | None] | None = None
    named: str = ""
    names: Callable[[str], str] | None = None
    tls: Callable[[bool], ssl.SSLContext] | None = None
    trust: Any = None
    authority: Callable[[], Any] | None = None
    limited: str = ""
    connections: int | None = None
    sockets: bool = False
    begin: Callable[[], object] | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    around: Callable[[], AbstractContextManager[Any]] = nullcontext
    optional: set[int] = field(default_factory=set)
    errors: tuple[type[BaseException], ...] = ()
    interrupt: int = 0
    cursor: Callable[[dict[str, Any]], Cursor] | None = None
    ask: Callable[[Cursor], Any] = lambda cursor: cursor.since
    tune: Callable[[httpx.AsyncClient], object] | None = None
    read: Callable[[Any], Awaitable[Any]] | None = None
    check: Callable[[Api], str] | None = None

    def __post_init__(self) -> None:
        self.faulty = False
        self.plain = self.rng.random() < 0.25
        if self.auth is None:
            self.credentials = self.rng.choice(sorted(_CREDENTIALS))
            self.auth = _CREDENTIALS[self.credentials]
        scheduled = sum(map(len, self.faults.values()))
        self.budget = self.world.pages + self.extra
        self.budget += scheduled if self.most is None else self.most


class Api:
    """Plays a case; keeps who came when."""

    def __init__(self, case: Case, clock: Callable[[], float], *, clean: bool = False) -> None:
        self.case = case
        self.clock = clock
        self.url = ""
        self.requests = 0
        self.early = 0
        self.told: dict[bytes, tuple[float, float]] = {}
        self.arrivals: list[float] = []
        self.tokens: list[float] = []
        self.foreign: list[bytes] = []
        self.notes: dict[str, Any] = {}
        self.clean = clean
        self._faults = {} if clean else {page: [*each] for page, each in case.faults.items()}
        self._seen: dict[bytes, int] = {}

    def __call__(self, received: Received) -> Reply:
        """The answer, and a note of the question."""
        now, mark = self.clock(), _mark(received)
        for said, until in (self.told[key] for key in (b"", mark) if key in self.told):
            self.early += said < now < until - 1e-6  # what was on its way already had not been told
        case = self.case
        if received.path == "/stolen":
            self.foreign.append(received.raw)
            return Reply((answer(),))
        if case.route is not None and (routed := case.route(received, self)) is not None:
            return routed
        self.requests += 1
        self.arrivals.append(now)
        if self.requests > self.endless:  # which the verdict will say
            return Reply((answer(b"{}", "501 Not Implemented"),), "close")
        if not self.clean and self.requests == case.interrupt:
            main = threading.main_thread().ident
            assert main is not None
            signal.pthread_kill(main, signal.SIGINT)
            return Reply((), "hang")
        if not self.clean and (change := case.changes.get(self.requests)):
            change(case.world)
        asked = self.ask(received)
        queue = self._faults.get(self._seen.setdefault(mark, len(self._seen)))
        if queue:
            return queue.pop(0)(asked)
        return Reply((asked.say(),))

    @property
    def endless(self) -> int:
        """More requests than this are without end."""
        return 2 * self.case.budget + 20

    def ask(self, received: Received) -> Asked:
        """The request, with the page that it is for."""
        envelope, start, links = self.case.world.page(received)
        return Asked(received, envelope, start, links, self)


def _mark(received: Received) -> bytes:
    return received.target.encode() + received.body


_CREDENTIALS: Mapping[str, Callable[[str], httpx.Auth]] = {
    "basic": lambda _: Basic(CANARY, CANARY),
    "bearer": lambda _: Bearer(CANARY),
    "cookie": lambda _: CookieKey(CANARY, name="sid"),
    "header": lambda _: HeaderKey(CANARY),
    "query": lambda _: QueryKey(CANARY),
}
