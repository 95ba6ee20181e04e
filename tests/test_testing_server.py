"""A replica at an address: real HTTP, faults, hooks and counts."""

from __future__ import annotations

import gzip
import logging
import socket
import struct
import threading
from collections.abc import Iterator
from functools import partial

import httpx
import pytest

from blocks.client import client
from blocks.errors import ConfigError
from blocks.retries import Retry
from blocks.testing import Answer, Api, Call, Refused, Server, bearer, query_key, serving
from blocks.testing import faults as wrong


@pytest.fixture
def api() -> Api:
    """An API of numbers, and of what it was sent."""
    api = Api()

    @api.get("/numbers", query="page tag+ filter[*")
    def numbers(call: Call) -> list[int]:
        return list(range(call.query.whole("page", 0), 100))

    @api.post("/echo", body="*")
    def echo(call: Call) -> object:
        return call.json

    @api.route("DELETE", "/numbers/{number}")
    def delete(call: Call) -> Answer:
        return Answer(status=204)

    return api


@pytest.fixture
def server(api: Api) -> Iterator[Server]:
    """The API, served."""
    with serving(api) as server:
        yield server


@pytest.fixture
def plain(server: Server) -> Iterator[httpx.Client]:
    """A client without retries."""
    with httpx.Client(base_url=server.url, trust_env=False) as plain:
        yield plain


NUMBERS = list(range(100))


def test_answers(plain: httpx.Client, server: Server) -> None:
    """Bodies are JSON, compressed for who accepts it, on one connection; all calls are counted."""
    first = plain.get("/numbers")
    assert first.json() == NUMBERS
    assert first.headers["content-encoding"] == "gzip"
    bare = plain.get("/numbers", params={"page": 98}, headers={"Accept-Encoding": "identity"})
    assert bare.content == b"[98, 99]"
    assert bare.headers["content-length"] == "8"
    gone = plain.delete("/numbers/7")
    assert (gone.status_code, gone.content) == (204, b"")
    assert "content-length" not in gone.headers
    assert plain.post("/echo", json={"a": [1]}).json() == {"a": [1]}
    assert server.count() == 4
    assert server.count("/num*") == 3
    assert server.count("/numbers", status=200) == 2
    assert server.statuses == {200: 3, 204: 1}
    assert repr(server) == f"<Server at {server.url}, 4 requests>"


def test_chunks(plain: httpx.Client) -> None:
    """A body sent in chunks arrives whole."""
    parts = iter([b'{"a":', b" 1}"])
    headers = {"Content-Type": "application/json"}
    assert plain.post("/echo", content=parts, headers=headers).json() == {"a": 1}


def test_closing_when_asked(plain: httpx.Client) -> None:
    """A client that asks for it gets its connection closed after the answer."""
    answer = plain.get("/numbers", headers={"Connection": "close"})
    assert answer.headers["connection"] == "close"
    assert plain.get("/numbers").json() == NUMBERS


@pytest.mark.parametrize("sent", [b"", b"nonsense\r\n\r\n", b"GET /numbers HTTP/1.1\r\n"])
def test_no_http(server: Server, sent: bytes) -> None:
    """What is no request gets no answer, and harms nobody."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b"" or sent.startswith(b"GET")
    assert httpx.get(f"{server.url}/numbers").status_code == 200


def test_peers_that_leave(server: Server) -> None:
    """A client that goes away in the middle of its answer harms nobody."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    server.fail(wrong.drip(0.01))
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(b"GET /numbers HTTP/1.1\r\nHost: here\r\n\r\n")
        assert connection.recv(1)
    assert httpx.get(f"{server.url}/numbers").status_code == 200


def test_unusual_status() -> None:
    """A status without a name is sent all the same, as are headers of the replica's own."""
    api = Api()
    api.get("/")(lambda call: Answer(b"slow down", 529, {"content-type": "text/plain"}))
    with serving(api) as server:
        answer = httpx.get(server.url)
        assert (answer.status_code, answer.text) == (529, "slow down")
        assert answer.headers.get_list("content-type") == ["text/plain"]


def test_encoded_by_the_replica() -> None:
    """A body that says how it is encoded is sent as it is."""
    api = Api()
    packed = Answer(gzip.compress(b"[1]"), headers={"Content-Encoding": "gzip"})
    api.get("/")(lambda call: packed)
    with serving(api) as server:
        assert httpx.get(server.url).json() == [1]


def test_head() -> None:
    """HEAD gets the head alone."""
    api = Api()
    api.route("HEAD", "/")(lambda call: {"a": 1})
    with serving(api) as server, httpx.Client(base_url=server.url) as plain:
        plain.headers["Accept-Encoding"] = "identity"
        assert [plain.head("/").headers["content-length"] for _ in range(2)] == ["8", "8"]


