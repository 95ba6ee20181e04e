"""Downloads: bodies too large to be held, as they stream in.

The chunks of a file feed `blocks.formats`, through `blocks.network.prefetch`:

    load(ndjson(gunzip(prefetch(download(files, files.build_request("GET", link))))))

Files are mostly on somebody else's storage, behind links that are credentials themselves: they are
fetched with a client that has none, `storage()`. Any other client does as well, one with auth for
files at the API; the ready-made `blocks.client.client` holds each body, 256 MiB at most, before it
is handed on.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import cast

import anyio
import httpx

from blocks import __version__, events
from blocks.connections import Connections
from blocks.errors import (
    AuthError,
    BodyError,
    ConfigError,
    NormalizeError,
    RetryError,
    StatusError,
    where,
)
from blocks.formats import Gunzip
from blocks.headers import retry_after
from blocks.logs import hide_queries
from blocks.outcomes import accept, verdict
from blocks.requests import repeat
from blocks.retries import classify, delay, reads

__all__ = ["download", "storage"]

logger = logging.getLogger(__name__)

# Seconds of one told wait: a longer one is for whoever runs the source to know about.
_LONGEST = 300.0


def storage(
    *, timeout: float = 60.0, transport: httpx.AsyncBaseTransport | None = None
) -> httpx.AsyncClient:
    """A client for links to files anywhere: it has no credentials, and streams.

    Such links are the server's word, so nothing but the public internet is connected to: one that
    leads to this machine, its network or its cloud's metadata raises `ForeignOrigin`, whatever its
    name resolves to meanwhile. Where files are inside: `storage(transport=Connections())`.
    Redirects are not followed; proxies and `.netrc` are not heeded. `timeout` is in seconds, for
    each wait.

    >>> files = storage()
    >>> files.auth is None, "authorization" in files.headers
    (True, False)
    """
    hide_queries()
    return httpx.AsyncClient(
        headers={"User-Agent": f"dlt-blocks/{__version__}"},
        timeout=timeout,
        transport=transport or Connections(public=True),
        trust_env=False,
        follow_redirects=False,
    )


async def download(
    client: httpx.AsyncClient,
    request: httpx.Request | Callable[[], Awaitable[httpx.Request]],
    *,
    attempts: int = 5,
    delay: Callable[[int, float], float] = delay,
    chance: Callable[[], float] = random.random,
) -> AsyncGenerator[bytes, None]:
    r"""The body of the answer to `request`, in chunks as they come, whole or with an error.

    A gzip of the transfer (`Content-Encoding`) is undone, a file that is one stays as it is. An
    answer that a rule marked as "skip" is an empty file.

    It never ends early in silence: a body of which only the end of the connection would mark the
    end raises `BodyError`, as does one that is HTML, or of another coding than gzip. Statuses other
    than 200 raise `AuthError` (401, 403) or `StatusError`.

    What only reads (a GET) is tried up to `attempts` times, as in `blocks.retries`, after the wait
    that `delay` or `Retry-After` say. A body lost midway goes on where it broke off, if the server
    knows by a strong entity tag that the file is still the same (RFC 9110, sections 13.1.5 and
    14.2); else it is a `RetryError`, as some of it was handed on. For links that last for minutes
    give a function that gets a new one: it is called for each attempt.

    >>> import anyio
    >>> def server(request):
    ...     return httpx.Response(200, content=b"id\n1\n")
    >>> async def main():
    ...     files = storage(transport=httpx.MockTransport(server))
    ...     return [chunk async for chunk in download(files, files.build_request("GET", "https://x"))]
    >>> anyio.run(main)
    [b'id\n1\n']
    """
    if attempts < 1:
        raise ConfigError(f"download needs attempts >= 1, got {attempts!r}")
    hide_queries()
    body = _Body()
    attempt = 0
    while True:
        attempt += 1
        made = request if isinstance(request, httpx.Request) else await request()
        outcome: httpx.Response | Exception
        try:
            async with aclosing(await client.send(body.asked(made), stream=True)) as response:
                if verdict(response).outcome == "skip":
                    return
                if classify(response) not in {"retry", "limited"}:
                    body.take(response)
                    async for chunk in cast("httpx.AsyncByteStream", response.stream):
                        for part in body.parts(chunk):
                            yield part
                    for part in body.end():
                        yield part
                    if events.heard():
                        events.publish(events.Page(where(made), 1, body.size))
                    return
                outcome = response
        except httpx.TransportError as error:
            if classify(error) != "retry":
                raise
            outcome = error
        wait = _wait(outcome, delay(attempt, chance()))
        if attempt == attempts or not reads(made) or wait is None or not body.can_go_on:
            raise _given_up(outcome, attempt, body, made)
        reason = _reason(outcome)
        logger.info("attempt %d: %s, next in %.1f s: %s", attempt, reason, wait, where(made))
        events.publish(events.Retried(where(made), attempt, reason, wait))
        await anyio.sleep(wait)


class _Body:
    """A body that may come in several answers: what is here, and what may follow it."""

    def __init__(self) -> None:
        self.size = 0  # as sent, before any decoding
        self._total: int | None = None
        self._tag = ""
        self._gzip: Gunzip | None = None
        self._head: bytes | None = b""
        self._response: httpx.Response

    @property
    def can_go_on(self) -> bool:
        """Whether nothing was handed on, or the rest can be asked for."""
        return not self.size or bool(self._tag)

    def asked(self, request: httpx.Request) -> httpx.Request:
        """`request` for what is not here yet."""
        headers = {"Accept-Encoding": "gzip"}
        if self.size:
            headers |= {"Range": f"bytes={self.size}-", "If-Range": self._tag}
        return repeat(request, headers=headers)

    def take(self, response: httpx.Response) -> None:
        """Go on with the body of `response`, which has to fit what is here."""
        self._response = response
        status, headers = response.status_code, response.headers
        if not accept(response) and status in {401, 403}:
            raise AuthError("expected a file, got a refusal of the credentials", response)
        tag = headers.get("etag", "")
        if self.size:
            if (
                status != 206
                or tag != self._tag
                or not self._follows(headers.get("content-range", ""))
            ):
                message = f"expected the file from byte {self.size} on, got another or all of it"
                raise RetryError(message, response)
            return
        if status != 200:
            raise StatusError("expected a file", response)
        # Over HTTP/2 every body has an end of its own (RFC 9113, section 8.1).
        if not (
            "content-length" in headers
            or "transfer-encoding" in headers
            or response.http_version == "HTTP/2"
        ):
            message = "expected a body with an end, got one that ends with the connection"
            raise BodyError(message, response)
        codings = headers.get_list("content-encoding", split_commas=True)
        codings = [coding.lower() for coding in codings if coding.lower() != "identity"]
        if codings not in ([], ["gzip"], ["x-gzip"]):
            raise BodyError(f"expected gzip at most, got {', '.join(codings)!r}", response)
        self._gzip = Gunzip() if codings else None
        length = headers.get("content-length")
        # Transports check it where it frames the body; HTTP/2 and transports of others may not.
        if length is not None and not re.fullmatch("[0-9]{1,19}", length):
            raise BodyError("expected a Content-Length in digits", response)
        self._total = None if length is None else int(length)
        self._tag = tag if tag.startswith('"') else ""  # weak ones begin with W/

    def _follows(self, stretch: str) -> bool:
        # What remains may come in several stretches: only the total tells the end.
        found = re.fullmatch(rf"bytes {self.size}-[0-9]{{1,19}}/([0-9]{{1,19}})", stretch)
        if found is None:
            return False
        self._total = int(found[1]) if self._total is None else self._total
        return self._total == int(found[1])

    def parts(self, chunk: bytes) -> Iterator[bytes]:
        """What `chunk` adds, decoded."""
        self.size += len(chunk)
        if self._gzip is None:
            yield from self._open(chunk)
            return
        try:
            for part in self._gzip.parts(chunk):
                yield from self._open(part)
        except NormalizeError as error:
            raise BodyError(str(error), self._response) from error

    def end(self) -> Iterator[bytes]:
        """What was held back, if this is the end."""
        if self._total not in {None, self.size}:
            message = f"expected {self._total} bytes, got {self.size}"
            raise httpx.RemoteProtocolError(message, request=self._response.request)
        try:
            if self._gzip is not None:
                if not self.size:  # what is empty is not gzip
                    raise BodyError("expected gzip, got no byte of it", self._response)
                self._gzip.end()
        except NormalizeError as error:
            raise BodyError(str(error), self._response) from error
        if self._head:
            yield self._checked(self._head)

    def _open(self, part: bytes) -> Iterator[bytes]:
        # The first bytes are held until they are enough to tell a file from a page for people.
        if self._head is not None:
            self._head += part
            if len(self._head) < _HEAD:
                return
            part, self._head = self._checked(self._head), None
        yield part

    def _checked(self, head: bytes) -> bytes:
        start = head[:_HEAD].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
        if start.startswith((b"<!doctype html", b"<html")):
            raise BodyError("expected a file, got HTML", self._response)
        return head


_HEAD = 64


def _wait(outcome: httpx.Response | Exception, otherwise: float) -> float | None:
    told = None
    if isinstance(outcome, httpx.Response):
        told = retry_after(outcome, datetime.now(UTC))
    if told is None:
        return otherwise
    return told if told <= _LONGEST else None


def _given_up(
    outcome: httpx.Response | Exception, attempt: int, body: _Body, request: httpx.Request
) -> Exception:
    if isinstance(outcome, httpx.Response):
        return StatusError("expected a file", outcome)
    after = f"{attempt} attempts and {body.size} bytes"
    if not body.can_go_on:
        after += ", which cannot be gone on from"
    error = RetryError(f"gave up on a file after {after}: {where(request)}")
    error.__cause__ = outcome
    return error


def _reason(outcome: httpx.Response | Exception) -> str:
    if isinstance(outcome, httpx.Response):
        return str(outcome.status_code)
    return type(outcome).__name__
