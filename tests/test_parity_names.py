"""Names and nesting: where each key, list and value goes is where dlt puts it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.oracle import compare, schemas, table, with_level

LONG = "a_rather_long_name_for_a_key"

ROWS: dict[str, list[Any]] = {
    "flat": [{"id": 1, "a": "x"}, {"a": "y", "id": 2}],
    "objects": [{"a": {"b": {"c": 1}, "d": 2}}, {"a": {"b": None}}, {"a": None}, {}],
    "lists": [{"l": [{"a": 1}, {"a": 2}]}, {"l": []}, {"l": None}, {}],
    "lists of scalars": [{"l": [1, 2.5, "x", None, True]}],
    "lists of lists": [{"l": [[[1, 2], []], [[3]], []]}, {"l": [[["x"]]]}],
    "mixed lists": [{"l": [1, {"a": 2}, [3, {"b": 4}], None, "x"]}, {"l": {"a": 1}}, {"l": 7}],
    "lists below objects": [{"a": {"b": [{"c": [1]}], "d": {"e": [2]}}}],
    "objects below lists": [{"l": [{"a": {"b": 1, "l": [{"z": 1}]}}]}],
    "empty": [{}, {"a": {}}, {"l": [{}, []]}, {"a": {"b": {}}}],
    "only nulls": [{"a": None, "b": {"c": None}, "l": [None]}],
    "late columns": [{"a": 1}, {"b": 1}, {"l": [1]}, {"c": {"d": 1}}],
    "vanished columns": [{"a": 1, "l": [1]}, {"a": 1}, {}],
    "empty and blank keys": [{"": 1, " ": 2}, {"a": {"": {"": 3}}}, {"\t": 4}],
    "case": [{"userId": 1}, {"UserID": 2}, {"user_id": 3}],
    "separators": [{"a.b": 1, "a-b": 2}, {"a b": 3, "c__d": 4}, {"__e__": 5, "_f": 6, "g__": 7}],
    "unicode": [{"ä": 1, "日本": 2}, {"😀": 3, "ﬁ": 4}, {"İ": {"ß": [1]}}],
    "unnameable": [{'a"b': 1, "c\\d": {"\x01": [1]}, "\x00": 2}, {'a"b': "x"}],
    "digits": [{"1": 1, "2a": [1]}, {"1": {"2": 3}}],
    "words of dlt": [{"value": 1, "list": [2]}, {"list": [[1]], "value": {"value": 3}}],
    "long": [{LONG * 4: 1, "b": {LONG: {LONG: [{LONG: 1}]}}}],
    "records that are no objects": [
        1,
        "x",
        None,
        True,
        1.5,
        [1, [2]],
        {"value": 3},
        {"value": [4]},
    ],
}


@pytest.mark.parametrize("naming", ["snake_case", "direct", "sql_ci_v1"])
@pytest.mark.parametrize("name", ROWS)
def test_names(name: str, naming: str) -> None:
    """Under each naming convention, in one page, page by page and run by run."""
    rows, make = ROWS[name], schemas(names=naming)
    compare([[rows]], make)
    compare([[rows, rows], [rows]], make)
    compare([[[row] for row in rows]], make)


@pytest.mark.parametrize("longest", [20, 27, 40])
@pytest.mark.parametrize("name", ROWS)
def test_names_shortened(name: str, longest: int) -> None:
    """Names longer than the destination allows are shortened with the tag dlt gives them."""
    rows = [*ROWS[name], {LONG: 1, LONG + "x": "y"}, {LONG: "x", LONG + "y": [{LONG: [1]}]}]
    rows.append({f"{LONG}__{LONG}": 1, f"{LONG}__{LONG}__{LONG}": [1]})
    compare([[rows]], schemas(longest=longest))
    compare([[[row]] for row in rows], schemas(longest=longest))


@pytest.mark.parametrize("level", range(5))
@pytest.mark.parametrize("name", ROWS)
def test_nesting(name: str, level: int) -> None:
    """What is nested deeper than `max_nesting` stays JSON, set for the source or the table."""
    rows = ROWS[name]
    for make in (
        schemas(config={"max_nesting": level}),
        schemas(with_level(level)),
        schemas(with_level(level), config={"max_nesting": 1}),
    ):
        compare([[rows], [rows]], make)


@pytest.mark.parametrize("name", ["objects", "lists", "mixed lists", "lists below objects"])
def test_json_columns(name: str) -> None:
    """A column hinted json keeps objects and lists whole, in nested tables too."""
    whole = {"data_type": "json"}
    rows = ROWS[name]
    compare([[rows], [rows]], schemas(table({"a": whole, "l": whole})))
    compare([[rows]], schemas(table(), table({"list": whole}, "items__l", parent="items")))
    compare([[rows]], schemas(table({"a__b": whole, "a__d": whole})))


@pytest.mark.parametrize("value", [1, "x", "[1]", '{"a": 1}', True, None, {}, [], 1.5, {"a": "b"}])
def test_values_of_json_columns(value: Any) -> None:
    """Text that is JSON becomes the value it says, other scalars become variants."""
    make = schemas(table({"a": {"data_type": "json"}}))
    compare([[[{"a": value}, {"a": {"z": value}}, {"a": [value]}, {"a": value}]]], make)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_pages(size: int) -> None:
    """Empty pages are nothing, and where pages end does not matter."""
    rows = [{"id": n, "l": [n, {"a": str(n)}], "x": n if n % 2 else str(n)} for n in range(6)]
    pages = [rows[at : at + size] for at in range(0, len(rows), size)]
    compare([[[], *pages, []], [[]], [rows]], rows=size)


@pytest.mark.parametrize(
    "rows",
    [
        [{"a": {"b": [1]}}, {"a": [{"b": ["x"]}]}],
        [{"a": [{"b": [1]}]}, {"a": {"b": ["x"]}}],
        [{"a": [{"b": ["x"]}], "z": 1}, {"a": {"b": [1]}}],
    ],
)
def test_nested_table_with_two_parents(rows: list[Any]) -> None:
    """A nested table reached by two ways takes its types in the order of rows."""
    compare([[rows]])