@pytest.mark.parametrize(
    ("fault", "error"),
    [(wrong.cut, httpx.RemoteProtocolError), (wrong.reset, httpx.ReadError)],
)
def test_broken_connections(
    plain: httpx.Client, server: Server, fault: wrong.Fault, error: type[Exception]
) -> None:
    """A body that is cut, or a connection that is reset, is an error at the client; once."""
    plain.get("/numbers")
    server.fail(fault)
    with pytest.raises(error):
        plain.get("/numbers")
    assert plain.get("/numbers").json() == NUMBERS


def test_bodies_that_lie(plain: httpx.Client, server: Server) -> None:
    """HTML with status 200 and JSON that ends midway arrive as complete answers."""
    server.fail(wrong.html)
    server.fail(wrong.garbled, at=2)
    page, half = plain.get("/numbers"), plain.get("/numbers")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html")
    assert half.text == str(NUMBERS)[: len(str(NUMBERS)) // 2]


def test_slow_answers(plain: httpx.Client, server: Server) -> None:
    """An answer can be late, or drip in ten parts; leaving does not wait for it."""
    server.fail(wrong.drip(0.001))
    assert plain.get("/numbers").json() == NUMBERS
    server.fail(wrong.late(3600))
    with pytest.raises(httpx.ReadTimeout):
        plain.get("/numbers", timeout=0.05)


def test_statuses_as_faults(plain: httpx.Client, server: Server) -> None:
    """A status is in the API's words, for so many requests from now, to one path if given."""
    server.fail(503, at=2, times=2, path="/numbers")
    server.fail(429, path="/echo")
    answers = [plain.get("/numbers").status_code for _ in range(4)]
    assert answers == [200, 503, 503, 200]
    limited = plain.post("/echo", json={})
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "0")
    assert limited.json() == {"error": "a fault"}


def test_first_fault_counts(plain: httpx.Client, server: Server) -> None:
    """Of faults due together the one set first decides; `mend` ends them all."""
    server.fail(500, times=2)
    server.fail(502, times=3)
    server.before(4, lambda: pytest.fail("mended"))
    assert [plain.get("/numbers").status_code for _ in range(2)] == [500, 500]
    server.mend()
    assert [plain.get("/numbers").status_code for _ in range(2)] == [200, 200]


@pytest.mark.anyio
async def test_client_survives(server: Server) -> None:
    """blocks' client reads through a 429, a reset and a body cut off."""
    server.fail(429)
    server.fail(wrong.reset, at=2)
    server.fail(wrong.cut, at=3)
    retry = partial(Retry, chance=lambda: 0.0)
    async with client(server.url, retry=retry) as api:
        assert (await api.get("/numbers")).json() == NUMBERS
    assert server.count() == 4


def test_before(plain: httpx.Client, server: Server) -> None:
    """Hooks act before the request they wait for, and once."""
    seen: list[int] = []
    server.before(2, lambda: seen.append(server.count()))
    for _ in range(3):
        plain.get("/numbers")
    assert seen == [2]


def test_one_at_a_time() -> None:
    """Routes need no locks: they are called one after the other, however many clients there are."""
    api = Api()
    total = 0

    @api.get("/")
    def count(call: Call) -> int:
        nonlocal total
        before = total
        for _ in range(1000):
            pass
        total = before + 1
        return total

    with serving(api) as server:

        def read() -> None:
            with httpx.Client(base_url=server.url) as plain:
                for _ in range(20):
                    plain.get("/")

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert total == server.count(status=200) == 80


def broken(call: Call) -> object:
    """A route with a mistake."""
    return {"never": object()} if call.query else call.params["key"]


def test_mistakes_are_raised() -> None:
    """An error in a replica is a 501, and the test fails with it."""
    api = Api()
    api.get("/", query="a")(broken)

    def ask() -> None:
        with serving(api) as server:
            assert httpx.get(server.url).status_code == 501
            assert httpx.get(server.url, params={"a": 1}).status_code == 501
            assert [type(mistake) for mistake in server.mistakes] == [KeyError, TypeError]

    with pytest.raises(KeyError, match="key"):
        ask()


def test_mistakes_beside_an_error() -> None:
    """An error of the test is not hidden by the replica's, which is a note."""
    api = Api()
    api.get("/")(broken)
    with pytest.raises(httpx.HTTPStatusError) as caught, serving(api) as server:
        httpx.get(server.url).raise_for_status()
    assert caught.value.__notes__ == ["The replica raised KeyError('key')"]


