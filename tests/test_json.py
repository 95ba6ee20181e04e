"""Reading JSON: one value, a count, or everything."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.json import OrAbsent, Path, count, dumps, keys, loads, peek, raw

MARK = b"\xef\xbb\xbf"

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner)
)


@pytest.mark.parametrize("path", ["", "data[0]", [], "links[rel=next]"])
def test_only_a_key_can_be_left_out(path: Path) -> None:
    """Of a place in an array, or of all there is, nothing can be said."""
    with pytest.raises(ValueError, match="expected one that ends in a key"):
        OrAbsent(path, [])
    with pytest.raises(ValueError, match="beside: expected keys"):
        OrAbsent("rows", "total")


@st.composite
def documents_with_paths(draw: st.DrawFn) -> tuple[Any, list[str | int]]:
    """A document and a path that leads into it, or somewhat past it."""
    document = value = draw(documents)
    path: list[str | int] = []
    while draw(st.booleans()):
        if isinstance(value, dict) and value:
            path.append(draw(st.sampled_from(sorted(value))))
        elif isinstance(value, list) and value:
            path.append(draw(st.integers(-len(value) - 1, len(value))))
        else:
            path.append(draw(st.text() | st.integers(-2, 2)))
        value = walk(value, path[-1:])
    return document, path


def walk(value: Any, path: Iterable[Any]) -> Any:
    """What `peek` promises, said with Python objects."""
    for key in path:
        try:
            value = (
                value[key] if isinstance(value, dict if isinstance(key, str) else list) else None
            )
        except LookupError:
            return None
    return value


@given(documents_with_paths(), st.booleans(), st.booleans())
def test_peek_equals_walking_the_decoded_document(
    drawn: tuple[Any, list[str | int]], ascii_only: bool, marked: bool
) -> None:
    """`peek` finds what indexing the decoded document finds, for any keys, digits kept."""
    document, path = drawn
    body = MARK * marked + json.dumps(document, ensure_ascii=ascii_only).encode()
    assert peek(body, path) == walk(document, path)


@given(documents_with_paths())
def test_count_equals_the_length_of_the_decoded_array(drawn: tuple[Any, list[str | int]]) -> None:
    """`count` is the length of what is at the path if that is an array, else None."""
    document, path = drawn
    found = walk(document, path)
    expected = len(found) if isinstance(found, list) else None
    assert count(json.dumps(document).encode(), path) == expected


@given(documents_with_paths(), st.data())
def test_a_cut_body_is_an_error_whatever_the_path(
    drawn: tuple[Any, list[str | int]], data: st.DataObject
) -> None:
    """No proper prefix of an object or array passes for a document, wherever the path leads."""
    document, path = drawn
    body = json.dumps([document]).encode()
    cut = body[: data.draw(st.integers(0, len(body) - 1))]
    for reader in (peek, count):
        with pytest.raises(msgspec.DecodeError):
            reader(cut, path)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", {"a": {"b.c": [1, {"d": 2}], "": 3}, "@odata.nextLink": 4, 'q"\\\n': {"ü": 5}}),
        ((), {"a": {"b.c": [1, {"d": 2}], "": 3}, "@odata.nextLink": 4, 'q"\\\n': {"ü": 5}}),
        ("a.b.c", None),
        (["a", "b.c"], [1, {"d": 2}]),
        (["a", "b.c", 1, "d"], 2),
        (["a", "b.c", -1, "d"], 2),
        (["a", "b.c", 2], None),
        (["a", "b.c", "0"], None),
        (["a", 0], None),
        ("a.", 3),
        (["@odata.nextLink"], 4),
        (['q"\\\n', "ü"], 5),
        (['q"', "ü"], None),
        (["\ud800"], None),
        ("a.b.c.d.e", None),
        ("__class__", None),
    ],
)
def test_peek_paths(path: Path, expected: Any) -> None:
    """Dotted text splits at dots; a sequence takes keys as they are and integers as positions."""
    body = dumps({"a": {"b.c": [1, {"d": 2}], "": 3}, "@odata.nextLink": 4, 'q"\\\n': {"ü": 5}})
    assert peek(body, path) == expected


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("", ()),
        ("meta", ("meta",)),
        ("meta.next", ("meta", "next")),
        ("a.", ("a", "")),
        (".a..b", ("", "a", "", "b")),
        ("data[-1].id", ("data", -1, "id")),
        ("[0].id", (0, "id")),
        ("a[0][12]", ("a", 0, 12)),
        ("link[relation=next].url", ("link", {"relation": "next"}, "url")),
        ("a[b c=d.e=f]", ("a", {"b c": "d.e=f"})),
        ("a[b=]", ("a", {"b": ""})),
        ("@odata.nextLink", ("@odata.nextLink",)),
        ("d.@odata.count", ("d", "@odata.count")),
        ("@graph.items", ("@graph", "items")),
        ("\u00fc.$ref.-.x y", ("\u00fc", "$ref", "-", "x y")),
    ],
)
def test_paths_in_text(text: str, steps: tuple[Any, ...]) -> None:
    """Dots part keys; brackets hold places and filters; OData's annotations are one key."""
    assert keys(text) == steps
    assert keys(steps) == steps


