"""Types: each value becomes what dlt makes of it, in the column dlt puts it."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from tests.oracle import compare, schemas, table

VALUES: list[Any] = [
    True, 0, 1, -1, 2**53 + 1, 1.5, 1.0, 1e20, 1e300, "x", "", "1", "1.5", "true", "0x1f", "aGk=",
    "2024-01-02T03:04:05Z", "2024-01-02T03:04:05.678901+02:00", "2024-01-02T03:04:05",
    "2024-01-02T03:04:05.678901234Z", "2024-01-02 03:04", "2024-01-02", "03:04:05.123456",
    "20240102", "2024-W01-1", "2024-02-30", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
    "99999999999999999999", "NaN", "1e5", None, {"b": 1}, [1],
]  # fmt: skip

HINTS: dict[str, dict[str, Any]] = {
    "text": {"data_type": "text"},
    "text 10": {"data_type": "text", "precision": 10},
    "bigint": {"data_type": "bigint"},
    "bigint 32": {"data_type": "bigint", "precision": 32},
    "double": {"data_type": "double"},
    "decimal": {"data_type": "decimal"},
    "decimal 5,2": {"data_type": "decimal", "precision": 5, "scale": 2},
    "wei": {"data_type": "wei"},
    "date": {"data_type": "date"},
    "time": {"data_type": "time"},
    "time ms": {"data_type": "time", "precision": 3},
    "timestamp": {"data_type": "timestamp"},
    "timestamp s": {"data_type": "timestamp", "precision": 0},
    "timestamp ms": {"data_type": "timestamp", "precision": 3},
    "timestamp naive": {"data_type": "timestamp", "timezone": False},
    "binary": {"data_type": "binary"},
    "bool": {"data_type": "bool"},
    "no type": {"nullable": True, "unique": True},
    "not null": {"nullable": False},
}


@pytest.mark.parametrize("first", [value for value in VALUES if value != 1.5], ids=repr)
def test_two_values(first: Any) -> None:
    """The first value of a column decides its type, within a page, a run or from run to run."""
    for second in VALUES:
        one, two = {"a": first}, {"a": second}
        compare([[[one, two], [two]]])
        compare([[[one]], [[two, one]]])


# Numbers that are text go by their own test: see `test_parity_open`.
KINDS = list(product([True, 1, 2.5, "x", {"b": 1}, [1], None], repeat=3))
del KINDS[[str(kinds) for kinds in KINDS].index("('x', 2.5, 1)")]


@pytest.mark.parametrize("values", KINDS)
def test_three_values(values: tuple[Any, ...]) -> None:
    """Any kind after any other: columns, variants, objects and lists side by side."""
    compare([[[{"a": value} for value in values]]])
    compare([[[{"l": values}]]])
    compare([[[{"a": {"b": value}}] for value in values], [[{"a": values[0]}]]])


@pytest.mark.parametrize("hint", HINTS)
def test_hints(hint: str) -> None:
    """Values are coerced to the type of a hint; those that cannot be become variants."""
    make = schemas(table({"a": HINTS[hint]}))
    for value in VALUES:
        row = {"a": value}
        compare([[[row, row]]], make)
        compare([[[row, {"a": "x"}, row, {"a": 1}, {"a": None}], [row]], [[row]]], make)


@pytest.mark.parametrize(
    ("detections", "values"),
    [
        (["timestamp", "iso_timestamp"], [1_790_000_000, 1.5, "x", 1_790_000_000.5]),
        (["iso_date"], ["2024-01-02", "2024-01-02T00:00:00Z", "x", 5]),
        ([], ["2024-01-02T00:00:00Z", 1]),
        (["large_integer"], [2**63 - 1, 1, 2**62]),
        (["large_integer"], [2**63, 1, 2**64 - 1]),
    ],
)
def test_detections(detections: list[str], values: list[Any]) -> None:
    """Types found out from values are those the schema asks for."""
    make = schemas(settings={"detections": detections})
    compare([[[{"a": value} for value in values]]], make)
    compare([[[{"a": value}] for value in reversed(values)]], make)


@pytest.mark.parametrize("type_", ["text", "bigint", "double", "json", "decimal", "timestamp"])
def test_preferred_types(type_: str) -> None:
    """A type preferred for a name is the column's, wherever a first value can be coerced to it."""
    make = schemas(settings={"preferred_types": {"re:^a$": type_}})
    first = {"json": [1], "timestamp": "2024-01-02T00:00:00Z"}.get(type_, 1)
    values = [first, "7", 2, {"b": 1}, [1], "x", None]
    compare([[[{"a": value} for value in values]]], make)
    compare([[[{"a": value}] for value in values]], make)


@pytest.mark.parametrize("value", [10**17, 2**62])
@pytest.mark.parametrize("type_", ["timestamp", "date"])
def test_integers_no_clock_has(type_: str, value: int) -> None:
    """An integer too large for a time is a NormalizeError (dlt lets an OSError through)."""
    compare([[[{"a": value}]]], schemas(table({"a": {"data_type": type_}})))
