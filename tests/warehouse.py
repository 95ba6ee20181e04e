"""Pipelines into DuckDB files, and what is in them, comparable with what dlt itself loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dlt
import duckdb

from tests.oracle import Rows, related


class Warehouse:
    """A pipeline of its own with a DuckDB file in `folder`; each run is a new pipeline object."""

    def __init__(self, folder: Path, name: str = "warehouse") -> None:
        self.name = name
        self.folder = folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file = self.folder / "warehouse.duckdb"

    def pipeline(self) -> dlt.Pipeline:
        """The pipeline, with the state that earlier runs left in the folder."""
        return dlt.pipeline(
            self.name,
            pipelines_dir=str(self.folder / "pipelines"),
            destination=dlt.destinations.duckdb(str(self.file)),
            dataset_name="data",
        )

    def run(self, source: Any) -> dlt.Pipeline:
        """Load `source`, as Parquet."""
        pipeline = self.pipeline()
        pipeline.run(source, loader_file_format="parquet")
        return pipeline

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query over the data."""
        with duckdb.connect(str(self.file), read_only=True) as connection:
            return connection.execute("USE data").execute(sql).fetchall()

    def tables(self) -> list[str]:
        """Names of the tables of data."""
        return [
            name
            for (name,) in self.query(
                "SELECT table_name FROM information_schema.tables"
                " WHERE table_schema = 'data' ORDER BY 1"
            )
            if not name.startswith("_dlt")
        ]

    def columns(self) -> dict[str, dict[str, tuple[str, str]]]:
        """Type and nullability of each column of each table."""
        found = self.query(
            "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns"
            " WHERE table_schema = 'data'"
        )
        return {
            table: {name: (type_, null) for owner, name, type_, null in found if owner == table}
            for table in self.tables()
        }

    def rows(self) -> Rows:
        """All rows of all tables of data."""
        with duckdb.connect(str(self.file), read_only=True) as connection:
            connection.execute("USE data")
            return {
                table: [
                    # Since when a version is valid is the time of its load.
                    {k: v is not None if k.startswith("_dlt_valid") else v for k, v in row.items()}
                    for row in connection.table(table).to_arrow_table().to_pylist()
                ]
                for table in self.tables()
            }

    def schema(self) -> dict[str, dict[str, Any]]:
        """What dlt's schema says of each table, its columns without their order."""
        kept = ("parent", "resource", "write_disposition", "x-merge-strategy")
        return {
            str(table["name"]): {
                **{key: table.get(key) for key in kept},
                "columns": {
                    name: {"nullable": True, **column} for name, column in table["columns"].items()
                },
            }
            for table in self.pipeline().default_schema.data_tables()
        }


def same(ours: Warehouse, theirs: Warehouse, root: str) -> None:
    """Fail unless both hold the same tables, columns, types, hints, rows and relations."""
    assert ours.tables() == theirs.tables()
    assert ours.columns() == theirs.columns()
    assert ours.schema() == theirs.schema()
    assert sorted(related(ours.rows(), root)) == sorted(related(theirs.rows(), root))
