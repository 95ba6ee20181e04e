"""Corners: what of dlt's ways is easy to miss, and the few places where we keep more than dlt."""

from __future__ import annotations

import dataclasses
import enum
import json
from collections import OrderedDict, namedtuple
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from blocks.errors import NormalizeError
from blocks.normalize import Normalizer
from tests.oracle import actual, compare, expected, merging, schemas, table

BIGINT = {"data_type": "bigint"}
KEY = {"primary_key": True, "nullable": False}


@pytest.mark.parametrize(
    "rows",
    [
        [{"userId": 1, "user_id": 2}, {"user_id": 3, "userId": 4}],
        [{"userId": [1, 2], "user_id": [3]}],
        [{"userId": [1, 2], "user_id": []}],
        [{"A": {"x": 1}, "a": {"x": None}}],
    ],
)
def test_keys_that_collide(rows: list[Any]) -> None:
    """Of keys with one name, the last in its row wins, lists included."""
    compare([[rows]])
    compare([[rows[:1]], [rows]])


@pytest.mark.parametrize(
    ("rows", "values"),
    [
        ([{"userId": 1, "user_id": None}], {"user_id": [1]}),
        ([{"a": {"b": None}, "a__b": 2}, {"a__b": 3, "a": {}}], {"a__b": [2, 3]}),
    ],
)
def test_null_beside_a_key_of_the_same_name(rows: list[Any], values: dict[str, list[Any]]) -> None:
    """Where dlt would lose a value to a null under another key of its name, the value stays."""
    for pages in ([rows], [rows, rows]):
        got = actual(schemas()(), "items", [json.dumps(page).encode() for page in pages])
        for name, wanted in values.items():
            assert [row[name] for row in got["items"]] == wanted * len(pages)


@pytest.mark.parametrize("value", [["x"], [["x"]], [{"a": 1}]])
def test_lists_as_records_after_the_key_value(value: list[Any]) -> None:
    """Records that are lists share a nested table with the key `value`, in the order of rows."""
    compare([[[{"value": value}, [1], [[2]], {"value": value}]]])


@pytest.mark.parametrize("type_", ["text", "decimal", "wei", "bigint"])
@pytest.mark.parametrize("number", [1, 2**53 + 1, 2**62 + 1])
def test_integers_where_only_floats_were_seen(type_: str, number: int) -> None:
    """An integer keeps its digits when a plan has seen only floats at its place."""
    make = schemas(table({"a": {"data_type": type_}}))
    compare([[[{"a": 1.5}], [{"a": number}], [{"a": number}]]], make)


def test_integers_as_text_after_floats() -> None:
    """An integer in a text column is not written as a float."""
    compare([[[{"a": "x"}], [{"a": 2.5}], [{"a": 1}]]])


@pytest.mark.parametrize(
    "values",
    [
        [0.0, -0.0],
        [Decimal("1.0"), Decimal("1.00")],
        [
            datetime(2024, 1, 2, 3, tzinfo=UTC),
            datetime(2024, 1, 2, 5, tzinfo=timezone(timedelta(hours=2))),
        ],
    ],
)
def test_equal_values_of_different_text(values: list[Any]) -> None:
    """Equal values that are written differently stay different as text."""
    compare([[[{"a": "x"}, *({"a": value} for value in values)]]], parsed=True)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_floats_that_are_no_numbers(value: float) -> None:
    """Parsed rows: what JSON cannot say becomes null, as in dlt's extracted files."""
    compare([[[{"a": 1.5}, {"a": value}, {"l": [value]}]]], parsed=True)


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ("bigint", ["x"]),
        ("bigint", ["x", 1, "5"]),
        ("json", [1, {"b": 1}]),
        ("timestamp", ["x", "2024-01-02T00:00:00Z"]),
    ],
)
def test_first_value_against_a_preferred_type(type_: str, values: list[Any]) -> None:
    """A first value that the preferred type of a name refuses is kept, as a variant."""
    make = schemas(settings={"preferred_types": {"re:^a$": type_}})
    compare([[[{"a": value} for value in values]]], make)


