"""What the standards accept and refuse, in vectors of our own made by their rules.

Retry-After, Link and the quotas have theirs beside the other tests of their modules
(tests/test_headers.py, tests/test_links.py, tests/test_quotas.py); paths have a grammar of their
own, fuzzed in tests/fuzz. The published JSONTestSuite is in a package of npm's alone, and
`tests.suites` runs it. Those of structured fields and of JSONPath are in none of Python's or npm's.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import http_sf
import msgspec
import orjson
import pytest

from blocks.errors import CursorError, NormalizeError
from blocks.flaws import find
from blocks.instants import instant
from blocks.json import count, loads, peek
from blocks.normalize import Normalizer

ACCEPTED = [
    *("0", "-0", "1e5", "1E+2", "-1.5e-3", '""', "null", "true", "false", "[]", "{}", " [1 , 2 ] "),
    *(
        '"\\u0041\\n\\/"',
        '"\\ud83d\\ude00"',
        '"\x7f"',
        '{"a":1,"a":2}',
        '{"":{"":[]}}',
        "\t\r\n 1 \n",
    ),
    *("[[[[[[]]]]]]", "123456789012345678", '"€"', "[0.1e1,-0.0]", '{"a" : [ null ]}'),
]
REFUSED = [
    *(
        "",
        " ",
        "01",
        "-",
        "+1",
        ".5",
        "5.",
        "1e",
        "1e+",
        "0x1",
        "1_000",
        "NaN",
        "Infinity",
        "-Infinity",
    ),
    *("[1,]", "[,1]", "[1 2]", "[", "]", "[1}", '{"a"}', '{"a":}', '{"a":1,}', "{a:1}", "{'a':1}"),
    *('"', '"\\x"', '"\\u12"', '"\n"', '"\x00"', '"\t"', "nul", "True", "[1]x", "1 2", "[1]\x00"),
    *("\x0c1", "\u00a01", "//c\n1", "/*c*/1", ")]}',\n[1]", '"\\ud800"', '["\\udc00\\ud800"]'),
    *("\ufeff\ufeff1", "[" * 100_000, '{"a":' * 100_000),
]
REFUSED_BYTES = [
    b'"\xff"',
    b'"\xed\xa0\x80"',
    b'"\xc0\xaf"',
    b'"\xf4\x90\x80\x80"',
    "[1]".encode("utf-16"),
]


@pytest.mark.parametrize("text", [*ACCEPTED, "\ufeff[1]"])
def test_json_is_read(text: str) -> None:
    """All of RFC 8259's grammar, by both readers, with one byte order mark (section 8.1)."""
    assert peek(text.encode(), "") == loads(text.encode())


