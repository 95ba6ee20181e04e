"""Cursors: how far a source has read, kept in a mapping that outlives the run.

A cursor hands out the range to ask the API for and takes in the rows that came. Over dlt's
resource state it is committed with the rows themselves: `blocks.dlt.cursor` binds it there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from weakref import ref

from blocks.errors import ConfigError, CursorError
from blocks.kinds import Kind, Point, bound, kind_for, pack, unpack

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Cursor", "Missing"]

Missing: TypeAlias = Literal["keep", "drop", "raise"]
"""What becomes of rows without a value: loaded, dropped by `Cursor.within`, or an error."""

logger = logging.getLogger(__name__)


class Cursor:
    """The place in a column up to which rows were read: a time, an integer or a text.

    `kind` is how the API writes the column (`blocks.kinds`); unless given, what `start` looks like.
    `start` and `until` are in that writing, or times as RFC 3339 text or `datetime`.
    The range to read, [since, until), is fixed when the cursor is made and stays so during the run,
    whatever is observed. It begins at `start`, later at the mark: the highest value seen before
    `until`. Ask the API with the bounds that its parameters mean:

    | | inclusive | exclusive |
    |---|---|---|
    | lower | `since` (>=) | `after` (>) |
    | upper | `through` (<=) | `until` (<) |

    **Merge**: ask from `since`, observe what comes. Rows at the mark come again in the next run, as
    others may share their value. With `lookback` so do rows of that length before it: let it be as
    long as rows may be late, and our clock ahead. Of rows deleted without a trace no cursor hears.

    **Append**: load only rows `within` the range and say `complete` after the last. The mark is
    then `until`, and each row is loaded once, those at the border too, if none arrives late.

    Values at or beyond `until` leave the mark alone: rows from the future, or changed since the run
    began, are for a later run. The mark never goes back. It is all that `state` keeps, under
    "cursors" and the column: JSON, a few bytes, however many rows share a value.

    A kind whose values are unique (ids) is simpler: a value seen is done, and the range begins
    after the mark. Texts have no next: their `start` is done as well, and they are asked for with
    `after`.

    >>> import pyarrow as pa
    >>> state = {}
    >>> seen = Cursor("id", start=0, state=state)
    >>> seen.since
    0
    >>> seen.observe(pa.table({"id": [3, 9, 7]}))
    >>> seen.since, seen.mark, Cursor("id", start=0, state=state).since
    (0, 9, 9)
    """

    def __init__(
        self,
        column: str,
        *,
        start: Any,
        state: MutableMapping[str, Any],
        until: Any = None,
        kind: Kind | None = None,
        lookback: timedelta | int | None = None,
        missing: Missing = "keep",
    ) -> None:
        self.column = column
        self.kind = kind = kind_for(start) if kind is None else kind
        self._state = state
        self._missing = missing
        self._last: tuple[Callable[[], Any], Any] = (lambda: None, None)
        self._counts = {"before": 0, "beyond": 0, "observed": 0, "masked": 0}
        if missing not in ("keep", "drop", "raise"):
            raise ConfigError(f"missing: expected keep, drop or raise, got {missing!r}")
        mark = self._kept()
        self._found = mark is not None
        self._lower = self._bound("start", start)
        if lookback is not None:
            _check(lookback, kind)
        if mark is not None:
            self._lower = max(self._lower, self._again(mark, lookback))
        self._upper = None if until is None else self._bound("until", until)
        if self._upper is not None and self._upper < self._lower:
            logger.warning("%r ends before it begins: nothing is to be read", self)
            self._upper = self._lower

    def __repr__(self) -> str:
        bounds = f"from {self.kind.write(self._lower)!r}"
        if self._upper is not None:
            bounds += f" to {self.kind.write(self._upper)!r}"
        return f"<Cursor {self.column} {bounds}>"

    @property
    def since(self) -> Any:
        """The inclusive lower bound as the API writes it."""
        if self._exclusive:
            raise ConfigError(
                f"cursor {self.column}: expected to be asked for `after`: unique texts"
            )
        return self.kind.write(self._lower)

    @property
    def after(self) -> Any:
        """The exclusive lower bound."""
        lower = self._lower
        return self.kind.write(lower if self._exclusive else self.kind.back(lower))

    @property
    def until(self) -> Any:
        """The exclusive upper bound."""
        return self.kind.write(self._end())

    @property
    def through(self) -> Any:
        """The inclusive upper bound: one step earlier."""
        return self.kind.write(self.kind.back(self._end()))

    @property
    def mark(self) -> Any:
        """Where the next run is to go on, without its lookback; `None` before there is a value."""
        mark = self._kept()
        return None if mark is None else self.kind.write(self.kind.floor(mark))

    @property
    def counts(self) -> dict[str, int]:
        """How many rows were before and beyond the range, for `within`, or without a value."""
        missing = max(self._counts["observed"], self._counts["masked"])
        return {name: self._counts[name] for name in ("before", "beyond")} | {"missing": missing}

    def observe(self, found: Any) -> None:
        """Take in the rows of an Arrow table, or one value that the API says it has come to.

        Such a value, of an envelope or a header, speaks for all rows before it: beyond `until` it
        counts as `until`. Raises `CursorError` for values of another kind, for those that `missing`
        forbids, and if no table so far had the column, as then its name is wrong.
        """
        import pyarrow as pa  # not on import: it costs a second
        import pyarrow.compute as pc

        if not isinstance(found, pa.Table):
            if found is None:
                self._count("observed", 1)
                return
            value = self.kind.read(found)
            self._move(value if self._upper is None else min(value, self._upper))
            return
        if (points := self._points(found, "observed")) is None:
            return
        highest = pc.max(points).as_py()
        if highest is None:
            return
        if self._upper is not None and self.kind.read(highest) >= self._upper:
            points, upper = _comparable(points, self._upper)
            highest = pc.max(points.filter(pc.less(points, upper))).as_py()
        if highest is not None:
            self._move(self.kind.read(highest))

    def within(self, table: pa.Table) -> pa.Array:
        """Which rows of an Arrow table lie in [since, until), as booleans: for `where` of `load`.

        Rows without a value are as `missing` says. Raises what `observe` raises.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        if (points := self._points(table, "masked")) is None:
            return pa.repeat(self._missing == "keep", len(table))
        points, lower = _comparable(points, self._lower)
        outside = before = (pc.less_equal if self._exclusive else pc.less)(points, lower)
        self._counts["before"] += pc.sum(before).as_py() or 0
        if self._upper is not None:
            points, upper = _comparable(points, self._upper)
            beyond = pc.greater_equal(points, upper)
            self._counts["beyond"] += pc.sum(beyond).as_py() or 0
            outside = pc.or_(before, beyond)
        mask = pc.fill_null(pc.invert(outside), self._missing == "keep")
        return pa.concat_arrays(mask.chunks) if mask.num_chunks else pa.array([], pa.bool_())

    def complete(self) -> None:
        """Say that all rows of the range were read: the next run goes on at `until`.

        Values seen suffice where they are unique, and then this does nothing: a row with one that
        is lower than `until` may yet appear. If the mark is beyond `until`, as when the clock was
        set back, it stays, with a warning.
        """
        if self.kind.unique:
            return
        mark, end = self._kept(), self._end()
        if mark is not None and mark > end:
            logger.warning("%r: the mark stays at %s", self, self.mark)
        self._move(end)

    def stale(self, retention: timedelta, now: datetime) -> bool:
        """Whether the range begins before what the API still keeps, `retention` back from `now`.

        Then rows are gone that no incremental run can have: read everything anew. That is so in a
        first run too, if `start` is that old; in a later one it is logged as a warning.
        """
        if not isinstance(self.kind.step, timedelta):
            raise ConfigError(f"stale: expected a cursor over times, got one over {self.kind}")
        gone = bool(self._lower < now - retention)
        if gone and self._found:
            logger.warning("%r: the API keeps rows for %s only, some are gone", self, retention)
        return gone

    @property
    def _exclusive(self) -> bool:
        return self.kind.unique and self.kind.step is None

    def _kept(self) -> Point:
        kept = self._state.get("cursors", {}).get(self.column)
        if kept is None:
            return None
        try:
            return unpack(kept, self.kind)
        except CursorError as error:
            raise CursorError(f"cursor {self.column}, in the state: {error}") from error

    def _bound(self, name: str, value: Any) -> Point:
        try:
            return bound(value, self.kind)
        except CursorError as error:
            raise ConfigError(f"{name} of cursor {self.column}: {error}") from error

    def _again(self, mark: Point, lookback: timedelta | int | None) -> Point:
        kind = self.kind
        if kind.unique and not self._exclusive:
            mark = kind.back(mark, -1)
        return kind.floor(mark if lookback is None else mark - lookback)

    def _end(self) -> Point:
        if self._upper is None:
            raise ConfigError(f"cursor {self.column}: expected it to be made with `until`")
        return self._upper

    def _move(self, point: Point) -> None:
        mark = self._kept()
        if mark is None or point > mark:
            self._state.setdefault("cursors", {})[self.column] = pack(point)

    def _points(self, table: pa.Table, by: str) -> pa.ChunkedArray | None:
        if self.column not in table.column_names:
            if not self._found:
                raise CursorError(
                    f"expected column {self.column} for the cursor,"
                    f" got columns {', '.join(table.column_names)}"
                )
            self._count(by, len(table))
            return None
        self._found = True
        self._count(by, table[self.column].null_count)
        # Once for `observe` and `within` of the same table.
        if self._last[0]() is not table:
            try:
                self._last = (ref(table), self.kind.points(table[self.column]))
            except CursorError as error:
                raise CursorError(f"cursor {self.column}: {error}") from error
        return self._last[1]

    def _count(self, by: str, rows: int) -> None:
        if not rows:
            return
        if self._missing == "raise":
            raise CursorError(
                f"cursor {self.column}: expected a value in each row, got none in {rows}"
            )
        if not self._counts["observed"] + self._counts["masked"]:
            logger.warning("%r: there are rows without a value, by policy: %s", self, self._missing)
        self._counts[by] += rows


def _check(lookback: Any, kind: Kind) -> None:
    if kind.step is None:
        raise ConfigError(f"lookback: expected none, as texts have no distance, got {lookback!r}")
    length: type[Any] = int if isinstance(kind.step, int) else timedelta
    if not isinstance(lookback, length) or isinstance(lookback, bool) or lookback < length():
        raise ConfigError(f"lookback: expected a length ({length.__name__}), got {lookback!r}")


def _comparable(points: pa.ChunkedArray, point: Point) -> tuple[pa.ChunkedArray, pa.Scalar]:
    import pyarrow as pa

    try:
        return points, pa.scalar(point, points.type)
    except (pa.ArrowInvalid, OverflowError):  # integers beyond 64 bits
        wide = pa.decimal256(76, 0)
        return points.cast(wide), pa.scalar(point, wide)
