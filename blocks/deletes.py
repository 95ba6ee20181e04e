"""Deletes: rows that are gone at the API, told to a destination that merges.

dlt deletes what comes with a flag in a column hinted `hard_delete`, nested rows included. Such a
row, a tombstone, needs the key and the flag only. cookbook/deletes.md has a source for each way an
API may tell: a flag in the rows, a list of what was deleted, events, or nothing but absence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import httpx

from blocks.errors import BodyError, ConfigError, CursorError, ResponseError
from blocks.json import Path
from blocks.places import Records, values

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Keys", "flag", "tombstones", "vanished"]


def flag(column: str = "deleted") -> dict[str, dict[str, Any]]:
    """The hints of a column that deletes: `columns=flag()` of a resource that merges by a key.

    Where a row and its tombstone come in one load, the tombstone wins, wherever the destination
    sorts nulls last when descending, as DuckDB and BigQuery do. For others (PostgreSQL, Snowflake)
    let rows that live say so: `load((page, {"deleted": False}) for page in pages)`.

    >>> flag()
    {'deleted': {'data_type': 'bool', 'hard_delete': True, 'dedup_sort': 'desc'}}
    """
    # Without an order dlt keeps any one of the rows that share a key (dlt's merge loading).
    return {column: {"data_type": "bool", "hard_delete": True, "dedup_sort": "desc"}}


def tombstones(
    pages: Iterable[httpx.Response],
    key: str | Mapping[str, Path] = "id",
    *,
    records: Records = "",
    flag: str = "deleted",
) -> Iterator[list[dict[str, Any]]]:
    """For each page of what was deleted, rows for `load` that have its keys and `flag` alone.

    `records` leads to the array in a body; `key` is a column, or columns and where in a record
    their values are. Raises `BodyError` for a record without its key. Whole records that an archive
    lists need none of this: `load((page, {"deleted": True}) for page in pages)`.

    >>> body = {"data": [{"type": "customer.deleted", "data": {"object": {"id": "cus_1"}}}]}
    >>> event = {"id": "data.object.id"}
    >>> [*tombstones([httpx.Response(200, json=body)], event, records="data")]
    [[{'id': 'cus_1', 'deleted': True}]]
    """
    columns = {key: key} if isinstance(key, str) else key
    for page in pages:
        found = [values(page, records, path) for path in columns.values()]
        for path, each in zip(columns.values(), found, strict=True):
            if None in each:
                raise BodyError(f"expected a key at {path!r} of each record, got nothing", page)
        rows = zip(*found, strict=True)
        yield [{**dict(zip(columns, row, strict=True)), flag: True} for row in rows]


class Keys:
    """The keys of all rows of a listing, in Arrow: some 8 bytes for a number.

    It takes the place of a cursor, `load(pages, listed)`, for rows that pass through; `columns` are
    named as in the destination. Keys that come without rows are for `add`.

    >>> import pyarrow as pa
    >>> listed = Keys("id")
    >>> listed.observe(pa.table({"id": [1, 2], "name": ["a", "b"]}))
    >>> listed.table.to_pydict()
    {'id': [1, 2]}
    """

    def __init__(self, *columns: str) -> None:
        if not columns:
            raise ConfigError("Keys: expected at least one column")
        self.columns = columns
        self._tables: list[pa.Table] = []

    def observe(self, table: pa.Table) -> None:
        """Take in the rows of an Arrow table; raises `CursorError` if it lacks a column."""
        if missing := [name for name in self.columns if name not in table.column_names]:
            names = ", ".join(table.column_names)
            raise CursorError(f"expected columns {', '.join(missing)} for keys, got {names}")
        self._tables.append(table.select(self.columns))

    def add(self, keys: Iterable[Any]) -> None:
        """Take in keys, each a value, or a tuple where there are several columns."""
        import pyarrow as pa

        rows = [*keys] if len(self.columns) > 1 else [(key,) for key in keys]
        values = zip(*rows, strict=True) if rows else ([] for _ in self.columns)
        self._tables.append(pa.table([[*each] for each in values], names=self.columns))

    @property
    def table(self) -> pa.Table:
        """All of them so far."""
        import pyarrow as pa

        if not self._tables:
            return pa.table({name: pa.nulls(0) for name in self.columns})
        return pa.concat_tables(self._tables, promote_options="permissive")


def vanished(known: pa.Table, listed: pa.Table, *, most: float = 0.2) -> pa.Table:
    """The rows of `known` that are not in `listed`: `load([(gone, {"deleted": True})])`.

    Both hold the key columns and no others, and all that is there: `known` of the destination
    (`blocks.dlt.known`), `listed` of a listing that was read to its end (`Keys`).

    A listing that is cut short must not delete the rest. Raises `ResponseError` if it is empty, and
    if more than the share `most` of the known keys is gone; `most=1` accepts any listing that is
    not empty. Raises `CursorError` if the keys are of types that do not compare.

    >>> import pyarrow as pa
    >>> known, listed = pa.table({"id": [1, 2, 3]}), pa.table({"id": [3, 4, 1]})
    >>> vanished(known, listed, most=0.5).to_pydict()
    {'id': [2]}
    """
    import pyarrow as pa

    columns = known.column_names
    if sorted(columns) != sorted(listed.column_names):
        names = ", ".join(listed.column_names)
        raise CursorError(f"expected keys of columns {', '.join(columns)}, got {names}")
    if not known.num_rows:
        return known
    if not listed.num_rows:
        raise ResponseError(f"expected some of {known.num_rows} known keys, got an empty listing")
    try:
        # A new key may have more digits than any that is known.
        types = pa.schema([pa.field(each.name, _wide(each.type)) for each in known.schema])
        same = listed.select(columns).cast(types)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        names = ", ".join(map(str, known.schema.types))
        raise CursorError(f"expected listed keys that can be {names}: {error}") from None
    gone = known.cast(types).join(same, columns, join_type="left anti").cast(known.schema)
    if gone.num_rows > most * known.num_rows:
        message = f"expected at most {most:.0%} of {known.num_rows} known keys to be gone"
        raise ResponseError(f"{message}, got {gone.num_rows}: the listing may be cut short")
    return gone


def _wide(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    return pa.decimal256(76, kind.scale) if pa.types.is_decimal(kind) else kind
