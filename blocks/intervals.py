"""Intervals: what a source has read of a range, and the holes that are left to read.

A cursor knows one place up to which everything is there. Where windows are fetched at once and some
fail, that is not enough: `Intervals` keeps which stretches are done, merged where they touch, in a
mapping that outlives the run, so that the next one asks for the gaps only. Bounds are points of a
kind of values (`blocks.kinds`); an interval has its start and not its end, and writes both as the
API at hand takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias

from blocks.calendars import Every, following
from blocks.errors import ConfigError
from blocks.kinds import Kind, Point, Times, kind_for, pack, unpack

__all__ = ["Interval", "Intervals", "unread"]

_Stretch: TypeAlias = tuple[Point, Point]


@dataclass(frozen=True, slots=True)
class Interval:
    """From `start`, which is in it, to `end`, which is not: points that `kind` can write.

    A plain value: it compares, hashes and pickles. To ask an API for it take one of the lower and
    one of the upper bounds, whichever the API's parameters mean:

    | | inclusive | exclusive |
    |---|---|---|
    | lower | `since` (>=) | `after` (>) |
    | upper | `through` (<=) | `until` (<) |

    >>> from datetime import UTC, datetime
    >>> from blocks.kinds import Dates
    >>> may = Interval(datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC), Dates())
    >>> may.since, may.after, may.until, may.through
    ('2024-05-01', '2024-04-30', '2024-06-01', '2024-05-31')
    >>> print(may)
    2024-05-01 to 2024-06-01
    """

    start: Point
    end: Point
    kind: Kind = field(default_factory=Times)

    def __post_init__(self) -> None:
        if not self.start < self.end:
            raise ConfigError(f"expected an end after the start, got {self.start!r}, {self.end!r}")
        for bound in (self.start, self.end):
            if self.kind.floor(bound) != bound:
                raise ConfigError(f"expected bounds in steps of {self.kind}, got {bound!r}")

    def __str__(self) -> str:
        return f"{self.since} to {self.until}"

    @property
    def since(self) -> str | int:
        """The inclusive lower bound as the API writes it."""
        return self.kind.write(self.start)

    @property
    def after(self) -> str | int:
        """The exclusive lower bound: one step earlier."""
        return self.kind.write(self.kind.back(self.start))

    @property
    def until(self) -> str | int:
        """The exclusive upper bound."""
        return self.kind.write(self.end)

    @property
    def through(self) -> str | int:
        """The inclusive upper bound: one step earlier."""
        return self.kind.write(self.kind.back(self.end))

    @property
    def length(self) -> Any:
        """How long it is: a `timedelta`, or an `int`."""
        return self.end - self.start

    def halves(self) -> tuple[Interval, ...]:
        """Two that make it up, as equal as the step of the kind allows; none if it is one step.

        >>> from blocks.kinds import Integers
        >>> [str(half) for half in Interval(0, 25, Integers()).halves()]
        ['0 to 12', '12 to 25']
        """
        middle = self.kind.floor(self.start + self.length // 2)
        if middle <= self.start:
            middle = _next(self.start, self.kind)
        if middle >= self.end:
            return ()
        return Interval(self.start, middle, self.kind), Interval(middle, self.end, self.kind)


class Intervals:
    """Which parts of the range from `start` to `end` are done, under `name` in `state`.

    `start` and `end` are as the API writes them, or points; both are taken down to the last that
    `kind` can write. `kind` is what the start looks like unless given. An earlier start, or a later
    end, in a later run opens a gap there and nowhere else.

    Rows of the last `lookback` before an end may still have changed after that run: that stretch is
    to be read again in the run after, failed windows of it included until they are had. Load such
    rows with `merge`, as they come more than once.

    Of `state` the key "intervals" is used, by `todo` and `add`; all in it is JSON.

    >>> state = {}
    >>> calls = Intervals("calls", start="2024-01-30", end="2024-03-05", state=state)
    >>> windows = calls.todo("month")
    >>> [str(window) for window in windows]
    ['2024-01-30 to 2024-02-01', '2024-02-01 to 2024-03-01', '2024-03-01 to 2024-03-05']
    >>> calls.add(windows[0])
    >>> calls.add(windows[2])
    >>> later = Intervals("calls", start="2024-01-30", end="2024-03-07", state=state)
    >>> [str(gap) for gap in later.gaps()]
    ['2024-02-01 to 2024-03-01', '2024-03-05 to 2024-03-07']
    """

    def __init__(
        self,
        name: str,
        *,
        start: Any,
        end: Any,
        state: MutableMapping[str, Any],
        kind: Kind | None = None,
        lookback: timedelta | int | None = None,
    ) -> None:
        self.name = name
        self.kind = kind = kind_for(start) if kind is None else kind
        if kind.step is None:
            raise ConfigError(f"intervals {name}: expected times or integers, got {kind}")
        if lookback:
            _check(lookback, kind, f"lookback of intervals {name}")
        self.start: Point = kind.floor(kind.read(start))
        self.end: Point = kind.floor(kind.read(end))
        self._state = state
        self._seen, self._done = self.end, []
        if (kept := state.get("intervals", {}).get(name)) is not None:
            seen, done = _restore(kept, kind)
            if lookback:
                settled = kind.floor(seen - lookback)
                done = [(low, min(high, settled)) for low, high in done if low < settled]
            self._seen, self._done = max(seen, self.end), done

    def __repr__(self) -> str:
        bounds = f"start={self.kind.write(self.start)!r}, end={self.kind.write(self.end)!r}"
        return f"Intervals({self.name!r}, {bounds})"

    @property
    def done(self) -> list[Interval]:
        """What is done, also outside of the range; what is to be read again is not."""
        return [Interval(low, high, self.kind) for low, high in self._done]

    def gaps(self) -> list[Interval]:
        """What is not done of the range, in order."""
        return [
            Interval(low, high, self.kind) for low, high in _gaps(self.start, self.end, self._done)
        ]

    def todo(self, every: Every | None = None) -> list[Interval]:
        """The gaps, cut into windows of `every`, in order.

        Windows of the calendar begin where a day, a week (Monday), a month, a quarter or a year
        begins in the zone of the kind; the first and last of a gap may be shorter. Others have a
        length of `every` from the start of the gap, the last at most that; their whole days are
        days of the zone, which have 23 or 25 hours where clocks change.

        A list: `todo("day")[-30:]` bounds a run, `todo("day")[::-1]` begins with the newest.
        """
        self._keep()
        if every is None:
            return self.gaps()
        if not isinstance(every, str) or isinstance(self.kind.step, int):
            _check(every, self.kind, f"windows of intervals {self.name}")
        end = following(every, getattr(self.kind, "zone", "UTC"))
        return [window for gap in self.gaps() for window in _cut(gap, end)]

    def add(self, interval: Interval) -> None:
        """Remember `interval` as done, once all of its rows are on their way.

        Raises `ConfigError` for one that is not within the range.
        """
        if not self.start <= interval.start < interval.end <= self.end:
            raise ConfigError(f"expected an interval within {self!r}, got {interval}")
        self._done = _merged([*self._done, (interval.start, interval.end)])
        self._keep()

    def _keep(self) -> None:
        self._state.setdefault("intervals", {})[self.name] = {
            "range": [pack(self.start), pack(self.end)],
            "seen": pack(self._seen),
            "done": [[pack(low), pack(high)] for low, high in self._done],
        }


def unread(state: Mapping[str, Any]) -> dict[str, list[Interval]]:
    """By name, what the last run was to read and did not: the gaps that `state` tells of."""
    found = {}
    for name, kept in state.get("intervals", {}).items():
        kind = kind_for(kept["range"][0])
        start, end = (unpack(bound, kind) for bound in kept["range"])
        if gaps := _gaps(start, end, _restore(kept, kind)[1]):
            found[name] = [Interval(low, high, kind) for low, high in gaps]
    return found


def _restore(kept: Any, kind: Kind) -> tuple[Point, list[_Stretch]]:
    done = [
        (_up(unpack(low, kind), kind), kind.floor(unpack(high, kind))) for low, high in kept["done"]
    ]
    # Rounded inwards, as a kind of a longer step may have come since.
    return unpack(kept["seen"], kind), [(low, high) for low, high in done if low < high]


def _check(span: object, kind: Kind, what: str) -> None:
    fits = isinstance(span, type(kind.step)) and not isinstance(span, bool)
    if not fits or span < kind.step:
        expected = "an integer" if isinstance(kind.step, int) else "a timedelta"
        raise ConfigError(f"{what}: expected {expected} of at least {kind.step}, got {span!r}")


def _gaps(start: Point, end: Point, done: list[_Stretch]) -> list[_Stretch]:
    found = []
    for low, high in done:
        if start < min(low, end):
            found.append((start, min(low, end)))
        start = max(start, high)
    if start < end:
        found.append((start, end))
    return found


def _merged(stretches: list[_Stretch]) -> list[_Stretch]:
    merged: list[_Stretch] = []
    for low, high in sorted(stretches):
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def _cut(gap: Interval, end: Callable[[Point], Point]) -> list[Interval]:
    kind, windows, low = gap.kind, [], gap.start
    while low < gap.end:
        high = kind.floor(end(low))
        high = min(gap.end, high if high > low else _next(low, kind))
        windows.append(Interval(low, high, kind))
        low = high
    return windows


def _next(point: Point, kind: Kind) -> Point:
    """The first point after `point` that `kind` can write, or one soon after."""
    steps = 1
    # A wall clock shows an hour twice a year, which then is one long step.
    while (found := kind.floor(kind.back(point, -steps))) <= point:
        steps *= 2
    return found


def _up(point: Point, kind: Kind) -> Point:
    floor = kind.floor(point)
    return floor if floor == point else _next(floor, kind)
