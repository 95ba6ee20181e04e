"""A few seeds of each kind of source; `python -m tests.simulation --seeds 100` plays more."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.simulation.schedules import simulate
from tests.simulation.sources import SOURCES, Killer, Name

THOROUGH = os.environ.get("BLOCKS_THOROUGH")
SEEDS: dict[Name, Iterable[int]] = {
    source: range(50) if THOROUGH else some
    for source, some in zip(SOURCES, [(25,), (2, 17), (1, 3, 17, 28), (0,), (1,)], strict=True)
}


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    """One process that forks for all kills."""
    with Killer() as started:
        yield started


@pytest.mark.parametrize(
    ("source", "seed"), [(source, seed) for source in SOURCES for seed in SEEDS[source]]
)
def test_nothing_is_lost_or_doubled(
    source: Name, seed: int, killer: Killer, tmp_path: Path
) -> None:
    """Whatever happens to rows, requests, runs and clocks, a quiet run ends equal to the API.

    Appended, each version of a row is there once at any time.
    """
    result = simulate(source, seed, tmp_path, killer, runs=3)
    assert result.good, str(result)
