"""Ids, keys and contracts: rows are identified, related and refused as dlt does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from blocks.normalize import Normalizer
from blocks.normalize.dialect import Dialect
from tests.oracle import compare, merging, schemas, table

KEY = {"primary_key": True, "nullable": False}
BIGINT = {"data_type": "bigint"}
TEXT = {"data_type": "text"}
ROWS: list[Any] = [
    {"id": 1, "l": [{"a": [1, 2], "b": {"c": 1}}, 3, [4]]},
    {"id": 2, "l": []},
    {"id": 3, "l": [{"a": []}], "o": {"p": [{"q": None}]}},
]


def merge(strategy: str, columns: Mapping[str, Mapping[str, Any]]) -> Any:
    """A schema whose table is merged by `strategy`."""
    hints = {"write_disposition": "merge", "x-merge-strategy": strategy}
    return schemas(table(columns, **hints))


@pytest.mark.parametrize("strategy", ["delete-insert", "upsert", "insert-only"])
def test_root_ids(strategy: str) -> None:
    """Tables to be merged hand the id of the root row to all rows below."""
    with merging():
        make = merge(strategy, {"id": KEY})
        compare([[ROWS], [ROWS]], make, exact=strategy != "delete-insert")
        compare([[[row] for row in ROWS]], make)


@pytest.mark.parametrize(
    ("keys", "rows"),
    [
        (["id"], [{"id": 1, "l": [[1]]}, {"id": "x"}, {"id": 2.5}, {"id": True}, {"id": "ä"}]),
        (["a__b", "c"], [{"a": {"b": 1}, "c": "x"}, {"c": "x", "a": {"b": 2}}]),
        (["user_id"], [{"userId": 7, "l": [1]}]),
        (["id"], [{"id": None}]),
    ],
)
def test_key_hashes(keys: list[str], rows: list[Any]) -> None:
    """The ids of upserted rows are dlt's hashes of their keys, and those below follow."""
    with merging():
        make = merge("upsert", dict.fromkeys(keys, KEY))
        compare([[rows]], make, exact=True)
        compare([[[row] for row in rows]], make, exact=True)


@pytest.mark.parametrize(
    "rows",
    [ROWS, [1, "x", [1], None], [{"a": 1.0, "b": None}, {"b": None, "a": 1.0}, {"_dlt_x": 1}]],
)
def test_row_hashes(rows: list[Any]) -> None:
    """The ids of rows kept in all their versions are dlt's hashes of what they hold."""
    version = {"data_type": "text", "nullable": False, "x-row-version": True}
    with merging():
        compare([[rows], [rows]], merge("scd2", {"_dlt_id": version}), exact=True)


@pytest.mark.parametrize(
    "rows",
    [
        [{"_dlt_id": "r1", "l": [{"a": 1, "m": [2]}, 5]}, {"_dlt_id": "r2", "l": [[1], None]}],
        [{"_dlt_id": "r1", "_dlt_load_id": "mine", "l": [1]}],
        [{"_dlt_id": "r1", "_dlt_parent_id": "p", "_dlt_list_idx": 3}],
    ],
)
def test_ids_given(rows: list[Any]) -> None:
    """A row's own `_dlt_id` stays, the ids below follow from it, the load's id does not."""
    compare([[rows]], exact=True)


def test_ids_given_as_nothing() -> None:
    """An empty id is none."""
    compare([[[{"_dlt_id": "", "l": [1]}, {"_dlt_id": None, "l": [2]}]]])


def test_nested_rows_with_ids_keep_their_parents() -> None:
    """dlt loses the parent of a nested row that brings its own `_dlt_id`; here it is kept."""
    tables = Normalizer("items")(b'[{"_dlt_id": "r", "l": [{"_dlt_id": "c"}, {"a": 1}]}]')
    nested = tables["items__l"].select(["_dlt_parent_id", "_dlt_list_idx"])
    assert nested.to_pylist() == [
        {"_dlt_parent_id": "r", "_dlt_list_idx": 0},
        {"_dlt_parent_id": "r", "_dlt_list_idx": 1},
    ]


def test_lists_under_blank_keys() -> None:
    """dlt puts a list under an empty key into the root table; here it has a table of its own."""
    normalizer = Normalizer("items", dialect=Dialect(schemas()(), "load"))
    tables = normalizer(b'[{"": [1], "a": {" ": [2]}}]')
    assert {name: table.num_rows for name, table in tables.items()} == {
        "items": 1,
        "items___empty": 1,
        "items__a___empty": 1,
    }


@pytest.mark.parametrize(
    "config",
    [
        {"propagation": {"root": {"id": "root_key", "x": "root_x"}}},
        {"propagation": {"tables": {"items__l": {"a": "above"}}}},
        {"propagation": {"root": {"id": "k"}, "tables": {"items__l": {"k": "k2"}}}},
        {"propagation": {"root": {"_dlt_id": "_root"}}},
        {"root_key_propagation": True},
    ],
)
def test_propagation(config: Any) -> None:
    """Rows below inherit the values and ids that the configuration names."""
    rows = [
        {"_dlt_id": "1", "id": 1, "x": None, "l": [{"a": 1, "m": [2, {"n": [1]}]}, 5]},
        {"_dlt_id": "2", "id": "x", "x": 1, "l": [[1], {"a": "y", "m": [1]}]},
    ]
    make = schemas(table(), config=config)
    compare([[rows]], make, exact=True)
    compare([[[row]] for row in rows], make, exact=True)


MODES = ["evolve", "freeze", "discard_row", "discard_value"]
CHANGES: dict[str, list[Any]] = {
    "nothing": [{"id": 2}],
    "column": [{"id": 2, "new": 1}, {"id": 3}],
    "columns": [{"id": 2, "new": 1, "l": [{"a": 1}]}, {"id": 3, "more": {"x": 1}}],
    "type": [{"id": "x"}, {"id": 2}, {"id": "x", "l": [{"a": 1}]}],
    "table": [{"id": 2, "k": [{"b": [1]}]}, {"id": 3, "k": [{"b": [2]}]}],
    "nested column": [{"id": 2, "l": [{"a": 1, "b": 2}, {"a": 2}]}],
    "nested type": [{"id": 2, "l": [{"a": "x"}, {"a": 2}]}],
    "nested table": [{"id": 2, "l": [{"a": 1, "m": [1]}, {"a": 2}]}],
    "null": [{"id": 2, "new": None}],
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("entity", ["tables", "columns", "data_type"])
@pytest.mark.parametrize("name", CHANGES)
def test_contracts(name: str, entity: str, mode: str) -> None:
    """What a contract does not let in is refused as dlt does, for the table and those below."""
    rows = CHANGES[name]
    contract: dict[str, Any] = {"schema_contract": {entity: mode}}
    columns: dict[str, dict[str, Any]] = {"id": BIGINT, "_dlt_id": TEXT}
    nested = table({"a": BIGINT, "_dlt_id": TEXT}, "items__l", parent="items")
    compare([[[{"id": 1}, *rows, {"id": 9}]]], schemas(table(columns, **contract), nested))
    nested_only = {**nested, **contract}
    compare([[[{"id": 1}, *rows, {"id": 9}]]], schemas(table(columns), nested_only))
    compare([[rows[:1]], [rows]], schemas(table(**contract)))


@pytest.mark.parametrize("absent", [False, True])
def test_not_null(absent: bool) -> None:
    """A null in a column that may have none is refused, and so is its absence."""
    make = schemas(table({"a": {"data_type": "bigint", "nullable": False}}))
    compare([[[{"a": 1}, {"b": 1} if absent else {"a": None}]]], make)