def test_null_where_a_default_hint_allows_none() -> None:
    """A column that only ever was null is refused where the schema's default hints say so."""
    make = schemas(settings={"default_hints": {"not_null": ["re:^a$"]}})
    compare([[[{"a": None, "b": 1}]]], make)


def test_filters() -> None:
    """Columns that a table's filters exclude are left out."""
    filters = {"excludes": ["re:^a$"], "includes": []}
    compare([[[{"a": 1, "b": 1}]]], schemas(table(filters=filters)))


@pytest.mark.parametrize("mode", ["freeze", "discard_row", "discard_value"])
def test_first_row_of_a_new_nested_table_defines_it(mode: str) -> None:
    """Under a contract for columns the first row of a new table brings them, later ones not."""
    make = schemas(table(schema_contract={"columns": mode}))
    compare([[[{"id": 1, "l": [{"a": 1}, {"b": 2}, {"a": 3}]}]]], make)


@pytest.mark.parametrize(
    "rows",
    [
        [{"new": 1}, {"new": 2, "size": "x"}, {"id": 6}],
    ],
)
def test_rows_discarded_for_a_column(rows: list[Any]) -> None:
    """A row with a refused value goes before any of its values teaches a type."""
    columns = {"id": BIGINT, "size": BIGINT, "_dlt_id": {"data_type": "text"}}
    compare([[rows]], schemas(table(columns, schema_contract={"columns": "discard_row"})))


def test_null_in_a_refused_column_drops_no_row() -> None:
    """Where dlt would drop a row for the mere key of a refused column, a null one stays."""
    columns = {"id": BIGINT, "_dlt_id": {"data_type": "text"}}
    schema = schemas(table(columns, schema_contract={"columns": "discard_row"}))()
    rows = [{"id": 4, "new": 1}, {"id": 5, "new": None}, {"id": 6}]
    got = actual(schema, "items", [json.dumps(rows).encode()])
    assert [row["id"] for row in got["items"]] == [5, 6]


def test_inheriting_nothing() -> None:
    """A row whose parent lacks the inherited key keeps a column of that name of its own."""
    make = schemas(config={"propagation": {"root": {"id": "above"}}})
    compare([[[{"id": 1, "l": [{"a": 1}]}, {"l": [{"above": 7}]}]]], make)


def test_nested_table_declared_as_root() -> None:
    """A table that the schema has without a parent gets root rows, wherever they come from."""
    own = table({"k": KEY}, "items__l", write_disposition="append", resource="items")
    make = schemas(table(), own)
    rows = [{"id": 1, "l": [{"k": 1, "m": [1]}, {"k": 2}]}]
    got = actual(make(), "items", [json.dumps(rows).encode()])
    want = expected(make(), "items", [rows])
    for name in ("items", "items__l", "items__l__m"):
        assert [row.keys() for row in got[name]] == [row.keys() for row in want[name]]
    assert [row["k"] for row in got["items__l"]] == [1, 2]
    (nested,) = got["items__l__m"]
    assert nested["_dlt_parent_id"] == got["items__l"][0]["_dlt_id"]


@pytest.mark.parametrize(
    "rows",
    [
        [{"_dlt_id": "z", "l": [{"_dlt_list_idx": "x"}, {"a": 1}]}],
    ],
)
def test_system_columns_in_rows(rows: list[Any]) -> None:
    """Values under dlt's own names are replaced, or typed as they come, and never variants."""
    compare([[rows]], exact=True)


@pytest.mark.parametrize("precision", [0, 3])
def test_year_zero(precision: int) -> None:
    """The year 0, which dlt cannot read, is not a time in columns of any precision."""
    make = schemas(table({"a": {"data_type": "timestamp", "precision": precision}}))
    compare([[[{"a": "0000-01-01"}]]], make)


def test_key_hash_without_a_key() -> None:
    """An upserted row without its key is refused, not given the id of an empty key."""
    hints = {"write_disposition": "merge", "x-merge-strategy": "upsert"}
    with merging():
        compare([[[{"a": 1}]]], schemas(table({"id": KEY}, **hints)))


class Mixed(enum.Enum):
    """An enumeration of several kinds."""

    ONE = 1
    RED = "red"


