"""What recipes have to do with wrong answers and credentials, as most tests of them say it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.testing import Server


@pytest.fixture
def fails(pipeline: dlt.Pipeline, rows: Callable[..., list[Any]]) -> Callable[..., None]:
    """A check: a run of this source fails and says this, and nothing is in these tables."""

    def check(source: Any, message: str, *tables: str) -> None:
        with pytest.raises(PipelineStepFailed, match=message):
            pipeline.run(source)
        assert {table: rows(pipeline, table) for table in tables} == {table: [] for table in tables}

    return check


@pytest.fixture
def refused(pipeline: dlt.Pipeline) -> Callable[[Any, Server], None]:
    """A check: a run of this source fails for its credentials, which this server saw once."""

    def check(source: Any, server: Server) -> None:
        with pytest.raises(PipelineStepFailed, match="refusal of the credentials"):
            pipeline.run(source)
        assert server.statuses == {401: 1}

    return check
