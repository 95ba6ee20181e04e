"""Recovery: what a killed run left behind, brought to its end before the next run.

dlt keeps each step of a run in its working directory and goes on from there. Version 1.31, killed
at the wrong moment, is stuck from then on, or loads a file again that the database has already.
`recover` takes every step that was half done to its end, and asks the database which files it has.
It uses the layout of dlt's load packages, which is not public.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dlt
from dlt.common.schema import Schema
from dlt.common.schema.utils import get_first_column_name_with_prop, get_root_table
from dlt.common.storages import ParsedLoadJobFileName
from dlt.destinations.job_client_impl import SqlJobClientBase, SqlJobClientWithStagingDataset

from blocks.loadfiles import ends

__all__ = ["Recovery", "recover"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was done: load ids of packages, names of files and tables; nothing after a good end."""

    freed: tuple[str, ...] = ()
    """Packages that dlt was stuck with, or would have entered in `_dlt_loads` twice."""
    committed: tuple[str, ...] = ()
    """Files that the database had, although dlt did not know."""
    restarted: tuple[str, ...] = ()
    """Staging tables that were emptied, to be filled anew from files that are there."""
    unsure: tuple[str, ...] = ()
    """Files of which nobody can say whether the database has them: they are loaded, maybe twice."""
    loaded: tuple[str, ...] = ()
    """Packages that had been left and now are loaded."""
    dropped: tuple[str, ...] = ()
    """Packages whose state cannot be had: the next run extracts them anew."""


def recover(pipeline: dlt.Pipeline) -> Recovery:
    """Finish what earlier runs of `pipeline` left, so that the next run starts from a clean state.

    Call it before each run, in the only process that uses the pipeline, which must have been made
    with its destination and dataset. Where nothing was left it looks into two directories, and
    that is all.

    - A package that is both extracted and normalized is normalized; one that is marked as
      completed, or that `_dlt_loads` has, is loaded. dlt fails on these for ever, or enters a
      load twice.
    - A package that was extracted before the working directory got the schema and state that
      belong to it brings its schema along, and its state comes back from the destination once it
      is loaded. With `restore_from_destination` off it cannot, and the package is dropped.
    - A file that was on its way is looked for in the database, by the ids of its first and last
      row, as databases take a file as a whole: what is there is not loaded again. On its way into
      a staging table (of a merge, or of a replace by staging), the table is emptied and filled
      anew.
    - A job that merges tables, left there by another one that is to be repeated, is taken away:
      there would be two, at the same time.

    Not covered: files of tables without `_dlt_id`, or in other formats than Parquet, JSON lines
    and dlt's inserts (they come out `unsure`); merges without any key, which only append; a run
    of sources with different schemas, whose packages dlt commits one by one. Files on their way
    through a staging bucket are left to dlt, and so is a destination that is not SQL: there, dlt
    names files so that they replace themselves.

    What was done is logged, `unsure` files as a warning. Raises what dlt raises when a package
    cannot be normalized or loaded: each time until it can, or `pipeline.abort_packages()` gives it
    up.
    """
    if not (pipeline.list_extracted_load_packages() or pipeline.list_normalized_load_packages()):
        return Recovery()
    pipeline.activate()
    freed = [*_free(pipeline)]
    committed: list[str] = []
    restarted: list[str] = []
    unsure: list[str] = []
    for package in _packages(pipeline):
        if package.entered():
            package.put_away()
            freed.append(package.load_id)
            continue
        package.drop_twins()
        restarted += package.restart()
        for file, there in package.look_up().items():
            if there is not False:
                (committed if there else unsure).append(file)
    restores = bool(pipeline.config.restore_from_destination)
    if restores:
        _bring_schemas(pipeline)
        pipeline.normalize()
    loaded = [*pipeline.list_normalized_load_packages()]
    pipeline.load()
    dropped = [*pipeline.list_extracted_load_packages()]
    pipeline.abort_packages()
    if restores:
        pipeline.sync_destination()
    done = Recovery(*map(tuple, (freed, committed, restarted, unsure, loaded, dropped)))
    logger.info("pipeline %s: %r", pipeline.pipeline_name, done)
    if unsure:
        logger.warning("these files may have been loaded twice: %s", ", ".join(unsure))
    return done


def _free(pipeline: dlt.Pipeline) -> Iterator[str]:
    """Repair packages that dlt cannot take any further, and tell which."""
    storage = pipeline._get_load_storage()
    for load_id in pipeline.list_normalized_load_packages():
        if load_id in pipeline.list_extracted_load_packages():
            # The normalized one was renamed as a whole, so nothing of it is missing.
            pipeline._get_normalize_storage().extracted_packages.delete_package(load_id)
            storage.new_packages.delete_package(load_id, not_exists_ok=True)
            yield load_id
        if storage.normalized_packages.is_package_completed(load_id):
            storage.storage.rename_tree(
                storage.get_normalized_package_path(load_id),
                storage.get_loaded_package_path(load_id),
            )
            yield load_id


def _packages(pipeline: dlt.Pipeline) -> Iterator[_Package]:
    """What is normalized, if its files go to an SQL destination straight away."""
    for load_id in pipeline.list_normalized_load_packages():
        schema = pipeline._get_load_storage().normalized_packages.load_schema(load_id)
        client, bucket = pipeline._get_destination_clients(schema)
        if isinstance(client, SqlJobClientBase) and bucket is None:
            yield _Package(pipeline, load_id, schema, _Database(client))


