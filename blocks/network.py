"""The network: one thread with one event loop for the process, and how to iterate over it.

`prefetch` runs an async iterable there, ahead of the plain `for` that takes its items.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from blocks.errors import ConfigError

__all__ = ["prefetch"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Seconds an abandoned source may take to clean up before it is left to do so alone.
_PATIENCE = 5.0
# Seconds after which a waiting consumer looks whether it was interrupted.
_ALERT = 0.5


def prefetch(source: AsyncIterable[T], ahead: int = 8) -> Iterator[T]:
    """The items of `source`, made in the network thread up to `ahead` items early, in order.

    Starts with the first item asked for. The whole of `source` runs in one task of its own, so it
    may hold task groups, timeouts and locks across its yields, and sees the context variables of
    whoever asked first. Its error is raised here after the items before it, with its traceback.

    Leaving early (`break`, an error, Ctrl-C, garbage collection) cancels the task: the cancellation
    is raised where `source` stands, and its `finally` blocks are waited for, 5 seconds at most.

    >>> async def numbers():
    ...     for number in range(3):
    ...         yield number
    >>> list(prefetch(numbers()))
    [0, 1, 2]
    """
    if ahead < 1:
        raise ConfigError(f"prefetch needs ahead >= 1, got {ahead!r}")
    return _items(source, ahead)


def _items(source: AsyncIterable[T], ahead: int) -> Iterator[T]:
    pump = _Pump(source, ahead)
    pump.start()
    try:
        while not isinstance(event := pump.next(), _End):
            yield event.item
    except BaseException as reason:
        error = pump.stop()
        # Of two errors Ctrl-C is the one to see.
        if isinstance(reason, GeneratorExit) and error is not None:
            raise error from None
        raise
    if event.error is not None:
        raise event.error


@dataclass(frozen=True, slots=True)
class _Item(Generic[T]):
    item: T


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None
    stopped: bool


class _Network:
    """One thread and its loop: started when first needed, never stopped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                # A daemon: the process may end while a source nobody asks any more still waits.
                self._thread = threading.Thread(
                    target=self._run, args=[self._loop], name="blocks-network", daemon=True
                )
                self._thread.start()
            return self._loop

    def is_current_thread(self) -> bool:
        return threading.current_thread() is self._thread

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        while True:
            # These two stop the loop when any task raises them. Whoever awaits the task gets them
            # as well, and the other tasks are to go on.
            with contextlib.suppress(KeyboardInterrupt, SystemExit):
                loop.run_forever()


_network = _Network()


def _forget_parent() -> None:
    # A forked child has no such thread; the old loop shares its selector with the parent's.
    global _network  # noqa: PLW0603 - one for the process is the point
    _network = _Network()


os.register_at_fork(after_in_child=_forget_parent)


class _Pump(Generic[T]):
    """Runs `source` in one task of the network loop and hands its items over."""

    def __init__(self, source: AsyncIterable[T], ahead: int) -> None:
        self._source = source
        self._room = asyncio.Semaphore(ahead)
        self._refill = max(1, ahead // 2)
        self._taken = 0
        self._network = _network
        self._events: queue.SimpleQueue[_Item[T] | _End] = queue.SimpleQueue()
        self._stopped = False

    def start(self) -> None:
        if self._network.is_current_thread():
            raise RuntimeError("prefetch blocks: in the network thread use `async for` instead")
        self._loop = self._network.loop()
        self._loop.call_soon_threadsafe(self._begin)  # takes the context variables along

    def next(self) -> _Item[T] | _End:
        if self._network is not _network:
            raise RuntimeError("this iterator was begun in the parent process; begin a new one")
        while True:
            # A signal interrupts the waiting; the timeout is for what only sets a flag, as
            # `_thread.interrupt_main` does, and Ctrl-C on Windows.
            with contextlib.suppress(queue.Empty):
                event = self._events.get(timeout=_ALERT)
                # The loop is woken once for several items: each time costs a system call and a
                # switch of threads.
                self._taken += 1
                if self._taken >= self._refill:
                    self._loop.call_soon_threadsafe(self._release, self._taken)
                    self._taken = 0
                return event

    def stop(self) -> BaseException | None:
        """Cancel the task, wait for its end, and return the error of its clean-up, if any."""
        if self._network is not _network:
            return None
        self._loop.call_soon_threadsafe(self._cancel)
        if self._network.is_current_thread():
            return None  # collected as garbage there, and the thread cannot wait for itself
        deadline = time.monotonic() + _PATIENCE
        try:
            while not isinstance(
                event := self._events.get(timeout=max(0.0, deadline - time.monotonic())), _End
            ):
                pass
        except queue.Empty:
            logger.warning("%r still cleans up after %g s, left alone", self._source, _PATIENCE)
            return None
        if event.error is not None and not event.stopped:
            # Of items nobody asked for: to raise it would hide why the consumer left.
            logger.info("%r had failed ahead: %s", self._source, type(event.error).__name__)
            return None
        return event.error

    def _release(self, count: int) -> None:
        for _ in range(count):
            self._room.release()

    def _begin(self) -> None:
        self._task: asyncio.Task[BaseException | None] = self._loop.create_task(self._run())
        self._task.add_done_callback(self._finish)

    def _cancel(self) -> None:
        self._stopped = True
        self._task.cancel()

    def _finish(self, task: asyncio.Task[BaseException | None]) -> None:
        # Cancelled only if it never ran: what ends a run comes back as its result.
        self._events.put(_End(None if task.cancelled() else task.result(), self._stopped))

    async def _run(self) -> BaseException | None:
        try:
            await self._take_all()
        except asyncio.CancelledError as error:
            if self._stopped:
                return None
            # Nobody here asked for it: not to be taken for the end of the items.
            lost = RuntimeError("the source was cancelled before its end")
            lost.__cause__ = error
            return lost
        except BaseException as error:  # noqa: BLE001 - raised in the consumer
            return error
        return None

    async def _take_all(self) -> None:
        items = aiter(self._source)
        while True:
            try:
                await self._make_room()
            except asyncio.CancelledError as cancelled:
                # The source stands at a yield and knows nothing of it. GeneratorExit from aclose
                # would come out of its task groups as an exception group.
                await _throw(items, cancelled)
                raise
            try:
                item = await anext(items)
            except StopAsyncIteration:
                return
            self._events.put(_Item(item))

    async def _make_room(self) -> None:
        # Before the item is made, so that never more than `ahead` of them wait.
        if self._stopped:  # and the source took the cancellation, but went on
            raise asyncio.CancelledError
        await self._room.acquire()


async def _throw(items: AsyncIterator[Any], cancelled: asyncio.CancelledError) -> None:
    if isinstance(items, AsyncGenerator):
        try:
            await items.athrow(cancelled)
        except (asyncio.CancelledError, StopAsyncIteration):
            return
        await items.aclose()