@pytest.mark.parametrize(
    "body", [*(text.encode() for text in REFUSED), *REFUSED_BYTES], ids=lambda body: repr(body[:20])
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    """And nothing else; text that is no UTF-8 neither (section 8.1)."""
    with pytest.raises(msgspec.DecodeError):
        peek(body, "")
    with pytest.raises(ValueError):  # noqa: PT011 - all that is promised
        loads(body)


def takes(reader: Callable[[bytes], object], body: bytes) -> bool:
    """Whether `reader` finds JSON in `body`."""
    try:
        reader(body)
    except (ValueError, NormalizeError):  # msgspec's and orjson's are both of the first
        return False
    return True


def readers() -> dict[str, Callable[[bytes], object]]:
    """All of ours that take a whole body."""
    return {
        "peek": lambda body: peek(body, ""),
        "loads": loads,
        "normalizer": Normalizer("items"),
    }


# By the tokens of RFC 8259: section 2 and 4 to 6, then 6, then 7.
TOKENS = ["[", "]", "{", "}", ",", ":", '"a"', "1"]
DIGITS = ["-", "0", "1", ".", "e", "E", "+"]
ESCAPES = ["\\", '"', "/", "b", "u", "0", "d8", "dc", "A", "\n"]


@pytest.mark.parametrize(
    ("tokens", "most", "around", "sound"),
    [(TOKENS, 5, "{}", 22), (DIGITS, 5, "[{}]", 337), (ESCAPES, 4, '["{}"]', 3465)],
    ids=["structure", "numbers", "texts"],
)
def test_every_short_text_is_json_or_is_not(
    tokens: list[str], most: int, around: str, sound: int
) -> None:
    """All rows of so many tokens: each reader says what orjson says, by which dlt reads.

    The finder of flaws has one exactly where they refuse.
    """
    ours = readers() | {"count": lambda body: count(body, "items")}
    del ours["normalizer"]  # takes no lone scalars, and has a test of its own
    good = 0
    for length in range(most + 1):
        for row in product(tokens, repeat=length):
            body = around.replace("{}", "".join(row)).encode()
            expected = takes(orjson.loads, body)
            good += expected
            assert {name: takes(reader, body) for name, reader in ours.items()} == dict.fromkeys(
                ours, expected
            ), body
            assert (find(body) is None) == expected, body
    assert good == sound


@pytest.mark.parametrize("warm", [False, True])
def test_every_short_page_is_rows_or_is_not(warm: bool) -> None:
    """The normalizer refuses what is no JSON and nothing else, by a plan or without."""
    normalizer = Normalizer("items")
    for length in range(4 if warm else 5):
        for row in product(TOKENS, repeat=length):
            body = "[{}]".replace("{}", "".join(row)).encode()
            if warm:
                normalizer(b'[{"a": 1}, {"a": 2}]')
            assert takes(normalizer, body) == takes(orjson.loads, body), body


# What RFC 8259 leaves to its readers, and what ours do: numbers of any size (section 6), escapes
# of half a pair (8.2), a byte order mark and other encodings (8.1), depth (9), names that are
# there twice (4).
FREE: dict[str, tuple[bytes, str]] = {
    "too large for a double": (b"[1e400]", ""),
    "too large, and negative": (b"[-1.5e+9999]", ""),
    "too large by its integer": (b"[" + b"9" * 400 + b".5]", ""),
    "too small for a double": (b"[1e-400]", "peek loads normalizer orjson"),
    "more digits than a double has": (
        b"[0.1234567890123456789]",
        "peek loads normalizer orjson",
    ),
    "an integer of 64 bits": (b"[9223372036854775807]", "peek loads normalizer orjson"),
    "one of 65 bits": (b"[18446744073709551616]", "peek loads orjson"),
    "one of 65 bits, negative": (b"[-9223372036854775809]", "peek loads orjson"),
    "half of a pair": (b'["\\ud800"]', ""),
    "the other half": (b'["\\udc00"]', ""),
    "halves the wrong way round": (b'["\\udc00\\ud800"]', ""),
    "half of a pair in a name": (b'{"\\ud800": 1}', ""),
    "no character": (b'["\\uffff"]', "peek loads normalizer orjson"),
    "the zero character": (b'["\\u0000"]', "peek loads normalizer orjson"),
    "a mark": (b"\xef\xbb\xbf[1]", "peek loads normalizer"),
    "UTF-16": ("[1]".encode("utf-16"), ""),
    "UTF-16 without a mark": ("[1]".encode("utf-16-le"), ""),
    "UTF-32": ("[1]".encode("utf-32"), ""),
    "Latin-1": (b'["\xe9"]', ""),
    "an overlong form": (b'["\xc0\xaf"]', ""),
    "a surrogate as bytes": (b'["\xed\xa0\x80"]', ""),
    "beyond Unicode": (b'["\xf4\x90\x80\x80"]', ""),
    "a name twice": (b'{"a": 1, "a": 2}', "peek loads normalizer orjson"),
    "no name": (b'{"": 1}', "peek loads normalizer orjson"),
    "100 levels": (b"[" * 100 + b"]" * 100, "peek loads normalizer orjson"),
    "500 levels": (b'{"a":' * 500 + b"1" + b"}" * 500, "peek loads normalizer orjson"),
    "100,000 levels": (b"[" * 100_000 + b"]" * 100_000, ""),
}


@pytest.mark.parametrize("name", FREE)
def test_what_the_standard_leaves_open_is_settled(name: str) -> None:
    """Who takes it of our readers, and of dlt's beside them."""
    body, expected = FREE[name]
    found = [each for each, reader in readers().items() if takes(reader, body)]
    assert " ".join([*found, *(["orjson"] if takes(orjson.loads, body) else [])]) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1985-04-12T23:20:50.52Z", "1985-04-12T23:20:50.520000+00:00"),
        ("1996-12-19T16:39:57-08:00", "1996-12-20T00:39:57+00:00"),
        ("1990-12-31T23:59:60Z", "1990-12-31T23:59:59.999999+00:00"),
        ("1990-12-31T15:59:60-08:00", "1990-12-31T23:59:59.999999+00:00"),
        ("1937-01-01T12:00:27.87+00:20", "1937-01-01T11:40:27.870000+00:00"),
        ("2024-02-29t00:00:00z", "2024-02-29T00:00:00+00:00"),
        ("2024-02-29T00:00:00-00:00", "2024-02-29T00:00:00+00:00"),
        ("2024-02-29T00:00:00+23:59", "2024-02-28T00:01:00+00:00"),
        ("2024-02-29 00:00:00.1234567899Z", "2024-02-29T00:00:00.123456+00:00"),
    ],
)
def test_rfc_3339_is_read(text: str, expected: str) -> None:
    """Its examples (section 5.8) and its corners, digits beyond microseconds cut off."""
    assert instant(text, "UTC").isoformat() == expected


