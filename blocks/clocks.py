"""Clocks: columns of what clocks in a zone show, as instants.

An instant is a `timestamp[us, UTC]` of Arrow, a zone a name of the IANA database.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Gap", "placed"]

Gap: TypeAlias = Literal["earliest", "latest"]
"""Which instant is meant by a time that clocks skip: the last before, or the first after."""

# Of 2**35 us each, and how many of them are looked at one by one: half a month.
_CELL, _NEAR = 35, 40
# Up to so many values are not worth them.
_FEW = 1000


def placed(column: pa.ChunkedArray, zone: str, gap: Gap) -> pa.ChunkedArray:
    """The instants at which clocks in `zone` first show the microseconds of a column.

    Of a time that they never show, the "earliest" or "latest" instant beside the gap.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    utc, number = pa.timestamp("us", "UTC"), pa.int64()
    micros = column.cast(number).combine_chunks()
    if zone == "UTC":
        found = micros
    elif len(micros) < _FEW:
        found = _placed(micros, zone, gap)
    else:
        # One by one that takes 65 ns a value, so 2, or 13 (bench/cursors.py). Clocks never change
        # twice within a cell of 2**35 us, nine and a half hours: where its first and its last time
        # are as far from UTC, all between them are. What is in other cells is looked up.
        ends = pc.min_max(micros)
        first, last = (-1 if each is None else each >> _CELL for each in ends.as_py().values())
        if last - first < _NEAR and (offset := _offset(first, last, zone)) is not None:
            return pa.chunked_array([pc.subtract(micros, pa.scalar(offset, number)).cast(utc)])
        cells = pc.shift_right(micros, pa.scalar(_CELL, number)).dictionary_encode()
        found = pc.subtract(micros, _offsets(cells.dictionary, zone).take(cells.indices))
        if found.null_count != micros.null_count:
            rest = pc.and_(found.is_null(), micros.is_valid())
            found = pc.replace_with_mask(found, rest, _placed(micros.filter(rest), zone, gap))
    return pa.chunked_array([found.cast(utc)])


def _placed(micros: pa.Array, zone: str, gap: Gap) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    clocks = micros.cast(pa.timestamp("us"))
    found = pc.assume_timezone(clocks, zone, ambiguous="earliest", nonexistent=gap)
    return found.cast(pa.int64())


def _offsets(cells: pa.Array, zone: str) -> pa.Array:
    """How far from UTC all times of each cell are, in microseconds; null where clocks change."""
    import pyarrow as pa
    import pyarrow.compute as pc

    number = pa.int64()
    first = pc.shift_left(cells, pa.scalar(_CELL, number))
    ends = pa.concat_arrays([first, pc.add(first, pa.scalar((1 << _CELL) - 1, number))])
    offsets = pc.subtract(ends, _placed(ends, zone, "earliest"))
    before, after = offsets[: len(first)], offsets[len(first) :]
    return pc.if_else(pc.equal(before, after), before, pa.scalar(None, number))


@lru_cache(maxsize=1024)
def _offset(first: int, last: int, zone: str) -> int | None:
    """How far from UTC all times of all these cells are, if clocks do not change."""
    import pyarrow as pa

    found = {*_offsets(pa.array(range(first, last + 1), pa.int64()), zone).to_pylist()}
    return found.pop() if len(found) == 1 else None
