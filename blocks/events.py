"""Events: what happens between us and an API, told to whoever listens.

A listener is any callable that takes an event. It is called at once, in the thread where it
happened (mostly the network thread), and so should be quick. Events hold method, host and path, no
query, header or body. Blocks publish here and know nothing of each other or of the listeners.

>>> seen = []
>>> stop = listen(seen.append)
>>> publish(Page("GET api.example.com/items", 1, 5120))
>>> stop()
>>> seen
[Page(place='GET api.example.com/items', number=1, size=5120)]
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "Answered",
    "Counts",
    "Event",
    "Failed",
    "Listener",
    "Page",
    "Retried",
    "Sent",
    "Skipped",
    "Waited",
    "heard",
    "listen",
    "log",
    "publish",
    "scoped",
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sent:
    """A request, one attempt of it, is on its way."""

    place: str


@dataclass(frozen=True, slots=True)
class Answered:
    """Its answer is here, `size` bytes decoded, `seconds` after it was sent."""

    place: str
    status: int
    size: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """It has no answer: `reason` is the name of the exception."""

    place: str
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Waited:
    """A call had to wait for its turn in `limit` (its repr), and why."""

    limit: str
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Retried:
    """Attempt number `attempt` is to be followed by another, in `wait` seconds."""

    place: str
    attempt: int
    reason: str
    wait: float


@dataclass(frozen=True, slots=True)
class Page:
    """A page was received, the `number`-th of its listing, `size` bytes."""

    place: str
    number: int
    size: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something asked for is left out, because of `reason`: a rule, a status, a missing id."""

    place: str
    reason: str


Event: TypeAlias = Sent | Answered | Failed | Waited | Retried | Page | Skipped
Listener: TypeAlias = Callable[[Event], object]

_everywhere: tuple[Listener, ...] = ()
_here: ContextVar[tuple[Listener, ...]] = ContextVar("blocks.events", default=())
_lock = threading.Lock()


def listen(listener: Listener) -> Callable[[], None]:
    """Let `listener` have every event of this process from now; call the result to end that."""
    global _everywhere  # noqa: PLW0603 - one stream for the process is the point

    def stop() -> None:
        global _everywhere  # noqa: PLW0603
        with _lock:
            _everywhere = tuple(each for each in _everywhere if each is not listener)

    with _lock:
        _everywhere = (*_everywhere, listener)
    return stop


def scoped(listener: Listener) -> Context:
    """A copy of the current context in which `listener` has the events, too.

    What runs in it, `scoped(listener).run(next, pages)`, takes it along to the tasks it starts, as
    `blocks.network.prefetch` does with its first item: so one resource counts what is its own.

    >>> seen = []
    >>> scoped(seen.append).run(publish, Sent("GET api.example.com/mine"))
    >>> publish(Sent("GET api.example.com/others"))
    >>> seen
    [Sent(place='GET api.example.com/mine')]
    """
    context = copy_context()
    context.run(_here.set, (*_here.get(), listener))
    return context


def heard() -> bool:
    """Whether anybody listens here; if not, an event need not even be made."""
    return bool(_everywhere or _here.get())


def publish(event: Event) -> None:
    """Tell all who listen. A listener's error is logged and harms nobody else."""
    for listener in (*_everywhere, *_here.get()):
        try:
            listener(event)
        except Exception:
            logger.exception("listener %r failed", listener)


def log(event: Event) -> None:
    """A listener that writes each event to this module's logger, at level INFO."""
    logger.info("%r", event)


class Counts:
    """A listener that counts: requests, bytes, seconds waited, retries by their reason, and so on.

    >>> counts = Counts()
    >>> counts(Retried("GET api.example.com/items", 1, "502", 0.5))
    >>> counts(Page("GET api.example.com/items", 1, 5120))
    >>> counts.read()
    {'pages': 1, 'retries': 1, 'retries: 502': 1}
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        """Count `event`."""
        with self._lock:
            for name, number in _countable(event):
                self._counts[name] = self._counts.get(name, 0) + number

    def read(self) -> dict[str, float]:
        """The counts so far by their names, seconds rounded to thousandths: plain values."""
        with self._lock:
            return {name: round(number, 3) for name, number in sorted(self._counts.items())}


def _countable(event: Event) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    match event:
        case Sent():
            found = [("requests", 1)]
        case Answered():
            found = [("bytes", event.size), ("seconds answering", event.seconds)]
        case Failed():
            found = [("failures", 1), ("seconds failing", event.seconds)]
        case Waited():
            found = [("waits", 1), ("seconds waiting", event.seconds)]
        case Retried():
            found = [("retries", 1), (f"retries: {event.reason}", 1)]
        case Page():
            found = [("pages", 1)]
        case _:
            found = [("skips", 1), (f"skips: {event.reason}", 1)]
    return found
