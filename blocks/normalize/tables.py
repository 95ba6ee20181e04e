"""Tables: gathered columns as Arrow tables with dlt's ids, parents first.

Every row has an id; a nested row also has the id of its parent, its place in the list it
comes from, and what the rows above it hand down (`_dlt_root_id`, as a rule).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, compress, repeat
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from blocks.errors import NormalizeError
from blocks.normalize.arrow import positions, random_ids
from blocks.normalize.arrow import repeat as repeat_text
from blocks.normalize.columns import Columns, Rows, gather, plain_values
from blocks.normalize.dialect import Dialect
from blocks.normalize.filters import hide, left, shown
from blocks.normalize.plan import Elements
from blocks.normalize.settle import settle
from blocks.normalize.shape import SCALAR, kinds_of
from blocks.normalize.tree import Table
from blocks.normalize.values import nested_hash, row_hash

__all__ = ["Part", "handed_down", "table", "tables"]

_NOTHING: Mapping[str, Sequence[Any]] = {}


class Part(NamedTuple):
    """Some rows of a table: how many, and an array for each column they have."""

    rows: int
    arrays: Mapping[str, pa.Array]


class _Origin(NamedTuple):
    """Where the rows of a nested table come from, for each row."""

    parent_ids: pa.Array
    places: pa.Array
    inherited: Mapping[str, Any]  # arrays of ids, lists of values
    derived: bool  # whether ids follow from the parent's

    def cut(self, rows: slice) -> _Origin:
        """The same for some of the rows."""
        inherited = {name: values[rows] for name, values in self.inherited.items()}
        return _Origin(self.parent_ids[rows], self.places[rows], inherited, self.derived)


def tables(
    root: Table, rows: Rows, elements: Elements | None, added: Mapping[str, Sequence[Any]]
) -> dict[str, list[Part]]:
    """The tables of `rows`: the root first, then nested ones that have rows, by name.

    `added` are columns of the root table beside those of the rows.
    """
    out: dict[str, list[Part]] = {}
    dialect: Dialect = root.dialect
    dialect.remember()
    misfit = False
    try:
        _write(root, rows, elements, None, out, added)
    except NormalizeError:
        if not dialect.crowded:
            raise
        misfit = True
    if dialect.crowded and (dialect.forget() or misfit):
        # A table filled from two places learns its columns from whichever row comes first, as
        # dlt meets them: row by row, each with the rows below it.
        out.clear()
        for index in range(len(rows)):
            row = slice(index, index + 1)
            here = {name: values[row] for name, values in added.items()}
            _write(root, rows[row], elements, None, out, here, singly=True)
    return out


def table(dialect: Dialect, name: str, parts: Sequence[Part]) -> pa.Table:
    """The rows of all `parts`, with all settled columns of the table in the order of the schema.

    Columns that a part has not are null there.
    """
    data = []
    fields = []
    for field in dialect.fields(name):
        arrays = [part.arrays.get(field.name) for part in parts]
        type_ = next((array.type for array in arrays if array is not None), field.type)
        column = pa.chunked_array(
            [
                pa.nulls(part.rows, type_) if array is None else array
                for part, array in zip(parts, arrays, strict=True)
            ],
            type_,
        )
        if not field.nullable and column.null_count:
            dialect.refuse_null(name, field.name)
        data.append(column)
        fields.append(field if type_ == field.type else field.with_type(type_))
    return pa.Table.from_arrays(data, schema=pa.schema(fields))


def _write(
    table: Table,
    rows: Rows,
    elements: Elements | None,
    origin: _Origin | None,
    out: dict[str, list[Part]],
    added: Mapping[str, Sequence[Any]] = _NOTHING,
    *,
    singly: bool = False,
) -> None:
    dialect = table.dialect
    if table.is_undecided:
        table.decide()
    columns = gather(table, rows, elements)
    _carry(columns, added)
    inherited = origin.inherited if origin else {}
    if origin is not None and dialect.is_root(table.name):
        origin = None  # made of lists, and yet with root rows: the schema has it so
    _set_system_columns(table, columns, inherited, is_root=origin is None)
    samples = _id_samples(table, inherited, is_root=origin is None)
    arrays, keep = settle(table, columns, samples)
    own = {*arrays}
    keep = keep if samples else left(table, rows, [*added, *inherited])
    if dialect.refuses(table.name):
        return
    arrays.update((name, ids) for name, ids in inherited.items() if isinstance(ids, pa.Array))
    if origin is not None:
        arrays[dialect.parent_id] = origin.parent_ids
        arrays[dialect.list_index] = origin.places
    count = columns.count
    if keep is not None:
        mask = pa.array(keep, pa.bool_())
        arrays = {name: array.filter(mask) for name, array in arrays.items()}
        count = sum(keep)
    if not count:
        return
    derived = _add_ids(table, arrays, _Rows(rows, columns, keep, added), count, origin)
    out.setdefault(table.name, []).append(Part(count, shown(table, arrays, own)))
    for lists in columns.lists:
        counts, items = lists.flatten(keep)
        if items:
            parents, places = positions(counts)
            ids = arrays[dialect.row_id].take(parents)
            handed = _hand_down(table, columns, arrays, inherited, keep, counts, parents)
            below = _Origin(ids, places, handed, derived)
            if not singly:
                _write(lists.table, items, lists.elements, below, out)
                continue
            for index in range(len(items)):
                item = slice(index, index + 1)
                _write(lists.table, items[item], lists.elements, below.cut(item), out, singly=True)


def _carry(columns: Columns, added: Mapping[str, Sequence[Any]]) -> None:
    """Put in what pages bring for all of their rows."""
    for name, column in added.items():
        values, kinds = plain_values(column)
        if kinds & SCALAR:
            columns.put(name, values, kinds & SCALAR)
        else:
            columns.nulls.add(name)


def _set_system_columns(
    table: Table, columns: Columns, inherited: Mapping[str, Any], *, is_root: bool
) -> None:
    """Put in what rows inherit, and take out what the records say under dlt's own names."""
    dialect = table.dialect
    for name, values in inherited.items():
        if isinstance(values, pa.Array):
            columns.values.pop(name, None)
        else:
            columns.put(name, values, kinds_of(values))
    for name in [dialect.load] if is_root else [dialect.parent_id, dialect.list_index]:
        columns.values.pop(name, None)
        columns.nulls.discard(name)
    columns.nulls -= {dialect.row_id, *inherited}
    hide(table, columns)


