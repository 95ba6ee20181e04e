"""Files stream in whole, go on where they broke off, or are an error: never shorter in silence."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks import events
from blocks.auth import Bearer
from blocks.client import client
from blocks.connections import Connections
from blocks.downloads import download, storage
from blocks.errors import (
    AuthError,
    BlocksError,
    BodyError,
    ConfigError,
    ForeignOrigin,
    RetryError,
    StatusError,
)
from blocks.formats import gunzip, ndjson
from blocks.network import prefetch
from blocks.rules import Judged, Status
from tests.loopback import Answer, Loopback, answer, read, serving

SECRET = "c4n4ry"
FILE = b"".join(b'{"id": %d}\n' % number for number in range(200))
TAG = ("ETag", '"v1"')
ZIPPED = ("Content-Encoding", "gzip")


def at_once(attempt: int, chance: float) -> float:
    """No wait."""
    return 0.0


def get(server: Loopback, path: str = "/file", **options: Any) -> bytes:
    """The file at `path`."""
    files = storage(timeout=5, transport=Connections())
    request = files.build_request("GET", server.url + path, params={"sig": SECRET})
    return b"".join(prefetch(download(files, request, delay=at_once, **options)))


def part(start: int, stop: int, *, tag: str = '"v1"', file: bytes = FILE) -> bytes:
    """What answers the question for the bytes from `start` on: those before `stop`."""
    stretch = ("Content-Range", f"bytes {start}-{stop - 1}/{len(file)}")
    return answer(file[start:stop], "206 Partial Content", [("ETag", tag), stretch])


def lost(end: int, *headers: tuple[str, str], file: bytes = FILE) -> Answer:
    """The first `end` bytes, then the connection is closed."""
    return Answer(answer(file[:end], headers=headers, length=len(file)), then="close")


def chunked(*parts: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """A body in chunks."""
    framed = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in parts)
    return answer(framed + end, headers=[("Transfer-Encoding", "chunked")], length=None)


@pytest.mark.parametrize(
    "said",
    [
        answer(FILE, headers=[]),
        answer(FILE, headers=[("Content-Type", "text/csv"), ("Content-Encoding", "identity")]),
        answer(gzip.compress(FILE), headers=[ZIPPED]),
        answer(gzip.compress(FILE[:50]) + gzip.compress(FILE[50:]), headers=[ZIPPED]),
        chunked(FILE[:3], FILE[3:]),
    ],
)
def test_a_file_comes_whole(said: bytes) -> None:
    """Of known length or in chunks, its transfer packed or not."""
    with serving({"/file": [said]}) as server:
        assert get(server) == FILE


@pytest.mark.parametrize("content", [b"", b"id\n", b" " * 63, b"\xef\xbb\xbfid\n1\n"])
def test_a_short_file_comes_whole(content: bytes) -> None:
    """What is too short to tell from a page is held back no longer than to its end."""
    with serving({"/file": [answer(content, headers=[])]}) as server:
        assert get(server) == content


def test_a_packed_file_stays_packed() -> None:
    """Only the transfer's own coding is undone, not what the file is."""
    packed = gzip.compress(FILE)
    with serving({"/file": [answer(packed, headers=[("Content-Type", "application/gzip")])]}) as it:
        assert get(it) == packed


@pytest.mark.parametrize("packed", [False, True])
@given(cuts=st.lists(st.integers(0, 10**6), min_size=1, max_size=3))
def test_a_lost_body_goes_on(packed: bool, cuts: list[int]) -> None:
    """Wherever the connection is lost, the bytes are those of the file, each of them once."""
    file = gzip.compress(FILE) if packed else FILE
    ends = [*sorted({cut % len(file) for cut in cuts}), len(file)]
    coding = [ZIPPED] if packed else []
    script: list[Answer | bytes] = [lost(ends[0], TAG, *coding, file=file)]
    for start, stop in pairwise(ends):
        if start:
            script.append(part(start, stop, file=file))
        else:
            script.append(lost(stop, TAG, *coding, file=file))
    with serving({"/file": script}) as server:
        assert get(server, attempts=9) == FILE
        for request, start in zip(server.requests, [0, *ends], strict=False):
            asked = b'range: bytes=%d-\r\nif-range: "v1"\r\n' % start
            assert (asked in request.lower()) == (start > 0)


