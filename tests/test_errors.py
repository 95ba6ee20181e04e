"""Errors say what was expected, what came and where, and give nothing away."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import httpx
import pytest

from blocks import errors
from blocks.errors import (
    BlocksError,
    BodyError,
    ConfigError,
    NormalizeError,
    StatusError,
    where,
)

SECRET = "c4n4ry"

ALL = [getattr(errors, name) for name in errors.__all__ if name != "where"]


def answered(*, status: int = 500) -> httpx.Response:
    """A response with a secret wherever a request or a response has room for one."""
    request = httpx.Request(
        "POST",
        f"https://user:{SECRET}@api.example.com:8443/items/7?key={SECRET}#{SECRET}",
        headers={"Authorization": SECRET, "X-Api-Key": SECRET, "Cookie": SECRET},
        json={"secret": SECRET},
    )
    headers = {"Set-Cookie": SECRET, "X-Request-Id": "r1", "Content-Type": "application/json"}
    headers |= {"Link": f"</items?key={SECRET}>; rel=next", "Location": f"/items?key={SECRET}"}
    return httpx.Response(status, headers=headers, json={"error": "down"}, request=request)


@pytest.mark.parametrize("kind", ALL)
def test_message_names_place_and_no_secret(kind: type[BlocksError]) -> None:
    """Message and repr hold method, host, path and status, and no secret of the request."""
    error = kind("expected success", answered())
    expected = "expected success (POST api.example.com:8443/items/7, status 500)"
    assert str(error) == expected
    assert repr(error) == f"{kind.__name__}({expected!r})"
    assert error.response is not None


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind is not StatusError])
def test_message_without_response_stands_alone(kind: type[BlocksError]) -> None:
    """Where there was no response there is none on the error and no place in its message."""
    error = kind("expected a rate above 0, got -1")
    assert (str(error), error.response) == ("expected a rate above 0, got -1", None)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", ALL)
def test_errors_pickle(kind: type[BlocksError], protocol: int) -> None:
    """A pickled error keeps kind, message, notes, status, headers and body, but no credentials."""
    error = kind("expected success", answered())
    error.add_note("in page 3")
    pickled = pickle.dumps(error, protocol)
    restored: Any = pickle.loads(pickled)
    assert SECRET.encode() not in pickled
    assert restored.__class__.__name__ == kind.__name__
    assert str(restored) == str(error)
    assert restored.__notes__ == ["in page 3"]
    assert restored.response.status_code == 500
    assert restored.response.json() == {"error": "down"}
    assert restored.response.headers["x-request-id"] == "r1"
    assert where(restored.response) == "POST api.example.com:8443/items/7"


def test_errors_without_response_pickle() -> None:
    """An error about no response survives pickling and copying."""
    for error in (NormalizeError("no rows"), copy.copy(NormalizeError("no rows"))):
        restored = pickle.loads(pickle.dumps(error))
        assert (str(restored), restored.response) == ("no rows", None)


def test_compressed_body_is_pickled_decoded() -> None:
    """A body that came compressed is readable after pickling."""
    response = answered()
    response.headers["Content-Encoding"] = "gzip"
    restored = pickle.loads(pickle.dumps(BodyError("expected an array", response)))
    assert restored.response.json() == {"error": "down"}


def test_response_nobody_read_or_asked_for_pickles() -> None:
    """A streamed response that was not read, or one without request, does not stop pickling."""
    response = httpx.Response(502, content=iter([b"cut"]))
    restored = pickle.loads(pickle.dumps(StatusError("expected success", response)))
    assert str(restored) == "expected success (an unknown request, status 502)"
    assert restored.response.content == b""


def test_config_errors_are_value_errors() -> None:
    """A bad argument can be caught as the ValueError it is."""
    with pytest.raises(ValueError, match="negative"):
        raise ConfigError("negative")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.example.com", "GET api.example.com/"),
        ("https://api.example.com:443/a", "GET api.example.com/a"),
        ("http://127.0.0.1:8080/a/b?c=d", "GET 127.0.0.1:8080/a/b"),
        ("http://[::1]:8080/a", "GET [::1]:8080/a"),
        ("https://bücher.example/ä", "GET xn--bcher-kva.example/%C3%A4"),
        ("https://api.example.com/a%0Ab%3Fc", "GET api.example.com/a%0Ab%3Fc"),
    ],
)
def test_where(url: str, expected: str) -> None:
    """The place is printable ASCII in one line: method, host, port if unusual, raw path."""
    assert where(httpx.Request("GET", url)) == expected


def test_docstring_shows_the_tree() -> None:
    """Every error is in the tree of the module's docstring, under its base."""
    lines = (errors.__doc__ or "").splitlines()
    depths = {line.split()[line.count("│") + 1]: line.index("─") for line in lines if "─ " in line}
    assert {*depths, "BlocksError"} == {kind.__name__ for kind in ALL}
    for kind in set(ALL) - {BlocksError}:
        above = kind.__mro__[1].__name__
        assert depths.get(above, 0) < depths[kind.__name__]
