"""A server on loopback that answers byte for byte what a test says, and keeps what it was sent."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader

JSON = (("Content-Type", "application/json"),)


@dataclass(frozen=True)
class Answer:
    """Bytes to send, each `drip` seconds apart if given, and what becomes of the connection."""

    data: bytes
    then: str = "keep"  # "close", "reset" (RST, as a crashed peer sends), "hang" (say no more)
    drip: float = 0.0


def answer(
    body: bytes = b"{}",
    status: str = "200 OK",
    headers: Sequence[tuple[str, str]] = JSON,
    length: int | None = -1,
) -> bytes:
    """A response; `length` is its Content-Length: `None` for no such line, -1 for the truth."""
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
    if length is not None:
        lines.append(f"Content-Length: {len(body) if length == -1 else length}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class Loopback:
    """What is served (per path, the n-th answer to the n-th request, the last one ever after)."""

    script: Mapping[str, Sequence[Answer | bytes]]
    listener: socket.socket
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    tls: ssl.SSLContext | None = None
    ended: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """The origin, such as http://127.0.0.1:12345."""
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.listener.getsockname()[1]}"

    def hits(self, path: str) -> int:
        """How many requests for `path` came."""
        return sum(target(request) == path for request in self.requests)

    def closed(self, count: int) -> None:
        """Wait until the peers of `count` connections have closed them; fail after ten seconds."""
        for _ in range(count):
            assert self.ended.acquire(timeout=10)

    def accept(self) -> None:
        """Serve each connection in a thread of its own until the listener is closed."""
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.converse, args=[connection], daemon=True).start()

    def converse(self, connection: socket.socket) -> None:
        """Answer the requests of one connection."""
        if self.tls is not None:
            try:
                connection = self.tls.wrap_socket(connection, server_side=True)
            except OSError:
                return
        with connection, connection.makefile("rb") as received:
            while request := read(received):
                path = target(request)
                said = self.script[path][min(self.hits(path), len(self.script[path]) - 1)]
                self.requests.append(request)
                reply = said if isinstance(said, Answer) else Answer(said)
                try:
                    self.send(connection, reply)
                except OSError:
                    return
                if reply.then == "hang":
                    self.done.wait(30)
                if reply.then == "reset":
                    linger = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                if reply.then != "keep":
                    return
        self.ended.release()

    def send(self, connection: socket.socket, reply: Answer) -> None:
        """All bytes at once or one by one."""
        if not reply.drip:
            connection.sendall(reply.data)
            return
        for byte in reply.data:
            connection.sendall(bytes([byte]))
            if self.done.wait(reply.drip):
                return


def target(request: bytes) -> str:
    """The path of a request, without its query."""
    return request.split(b" ", 2)[1].decode().partition("?")[0]


def read(received: BufferedReader) -> bytes:
    """One request, head and body; nothing when the peer is gone."""
    head = b""
    try:
        while line := received.readline():
            head += line
            if line == b"\r\n":
                length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
                return head + received.read(int(length or 0))
    except OSError:
        pass
    return b""


@contextmanager
def serving(
    script: Mapping[str, Sequence[Answer | bytes]], tls: ssl.SSLContext | None = None
) -> Iterator[Loopback]:
    """A `Loopback` that serves `script` while the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Loopback(script, listener, tls=tls)
        threading.Thread(target=server.accept, daemon=True).start()
        try:
            yield server
        finally:
            server.done.set()
            listener.shutdown(socket.SHUT_RDWR)