@pytest.mark.parametrize(
    ("then", "match"),
    [
        (answer(FILE, headers=[TAG]), r"from byte 100 on, got another or all of it .*status 200"),
        (part(100, len(FILE), tag='"v2"'), "got another"),
        (part(99, len(FILE)), "got another"),
        (part(100, len(FILE), file=FILE + b"more"), "got another"),
        (answer(FILE[100:], "206 Partial Content", [TAG]), "got another"),
        (answer(b"", "416 Range Not Satisfiable", []), "got another"),
    ],
)
def test_what_does_not_go_on_is_an_error(then: bytes, match: str) -> None:
    """Another file, another place, or all of it again: no byte is taken twice or for another."""
    script: dict[str, list[Answer | bytes]] = {"/file": [lost(100, TAG), then]}
    with serving(script) as server, pytest.raises(RetryError, match=match):
        get(server)


@pytest.mark.parametrize("headers", [[], [("ETag", 'W/"v1"')]])
def test_a_lost_body_without_a_strong_tag_is_an_error(headers: list[tuple[str, str]]) -> None:
    """Nobody could tell whether the rest is of the same file: one request, one error."""
    with serving({"/file": [lost(100, *headers)]}) as server:
        with pytest.raises(RetryError, match="1 attempts and 100 bytes, which cannot be gone on"):
            get(server)
        assert server.hits("/file") == 1


def test_chunks_that_stop_are_an_error() -> None:
    """A body in chunks has to have its last one."""
    script = {"/file": [Answer(chunked(FILE[:100], end=b""), then="close")]}
    with serving(script) as server, pytest.raises(RetryError, match="100 bytes"):
        get(server)


def test_chunks_go_on_in_stretches() -> None:
    """The total that the first answer did not say comes with the second; it is the end."""
    first = chunked(FILE[:100], end=b"").replace(b"\r\n", b'\r\nETag: "v1"\r\n', 1)
    script: list[Answer | bytes] = [Answer(first, then="close")]
    script += [part(100, 300), part(300, len(FILE))]
    with serving({"/file": script}) as server:
        assert get(server) == FILE


def test_before_its_first_byte_anything_passing_is_tried_again() -> None:
    """Lost connections, 503 and 429; told waits are waited for."""
    told = [("Retry-After", "0")]
    script: list[Answer | bytes] = [
        Answer(b"", then="close"),
        answer(b"", "503 Service Unavailable"),
        answer(b"", "429 Too Many Requests", told),
        answer(FILE, headers=[]),
    ]
    seen: list[events.Event] = []
    stop = events.listen(seen.append)
    with serving({"/file": script}) as server:
        assert get(server, chance=lambda: 0.0) == FILE
        place = f"GET {server.url.removeprefix('http://')}/file"
    stop()
    assert seen == [
        events.Retried(place, 1, "RemoteProtocolError", 0.0),
        events.Retried(place, 2, "503", 0.0),
        events.Retried(place, 3, "429", 0.0),
        events.Page(place, 1, len(FILE)),
    ]


def test_attempts_are_counted_over_the_whole_file() -> None:
    """The last attempt's failure is raised: a status as it is, a lost connection as the cause."""
    with serving({"/file": [answer(b"", "503 Service Unavailable")]}) as server:
        with pytest.raises(StatusError):
            get(server, attempts=3)
        assert server.hits("/file") == 3
    with serving({"/file": [lost(100, TAG), Answer(b"", then="close")]}) as server:
        with pytest.raises(RetryError, match="3 attempts and 100 bytes: GET") as caught:
            get(server, attempts=3)
        assert isinstance(caught.value.__cause__, httpx.RemoteProtocolError)
        assert server.hits("/file") == 3


