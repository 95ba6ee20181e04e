"""Instants: points in time out of what APIs and Arrow columns hold, and calendars to round them by.

An instant is an aware `datetime` in UTC, in Arrow a `timestamp[us, UTC]`. Zones are names of the
IANA database.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from blocks.errors import ConfigError, CursorError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["each", "floor", "instant", "instants", "midnight", "unambiguous", "zone_of"]


@lru_cache(maxsize=64)
def zone_of(name: str) -> tzinfo:
    """The zone called `name`; raises `ConfigError` if there is none."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ConfigError(f"zone: expected one such as Europe/Berlin, got {name!r}") from None


def instant(value: Any, zone: str) -> datetime:
    """The instant of a `datetime`, of the start of a `date`, or of an RFC 3339 text.

    What has no offset is taken to be in `zone`. Digits after the sixth are cut off; a leap second
    counts as the end of the second before it. Raises `CursorError` for anything else.

    >>> instant("2024-05-01t10:00:00.9999999+02:00", "UTC").isoformat()
    '2024-05-01T08:00:00.999999+00:00'
    """
    found = value
    if isinstance(value, str):
        # RFC 3339, section 5.6: `t` and `z` may be lower case, a second may be the 61st.
        text = re.sub(r":60(?:\.\d*)?(?=$|[Z+-])", ":59.999999", value.upper())
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            found = None
    if isinstance(found, date) and not isinstance(found, datetime):
        return midnight(found, zone)
    if not isinstance(found, datetime):
        raise CursorError(f"expected a time, got {value!r}")
    try:
        return (found if found.tzinfo else found.replace(tzinfo=zone_of(zone))).astimezone(UTC)
    except OverflowError:
        raise CursorError(f"expected a time of the years 1 to 9999, got {value!r}") from None


def midnight(day: date, zone: str) -> datetime:
    """The first instant of `day`, also where clocks change at midnight.

    Raises `CursorError` where that is not of the years 1 to 9999 in UTC.
    """
    try:
        return datetime.combine(day, time(), zone_of(zone)).astimezone(UTC)
    except OverflowError:
        raise CursorError(f"expected a day of the years 1 to 9999, got {day}") from None


def floor(point: datetime, step: timedelta, zone: str) -> datetime:
    """Down to a multiple of `step` after midnight in `zone`.

    Raises `CursorError` where that is not of the years 1 to 9999, as in the zero of .NET and Go
    west of Greenwich.
    """
    try:
        return _floor(point, step, zone)
    except OverflowError:
        message = f"expected a time of the years 1 to 9999 in {zone}, got {point}"
        raise CursorError(message) from None


def _floor(point: datetime, step: timedelta, zone: str) -> datetime:
    local = point.astimezone(zone_of(zone))
    wall = local.replace(tzinfo=None)
    rounded = wall - (wall - datetime.combine(wall, time())) % step
    return min(point, rounded.replace(tzinfo=local.tzinfo, fold=local.fold).astimezone(UTC))


def unambiguous(point: datetime, zone: str) -> datetime:
    """`point`, or the first instant of the stretch around it that clocks in `zone` show twice.

    >>> unambiguous(datetime(2024, 10, 27, 1, 30, tzinfo=UTC), "Europe/Berlin").isoformat()
    '2024-10-27T00:00:00+00:00'
    """
    where = zone_of(zone)
    local = point.astimezone(where)
    offset = local.replace(fold=0).utcoffset()
    twice = (offset or timedelta()) - (local.replace(fold=1).utcoffset() or timedelta())
    if not twice:
        return point
    before = local.replace(fold=0).astimezone(UTC)
    after = before + twice
    while after - before > timedelta.resolution:
        middle = before + (after - before) // 2
        if middle.astimezone(where).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after - twice


def instants(column: pa.ChunkedArray, zone: str, *, local: bool = False) -> pa.ChunkedArray:
    """The instants of a column of timestamps, dates or RFC 3339 texts; nulls stay.

    What has no offset is taken to be in `zone`. With `local` neither have timestamps in UTC: dlt
    makes those of texts without an offset. Raises `CursorError` for other columns and texts.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    # Of a time that never was, as clocks went forward over it, the last instant before: bounds are
    # later on clocks too. Of a day that begins so, its first.
    gap = "latest" if pa.types.is_date(kind) else "earliest"
    if pa.types.is_null(kind) or pa.types.is_date(kind):
        column = pc.cast(column, pa.timestamp("us"))
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        # Arrow reads the common forms, many times faster than Python (bench/cursors.py).
        with suppress(pa.ArrowInvalid):
            return pc.cast(column, pa.timestamp("us", "UTC"))
        with suppress(pa.ArrowInvalid):  # nine digits, of the years 1677 to 2262
            return instants(pc.cast(pc.ascii_upper(column), pa.timestamp("ns", "UTC")), zone)
        return each(column, lambda text: instant(text, zone), pa.timestamp("us", "UTC"))
    elif not pa.types.is_timestamp(kind):
        raise CursorError(f"expected times, got a column of {kind}")
    elif kind.unit == "ns":  # a cast would round up what is before 1970
        column = pc.floor_temporal(column, unit="microsecond")
    if local and column.type.tz is not None:
        column = pc.local_timestamp(pc.cast(column, pa.timestamp(column.type.unit, "UTC")))
    try:
        if column.type.tz is None:
            column = pc.assume_timezone(column, zone, ambiguous="earliest", nonexistent=gap)
        return pc.cast(column, pa.timestamp("us", "UTC"))
    except pa.ArrowInvalid as error:
        raise CursorError(f"expected times of the years 1 to 9999: {error}") from error


def each(column: pa.ChunkedArray, read: Callable[[Any], Any], kind: pa.DataType) -> pa.ChunkedArray:
    """A column of what `read` makes of each value; it is called once for equal ones, not for null.

    >>> import pyarrow as pa
    >>> each(pa.chunked_array([["1", None], ["2"]]), int, pa.int64()).to_pylist()
    [1, None, 2]
    """
    import pyarrow as pa

    found = []
    for chunk in column.chunks:
        try:
            distinct = chunk.dictionary_encode()
        except pa.ArrowNotImplementedError:
            raise CursorError(f"expected plain values, got a column of {chunk.type}") from None
        values = pa.array([read(value) for value in distinct.dictionary.to_pylist()], kind)
        found.append(values.take(distinct.indices))
    return pa.chunked_array(found, kind)
