"""Calendars: where a window that begins at a point ends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Literal, TypeAlias, get_args

from blocks.errors import ConfigError
from blocks.instants import midnight, zone_of
from blocks.kinds import Point

__all__ = ["Every", "following"]

_Unit: TypeAlias = Literal["day", "week", "month", "quarter", "year"]

Every: TypeAlias = timedelta | int | _Unit
"""How long windows are: that long, or as the calendar has them."""

_MONTHS = {"month": 1, "quarter": 3, "year": 12}


def following(every: Every, zone: str) -> Callable[[Point], Point]:
    """From the start of a window of `every` to its end.

    Windows of the calendar end where the next day, week (Monday), month, quarter or year begins in
    `zone`, wherever they start. Whole days of a `timedelta` are days of `zone` too, which have 23
    or 25 hours where its clocks change. Integers are added to integers.

    >>> start = datetime(2024, 3, 30, 12, tzinfo=UTC)
    >>> following("month", "Europe/Berlin")(start).isoformat()
    '2024-03-31T22:00:00+00:00'
    >>> following(timedelta(days=1), "Europe/Berlin")(start).isoformat()
    '2024-03-31T11:00:00+00:00'
    """
    if isinstance(every, int):
        return lambda number: number + every
    if isinstance(every, timedelta):
        days = timedelta(every.days)
        # What is added to a time with a zone is added to the time on its clocks.
        return lambda time: (time.astimezone(zone_of(zone)) + days).astimezone(UTC) + every - days
    if every not in get_args(_Unit):
        units = ", ".join(get_args(_Unit))
        raise ConfigError(f"expected a length of windows, or one of {units}, got {every!r}")

    def next_midnight(time: datetime) -> datetime:
        return midnight(_after(time.astimezone(zone_of(zone)).date(), every), zone)

    return next_midnight


def _after(day: date, unit: _Unit) -> date:
    """The first day of the `unit` after that of `day`."""
    if unit == "day":
        return day + timedelta(1)
    if unit == "week":
        return day + timedelta(7 - day.weekday())
    months = _MONTHS[unit]
    month = day.month - 1 + months - (day.month - 1) % months
    return date(day.year + month // 12, month % 12 + 1, 1)
