"""Sources that remember, as the cookbook writes them, and a process in which they are killed.

Started as a program it reads orders, one JSON object a line, and forks for each, as importing dlt
takes longer than a run. It answers with a line each: what ended the fork.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Literal, Self, TypeAlias, TypeVar

import dlt
import httpx

from blocks.client import client
from blocks.cursors import Cursor
from blocks.deletes import Keys, flag, tombstones, vanished
from blocks.dlt import cursor, intervals, known, load, partitions
from blocks.errors import Overflow
from blocks.fanout import fan_out, parents
from blocks.fetch import pages
from blocks.intervals import Interval
from blocks.kinds import Dates, Epoch, Kind, Pattern, Times
from blocks.network import prefetch
from blocks.paginators import NextToken
from blocks.places import whole
from blocks.recovery import recover
from blocks.requests import path
from blocks.retries import Retry
from blocks.stops import Older, Until
from blocks.unfinished import remove_unfinished
from blocks.windows import windows
from tests.kills.points import arm
from tests.simulation.api import CAP, FRESH, START, WRITINGS, World
from tests.warehouse import Warehouse

__all__ = ["SOURCES", "Killer", "Order", "Plan", "run"]

Name: TypeAlias = Literal["merge", "append", "windows", "children", "crowd"]
T = TypeVar("T")

SOURCES: tuple[Name, ...] = ("merge", "append", "windows", "children", "crowd")

KINDS: dict[str, Kind] = {
    "seconds": Times(timedelta(seconds=1)),
    "minutes": Times(timedelta(minutes=1)),
    "micros": Times(),
    "berlin": Pattern("%Y-%m-%d %H:%M", zone="Europe/Berlin"),
    "days": Dates(zone="America/New_York"),
    "epoch": Epoch("s"),
}


class Wrong(Exception):  # noqa: N818 - what a user's code raises is not ours to name
    """An error of the code around the pages."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the API and the source of a seed are like, from run to run."""

    source: Name
    seed: int
    writing: str
    bounds: tuple[str, ...]
    late: timedelta
    """How late rows appear, at most."""
    ahead: timedelta
    """How far our clock is ahead of the API's, at most."""
    append: bool
    deletes: Literal["none", "flag", "tombstones", "vanished"]
    newest: bool
    size: int
    every: Any
    most: int
    versions: bool
    """Whether rows change that are appended, each change a row of its own."""

    @classmethod
    def draw(cls, source: Name, seed: int) -> Self:
        """The plan of a seed."""
        random = Random(f"{source} {seed}")
        append = source == "append" or (source not in {"merge", "crowd"} and random.random() < 0.5)
        writing = random.choice([*WRITINGS])
        bounds = [random.choice(["since", "after"])]
        # Where the API has no upper bound, `within` is all there is.
        if source == "windows" or (append and random.random() < 0.6):
            bounds.append(random.choice(["until", "through"]))
        newest = source == "merge" and random.random() < 0.3
        if newest and random.random() < 0.5:
            bounds = []  # the API filters nothing, and the list is left where it is old
        finer = writing != "days"
        deletes: list[Any] = ["none"]
        if not append:
            of_children = {"children": ["flag"], "crowd": ["flag"]}
            deletes = {"merge": ["flag", "tombstones", "vanished"], **of_children}.get(
                source, deletes
            )
        return cls(
            source,
            seed,
            writing,
            tuple(bounds),
            timedelta(minutes=random.choice([0, 0, 20])),
            timedelta(minutes=random.choice([0, 0, 15])),
            append,
            random.choice(deletes),
            newest,
            random.choice([2, 3, 5]),
            random.choice([timedelta(hours=2), timedelta(hours=6), "day"] if finer else ["day"]),
            # Where rows are appended no parent may share a mark before all are complete.
            10_000 if append else random.choice([4, 5, 6] if source == "crowd" else [2, 3, 10_000]),
            source == "append" and random.random() < 0.5,
        )

    def world(self) -> World:
        """The API."""
        changes: Literal["never", "moving", "staying"] = "moving"
        if self.append and not self.versions:
            changes = "never"
        elif self.source == "windows":
            changes = "staying"
        world = World(
            WRITINGS[self.writing], changes, late=self.late, newest=self.newest, size=self.size
        )
        # A day, or an hour that clocks show twice, cannot be asked for in parts.
        if self.source == "windows" and self.writing not in {"days", "berlin"}:
            world.cap = CAP
        return world

    @property
    def kind(self) -> Kind:
        """How the source has it that times are written."""
        return KINDS[self.writing]

    @property
    def slack(self) -> timedelta:
        """The lag, or lookback, that this API needs."""
        return self.late + self.ahead

    def resources(self, url: str, clock: datetime, fails: int | None = None) -> Any:
        """What to run: at `clock`, with an error of our own at page `fails`."""
        api = client(url, retry=partial(Retry, attempts=2, delay=_at_once, chance=float))
        return _Source(self, api, clock, fails).resources()