@pytest.mark.parametrize(
    "text",
    [
        *("2023-02-29T00:00:00Z", "2024-13-01T00:00:00Z", "2024-00-01T00:00:00Z"),
        *("2024-01-32T00:00:00Z", "2024-01-01T25:00:00Z", "2024-01-01T00:60:00Z"),
        *("2024-01-01T00:00:61Z", "2024-01-01T00:00:00+24:00", "2024-01-01T00:00:00ZZ"),
        *("2024-1-1T00:00:00Z", "24-01-01T00:00:00Z", "1714557600", "now", "", "T00:00:00Z"),
    ],
)
def test_what_is_no_rfc_3339_is_refused(text: str) -> None:
    """Dates that never were, offsets of a day, and other texts."""
    with pytest.raises(CursorError):
        instant(text, "UTC")


@pytest.mark.parametrize(
    ("text", "kind", "sound"),
    [
        *(
            (text, "list", True)
            for text in ("a, b", "1;a=?0", "(a b);q=1, ()", '"x\\"y"', ":AAA=:")
        ),
        *((text, "list", True) for text in ("", "1.5", "-999999999999999", "a\t,\tb", "*a/b:c")),
        *((text, "list", False) for text in ("a,", ",a", "a b", '"x', '"\\n"', "1.", ".5", "--1")),
        *((text, "list", False) for text in ("1000000000000000", "1.1234", "?2", "(a", "a;A=1")),
        *((text, "dictionary", True) for text in ("a=1, b;x, c=(1 2)", "a, a=2", "*k=1")),
        *((text, "dictionary", False) for text in ("A=1", "a=", "a=1,", "=1", "a =1", "a=1 b=2")),
    ],
)
def test_structured_fields_are_read_by_rfc_9651(text: str, kind: str, sound: bool) -> None:
    """The reader that `blocks.quotas.RateLimit` stands on accepts and refuses by the grammar."""
    try:
        http_sf.parse(text.encode(), tltype=kind)
    except ValueError:
        assert not sound
    else:
        assert sound