def test_a_long_told_wait_is_not_begun() -> None:
    """More than five minutes is for the caller to know of."""
    told = answer(b"", "503 Service Unavailable", [("Retry-After", "301")])
    with serving({"/file": [told]}) as server:
        with pytest.raises(StatusError, match="status 503"):
            get(server)
        assert server.hits("/file") == 1


def test_what_writes_is_asked_once() -> None:
    """A POST may have done something."""
    with serving({"/file": [answer(b"", "503 Service Unavailable")]}) as server:
        files = storage(transport=Connections())
        with pytest.raises(StatusError):
            list(prefetch(download(files, files.build_request("POST", f"{server.url}/file"))))
        assert server.hits("/file") == 1


def test_an_untrusted_server_is_not_asked_again() -> None:
    """Failures of our own making are raised as they are."""
    files = storage(transport=Connections())
    with pytest.raises(httpx.UnsupportedProtocol):
        list(prefetch(download(files, httpx.Request("GET", "ftp://127.0.0.1/file"))))


@pytest.mark.parametrize(
    ("said", "kind", "match"),
    [
        (answer(b"", "401 Unauthorized"), AuthError, "a refusal of the credentials"),
        (answer(b"<Error>", "403 Forbidden"), AuthError, "a refusal of the credentials"),
        (answer(b"", "404 Not Found"), StatusError, "expected a file .*status 404"),
        (answer(b"", "302 Found", [("Location", "/x")]), StatusError, "status 302"),
        (answer(b"", "204 No Content", [], None), StatusError, "status 204"),
        (part(0, 9), StatusError, "status 206"),
        (
            answer(b"\xef\xbb\xbf <!DOCTYPE html>" + b"x" * 99),
            BodyError,
            "expected a file, got HTM",
        ),
        (answer(FILE, headers=[("Content-Encoding", "br")]), BodyError, "gzip at most, got 'br'"),
        (answer(FILE, headers=[ZIPPED, ZIPPED]), BodyError, "got 'gzip, gzip'"),
        (answer(FILE, headers=[ZIPPED]), BodyError, "expected gzip at byte 0"),
        (answer(gzip.compress(FILE)[:-9], headers=[ZIPPED]), BodyError, "the end of a gzip file"),
        (Answer(answer(FILE, headers=[], length=None), "close"), BodyError, "with the connection"),
    ],
)
def test_what_is_no_file(said: Answer | bytes, kind: type[BlocksError], match: str) -> None:
    """Each is an error with its response, and asked for once."""
    with serving({"/file": [said]}) as server:
        with pytest.raises(kind, match=match) as caught:
            get(server)
        assert caught.value.response is not None
        assert SECRET not in str(caught.value)
        assert server.hits("/file") == 1


def test_a_transport_that_says_nothing_of_a_short_body() -> None:
    """The bytes are counted here, too."""
    headers = {"Content-Length": "9"}

    async def stream() -> AsyncIterator[bytes]:
        yield b"12345"

    def short(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=headers, content=stream())

    files = storage(transport=httpx.MockTransport(short))
    with pytest.raises(RetryError) as caught:
        list(prefetch(download(files, httpx.Request("GET", "https://x/"), delay=at_once)))
    assert "expected 9 bytes, got 5" in str(caught.value.__cause__)


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "1_0", ""])
def test_a_length_that_is_none_is_an_error(length: str) -> None:
    """A transport that lets any Content-Length through does not end in an error of Python's."""

    def odd(request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            200, headers={"content-length": length}, stream=httpx.ByteStream(b"x")
        )

    files = storage(transport=httpx.MockTransport(odd))
    request = files.build_request("GET", "https://files.example.com/file")
    with pytest.raises(BodyError, match="Content-Length in digits"):
        list(prefetch(download(files, request, delay=at_once)))


def test_http_2_marks_every_end() -> None:
    """There a body needs no length and no chunks to have an end of its own."""

    async def stream() -> AsyncIterator[bytes]:
        yield FILE

    def two(request: httpx.Request) -> httpx.Response:
        body = httpx.Response(200, content=stream()).stream
        return httpx.Response(200, stream=body, extensions={"http_version": b"HTTP/2"})

    files = storage(transport=httpx.MockTransport(two))
    assert b"".join(prefetch(download(files, httpx.Request("GET", "https://x/")))) == FILE


