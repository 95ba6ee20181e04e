"""What the standards accept and refuse, in vectors of our own made by their rules.

Retry-After, Link and the quotas have theirs beside the other tests of their modules
(tests/test_headers.py, tests/test_links.py, tests/test_quotas.py).
"""

from __future__ import annotations

import http_sf
import msgspec
import pytest

from blocks.errors import CursorError
from blocks.instants import instant
from blocks.json import loads, peek

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
