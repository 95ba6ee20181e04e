"""Columns: rows, as structs or dicts, turned on their side.

A column is touched once for all rows instead of a row once for all columns. `gather` fills
the columns of one table and hands out the lists found on the way, whose elements are the rows
of nested tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, compress
from math import isfinite
from typing import Any, TypeAlias

import pyarrow as pa
from msgspec.structs import astuple

from blocks.normalize.plan import Elements, Layout
from blocks.normalize.shape import FLOAT, INT, LIST, NULL, OBJECT, OTHER, SCALAR, kind_of, kinds_of
from blocks.normalize.sparse import Sparse, turn
from blocks.normalize.tree import Node, Slot, Table
from blocks.normalize.values import plain

__all__ = ["Columns", "Lists", "Rows", "flat", "gather", "plain_values"]

Rows: TypeAlias = Sequence[Any] | pa.Table
"""Structs, plain values, or an Arrow table."""

_Below = list[tuple[Node, Sequence[Any], Layout | None]]


class Lists:
    """The lists of one nested table: one list, or None, for each row of its parent."""

    __slots__ = ("elements", "table", "values")

    def __init__(self, table: Table, values: Any, elements: Elements | None) -> None:
        self.table = table
        self.values = values
        self.elements = elements

    def flatten(self, keep: Sequence[bool] | None) -> tuple[list[int], list[Any]]:
        """How many elements each parent row has, and all elements in order.

        Parent rows for which `keep` is false count as if they were not there.
        """
        values = [value or () for value in self.values]
        if keep is not None:
            values = list(compress(values, keep))
        return list(map(len, values)), list(chain.from_iterable(values))


class Columns:
    """The columns of one table: values in row order with the kinds among them.

    `nulls` are the columns that had a null and may have no value at all, `hidden` those that
    filters leave out; `dicts` are the objects that came as dicts, one for each row, with the nodes
    that they stand at.
    """

    __slots__ = ("count", "dicts", "hidden", "lists", "nulls", "values")

    def __init__(self, count: int) -> None:
        self.count = count
        self.hidden: dict[str, tuple[Sequence[Any], int]] = {}
        self.dicts: list[tuple[Node, Sequence[Any]]] = []
        self.nulls: set[str] = set()
        self.values: dict[str, tuple[Sequence[Any], int]] = {}
        self.lists: list[Lists] = []

    def put(self, name: str, values: Sequence[Any], kinds: int) -> None:
        """Add a column; of two that share a name, the later one wins where it has a value."""
        if name in self.values:
            before, seen = self.values[name]
            kinds |= seen
            pairs = zip(before, values, strict=True)
            values = [old if new is None else new for old, new in pairs]
        self.values[name] = values, kinds


def gather(table: Table, rows: Rows, elements: Elements | None) -> Columns:
    """Turn the rows of `table` on their side.

    `elements` is the plan that decoded them; without one they are plain Python values, or an
    Arrow table.
    """
    columns = Columns(len(rows))
    below: _Below = []
    if isinstance(rows, pa.Table):
        for name in rows.column_names:
            values, kinds = plain_values(rows.column(name).to_pylist())
            _put(table.node.slot(name), values, kinds, None, None, columns, below)
    else:
        if elements is None or elements.type is Any:
            rows, kinds = plain_values(rows)
            layout = inner = None
        else:
            kinds, layout, inner = elements.kinds, elements.layout, elements.lists
        objects, lists, scalars = _split(rows, kinds, layout)
        if objects is not None:
            below.append((table.node, objects, layout))
        if lists is not None:
            _put(table.lists, lists, LIST, None, inner, columns, below)
        if scalars is not None:
            columns.put(table.values.column, scalars, kinds & SCALAR)
        elif kinds & NULL:
            columns.nulls.add(table.values.column)
    columns.dicts = [(node, found) for node, found, inner in below if inner is None]
    for node, objects_below, layout_below in below:
        _spread(node, objects_below, layout_below, columns)
    if table.clashes and any(layout is None for _, _, layout in below):
        columns = _row_by_row(table, rows, columns)
    if len({lists.table for lists in columns.lists}) < len(columns.lists):
        table.dialect.crowded = True
    return columns


def _row_by_row(table: Table, rows: Rows, columns: Columns) -> Columns:
    """The columns of a table where several keys share one: the order in each row says who wins.

    Values of rows that are no objects are taken from `columns`.
    """
    out = Columns(columns.count)
    out.nulls, out.dicts = columns.nulls, columns.dicts
    whole = rows.to_pylist() if isinstance(rows, pa.Table) else rows
    values: dict[str, list[Any]] = {
        name: [
            None if isinstance(row, dict) else old for row, old in zip(whole, known, strict=True)
        ]
        for name, (known, _) in columns.values.items()
    }
    lists: dict[tuple[str, ...], Lists] = {}
    for index, row in enumerate(whole):
        for slot, value in flat(table.node, row) if isinstance(row, dict) else ():
            if value is None:
                continue
            if slot.is_json or not isinstance(value, list):
                values.setdefault(slot.column, [None] * columns.count)[index] = value
            else:
                empty = Lists(slot.items, [None] * columns.count, None)
                lists.setdefault(slot.items.path, empty).values[index] = value
    for name, column in values.items():
        out.put(name, *plain_values(column))
    out.lists = [*lists.values()]
    if any(isinstance(row, list) for row in whole):
        out.lists += [each for each in columns.lists if each.table is table.lists.items]
    return out


def flat(node: Node, row: dict[str, Any]) -> Iterable[tuple[Slot, Any]]:
    """The values of one row that become no columns of their own, in the order dlt meets them."""
    below = [(node, row)]
    while below:
        owner, found = below.pop()
        for key, value in found.items():
            slot = owner.slot(key)
            if isinstance(value, dict) and not slot.is_json:
                below.append((slot.node, value))
            else:
                yield slot, value


def _spread(node: Node, rows: Sequence[Any], layout: Layout | None, columns: Columns) -> None:
    """Fill the columns of the objects of `node`, one for each row: structs or dicts."""
    below: _Below = []
    if layout is None:
        for key, places, found in turn(rows):
            values, kinds = plain_values(found)
            if kinds & NULL:
                columns.nulls.add(node.slot(key).column)
            if len(places) < columns.count:
                values, kinds = Sparse(columns.count, places, values), kinds | NULL
            _put(node.slot(key), values, kinds, None, None, columns, below)
    else:
        plain_columns = columns.values
        # One tuple a row and one zip is a third faster than an attribute pass per column.
        turned = zip(*map(astuple, rows), strict=True)
        for field, values in zip(layout.fields, turned, strict=False):
            if field.scalar and field.slot.column not in plain_columns:
                # By far the commonest case: no call for it.
                plain_columns[field.slot.column] = values, field.scalar
                continue
            kinds = kinds_of(values) if field.type is Any else field.kinds
            _put(field.slot, values, kinds, field.layout, field.elements, columns, below)
        columns.dicts += [
            (node_below, found) for node_below, found, inner in below if inner is None
        ]
    # dlt keeps the objects of a row on a stack: the last one comes first.
    for node_below, rows_below, layout_below in reversed(below):
        _spread(node_below, rows_below, layout_below, columns)


def plain_values(values: Sequence[Any]) -> tuple[Sequence[Any], int]:
    """Python values with their kinds, those dlt has no type for as its extract would leave them."""
    kinds = kinds_of(values)
    if kinds & FLOAT and not _are_finite(values, kinds):
        # dlt's extract writes what JSON has no word for as null.
        values = [None if _is_float(value) and not isfinite(value) else value for value in values]
        kinds = kinds_of(values)
    if kinds & OTHER:
        values = [plain(value) if kind_of(type(value)) == OTHER else value for value in values]
        kinds = kinds_of(values)
    return values, kinds


def _are_finite(values: Sequence[Any], kinds: int) -> bool:
    if not kinds & ~(INT | FLOAT):
        try:
            if isfinite(sum(values)):
                return True
        except OverflowError:
            pass  # an integer beyond what floats hold
    return all(map(isfinite, filter(_is_float, values)))


def _is_float(value: Any) -> bool:
    return type(value) is float


def _put(
    slot: Slot,
    values: Sequence[Any],
    kinds: int,
    layout: Layout | None,
    elements: Elements | None,
    columns: Columns,
    below: _Below,
) -> None:
    """Send the values of one key to its column, to the node below it, to its nested table."""
    if not kinds & (OBJECT | LIST):
        if kinds & SCALAR:
            columns.put(slot.column, values, kinds & SCALAR)
        else:
            columns.nulls.add(slot.column)
        return
    if slot.is_json:
        columns.put(slot.column, values, kinds & ~NULL)
        return
    objects, lists, scalars = _split(values, kinds, layout)
    if objects is not None:
        below.append((slot.node, objects, layout))
    if lists is not None:
        columns.lists.append(Lists(slot.items, lists, elements))
    if scalars is not None:
        columns.put(slot.column, scalars, kinds & SCALAR)


def _split(
    values: Sequence[Any], kinds: int, layout: Layout | None
) -> tuple[Sequence[Any] | None, Sequence[Any] | None, Sequence[Any] | None]:
    """The objects, lists and scalars among `values`, each for all rows or None.

    A row without an object has an empty one, a row without a list or scalar has None.
    """
    empty: Any = layout.empty if layout else {}
    type_ = type(empty)
    objects = lists = scalars = None
    if kinds & OBJECT:
        objects = values
        if kinds != OBJECT:
            objects = [value if type(value) is type_ else empty for value in values]
    if kinds & LIST:
        lists = values
        if kinds & ~LIST & ~NULL:
            lists = [value if type(value) is list else None for value in values]
    if kinds & SCALAR:
        scalars = values
        if kinds & (OBJECT | LIST):
            whole = (type_, list)
            scalars = [None if type(value) in whole else value for value in values]
    return objects, lists, scalars
