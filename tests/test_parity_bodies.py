"""Bodies: what RFC 8259 leaves open has a defined result, dlt's wherever it has one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from blocks.errors import NormalizeError
from blocks.normalize import Normalizer
from blocks.normalize.dialect import Dialect
from tests.oracle import actual, expected, related, schemas, table

ONE = b'[{"a": 1, "b": "x", "c": {"d": 1.5}, "l": [1]}]'

ACCEPTED: dict[str, bytes] = {
    "equal keys": b'[{"a": 1, "a": 2}]',
    "equal keys, null last": b'[{"a": 1, "a": null}]',
    "equal keys, objects": b'[{"c": {"d": 1}, "c": {"e": 2}}]',
    "equal keys, empty object last": b'[{"c": {"d": 1}, "c": {}}]',
    "equal keys, lists": b'[{"l": [1], "l": [2, 3]}]',
    "equal keys, kinds": b'[{"a": [1], "a": {"b": 2}, "a": "x"}]',
    "pair of surrogates": b'[{"b": "\\ud83d\\ude00"}]',
    "escaped key": b'[{"\\u0061": 7, "a\\"b": 1, "a\\\\b": [1]}]',
    "escaped slash and nul": b'[{"b": "\\/\\u0000"}]',
    "negative zero": b'[{"a": -0, "c": {"d": -0.0}}]',
    "exponents": b'[{"a": 1E2, "c": {"d": 1e308}}, {"a": 1.0, "c": {"d": 1e-400}}]',
    "many digits": b'[{"c": {"d": 0.' + b"1" * 5000 + b"}}]",
    "widest integers": b'[{"a": 9223372036854775807}, {"a": -9223372036854775808}]',
    "white space": b' \n[ {"a" : 1 } ]\r\n\t',
    "one object": b'{"a": 1}',
    "empty object": b"{}",
    "empty array": b"[]",
    "empty row": b"[{}]",
    "lists, 200 deep": b'[{"z": ' + b"[" * 200 + b"1" + b"]" * 200 + b"}]",
    "objects, 100 deep": b"[" + b'{"a":' * 100 + b"1" + b"}" * 100 + b"]",
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name: str) -> None:
    """Alone, after another page, and again by the plan: what Python's json and dlt make of it."""
    for bodies in ([ACCEPTED[name]], [ONE, ACCEPTED[name]], [ONE, *[ACCEPTED[name]] * 2, ONE]):
        pages = [json.loads(body) for body in bodies]
        rows = [page if isinstance(page, list) else [page] for page in pages]
        want = expected(schemas()(), "items", rows)
        assert related(actual(schemas()(), "items", bodies), "items") == related(want, "items")


REFUSED: dict[str, tuple[bytes, str]] = {
    "NaN": (b'[{"a": NaN}]', "got NaN at byte 7, "),
    "Infinity": (b'[{"c": {"d": -Infinity}}]', "got -Infinity at byte 13, "),
    "too large for a float": (b'[{"a": 1e400}]', "out of range at byte 7, "),
    "5000 digits": (b'[{"a": ' + b"9" * 5000 + b"}]", "out of range at byte 7, "),
    "lone surrogate": (b'[{"b": "\\ud800"}]', "half of a surrogate pair at byte 8, "),
    "lone surrogate in a key": (b'[{"\\ud800": 1}]', "half of a surrogate pair at byte 3, "),
    "UTF-16": ('[{"a": 1}]'.encode("utf-16"), "at byte 0, "),
    "trailing": (b'[{"a": 1}] x', "'x' at byte 11, "),
    "two values": (b"[1][2]", r"'\[' at byte 3, "),
    "nul at the end": (b"[1]\x00", "at byte 3, "),
    "cut": (b'[{"a": 1}', "the end of the body at byte 9, "),
    "empty": (b"", "the end of the body at byte 0, "),
    "blank": (b"  ", "the end of the body at byte 2, "),
    "null": (b"null", "expected an array of records or one object"),
    "scalar": (b"5", "expected an array of records or one object"),
    "control character": (b'[{"b": "\x01"}]', "a control character at byte 8, "),
    "leading zero": (b'[{"a": 01}]', "'1' at byte 8, "),
    "comma": (b"[1,]", "']' at byte 3, "),
    "comment": (b"[/*x*/1]", "'/' at byte 1, "),
    "lists, 100,000 deep": (b"[" * 100_000 + b"]" * 100_000, "too deep"),
    "objects, 100,000 deep": (b"[" + b'{"a":' * 10**5 + b"1" + b"}" * 10**5 + b"]", "too deep"),
    "unfinished, 100,000 deep": (b"[" * 100_000, "too deep"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """An error that says what and where; the rows of the pages before it are handed out."""
    body, message = REFUSED[name]
    with pytest.raises(NormalizeError, match=message):
        Normalizer("items")(body)
    for before in ([ONE], [ONE, ONE]):
        held = Normalizer("items").stream([*before, body, ONE])
        assert next(held)["items"].num_rows == len(before)
        with pytest.raises(NormalizeError):
            next(held)


@pytest.mark.parametrize("number", [2**63, 2**64, -(2**63) - 1])
def test_integers_without_a_place(number: int) -> None:
    """An integer beyond 64 bits does not fit a bigint column: the error names both."""
    with pytest.raises(NormalizeError, match=rf"bigint in column items\.a, got {number}"):
        Normalizer("items")(json.dumps([{"a": number}]).encode())


def test_byte_order_mark() -> None:
    """One mark at the start is dropped."""
    assert Normalizer("items")(b"\xef\xbb\xbf" + ONE)["items"].num_rows == 1


@pytest.mark.parametrize(
    ("type_", "want"),
    [
        ("text", "18446744073709551616"),
        ("decimal", "18446744073709551616"),
        ("wei", "18446744073709551616"),
        ("double", "1.8446744073709552e+19"),
    ],
)
def test_integers_beyond_64_bits(type_: str, want: str) -> None:
    """dlt cannot extract them; with a hint they are loaded here, to the last digit."""
    make = schemas(table({"a": {"data_type": type_}}))
    rows = actual(make(), "items", [b'[{"a": 18446744073709551616}]'] * 2)["items"]
    assert [str(row["a"]).removesuffix(".000000000") for row in rows] == [want, want]


def test_text_that_looks_like_a_mark_of_dlt() -> None:
    r"""Text that starts with one of dlt's private type marks stays text, all of it.

    dlt takes it for a value of its own: text "\\uf02612" from an API becomes the decimal 12.
    """
    body: Any = json.dumps([{"a": "\uf02612"}, {"a": "\uf0272024-01-02"}]).encode()
    normalizer = Normalizer("items", dialect=Dialect(schemas()(), "load"))
    texts = normalizer(body)["items"].column("a").to_pylist()
    assert texts == ["\uf02612", "\uf0272024-01-02"]
