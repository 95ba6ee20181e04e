"""The matrix: every point, every kind of table, and what clean runs make of it."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Literal, Self, TypeAlias

import duckdb

from tests.kills.child import Disposition, Order, event, line, settings
from tests.kills.points import POINTS

__all__ = ["Case", "Process", "Verdict", "cases", "configurations", "judge", "seeded"]

Start: TypeAlias = Literal["cold", "warm", "lost"]

BEFORE, BATCH, MORE = 200, 200, 20
"""Events there were before, that came for the run that is killed, and that came after it."""

OFTEN = {
    "E1": (2,),
    "N1": (2,),
    "L1": (1, 6),
    "L2": (1, 4, 7, 10, 13, 14),
    "L3": (1, 6),
    "L4b": (1, 6),
    "L4": (1, 6),
}
"""Which time at a point is the last one, where a run comes to it more than once."""

LONGEST = 0.9
"""Seconds: about as long as a run takes."""


class Process:
    """The child, ready to fork: `process(order)` says what ended it, or nothing if all was well."""

    def __init__(self, errors: Path) -> None:
        self._errors = errors.open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.kills.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, **settings()},
            cwd=Path(__file__).parents[2],
        )

    def __call__(self, order: Order) -> str:
        """Have the order done."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line(order)}\n")
        self._process.stdin.flush()
        return str(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """Let the process end."""
        self._process.communicate(timeout=30)
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Case:
    """One cell: a kind of table, a state of the working directory, a point and its occurrence.

    Without a point the process is killed `after` so many seconds.
    """

    disposition: Disposition
    nested: bool
    start: Start
    point: str | None
    nth: int = 1
    after: float | None = None
    workers: int = 20
    by_name: bool = False
    file_format: str = "parquet"

    @property
    def kind(self) -> str:
        """The configuration, for people."""
        shape = "nested" if self.nested else "flat"
        return f"{self.disposition} {shape}, {self.start}, {self.file_format}, {self.workers} w."


@dataclass(frozen=True, slots=True)
class Verdict:
    """What clean runs after the kill came to; rows are those of all tables together."""

    hit: bool
    stuck: bool
    lost: int
    doubled: int
    unfinished: int
    """Loads that are in `_dlt_loads` twice, and rows of loads that are not there."""

    @property
    def good(self) -> bool:
        """Nothing lost, doubled or stuck."""
        return not (self.stuck or self.lost or self.doubled or self.unfinished)


@contextmanager
def seeded(process: Process, case: Case, folder: Path) -> Iterator[Path]:
    """A folder in which the pipeline has run before, if the case says so; it is removed."""
    place = Path(tempfile.mkdtemp(dir=folder))
    try:
        if case.start != "cold":
            key = f"{case.disposition}-{case.nested}-{case.file_format}"
            seed = folder / f"seed-{key}"
            if not seed.exists():
                seed.mkdir()
                assert process(_order(case, seed, BEFORE)) == ""
            shutil.copytree(seed, place, dirs_exist_ok=True)
        yield place
    finally:
        shutil.rmtree(place)


def judge(process: Process, case: Case, folder: Path, *, recover: bool) -> Verdict:
    """Kill a run, let clean ones follow, and count."""
    with seeded(process, case, folder) as place:
        there = (0 if case.start == "cold" else BEFORE) + BATCH
        order = _order(case, place, there)
        killed = process(replace(order, point=case.point, nth=case.nth, after=case.after))
        if case.start == "lost":
            shutil.rmtree(place / "pipelines")
        clean = replace(order, events=there + MORE, recover=recover, lost=case.start == "lost")
        # One run is enough after recovery. Alone, dlt may need three, two of them of one process.
        stuck = process(replace(clean, runs=1 if recover else 2)) != ""
        if not recover:
            stuck = process(clean) != ""
        lost, doubled = _differences(place / "warehouse.duckdb", case, there + MORE)
        return Verdict(killed != "", stuck, lost, doubled, _unfinished(place / "warehouse.duckdb"))


def _order(case: Case, place: Path, events: int) -> Order:
    return Order(
        str(place),
        events,
        case.disposition,
        nested=case.nested,
        workers=case.workers,
        by_name=case.by_name,
        file_format=case.file_format,
    )


def _differences(file: Path, case: Case, events: int) -> tuple[int, int]:
    versions = range(events)
    if case.disposition in {"merge", "upsert"}:
        versions = range(max(0, events - 300), events)
    wanted = Counter[tuple[object, ...]]()
    for version in versions:
        row = event(version, case.nested)
        wanted["items", row["id"], version, row["note"], row.get("grade")] += 1
        for table in ("parts", "marks"):
            for part in row.get(table, []):
                wanted[table, row["id"], version, part["name"]] += 1
    found = Counter[tuple[object, ...]]()
    with duckdb.connect(str(file)) as connection:
        connection.execute("USE data")
        tables = {name for (name,) in connection.execute("SHOW TABLES").fetchall()}
        columns = {row[0] for row in connection.execute("DESCRIBE items").fetchall()}
        grade = "grade" if "grade" in columns else "NULL"
        rows = connection.execute(f"SELECT id, version, note, {grade} FROM items").fetchall()
        found.update(("items", *row) for row in rows)
        for table in ("parts", "marks"):
            if f"items__{table}" in tables:
                # Each row of its parent only once: a doubled parent is one fault, not two.
                rows = connection.execute(
                    f"SELECT id, version, name FROM items__{table} AS part LEFT JOIN (SELECT"
                    " DISTINCT id, version, _dlt_id FROM items) AS item"
                    " ON part._dlt_parent_id = item._dlt_id"
                ).fetchall()
                found.update((table, *row) for row in rows)
    return (wanted - found).total(), (found - wanted).total()


def _unfinished(file: Path) -> int:
    with duckdb.connect(str(file)) as connection:
        connection.execute("USE data")
        counted = connection.execute(
            "SELECT (SELECT count(*) - count(DISTINCT load_id) FROM _dlt_loads) + (SELECT count(*)"
            " FROM items WHERE _dlt_load_id NOT IN (SELECT load_id FROM _dlt_loads))"
        ).fetchone()
    assert counted is not None
    return int(counted[0])


def configurations() -> Iterator[Case]:
    """Every kind of table, cold, warm and with a lost directory; and some that load otherwise."""
    starts: tuple[Start, ...] = ("cold", "warm", "lost")
    dispositions: tuple[Disposition, ...] = ("append", "merge")
    for disposition, nested, start in product(dispositions, (False, True), starts):
        yield Case(disposition, nested, start, None)
    for start in ("cold", "warm"):
        yield Case("upsert", True, start, None)
    yield Case("replace", True, "warm", None)
    yield Case("append", True, "warm", None, file_format="insert_values")
    yield Case("append", True, "warm", None, workers=1)
    yield Case("merge", True, "warm", None, workers=1)


def cases(kind: Case, trials: int) -> Iterator[Case]:
    """All points of one configuration, and so many random times."""
    for point in POINTS:
        for nth in OFTEN.get(point, (1,)):
            yield replace(kind, point=point, nth=nth)
    for seed in range(trials):
        yield replace(kind, after=random.Random(seed).uniform(0.01, LONGEST))
