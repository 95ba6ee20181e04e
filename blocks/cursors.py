"""Cursors: how far a source has read, kept in a mapping that outlives the run.

A cursor hands out the value to ask the API for and takes in the rows that came. Over dlt's
resource state it is committed with the rows themselves: `blocks.dlt.cursor` binds it there.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from blocks.errors import ConfigError, CursorError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Cursor"]


class Cursor:
    """The highest value of a column so far: a time, an integer or a text.

    `start` is where the first run begins, and says what the column holds. Times are given and
    kept as RFC 3339 text in UTC (`2024-01-01T00:00:00Z`; a start without an offset is UTC) and
    compared as instants. The value never goes back, whatever order rows come in.

    >>> import pyarrow as pa
    >>> state = {}
    >>> seen = Cursor("id", start=0, state=state)
    >>> seen.since
    0
    >>> seen.observe(pa.table({"id": [3, 9, 7]}))
    >>> seen.since, Cursor("id", start=0, state=state).since
    (9, 9)
    """

    def __init__(self, column: str, *, start: str | int, state: MutableMapping[str, Any]) -> None:
        if isinstance(start, bool) or not isinstance(start, (str, int)):
            raise ConfigError(
                f"expected a text or an integer as start of cursor {column}, got {start!r}"
            )
        self.column = column
        instant = _instant(start)
        self._start = start if instant is None else _text(instant)
        self._state = state

    def __repr__(self) -> str:
        return f"Cursor({self.column!r}, since={self.since!r})"

    @property
    def since(self) -> Any:
        """The value to continue from: the highest one observed, or the start."""
        return self._state.get("cursors", {}).get(self.column, self._start)

    def observe(self, table: pa.Table) -> None:
        """Take in the rows of an Arrow table; nulls are passed over.

        Raises `CursorError` if the table lacks the column, or holds another type than `start`
        there: texts that look like times would not sort as times.
        """
        import pyarrow.compute as pc  # not on import: it costs a second

        if self.column not in table.column_names:
            raise CursorError(
                f"expected column {self.column} for the cursor,"
                f" got columns {', '.join(table.column_names)}"
            )
        highest = pc.max(table.column(self.column)).as_py()
        if highest is None:
            return
        last, instant = self.since, _instant(self.since)
        if isinstance(highest, datetime):
            highest = highest if highest.tzinfo else highest.replace(tzinfo=UTC)
        if type(highest) is not type(last if instant is None else instant):
            raise CursorError(
                f"expected values like {last!r} in cursor column {self.column}, got {highest!r}"
            )
        if highest > (last if instant is None else instant):
            kept = highest if instant is None else _text(highest)
            self._state.setdefault("cursors", {})[self.column] = kept


def _instant(value: str | int) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
