"""Arrays: whole columns where that is right, none where single values need a look."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from dlt.common.time import ensure_datetime
from hypothesis import given
from hypothesis import strategies as st

from blocks.normalize.arrow import build, positions, random_ids, repeat
from blocks.normalize.shape import NULL, STR, kinds_of

UTC = pa.timestamp("us", "UTC")


@pytest.mark.parametrize(
    ("values", "type_", "arrow"),
    [
        (["a", None], "text", pa.string()),
        ([True, None], "bool", pa.bool_()),
        ([1, 2**63 - 1], "bigint", pa.int64()),
        ([1, 2.5], "double", pa.float64()),
    ],
)
def test_native_columns(values: list[Any], type_: str, arrow: pa.DataType) -> None:
    """Values of the column's own type become an array at once."""
    [array] = build([(values, kinds_of(v for v in values if v is not None))], type_, arrow)
    assert array is not None
    assert array.to_pylist() == values


@pytest.mark.parametrize(
    ("values", "type_", "arrow"),
    [
        ([1, "a"], "text", pa.string()),
        ([2**63], "bigint", pa.int64()),
        (["1"], "decimal", pa.decimal128(38, 9)),
        (["x"], "timestamp", UTC),
        (["2024-01-02T00:00:00Z", "2024-01-02T00:00:00"], "timestamp", UTC),
        (["2024-01-02T00:00:00Z"], "timestamp", pa.timestamp("us")),
        (["0000-01-01"], "timestamp", UTC),
    ],
)
def test_columns_to_look_at(values: list[Any], type_: str, arrow: pa.DataType) -> None:
    """A column with anything that needs coercion is left to the dialect."""
    assert build([(values, kinds_of(values))], type_, arrow) == [None]


@given(
    text=st.one_of(
        st.datetimes().map(lambda moment: moment.isoformat()),
        st.datetimes(timezones=st.just(None)).map(lambda moment: moment.isoformat(" ")),
        st.from_regex(
            r"\A[0-9]{4}-[01][0-9]-[0-3][0-9]([T ][0-2][0-9](:?[0-6][0-9](:?[0-6][0-9]"
            r"([.][0-9]{1,9})?)?)?)?(Z|[+-][0-2][0-9](:?[0-6][0-9])?)?\Z"
        ),
    )
)
def test_times_mean_what_dlt_reads(text: str) -> None:
    """A text that becomes a time at once is one dlt reads, as the same instant."""
    [array] = build([([text], STR)], "timestamp", UTC)
    if array is not None:
        want = ensure_datetime(text)
        assert array == pa.array([want], UTC)


@given(counts=st.lists(st.integers(0, 4)))
def test_positions(counts: list[int]) -> None:
    """Each element's list and its place in it, in order."""
    lists, places = positions(counts)
    pairs = [(n, place) for n, count in enumerate(counts) for place in range(count)]
    assert list(zip(lists.to_pylist(), places.to_pylist(), strict=True)) == pairs


@pytest.mark.parametrize("length", [1, 14])
def test_ids(length: int) -> None:
    """As many ids as asked for, of the length asked for, all different."""
    ids = random_ids(1000, length).to_pylist()
    assert {len(one) for one in ids} == {length}
    assert length == 1 or len(set(ids)) == 1000
    assert random_ids(0, length).to_pylist() == []
    assert repeat("a", 2).to_pylist() == ["a", "a"]


@given(values=st.lists(st.integers(-(2**70), 2**70) | st.floats(allow_nan=False)))
def test_doubles_are_those_of_float(values: list[Any]) -> None:
    """Integers and floats in a double column are what Python's float makes of them, as in dlt."""
    [array] = build([(values, kinds_of(values))], "double", pa.float64())
    assert array is not None
    assert array.to_pylist() == [float(value) for value in values]


MIXED: Any = st.sampled_from(
    [None, "a", "2024-01-02T00:00:00Z", "2024-01-02 03:04", "0000-01-01", 1, 2**53 + 1, 2**70, 0.5]
)


@given(
    rows=st.lists(st.tuples(MIXED, MIXED, MIXED), min_size=1, max_size=5),
    type_=st.sampled_from(["text", "bigint", "double", "timestamp"]),
)
def test_columns_together(rows: list[tuple[Any, ...]], type_: str) -> None:
    """Columns built together are those built alone."""
    arrow = {"text": pa.string(), "bigint": pa.int64(), "double": pa.float64()}.get(type_, UTC)
    columns = [(list(values), kinds_of(values) & ~NULL) for values in zip(*rows, strict=True)]
    alone = [array for column in columns for array in build([column], type_, arrow)]
    assert build(columns, type_, arrow) == alone
