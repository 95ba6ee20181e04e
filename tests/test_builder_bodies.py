"""Builders: JSON read without a Python value made of it, beside what Python reads in it."""

from __future__ import annotations

import json
import math
import re
import struct
import threading
from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import NormalizeError
from blocks.json import loads
from blocks.normalize import Normalizer
from blocks.normalize.compiled import compiled
from blocks.normalize.tables import tables
from tests.oracle import EXAMPLES, related
from tests.test_builder import ISSUES, Rows, Taught
from tests.test_parity_any import PAGES

pytestmark = pytest.mark.skipif(compiled is None, reason="no C compiler where this was installed")

BLANKS = st.text(" \t\r\n", max_size=2)


def spelled(value: Any, draw: Callable[[Any], Any]) -> str:
    """JSON for a value: any order of keys, any blanks, any escapes."""
    before: str = draw(BLANKS)
    after: str = draw(BLANKS)
    if isinstance(value, dict):
        keys = draw(st.permutations(list(value)))
        inner = ",".join(f"{spelled(key, draw)}:{spelled(value[key], draw)}" for key in keys)
        made = f"{{{draw(BLANKS)}{inner}}}"
    elif isinstance(value, list):
        made = f"[{draw(BLANKS)}{','.join(spelled(item, draw) for item in value)}]"
    elif isinstance(value, str):
        made = f'"{"".join(character(each, draw) for each in value)}"'
    else:
        made = json.dumps(value)
    return before + made + after


def character(each: str, draw: Callable[[Any], Any]) -> str:
    """A character of a text, as it is or escaped."""
    if each in '"\\/\b\f\n\r\t' and draw(st.booleans()):
        return "\\" + '"\\/bfnrt'['"\\/\b\f\n\r\t'.index(each)]
    if each < " " or each in '"\\' or draw(st.integers(0, 3)) == 0:
        codes = struct.unpack(f">{len(each.encode('utf-16-be')) // 2}H", each.encode("utf-16-be"))
        made = "".join(f"\\u{code:04x}" for code in codes)
        return str(draw(st.sampled_from([made, made.upper().replace("\\U", "\\u")])))
    return each


def other_way(taught: Taught, rows: Rows) -> dict[str, Any]:
    """The rows of all tables as Python reads and the general way makes them."""
    return taught.named(tables(taught.root, rows, None, {}))


@given(page=PAGES.map(lambda pages: [*chain(*pages)]), data=st.data())
@EXAMPLES
def test_any_spelling(page: list[Any], data: Any) -> None:
    """However a body spells rows that were seen, it becomes the same tables."""
    rows = [row for row in page if isinstance(row, dict)]
    try:
        taught = Taught(rows)
    except NormalizeError:
        return
    if taught.append(rows):
        first = taught.taken()
        body = spelled(rows, data.draw).encode()
        assert loads(body) == rows
        assert taught.builder.read(body, (), {})
        assert related(taught.taken(), "items") == related(first, "items")
        assert related(first, "items") == related(other_way(taught, rows), "items")


BODY = json.dumps(ISSUES, ensure_ascii=False).encode()


@given(
    place=st.integers(0, len(BODY)),
    gone=st.integers(0, 3),
    new=st.binary(max_size=2)
    | st.sampled_from([b'"', b"\\", b"0", b"-", b"e", b"null", b"{", b"]"]),
)
@EXAMPLES
def test_any_damage(place: int, gone: int, new: bytes) -> None:
    """A body that is damaged anywhere is refused, or is JSON, and then read as Python reads it."""
    body = BODY[:place] + new + BODY[place + gone :]
    taught = Taught(ISSUES)
    if taught.builder.read(body, (), {}):
        want = related(other_way(taught, loads(body)), "items")
        assert related(taught.taken(), "items") == want
    assert taught.append(ISSUES)
    assert related(taught.taken(), "items") == related(taught.made, "items")


def test_any_end() -> None:
    """A body that was cut off is refused."""
    for end in range(len(BODY)):
        assert not WARM.builder.read(BODY[:end], (), {}), end
    assert WARM.builder.rows == 0


WARM = Taught(ISSUES)

DIGITS = st.text("0123456789", min_size=1, max_size=20)
NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.builds("{}{}.{}".format, st.sampled_from(["", "-"]), DIGITS, DIGITS),
    st.builds("{}.{}e{}".format, DIGITS, DIGITS, st.integers(-330, 330)),
    st.builds("{}E+{}".format, DIGITS, st.integers(0, 330)),
    # Half way between two floats, and one beside it.
    st.builds(
        lambda half, digits: f"{2**53 + 2 * half + 1}.{digits}",
        st.integers(0, 2**52),
        st.sampled_from(["0", "1", "0000001", "5"]),
    ),
    st.builds(lambda one, power: f"{one}e-{power}", st.integers(2**53, 2**63), st.integers(1, 27)),
)


