"""Undo: the columns that a schema had, to go back to."""

from __future__ import annotations

from dlt.common.schema import Schema
from dlt.common.schema.typing import TColumnSchema

__all__ = ["Undo"]


class Undo:
    """Keeps the columns of `schema` when something is about to change them, not before.

    >>> undo = Undo(schema := Schema("shop"))
    >>> undo.begin(), undo.keep()
    (None, None)
    >>> table = schema.update_table({"name": "orders", "columns": {}})
    >>> undo.go_back(), "orders" in schema.tables
    (True, False)
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._before: dict[str, dict[str, TColumnSchema]] | None = None

    def begin(self) -> None:
        """Forget what was kept."""
        self._before = None

    def keep(self) -> None:
        """Keep all columns of all tables, unless that was done since `begin`."""
        if self._before is None:
            self._before = self._columns()

    def go_back(self) -> bool:
        """Give the schema what was kept; return whether that made a difference."""
        if self._before is None or self._before == self._columns():
            return False
        for name in list(self._schema.tables):
            if name in self._before:
                self._schema.tables[name]["columns"] = self._before[name]
            else:
                del self._schema.tables[name]
        self._before = self._columns()
        return True

    def _columns(self) -> dict[str, dict[str, TColumnSchema]]:
        return {
            name: {column: dict(hints) for column, hints in table["columns"].items()}  # type: ignore[misc]
            for name, table in self._schema.tables.items()
        }
