"""Times, as APIs write them: RFC 3339, numbers, or days."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from blocks.errors import ConfigError, CursorError
from blocks.instants import each, floor, instant, instants, midnight, zone_of

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Dates", "Epoch", "Times", "check_step", "integers"]

_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Microseconds: well beyond the year 9999.
_FARTHEST = 10**18
# And within the years 1 to 3938, on both sides of 1970.
_NEAR = 62_135_596_800_000_000
_UNITS = {
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
    "us": timedelta(microseconds=1),
}


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
        check_step(self.step, self.zone)

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
        micros = self._micros(column)
        # Which one cannot be read is said by `read`.
        return each(column, self.read, _utc()) if micros is None else micros.cast(_utc())

    def _micros(self, column: pa.ChunkedArray) -> pa.ChunkedArray | None:
        """What `read` makes of each, in microseconds, where that is sure; else `None`."""
        import pyarrow as pa
        import pyarrow.compute as pc

        number, parts = pa.int64(), None
        if pa.types.is_floating(column.type):
            column = column.cast(pa.float64())
            least = pc.min(pc.abs(column)).as_py()
            # The fraction of a number beyond 2**14 is a multiple of 2**-38: times 5**6 (and powers
            # of two, which cost no digits) that takes no more than the 53 bits there are.
            if least is None or least < 2**14:
                return None
            whole = pc.floor(column)
            parts = pc.subtract(column, whole)
            column = whole
        if (found := integers(column)) is None:
            return None
        scale = self.step // _UNITS["us"]
        ends = pc.min_max(found).as_py()
        if ends["max"] is None or max(-ends["min"], ends["max"]) * scale > _NEAR:
            return None
        found = pc.multiply(found, pa.scalar(scale, number))
        if parts is None:
            return found
        return pc.add(found, pc.floor(pc.multiply(parts, float(scale))).cast(number))

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


def check_step(step: timedelta, zone: str) -> None:
    """Raise `ConfigError` unless `step` divides the days of a `zone` that there is."""
    zone_of(zone)
    if step <= timedelta() or _DAY % step:
        raise ConfigError(f"step: expected a day or an even part of one, got {step}")


def integers(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """The integers of a column, of floats and of texts too; `None` if some are not of 64 bits."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        # Arrow would read "0x10", too.
        if any(b"x" in text or b"X" in text for text in _texts(column)):
            return None
    elif not pa.types.is_integer(kind) and not pa.types.is_floating(kind):
        return None
    try:
        column.slice(0, 8).cast(pa.int64())  # some first, as errors cost much more than values
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return None


def _texts(column: pa.ChunkedArray) -> Iterator[bytes]:
    """All texts of a column, one after the other, and maybe more."""
    for chunk in column.chunks:
        if (texts := chunk.buffers()[2]) is not None:
            yield texts.to_pybytes()


def _utc() -> pa.DataType:
    import pyarrow as pa

    return pa.timestamp("us", "UTC")
