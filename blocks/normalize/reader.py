"""The reader: pages that no builder takes, to rows: by a plan or as plain Python values.

A page that does not fit widens the shape; a new plan is compiled for the pages after it. A
feed whose keys never settle waits ever longer between plans, so that their cost stays small,
and its pages are still read right, only slower.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from blocks.errors import NormalizeError
from blocks.flaws import refusal
from blocks.json import OrAbsent, Path, check_depth, keys, peek
from blocks.normalize.plan import Elements, is_nameable
from blocks.normalize.shape import Shape
from blocks.normalize.tree import Table

__all__ = ["Reader"]

_EAGER_PLANS = 8
"""Plans compiled at once when a page does not fit; after these the wait doubles each time."""


_UNLIMITED = 500
"""More levels of nesting than can be read."""


class Reader:
    """Reads the records at `path` of page bodies for one root table."""

    def __init__(self, table: Table, path: Path | OrAbsent = "", *, planned: bool = True) -> None:
        """Without `planned`, all records are read as plain values."""
        self.table = table
        self.planned = planned
        self._absent = path if isinstance(path, OrAbsent) else None
        self.path = keys(path.path if isinstance(path, OrAbsent) else path)
        self._shape = Shape()
        self._plan: Elements | None = None
        self._decode: Callable[[bytes], Any] | None = None
        self._plans = 0
        self._misfits = 0
        self._stale = False

    def read(self, body: bytes, *, planned: bool = True) -> tuple[Elements | None, list[Any]]:
        """The records of a page, with the plan they were decoded by (`None`: plain values).

        Without `planned` no plan is tried, and none is made of what this page teaches.
        Raises `NormalizeError` if the body is not JSON, with the byte and the path of the value
        where it stops being so, or has no records at the path.
        """
        whole, body = body, body.removeprefix(b"\xef\xbb\xbf")
        try:
            if not planned:
                return None, self._plain(body)
            if self.table.dialect.clashing:
                self.planned, self._decode = False, None  # structs have no order of keys
            if self._decode is None and self._shape.kinds and self.planned:
                try:
                    self._compile()
                except RecursionError:
                    self.planned = False  # deeper than plans can be, not than values
                if self.table.dialect.clashing:
                    self.planned, self._decode = False, None
            if self._decode is not None:
                check_depth(body)
                try:
                    found = self._decode(body)
                    return self._plan, found if type(found) is list else [found]
                except msgspec.ValidationError:
                    pass
            return None, self._explore(self._plain(body))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise NormalizeError(refusal(whole, error)) from error

    def _plain(self, body: bytes) -> list[Any]:
        """The records as plain values."""
        if self._absent is not None and self._absent.missing(body):
            return []
        found = peek(body, self.path)
        if not isinstance(found, (list, dict)):
            kind = "nothing" if found is None else type(found).__name__
            place = ".".join(map(str, self.path)) or "the top of the document"
            raise NormalizeError(
                f"expected an array of records or one object at {place}, got {kind}"
            )
        return found if isinstance(found, list) else [found]

    def _explore(self, rows: list[Any]) -> list[Any]:
        """Widen the shape to fit these."""
        self._misfits += 1
        grown = self._shape.fit(rows)
        self._stale |= grown
        if grown and self.table.node.level < _UNLIMITED and self._shape.items:
            # Keys that decide whether plans fit at all, known before the next page is read.
            _meet(self._shape.items, self.table)
        if self._stale and self._misfits >= 2 ** max(0, self._plans - _EAGER_PLANS):
            self._decode = None
        return rows

    def _compile(self) -> None:
        plan = Elements(self._shape.items or Shape(), self.table)
        records: Any = list[plan.type]  # type: ignore[name-defined]
        if plan.layout is not None:
            records = records | plan.layout.struct
        self._plan = plan
        self._decode = _decoder(self.path, records)
        self._plans += 1
        self._misfits = 0
        self._stale = False


def _meet(shape: Shape, table: Table) -> None:
    """Make the slots of all keys of `shape`, the shape of the rows of `table`."""
    below = [(shape, table.node)]
    while below:
        found, node = below.pop()
        for key, each in found.fields.items():
            slot = node.slot(key)
            if not slot.is_json:
                if each.fields:
                    below.append((each, slot.node))
                if each.items:
                    _meet(each.items, slot.items)
    if shape.items and not table.lists.is_json:
        _meet(shape.items, table.lists.items)


def _decoder(path: Sequence[Any], records: Any) -> Callable[[bytes], Any]:
    """What decodes the value at `path` as `records`; what is off the path is skipped in C."""
    if not all(isinstance(key, str) and is_nameable(key) for key in path):
        return lambda body: msgspec.convert(peek(body, path), records)
    for key in reversed(path):
        records = msgspec.defstruct("Envelope", [("value", records)], rename={"value": str(key)})
    decode = msgspec.json.Decoder(records).decode
    if not path:
        return decode

    def unwrap(body: bytes) -> Any:
        found = decode(body)
        for _ in path:
            found = found.value
        return found

    return unwrap