def _id_samples(table: Table, inherited: Mapping[str, Any], *, is_root: bool) -> dict[str, Any]:
    """The id columns of the table, in dlt's order, each with a value of its type."""
    dialect = table.dialect
    samples: dict[str, Any] = {
        name: "" for name, values in inherited.items() if isinstance(values, pa.Array)
    }
    if is_root:
        samples |= {dialect.load: "", dialect.row_id: ""}
    else:
        samples |= {dialect.parent_id: "", dialect.list_index: 0, dialect.row_id: ""}
    return {name: each for name, each in samples.items() if not dialect.excludes(table.name, name)}


def handed_down(table: Table, inherited: Iterable[str]) -> dict[str, str]:
    """The columns that rows below inherit, each with the one here that it comes from.

    `inherited` are those that the rows here have from above.
    """
    dialect = table.dialect
    rules = dialect.inherited(table.name, table.parent is None or dialect.is_root(table.name))
    return {name: name for name in inherited} | {there: here for here, there in rules.items()}


def _hand_down(
    table: Table,
    columns: Columns,
    arrays: Mapping[str, pa.Array],
    inherited: Mapping[str, Any],
    keep: list[bool] | None,
    counts: list[int],
    parents: pa.Array,
) -> dict[str, Any]:
    """What rows below inherit: ids as arrays, values as they came, both one for each child."""
    dialect = table.dialect
    handed: dict[str, Any] = {}
    known = columns.values | columns.hidden
    for there, here in handed_down(table, inherited).items():
        if here in known and here != dialect.row_id:
            values = known[here][0]
            kept = values if keep is None else compress(values, keep)
            handed[there] = list(chain.from_iterable(map(repeat, kept, counts)))
        elif here in arrays:
            handed[there] = arrays[here].take(parents)
    return handed


class _Rows(NamedTuple):
    """The rows of a table as they came, and on their side; `keep` says which are left."""

    rows: Rows
    columns: Columns
    keep: list[bool] | None
    added: Mapping[str, Sequence[Any]]


def _add_ids(
    table: Table, arrays: dict[str, pa.Array], rows: _Rows, count: int, origin: _Origin | None
) -> bool:
    """Add the ids; return whether the ids of rows below follow from them.

    dlt derives each nested id from its parent's. Under random root ids that says nothing and
    costs a hash a row: there nested ids are random as well.
    """
    dialect = table.dialect
    given = arrays.pop(dialect.row_id, None)
    if dialect.row_id in rows.columns.hidden:
        hidden = pa.array(rows.columns.hidden[dialect.row_id][0], pa.string())
        given = hidden if rows.keep is None else hidden.filter(pa.array(rows.keep))
    if origin is None:
        arrays[dialect.load] = repeat_text(dialect.load_id or "", count)
        kind = dialect.row_id_kind(table.name)
    else:
        kind = "place" if origin.derived else "random"
    if kind == "random":
        ids = random_ids(count, dialect.id_length)
    elif kind == "place":
        parents, places = arrays[dialect.parent_id], arrays[dialect.list_index]
        pairs = zip(parents.to_pylist(), places.to_pylist(), strict=True)
        ids = pa.array([nested_hash(parent, table.name, place) for parent, place in pairs])
    else:
        ids = pa.array(_hashes(table, kind, rows), pa.string())
    if given is not None:
        ids = pc.if_else(pc.fill_null(pc.not_equal(given, ""), False), given, ids)
    arrays[dialect.row_id] = ids
    return given is not None or kind != "random"


def _hashes(table: Table, kind: str, rows: _Rows) -> list[str]:
    """Ids of root rows that follow from their values: from the primary key, or from all."""
    dialect = table.dialect
    if kind == "key_hash":
        names = dialect.key_columns(table.name)
        columns = rows.columns
        known = columns.values | columns.hidden
        for name in names:
            if name not in known and name not in columns.nulls:
                raise NormalizeError(
                    f"expected key column {name} in table {table.name}, got rows without"
                )
        none = ([None] * columns.count, 0)
        keys = [known.get(name, none)[0] for name in names]
        dicts = [dict(zip(names, key, strict=True)) for key in zip(*keys, strict=True)]
    else:
        names = None
        plain = rows.rows.to_pylist() if isinstance(rows.rows, pa.Table) else rows.rows
        dicts = [row if isinstance(row, dict) else {"value": row} for row in plain]
        for name, values in rows.added.items():
            dicts = [{**row, name: value} for row, value in zip(dicts, values, strict=True)]
    kept = dicts if rows.keep is None else compress(dicts, rows.keep)
    return [row_hash(row, names) for row in kept]
