"""Where values are read from responses and put into requests."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import BodyError, ConfigError, PagingError
from blocks.json import OrAbsent
from blocks.places import (
    FormBody,
    Header,
    JsonBody,
    OrNull,
    Target,
    kind,
    put,
    read,
    records,
    sent,
    size,
    truth,
    values,
    whole,
)
from tests.fuzz.texts import calls

SECRET = "c4n4ry"
URL = "https://api.example.com/items"


def response(body: Any = None, **headers: str) -> httpx.Response:
    """A response with a secret in its request's query."""
    request = httpx.Request("GET", URL, params={"key": SECRET})
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(200, content=content, headers=headers, request=request)


def stream() -> Iterator[bytes]:
    """A body that can be sent once."""
    yield b"{}"


@pytest.mark.parametrize(
    "place",
    [Header("X-Next"), JsonBody("variables.after"), JsonBody(["a.b"]), FormBody("c"), OrNull("d")],
    ids=repr,
)
def test_places_are_values(place: object) -> None:
    """What is printed makes an equal place, and so does pickling."""
    assert eval(repr(place)) == place
    assert pickle.loads(pickle.dumps(place)) == place


@pytest.mark.parametrize("name", ["", "X Next", "X-Next:", "X\r\nY", "ü"])
def test_a_header_has_a_name(name: str) -> None:
    """What is no field name is refused at construction."""
    with pytest.raises(ConfigError, match="the name of a header"):
        Header(name)


@pytest.mark.parametrize("path", ["", [], "a[0]", ["a", -1], "a[b=c]"])
def test_a_json_body_is_edited_at_keys(path: Any) -> None:
    """The whole document and elements of arrays are no place for a value."""
    with pytest.raises(ConfigError, match="expected keys of objects"):
        JsonBody(path)


def test_read() -> None:
    """A path leads into the body, a header is found whatever its case."""
    assert read(response({"a": {"b": [1, 2]}}), "a.b[-1]") == 2
    assert read(response({}, **{"X-Next": "c2"}), Header("x-next")) == "c2"
    assert read(response({}), Header("X-Next")) is None


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"<html>", "expected JSON, got '<' at byte 0, in the top of the document, of 6 bytes"),
        (b'{"a": [{"id": 1}, {"id"', "got the end of the body at byte 23, in a[1].id, of 23 bytes"),
        (b'{"meta": {"next": c2}}', "expected JSON, got 'c' at byte 18, in meta.next, of 22 "),
        (b'{"meta": {"next": "\xff"}}', "got bytes that are not UTF-8 at byte 19, in meta.next"),
        (b'{"data": [1], "\xffmeta": {"next": 7}}', "got bytes that are not UTF-8 at byte 15, in "),
        (
            b'{"meta": {"\xff": 1, "next": null}}',
            "got bytes that are not UTF-8 at byte 11, in meta",
        ),
        (b"[" * 10**5 + b"]" * 10**5, "too deeply to read, got 100000 levels at byte 99999"),
    ],
)
def test_what_is_no_json_is_shown_where_it_is_none(body: bytes, found: str) -> None:
    """The byte and the path, how much there was and of which type; never the text itself."""
    for look in (read, records, whole):
        with pytest.raises(BodyError) as caught:
            look(response(body, **{"Content-Type": "text/html"}), "meta.next")
        assert found in str(caught.value)
        assert "bytes of text/html (" in str(caught.value)


def test_records() -> None:
    """The number of records, and their text as it was written."""
    assert records(response(b'[ {"id": 1.0}, {} ]'), "") == (2, b'[ {"id": 1.0}, {} ]')
    assert records(response(b"\xef\xbb\xbf\n[1]\n"), "") == (1, b"[1]")
    assert records(response({"data": [{"items": []}]}), "data[0].items") == (0, b"[]")
    assert records(response({"data": None}), OrNull("data")) == (0, b"[]")
    assert records(response({"total": 0}), OrAbsent("data", ["total"])) == (0, b"[]")
    assert records(response({"data": [7]}), OrAbsent(["data"], [])) == (1, b"[7]")
    others: list[Any] = [{"data": None}, {"data": {}}, {"error": 1}, [], None]
    for body in others:
        with pytest.raises(BodyError, match="expected an array of records at 'data', got"):
            records(response(body), OrAbsent("data", ["total"]))


@pytest.mark.parametrize(
    ("body", "got"), [({}, "nothing"), ({"a": None}, "null"), ({"a": {}}, "dict"), ([1], "nothing")]
)
def test_records_that_are_not_there_are_an_error(body: Any, got: str) -> None:
    """Null is told from no key at all."""
    with pytest.raises(BodyError, match=f"expected an array of records at 'a', got {got}"):
        records(response(body), "a")


