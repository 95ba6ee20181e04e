"""Python rows: values that JSON does not know become what dlt makes of them."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pendulum
import pytest
from dlt.common.libs.hexbytes import HexBytes
from dlt.common.wei import Wei

from tests.oracle import compare, schemas, table


class Colour(enum.Enum):
    """An enumeration of text."""

    RED = "red"


class Level(enum.IntEnum):
    """An enumeration of integers."""

    LOW = 1


VALUES: dict[str, Any] = {
    "datetime": datetime(2024, 1, 2, 3, 4, 5, 678901, UTC),
    "datetime elsewhere": datetime(2024, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))),
    "naive datetime": datetime(2024, 1, 2, 3, 4, 5),  # noqa: DTZ001
    "first datetime": datetime.min,  # noqa: DTZ901
    "last datetime": datetime.max,  # noqa: DTZ901
    "date": date(2024, 1, 2),
    "time": time(3, 4, 5, 6),
    "pendulum datetime": pendulum.datetime(2024, 1, 2, 3, tz="Europe/Berlin"),
    "pendulum date": pendulum.date(2024, 1, 2),
    "pendulum time": pendulum.time(1, 2, 3),
    "decimal": Decimal("1.50"),
    "decimal of many digits": Decimal("1" * 29),
    "decimal with exponent": Decimal("1E+3"),
    "decimal that is none": Decimal("NaN"),
    "wei": Wei(10),
    "bytes": b"ab\xff",
    "hex bytes": HexBytes(b"ab"),
    "enum": Colour.RED,
    "enum of integers": Level.LOW,
    "int": 3,
    "float": 1.5,
    "bool": True,
}


@pytest.mark.parametrize("name", VALUES)
def test_values(name: str) -> None:
    """As a column, as an element, as a record, inside a column of type json, after text."""
    value = VALUES[name]
    whole = schemas(table({"a": {"data_type": "json"}}))
    compare([[[{"a": value}, {"a": None}, {"a": value}]]], parsed=True)
    compare([[[{"a": [value, {"b": value}, [value]]}]]], parsed=True)
    compare([[[value]]], parsed=True)
    compare([[[{"a": {"b": value, "c": [value]}}]]], whole, parsed=True)
    compare([[[{"a": "x"}, {"a": value}], [{"a": 1}]]], parsed=True)
    compare([[[{"a": value}]], [[{"a": "x"}, {"a": value}]]], parsed=True)


PLAIN = [name for name in VALUES if not name.startswith("enum")]


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize(
    "type_", ["text", "bigint", "double", "decimal", "wei", "timestamp", "date", "time", "bool"]
)
def test_hints(name: str, type_: str) -> None:
    """Coerced to a hint, or put into a variant."""
    make = schemas(table({"a": {"data_type": type_}}))
    compare([[[{"a": VALUES[name]}, {"a": None}]]], make, parsed=True)


def test_naive_columns() -> None:
    """A timestamp column without time zone takes instants as UTC."""
    make = schemas(table({"a": {"data_type": "timestamp", "timezone": False}}))
    values = ["2024-01-01T00:00:00+03:00", "2024-01-01T00:00:00", *list(VALUES.values())[:3]]
    compare([[[{"a": value} for value in values]]], make, parsed=True)


def test_bodies_and_rows_mixed() -> None:
    """Parsed rows may follow bodies, and both follow the same plan."""
    rows = [{"a": 1, "l": [{"b": "x"}]}, {"a": "x", "l": [1]}, {"c": {"d": 1}}]
    compare([[rows, rows]], parsed=True)
    compare([[rows, rows]])
