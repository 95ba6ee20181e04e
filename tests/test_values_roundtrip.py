"""Values that go through the normalizer and DuckDB come back as they were, or there is a word."""

from __future__ import annotations

import json
import logging
import math
import os
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from blocks.errors import NormalizeError
from blocks.normalize import Normalizer

RECORDS = 1_000_000 if os.environ.get("BLOCKS_THOROUGH") else 4000
PAGE = 500
START = datetime(1970, 1, 1, tzinfo=UTC)
EDGES = [0, -1, 2**31, -(2**31) - 1, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)]
LETTERS = "aZ09 _-\"'\\/\n\t\0éßİ\u200d\u2028\ufeff\uf026\uf02d中🙂\U0010ffff"


def text(rng: Random) -> str:
    """Any text but surrogates, and none that is a time."""
    return "~" + "".join(rng.choices(LETTERS, k=rng.randint(0, 8)))


def integer(rng: Random) -> int:
    """One of 64 bits, often at an edge."""
    return rng.choice(EDGES) if rng.random() < 0.3 else rng.randint(-(2**63), 2**63 - 1)


def number(rng: Random) -> float:
    """Any finite one."""
    while True:
        found = rng.choice([rng.uniform(-1, 1), 5e-324, -0.0, 1.7976931348623157e308, 0.1 + 0.2])
        found *= 10.0 ** rng.randint(-20, 20)
        if math.isfinite(found):
            return found


def fraction(rng: Random) -> float:
    """One that is no integer: those, in a column of integers, become some."""
    return rng.uniform(-1, 1) + 1e-9


def moment(rng: Random) -> datetime:
    """To the microsecond."""
    return START + timedelta(microseconds=rng.randint(-(10**16), 10**17))


def record(rng: Random, key: int) -> dict[str, Any]:
    """A record whose places are of one kind each, except for `mixed`; many are null or absent."""
    found: dict[str, Any] = {
        "integer": integer(rng),
        "number": number(rng),
        "flag": rng.random() < 0.5,
        "text": text(rng),
        "digits": str(integer(rng)) + "." + "9" * 30,
        "moment": moment(rng).isoformat().replace("+00:00", "Z"),
        "mixed": rng.choice([integer, fraction, text])(rng),
        "inner": {"text": text(rng), "deeper": {"integer": integer(rng)}},
        "texts": [text(rng) for _ in range(rng.randint(0, 3))],
        "parts": [
            {"integer": integer(rng), "texts": [text(rng)]} for _ in range(rng.randint(0, 2))
        ],
    }
    for name in list(found):
        chance = rng.random()
        if chance < 0.1:
            del found[name]
        elif chance < 0.2:
            found[name] = None
    return {"id": key, **found}


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """What is to be found of a record in its row of the root table."""
    inner = row.get("inner") or {}
    told = row.get("moment")
    return {
        **{name: row.get(name) for name in ("id", "integer", "number", "flag", "text", "digits")},
        "moment": None if told is None else datetime.fromisoformat(told),
        "mixed": row.get("mixed"),
        "inner__text": inner.get("text"),
        "inner__deeper__integer": inner.get("deeper", {}).get("integer"),
    }


def same(one: Any, other: Any) -> bool:
    """Equal, of one type, and zeros of one sign."""
    if isinstance(one, float) and isinstance(other, float):
        return one.hex() == other.hex()
    return type(one) is type(other) and one == other


def restored(row: dict[str, Any]) -> dict[str, Any]:
    """A row of DuckDB, the variants of `mixed` put together."""
    variants = [row.pop(name) for name in list(row) if name.startswith("mixed")]
    present = [value for value in variants if value is not None]
    assert len(present) <= 1
    return {**row, "mixed": present[0] if present else None}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("read", ["bytes", "rows"])
def test_no_value_changes(read: str) -> None:
    """Numbers to the last bit, texts to the last letter, in their place and order."""
    rng = Random(read)
    normalizer = Normalizer("items")
    # The first is of the kinds that the columns are to have.
    start = {**record(rng, 0), "mixed": 1, "number": 0.5, "integer": 1, "flag": True}
    for first in range(0, RECORDS, PAGE):
        rows = [record(rng, key) for key in range(first, min(first + PAGE, RECORDS))]
        rows[:1] = [start] if first == 0 else rows[:1]
        body = json.dumps(rows, ensure_ascii=rng.random() < 0.5).encode()
        tables = normalizer(body if read == "bytes" else json.loads(body))
        with duckdb.connect() as database:
            database.execute("SET TimeZone = 'UTC'")
            for name, table in tables.items():
                database.register("arrow", table)
                database.execute(f'CREATE TABLE "{name}" AS SELECT * FROM arrow')
            check(database, rows)