def _at_once(attempt: int, chance: float) -> float:
    return 0.0


@dataclass(slots=True)
class _Source:
    plan: Plan
    api: httpx.AsyncClient
    clock: datetime
    fails: int | None
    seen: int = field(default=0)

    def resources(self) -> Any:
        return getattr(self, f"_{self.plan.source}")()

    def _count(self, items: Iterable[T]) -> Iterator[T]:
        for item in items:
            self.seen += 1
            if self.seen == self.fails:
                raise Wrong("an error of ours")
            yield item

    def _listing(self, place: str, bounds: Any = None) -> AsyncIterator[httpx.Response]:
        query = {name: getattr(bounds, name) for name in self.plan.bounds} if bounds else {}
        following: Any = NextToken("next", "cursor")
        if bounds and not query:
            since, kind = bounds.since, self.plan.kind
            following = Until(following, Older("changed", records="rows", than=since, kind=kind))
        first = self.api.build_request("GET", place, params=query)
        return pages(self.api, first, following)

    def _bounds(self) -> Any:
        """What cursors of all sources have in common."""
        plan, append = self.plan, self.plan.append
        return {
            "start": START,
            "lag": plan.slack if append else None,
            "clock": lambda: self.clock,
            "kind": plan.kind,
            "lookback": None if append else plan.slack,
        }

    def _merge(self) -> Any:
        columns: Any = _flagged() if self.plan.deletes == "flag" else flag()

        @dlt.resource(name="rows", primary_key="id", write_disposition="merge", columns=columns)
        def rows() -> Iterator[Any]:
            seen = cursor("changed", **self._bounds())
            found = self._count(prefetch(self._listing("/rows", seen)))
            yield from load(found, seen, path="rows", rows=4)
            if self.plan.deletes == "tombstones":
                gone = self._count(prefetch(self._listing("/deleted")))
                yield from load(tombstones(gone, "id", records="rows"))
            if self.plan.deletes == "vanished":
                listed = Keys("id")
                for page in self._count(prefetch(self._listing("/ids"))):
                    listed.add(row["id"] for row in page.json()["rows"])
                gone_rows = vanished(known("id"), listed.table, most=1)
                yield from load([(gone_rows, {"deleted": True})])

        return rows

    def _append(self) -> Any:
        @dlt.resource(name="rows", write_disposition="append")
        def rows() -> Iterator[Any]:
            seen = cursor("changed", **self._bounds())
            found = self._count(prefetch(self._listing("/rows", seen)))
            yield from load(found, seen, path="rows", rows=4, where=seen.within)
            seen.complete()

        return rows

    def _windows(self) -> Any:
        plan = self.plan

        async def fetch(window: Interval) -> AsyncIterator[httpx.Response]:
            async for page in self._listing("/rows", window):
                if plan.writing not in {"days", "berlin"} and whole(page, "total") > CAP:
                    raise Overflow(f"expected at most {CAP} rows", page)
                yield page

        disposition: Any = "append" if plan.append else "merge"

        @dlt.resource(name="rows", primary_key="id", write_disposition=disposition)
        def rows() -> Iterator[Any]:
            done = intervals(
                "rows",
                start=START,
                kind=plan.kind,
                lag=plan.slack if plan.append else None,
                lookback=None if plan.append else max(plan.slack + FRESH, plan.kind.step),
                clock=lambda: self.clock,
            )
            todo = done.todo(plan.every)
            least = timedelta(minutes=1)
            for window, found in self._count(prefetch(windows(fetch, todo, least=least))):
                yield from load(found, path="rows", rows=4)
                done.add(window)

        return rows

    def _crowd(self) -> Any:
        return self._children()

    def _children(self) -> Any:
        plan = self.plan

        @dlt.resource(name="parents", primary_key="id", write_disposition="merge")
        def all_parents() -> Iterator[Any]:
            yield from load(prefetch(self._listing("/parents")), path="rows", rows=3)

        hints: Any = {"write_disposition": "append"}
        if not plan.append:
            hints = {"primary_key": "id", "write_disposition": "merge"}
            hints["columns"] = _flagged()

        @dlt.transformer(data_from=all_parents, name="rows", **hints)
        def rows(table: Any) -> Iterator[Any]:
            seen = partitions("changed", key="parent_id", most=plan.most, **self._bounds())
            cursors: dict[int, Cursor] = {}

            def fetch(parent: int) -> AsyncIterator[httpx.Response]:
                cursors[parent] = seen.of(parent)
                return self._listing(path("/parents/{}/rows", parent), cursors[parent])

            found = self._count(prefetch(fan_out(parents(table, "id"), fetch, skip={404})))
            if not plan.append:
                keyed = ((page, {"parent_id": parent}) for parent, page in found)
                yield from load(keyed, seen, path="rows", rows=4)
                return
            read = {}
            for parent, page in found:
                own = read[parent] = cursors[parent]
                yield from load([(page, {"parent_id": parent})], own, path="rows", where=own.within)
            for own in read.values():
                own.complete()

        return [all_parents, rows]


