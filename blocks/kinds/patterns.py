"""Times in a format of the API's own."""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from blocks.clocks import placed
from blocks.errors import ConfigError, CursorError
from blocks.instants import distinct, each, floor, instant, instants, unambiguous, zone_of
from blocks.kinds.times import check_step
from blocks.layouts import layout

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Pattern"]

_STEPS = (
    timedelta.resolution,
    timedelta(seconds=1),
    timedelta(minutes=1),
    timedelta(hours=1),
    timedelta(days=1),
)
_MINUTE = timedelta(minutes=1)
_SAMPLE = datetime(2001, 11, 22, 17, 34, 45, 678901, tzinfo=UTC)
# Of so many texts it is seen whether they repeat.
_SOME = 100


@dataclass(frozen=True, slots=True)
class Pattern:
    """Times in a format of `strptime`, of the clocks in `zone` unless it has `%z`.

    The step is as fine as the format; a longer one says that the API looks no closer. Clocks show
    an hour twice when they go back: `floor`, and so every bound, keeps off it, to where it begins
    the first time. Floor what you write as a bound yourself. An hour that clocks skip going forward
    is the last instant before: whatever the bounds, its rows are on the side where an API has them
    that compares what clocks show.

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
    _finest: timedelta = field(init=False, repr=False, compare=False, default=timedelta())

    def __post_init__(self) -> None:
        zone_of(self.zone)
        try:
            found = self.read(self._text(_SAMPLE))
            finest = next(step for step in _STEPS if floor(_SAMPLE, step, self.zone) == found)
        except (CursorError, StopIteration):
            message = f"format: expected one of times or days, got {self.format!r}"
            raise ConfigError(message) from None
        object.__setattr__(self, "_finest", finest)
        if not self.step:
            object.__setattr__(self, "step", finest)
        check_step(self.step, self.zone)
        if self.step % finest:
            raise ConfigError(f"step: expected a multiple of {finest}, got {self.step}")

    def read(self, value: Any) -> datetime:
        """The instant of a text, a `datetime`, or the start of a `date`."""
        if not isinstance(value, str):
            return instant(value, self.zone)
        try:
            clock = datetime.strptime(value, self.format)  # noqa: DTZ007
        except ValueError:
            raise CursorError(f"expected a time as {self.format}, got {value!r}") from None
        found = instant(clock, self.zone)
        if self._finest > _MINUTE and self._local and self._clock(found) != clock:
            # Skipped. If not to its end, as a day that begins at one, it is what is left of it.
            last = instant(clock + self._finest - timedelta.resolution, self.zone)
            found = min(found + timedelta.resolution, last)
        return found

    def points(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Timestamps in UTC."""
        import pyarrow as pa

        if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
            return instants(column, self.zone, local=self._local)
        known = layout(self.format)
        if known is not None and (found := known.read(column)) is not None:
            return self._placed(found) if self._local else found
        some = column.slice(0, _SOME)
        if len(some.unique()) <= len(some) // 2:
            return distinct(column, self._read)
        return self._read(column)

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

    def _read(self, texts: pa.ChunkedArray) -> pa.ChunkedArray:
        import pyarrow as pa
        import pyarrow.compute as pc

        if re.fullmatch("(?:[^%]|%[YymdHMSaAbB])*", self.format):
            # The directives that are the same in C: Arrow is much faster (bench/cursors.py).
            found = pc.strptime(texts, format=self.format, unit="us", error_is_null=True)
            if found.null_count == texts.null_count:
                return self._placed(found)
        return each(texts, self.read, pa.timestamp("us", "UTC"))

    def _placed(self, clocks: pa.ChunkedArray) -> pa.ChunkedArray:
        import pyarrow as pa
        import pyarrow.compute as pc

        if self._finest <= _MINUTE:
            return placed(clocks, self.zone, "earliest")
        ends = pc.add(clocks, pa.scalar(self._finest - timedelta.resolution, pa.duration("us")))
        first, last = placed(clocks, self.zone, "latest"), placed(ends, self.zone, "earliest")
        return pc.if_else(pc.less(last, first), last, first)

    @property
    def _local(self) -> bool:
        return "%z" not in self.format

    def _clock(self, point: datetime) -> datetime:
        return point.astimezone(zone_of(self.zone)).replace(tzinfo=None)

    def _text(self, point: datetime) -> str:
        return point.astimezone(zone_of(self.zone)).strftime(self.format)
