"""dlt as the oracle: what its own normalizer makes of records, and what ours makes, comparable.

`expected` runs dlt's relational normalizer in memory, without files or a destination, so that
thousands of documents can be compared; the pipelines in `test_dlt.py` tie it to a database.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
from dlt.common.destination.capabilities import DestinationCapabilitiesContext
from dlt.common.json import json as dlt_json
from dlt.common.libs.pyarrow import columns_to_arrow
from dlt.common.schema import Schema
from dlt.normalize.items_normalizers import JsonLItemsNormalizer

from blocks.normalize import Normalizer
from blocks.normalize.dialect import Dialect

Rows = dict[str, list[dict[str, Any]]]

IDS = {"_dlt_id", "_dlt_parent_id", "_dlt_root_id", "_dlt_load_id"}


class _Storage:
    """Where dlt's normalizer writes rows: a dict of lists."""

    def __init__(self) -> None:
        self.rows: Rows = {}

    def write_data_item(
        self, load_id: str, schema: str, table: str, row: dict[str, Any], columns: Any
    ) -> None:
        self.rows.setdefault(table, []).append(row)


def expected(schema: Schema, root: str, pages: Iterable[Sequence[Any]]) -> Rows:
    """The rows of all tables that dlt makes of `pages`; `schema` learns their columns."""
    storage = _Storage()
    capabilities = DestinationCapabilitiesContext.generic_capabilities("parquet")
    normalizer = JsonLItemsNormalizer(
        storage,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        schema,
        "load",
        SimpleNamespace(destination_capabilities=capabilities),  # type: ignore[arg-type]
    )
    for page in pages:
        normalizer._normalize_chunk(root, deepcopy(list(page)), False, skip_write=False)
    return {
        table: _written(rows, schema.get_table_columns(table), capabilities)
        for table, rows in storage.rows.items()
    }


def _written(
    rows: list[dict[str, Any]], columns: Any, capabilities: DestinationCapabilitiesContext
) -> list[dict[str, Any]]:
    # What dlt's Parquet writer does on the way to a file; it raises for what Arrow cannot hold.
    for name, column in columns.items():
        if column["data_type"] == "json":
            for row in rows:
                if not isinstance(row.get(name), str | None):
                    row[name] = dlt_json.dumps(row[name])
    table = pa.Table.from_pylist(rows, columns_to_arrow(columns, capabilities, "UTC"))
    found: list[dict[str, Any]] = table.to_pylist()
    return found


def actual(schema: Schema, root: str, pages: Iterable[bytes], rows: int = 5000) -> Rows:
    """The rows of all tables that our normalizer makes of page bodies."""
    normalizer = Normalizer(root, dialect=Dialect(schema, "load"))
    out: Rows = {}
    for tables in normalizer.stream(pages, rows):
        for name, table in tables.items():
            assert_arrow_types(schema, name, table)
            out.setdefault(name, []).extend(table.to_pylist())
    return out


def assert_arrow_types(schema: Schema, name: str, table: pa.Table) -> None:
    """Each column has the Arrow type and nullability that the schema gives it."""
    dialect = Dialect(schema)
    for field in table.schema:
        column = schema.tables[name]["columns"][field.name]
        assert field.type == dialect.arrow_type(column)
        assert field.nullable == column.get("nullable", True)


def columns(schema: Schema) -> dict[str, dict[str, dict[str, Any]]]:
    """All columns of all tables of data with all their properties."""
    return {
        str(table["name"]): {name: dict(column) for name, column in table["columns"].items()}
        for table in schema.data_tables(include_incomplete=True)
    }


def related(rows: Rows, root: str) -> list[str]:
    """Root rows with the rows below them, ids replaced by nesting, in a comparable form.

    Fails if an id is used twice, a nested row has no parent or has another root than its parent.
    """
    children: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    ids: set[str] = set()
    for table, found in rows.items():
        for row in found:
            assert row["_dlt_id"]
            assert row["_dlt_id"] not in ids
            ids.add(row["_dlt_id"])
            if table != root:
                children.setdefault(row["_dlt_parent_id"], []).append((table, row))
    used = 0

    def nest(row: dict[str, Any], root_id: str) -> dict[str, Any]:
        nonlocal used
        used += 1
        assert row.get("_dlt_root_id", root_id) == root_id
        below = sorted(
            (table, child["_dlt_list_idx"], _comparable(nest(child, root_id)))
            for table, child in children.get(row["_dlt_id"], [])
        )
        values = {
            name: value for name, value in row.items() if name not in IDS and value is not None
        }
        return {**values, "": below}

    nested = [_comparable(nest(row, row["_dlt_id"])) for row in rows.get(root, [])]
    assert used == len(ids)
    return nested


def _comparable(row: dict[str, Any]) -> str:
    return json.dumps(row, sort_keys=True, default=_text)


def _text(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else repr(value)
