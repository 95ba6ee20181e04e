"""Selection: the root rows that a mask leaves, and of nested tables the rows below those."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from blocks.errors import NormalizeError
from blocks.normalize.dialect import Dialect

__all__ = ["Where", "select"]

Where: TypeAlias = Callable[[pa.Table], Any]
"""From a root table to one boolean for each row, as an Arrow array; null leaves the row out."""


def select(
    tables: Mapping[str, pa.Table], root: str, where: Where, dialect: Dialect
) -> dict[str, pa.Table]:
    """`tables` with the rows of `root` that `where` is true of, and the nested rows below them.

    Tables that end up empty are left out. Raises `NormalizeError` if `where` gives anything but a
    boolean for each row.

    >>> from blocks.normalize import Normalizer
    >>> issues = Normalizer("issues")
    >>> page = issues(b'[{"id": 1, "labels": ["a"]}, {"id": 2, "labels": ["b"]}]')
    >>> left = select(page, "issues", lambda table: pc.greater(table["id"], 1), issues.dialect)
    >>> left["issues__labels"]["value"].to_pylist()
    ['b']
    """
    if root not in tables:
        return dict(tables)
    mask = where(tables[root])
    rows = tables[root].num_rows
    if not isinstance(mask, pa.Array | pa.ChunkedArray) or mask.type != pa.bool_():
        kind = getattr(mask, "type", type(mask).__name__)
        raise NormalizeError(f"expected an Arrow array of booleans from {where!r}, got {kind}")
    if len(mask) != rows:
        raise NormalizeError(f"expected {rows} booleans from {where!r}, got {len(mask)}")
    if pc.sum(mask).as_py() == rows:
        return dict(tables)
    left: dict[str, pa.Table] = {}
    for name, table in tables.items():
        above = dialect.parent(name)
        if name == root:
            found = table.filter(mask)
        elif above is None or above not in tables:
            found = table  # rows of a table of its own
        elif above not in left:
            continue
        elif dialect.row_id not in left[above].schema.names:
            raise NormalizeError(f"expected {dialect.row_id} in {above}, got a table without")
        elif dialect.parent_id not in table.schema.names:
            raise NormalizeError(f"expected {dialect.parent_id} in {name}, got a table without")
        else:
            ids = left[above][dialect.row_id]
            found = table.filter(pc.is_in(table[dialect.parent_id], value_set=ids))
        if found.num_rows:
            left[name] = found
    return left
