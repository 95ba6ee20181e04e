"""An event loop whose time is virtual: where only a timer can go on, it is due at once.

Sockets are real. Both sides of a conversation run in this loop, so nothing is under way anywhere
else: when no socket is ready, no callback waits and no thread works for it, the clock jumps to the
next timer. Where there is none either, nobody will ever go on, and that is a `Hang`.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import anyio
import anyio.to_thread

__all__ = ["Hang", "VirtualLoop", "run"]

T = TypeVar("T")

# Real seconds for what the kernel may still carry from one socket to the other before time jumps.
_GRACE = 0.001


class Hang(Exception):  # noqa: N818 - says what happened
    """Everybody waits, and for nothing that will come."""


class _Selector(selectors.DefaultSelector):
    def __init__(self, silence: float) -> None:
        super().__init__()
        self.now = 0.0
        self._silence = silence
        self.threads: anyio.CapacityLimiter | None = None

    def select(self, timeout: float | None = None) -> Any:
        if timeout is not None and timeout <= 0:
            return super().select(0)
        if timeout is None or (self.threads is not None and self.threads.borrowed_tokens):
            ready = super().select(self._silence)
            if not ready:
                raise Hang("no timer, no socket, no callback to go on with")
            return ready
        ready = super().select(0) or super().select(_GRACE)
        if not ready:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time. `names` answers look-ups of hosts, in place of a resolver.

    `silence` is for how many real seconds nothing may come where there is no timer to wait for.
    """

    def __init__(self, names: Callable[[str], str] | None = None, silence: float = 5.0) -> None:
        self._clock = _Selector(silence)
        super().__init__(self._clock)
        self._names = names

    def time(self) -> float:
        """Seconds since the loop was made, jumps included."""
        return self._clock.now

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        """What `names` says; it may raise `socket.gaierror`. No thread, as no name is looked up."""
        if self._names is not None and not str(host).startswith("127."):
            host = self._names(str(host))
        return socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST, type=socket.SOCK_STREAM)

    def watch(self, threads: anyio.CapacityLimiter) -> None:
        """Let no time pass while any of `threads` is at work."""
        self._clock.threads = threads


def run(
    main: Callable[[], Coroutine[Any, Any, T]],
    names: Callable[[str], str] | None = None,
    silence: float = 5.0,
) -> T:
    """What `main` returns, run to its end in a `VirtualLoop` of its own."""

    async def watched() -> T:
        loop.watch(anyio.to_thread.current_default_thread_limiter())
        return await main()

    loop = VirtualLoop(names, silence)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(watched())