@given(text=NUMBERS)
@EXAMPLES
def test_floats(text: str) -> None:
    """A float is the nearest to what is written; what is none in JSON is refused."""
    taught = Taught([{"x": 0.5}])
    taken = taught.builder.read(b'[{"x":%s}]' % text.encode(), (), {})
    is_json = re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", text)
    assert taken == bool(is_json and math.isfinite(float(text)))
    if taken:
        [row] = taught.taken()["items"]
        assert struct.pack("d", row["x"]) == struct.pack("d", float(text))


@given(number=st.integers(-(2**65), 2**65) | st.integers(-5, 5), zeros=st.integers(0, 2))
@EXAMPLES
def test_integers(number: int, zeros: int) -> None:
    """An integer of 64 bits is itself, anything else is refused."""
    taught = Taught([{"x": 1}])
    text = f"{'-' * (number < 0)}{'0' * zeros}{abs(number)}"
    taken = taught.builder.read(f'[{{"x": {text} }}]'.encode(), (), {})
    assert taken == (abs(number) < 2**63 and not zeros)
    if taken:
        assert [row["x"] for row in taught.taken()["items"]] == [number]


REFUSED = {
    "two of a key": b'[{"id":1,"id":2}]',
    "a key again as null": b'[{"id":1,"id":null}]',
    "null, then its value": b'[{"id":null,"id":1}]',
    "a key again, escaped": rb'[{"id":1,"\u0069d":2}]',
    "two lists": b'[{"tags":["a"],"tags":["b"]}]',
    "minus zero": b'[{"id":-0}]',
    "minus zero, a float": b'[{"score":-0}]',
    "no number": b'[{"score":NaN}]',
    "beyond floats": b'[{"score":1e999}]',
    "a dot alone": b'[{"score":1.}]',
    "no first digit": b'[{"score":.5}]',
    "a plus": b'[{"score":+1}]',
    "half of a pair": rb'[{"title":"\ud800"}]',
    "the other half": rb'[{"title":"\udc00"}]',
    "a pair the wrong way": rb'[{"title":"\udc00\ud800"}]',
    "half of a pair, then a letter": rb'[{"title":"\ud800\u0041"}]',
    "no escape": rb'[{"title":"\x41"}]',
    "no hexadecimal": rb'[{"title":"\u00g1"}]',
    "a control": b'[{"title":"a\nb"}]',
    "UTF-8 longer than it needs": b'[{"title":"\xc0\x80"}]',
    "UTF-8 of a surrogate": b'[{"title":"\xed\xa0\x80"}]',
    "UTF-8 beyond Unicode": b'[{"title":"\xf4\x90\x80\x80"}]',
    "UTF-8 cut off": b'[{"title":"\xc3"}]',
    "UTF-8 out of nowhere": b'[{"title":"\x80"}]',
    "a comma too many": b'[{"id":1,}]',
    "a comma too few": b'[{"id":1 "score":1.0}]',
    "no colon": b'[{"id" 1}]',
    "more after it": b'[{"id":1}] 1',
    "two documents": b'[{"id":1}][{"id":1}]',
    "a byte order mark": b'\xef\xbb\xbf[{"id":1}]',
    "null for a row": b"[null]",
    "no array": b"1",
    "nothing": b"",
    "blanks": b" ",
    "a comment": b'[{"id":1}/**/]',
    "other quotes": b"[{'id':1}]",
    "a word cut off": b'[{"open":tru}]',
    "a word too long": b'[{"open":truest}]',
    "a long escaped time": rb'[{"at":"%b"}]' % (rb"\u0020" * 100),
    "a long escaped key": b'[{"%b\\u0061":1}]' % (b"a" * 600),
    "too deep": b'[{"labels":%b%b}]' % (b"[" * 5000, b"]" * 5000),
}  # fmt: skip


@pytest.mark.parametrize("body", REFUSED.values(), ids=list(REFUSED))
def test_what_it_leaves_to_others(body: bytes) -> None:
    """What is no JSON, or odd, is refused, and nothing of it stays."""
    assert not WARM.builder.read(body, (), {})
    assert not WARM.builder.read(BODY[:-1] + b"," + body[1:], (), {})
    assert WARM.builder.rows == 0


PATHS: list[tuple[tuple[Any, ...], bytes]] = [
    (("data",), b'{"data": %b}'),
    (
        ("data", "items"),
        b' {"next": null, "data": {"x": [1, {"y": 1e999}], "items": %b }, "z": -0}',
    ),
    (("d\u00e4ta",), '{"dat\u00e4": [], "d\u00e4ta": %b}'.encode()),
    (("data", 1), b'{"data": [[], %b]}'),
    (("links", {"rel": "rows"}, "data"), b'{"links": [{"rel": "rows", "data": %b}]}'),
]


