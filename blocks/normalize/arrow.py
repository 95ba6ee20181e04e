"""Arrays: from a column of Python values to an Arrow array of its settled type.

`build` does what can be done for a whole column at once and says so when it cannot: then each
value goes to the dialect, which knows what dlt does with one that does not fit.
"""

from __future__ import annotations

import base64
import os
import struct
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from blocks.normalize.shape import BOOL, FLOAT, INT, STR
from blocks.normalize.sparse import Sparse

__all__ = ["build", "positions", "random_ids", "repeat"]

_INT64, _FLOAT64 = pa.int64(), pa.float64()
_NATIVE = {"text": STR, "bool": BOOL, "bigint": INT, "double": INT | FLOAT, "timestamp": STR}

# Arrow reads the year 0, dlt (as Python) does not. Nanoseconds begin in 1677.
_FIRST_SECOND = -62_135_596_800
# Rows from which on columns are worth a call each; places of sparse columns filled in one.
_FEW = 400
_SLOTS = 2**20
_UNITS = {"s": 1, "ms": 10**3, "us": 10**6}

_Column: TypeAlias = tuple[Sequence[Any], int]


def build(columns: Sequence[_Column], type_: str, arrow: pa.DataType) -> list[pa.Array | None]:
    """The arrays of some columns; `None` for one with values that need coercion one by one.

    A column comes with the kinds among its values; `type_` is the dlt type of all of them.
    """
    fitting = _NATIVE.get(type_, 0)
    built: list[pa.Array | None] = [None] * len(columns)
    dense: list[int] = []
    sparse: list[int] = []
    for index, (values, kinds) in enumerate(columns):
        if not kinds & ~fitting:
            (sparse if type(values) is Sparse else dense).append(index)
    for indexes in chain(_groups(columns, dense, _FEW), _groups(columns, sparse, _SLOTS)):
        group = [columns[index] for index in indexes]
        arrays = _together(group, type_, arrow)
        if arrays is None and len(group) > 1:
            alone = (_together([each], type_, arrow) or [None] for each in group)
            arrays = [*chain.from_iterable(alone)]
        for index, array in zip(indexes, arrays or [None], strict=True):
            built[index] = array
    return built


def _groups(columns: Sequence[_Column], indexes: list[int], most: int) -> Iterator[list[int]]:
    """The columns at `indexes`, put together for one call: it costs as much as a hundred values.

    Dense columns of few rows go together, and as many sparse ones as have `most` places.
    """
    if indexes:
        values = columns[indexes[0]][0]
        size = most // (len(values) or 1) if type(values) is Sparse else len(indexes)
        size = max(size, 1) if type(values) is Sparse or len(values) < most else 1
        for start in range(0, len(indexes), size):
            yield indexes[start : start + size]


def _together(
    columns: Sequence[_Column], type_: str, arrow: pa.DataType
) -> Sequence[pa.Array] | None:
    """The arrays of `columns`, all sparse or none, made in one call."""
    first, kinds = columns[0]
    count = len(first)
    if type(first) is not Sparse and len(columns) == 1:
        whole = _column(first, kinds, type_, arrow)
        return None if whole is None else [whole]
    for _, others in columns:
        kinds |= others
    sparse = [column for column, _ in columns if isinstance(column, Sparse)]
    values = [column.values for column in sparse] or [column for column, _ in columns]
    whole = _column(list(chain.from_iterable(values)), kinds, type_, arrow)
    if whole is None:
        return None
    if sparse:
        places = [column.places for column in sparse]
        rows = pa.array(list(chain.from_iterable(places)), pa.int64())
        owners, _ = positions([*map(len, places)])
        slots = pc.add(pc.multiply(owners, count), rows)
        whole = whole.take(pc.inverse_permutation(slots, max_index=count * len(columns) - 1))
    return [whole.slice(start, count) for start in range(0, len(whole), count)]


def _column(values: Sequence[Any], kinds: int, type_: str, arrow: pa.DataType) -> pa.Array | None:
    try:
        if type_ == "timestamp":
            return _timestamps(pa.array(values, pa.string()), arrow)
        packed = _packed(values, kinds, arrow)
        return pa.array(values, arrow) if packed is None else packed
    except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError):
        return None  # beyond 64 bits, an integer that a float cannot hold, half a character


def _packed(values: Sequence[Any], kinds: int, arrow: pa.DataType) -> pa.Array | None:
    """Numbers without a null: packed in one call, three times faster than Arrow converts them."""
    if kinds == INT and arrow == _INT64:
        code = "q"
    elif not kinds & ~(INT | FLOAT) and arrow == _FLOAT64:
        code = "d"
    else:
        return None
    try:
        data = struct.pack(f"{len(values)}{code}", *values)
    except struct.error:
        return None  # a null among them, or an integer beyond 64 bits
    return pa.Array.from_buffers(arrow, len(values), [None, pa.py_buffer(data)])


def _timestamps(texts: pa.Array, arrow: pa.DataType) -> pa.Array | None:
    """ISO 8601 texts as timestamps, all with an offset or all without one (then UTC)."""
    if arrow.tz != "UTC":
        return None
    try:
        times = pc.cast(texts, arrow)
    except pa.ArrowInvalid:
        try:
            times = pc.assume_timezone(pc.cast(texts, pa.timestamp(arrow.unit)), "UTC")
        except pa.ArrowInvalid:
            return None
    first = pc.min(times.cast(pa.int64())).as_py()
    if first is not None and first < _FIRST_SECOND * _UNITS.get(arrow.unit, 10**9):
        return None
    return times


def random_ids(count: int, length: int) -> pa.Array:
    """`count` random ids of `length` base64 characters (6 random bits each)."""
    text = base64.b64encode(os.urandom(-(-count * length * 3 // 4)))[: count * length]
    offsets = pa.arange(0, (count + 1) * length, length).cast(pa.int32())
    return pa.StringArray.from_buffers(count, offsets.buffers()[1], pa.py_buffer(text))


def positions(counts: Sequence[int] | pa.Array) -> tuple[pa.Array, pa.Array]:
    """For lists of `counts` elements: each element's list, and its place in that list."""
    sizes = pa.concat_arrays([pa.array([0], _INT64), pa.array(counts, _INT64)])
    offsets = pc.cumulative_sum(sizes)
    total = offsets[-1].as_py()
    lists = pa.LargeListArray.from_arrays(offsets, pa.nulls(total))
    parents = pc.list_parent_indices(lists)
    return parents, pc.subtract(pa.arange(0, total, 1), offsets.take(parents))


def repeat(value: str, count: int) -> pa.Array:
    """`count` times the same text."""
    return pa.repeat(pa.scalar(value, pa.string()), count)
