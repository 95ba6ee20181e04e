"""Sparse columns: what the few rows that have a key become, beside what dense ones do."""

from __future__ import annotations

from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.normalize import Normalizer
from blocks.normalize.arrow import build
from blocks.normalize.shape import NULL, STR, Shape, kinds_of
from blocks.normalize.sparse import Sparse, turn
from tests.oracle import compare

VALUES: Any = st.sampled_from([None, "a", "2024-01-02T00:00:00Z", 1, 2**70, 0.5, True])
ROWS = st.lists(st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4), max_size=12)


@given(rows=ROWS, repeats=st.integers(1, 5), texts=st.booleans())
def test_turning(rows: list[dict[Any, Any]], repeats: int, texts: bool) -> None:
    """Keys come as they are first met, with all their values in the order of the rows.

    Keys that are no texts are turned in Python, as all are where nothing was compiled.
    """
    rows = [{key if texts else ord(key): value for key, value in row.items()} for row in rows]
    rows *= repeats
    expected = {
        key: [(index, row[key]) for index, row in enumerate(rows) if key in row]
        for key in dict.fromkeys(key for row in rows for key in row)
    }
    turned = {key: list(zip(places, values, strict=True)) for key, places, values in turn(rows)}
    assert turned == expected
    assert list(turned) == list(expected)


@given(column=st.lists(VALUES, max_size=9))
def test_as_a_sequence(column: list[Any]) -> None:
    """A sparse column reads as the list that it stands for."""
    places = [index for index, value in enumerate(column) if value is not None]
    sparse = Sparse(len(column), places, [column[index] for index in places])
    assert list(sparse) == column
    assert [sparse[index] for index in range(len(sparse))] == column
    assert sparse[1:3] == column[1:3]


@given(
    rows=st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=6),
    dense=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    type_=st.sampled_from(["text", "bigint", "double", "bool", "timestamp"]),
)
def test_arrays_are_those_of_dense_columns(
    rows: list[tuple[Any, ...]], dense: tuple[bool, ...], type_: str
) -> None:
    """Whatever columns are built together, sparse or not, each is what its list alone becomes.

    Only integers beyond 64 bits, which stop a list with nulls, become floats at once without them.
    """
    types = {"text": pa.string(), "bigint": pa.int64(), "double": pa.float64(), "bool": pa.bool_()}
    arrow = types.get(type_, pa.timestamp("us", "UTC"))
    columns: list[tuple[Any, int]] = []
    alone: list[Any] = []
    for column, is_dense in zip(zip(*rows, strict=True), dense, strict=True):
        kinds = kinds_of(column) & ~NULL
        places = [index for index, value in enumerate(column) if value is not None]
        sparse = Sparse(len(column), places, [column[index] for index in places])
        columns.append((list(column) if is_dense else sparse, kinds))
        alone += build([(list(column), kinds)], type_, arrow)
    for built, expected, (column, _) in zip(
        build(columns, type_, arrow), alone, columns, strict=True
    ):
        if expected is None and built is not None:
            floats = [value if value is None else float(value) for value in column]
            assert built == pa.array(floats, pa.float64())
        else:
            assert built == expected


def test_many_sparse_columns_go_in_several_calls() -> None:
    """Columns of more places than one call fills come out whole."""
    size = 400_000
    columns = [(Sparse(size, [place], [str(place)]), STR) for place in (0, 7, size - 1)]
    arrays = build(columns, "text", pa.string())
    assert [array.drop_null().to_pylist() for array in arrays if array] == [
        ["0"],
        ["7"],
        ["399999"],
    ]
    assert [array.is_valid().index(True).as_py() for array in arrays if array] == [0, 7, size - 1]


@pytest.mark.parametrize("path", ["", "payload"])
def test_tables_of_sparse_objects(path: str) -> None:
    """Objects with few of very many keys load as dlt loads them: types, variants, lists."""
    time = "2024-01-02T00:00:00Z"
    values: list[Any] = ["x", 1, 2.5, True, None, time, {"in": 1}, [1, {"a": 2}]]
    rows = [
        {f"key{(number * 7 + step) % 200}": values[(number * step) % 8] for step in range(6)}
        for number in range(300)
    ]
    whole = [{"id": index, path: row} if path else row for index, row in enumerate(rows)]
    runs = [[whole[start : start + 50] for start in range(0, 300, 50)], [whole[:30]]]
    compare(runs)


def test_what_is_sparse() -> None:
    """Objects are sparse if they have many keys together, and each of them few of these."""
    few = Shape.of(*({f"key{index}": 1} for index in range(64)))
    many = Shape.of(*({f"key{index}": 1} for index in range(65)))
    full = Shape.of({f"key{index}": 1 for index in range(65)})
    assert (few.is_sparse, many.is_sparse, full.is_sparse) == (False, True, False)
    bodies = [orjson.dumps([{f"key{index}": index} for index in range(65)]), b'[{"new": {"a": 1}}]']
    tables = [tables["items"] for tables in Normalizer("items").stream(bodies, 1)]
    assert tables[-1].select(["new__a"]).to_pylist() == [{"new__a": 1}]