@dataclasses.dataclass
class Point:
    """A dataclass with a list."""

    x: int = 1
    tags: list[str] = dataclasses.field(default_factory=lambda: ["a"])


Pair = namedtuple("Pair", "x y")  # noqa: PYI024


class Text(str):
    """A subclass of str."""

    __slots__ = ()


PYTHON: dict[str, Any] = {
    "uuid": UUID(int=5),
    "enum of an integer": Mixed.ONE,
    "dataclass": Point(),
    "tuple": (1, {"a": 2}),
    "named tuple": Pair(1, [2]),
    "ordered dict": OrderedDict(a=1, b=[2]),
    "keys that are no text": {1: "a", 2.5: "b", None: 3},
    "text of its own": Text("x"),
    # Those below dlt refuses, and so must we.
    "set": {1},
    "timedelta": timedelta(1),
    "complex": 1j,
    "object": object(),
    "bytearray": bytearray(b"x"),
    "range": range(3),
    "lone surrogate": "\ud800",
}


@pytest.mark.parametrize("name", PYTHON)
@pytest.mark.parametrize("json_column", [False, True])
def test_python_values(name: str, json_column: bool) -> None:
    """Values go through dlt's typed JSON: what it turns into objects, lists, text and numbers."""
    make = schemas(table({"a": {"data_type": "json"}} if json_column else {}))
    compare([[[{"a": PYTHON[name]}]]], make, parsed=True)
    compare([[[{"a": [PYTHON[name], {"b": PYTHON[name]}]}, {"a": "x"}]]], make, parsed=True)
    compare([[[{"a": "x"}, {"a": PYTHON[name]}]]], make, parsed=True)


@pytest.mark.parametrize("value", [datetime(2024, 1, 2, tzinfo=UTC), Decimal("1.50")])
@pytest.mark.parametrize("strategy", ["upsert", "scd2"])
def test_hashes_of_python_values(strategy: str, value: Any) -> None:
    """Ids made of values are hashes of dlt's typed JSON of them."""
    version = {"data_type": "text", "nullable": False, "x-row-version": True}
    columns: Any = {"upsert": {"id": KEY}, "scd2": {"_dlt_id": version}}[strategy]
    hints = {"write_disposition": "merge", "x-merge-strategy": strategy}
    with merging():
        compare([[[{"id": value}]]], schemas(table(columns, **hints)), parsed=True, exact=True)


ONE = b'[{"a": 1, "b": "x"}]'


@pytest.mark.parametrize("text", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80"])
def test_invalid_text_for_a_plan(text: bytes) -> None:
    """Text that is not UTF-8 is a NormalizeError also where a plan reads it."""
    stream = Normalizer("items").stream([ONE, b'[{"b": "' + text + b'"}]'])
    next(stream)
    with pytest.raises(NormalizeError, match="page 2"):
        next(stream)


@pytest.mark.parametrize("depth", [500])
def test_deep_lists(depth: int) -> None:
    """Lists too deep to become tables are a NormalizeError with the page."""
    with pytest.raises(NormalizeError):
        Normalizer("items")(b'[{"z": ' + b"[" * depth + b"]" * depth + b"}]")


def test_deep_objects_by_a_plan() -> None:
    """Objects as deep as dlt takes them are read on every page, not only on the first."""
    compare([[[deep(200)], [deep(200)]]])


def deep(levels: int) -> Any:
    """An object in an object and so on."""
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def test_integers_beyond_64_bits_in_json() -> None:
    """An integer that dlt's JSON cannot write keeps its digits in a json column."""
    make = schemas(table({"a": {"data_type": "json"}}))
    got = actual(make(), "items", [b'[{"a": [18446744073709551616]}]'])
    assert got["items"][0]["a"] == "[18446744073709551616]"


def test_rows_before_a_value_that_fits_nowhere() -> None:
    """Rows of earlier pages are handed out before a value of a later page raises, with its page."""
    stream = Normalizer("items").stream([ONE, ONE, b'[{"a": 18446744073709551616}]'])
    assert next(stream)["items"].num_rows == 2
    with pytest.raises(NormalizeError, match="page 3"):
        next(stream)
