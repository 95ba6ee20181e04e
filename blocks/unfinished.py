"""Unfinished loads: rows of a load that was killed together with its working directory."""

from __future__ import annotations

import logging

import dlt
from dlt.common.json import json
from dlt.common.schema import Schema
from dlt.common.schema.typing import TTableSchema
from dlt.common.schema.utils import (
    get_first_column_name_with_prop,
    get_nested_tables,
    has_table_seen_data,
    is_nested_table,
)
from dlt.destinations.job_client_impl import SqlJobClientBase

from blocks.errors import ConfigError

__all__ = ["remove_unfinished"]

logger = logging.getLogger(__name__)


def remove_unfinished(pipeline: dlt.Pipeline) -> dict[str, int]:
    """Delete the rows of a load that never ended, and return how many of each table.

    For pipelines that append and lose their working directory when they are killed, as in a
    container: nobody will finish that load, and the next run extracts its rows again. Call it
    before each run, after `blocks.recovery.recover`. It deletes rows whose load is newer than the
    newest one of their schema in `_dlt_loads`, from tables with the disposition `append`, and what
    is nested below no row any more. Tables that are merged or replaced need no such thing.

    Only for a pipeline that is alone in loading the tables of its schemas: what another one is
    loading looks just the same. Raises `ConfigError` while packages are pending, as `recover` will
    finish those.
    """
    if pipeline.list_extracted_load_packages() or pipeline.list_normalized_load_packages():
        raise ConfigError("expected no pending packages, call recover() first")
    pipeline.activate()
    removed: dict[str, int] = {}
    with pipeline.destination_client() as client:
        if isinstance(client, SqlJobClientBase) and client.is_storage_initialized():
            for schema in _schemas(client):
                for table in schema.data_tables(seen_data_only=True):
                    if table.get("write_disposition") == "append" and not is_nested_table(table):
                        removed |= _remove(client, schema, table)
    if removed:
        logger.warning("pipeline %s: removed rows %r", pipeline.pipeline_name, removed)
    return removed


def _schemas(client: SqlJobClientBase) -> list[Schema]:
    """The schemas of the dataset: in a new working directory there are none."""
    column, table = _column(client, "schema_name"), _name(client, client.schema.version_table_name)
    names = client.sql_client.execute_sql(f"SELECT DISTINCT {column} FROM {table}")  # noqa: S608
    found = (client.get_stored_schema(name) for (name,) in names or ())
    return [Schema.from_stored_schema(json.loads(each.schema)) for each in found]


def _remove(client: SqlJobClientBase, schema: Schema, root: TTableSchema) -> dict[str, int]:
    load = schema.naming.normalize_identifier("_dlt_load_id")
    if load not in root["columns"]:
        return {}
    loads, load_id = _name(client, schema.loads_table_name), _column(client, "load_id")
    removed = _delete(
        client,
        root,
        f"{_column(client, load)} > (SELECT COALESCE(MAX({load_id}), '') FROM {loads}"  # noqa: S608
        f" WHERE {_column(client, 'schema_name')} = %s)",
        schema.name,
    )
    for table in get_nested_tables(schema.tables, str(root["name"]), include_self=False):
        if has_table_seen_data(table):
            parent = schema.tables[str(table["parent"])]
            row = _column(client, str(get_first_column_name_with_prop(parent, "row_key")))
            key = _column(client, str(get_first_column_name_with_prop(table, "parent_key")))
            kept = f"SELECT {row} FROM {_name(client, str(parent['name']))}"  # noqa: S608
            removed |= _delete(client, table, f"{key} NOT IN ({kept})")
    return removed


def _delete(
    client: SqlJobClientBase, table: TTableSchema, condition: str, *values: str
) -> dict[str, int]:
    where = f"FROM {_name(client, str(table['name']))} WHERE {condition}"
    [[count]] = client.sql_client.execute_sql(f"SELECT COUNT(*) {where}", *values) or [[0]]
    if not count:
        return {}
    client.sql_client.execute_sql(f"DELETE {where}", *values)
    return {str(table["name"]): int(count)}


def _name(client: SqlJobClientBase, table: str) -> str:
    return client.sql_client.make_qualified_table_name(table)


def _column(client: SqlJobClientBase, name: str) -> str:
    return client.sql_client.escape_column_name(client.schema.naming.normalize_identifier(name))
