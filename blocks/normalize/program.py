"""Programs: the tree of tables, as the flat lists that a compiled builder is made of.

Only of what is settled: a key without a column, a node or a table of its own takes nothing but
null, and a null only where there was one before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from typing import TypeAlias

import pyarrow as pa

from blocks.normalize.tree import Node, Slot, Table

__all__ = ["Program", "program"]

Entry: TypeAlias = tuple[int, int, int, bool]
"""The numbers of a column, a node and a table, -1 for none; whether a null is nothing new."""

# The type of a column in C, by what it is called in dlt and in Arrow.
_CODES = {
    ("text", pa.string()): "t",
    ("bigint", pa.int64()): "i",
    ("double", pa.float64()): "d",
    ("bool", pa.bool_()): "b",
    ("timestamp", pa.timestamp("us", "UTC")): "s",
    ("json", pa.string()): "o",
}
# Deeper rows are rare, and C has no limit of its own.
_DEEPEST = 100


def program(root: Table, besides: Collection[str] = ()) -> Program | None:
    """The program for rows of `root`; it takes no values for the root's columns `besides`.

    `None` if there is more to do for such rows than to append their values.
    """
    dialect = root.dialect
    if dialect.crowded or dialect.clashing or dialect.is_strict(root.name):
        return None
    made = Program(besides)
    try:
        made.add(root, -1, 0)
    except _OutOfReachError:
        return None
    return made


class _OutOfReachError(Exception):
    """Rows that need more."""


class Program:
    """The lists, with the name and Arrow type of each column, the table and its parent's number."""

    def __init__(self, besides: Collection[str]) -> None:
        self._besides = besides
        self.columns: list[tuple[str, int]] = []
        self.fields: list[tuple[str, pa.DataType]] = []
        self.entries: list[Entry] = []
        self.nodes: list[dict[str, int]] = []
        self.tables: list[int] = []
        self.owners: list[tuple[Table, int]] = []
        self._settled: list[Mapping[str, tuple[str, pa.DataType]]] = []
        self._nulls: list[AbstractSet[str]] = []
        self._known: dict[tuple[int, str], int] = {}
        self._codes: dict[int, str | None] = {}  # by identity: Arrow types are slow to hash

    @property
    def keeps_objects(self) -> bool:
        """Whether objects stay whole in some column."""
        return any(code == "o" for code, _ in self.columns)

    def numbers(self, old: Program) -> tuple[list[int], list[int]] | None:
        """For each column and each table its number in `old`, -1 for new ones.

        `None` where one of those is gone, or of another type.
        """
        names = [owner.name for owner, _ in old.owners]
        tables = [
            names.index(owner.name) if owner.name in names else -1 for owner, _ in self.owners
        ]
        known = {
            (names[table], name, code): number
            for number, ((code, table), (name, _)) in enumerate(
                zip(old.columns, old.fields, strict=True)
            )
        }
        columns = [
            known.pop((self.owners[table][0].name, name, code), -1)
            for (code, table), (name, _) in zip(self.columns, self.fields, strict=True)
        ]
        return (columns, tables) if not known and {*tables} >= {*range(len(names))} else None

    def add(self, table: Table, above: int, depth: int) -> int:
        """Add a table, all below it included; its number."""
        dialect = table.dialect
        known = dialect.settled(table.name)
        system = {dialect.row_id, dialect.parent_id, dialect.list_index, dialect.load}
        own = system - ({dialect.load} if above >= 0 else {dialect.parent_id, dialect.list_index})
        if not own <= known.keys() or system & table.columns.keys():
            if above < 0:
                raise _OutOfReachError
            return -1
        if dialect.is_odd(table.name, nested=above >= 0) or depth > _DEEPEST:
            raise _OutOfReachError
        number = len(self.tables)
        self.tables.append(self._reserve())
        self.owners.append((table, above))
        self._settled.append(known)
        self._nulls.append(dialect.nulls(table.name))
        node = self._node(table.node, number, depth)
        column = items = -1
        if above >= 0:
            column = self._column(table.values, number)
            below = table.lists.below[1]
            if below is not None:
                items = self.add(below, number, depth + 1)
        null = column >= 0 or table.values.column in self._nulls[number]
        self.entries[self.tables[number]] = column, node, items, null
        return number

    def _reserve(self) -> int:
        self.entries.append((-1, -1, -1, False))
        return len(self.entries) - 1

    def _column(self, slot: Slot, table: int) -> int:
        place = self._settled[table].get(slot.column)
        if place is None:
            return -1
        code = self._codes.get(id(place), "")
        if not code:
            code = self._codes[id(place)] = _CODES.get(place)
        if code is None or (code == "o") != slot.is_json:
            return -1
        found = self._known.get((table, slot.column))
        if found is None:
            found = self._known[table, slot.column] = len(self.columns)
            self.columns.append((code, table))
            self.fields.append((slot.column, place[1]))
        return found

    def _node(self, node: Node, table: int, depth: int) -> int:
        if depth > _DEEPEST:
            raise _OutOfReachError
        number = len(self.nodes)
        keys: dict[str, int] = {}
        self.nodes.append(keys)
        for key, slot in node.slots.items():
            entry = self._reserve()
            if type(key) is str:
                keys[key] = entry
            if not table and slot.column in self._besides:
                continue
            column = self._column(slot, table)
            below = items = -1
            inner, lists = (None, None) if slot.is_json else slot.below
            if inner is not None:
                below = self._node(inner, table, depth + 1)
            if lists is not None:
                items = self.add(lists, table, depth + 1)
            null = column >= 0 or slot.column in self._nulls[table]
            self.entries[entry] = column, below, items, null
        return number
