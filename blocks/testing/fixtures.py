"""Fixtures: pipelines of a test's own, and a trial that a whole source has to stand.

In `conftest.py`: `pytest_plugins = ["blocks.testing.fixtures"]`. Needs pytest and DuckDB.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.providers import (
    ConfigTomlProvider,
    EnvironProvider,
    SecretsTomlProvider,
)
from dlt.common.configuration.specs.config_providers_context import ConfigProvidersContainer
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.runtime.telemetry import stop_telemetry

from blocks.testing.trials import Trial

__all__ = ["dlt_sandbox", "new_pipeline", "pipeline", "rows", "trial"]


@pytest.fixture
def dlt_sandbox(tmp_path: Path) -> Iterator[Path]:
    """A directory where dlt has all its files during the test.

    No settings or secrets are found but those in environment variables, and no telemetry is sent.
    """
    home = tmp_path / "dlt"
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLT_DATA_DIR", str(home))
        patch.setenv("DLT_PROJECT_DIR", str(home))
        patch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
        stop_telemetry()  # begun, maybe, when something was read from dlt's settings before
        context = PluggableRunContext()
        # Besides the project's settings dlt reads the user's, wherever the project is.
        tomls = SecretsTomlProvider(str(home)), ConfigTomlProvider(str(home))
        context.providers = ConfigProvidersContainer([EnvironProvider(), *tomls])
        with Container().injectable_context(context):
            yield home


@pytest.fixture
def new_pipeline(dlt_sandbox: Path) -> Callable[[], dlt.Pipeline]:
    """A function that makes pipelines into DuckDB files, each with nothing in it."""
    numbers = itertools.count(1)

    def new() -> dlt.Pipeline:
        name = f"test_{next(numbers)}"
        database = dlt.destinations.duckdb(str(dlt_sandbox / f"{name}.duckdb"))
        return dlt.pipeline(name, destination=database, dataset_name="data")

    return new


@pytest.fixture
def pipeline(new_pipeline: Callable[[], dlt.Pipeline]) -> dlt.Pipeline:
    """A pipeline into a DuckDB file with nothing in it."""
    return new_pipeline()


@pytest.fixture
def rows(dlt_sandbox: Path) -> Callable[[dlt.Pipeline, str], list[dict[str, Any]]]:
    """A function of a pipeline and the name of a table: its rows, without dlt's own columns.

    Of a table that is not there it gives none.
    """

    def read(pipeline: dlt.Pipeline, table: str) -> list[dict[str, Any]]:
        file = dlt_sandbox / f"{pipeline.pipeline_name}.duckdb"
        if not file.exists():
            return []
        # Not through the pipeline: it would keep a connection open.
        with duckdb.connect(str(file), read_only=True) as database:
            tables = database.execute(
                "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'data'"
            ).fetchall()
            if (table,) not in tables:
                return []
            found = database.execute(f'SELECT * FROM data."{table}"')  # noqa: S608 - it is one
            names = [column[0] for column in found.description]
            return [
                {name: value for name, value in zip(names, row, strict=True) if name[:5] != "_dlt_"}
                for row in found.fetchall()
            ]

    return read


@pytest.fixture
def trial(
    new_pipeline: Callable[[], dlt.Pipeline],
    rows: Callable[[dlt.Pipeline, str], list[dict[str, Any]]],
) -> Trial:
    """What puts a source on trial (`blocks.testing.trials`)."""
    return Trial(new_pipeline, rows)
