"""Schedules: what happens to an API and to the runs that read it, and what is lost or doubled."""

from __future__ import annotations

import logging
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any, Protocol

import duckdb
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.errors import ConfigError, CursorError
from blocks.testing import Server, faults, serving
from tests.kills.points import POINTS
from tests.simulation.api import Row, World
from tests.simulation.sources import Killer, Name, Order, Plan, run
from tests.warehouse import Warehouse

__all__ = ["Result", "hush", "play", "simulate"]

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
# More parents than have marks of their own, so that some that share one are behind others.
CROWD = 12
FAULTS: tuple[Any, ...] = (
    500,
    503,
    429,
    401,
    404,
    faults.cut,
    faults.reset,
    faults.html,
    faults.garbled,
)


class Kill(Protocol):
    """What has a run made in a process that is killed: what ended it."""

    def __call__(self, order: Order, /) -> str: ...


@dataclass(slots=True)
class Result:
    """What became of a seed; `lost` and `doubled` are rows, as (id, version) or with a tag."""

    source: Name
    seed: int
    runs: int = 0
    requests: int = 0
    lost: list[Any] = field(default_factory=list)
    doubled: list[Any] = field(default_factory=list)
    broken: str = ""
    """Why a run failed in which nothing went wrong."""
    seconds: float = 0.0
    story: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether each row was there as it should be."""
        return not (self.lost or self.doubled or self.broken)

    def __str__(self) -> str:
        found = f"lost {self.lost[:5]}, doubled {self.doubled[:5]} {self.broken}"
        again = f"python -m tests.simulation --source {self.source} --first {self.seed} --seeds 1"
        return "\n".join([again, *self.story, found])


def simulate(source: Name, seed: int, folder: Path, kill: Kill, runs: int = 6) -> Result:
    """Play the schedule of a seed, and a quiet run after it; stops at the first fault found."""
    began = time.perf_counter()
    plan = Plan.draw(source, seed)
    result = Result(source, seed, story=[repr(plan)])
    world = plan.world()
    with serving(world.api()) as server:
        play = _Play(plan, world, server, folder, kill, result)
        for number in range(runs + 1):
            if result.good:
                play.step(last=number == runs)
            result.requests += len(server.requests)
            server.requests.clear()
    result.seconds = time.perf_counter() - began
    return result


class _Play:
    def __init__(
        self, plan: Plan, world: World, server: Server, folder: Path, kill: Kill, result: Result
    ) -> None:
        self.plan = plan
        self.world = world
        self.server = server
        self.folder = folder
        self.kill = kill
        self.result = result
        self.random = Random(f"{plan.source} {plan.seed} schedule")
        self.ways = ["insert", "insert"]
        if plan.versions or not plan.append:
            self.ways += ["update", "update"]
        if plan.deletes != "none":
            self.ways.append("flag" if plan.deletes == "flag" else "delete")
        if plan.source in {"children", "crowd"}:
            self.ways += ["found", "suspend"]
            for _ in range(CROWD if plan.source == "crowd" else 4):
                self.world.found(self.random)
        self.world.begin(self.random, 12)

    def step(self, *, last: bool) -> None:
        """What happens between two runs, a run, and a look at the tables."""
        random, world, result = self.random, self.world, self.result
        if self.plan.source == "crowd" and not last:
            self._crowd()
        for _ in range(random.randint(0, 5)):
            world.happen(random, *self.ways)
            waits = [timedelta(), 2 * MINUTE, 7 * MINUTE, HOUR, HOUR, 3 * HOUR]
            with world.lock:
                world.pass_by(random.choice(waits) * random.random())
        quiet = last or random.random() < 0.3
        if last:
            with world.lock:
                world.pass_by(3 * DAY)
        elif random.random() < 0.5:
            world.happen(random, "insert")  # at the border of the run
        if quiet:
            world.heal()
        clock = world.now if last else world.now + self._skew()
        lost = random.random() < 0.2
        order = Order(
            self.plan.source,
            self.plan.seed,
            str(self.folder),
            self.server.url,
            clock.isoformat(),
            lost=lost,
        )
        story = [f"run at {clock:%d %H:%M:%S}, there {world.now:%d %H:%M:%S}"]
        story += ["directory lost"] * lost
        if not quiet:
            order = self._harm(order, story)
        there = [*world.versions()]
        failed = self._run(order, quiet=quiet)
        self.server.mend()
        if failed:
            story.append(f"failed: {failed}")
        result.story.append(", ".join(story))
        result.runs += 1
        if quiet and failed:
            result.broken = failed
        if not failed:  # a load that was killed may be there in part
            self._compare(there, clock, quiet=quiet, last=last)

    def _crowd(self) -> None:
        """Some parents answer nothing while rows of theirs come, as of others: so marks drift."""
        random, world = self.random, self.world
        with world.lock:
            world.suspend(random)
            for parent in random.sample(world.parents, len(world.parents) // 2):
                world.insert(random, 1, parent)
                world.pass_by(random.random() * HOUR)

    def _skew(self) -> timedelta:
        random = self.random
        back = random.choice([HOUR, 2 * DAY]) * -random.random()
        return random.choice([timedelta(), timedelta(), self.plan.ahead * random.random(), back])

    def _harm(self, order: Order, story: list[str]) -> Order:
        random = self.random
        for _ in range(random.randint(0, 4)):
            number, seed = random.randint(1, 9), random.random()
            self.server.before(number, partial(self._happen, seed))
            story.append(f"a change before request {number}")
        if self.plan.source == "windows" and random.random() < 0.5:
            self.world.happen(random, "interrupt")
            story.append(f"broken: {self.world.broken}")
        match random.choice(["nothing", "fault", "fault", "error", "kill"]):
            case "fault":
                for _ in range(random.randint(1, 3)):
                    fault, at = random.choice(FAULTS), random.randint(1, 8)
                    times = random.choice([1, 1, 2, 5])
                    self.server.fail(fault, at=at, times=times)
                    story.append(f"{getattr(fault, '__name__', fault)} x {times} at {at}")
            case "error":
                order = replace(order, fails=random.randint(1, 5))
                story.append(f"an error of ours at page {order.fails}")
            case "kill":
                order = replace(order, point=random.choice([*POINTS]), nth=random.randint(1, 3))
                story.append(f"killed at {order.point} {order.nth}")
        return order

    def _happen(self, seed: float) -> None:
        # Drawn before, as how many requests come, and when, is not the same each time.
        self.world.happen(Random(seed), *self.ways)

    def _run(self, order: Order, *, quiet: bool) -> str:
        if order.point is not None:
            return self.kill(order)
        try:
            run(order)
        except PipelineStepFailed as error:
            cause: BaseException = error
            while cause.__cause__ is not None:
                cause = cause.__cause__
            if isinstance(cause, ConfigError | CursorError):
                self.result.broken = str(cause)  # nothing that happens is a reason for these
            return f"{type(cause).__name__}: {cause}" if quiet else type(cause).__name__
        return ""

    def _compare(self, there: list[Row], clock: datetime, *, quiet: bool, last: bool) -> None:
        """Count what is wrong after a run that began when these rows were there."""
        plan = self.plan
        found = self._found()
        live = [*self.world.versions()]
        if plan.append:
            allowed = _contents(self.world.history)  # each version once
        elif quiet and (last or plan.source != "windows"):
            allowed = _contents(there) | _contents(live)  # late rows appear in quiet runs, too
        else:
            allowed = Counter(dict.fromkeys(found, 1))
            ids = Counter(row[0] for row in found.elements() if len(row) == 2)
            self.result.doubled += [row for row, count in ids.items() if count > 1]
        self.result.doubled += (found - allowed).elements()
        if quiet:
            wanted = [row for row in there if row in live and (last or self._due(row, clock))]
            self.result.lost += (_contents(wanted) - found).elements()

    def _due(self, row: Row, clock: datetime) -> bool:
        """Whether a run at `clock` must have had it."""
        plan, world = self.plan, self.world
        if not plan.append and plan.source != "windows":
            return True
        until = clock.replace(microsecond=0)  # ranges end in whole seconds
        if plan.append:
            until -= plan.slack
        if plan.writing == "berlin":
            until -= 2 * HOUR  # the hour that clocks show twice is read when it is over
        return bool(world.key(row) < world.writing.order(str(world.writing.write(until))))

    def _found(self) -> Counter[tuple[Any, ...]]:
        file = Warehouse(self.folder).file
        if not file.exists():
            return Counter()
        with duckdb.connect(str(file), read_only=True) as connection:
            known = "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'data'"
            tables = {name for (name,) in connection.execute(known).fetchall()}
            rows = []
            if "rows" in tables:
                rows += connection.execute("SELECT id, version FROM data.rows").fetchall()
            if "rows__tags" in tables:
                rows += connection.execute(
                    "SELECT id, version, n FROM data.rows__tags AS tag LEFT JOIN"
                    " (SELECT DISTINCT id, version, _dlt_id FROM data.rows) AS row"
                    " ON tag._dlt_parent_id = row._dlt_id"
                ).fetchall()
        return Counter(rows)


def _contents(rows: list[Row]) -> Counter[tuple[Any, ...]]:
    found = Counter((row["id"], row["version"]) for row in rows)
    tags = Counter((row["id"], row["version"], tag["n"]) for row in rows for tag in row["tags"])
    return Counter[tuple[Any, ...]](found) + tags


@cache
def _killer() -> Killer:
    return Killer()


def _kill(order: Order) -> str:
    return _killer()(order)


def play(source: Name, seed: int, runs: int) -> Result:
    """The result of a seed, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return simulate(source, seed, Path(folder), _kill, runs)


def hush() -> None:
    """Log nothing in this process, and warn of nothing."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
