"""Filters: what the filters of a table leave out is left out of it and of the tables below it."""

from __future__ import annotations

import json
from typing import Any

import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import NormalizeError
from blocks.normalize import Normalizer
from blocks.normalize.dialect import Dialect
from blocks.normalize.selection import select
from tests.oracle import (
    EXAMPLES,
    IDS,
    Rows,
    actual,
    columns,
    compare,
    expected,
    merging,
    order,
    schemas,
    stored_and_restored,
    table,
)
from tests.test_parity_any import RECORDS

ROWS: list[Any] = [
    {"a": 1, "l": [{"b": 1, "c": None, "m": [1, 2]}, 3, [4]], "o": {"p": 1, "q": [{"a": 1}]}},
    {"a": None, "l": [None]},
    {"x": 5, "l": [{"c": None}]},
    {},
]
PATTERNS = st.lists(
    st.sampled_from(
        [
            *(
                "re:^a$",
                "re:^b$",
                "re:^l",
                "re:^id",
                "re:value",
                "re:_dlt",
                "re:^_dlt_id$",
                "re:__",
            ),
            *("b", "re:.*", "re:^a__", "re:_idx$", "re:^_dlt_parent_id$", "re:list__"),
        ]
    ),
    max_size=3,
)


def told(rows: Rows) -> dict[str, list[str]]:
    """All rows without their ids, of which only counts whether they are there."""
    return {
        name: [
            json.dumps(
                {
                    key: bool(value) if key in IDS else value
                    for key, value in row.items()
                    if value is not None
                },
                sort_keys=True,
                default=str,
            )
            for row in some
        ]
        for name, some in rows.items()
    }


def check(rows: list[Any], filters: Any, **others: Any) -> None:
    """Fail unless dlt makes the same tables of `rows` in three pages and two runs."""
    make = schemas(table(filters=filters), **others)
    ours, theirs = make(), make()
    for pages in ([rows], [rows, rows]):
        want = expected(theirs, "items", json.loads(json.dumps(pages)))
        got = actual(ours, "items", [json.dumps(page).encode() for page in pages])
        assert columns(ours) == columns(theirs)
        assert order(ours) == order(theirs)
        assert {name: sorted(some) for name, some in told(got).items()} == {
            name: sorted(some) for name, some in told(want).items()
        }
        ours, theirs = stored_and_restored(ours), stored_and_restored(theirs)


@pytest.mark.parametrize(
    ("excludes", "includes"),
    [
        (["re:^a$"], []),
        (["a"], []),
        (["re:^l__b"], []),
        (["re:^o__"], []),
        (["re:^l__m"], []),
        (["re:^l"], []),
        (["re:^l"], ["re:^l__m"]),
        (["re:.*"], []),
        (["re:.*"], ["re:^a$"]),
        (["re:.*"], ["re:^a$", "re:^l__"]),
        (["re:.*"], ["re:^l__b$", "re:^l__c$"]),
        (["re:.*"], ["re:^l__value"]),
        (["re:_dlt_id"], []),
        (["re:_dlt"], []),
        (["re:_dlt"], ["re:^_dlt_id$"]),
        (["re:_dlt"], ["re:_dlt_list_idx$"]),
    ],
)
def test_rows_and_tables(excludes: list[str], includes: list[str]) -> None:
    """Columns, whole rows with those below them, whole tables, ids: as dlt leaves them out."""
    check(ROWS, {"excludes": excludes, "includes": includes})


@given(rows=st.lists(RECORDS, max_size=4), excludes=PATTERNS, includes=PATTERNS)
@EXAMPLES
def test_any_rows(rows: list[Any], excludes: list[str], includes: list[str]) -> None:
    """The same for any rows and patterns."""
    filters = {"excludes": excludes, "includes": includes}
    try:
        for make in (schemas(table()), schemas(table(filters=filters))):
            expected(make(), "items", [json.loads(json.dumps(rows))])
    # Rows that dlt has no tables for are another test's; and where nothing is left of a nested row
    # it looks for a table that it has not made.
    except Exception:  # noqa: BLE001
        return
    check(rows, filters)


def test_variants_that_filters_seem_to_name() -> None:
    """A value goes to its variant after the filters, which leave it there."""
    check([{"a": 1, "b__c": 1}, {"a": "x"}, False, ""], {"excludes": ["re:__"], "includes": []})


def test_nested_table_with_filters_of_its_own() -> None:
    """A nested table may have filters as well: both count."""
    nested = table(name="items__l", parent="items", filters={"excludes": ["re:^c$"]})
    make = schemas(table(filters={"excludes": ["re:^l__b"]}), nested)
    compare([[ROWS], [ROWS]], make)


def test_excluded_columns_that_others_are_made_of() -> None:
    """An excluded column is still inherited, is still the key of an id, and an id still is one."""
    hidden = {"excludes": ["re:^id$"]}
    rows = [{"_dlt_id": str(number), "id": number, "l": [number]} for number in (1, 2)]
    compare([[rows]], schemas(table(filters=hidden), config={"propagation": {"root": {"id": "k"}}}))
    key = {"id": {"data_type": "bigint", "primary_key": True}}
    hints = {"write_disposition": "merge", "x-merge-strategy": "upsert"}
    with merging():
        compare([[[{"id": 1, "l": [1]}]]], schemas(table(key, filters=hidden, **hints)), exact=True)
    schema = schemas(table(filters={"excludes": ["re:^_dlt_id$"]}))()
    got = actual(schema, "items", [json.dumps(rows).encode()])
    assert [row["_dlt_parent_id"] for row in got["items__l"]] == ["1", "2"]
    assert "_dlt_id" not in got["items"][0]


def test_rows_that_are_left_for_what_is_added() -> None:
    """Rows of which only a value is left that their page brings for all of them are rows."""
    filters = {"excludes": ["re:.*"], "includes": ["re:^issue$"]}
    dialect = Dialect(schemas(table(filters=filters))())
    [tables] = Normalizer("items", dialect=dialect).stream([(b'[{"a": 1}, {}]', {"issue": 7})])
    assert tables["items"].to_pylist() == [{"issue": 7}, {"issue": 7}]


def test_filters_given_after_the_schema_was_made() -> None:
    """Filters count that were set on the schema of a source, before it was ever stored."""
    schema = schemas()()
    schema.update_table(table(filters={"excludes": ["re:^a$"]}))
    assert "a" not in actual(schema, "items", [b'[{"a": 1, "b": 2}]'])["items"][0]


def test_a_choice_of_rows_needs_their_ids() -> None:
    """A mask of root rows whose ids are left out is refused: rows below could not follow."""
    dialect = Dialect(schemas(table(filters={"excludes": ["re:^_dlt_id$"]}))())
    tables = Normalizer("items", dialect=dialect)(b'[{"a": 1, "l": [1]}, {"a": 2, "l": [2]}]')
    with pytest.raises(NormalizeError, match="expected _dlt_id in items"):
        select(tables, "items", lambda rows: pc.equal(rows["a"], 1), dialect)
