"""What every test stands on: dlt that keeps to itself, and one asynchronous backend."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from pathlib import Path

# The same examples on every machine; BLOCKS_THOROUGH draws new ones, and many more.
settings.register_profile("repeatable", derandomize=True, deadline=None)
if not os.environ.get("BLOCKS_THOROUGH"):
    settings.load_profile("repeatable")
# For a few tests at a time: `pytest tests/fuzz --hypothesis-profile many`.
settings.register_profile(
    "many", max_examples=100_000, deadline=None, suppress_health_check=[*HealthCheck]
)

# Before any test imports dlt: no telemetry, and no settings taken from the machine's own.
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["RUNTIME__LOG_LEVEL"] = "WARNING"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give thorough tests the time that they need: the limit is for those that hang."""
    many = config.getoption("--hypothesis-profile", None) == "many"
    if os.environ.get("BLOCKS_THOROUGH") or many:
        for item in items:
            item.add_marker(pytest.mark.timeout(0))


@pytest.fixture(autouse=True)
def dlt_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """dlt's data and settings in a directory of this test's own."""
    home = tmp_path_factory.mktemp("dlt")
    monkeypatch.setenv("DLT_DATA_DIR", str(home))
    monkeypatch.setenv("DLT_PROJECT_DIR", str(home))
    return home


@pytest.fixture
def anyio_backend() -> str:
    """asyncio, where aiohttp lives; a test that also promises trio parametrizes this itself."""
    return "asyncio"


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bodies by their argument: gzip has the time in it, which differs between workers."""
    return argname if isinstance(val, bytes) else None
