"""A server in a process of its own, for benchmarks: bytes made beforehand, after a time."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def serve(answer: Callable[[bytes], bytes], seconds: float = 0.0) -> None:
    """Give `answer` of its target to each request, `seconds` after it came; the port is printed."""

    class Server(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport, self.received = transport, b""

        def data_received(self, data: bytes) -> None:
            self.received += data
            while b"\r\n\r\n" in self.received:
                head, _, self.received = self.received.partition(b"\r\n\r\n")
                due = loop.time() + seconds
                said = answer(head.split(b" ", 2)[1])  # made while it waits
                if seconds:
                    loop.call_at(due, self.transport.write, said)
                else:
                    self.transport.write(said)

    async def main() -> None:
        server = await loop.create_server(Server, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())


def response(body: bytes, *headers: str) -> bytes:
    """A whole response, JSON."""
    length = f"Content-Length: {len(body)}"
    lines = ["HTTP/1.1 200 OK", "Content-Type: application/json", length, *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@contextmanager
def serving(script: str, seconds: float = 0.0) -> Iterator[str]:
    """The URL of what `python script serve seconds` serves."""
    command = [sys.executable, script, "serve", str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.kill()
