"""An API on loopback that heeds credentials, and what hands out the tokens for it."""

from __future__ import annotations

import base64
import itertools
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from tests.loopback import Loopback, answer, read


@dataclass(frozen=True)
class Received:
    """A request as it came."""

    raw: bytes

    @property
    def method(self) -> str:
        """Such as GET."""
        return self.raw.split(b" ", 1)[0].decode()

    @property
    def target(self) -> str:
        """Path and query, as sent."""
        return self.raw.split(b" ", 2)[1].decode()

    @property
    def path(self) -> str:
        """The path alone."""
        return self.target.partition("?")[0]

    @property
    def headers(self) -> dict[str, str]:
        """All headers, names in lower case."""
        lines = self.raw.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}

    @property
    def body(self) -> bytes:
        """What follows the headers."""
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def form(self) -> dict[str, str]:
        """The body as a form."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def basic(self) -> str:
        """What is in the Authorization header, decoded."""
        scheme, _, encoded = self.headers["authorization"].partition(" ")
        assert scheme == "Basic"
        return base64.b64decode(encoded).decode()


@dataclass
class Answering(Loopback):
    """A server whose answers are made by a function."""

    handle: Callable[[Received], bytes] = lambda request: answer()

    def converse(self, connection: socket.socket) -> None:
        """Answer the requests of one connection."""
        with connection, connection.makefile("rb") as received:
            while request := read(received):
                self.requests.append(request)
                try:
                    connection.sendall(self.handle(Received(request)))
                except OSError:
                    return
        self.ended.release()

    @property
    def seen(self) -> list[Received]:
        """All requests so far."""
        return [Received(request) for request in self.requests]


@contextmanager
def answering(handle: Callable[[Received], bytes]) -> Iterator[Answering]:
    """A server that answers with what `handle` returns while the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Answering({}, listener, handle=handle)
        threading.Thread(target=server.accept, daemon=True).start()
        try:
            yield server
        finally:
            server.done.set()
            listener.shutdown(socket.SHUT_RDWR)


def said(value: Any, status: str = "200 OK") -> bytes:
    """A JSON answer."""
    return answer(json.dumps(value).encode(), status)


@dataclass
class Authority:
    """Hands out tokens at /token, each good for `uses` requests, and answers whoever has one."""

    uses: float = float("inf")
    extra: dict[str, Any] = field(default_factory=dict)
    answers: list[bytes] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    gate: threading.Event | None = None
    left: dict[str, float] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    asked: int = 0

    def __call__(self, request: Received) -> bytes:
        """The answer to any request."""
        if request.path == "/token":
            return self.grant(request)
        with self.lock:
            token = request.headers.get("authorization", "").removeprefix("Bearer ")
            if self.left.get(token, 0) <= 0:
                return said({"error": "invalid_token"}, "401 Unauthorized")
            self.left[token] -= 1
        return said({"token": token})

    def grant(self, request: Received) -> bytes:
        """A new token, or what is to be said instead."""
        if self.gate is not None:
            assert self.gate.wait(30)
        with self.lock:
            self.asked += 1
            if self.answers:
                return self.answers.pop(0)
            number = next(self.numbers)
            self.left[f"t{number}"] = self.uses
        token = {"access_token": f"t{number}", "token_type": "Bearer", "expires_in": 3600}
        return said(token | self.extra)