@pytest.mark.parametrize(
    "text",
    ["a[", "a]", "a[]", "a[x]", "a[0", "a[0]b", "a[=b]", "a[1.5]", "a[[0]]", "a[9999999999]", "["],
)
def test_text_that_is_no_path_is_an_error(text: str) -> None:
    """Rather than a key that is never found."""
    with pytest.raises(ValueError, match=r"path: expected keys, \[2\] or \[key=value\], got"):
        keys(text)


@given(st.lists(st.text("abc[]=.@-0", max_size=3), max_size=5).map("".join))
def test_any_text_is_a_path_or_an_error(text: str) -> None:
    """Reading one ends, and what has no brackets parts at its dots."""
    try:
        steps = keys(text)
    except ValueError:
        assert "[" in text or "]" in text
        return
    if "[" not in text:
        assert ".".join(str(step) for step in steps) == text


LINKS = [
    "self",
    {"rel": "self", "href": "/1"},
    {"rel": 5, "href": "/5"},
    {"rel": ["up", "next"], "type": "json", "href": "/2"},
    {"rel": "next", "type": "html", "href": "/3"},
]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("links[rel=next].href", "/2"),
        ("links[rel=self]", {"rel": "self", "href": "/1"}),
        ("links[rel=prev].href", None),
        ("links[rel=5].href", None),
        ("links[nothing=next].href", None),
        ("links[0][rel=next]", None),
        ("[rel=next].href", None),
        ("links[type=html].href", "/3"),
        (["links", {"rel": "next", "type": "html"}, "href"], "/3"),
        (["links", {"rel": "next", "type": "xml"}, "href"], None),
        (["links", {}, "href"], "/1"),
    ],
)
def test_filters_choose_the_first_that_fits(path: Path, expected: Any) -> None:
    """Of the objects in an array, by the text of members or one in a list of texts."""
    assert peek(dumps({"links": LINKS}), path) == expected


@given(documents_with_paths())
def test_raw_is_the_text_of_what_peek_finds(drawn: tuple[Any, list[str | int]]) -> None:
    """And tells null from nothing."""
    document, path = drawn
    found = raw(json.dumps(document).encode(), path)
    expected = walk(document, path)
    assert (None if found is None else json.loads(found)) == expected


def test_raw_tells_null_from_nothing() -> None:
    """As it is written, without the white space around."""
    body = b'\xef\xbb\xbf { "a" : null , "b" : [ 1.0 ] } '
    assert (raw(body, "a"), raw(body, "b"), raw(body, "c")) == (b"null", b"[ 1.0 ]", None)
    assert raw(b" null ", "") == b"null"


def test_peek_reads_escaped_and_repeated_keys() -> None:
    """A key may be escaped in the body; of equal keys the last counts."""
    assert peek(rb'{"next": 1, "\u006eext": 2}', "next") == 2
    assert peek(b'{"a\\"b": 1, "a\\u0022b": 2}', ['a"b']) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        MARK,
        MARK * 2 + b"{}",
        b"{} {}",
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": 01}',
        b'{"a": 1,}',
        b'{"x": "\\ud800", "a": 1}',
        b'{"a": 1e400}',
        b'{"a": "\xff"}',
        b"[1, 2",
        b'"a" x',
        b"<html></html>",
        '{"a": 1}'.encode("utf-16"),
        b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"[" * 100_000,
    ],
)
def test_what_is_not_json_is_an_error(body: bytes) -> None:
    """Whatever RFC 8259 does not allow, or nests without end, is an error of one kind a reader."""
    with pytest.raises(msgspec.DecodeError):
        peek(body, "a")
    with pytest.raises(ValueError, match=r"."):
        loads(body)


def test_numbers_keep_their_digits() -> None:
    """Integers beyond 64 bits come out of `peek` whole."""
    assert peek(b'{"id": 123456789012345678901234567890}', "id") == 123456789012345678901234567890


def test_decoders_are_kept_within_bounds() -> None:
    """Ever new keys do not pile up in memory."""
    for number in range(2000):
        peek(b"{}", f"key{number}")
    gc.collect()
    kept = sum(isinstance(thing, type) and thing.__name__ == "Step" for thing in gc.get_objects())
    assert kept < 600


def test_loads_drops_one_mark() -> None:
    """A UTF-8 byte order mark before a document is not part of it."""
    assert loads(MARK + b'{"a": [1, "x"]}') == {"a": [1, "x"]}


@given(documents.filter(lambda document: "e" not in repr(document)))
def test_dumps_and_loads_agree_with_the_standard_library(document: Any) -> None:
    """What `dumps` writes the standard library reads, and the other way round, within 64 bits."""
    text = json.dumps(document)
    try:
        written = dumps(document)
    except TypeError:
        return  # integers beyond 64 bits
    assert json.loads(written) == document
    assert loads(text.encode()) == document


def test_dumps_refuses_what_json_cannot_say() -> None:
    """An object that is no JSON is a TypeError, not its repr."""
    with pytest.raises(TypeError):
        dumps({"a": object()})
