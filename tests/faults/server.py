"""A server on loopback that sends the bytes it is told to, when it is told to.

It runs in whatever event loop starts it: in a virtual one (`tests.faults.clock`) its pauses take no
time, in a thread of its own they are real.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from tests.authority import Received

__all__ = ["Reply", "Server", "serving", "serving_thread"]

_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Reply:
    """What to send, bytes and seconds of silence, and what becomes of the connection then."""

    parts: tuple[bytes | float, ...]
    then: str = "keep"  # "close", "reset" (RST, as a crashed peer sends), "hang" (say no more)


@dataclass
class Server:
    """Answers requests by `handle` and counts; `opened` less `closed` are its connections now."""

    handle: Callable[[Received], Reply]
    tls: ssl.SSLContext | None = None
    pace: float = 1.0  # how long a second of silence is
    port: int = 0
    opened: int = 0
    closed: int = 0
    received: list[bytes] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    errors: list[BaseException] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The origin, such as http://127.0.0.1:12345."""
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        self.opened += 1
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            if self.tls is not None:
                await writer.start_tls(self.tls)
            await self._converse(reader, writer)
        except (OSError, EOFError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()  # the loop is about to end: nothing more is to be sent
        except Exception as error:  # noqa: BLE001 - the run tells
            self.errors.append(error)
        finally:
            self.tasks.discard(task)
            self.closed += 1
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            raw = head + await reader.readexactly(int(length or 0))
            self.received.append(raw)
            reply = self.handle(Received(raw))
            for part in reply.parts:
                if isinstance(part, float):
                    await asyncio.sleep(part * self.pace)
                else:
                    writer.write(part)
                    await writer.drain()
            if reply.then == "hang":
                await reader.read()  # until the peer has had enough
            if reply.then == "reset":
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, _RESET
                )
                writer.transport.abort()
            if reply.then != "keep":
                return


@asynccontextmanager
async def serving(
    handle: Callable[[Received], Reply], tls: ssl.SSLContext | None = None, pace: float = 1.0
) -> AsyncIterator[Server]:
    """A `Server` in the running loop, while the block runs."""
    server = Server(handle, tls, pace)
    listener = await asyncio.start_server(server.converse, "127.0.0.1", 0, limit=2**24)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        tasks = list(server.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(3):  # a closed connection lets go of its socket in the turn after
            await asyncio.sleep(0)


@contextmanager
def serving_thread(
    handle: Callable[[Received], Reply], tls: ssl.SSLContext | None = None, pace: float = 1.0
) -> Iterator[Server]:
    """A `Server` in a thread of its own, while the block runs."""
    ready, done = threading.Event(), threading.Event()
    found: list[Server] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        async with serving(handle, tls, pace) as server:
            found.append(server)
            stops.append(lambda: loop.call_soon_threadsafe(over.set))
            ready.set()
            await over.wait()
        done.set()

    stops: list[Callable[[], object]] = []
    thread = threading.Thread(target=asyncio.run, args=[main()], daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield found[0]
    finally:
        with contextlib.suppress(RuntimeError):
            stops[0]()
        thread.join(10)