def _flagged() -> Any:
    return {
        "deleted": {"data_type": "bool", "hard_delete": True},
        "version": {"data_type": "bigint", "dedup_sort": "desc"},
    }


@dataclass(frozen=True, slots=True)
class Order:
    """One run: of which plan, on which API, when, and what becomes of it."""

    source: Name
    seed: int
    folder: str
    url: str
    clock: str
    lost: bool = False
    fails: int | None = None
    point: str | None = None
    nth: int = 1


def run(order: Order) -> None:
    """A run as one should be: recovery first."""
    warehouse = Warehouse(Path(order.folder))
    if order.lost:
        shutil.rmtree(warehouse.folder / "pipelines", ignore_errors=True)
    pipeline = warehouse.pipeline()
    recover(pipeline)
    if order.lost:
        remove_unfinished(pipeline)
    if order.point is not None:
        arm(order.point, order.nth)
    plan = Plan.draw(order.source, order.seed)
    clock = datetime.fromisoformat(order.clock)
    pipeline.run(plan.resources(order.url, clock, order.fails), loader_file_format="parquet")


class Killer:
    """The process, ready to fork: what ended the fork, empty if it ended well."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.simulation.sources"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def __call__(self, order: Order) -> str:
        """Have a run made."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(asdict(order))}\n")
        self._process.stdin.flush()
        return str(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """Let the process end."""
        self._process.communicate(timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _forked(work: Callable[[], None]) -> str:
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - a fork must not go on in the code of its parent
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return f"exit {os.WEXITSTATUS(status)}" if os.WEXITSTATUS(status) else ""


def main() -> None:
    """Answer orders until there are no more."""
    for text in sys.stdin:
        answer = _forked(partial(run, Order(**json.loads(text))))
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
