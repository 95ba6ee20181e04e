"""Builders: rows whose columns are all settled, straight into the buffers of Arrow arrays.

The common case, in C (`native/`): nothing is learned from these rows, no value needs coercion,
no contract drops any. Of JSON that is so not one Python value is made. Whatever is not so is
refused, whole, and goes the way of `tables.py`, which gives the same tables; so does everything
where the extension was not compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import msgspec
import pyarrow as pa

from blocks.json import peek, raw
from blocks.normalize.arrow import build, positions, random_ids, repeat
from blocks.normalize.compiled import compiled
from blocks.normalize.program import Program, program
from blocks.normalize.settle import array
from blocks.normalize.shape import NULL, kinds_of
from blocks.normalize.tables import Part, handed_down
from blocks.normalize.tree import Table

__all__ = ["Builder"]

Teach: TypeAlias = Callable[[list[Any], Mapping[str, Sequence[Any]]], None]
"""Learns what a row brings, with what is added to it."""

_EAGER = 8
"""Programs made at once when something was learned; after these the wait doubles each time."""
_LONGEST = 10
"""How often it doubles."""
_LESSONS = 3
"""Rows from which to learn before the whole page goes the other way."""
_PATIENCE = 4
"""Bodies refused in a row before some are not tried; with each more these double."""


class Builder:
    """Takes rows of one root table until they are asked for as parts of tables."""

    def __init__(self, root: Table) -> None:
        self._root = root
        self._program: Program | None = None
        self._made: Any = None
        self._changes = -1
        self._programs = 0
        self._wait = 0
        self._besides: Collection[str] = frozenset()
        self._refused = self._pause = 0
        self._added: list[tuple[int, int, dict[str, pa.Array]]] = []
        self._parts: dict[str, list[Part]] = {}
        self._finished = 0

    @property
    def rows(self) -> int:
        """How many root rows wait to be taken."""
        return self._finished + (self._made.rows if self._made else 0)

    def may_read(self) -> bool:
        """Whether to try the next body: not each, while most are refused."""
        if self._pause:
            self._pause -= 1
            return False
        return compiled is not None

    @property
    def is_able(self) -> bool:
        """Whether rows of the table are for a builder, once they bring nothing new."""
        return self._program is not None

    def read(
        self, body: bytes, path: Sequence[Any], added: Mapping[str, Any], teach: Teach | None = None
    ) -> bool:
        """Take all records of a body at `path`, an array or one object, or none; whether it did.

        `added` are values to add to each. A body that is no JSON is refused like any other. Where
        a record brings something new, `teach` may learn it, and all are tried again.
        """
        if not all(type(key) is str for key in path):
            try:
                body, path = raw(body, path) or b"", ()
            except msgspec.DecodeError:
                body, path = b"", ()
        one = {name: [value] for name, value in added.items()}

        def lesson(part: slice) -> None:
            with suppress(msgspec.DecodeError):  # which is for whoever knows the page to tell
                if part.stop and teach is not None:
                    teach([peek(body[part], ())], one)

        taken = self._try(lambda: self._read(body, path, one), added, lesson)
        self._pause = 2 ** min(max(0, self._refused - _PATIENCE), _LONGEST) - 1
        return taken

    def append(
        self, rows: Any, added: Mapping[str, Sequence[Any]], teach: Teach | None = None
    ) -> bool:
        """Take all rows, parsed already, or none; whether it did.

        `added` are columns beside those of the rows; `teach` is as above.
        """

        def lesson(part: slice) -> None:
            if teach is not None:
                teach(rows[part], {name: values[part] for name, values in added.items()})

        return self._try(lambda: self._append(rows, added), added, lesson)

    def take(self) -> dict[str, list[Part]]:
        """All rows so far, in the form of `tables.tables`; begins anew."""
        self._finish()
        parts, self._parts, self._finished = self._parts, {}, 0
        return parts

    def _try(
        self,
        take: Callable[[], bool | None],
        added: Mapping[str, Any],
        lesson: Callable[[slice], None],
    ) -> bool:
        """Whether `take` did, after lessons if need be; `None` from it is not about rows."""
        taken = take() if self._is_ready(added) else None
        self._programs = max(0, self._programs - (taken is True))
        # While all is new, a page at a time is learned faster than a row at a time.
        lessons = _LESSONS if taken is False and not self._refused else 0
        while lessons and taken is False:
            lessons -= 1
            lesson(slice(*self._made.refused))
            # That nothing was learned, or too much lately, is no reason to try again.
            if self._changes == self._root.dialect.changes or not self._is_ready(added):
                break
            taken = take()
        self._refused = 0 if taken else self._refused + 1
        return taken is True

    def _is_ready(self, added: Mapping[str, Any]) -> bool:
        changes = self._root.dialect.changes
        if self._changes != changes or self._besides != added.keys():
            if self._wait:
                self._wait -= 1
                return False
            if self._besides != added.keys():
                self._finish()  # what was added so far is no column of other rows
            self._changes, self._besides = changes, added.keys()
            self._follow(program(self._root, self._besides) if compiled else None)
            self._programs += 1
            self._wait = 2 ** min(max(0, self._programs - _EAGER), _LONGEST) - 1
        return self._program is not None

    def _follow(self, new: Program | None) -> None:
        """Go on with another program, and with the rows so far where it has all their columns."""
        made: Any = new and compiled.Builder(new.columns, new.entries, new.nodes, new.tables)
        if new is not None and self._program is not None and self._made.rows:
            numbers = new.numbers(self._program)
            if numbers is not None:
                made.inherit(self._made, *numbers)
                self._made = None
        self._finish()
        self._program, self._made = new, made

    def _read(
        self, body: bytes, path: Sequence[Any], added: Mapping[str, Sequence[Any]]
    ) -> bool | None:
        start = self._made.rows
        one = self._arrays(added)
        if one is None:
            return None
        if not self._made.read(body, tuple(path)):
            return False
        count = self._made.rows - start
        if one:
            repeated = {name: pa.repeat(value[0], count) for name, value in one.items()}
            self._added.append((start, count, repeated))
        return True

    def _append(self, rows: Any, added: Mapping[str, Sequence[Any]]) -> bool | None:
        if self._program is None or self._program.keeps_objects:
            return None  # objects of rows that were parsed elsewhere may have no JSON
        arrays = self._arrays(added)
        start = self._made.rows
        if arrays is None:
            return None
        if not self._made.append(rows):
            return False
        if arrays:
            self._added.append((start, len(rows), arrays))
        return True

    def _arrays(self, added: Mapping[str, Sequence[Any]]) -> dict[str, pa.Array] | None:
        """The columns to add, if there is nothing to do but that."""
        known = self._root.dialect.settled(self._root.name)
        arrays: dict[str, pa.Array] = {}
        for name, values in added.items():
            if name not in known:
                return None
            [made] = build([(values, kinds_of(values) & ~NULL)], *known[name])
            if made is None:
                return None
            arrays[name] = made
        return arrays

    def _finish(self) -> None:
        if self._program is None or self._made is None or not self._made.rows:
            return
        decode = msgspec.json.decode
        columns, tables = self._made.finish(pa.allocate_buffer)
        found: list[dict[str, pa.Array]] = [{} for _ in tables]
        for (code, table), (name, arrow), buffers in zip(
            self._program.columns, self._program.fields, columns, strict=True
        ):
            if code == "o":
                values = [decode(value) if type(value) is bytes else value for value in buffers]
                found[table][name] = array(self._program.owners[table][0], name, values)
            else:
                nulls, bits, ends, data = buffers
                parts = [bits, ends, data] if code == "t" else [bits, data]
                found[table][name] = pa.Array.from_buffers(arrow, tables[table][0], parts, nulls)
        self._add_columns(found[0], tables[0][0])
        self._add_ids(self._program, found, tables)
        for (owner, _), arrays, (count, _) in zip(self._program.owners, found, tables, strict=True):
            if count:
                self._parts.setdefault(owner.name, []).append(Part(count, arrays))
        self._finished += tables[0][0]

    def _add_columns(self, arrays: dict[str, pa.Array], rows: int) -> None:
        for name in {name for _, _, added in self._added for name in added}:
            arrow = self._root.dialect.settled(self._root.name)[name][1]
            pieces, at = [], 0
            for start, count, added in self._added:
                if name in added:
                    pieces += [pa.nulls(start - at, arrow), added[name]]
                    at = start + count
            arrays[name] = pa.concat_arrays([*pieces, pa.nulls(rows - at, arrow)])
        self._added = []

    def _add_ids(
        self, program: Program, found: list[dict[str, pa.Array]], tables: list[tuple[int, Any]]
    ) -> None:
        dialect = self._root.dialect
        inherited: list[dict[str, pa.Array]] = []
        for (_, above), arrays, (count, lists) in zip(program.owners, found, tables, strict=True):
            handed: dict[str, pa.Array] = {}
            if above < 0:
                arrays[dialect.load] = repeat(dialect.load_id or "", count)
            else:
                counts = pa.Array.from_buffers(pa.int64(), lists.size // 8, [None, lists])
                parents, places = positions(counts)
                owner = program.owners[above][0]
                for there, here in handed_down(owner, inherited[above]).items():
                    handed[there] = found[above][here].take(parents)
                arrays.update(handed)
                arrays[dialect.parent_id] = found[above][dialect.row_id].take(parents)
                arrays[dialect.list_index] = places
            inherited.append(handed)
            arrays[dialect.row_id] = random_ids(count, dialect.id_length)
