"""HTTP on loopback: as much of it as a replica needs, and all ways to break it.

HTTP/1.1 (RFC 9112) with connections kept alive, bodies by length or in chunks, gzip for clients
that accept it. A thread serves a connection; all end with the `Listener`.
"""

from __future__ import annotations

import contextlib
import gzip
import socket
import struct
import threading
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from io import BufferedReader
from urllib.parse import parse_qsl

from blocks.testing.calls import Answer, Call, Given

__all__ = ["Listener"]

_PARTS = 10
# How long one who leaves waits for a route that is at work.
_PATIENCE = 10.0


class Listener:
    """Answers what comes to `url` with what `answer` says, until closed.

    `answer` is called in the threads of the connections, several at once.
    """

    def __init__(self, answer: Callable[[Call], Answer]) -> None:
        self._answer = answer
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._open: dict[threading.Thread, socket.socket] = {}
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End all connections, and wait for their threads."""
        self._closing.set()
        # Wakes the thread that accepts, on every system; closing the socket does so on some.
        socket.create_connection(self._socket.getsockname()[:2]).close()
        self._thread.join(_PATIENCE)
        self._socket.close()
        with self._lock:
            for connection in self._open.values():
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            threads = list(self._open)
        for thread in threads:
            thread.join(_PATIENCE)

    def _accept(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            if self._closing.is_set():
                connection.close()
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._serve, args=[connection], daemon=True)
            with self._lock:
                self._open[thread] = connection
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as stream:
                while (call := _read(stream)) and self._reply(connection, call):
                    pass
        except OSError:
            pass  # the peer is gone
        finally:
            with self._lock:
                del self._open[threading.current_thread()]

    def _reply(self, connection: socket.socket, call: Call) -> bool:
        """Answer `call`; whether the connection lives on."""
        answer = self._answer(call)
        self._closing.wait(answer.delay)
        if answer.end == "reset":
            linger = struct.pack("ii", 1, 0)  # closing sends RST, as a crashed peer does
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            return False
        last = answer.end == "cut" or call.headers.get("connection", "").lower() == "close"
        head, body = _written(call, answer, last=last)
        if answer.end == "cut":
            body = body[: len(body) // 2]
        data = head if call.method == "HEAD" else head + body
        size = -(-len(data) // _PARTS) if answer.drip else len(data)
        for start in range(0, len(data), size):
            if start:
                self._closing.wait(answer.drip)
            connection.sendall(data[start : start + size])
        return not last


def _read(stream: BufferedReader) -> Call | None:
    """The next call of a connection; `None` when there is none, or none that can be read."""
    line = stream.readline().decode("latin-1").split()
    if len(line) != 3:
        return None
    method, target, _ = line
    pairs = []
    while text := stream.readline().decode("latin-1").rstrip("\r\n"):
        name, _, value = text.partition(":")
        pairs.append((name.lower(), value.strip()))
    headers = Given(pairs)
    if headers.get("transfer-encoding", "").lower() == "chunked":
        content = b"".join(iter(lambda: _chunk(stream), b""))
    else:
        content = stream.read(int(headers.get("content-length", "0")))
    path, _, query = target.partition("?")
    return Call(method, path, Given(parse_qsl(query, keep_blank_values=True)), headers, content)


def _chunk(stream: BufferedReader) -> bytes:
    data = stream.read(int(stream.readline().partition(b";")[0], 16))
    stream.readline()
    return data


def _written(call: Call, answer: Answer, *, last: bool) -> tuple[bytes, bytes]:
    """Head and body as they are sent."""
    body = answer.encoded()
    given = {name.lower() for name in answer.headers}
    fields = {"Date": formatdate(usegmt=True), "Content-Type": "application/json"}
    accepts = call.headers.get("accept-encoding", "")
    if body and "gzip" in accepts and "content-encoding" not in given:
        body = gzip.compress(body, compresslevel=1)
        fields["Content-Encoding"] = "gzip"
    if answer.status not in {204, 304}:  # RFC 9110, section 8.6
        fields["Content-Length"] = str(len(body))
    if last:
        fields["Connection"] = "close"
    try:
        phrase = HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = ""
    ours = {name: text for name, text in fields.items() if name.lower() not in given}
    lines = [f"{name}: {text}" for name, text in {**ours, **answer.headers}.items()]
    head = "\r\n".join([f"HTTP/1.1 {answer.status} {phrase}", *lines, "", ""])
    return head.encode("latin-1"), body
