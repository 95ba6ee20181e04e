"""Settling: each column gets its type, each value its place, before dlt sees any of it.

The type a column has in the schema stays; a new column takes the type of its first value; a
value that cannot be coerced goes to a variant column; what the schema contract refuses is
dropped. dlt does the same row by row; here whole columns go first and only misfits one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from blocks.errors import NormalizeError
from blocks.normalize.arrow import build
from blocks.normalize.columns import Columns, flat
from blocks.normalize.shape import LIST, OBJECT
from blocks.normalize.tree import Table
from blocks.normalize.values import json_text

__all__ = ["array", "settle"]

_NATIVE = {"text": str, "bool": bool, "bigint": int, "double": float}


def settle(
    table: Table, columns: Columns, ids: Mapping[str, Any]
) -> tuple[dict[str, pa.Array], list[bool] | None]:
    """Arrays of all columns that have a type, and which rows to keep (`None`: all).

    `ids` are the columns the normalizer adds itself, each with a value of its type, for dlt to
    register with its hints. Columns without any value have no type and are left out. Raises
    what dlt raises for a frozen contract, `NormalizeError` for a value that fits nowhere.
    """
    dialect = table.dialect
    _learn(table, columns, ids)
    known = dialect.settled(table.name)
    arrays: dict[str, pa.Array] = {}
    misfits: dict[str, Sequence[Any]] = {}
    dropped: set[int] = set()
    groups: dict[int, tuple[tuple[str, pa.DataType], list[str]]] = {}
    for name, (values, kinds) in columns.values.items():
        place = known.get(name)
        if place is None:
            refused = dialect.refuses(table.name, name)
            there = [index for index, value in enumerate(values) if value is not None]
            if refused == "discard_row":
                dropped.update(there)
            elif there and not refused:
                # Its first value went to a variant: it has a preferred type that did not fit.
                misfits[name] = values
        elif place[0] == "json" and not kinds & ~(OBJECT | LIST):
            arrays[name] = array(table, name, values)
        else:
            # One tuple for each type, so that its identity will do: Arrow types are slow to hash.
            groups.setdefault(id(place), (place, []))[1].append(name)
    for (type_, arrow), names in groups.values():
        built = build([columns.values[name] for name in names], type_, arrow)
        for name, whole in zip(names, built, strict=True):
            if whole is None:
                misfits[name] = columns.values[name][0]
            else:
                arrays[name] = whole
    for name, fitted in _fit(table, misfits, columns.count, dropped).items():
        made = array(table, name, fitted)
        arrays[name] = pc.coalesce(made, arrays[name]) if name in arrays else made
    keep = [index not in dropped for index in range(columns.count)] if dropped else None
    return arrays, keep


def _learn(table: Table, columns: Columns, ids: Mapping[str, Any]) -> None:
    """Let the dialect settle the columns it does not know by their first values, all at once.

    At once, because a contract that freezes columns lets a new table have those it begins with;
    a nested table begins with its first row.
    """
    dialect = table.dialect
    parent = table.parent.name if table.parent else None
    known = dialect.settled(table.name)
    found: dict[str, tuple[int, Any]] = {}
    for name in [name for name in columns.values if name not in known]:
        if not dialect.refuses(table.name, name):
            values = columns.values[name][0]
            there = ((index, value) for index, value in enumerate(values) if value is not None)
            found[name] = next(there, (columns.count, None))
    # Each row has all ids, so that they begin with the first; one that is a key of it comes first.
    new = [name for name in ids if name not in known]
    met = _met(columns, 0) if new else set()
    found.update((name, (0, ids[name])) for name in sorted(new, key=lambda name: name not in met))
    order = _in_order(columns, {name: index for name, (index, _) in found.items()})
    first = {name: found[name][1] for name in order if not found[name][0]}
    later = {name: found[name][1] for name in order if found[name][0]}
    if parent is not None and dialect.is_new(table.name):
        dialect.fit(table.name, parent, first)
        first = {}
    # dlt refuses even a null where its hints allow none.
    nulls = dict.fromkeys(columns.nulls - columns.values.keys())
    learned = {**first, **later, **nulls}
    if learned and not dialect.refuses(table.name):
        dialect.fit(table.name, parent, learned)


def _met(columns: Columns, index: int) -> set[str]:
    """The columns that the objects of a row have keys for, as far as these came as dicts."""
    return {slot.column for node, dicts in columns.dicts for slot, _ in flat(node, dicts[index])}


def _in_order(columns: Columns, begin: Mapping[str, int]) -> list[str]:
    """New columns in the order in which dlt meets them, by the rows that they `begin` in."""
    places = {name: place for place, name in enumerate(begin)}
    order = sorted(begin, key=lambda name: begin[name])
    for index, group in groupby(order, key=lambda name: begin[name]):
        names = set(group)
        for node, dicts in columns.dicts if len(names) > 1 and index < columns.count else ():
            met = dict.fromkeys(slot.column for slot, _ in flat(node, dicts[index]))
            mine = [name for name in met if name in names]
            places.update(zip(mine, sorted(places[name] for name in mine), strict=True))
    return sorted(order, key=lambda name: (begin[name], places[name]))


def _fit(
    table: Table, misfits: Mapping[str, Sequence[Any]], count: int, dropped: set[int]
) -> dict[str, list[Any]]:
    """Coerce values one by one; the columns they end in, variants included."""
    dialect = table.dialect
    parent = table.parent.name if table.parent else None
    fitted: dict[str, list[Any]] = {}
    for name, values in misfits.items():
        column = dialect.known(table.name, name)
        native = _NATIVE.get(str(column["data_type"])) if column else None
        seen: dict[tuple[type, str], dict[str, Any] | None] = {}
        for index, value in enumerate(values):
            if value is None or index in dropped:
                continue
            if type(value) is native:
                row: dict[str, Any] | None = {name: value}
            elif isinstance(value, (dict, list)):
                row = dialect.fit(table.name, parent, {name: value})
            else:
                key = (type(value), repr(value))
                if key not in seen:
                    seen[key] = dialect.fit(table.name, parent, {name: value})
                row = seen[key]
            if row is None:
                dropped.add(index)
                continue
            for place, result in row.items():
                if place not in fitted:
                    fitted[place] = [None] * count
                fitted[place][index] = result
    return fitted


def array(table: Table, name: str, values: Sequence[Any]) -> pa.Array:
    """The array of values that fit, as dlt would write them."""
    type_, arrow = table.dialect.settled(table.name)[name]
    if type_ == "json":
        # As dlt's writer: text is taken for JSON already.
        values = [
            value if value is None or isinstance(value, str) else json_text(value)
            for value in values
        ]
    try:
        return pa.array(values, arrow)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError) as error:
        raise NormalizeError(
            f"expected values that fit {type_} in column {table.name}.{name},"
            f" got {_first_misfit(values, arrow)}: hint the column as decimal, wei or text"
        ) from error


def _first_misfit(values: Sequence[Any], arrow: pa.DataType) -> str:
    for value in values:
        try:
            pa.scalar(value, arrow)
        except (pa.ArrowException, OverflowError, UnicodeEncodeError):
            text = repr(value)
            return text if len(text) <= 60 else f"{text[:57]}..."
    return "values that do not fit together"
