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

from blocks.clocks import Gap, placed
from blocks.errors import ConfigError, CursorError
from blocks.layouts import CLOCK, DAY, INSTANT, Layout

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "distinct",
    "each",
    "floor",
    "instant",
    "instants",
    "midnight",
    "unambiguous",
    "zone_of",
]


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

    What has no offset is taken to be in `zone`; a time that clocks there skip is the last instant
    before, so that no bound, which clocks do show, parts it from the rows around it. Digits after
    the sixth are cut off; a leap second counts as the end of the second before it. Raises
    `CursorError` for anything else.

    >>> instant("2024-05-01t10:00:00.9999999+02:00", "UTC").isoformat()
    '2024-05-01T08:00:00.999999+00:00'
    >>> instant("2024-03-31T02:30:00", "Europe/Berlin").isoformat()
    '2024-03-31T00:59:59.999999+00:00'
    """
    found = value
    if isinstance(value, str):
        # RFC 3339, section 5.6: `t` and `z` may be lower case, a second may be the 61st.
        text = re.sub(r":60(?:\.\d*)?(?=$|[Z+-])", ":59.999999", value.upper())
        with suppress(ValueError):
            # A day has ten characters at the most, a time eleven at the least.
            found = (date if len(text) < 11 else datetime).fromisoformat(text)
    if isinstance(found, date) and not isinstance(found, datetime):
        return midnight(found, zone)
    if not isinstance(found, datetime):
        raise CursorError(f"expected a time, got {value!r}")
    try:
        return found.astimezone(UTC) if found.tzinfo else _shown(found, zone_of(zone))
    except OverflowError:
        raise CursorError(f"expected a time of the years 1 to 9999, got {value!r}") from None


def _shown(clock: datetime, where: tzinfo) -> datetime:
    local = clock.replace(tzinfo=where)
    found = local.astimezone(UTC)
    if found.astimezone(where).replace(tzinfo=None) == clock:
        return found
    # Skipped: by the offset before that is after the change, by the one after it is before.
    early, late = (local.replace(fold=fold).astimezone(UTC) for fold in (1, 0))
    return _change(early, late, where) - timedelta.resolution


def _change(before: datetime, after: datetime, where: tzinfo) -> datetime:
    """When clocks change between the two: the first instant with another offset than `before`."""
    offset = before.astimezone(where).utcoffset()
    while after - before > timedelta.resolution:
        middle = before + (after - before) // 2
        if middle.astimezone(where).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after


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
    return _change(before, before + twice, where) - twice


def instants(column: pa.ChunkedArray, zone: str, *, local: bool = False) -> pa.ChunkedArray:
    """The instants of a column of timestamps, dates or RFC 3339 texts; nulls stay.

    What has no offset is taken to be in `zone`. With `local` neither have timestamps in UTC: dlt
    makes those of texts without an offset. Raises `CursorError` for other columns and texts.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    # As `instant` has it, and a day that begins so with its first instant.
    gap: Gap = "latest" if pa.types.is_date(kind) else "earliest"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _written(column, zone)
    if pa.types.is_null(kind) or pa.types.is_date(kind):
        column = pc.cast(column, pa.timestamp("us"))
    elif not pa.types.is_timestamp(kind):
        raise CursorError(f"expected times, got a column of {kind}")
    try:
        column = _micros(column)
        if local and column.type.tz is not None:
            column = column.cast(pa.int64()).cast(pa.timestamp("us"))
        if column.type.tz is None:
            return placed(column, zone, gap)
        return pc.cast(column, pa.timestamp("us", "UTC"))
    except pa.ArrowInvalid as error:
        raise CursorError(f"expected times of the years 1 to 9999: {error}") from error


def _written(column: pa.ChunkedArray, zone: str) -> pa.ChunkedArray:
    """Of texts: as C reads the common forms, or Arrow, or Python, which is slowest by far."""
    if (found := INSTANT.read(column)) is not None:
        return found
    local: dict[Layout, Gap] = {CLOCK: "earliest", DAY: "latest"}
    for form, gap in local.items():
        if (found := form.read(column)) is not None:
            return placed(found, zone, gap)
    return _cast(column, zone)


def _cast(column: pa.ChunkedArray, zone: str) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    utc, nanos, days, clocks = (
        *(pa.timestamp("us", "UTC"), pa.timestamp("ns", "UTC")),
        *(pa.date32(), pa.timestamp("us")),
    )
    some = (column.drop_null() if column.null_count else column).slice(0, 8)

    def reads(texts: pa.ChunkedArray, kind: pa.DataType) -> bool:
        # Some: of a column that it cannot read, Arrow takes its time to say so.
        with suppress(pa.ArrowInvalid):
            texts.cast(kind)
            return True
        return False

    with suppress(pa.ArrowInvalid):
        if reads(some, utc):
            return pc.cast(column, utc)
    with suppress(pa.ArrowInvalid):
        if reads(pc.ascii_upper(some), nanos):  # of the years 1677 to 2262
            return _micros(pc.cast(pc.ascii_upper(column), nanos))
        if reads(some, days):
            found = column.cast(days)
            return distinct(found, lambda each: placed(each.cast(clocks), zone, "latest"))
        if reads(some, clocks):
            return placed(pc.cast(column, clocks), zone, "earliest")
    return each(column, lambda text: instant(text, zone), pa.timestamp("us", "UTC"))


def _micros(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Timestamps as microseconds, downwards."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.type.unit == "ns":
        # A cast rounds up what is before 1970, and takes a twentieth of the time.
        early = pc.min(column).cast(pa.int64()).as_py()
        if early is not None and early < 0:
            column = pc.floor_temporal(column, unit="microsecond")
        return pc.cast(column, pa.timestamp("us", column.type.tz), safe=False)
    return pc.cast(column, pa.timestamp("us", column.type.tz))


def distinct(
    column: pa.ChunkedArray, read: Callable[[pa.ChunkedArray], pa.ChunkedArray]
) -> pa.ChunkedArray:
    """What `read` makes of a column, made of its distinct values; null stays.

    >>> import pyarrow as pa
    >>> column = pa.chunked_array([["a", None, "b"], ["a"]])
    >>> distinct(column, lambda texts: pa.chunked_array([range(len(texts))])).to_pylist()
    [0, None, 1, 0]
    """
    import pyarrow as pa

    try:
        encoded = column.dictionary_encode().unify_dictionaries()
    except pa.ArrowNotImplementedError:
        raise CursorError(f"expected plain values, got a column of {column.type}") from None
    if not encoded.num_chunks:
        return read(column)
    values = read(pa.chunked_array([encoded.chunk(0).dictionary])).combine_chunks()
    return pa.chunked_array([values.take(chunk.indices) for chunk in encoded.chunks], values.type)


def each(column: pa.ChunkedArray, read: Callable[[Any], Any], kind: pa.DataType) -> pa.ChunkedArray:
    """A column of what `read` makes of each value; it is called once for equal ones, not for null.

    >>> import pyarrow as pa
    >>> each(pa.chunked_array([["1", None], ["2"]]), int, pa.int64()).to_pylist()
    [1, None, 2]
    """
    import pyarrow as pa

    return distinct(
        column, lambda values: pa.chunked_array([[*map(read, values.to_pylist())]], kind)
    )
