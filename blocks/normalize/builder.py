"""Builders: rows whose columns are all settled, straight into the buffers of Arrow arrays.

The common case, in C (`native/`): nothing is learned from these rows, no value needs coercion,
no contract drops any. Of JSON that is so not one Python value is made. Whatever is not so is
refused, whole, and goes the way of `tables.py`, which gives the same tables; so does everything
where the extension was not compiled.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from blocks.json import raw
from blocks.normalize.arrow import build, positions, random_ids, repeat
from blocks.normalize.compiled import compiled
from blocks.normalize.program import Program, program
from blocks.normalize.settle import array
from blocks.normalize.shape import NULL, kinds_of
from blocks.normalize.tables import Part, handed_down
from blocks.normalize.tree import Table

__all__ = ["Builder"]

_EAGER = 8
"""Programs made at once when something was learned; after these the wait doubles each time."""
_LONGEST = 10
"""How often it doubles."""
_PATIENCE = 4
"""Bodies refused before some are not tried; with each more these double."""


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

    @property
    def is_reading(self) -> bool:
        """Whether the next body is worth a try: not each while most are refused."""
        if self._pause:
            self._pause -= 1
            return False
        return compiled is not None

    def read(self, body: bytes, path: Sequence[Any], added: Mapping[str, Any]) -> bool:
        """Take all records of a body at `path`, an array or one object, or none; whether it did.

        `added` are values to add to each. A body that is no JSON is refused like any other.
        """
        taken = self._is_ready(added) and self._read(body, path, added)
        self._refused = max(0, self._refused + (-1 if taken else 1))
        self._pause = 2 ** min(max(0, self._refused - _PATIENCE), _LONGEST) - 1
        return taken

    def append(self, rows: Any, added: Mapping[str, Sequence[Any]]) -> bool:
        """Take all rows, parsed already, or none; whether it did.

        `added` are columns beside those of the rows.
        """
        if not self._is_ready(added) or self._program is None or self._program.keeps_objects:
            return False  # objects of rows that were parsed elsewhere may have no JSON
        arrays = self._arrays(added)
        start = self._made.rows
        if arrays is None or not self._made.append(rows):
            return False
        self._note(start, arrays)
        return True

    def take(self) -> dict[str, list[Part]]:
        """All rows so far, in the form of `tables.tables`; begins anew."""
        self._finish()
        parts, self._parts, self._finished = self._parts, {}, 0
        return parts

    def _is_ready(self, added: Mapping[str, Any]) -> bool:
        changes = self._root.dialect.changes
        if self._changes != changes or self._besides != added.keys():
            if self._wait:
                self._wait -= 1
                return False
            self._finish()
            self._changes, self._besides = changes, added.keys()
            self._program = compiled and program(self._root, self._besides)
            self._programs += 1
            self._wait = 2 ** min(max(0, self._programs - _EAGER), _LONGEST) - 1
            self._made = self._program and compiled.Builder(
                self._program.columns,
                self._program.entries,
                self._program.nodes,
                self._program.tables,
            )
        return self._program is not None

    def _read(self, body: bytes, path: Sequence[Any], added: Mapping[str, Any]) -> bool:
        if not all(type(key) is str for key in path):
            try:
                body, path = raw(body, path) or b"", ()
            except msgspec.DecodeError:
                return False
        start = self._made.rows
        one = self._arrays({name: [value] for name, value in added.items()})
        if one is None or not self._made.read(body, tuple(path)):
            return False
        count = self._made.rows - start
        self._note(start, {name: pa.repeat(value[0], count) for name, value in one.items()})
        return True

    def _note(self, start: int, added: dict[str, pa.Array]) -> None:
        """Note that rows were taken from there on, and what stands beside them."""
        if added:
            self._added.append((start, self._made.rows - start, added))
        self._programs = max(0, self._programs - 1)

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
        if self._program is None or not self._made.rows:
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