def _bring_schemas(pipeline: dlt.Pipeline) -> None:
    """Give the pipeline the schemas that it has in packages only."""
    packages = pipeline._get_normalize_storage().extracted_packages
    for load_id in pipeline.list_extracted_load_packages():
        schema = packages.load_schema(load_id)
        if (
            schema.name not in pipeline.schemas
            or pipeline.schemas[schema.name].stored_version_hash in schema.previous_hashes
        ):
            pipeline._inject_schema(schema)


class _Package:
    """A package that is normalized, and maybe loaded in part, into an SQL destination."""

    def __init__(self, pipeline: dlt.Pipeline, load_id: str, schema: Schema, database: _Database):
        self.load_id = load_id
        self._schema = schema
        self._database = database
        self._storage = pipeline._get_load_storage()
        self._jobs = self._storage.normalized_packages
        # dlt writes a job's end down just after the database has committed it.
        ended = set(self._jobs.list_pending_transitions(load_id))
        self._started = [Path(path).name for path in self._jobs.list_started_jobs(load_id)]
        self._ended = [name for name in self._started if name in ended]
        # Jobs of SQL merge or replace, and do the same when they do it again.
        self._open = [
            name for name in self._started if name not in ended and _format(name) != "sql"
        ]

    def entered(self) -> bool:
        """Whether the destination has it among its loads."""
        if self._started or self._jobs.list_new_jobs(self.load_id):
            return False
        column = self._schema.naming.normalize_identifier("load_id")
        return self._database.count(self._schema.loads_table_name, {column: [self.load_id]}) > 0

    def put_away(self) -> None:
        """Move it to the packages that are loaded."""
        self._storage.complete_load_package(self.load_id, aborted=False)

    def drop_twins(self) -> None:
        """Remove jobs that a started one will make again."""
        for name in self._ended:
            root = get_root_table(self._schema.tables, _table(name))["name"]
            for path in self._jobs.list_new_jobs(self.load_id):
                # They are made when the last file of a chain of tables is about to be completed.
                if _format(path) == "sql" and _table(path) == root:
                    self._jobs.storage.delete(path)

    def restart(self) -> list[str]:
        """Empty the staging tables that open files go to, and let all their files go there again.

        To look for ids would not do: in staging tables, those made from keys may come in two files.
        """
        tables = sorted(filter(self._database.stages, {_table(name) for name in self._open}))
        for table in tables:
            # Files first: killed in between, this is done again, as the open file is there still.
            for state, job in self._jobs.list_job_with_states_for_table(self.load_id, table):
                if state == "completed_jobs" and job.file_format != "sql":
                    self._jobs._move_job(self.load_id, state, "new_jobs", job.file_name())
            for name in self._ended:
                if _table(name) == table:
                    self._jobs.clear_pending_transition(self.load_id, name)
            self._database.empty(table)
        return tables

    def look_up(self) -> dict[str, bool | None]:
        """Which of the other open files the database has, `None` where nobody can say; tell dlt."""
        found = {
            name: self._has(_table(name), name)
            for name in self._open
            if not self._database.stages(_table(name))
        }
        for name, there in found.items():
            if there:
                self._jobs.save_pending_transition(self.load_id, name, "completed")
        return found

    def _has(self, table: str, name: str) -> bool | None:
        columns = self._schema.tables[table]["columns"]
        column = get_first_column_name_with_prop(self._schema.tables[table], "row_key")
        path = self._jobs.get_job_file_path(self.load_id, "started_jobs", name)
        ids = column and ends(self._jobs.storage.make_full_path(path), _format(name), column)
        if not column or ids is None:
            return None
        load = self._schema.naming.normalize_identifier("_dlt_load_id")
        of_load = {load: [self.load_id]} if load in columns else {}
        count = self._database.count(table, {column: [*ids], **of_load}) if ids else 0
        return None if 0 < count < len(ids) else count > 0


class _Database:
    """The tables of a dataset."""

    def __init__(self, client: SqlJobClientBase) -> None:
        self._client = client

    def stages(self, table: str) -> bool:
        """Whether files of `table` go to a staging table first."""
        return isinstance(
            self._client, SqlJobClientWithStagingDataset
        ) and self._client.should_load_data_to_staging_dataset(table)

    def empty(self, table: str) -> None:
        """Delete all rows of the staging table of `table`."""
        with self._client as client, client.sql_client.with_staging_dataset():
            name = client.sql_client.make_qualified_table_name(table)
            client.sql_client.execute_sql(f"DELETE FROM {name}")  # noqa: S608 - dlt's own name

    def count(self, table: str, wanted: dict[str, list[str]]) -> int:
        """How many of the values wanted in the first column are in rows that have the others."""
        with self._client as client:
            name = client.sql_client.make_qualified_table_name(table)
            escape = client.sql_client.escape_column_name
            conditions = " AND ".join(
                f"{escape(column)} IN ({', '.join(['%s'] * len(values))})"
                for column, values in wanted.items()
            )
            query = f"SELECT COUNT(DISTINCT {escape(next(iter(wanted)))}) FROM {name}"  # noqa: S608
            values = [value for several in wanted.values() for value in several]
            rows = client.sql_client.execute_sql(f"{query} WHERE {conditions}", *values)
        return int(rows[0][0]) if rows else 0


def _table(job: str) -> str:
    return ParsedLoadJobFileName.parse(job).table_name


def _format(job: str) -> str:
    return str(ParsedLoadJobFileName.parse(job).file_format)
