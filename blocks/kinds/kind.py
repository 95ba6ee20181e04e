"""What a kind is, the kinds that are no times, and which one a value looks like."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

from blocks.errors import ConfigError, CursorError
from blocks.instants import each, instant
from blocks.kinds.times import Dates, Times, integers

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Integers", "Kind", "Point", "Texts", "bound", "kind_for", "pack", "unpack"]

Point: TypeAlias = Any
"""An aware `datetime` in UTC, an `int` or a `str`: those of one kind compare with each other."""


class Kind(Protocol):
    """What a cursor needs to know of the values of an API."""

    @property
    def step(self) -> Any:
        """The smallest distance between two values that the API tells apart.

        A `timedelta`, an `int`, or `None` for texts. Where rows are kept finer than this, a bound
        that is one step before another leaves out what lies between: declare the finer step.
        """

    @property
    def unique(self) -> bool:
        """Whether no two rows share a value, so that a value seen is done."""

    def read(self, value: Any) -> Point:
        """The point that `value` stands for: the API's writing, or a Python value.

        Raises `CursorError` when it stands for none.
        """

    def points(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """The points of an Arrow column, nulls kept: timestamps in UTC, integers or texts.

        Raises `CursorError` for a value that stands for none.
        """

    def write(self, point: Point) -> str | int:
        """What the API takes for the floor of `point`."""

    def floor(self, point: Point) -> Point:
        """The last point not after `point` that the API can be told."""

    def back(self, point: Point, steps: int = 1) -> Point:
        """The point so many steps before `point`."""


@dataclass(frozen=True, slots=True)
class Integers:
    """Integers of up to 4,300 digits, such as ids; also as text, and written as numbers.

    `unique`: no two rows share one, so the highest that was seen need not be asked for again.

    >>> Integers().read("10") > Integers().read("9")
    True
    """

    step: ClassVar[int] = 1
    unique: bool = False

    def read(self, value: Any) -> int:
        """The integer."""
        if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
            raise CursorError(f"expected an integer, got {value!r}")
        try:
            number = Decimal(value)
            # As many digits as Python itself reads: 1e999999999 would be a billion.
            if number.adjusted() < 4300 and number == int(number):
                return int(number)
        except (ArithmeticError, ValueError):
            pass
        raise CursorError(f"expected an integer, got {value!r}")

    def points(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Integers of 64 bits, or decimals where those do not hold them."""
        import pyarrow as pa

        if (found := integers(column)) is not None:
            return found
        for wide in (pa.int64(), pa.decimal256(76, 0)):
            try:
                if pa.types.is_integer(column.type) or pa.types.is_null(column.type):
                    return column.cast(wide)
                return each(column, self.read, wide)
            except (pa.ArrowInvalid, OverflowError):
                pass
        raise CursorError(f"expected integers of at most 76 digits, got a column of {column.type}")

    def write(self, point: int) -> int:
        """As it is."""
        return point

    def floor(self, point: int) -> int:
        """As it is."""
        return point

    def back(self, point: int, steps: int = 1) -> int:
        """So much less."""
        return point - steps


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts that the API sorts by code point: ULIDs, object ids, numbers of equal width.

    Nothing lies a step before a text, so those that share one are asked for with an inclusive
    bound. `unique`: none do, so they are asked for with an exclusive one.
    """

    step: ClassVar[None] = None
    unique: bool = False

    def read(self, value: Any) -> str:
        """The text."""
        if not isinstance(value, str):
            raise CursorError(f"expected a text, got {value!r}")
        return value

    def points(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Texts."""
        import pyarrow as pa

        kind = column.type
        if pa.types.is_null(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return column.cast(pa.large_string())
        raise CursorError(f"expected texts, got a column of {kind}")

    def write(self, point: str) -> str:
        """As it is."""
        return point

    def floor(self, point: str) -> str:
        """As it is."""
        return point

    def back(self, point: str, steps: int = 1) -> str:
        """Raises `ConfigError`."""
        raise ConfigError(
            f"expected to be asked for no text {steps} before {point!r}: there is none"
        )


def kind_for(start: Any) -> Kind:
    """The kind that `start` looks like; a year alone is a text.

    >>> kind_for("2024-01-01T00:00:00Z"), kind_for("2024-01-01"), kind_for(0), kind_for("0001")
    (Times(...), Dates(zone='UTC'), Integers(unique=False), Texts(unique=False))
    """
    if isinstance(start, datetime):
        return Times()
    if isinstance(start, date):
        return Dates()
    if isinstance(start, int) and not isinstance(start, bool):
        return Integers()
    if not isinstance(start, str):
        raise ConfigError(f"start: expected a time, a date, an integer or a text, got {start!r}")
    try:
        datetime.fromisoformat(start.upper())
    except ValueError:
        return Texts()
    return Dates() if len(start) == 10 else Times()


def bound(value: Any, kind: Kind) -> Point:
    """The floor of `value`, which is as the API writes it, or RFC 3339 text for any kind of times.

    Raises `CursorError` when it is neither.

    >>> from blocks.kinds import Epoch
    >>> bound("2024-05-01T10:00:00Z", Epoch("s")) == bound(1714557600, Epoch("s"))
    True
    """
    try:
        point = kind.read(value)
    except CursorError:
        if not isinstance(kind.step, timedelta) or not isinstance(value, str):
            raise
        point = instant(value, getattr(kind, "zone", "UTC"))
    return kind.floor(point)


def pack(point: Point) -> str | int:
    """A point as JSON keeps it: RFC 3339 in UTC, whatever the API writes."""
    return Times().write(point) if isinstance(point, datetime) else point


def unpack(kept: str | int, kind: Kind | None = None) -> Point:
    """The point that `pack` made into `kept`; text is a time unless `kind` says otherwise.

    Raises `CursorError` when it is none of `kind`.
    """
    if isinstance(kept, str) and (kind is None or isinstance(kind.step, timedelta)):
        return instant(kept, "UTC")
    return kept if kind is None else kind.read(kept)
