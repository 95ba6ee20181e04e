"""Rows that are left out, and columns that are added, before dlt sees the tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.dlt import load
from blocks.errors import NormalizeError
from blocks.normalize import Normalizer
from blocks.normalize.selection import select
from tests.oracle import related
from tests.warehouse import Warehouse, same

Row = dict[str, Any]

ITEMS: list[Row] = [
    {"id": 1, "labels": [{"name": "a", "tags": ["x", "y"]}, {"name": "b"}]},
    {"id": 2, "labels": [{"name": "c", "tags": ["z"]}]},
    {"id": 3, "labels": []},
    {"id": 4, "lists": [[1, 2], [3]]},
]

CARRIED: dict[str, Any] = {"parent_id": 7, "Parent Name": "seven", "weight": 0.5, "kept": True}

HINTS: dict[str, Mapping[str, Any]] = {
    "append": {"write_disposition": "append"},
    "merge": {"write_disposition": "merge", "primary_key": "id"},
    "upsert": {
        "write_disposition": {"disposition": "merge", "strategy": "upsert"},
        "primary_key": ["parent_id", "id"],
    },
    "scd2": {"write_disposition": {"disposition": "merge", "strategy": "scd2"}},
}


def loading(pages: list[Any], hints: Mapping[str, Any], **options: Any) -> Any:
    """A resource that yields `pages` through `load`."""

    @dlt.resource(name="items", **hints)
    def items() -> Iterator[Any]:
        yield from load(pages, **options)

    return items


def plain(pages: list[list[Row]], hints: Mapping[str, Any]) -> Any:
    """A resource that yields `pages` as they are, for dlt itself to normalize."""

    @dlt.resource(name="items", **hints)
    def items() -> Iterator[Any]:
        yield from json.loads(json.dumps(pages))

    return items


@pytest.mark.parametrize("name", HINTS)
def test_added_columns_are_like_the_rows_own(name: str, tmp_path: Path) -> None:
    """A page in a pair loads as if its rows had the values: in names, types, keys and ids."""
    ours, theirs = Warehouse(tmp_path / "ours"), Warehouse(tmp_path / "theirs")
    for first in (1, 2):
        pages = [[{**row, "id": first * row["id"]} for row in ITEMS], ITEMS[:1], ITEMS[1:]]
        added = [{**CARRIED, "parent_id": number} for number in (7, 8, 9)]
        bodies = [json.dumps(page).encode() for page in pages]
        ours.run(loading(list(zip(bodies, added, strict=True)), HINTS[name]))
        whole = [
            [{**row, **values} for row in page] for page, values in zip(pages, added, strict=True)
        ]
        theirs.run(plain(whole, HINTS[name]))
        same(ours, theirs, "items")


def test_added_values_stand_before_the_rows_own() -> None:
    """Of two values under one name the added one is kept; an added null adds nothing."""
    pages: list[Any] = [
        ([{"id": 1, "issue": 5}], {"issue": 6, "other": None}),
        [{"id": 2, "issue": 7}],
        (pa.table({"id": [3]}), {"issue": 8}),
    ]
    tables = [tables["items"] for tables in Normalizer("items").stream(pages)]
    rows = pa.concat_tables(tables).select(["id", "issue"]).to_pylist()
    assert rows == [{"id": 1, "issue": 6}, {"id": 2, "issue": 7}, {"id": 3, "issue": 8}]
    assert "other" not in tables[0].column_names


def test_added_values_are_single() -> None:
    """An object or a list cannot be added to each row."""
    with pytest.raises(NormalizeError, match=r"page 1: expected one value .* issue, got dict"):
        list(Normalizer("items").stream([([{"id": 1}], {"issue": {"id": 6}})]))


@given(sizes=st.lists(st.integers(0, 5), max_size=6), portion=st.integers(1, 7))
def test_each_row_has_the_values_of_its_page(sizes: list[int], portion: int) -> None:
    """However pages are cut and put together; and where a crowded table goes row by row."""
    for nested in ({}, {"a": {"b": [1]}, "a__b": [2]}):
        pages = [
            (json.dumps([{"id": number, **nested}] * size).encode(), {"page": number})
            for number, size in enumerate(sizes)
        ]
        found = [
            row
            for tables in Normalizer("items").stream(pages, portion)
            for row in tables["items"].select(["id", "page"]).to_pylist()
        ]
        assert all(row["id"] == row["page"] for row in found)
        assert len(found) == sum(sizes)


def test_a_page_of_many_rows_keeps_them_together() -> None:
    """A page larger than a chunk is cut, its values with it."""
    pages = [(json.dumps([{"id": index} for index in range(3000)]).encode(), {"page": 1})] * 2
    [tables] = Normalizer("items").stream(pages, 10_000)
    assert tables["items"]["page"].to_pylist() == [1] * 6000


@pytest.mark.parametrize("name", ["append", "merge", "scd2"])
def test_rows_left_out(name: str, tmp_path: Path) -> None:
    """Loads what dlt loads of the rows for which `where` holds, nested rows included."""
    ours, theirs = Warehouse(tmp_path / "ours"), Warehouse(tmp_path / "theirs")
    pages = [ITEMS, [{**row, "id": row["id"] * 10 - 19, "x": 1} for row in ITEMS]]
    pipeline = ours.run(
        loading(
            [json.dumps(page).encode() for page in pages],
            HINTS[name],
            where=lambda table: pc.greater_equal(table["id"], 2),
        )
    )
    theirs.run(plain([ITEMS[1:], pages[1][2:]], HINTS[name]))
    assert ours.tables() == theirs.tables()
    left, expected = ours.rows(), theirs.rows()
    assert sorted(related(left, "items")) == sorted(related(expected, "items"))
    trace: Any = pipeline.last_trace
    info = trace.last_extract_info
    metrics = info.metrics[info.loads_ids[0]][0]["resource_metrics"]["items"]
    assert metrics.custom_metrics["filtered"] == 3


@pytest.mark.parametrize(
    ("keep", "counts"),
    [
        ([True, True, True, True], {"items": 4, "items__labels": 3, "items__labels__tags": 3}),
        ([True, False, None, False], {"items": 1, "items__labels": 2, "items__labels__tags": 2}),
        ([False, False, True, False], {"items": 1}),
        ([False] * 4, {}),
    ],
)
def test_nested_rows_follow(keep: list[bool | None], counts: dict[str, int]) -> None:
    """A row that is left out takes the rows below it along, at every depth; null leaves out."""
    items = Normalizer("items")
    tables = items([{**row, "lists": None} for row in ITEMS])
    left = select(tables, "items", lambda _: pa.array(keep, pa.bool_()), items.dialect)
    assert {name: table.num_rows for name, table in left.items()} == counts
    assert select({}, "items", lambda _: None, items.dialect) == {}


@pytest.mark.parametrize(
    ("mask", "got"),
    [
        ([True], "got list"),
        (pa.array([1, 0, 1, 0]), "got int64"),
        (pa.array([True]), "expected 4 booleans"),
    ],
)
def test_a_mask_has_a_boolean_for_each_row(mask: Any, got: str) -> None:
    """Anything else is an error that says what came."""
    items = Normalizer("items")
    with pytest.raises(NormalizeError, match=got):
        select(items(ITEMS), "items", lambda _: mask, items.dialect)
