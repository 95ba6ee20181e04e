"""Keys: what the destination has now, read while a resource is extracted."""

from __future__ import annotations

import dlt
import pyarrow as pa
from dlt.common.libs.pyarrow import row_tuples_to_arrow
from dlt.common.schema.utils import has_table_seen_data

from blocks.errors import ConfigError

__all__ = ["known"]


def known(*columns: str, table: str | None = None) -> pa.Table:
    """What is in `columns` of the destination now, for `blocks.deletes.vanished`; in a resource.

    Of the resource's own table, or of `table`; names are as the API has them or as the destination
    does. An empty table before anything was loaded. It asks the destination by SQL, through the
    pipeline that runs. Raises `ConfigError` if the table lacks a column.
    """
    schema = dlt.current.source_schema()
    name = schema.naming.normalize_tables_path(table or str(dlt.current.resource().table_name))
    names = [schema.naming.normalize_path(column) for column in columns]
    found = pa.table({each: pa.nulls(0) for each in names})
    if name not in schema.tables or not has_table_seen_data(schema.tables[name]):
        return found
    there = schema.tables[name]["columns"]
    if missing := [each for each in names if each not in there]:
        got = f"got {', '.join(there)}"
        raise ConfigError(f"expected columns {', '.join(missing)} in {name}, {got}")
    types = {each: there[each] for each in names}
    with dlt.current.pipeline().sql_client(schema.name) as client:
        chosen = ", ".join(map(client.escape_column_name, names))
        query = f"SELECT {chosen} FROM {client.make_qualified_table_name(name)}"  # noqa: S608
        # Not the cursor's own Arrow: dlt's way to that of DuckDB depends on its version.
        with client.execute_query(query) as cursor:
            parts = [
                row_tuples_to_arrow(rows, client.capabilities, types, tz="UTC")
                for rows in cursor.iter_fetch(100_000)
            ]
    return pa.concat_tables([found, *parts], promote_options="permissive")
