"""Filters: what the filters of a schema leave of a row, ids included, as dlt has it.

Filters name columns, of a table or of those below it. A row of which they leave nothing is none,
and none of the rows below it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import pyarrow as pa

from blocks.normalize.columns import Columns, Rows, flat
from blocks.normalize.tree import Table

__all__ = ["hide", "left", "shown"]


def hide(table: Table, columns: Columns) -> None:
    """Take the columns that filters exclude out of what is to be stored."""
    for name in [*columns.values, *columns.nulls] if table.dialect.is_filtered else ():
        if table.dialect.excludes(table.name, name):
            nothing = ([None] * columns.count, 0)
            columns.hidden.setdefault(name, columns.values.pop(name, nothing))
            columns.nulls.discard(name)


def shown(
    table: Table, arrays: Mapping[str, pa.Array], own: Collection[str]
) -> Mapping[str, pa.Array]:
    """Those of `arrays` that are to be stored.

    Its `own` are: filters know no variants, which a value goes to after them.
    """
    dialect = table.dialect
    if not dialect.is_filtered:
        return arrays
    return {
        name: each
        for name, each in arrays.items()
        if name in own or not dialect.excludes(table.name, name)
    }


def left(table: Table, rows: Rows, added: Iterable[str]) -> list[bool] | None:
    """Which rows have any column that filters do not exclude; `None`: all of them.

    For tables whose ids are all excluded; `added` are the columns that each row has besides.
    """
    dialect = table.dialect
    if not all(dialect.excludes(table.name, name) for name in added):
        return None
    excluded: dict[str, bool] = {}
    keep = []
    for row in rows.to_pylist() if isinstance(rows, pa.Table) else rows:
        names = _names(table, row)
        for name in names:
            if name not in excluded:
                excluded[name] = dialect.excludes(table.name, name)
        keep.append(not all(excluded[name] for name in names))
    return keep


def _names(table: Table, row: Any) -> list[str]:
    """The columns of a row, those that are null included."""
    if isinstance(row, dict):
        found = flat(table.node, row)
        return [slot.column for slot, value in found if slot.is_json or not isinstance(value, list)]
    slot = table.lists if isinstance(row, list) else table.values
    return [slot.column] if slot.is_json or not isinstance(row, list) else []