def check(database: duckdb.DuckDBPyConnection, rows: list[dict[str, Any]]) -> None:
    """Fail unless the tables hold exactly `rows`."""
    found = fetch(database, "SELECT * FROM items ORDER BY id")
    ids = {row["_dlt_id"]: row["id"] for row in found}
    assert [row["id"] for row in found] == [row["id"] for row in rows]
    for got, row in zip(map(restored, found), rows, strict=True):
        expected = flat(row)
        wrong = {
            name: (value, got.get(name))
            for name, value in expected.items()
            if not same(value, got.get(name))
        }
        assert not wrong, f"record {row['id']}"
        assert not {name for name in got if name not in expected and not name.startswith("_dlt")}
    texts: dict[int, list[str]] = {row["id"]: [] for row in rows}
    for one in fetch(database, "SELECT * FROM items__texts ORDER BY _dlt_list_idx"):
        texts[ids[one["_dlt_parent_id"]]].append(one["value"])
    assert texts == {row["id"]: row.get("texts") or [] for row in rows}
    parts: dict[int, list[tuple[int, str]]] = {row["id"]: [] for row in rows}
    joined = (
        "SELECT p._dlt_parent_id, p.integer, t.value FROM items__parts p"
        " JOIN items__parts__texts t ON t._dlt_parent_id = p._dlt_id ORDER BY p._dlt_list_idx"
    )
    for parent, *part in database.execute(joined).fetchall():
        parts[ids[parent]].append((part[0], part[1]))
    assert parts == {
        row["id"]: [(part["integer"], part["texts"][0]) for part in row.get("parts") or []]
        for row in rows
    }


def fetch(database: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    """Rows by name of column."""
    cursor = database.execute(query)
    names = [str(each[0]) for each in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def values(body: bytes) -> dict[str, list[Any]]:
    """The columns of the root table, without dlt's own."""
    table: pa.Table = Normalizer("items")(body)["items"]
    names = [name for name in table.column_names if not name.startswith("_dlt")]
    return {name: table.column(name).to_pylist() for name in names}


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("9223372036854775808", "fit bigint in column items.a.*got 9223372036854775808"),
        ("-9223372036854775809", "fit bigint in column items.a"),
        ("1" + "0" * 30, "fit bigint in column items.a"),
        ("1e400", "expected JSON"),
        ("NaN", "expected JSON"),
        ("Infinity", "expected JSON"),
        ('"\\ud800"', "expected JSON"),
        ('"\\udc00\\ud800"', "expected JSON"),
        ('"\0"', "expected JSON"),
    ],
)
def test_what_no_column_holds_is_an_error(text: str, match: str) -> None:
    """Integers beyond 64 bits, numbers beyond doubles, half of a letter: never rounded, or cut."""
    with pytest.raises(NormalizeError, match=match):
        values(b'{"a": %s}' % text.encode())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # Shorter than they are written, as dlt has them: truncated, never up into another year.
        ('"2024-12-31T23:59:59.999999999Z"', datetime(2024, 12, 31, 23, 59, 59, 999999, UTC)),
        ('"2024-01-01T00:00:00.0000019+00:00"', datetime(2024, 1, 1, 0, 0, 0, 1, UTC)),
        ('"1969-12-31T23:59:59.9999999Z"', datetime(1969, 12, 31, 23, 59, 59, 999999, UTC)),
        # Numbers with a point are doubles, as everywhere in JSON; decimals are texts.
        ("123456789012345678.123456789", 123456789012345678.123456789),
        ("-0.0", -0.0),
        ("9007199254740993", 9007199254740993),
        ('"x\\u0000y"', "x\0y"),
        ('"\\ud83d\\ude42"', "🙂"),
        ('"0.10000000000000000000000001"', "0.10000000000000000000000001"),
    ],
)
def test_documented_rules(text: str, value: Any) -> None:
    """What becomes of values that are more than a column holds, and of those that look so."""
    [[found]] = values(b'{"a": %s}' % text.encode()).values()
    assert same(found.replace(tzinfo=UTC) if isinstance(found, datetime) else found, value)


@pytest.mark.parametrize(
    "body", ['{"a": 1, "A": 2}', '{"a b": 1, "a_b": 2}', '{"a": {"b": 1}, "a__b": 2}']
)
def test_no_fields_are_merged_in_silence(body: str, caplog: pytest.LogCaptureFixture) -> None:
    """Keys that share a column, as dlt's naming has it, are named in a warning."""
    caplog.set_level(logging.WARNING)
    assert len(values(body.encode())) == 1
    assert "share the column" in caplog.text
