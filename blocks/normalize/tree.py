"""The tree of tables: where each key of a stream of records goes.

A `Table` is a root or nested table, a `Node` one object path inside it, a `Slot` one key of
such an object: its column and, made when first needed, the node or nested table for the
objects or lists found there. Names and rules come from the dialect.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from blocks.errors import NormalizeError
from blocks.normalize.values import key_text

if TYPE_CHECKING:
    from blocks.normalize.dialect import Dialect

__all__ = ["Node", "Slot", "Table"]

logger = logging.getLogger(__name__)

# What BigQuery takes (https://cloud.google.com/bigquery/quotas), most others far less.
_MOST_COLUMNS = 10_000
# dlt looks at all tables for each pair of those below each other: 200 take a second,
# 500, which a page of a kilobyte can say, twenty seconds.
_MOST_LEVELS = 200


class Table:
    """One table; a nested one has a row for each element of the lists found at its path.

    `level` is how many levels of nesting its rows may still open, as dlt counts them.
    """

    __slots__ = (
        "clashes",
        "columns",
        "depth",
        "dialect",
        "is_undecided",
        "lists",
        "name",
        "node",
        "parent",
        "path",
        "values",
    )

    def __init__(self, dialect: Dialect, path: tuple[str, ...], level: int, parent: Table | None):
        self.dialect = dialect
        self.path = path
        self.parent = parent
        self.depth: int = parent.depth + 1 if parent else 0
        if self.depth > _MOST_LEVELS:
            raise NormalizeError(
                f"expected at most {_MOST_LEVELS} tables below each other in {path[0]}, got more:"
                " set max_nesting, then what is deeper becomes JSON"
            )
        self.name = dialect.join(*path)
        dialect.claim(self.name)
        self.clashes = self.is_undecided = False
        if dialect.excludes(self.name, dialect.row_id):
            dialect.clashing = True  # filters may leave nothing of a row
        self.columns: dict[str, Slot] = {}
        self.node = Node(self, (), level, level)
        # A row that is no object becomes {"value": row}. A list inside a list becomes
        # {"list": row}, one level deeper; a list as a record is a value like any other.
        self.values = self.node.slot("value")
        self.lists = (
            self.values if parent is None else Node(self, (), level - 1, level - 1).slot("list")
        )

    def claim(self, slot: Slot) -> None:
        """Note that values of `slot` go to its column; two slots for one make a clash.

        Raises `NormalizeError` when there are more than 10,000: keys that are data.
        """
        if len(self.columns) >= _MOST_COLUMNS and slot.column not in self.columns:
            raise NormalizeError(
                f"expected at most {_MOST_COLUMNS} columns of table {self.name}, got more:"
                " give the object whose keys are data the type json"
            )
        first = self.columns.setdefault(slot.column, slot)
        self.dialect.note_new()
        if first.is_json != slot.is_json:
            # Two levels of nesting meet in one column, and the limit lies between them: as soon as
            # one makes it JSON, it is that for the other as well. So it goes row by row.
            self.is_undecided = self.dialect.clashing = self.dialect.crowded = True
        if first is not slot and first.owner.row_level == slot.owner.row_level:
            self.clashes = self.dialect.clashing = True
            logger.warning(
                "keys %r and %r of table %s share the column %s: a row keeps its later value",
                *(first.key, slot.key, self.name, slot.column),
            )

    def decide(self) -> None:
        """Let all slots follow what their columns have become."""
        nodes = [self.node] if self.parent is None else [self.node, self.lists.owner]
        for node in nodes:
            for slot in node.slots.values():
                slot.is_json = self.dialect.is_json(self.name, slot.column, node.level)
                if slot.has_node:
                    nodes.append(slot.node)


class Node:
    """One object path inside a table, with a slot for each key met so far."""

    __slots__ = ("level", "path", "row_level", "slots", "table")

    def __init__(self, table: Table, path: tuple[str, ...], level: int, row_level: int):
        self.table = table
        self.path = path
        self.level = level
        self.row_level = row_level
        self.slots: dict[str, Slot] = {}

    def slot(self, key: str) -> Slot:
        """The slot of `key`, always the same one."""
        found = self.slots.get(key)
        if found is None:
            found = self.slots[key] = Slot(self, key_text(key))
        return found


class Slot:
    """One key of an object: a column, an object below it, a list below it.

    Where `is_json` holds, objects and lists stay whole and become JSON text in the column.
    """

    __slots__ = ("_items", "_node", "column", "is_json", "key", "owner")

    def __init__(self, owner: Node, key: str):
        table = owner.table
        self.owner = owner
        self.key = key
        self.column = table.dialect.join(*owner.path, table.dialect.column(key))
        self.is_json = table.dialect.is_json(table.name, self.column, owner.level)
        table.claim(self)
        self._node: Node | None = None
        self._items: Table | None = None

    @property
    def below(self) -> tuple[Node | None, Table | None]:
        """The node and the nested table, as far as they were needed."""
        return self._node, self._items

    @property
    def has_node(self) -> bool:
        """Whether objects were found here."""
        return self._node is not None

    @property
    def node(self) -> Node:
        """Where the keys of objects found here go: columns of the same table."""
        if self._node is None:
            owner = self.owner
            path = (*owner.path, owner.table.dialect.column(self.key))
            self._node = Node(owner.table, path, owner.level - 1, owner.row_level)
        return self._node

    @property
    def items(self) -> Table:
        """Where the elements of lists found here go: a nested table."""
        if self._items is None:
            owner = self.owner
            table = owner.table
            path = (*table.path, *owner.path, table.dialect.table(self.key))
            # dlt counts a list's level from its row, not from the object that holds it.
            self._items = Table(table.dialect, path, owner.row_level - 1, table)
        return self._items