def test_numbers_are_those_of_the_body_at_hand() -> None:
    """What was found in one is not said of another, though a copy shares all else."""
    page = response({"items": [1, 2], "total": 9})
    assert [(size(page, "items"), whole(page, "total")) for _ in range(2)] == [(2, 9)] * 2
    empty = httpx.Response(200, json={"items": [], "total": 0}, extensions=page.extensions)
    assert (size(empty, "items"), whole(empty, "total")) == (0, 0)
    assert (size(page, "items"), whole(page, "total")) == (2, 9)
    assert (size(page, ["items"]), whole(page, "items[0]"), whole(page, "items[-1]")) == (2, 1, 2)


def test_a_number_is_looked_for_once() -> None:
    """Whoever asks again for the same, it takes no other pass over the body."""
    page = response({"items": [1], "total": 9})
    for ask in (lambda: size(page, "items"), lambda: whole(page, "total")):
        first = calls(ask)
        assert calls(ask) < first


def test_values_are_of_each_record() -> None:
    """In their order, nothing where there is none."""
    page = response(
        {"items": [{"a": {"b": 1}}, {"a": 2}, 3, {"a": {"b": None}}, {"a": {"b": "x"}}]}
    )
    assert values(page, "items", "a.b") == [1, None, None, None, "x"]
    assert values(response([]), "", "id") == []


def test_kinds_are_named_as_python_does() -> None:
    """But for what is not there."""
    assert [*map(kind, (None, True, "x", 1.5))] == ["nothing", "bool", "str", "float"]


@pytest.mark.parametrize("value", [0, 7, "0", "007", 2**70, "9" * 19])
def test_whole_numbers(value: Any) -> None:
    """As a number, or as its ASCII digits."""
    assert whole(response({"n": value}), "n") == int(value)


@pytest.mark.parametrize(
    "value", [None, True, -1, 2.5, "", "-1", "1e3", "1_000", "٣", "²", " 1", "9" * 20, [], {}]
)
def test_what_is_no_whole_number_is_an_error(value: Any) -> None:
    """Anything else is not guessed at."""
    with pytest.raises(BodyError, match="expected a whole number at 'n', got"):
        whole(response({"n": value}), "n")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((value, True) for value in (True, "true", "TRUE", " True", "1", 1)),
        *((value, False) for value in (False, "false", "False", "0", 0)),
    ],
)
def test_truth(value: Any, expected: bool) -> None:
    """A boolean, or what APIs and headers write for one."""
    assert truth(response({"more": value}), "more") is expected
    assert truth(response({}, **{"X-More": str(value)}), Header("X-More")) is expected


@pytest.mark.parametrize("value", [None, "", "yes", 2, -1, 0.0, 1.0, [], {}, "no"])
def test_what_is_neither_true_nor_false_is_an_error(value: Any) -> None:
    """Nor is nothing."""
    with pytest.raises(BodyError, match="expected true or false at 'more', got"):
        truth(response({"more": value}), "more")


# --- in requests ---

FORM = {"content-type": "application/x-www-form-urlencoded"}
MAKERS: dict[Target, Callable[[dict[str, str]], httpx.Request]] = {
    "page": lambda fields: httpx.Request("GET", URL, params=fields),
    Header("page"): lambda fields: httpx.Request("GET", URL, headers=fields),
    FormBody("page"): lambda fields: httpx.Request("POST", URL, data=fields, headers=FORM),
}


