"""Flaws: an error about a body says which byte, in which value."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import NormalizeError
from blocks.flaws import deepest, find
from blocks.normalize import Normalizer
from tests.oracle import EXAMPLES

FLAWS: dict[str, tuple[bytes, str, int, str]] = {
    "cut in an object": (b'[{"a": 1}', "the end of the body", 9, "[0]"),
    "cut before a value": (b'[{"a": ', "the end of the body", 7, "[0].a"),
    "cut in a key": (b'[{"a": 1, "b', "the end of the body", 12, "[0].a"),
    "cut in text": (b'[{"a": "xy', "the end of the body", 10, "[0].a"),
    "cut in an escape": (b'[{"a": "\\u00', "the end of the body", 12, "[0].a"),
    "cut in a pair": (b'[{"a": "\\ud83d', "the end of the body", 14, "[0].a"),
    "cut in a character": (b'[{"a": "\xe2\x82', "the end of the body", 10, "[0].a"),
    "cut in a number": (b"[1, 2, -", "the end of the body", 8, "[2]"),
    "cut in an exponent": (b"[1, 2e", "the end of the body", 6, "[1]"),
    "cut in a word": (b"[tru", "the end of the body", 4, "[0]"),
    "empty": (b"", "the end of the body", 0, "the top of the document"),
    "blank": (b" \n", "the end of the body", 2, "the top of the document"),
    "a mark alone": (b"\xef\xbb\xbf", "the end of the body", 3, "the top of the document"),
    "lone high surrogate": (b'[{"b": "ab\\ud800"}]', "half of a surrogate pair", 10, "[0].b"),
    "lone low surrogate": (b'[{"b": "\\udc00"}]', "half of a surrogate pair", 8, "[0].b"),
    "two high ones": (b'["\\ud83d\\ud83d\\ude00"]', "half of a surrogate pair", 2, "[0]"),
    "lone surrogate in a key": (b'[{"\\ud800": 1}]', "half of a surrogate pair", 3, "[0]"),
    "bad escape": (b'[1, {"a": "x\\q"}]', "a bad escape", 12, "[1].a"),
    "bad digits of an escape": (b'["\\u12G4"]', "a bad escape", 2, "[0]"),
    "control character": (b'[{"b": "\x01"}]', "a control character", 8, "[0].b"),
    "line break in text": (b'["a\nb"]', "a control character", 3, "[0]"),
    "NaN": (b'[{"a": NaN}]', "NaN", 7, "[0].a"),
    "infinity": (b'{"data": {"d": -Infinity}}', "-Infinity", 15, "data.d"),
    "1e400": (b'[{"a": 1}, {"a": 1e400}]', "a number out of range", 17, "[1].a"),
    "-1e400": (b"[[-1.5E400]]", "a number out of range", 2, "[0][0]"),
    "5000 digits": (b'{"a": ' + b"9" * 5000 + b"}", "a number out of range", 6, "a"),
    "no UTF-8": (b'[{"a": "xy\xffz"}]', "bytes that are not UTF-8", 10, "[0].a"),
    "a surrogate in UTF-8": (b'["\xed\xa0\x80"]', "bytes that are not UTF-8", 2, "[0]"),
    "UTF-16": (
        '[{"a": 1}]'.encode("utf-16"),
        "bytes that are not UTF-8",
        0,
        "the top of the document",
    ),
    "UTF-16 without a mark": ('[{"a": 1}]'.encode("utf-16-le"), r"'\x00'", 1, "[0]"),
    "trailing": (b'[{"a": 1}] x', "'x'", 11, "the top of the document"),
    "two documents": (b"[1]\n[2]", "'['", 4, "the top of the document"),
    "nul at the end": (b"[1]\x00", r"'\x00'", 3, "the top of the document"),
    "leading zero": (b'[{"a": 01}]', "'1'", 8, "[0].a"),
    "sign alone": (b'[{"a": -}]', "'}'", 8, "[0].a"),
    "point alone": (b"[1.]", "']'", 3, "[0]"),
    "almost a word": (b"[nul]", "']'", 4, "[0]"),
    "comma": (b"[1,]", "']'", 3, "[1]"),
    "comma in an object": (b'{"a": 1,}', "'}'", 8, "a"),
    "no colon": (b'{"a" 1}', "'1'", 5, "a"),
    "no comma": (b'[{"a": 1 "b": 2}]', "'\"'", 9, "[0].a"),
    "the other bracket": (b'{"a": [1}', "'}'", 8, "a[0]"),
    "key that is no text": (b"[{1: 2}]", "'1'", 2, "[0]"),
    "no comma in an array": (b"[1 2,3]", "'2'", 3, "[0]"),
    "a member of an array": (b'["a":1,2]', "':'", 4, "[0]"),
    "a colon in an array": (b"[1:2]", "':'", 2, "[0]"),
    "two colons": (b'{"a"::1}', "':'", 5, "a"),
    "no key yet": (b'[1, {"a": {x', "'x'", 11, "[1].a"),
    "after one that is no half": (b'["\\ud83d\\ude00\\ue000", x]', "'x'", 23, "[1]"),
    "comment": (b"[/*x*/1]", "'/'", 1, "[0]"),
    "HTML": (b"<html>", "'<'", 0, "the top of the document"),
    "odd keys": (b'{"a.b": {"": {"c]": NaN}}}', "NaN", 20, '["a.b"][""]["c]"]'),
    "mark first": (b'\xef\xbb\xbf[{"a": NaN}]', "NaN", 10, "[0].a"),
    "not the first of its kind": (b'["\\\\ud800", "\\ud83d\\ude00", NaN]', "NaN", 28, "[2]"),
}


@pytest.mark.parametrize("name", FLAWS)
def test_places(name: str) -> None:
    """The error of a page has the page, the byte and the path, by a plan or without."""
    body, found, byte, path = FLAWS[name]
    message = f"expected JSON, got {found} at byte {byte}, in {path}"
    for before in ([], [b'[{"a": 1, "b": "x"}]'] * 2):
        stream = Normalizer("items").stream([*before, body])
        for _ in before[:1]:
            next(stream)
        with pytest.raises(NormalizeError) as caught:
            next(stream)
        assert str(caught.value) == f"page {len(before) + 1}: {message}"


@pytest.mark.parametrize(("path", "key"), [("data.rows", "rows"), (["data", 'r"'], 'r\\"')])
def test_places_beside_records(path: Any, key: str) -> None:
    """Bytes and paths are those of the whole body, wherever the records are in it."""
    normalizer = Normalizer("items", path)
    good = f'{{"data": {{"{key}": [{{"a": 1}}]}}, "next": null}}'.encode()
    for number, bad in enumerate([good.replace(b"1", b"1e999"), good[:-1], good + b"]"], 1):
        with pytest.raises(NormalizeError) as caught:
            normalizer(bad)
        byte = bad.index(b"1e999") if b"1e999" in bad else 7 + len(good) - 8 + (bad > good)
        assert f"page {2 * number - 1}: expected JSON" in str(caught.value)
        assert f" at byte {byte}, in " in str(caught.value)
        normalizer(good)


# More than any Python reads: 3.11 ends at 1,000 levels, 3.13 at 10,000.
DEEP = 100_000


@pytest.mark.parametrize(
    ("body", "levels", "byte"),
    [
        (b"[" * DEEP + b"]" * DEEP, DEEP, DEEP - 1),
        (b"[1, " + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"]", DEEP + 1, 4 + 5 * (DEEP - 1)),
        (b"[" * DEEP, DEEP, DEEP - 1),
    ],
)
def test_depth(body: bytes, levels: int, byte: int) -> None:
    """Of nesting that is too deep the deepest place is named, with a path of bounded length."""
    with pytest.raises(NormalizeError, match=f"page 1: .* got {levels} levels at byte {byte}, in "):
        Normalizer("items")(body)
    assert len(str(deepest(body))) < 200


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5) | st.sampled_from(["\\", '"', "😀", "é", "/"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
BODIES = st.builds(
    lambda value, ascii_, indent: json.dumps(value, ensure_ascii=ascii_, indent=indent).encode(
        errors="replace"
    ),
    VALUES,
    st.booleans(),
    st.sampled_from([None, 1]),
)
PIECES = st.sampled_from(
    [
        *(b"", b'"', b"\\", b"\\u", b"\\ud83d", b"\\ude00", b"e", b"-", b".", b"0", b"9", b"1e999"),
        *(b"]", b"[", b"{", b"}", b",", b":", b" ", b"\x00", b"\xff", b"\xe2\x82"),
        *(b"nul", b"NaN", b"true", b"1,2,", b'"x":1,'),
    ]
)


def is_json(body: bytes) -> bool:
    """Whether the decoder takes it."""
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


@given(body=BODIES, piece=PIECES, place=st.integers(0, 60), gone=st.integers(0, 2))
@EXAMPLES
def test_a_body_has_a_flaw_if_no_decoder_takes_it(
    body: bytes, piece: bytes, place: int, gone: int
) -> None:
    """A flaw is found in what is refused, in nothing else, and not behind where it is one."""
    bad = body[:place] + piece + body[place + gone :]
    flaw = find(bad)
    assert (flaw is None) == is_json(bad)
    if flaw is not None:
        assert flaw.byte <= len(bad)
        # What stands before it may still become JSON.
        before = find(bad[: flaw.byte])
        assert before is None or before.byte == flaw.byte or before.found == "the end of the body"


@given(body=BODIES, place=st.integers(0, 60))
@EXAMPLES
def test_a_body_that_was_cut_ends_where_it_ends(body: bytes, place: int) -> None:
    """Of a body that is whole up to its end, the end is the flaw."""
    cut = body[:place]
    flaw = find(cut)
    if flaw is not None:
        assert (flaw.found, flaw.byte) == ("the end of the body", len(cut))


def test_paths_of_many_steps() -> None:
    """Of a long path the first and the last steps are shown, of a long key its beginning."""
    steps = count()
    body = b"".join(f'{{"k{next(steps)}":'.encode() for _ in range(30)) + b'{"' + b"x" * 90 + b'":'
    path = str(find(body)).partition(", in ")[2]
    assert path.startswith("k0.k1.k2.")
    assert path.endswith(".k29." + "x" * 40 + "...")
    assert "..." in path.removesuffix("...")
