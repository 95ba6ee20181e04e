"""Kills at each point once, and where they do most harm.

`BLOCKS_KILLS=1` is the whole matrix, for half an hour. `python -m tests.kills` prints it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kills.matrix import Case, Process, cases, configurations, judge
from tests.kills.points import POINTS

WHOLE = "BLOCKS_KILLS" in os.environ


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One process that forks for all kills."""
    with Process(tmp_path_factory.mktemp("kills") / "errors.txt") as started:
        yield started


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pipelines that have run before are kept for the next case."""
    return tmp_path_factory.mktemp("pipelines")


def some() -> Iterator[Case]:
    """Each point once, where it does most harm, and the other configurations at the worst."""
    for point in POINTS:
        often = {"E1": 2, "N1": 2, "L1": 4, "L2": 4, "L3": 6, "L4": 6, "L4b": 6}
        yield Case("append", True, "warm", point, often.get(point, 1))
    yield Case("append", True, "cold", "E3")
    yield Case("append", True, "lost", "L2", 7)
    yield Case("append", True, "warm", "L2", 5, file_format="insert_values")
    yield Case("merge", True, "warm", "L2", 5)
    yield Case("merge", True, "warm", "L4b", 13)
    yield Case("upsert", True, "warm", "L2", 7)
    yield Case("replace", True, "warm", "L2", 4)


def everything() -> list[Case]:
    """All of the matrix."""
    return [case for kind in configurations() for case in cases(kind, trials=10)]


@pytest.mark.parametrize("case", everything() if WHOLE else [*some()], ids=repr)
def test_a_killed_run_loses_and_doubles_nothing(process: Process, folder: Path, case: Case) -> None:
    """After a kill, `recover` and clean runs, each row is there once and nothing is stuck."""
    verdict = judge(process, case, folder, recover=True)
    assert verdict.good
    assert verdict.hit or WHOLE


@pytest.mark.parametrize(("point", "nth"), [("E3", 1), ("L2", 2), ("L7", 1)])
def test_dlt_alone_does_not_come_through(
    process: Process, folder: Path, point: str, nth: int
) -> None:
    """What `recover` is for: when this fails, dlt has mended one of its ways."""
    case = Case("append", True, "warm", point, nth, workers=1, by_name=True)
    verdict = judge(process, case, folder, recover=False)
    assert verdict.hit
    assert not verdict.good