def test_a_link_that_expires_is_had_anew_for_each_attempt() -> None:
    """The function that gets it is asked before each; what was handed on stays."""
    with serving({"/1": [lost(100, TAG)], "/2": [part(100, len(FILE))]}) as server:
        files = storage(transport=Connections())
        links = iter(["/1", "/2"])

        async def link() -> httpx.Request:
            return files.build_request("GET", server.url + next(links))

        assert b"".join(prefetch(download(files, link, delay=at_once))) == FILE


def test_files_elsewhere_get_no_credentials(caplog: pytest.LogCaptureFixture) -> None:
    """The API's client refuses the link; `storage` fetches it, and its signature is not logged."""
    caplog.set_level(logging.DEBUG, logger="httpx")
    caplog.set_level(logging.DEBUG, logger="blocks")
    with serving({"/file": [Answer(b"", then="close"), answer(FILE, headers=[])]}) as server:
        api = client("http://127.0.0.1:1", auth=Bearer(SECRET))
        link = f"{server.url}/file?X-Amz-Signature={SECRET}"
        with pytest.raises(ForeignOrigin):
            list(prefetch(download(api, api.build_request("GET", link))))
        assert server.requests == []
        files = storage(transport=Connections())
        found = prefetch(download(files, files.build_request("GET", link), delay=at_once))
        assert b"".join(found) == FILE
    for request in server.requests:
        head = request.lower()
        assert b"authorization" not in head
        assert b"cookie" not in head
        assert b"accept-encoding: gzip\r\n" in head
    assert SECRET not in caplog.text
    assert "/file" in caplog.text


def test_the_ready_made_client_will_do_for_small_files() -> None:
    """With its credentials, for files at the API; a rule's "skip" is an empty file."""
    with serving(
        {"/file": [answer(gzip.compress(FILE), headers=[ZIPPED])], "/none": [answer(b"", "404 No")]}
    ) as server:
        judged = Judged(Connections(), Status(404, "skip"))
        api = client(server.url, auth=Bearer(SECRET), transport=judged)
        assert b"".join(prefetch(download(api, api.build_request("GET", "/file")))) == FILE
        assert list(prefetch(download(api, api.build_request("GET", "/none")))) == []
        assert f"authorization: bearer {SECRET}".encode() in server.requests[0].lower()


def test_leaving_early_closes_the_connection() -> None:
    """Nothing goes on streaming for nobody."""
    with serving({"/file": [answer(FILE, headers=[], length=10**9)]}) as server:
        files = storage(transport=Connections())
        for _ in prefetch(download(files, files.build_request("GET", f"{server.url}/file"))):
            break
        server.closed(1)


def test_attempts_are_at_least_one() -> None:
    """None at all is refused."""
    with pytest.raises(ConfigError):
        list(prefetch(download(storage(), httpx.Request("GET", "https://x/"), attempts=0)))


@contextmanager
def export(members: int, member: bytes) -> Iterator[str]:
    """A server of one large file, as many times `member`; the block gets its URL."""

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as received:
            read(received)
            head = answer(b"", headers=[], length=members * len(member))
            connection.sendall(head)
            for _ in range(members):
                connection.sendall(member)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=[listener], daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join(10)


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_a_large_file_takes_little_memory() -> None:
    """Of 200 MB, packed, less than 48 MiB are held at any time."""
    lines = b"".join(
        json.dumps({"id": n, "text": str(n) * 20}).encode() + b"\n" for n in range(9000)
    )
    member = gzip.compress(lines)
    files = storage(transport=Connections())
    with export(200_000_000 // len(lines), member) as url:
        chunks = prefetch(download(files, files.build_request("GET", url)))
        size, before, most = 0, resident(), 0
        for page in ndjson(gunzip(chunks)):
            size += len(page)
            most = max(most, resident() - before)
    assert size > 190_000_000
    assert most < 48 << 20