def test_refusals_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What was refused is in the log, where pytest shows it; without credentials."""
    api = Api(query_key("key", "s3cret"), bearer("t0ken"))
    api.get("/items", query="page")(lambda call: [])
    with serving(api) as server, caplog.at_level(logging.WARNING, "blocks.testing.api"):
        headers = {"Authorization": "Bearer t0ken"}
        params = {"key": "s3cret", "page": "2", "pge": "s3cret"}
        httpx.get(f"{server.url}/items", params=params, headers=headers)
        httpx.get(f"{server.url}/items", params={"key": "other"}, headers=headers)
        httpx.get(f"{server.url}/other", params={"token": "s3cret"}, headers=headers)
    assert [record.message for record in caplog.records] == [
        "<GET /items?page=2&pge=***> refused: unknown parameter 'pge'",
        "<GET /items> refused: invalid credentials",
        "<GET /other?token=***> refused: invalid credentials",
    ]


@pytest.mark.parametrize(
    ("method", "path", "problem"),
    [
        ("GET", "/nowhere", (404, "no such path")),
        ("GET", "/numbers/7", (405, "expected DELETE")),
        ("GET", "/numbers?pge=1", (400, "unknown parameter 'pge'")),
        ("GET", "/numbers?page=1&page=2", (400, "unknown parameter 'page'")),
        ("GET", "/numbers?page=one", (400, "expected a whole number as 'page'")),
        ("GET", "/numbers?page=-1", (400, "expected at least 0 as 'page'")),
        ("POST", "/echo", (415, "expected a body of type application/json")),
    ],
)
def test_refusals(plain: httpx.Client, method: str, path: str, problem: tuple[int, str]) -> None:
    """What the API does not have is refused, each thing with its status."""
    answer = plain.request(method, path)
    assert (answer.status_code, answer.json()["error"]) == problem


def test_declared_freely(plain: httpx.Client) -> None:
    """Parameters may be declared to repeat, or by how they begin."""
    params = {"tag": ["a", "b"], "filter[x]": "1", "page": "99"}
    assert plain.get("/numbers", params=params).json() == [99]


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        ({"json": {"a": 1}}, None),
        ({"data": {"a": 1}}, None),
        ({}, None),
        ({"json": {"b": 1}}, (400, "unknown field 'b'")),
        ({"data": {"b": 1}}, (400, "unknown field 'b'")),
        ({"json": [1]}, (400, "expected a JSON object")),
        (
            {"content": b"{", "headers": {"Content-Type": "application/json"}},
            (400, "expected JSON"),
        ),
        ({"content": b"{}"}, (415, "expected a body of type application/json")),
    ],
)
def test_bodies(sent: dict[str, object], problem: tuple[int, str] | None) -> None:
    """Fields of bodies are declared like parameters, in forms and in JSON."""
    api = Api()
    api.post("/", body="a")(lambda call: {"error": None})
    with serving(api) as server:
        answer = httpx.post(server.url, **sent)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()["error"]) == (problem or (200, None))


def test_no_body_declared() -> None:
    """A route that declares no body takes none."""
    api = Api()
    api.post("/")(lambda call: {})
    with serving(api) as server:
        assert httpx.post(server.url).status_code == 200
        assert httpx.post(server.url, json={}).json() == {"error": "expected no body"}


def test_paths() -> None:
    """Names in a path stand for what has no slash, decoded; text beside them is as it is."""
    api = Api()
    api.get("/v1/{kind}:run/{sid}.json")(lambda call: call.params)
    with serving(api) as server:
        answer = httpx.get(f"{server.url}/v1/a%20b:run/x.y.json")
        assert answer.json() == {"kind": "a b", "sid": "x.y"}
        assert httpx.get(f"{server.url}/v1/a/b:run/x.json").status_code == 404
        assert httpx.get(f"{server.url}/v1/a:run/xxjson").status_code == 404


@pytest.mark.parametrize("path", ["items", "/items?page"])
def test_bad_paths(path: str) -> None:
    """A path that can never be asked for is refused when it is declared."""
    with pytest.raises(ConfigError, match="path"):
        Api().get(path)


def test_required() -> None:
    """What a route asks for by `[]` must be there."""
    api = Api(problem=lambda refused: Answer({"ok": False, "why": refused.message}))
    api.get("/")(lambda call: call.headers["notion-version"])
    with serving(api) as server:
        answer = httpx.get(server.url)
        assert answer.json() == {"ok": False, "why": "missing 'notion-version'"}
        assert answer.status_code == 200
        assert httpx.get(server.url, headers={"Notion-Version": "1"}).json() == "1"


def test_without_a_server() -> None:
    """An API can be asked without HTTP, too: a refusal is a value."""
    api = Api()
    refused = api.refuse(Refused(418, "teapot", {"X": "1"}))
    assert refused == Answer({"error": "teapot"}, 418, {"X": "1"})