def with_json(body: Any) -> httpx.Request:
    """A POST of JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Request("POST", URL, content=content, headers={"X-A": "1"})


@pytest.mark.parametrize("target", MAKERS, ids=repr)
def test_sent_is_what_put_has_put(target: Target) -> None:
    """A number is read back from where it was put, and stands for the default before."""
    request = MAKERS[target]({"q": "1"})
    assert sent(request, target, 3) == 3
    moved = put(put(request, target, 7), target, 8)
    assert sent(moved, target, 3) == 8
    assert sent(request, target, 3) == 3


def test_sent_is_read_from_json() -> None:
    """Of any depth, and as text too."""
    target = JsonBody("variables.page")
    assert sent(with_json({"variables": {"page": "4"}}), target, 1) == 4
    assert sent(with_json({"variables": None}), target, 1) == 1
    assert sent(put(with_json({"variables": None}), target, 5), target, 1) == 5


@pytest.mark.parametrize(
    ("request_", "target"),
    [
        (httpx.Request("GET", URL, params={"page": SECRET}), "page"),
        (httpx.Request("GET", URL, headers={"page": SECRET}), Header("page")),
        (httpx.Request("POST", URL, data={"page": SECRET}), FormBody("page")),
        (httpx.Request("POST", URL, data={"page": ""}), FormBody("page")),
        (with_json({"page": SECRET}), JsonBody("page")),
        (with_json({"page": -1}), JsonBody("page")),
    ],
)
def test_what_was_sent_is_a_whole_number(request_: httpx.Request, target: Target) -> None:
    """Anything else is an error that does not show it."""
    with pytest.raises(PagingError, match="expected a whole number as") as caught:
        sent(request_, target, 1)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "path", "keep", "expected"),
    [
        (b'{"a": 1.50, "id": 123456789012345678901, "c": "x"}', "c", None, None),
        (b'{"c": null}', "c", [], b'{"c":"new"}'),
        (b'{"n": 9, "c": "old", "q": "x"}', "c", ["n"], b'{"n":9,"c":"new"}'),
        (b"{}", "variables.after", None, b'{"variables":{"after":"new"}}'),
        (b'{"variables": null}', "variables.after", [], b'{"variables":{"after":"new"}}'),
        (
            b'{"query": "q", "variables": {"a": 1, "after": "old"}}',
            "variables.after",
            [],
            b'{"query":"q","variables":{"after":"new"}}',
        ),
    ],
)
def test_a_json_body_keeps_what_is_beside(
    body: bytes, path: str, keep: list[str] | None, expected: bytes | None
) -> None:
    """Numbers keep their digits; `keep` is for the object that has the value."""
    made = put(with_json(body), JsonBody(path), "new", keep)
    if expected is None:
        expected = b'{"a":1.50,"id":123456789012345678901,"c":"new"}'
    assert made.content == expected
    assert made.headers["content-length"] == str(len(expected))
    assert (made.method, made.headers["x-a"]) == ("POST", "1")


@pytest.mark.parametrize(
    "request_",
    [
        *(with_json(body) for body in (b"", b"[]", b"x", b'{"a": []}', b'{"a": 1}')),
        httpx.Request("POST", URL, content=stream()),
    ],
)
def test_a_body_without_a_place_is_an_error(request_: httpx.Request) -> None:
    """What is no object holds no value."""
    with pytest.raises(PagingError, match="expected a request with a JSON object around"):
        put(request_, JsonBody("a.b"), 1)


@pytest.mark.parametrize("request_", [with_json(b"x"), httpx.Request("PUT", URL, content=stream())])
def test_a_number_is_read_from_json(request_: httpx.Request) -> None:
    """A body that cannot be read has no number."""
    with pytest.raises(PagingError, match="expected a request with a JSON body for"):
        sent(request_, JsonBody("page"), 1)


def test_a_form_keeps_what_is_beside() -> None:
    """Fields stay in their order and as they are written; `keep` names those to stay."""
    request = httpx.Request("POST", URL, content=b"q=a,b&page=1&n=%2f+", headers=FORM)
    assert put(request, FormBody("page"), "2&x").content == b"q=a,b&page=2%26x&n=%2f+"
    assert put(request, FormBody("page"), 2, ["n"]).content == b"page=2&n=%2f+"


@pytest.mark.parametrize(
    "request_", [with_json({}), httpx.Request("POST", URL, content=stream(), headers=FORM)]
)
def test_another_body_is_no_form(request_: httpx.Request) -> None:
    """It is not overwritten."""
    with pytest.raises(PagingError, match="expected a request with a form body"):
        put(request_, FormBody("page"), 2)


@pytest.mark.parametrize("value", ["", "a\r\nX-Evil: 1", "a\0", " a", "a ", "ü", "a\n", "\ud800"])
def test_no_line_breaks_into_headers(value: str) -> None:
    """A cursor for a header is visible ASCII; the error does not show it."""
    with pytest.raises(PagingError, match="expected visible ASCII for Header") as caught:
        put(httpx.Request("GET", URL), Header("X-Cursor"), value)
    assert "Evil" not in str(caught.value)


@given(st.text() | st.integers(-(2**63), 2**64 - 1), st.dictionaries(st.text(), st.text()))
def test_any_value_arrives(value: str | int, beside: dict[str, str]) -> None:
    """In a query, form or JSON body a value is read as it was put, and so is what is beside it."""
    request = httpx.Request("POST", URL, json=beside)
    assert json.loads(put(request, JsonBody("c"), value).content) == beside | {"c": value}
    request = httpx.Request("POST", httpx.URL(URL, params=beside), data=beside, headers=FORM)
    form = put(request, FormBody("c"), value).content.decode()
    query = put(request, "c", value).url.query.decode()
    for text in (form, query):
        assert dict(parse_qsl(text, keep_blank_values=True)) == beside | {"c": str(value)}