@pytest.mark.parametrize(("path", "envelope"), PATHS)
def test_paths(path: tuple[Any, ...], envelope: bytes) -> None:
    """Records are found at a path, and what is beside it is only looked over."""
    assert WARM.builder.read(envelope % BODY, path, {})
    assert related(WARM.taken(), "items") == related(WARM.made, "items")
    assert WARM.builder.read(envelope % b"[ ]", path, {})
    for wrong in (b'{"id": "x"}', b"1", b"null", b'[{"id": 1}, 2]', b'[{"id": 1}'):
        assert not WARM.builder.read(envelope % wrong, path, {})
    assert not WARM.builder.read(envelope % BODY, (*path, "more"), {})
    assert WARM.taken() == {}


@pytest.mark.parametrize(
    "body",
    [
        b'{"data": [{"id": 1}], "data": [{"id": 2}]}',
        b'{"data": [], "other": 01}',
        b'{"data": [], "other": tru}',
        b'{"data": [], "other": [1}',
        b'{"data": [], "other": {"a" 1}}',
        b'{"data": [], "other": {1: 1}}',
        b'{"data": [], "other": }',
        b'{"data": [], other: 1}',
        b'{"data": []',
        b'{"data": [] "other": 1}',
        b'{"other": []}',
        b"{}",
        b"[]",
    ],
)
def test_odd_envelopes(body: bytes) -> None:
    """A body without its path, or with two of it, or that is no JSON elsewhere, is refused."""
    assert not WARM.builder.read(body, ("data",), {})
    assert WARM.builder.rows == 0


@pytest.mark.parametrize(
    ("end", "rows"),
    [
        (b', "more": {"data": 2}}', [{"new": 1}]),
        (b', "data": []}', None),
        (rb', "dat\u0061": []}', None),
        (b', "more": [}', None),
        (b"} 1", None),
    ],
)
def test_a_row_of_another_list_teaches_nothing(end: bytes, rows: Any) -> None:
    """Of two lists at one path the last counts; what the first would teach is not learned."""
    taught = Taught(ISSUES)
    asked: list[Any] = []
    body = b'{"next": [1], "data": [{"id": 1}, {"new": 1}]' + end
    assert not taught.builder.read(body, ("data",), {}, lambda some, _: asked.append(some))
    assert asked == [rows] * (rows is not None)


def test_a_path_that_no_body_has() -> None:
    """Half of a character is no key of JSON."""
    assert not WARM.builder.read(b'{"data": []}', ("\ud800",), {})


def test_one_object() -> None:
    """One object is one row."""
    assert WARM.builder.read(json.dumps(ISSUES[2]).encode(), (), {})
    assert related(WARM.taken(), "items") == related(other_way(WARM, ISSUES[2:3]), "items")


def test_keys_of_any_characters() -> None:
    """A key is found by what it says, however a body spells it."""
    row = {'a"': 1, "b\\": 2, "c\u00e4": 3, "d\U0001f600": 4, "e\n": 5, "": 6}
    taught = Taught([row])
    for escaped in (True, False):
        assert taught.builder.read(json.dumps([row], ensure_ascii=escaped).encode(), (), {})
        assert related(taught.taken(), "items") == related(taught.made, "items")


def test_times_with_escapes() -> None:
    """Some encoders escape the plus of an offset."""
    taught = Taught([{"at": "2024-01-02T03:04:05Z"}])
    assert taught.builder.read(rb'[{"at":"2024-01-02T05:04:05\u002B02:00"}]', (), {})
    assert taught.taken()["items"][0]["at"] == taught.made["items"][0]["at"]


def test_objects_kept_whole() -> None:
    """An object that stays whole in its column is what Python reads in it."""
    made = Normalizer("items")
    made.dialect.schema.update_table(
        {"name": "items", "columns": {"x": {"name": "x", "data_type": "json"}}}
    )
    body = rb'[{"id":1,"x":{"b":[1.50,-0.0,"\u00e9"], "a":{}}},{"id":2},{"id":3,"x":[ ]}]'
    first, second = (made(body)["items"].column("x").to_pylist() for _ in range(2))
    assert second == first


def test_one_thread_at_a_time() -> None:
    """A body is read while other threads run; one that uses the builder meanwhile is told so."""
    made = compiled.Builder([("i", 0)], [(0, -1, -1, True), (-1, 0, -1, False)], [{"a": 0}], [1])
    body = b"[%b]" % b",".join([b'{"a": 1}'] * 300_000)
    told = ""
    for _ in range(50):  # the second thread may come too late
        reader = threading.Thread(target=made.read, args=[body, ()])
        reader.start()
        while reader.is_alive() and not told:
            try:
                made.append([])
            except RuntimeError as error:
                told = str(error)
        reader.join()
        if told:
            break
    assert told == "expected calls from one thread at a time"
    assert made.rows % 300_000 == 0
    assert made.append([{"a": 2}])
