"""Times, as APIs write them: text, numbers, days, or in a format of their own."""

from __future__ import annotations

import math
import re
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from blocks.errors import ConfigError, CursorError
from blocks.instants import (
    each,
    floor,
    instant,
    instants,
    midnight,
    unambiguous,
    zone_of,
)

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Dates", "Epoch", "Pattern", "Times"]

_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Microseconds: well beyond the year 9999.
_FARTHEST = 10**18
_UNITS = {
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
    "us": timedelta(microseconds=1),
}
_STEPS = (_UNITS["us"], _UNITS["s"], timedelta(minutes=1), timedelta(hours=1), _DAY)
_SAMPLE = datetime(2001, 11, 22, 17, 34, 45, 678901, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Times:
    """Instants as RFC 3339 text, written with the offset of `zone`.

    Text of any offset and precision is read; without an offset it is taken to be in `zone`. Digits
    after the sixth are cut off, never rounded up, so a lower bound is never too late.

    >>> instant = datetime(2024, 5, 1, 10, 0, 30, tzinfo=UTC)
    >>> Times().write(instant), Times(timedelta(minutes=1), zone="Asia/Kolkata").write(instant)
    ('2024-05-01T10:00:30Z', '2024-05-01T15:30:00+05:30')
    """

    unique: ClassVar[bool] = False
    # Not a second: many an API keeps milliseconds, and an inclusive upper bound a second before
    # another would lose the rows between. One that takes no fraction refuses it aloud.
    step: timedelta = timedelta(microseconds=1)
    _: KW_ONLY
    zone: str = "UTC"

    def __post_init__(self) -> None:
        _check(self.step, self.zone)

    def read(self, value: Any) -> datetime:
        """The instant of a text, a `datetime`, or the start of a `date`."""
        return instant(value, self.zone)

    def points(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Timestamps in UTC."""
        return instants(column, self.zone)

    def write(self, point: datetime) -> str:
        """RFC 3339 text, with a fraction only where there is one."""
        text = self.floor(point).astimezone(zone_of(self.zone)).isoformat()
        return text.replace("+00:00", "Z") if self.zone == "UTC" else text

    def floor(self, point: datetime) -> datetime:
        """Down to the step, counted from midnight in `zone`."""
        return floor(point, self.step, self.zone)

    def back(self, point: datetime, steps: int = 1) -> datetime:
        """So much earlier."""
        return point - steps * self.step


@dataclass(frozen=True, slots=True)
class Epoch:
    """Whole seconds, milliseconds or microseconds since 1970.

    Fractions, and texts of numbers, are read too. Which unit it is is not guessed from the size.

    >>> Epoch("ms").write(Epoch("s").read("1714557600.25"))
    1714557600250
    """

    unique: ClassVar[bool] = False
    unit: Literal["s", "ms", "us"]

    def __post_init__(self) -> None:
        if self.unit not in _UNITS:
            raise ConfigError(f"unit: expected s, ms or us, got {self.unit!r}")

    @property
    def step(self) -> timedelta:
        """One unit."""
        return _UNITS[self.unit]

    def read(self, value: Any) -> datetime:
        """The instant of a number, also as text, of a `datetime`, or of the start of a `date`."""
        if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
            return instant(value, "UTC")
        try:
            micros = Decimal(value) * (self.step // _UNITS["us"])
            # Compared first: of 1e999999999 there is no making an integer.
            if abs(micros) < _FARTHEST:
                return _EPOCH + timedelta(microseconds=math.floor(micros))
        except (ArithmeticError, ValueError):
            pass
        raise CursorError(f"expected a number of {self.unit} since 1970, got {value!r}")

    def points(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Timestamps in UTC."""
        import pyarrow as pa

        if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
            return instants(column, "UTC")
        if pa.types.is_integer(column.type):
            try:
                return column.cast(pa.int64()).cast(pa.timestamp(self.unit, "UTC")).cast(_utc())
            except pa.ArrowInvalid:
                pass  # which one cannot be read, is said below
        return each(column, self.read, _utc())

    def write(self, point: datetime) -> int:
        """How many whole units lie before it."""
        return (point - _EPOCH) // self.step

    def floor(self, point: datetime) -> datetime:
        """Down to the unit."""
        return _EPOCH + self.write(point) * self.step

    def back(self, point: datetime, steps: int = 1) -> datetime:
        """So many units earlier."""
        return point - steps * self.step


@dataclass(frozen=True, slots=True)
class Dates:
    """Calendar days of `zone`, written `2024-05-01`; the point of a day is its first instant.

    Times are read as the day that they fall on. Days have 23 or 25 hours where clocks change.

    >>> days = Dates(zone="America/New_York")
    >>> days.read("2024-03-10").isoformat(), days.write(days.read("2024-03-11T01:00:00Z"))
    ('2024-03-10T05:00:00+00:00', '2024-03-10')
    """

    unique: ClassVar[bool] = False
    step: ClassVar[timedelta] = _DAY
    zone: str = "UTC"

    def __post_init__(self) -> None:
        zone_of(self.zone)

    def read(self, value: Any) -> datetime:
        """The first instant of a day, given as text, as a `date`, or as a time on that day."""
        return self.floor(instant(value, self.zone))

    def points(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Timestamps in UTC; times of the day stay, as bounds are midnights."""
        return instants(column, self.zone)

    def write(self, point: datetime) -> str:
        """The day that `point` falls on."""
        return self._day(point).isoformat()

    def floor(self, point: datetime) -> datetime:
        """The first instant of that day."""
        return midnight(self._day(point), self.zone)

    def back(self, point: datetime, steps: int = 1) -> datetime:
        """The first instant of the day so many days before."""
        return midnight(self._day(point) - steps * _DAY, self.zone)

    def _day(self, point: datetime) -> date:
        try:
            return point.astimezone(zone_of(self.zone)).date()
        except OverflowError:
            message = f"expected a time of the years 1 to 9999 in {self.zone}, got {point}"
            raise CursorError(message) from None


@dataclass(frozen=True, slots=True)
class Pattern:
    """Times in a format of `strptime`, of the clocks in `zone` unless it has `%z`.

    The step is as fine as the format; a longer one says that the API looks no closer. Clocks show
    an hour twice when they go back: `floor`, and so every bound, keeps off it, to where it begins
    the first time. Floor what you write as a bound yourself.

    >>> minutes = Pattern("%Y-%m-%d %H:%M", zone="Europe/Berlin")
    >>> minutes.read("2024-05-01 10:00").isoformat(), minutes.step.seconds
    ('2024-05-01T08:00:00+00:00', 60)
    >>> minutes.write(minutes.floor(datetime(2024, 10, 27, 1, 30, tzinfo=UTC)))
    '2024-10-27 02:00'
    """

    unique: ClassVar[bool] = False
    format: str
    _: KW_ONLY
    zone: str = "UTC"
    step: timedelta = timedelta()

    def __post_init__(self) -> None:
        zone_of(self.zone)
        try:
            found = self.read(self._text(_SAMPLE))
            finest = next(step for step in _STEPS if floor(_SAMPLE, step, self.zone) == found)
        except (CursorError, StopIteration):
            message = f"format: expected one of times or days, got {self.format!r}"
            raise ConfigError(message) from None
        if not self.step:
            object.__setattr__(self, "step", finest)
        _check(self.step, self.zone)
        if self.step % finest:
            raise ConfigError(f"step: expected a multiple of {finest}, got {self.step}")

    def read(self, value: Any) -> datetime:
        """The instant of a text, a `datetime`, or the start of a `date`."""
        if not isinstance(value, str):
            return instant(value, self.zone)
        try:
            return instant(datetime.strptime(value, self.format), self.zone)  # noqa: DTZ007
        except ValueError:
            raise CursorError(f"expected a time as {self.format}, got {value!r}") from None

    def points(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Timestamps in UTC."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
            return instants(column, self.zone, local=self._local)
        if re.fullmatch("(?:[^%]|%[YmdHMS])*", self.format):
            # The directives that are the same in C: Arrow is much faster (bench/cursors.py).
            found = pc.strptime(column, format=self.format, unit="us", error_is_null=True)
            if found.null_count == column.null_count:
                return instants(found, self.zone)
        return each(column, self.read, _utc())

    def write(self, point: datetime) -> str:
        """As the format says, down to the step."""
        # Not off the hour that comes twice: the last step before its end is in it.
        return self._text(floor(point, self.step, self.zone))

    def floor(self, point: datetime) -> datetime:
        """Down to the step, counted from midnight in `zone`."""
        point = floor(point, self.step, self.zone)
        if not self._local:
            return point
        return floor(unambiguous(point, self.zone), self.step, self.zone)

    def back(self, point: datetime, steps: int = 1) -> datetime:
        """So much earlier."""
        return point - steps * self.step

    @property
    def _local(self) -> bool:
        return "%z" not in self.format

    def _text(self, point: datetime) -> str:
        return point.astimezone(zone_of(self.zone)).strftime(self.format)


def _check(step: timedelta, zone: str) -> None:
    zone_of(zone)
    if step <= timedelta() or _DAY % step:
        raise ConfigError(f"step: expected a day or an even part of one, got {step}")


def _utc() -> pa.DataType:
    import pyarrow as pa

    return pa.timestamp("us", "UTC")
