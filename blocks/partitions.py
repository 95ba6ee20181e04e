"""Partitions: a cursor for each parent, in a state of bounded size.

One cursor for the children of all parents misses those of a parent that was skipped, or is new with
an old history. So each parent has its own mark, and one that was never seen begins at `start`.
"""

from __future__ import annotations

import logging
from base64 import b64decode, b64encode
from collections.abc import Callable, MutableMapping
from datetime import timedelta
from functools import partial
from hashlib import blake2b
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypedDict

from blocks.cursors import Cursor, Missing
from blocks.errors import ConfigError, CursorError
from blocks.kinds import Kind, Point, unpack

if TYPE_CHECKING:
    from typing import Unpack

    import pyarrow as pa

__all__ = ["Options", "Partitions"]

logger = logging.getLogger(__name__)

# Parents that share marks, in terms of those that have their own: a hash takes 11 bytes in JSON,
# an own mark some 45, so at the most the shared are four fifths of the state.
_SHARED = 16
_GROUPS = 16


class Options(TypedDict, total=False):
    """What all of the cursors have in common, as `blocks.cursors.Cursor` takes it."""

    kind: Kind | None
    lookback: timedelta | int | None
    missing: Missing


class Partitions:
    """The cursors of many parents over one `column`; `of(key)` is that of one.

    With `key`, the column that has the parent's key in each row, it takes the place of a cursor in
    `load` and observes the rows of all parents as they come, in any order.

    The state is under "partitions" and the column. Up to `most` parents have marks of their own.
    Beyond that, the half with the highest marks come to share the lowest of theirs: they may read
    rows again, which is for merge, and miss none. Who is among them is kept as 64-bit hashes, for
    a parent never seen must not begin there. (Of 10^13 such parents one would, beside a million.)
    Where all cursors of a run are `complete`, their marks are one, and sharing costs nothing.
    Beyond 16 times `most` parents those with the lowest marks are forgotten, with a warning, and
    begin at `start` again.

    Others trade differently: beyond a limit the Airbyte CDK has one global mark for all, where new
    parents begin, too, and what they have of before is missed (`ConcurrentPerPartitionCursor`,
    github.com/airbytehq/airbyte-python-cdk).

    >>> import pyarrow as pa
    >>> state = {}
    >>> updated = Partitions("updated", start=0, key="repo", state=state)
    >>> updated.observe(pa.table({"repo": ["a", "b", "a"], "updated": [3, 5, 4]}))
    >>> updated.of("a").since, updated.of("b").since, updated.of("c").since
    (4, 5, 0)
    """

    def __init__(
        self,
        column: str,
        *,
        start: Any,
        state: MutableMapping[str, Any],
        until: Any = None,
        key: str | None = None,
        most: int = 10_000,
        **options: Unpack[Options],
    ) -> None:
        if most < 1:
            raise ConfigError(f"most: expected at least 1 parent, got {most}")
        self.column = column
        self.key = key
        self._most = most
        self._make = partial(Cursor, column, start=start, until=until, **options)
        kept = state.setdefault("partitions", {}).setdefault(column, {})
        self._marks: dict[str, Any] = kept.setdefault("marks", {})
        self._shared: list[list[Any]] = kept.setdefault("shared", [])
        self._groups: dict[Any, set[bytes]] | None = None
        # Sees all rows: it knows whether the column is there, and warns of missing values once.
        known = dict.fromkeys([column], next(iter(self._marks.values()), None))
        self._all = self._make(state={"cursors": known})

    def __repr__(self) -> str:
        return f"<Partitions {self.column}, {len(self._marks)} with marks of their own>"

    def of(self, key: str | int) -> Cursor:
        """The cursor of the parent with this key; a number is the same key as its digits.

        Take one in a run: another begins where this one has come to by then.
        """
        if isinstance(key, bool) or not isinstance(key, str | int):
            raise CursorError(f"expected text or an integer as a parent's key, got {key!r}")
        name = str(key)
        kept = _Kept(lambda mark: self._keep(name, mark))
        if (mark := self._known(name)) is not None:
            dict.__setitem__(kept, self.column, mark)
        return self._make(state={"cursors": kept})

    def observe(self, table: pa.Table) -> None:
        """Take in rows of any parents.

        Raises what `Cursor.observe` raises, and `CursorError` for a row without a parent's key.
        """
        if self.key is None:
            raise ConfigError("expected `key`, the column of the parent's key, to observe rows")
        if self.key not in table.column_names:
            names = ", ".join(table.column_names)
            raise CursorError(f"expected column {self.key} with parents' keys, got columns {names}")
        self._all.observe(table)
        if self.column not in table.column_names:
            return
        rows = table.filter(table.column(self.column).is_valid())
        rows = rows.select([self.key, self.column]).sort_by(self.key)
        at = 0
        for key, several in groupby(rows.column(self.key).to_pylist()):
            count = len([*several])
            self.of(key).observe(rows.slice(at, count))
            at += count

    def _known(self, key: str) -> Any:
        if (mark := self._marks.get(key)) is not None:
            return mark
        if not self._shared:
            return None
        digest = _digest(key)
        return next((mark for mark, keys in self._decoded().items() if digest in keys), None)

    def _keep(self, key: str, mark: Any) -> None:
        before = self._known(key)
        if before is None or self._point(mark) >= self._point(before):
            self._marks[key] = mark
        if len(self._marks) > self._most:
            self._fold()

    def _fold(self) -> None:
        rising = sorted(self._marks, key=lambda key: self._point(self._marks[key]))
        high = rising[len(rising) // 2 :]
        digests = {_digest(key) for key in high}
        # Made anew, for whoever asks meanwhile in another thread.
        groups = {mark: keys - digests for mark, keys in self._decoded().items()}
        lowest = self._marks[high[0]]
        groups[lowest] = groups.get(lowest, set()) | digests
        marks = sorted((mark for mark in groups if groups[mark]), key=self._point)
        while len(marks) > _GROUPS:
            groups[marks[0]] |= groups[marks.pop(1)]
        while sum(len(groups[mark]) for mark in marks) > _SHARED * self._most:
            lost = len(groups[marks.pop(0)])
            logger.warning("%r: %d parents are forgotten, to be read from the start", self, lost)
        self._groups = {mark: groups[mark] for mark in marks}
        self._shared[:] = [[mark, _pack(groups[mark])] for mark in marks]
        for key in high:
            del self._marks[key]

    def _decoded(self) -> dict[Any, set[bytes]]:
        if self._groups is None:
            self._groups = {mark: _unpack(keys) for mark, keys in self._shared}
        return self._groups

    def _point(self, mark: Any) -> Point:
        return unpack(mark, self._all.kind)


class _Kept(dict[str, Any]):
    """Where one cursor keeps its mark, told on."""

    def __init__(self, tell: Callable[[Any], None]) -> None:
        super().__init__()
        self._tell = tell

    def __setitem__(self, column: str, mark: Any) -> None:
        super().__setitem__(column, mark)
        self._tell(mark)


def _digest(key: str) -> bytes:
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _pack(keys: set[bytes]) -> str:
    return b64encode(b"".join(sorted(keys))).decode()


def _unpack(text: str) -> set[bytes]:
    data = b64decode(text)
    return {data[at : at + 8] for at in range(0, len(data), 8)}
