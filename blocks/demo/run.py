"""The demo's job: the first recipe against the loopback API, twice, and a table of what happened.

The recipe is `cookbook/github_issues.py` as it stands. This module and not a block knows dlt here,
because it plays the user: it makes the pipeline, runs it and queries the result.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dlt
import duckdb
from dlt.common.runtime.collector import NullCollector

from blocks.demo.server import Server, Settings, serving
from blocks.events import Event, Page, Retried, listen

__all__ = ["recipe", "run"]

TABLES = ("issues", "issues__labels", "issues__assignees")
STEPS = ("extract", "normalize", "load")
QUERY = """
    SELECT label.name AS label, count(*) AS issues, count(*) FILTER (issue.state = 'open') AS open,
           round(avg(issue.comments), 1) AS comments
    FROM issues AS issue JOIN issues__labels AS label ON label._dlt_parent_id = issue._dlt_id
    GROUP BY ALL ORDER BY issues DESC LIMIT 5
"""


@dataclass(slots=True)
class Run:
    """What one run of the pipeline cost and left behind."""

    seconds: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    fetched: int = 0
    served: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)


class Steps(NullCollector):
    """A line when a step starts; measures each step."""

    def __init__(self) -> None:
        self.run = Run()
        self._started = (0.0, 0.0)
        self._step = ""

    def on_start_trace_step(self, trace: Any, step: str, pipeline: Any) -> None:
        """Say which step starts."""
        if step in STEPS:
            self._step = step
            self._started = (time.perf_counter(), time.process_time())
            print(f"  {step} ...", flush=True)

    def on_end_trace_step(
        self, trace: Any, step: Any, pipeline: Any, step_info: Any, send_state: bool
    ) -> None:
        """Keep what the step took: seconds on the clock and of this process's CPU."""
        if step.step in STEPS:
            wall, cpu = self._started
            self.run.seconds[step.step] = time.perf_counter() - wall
            self.run.cpu[step.step] = time.process_time() - cpu

    def update(self, name: str, inc: int = 1, *args: Any, **kwargs: Any) -> None:
        """Count the rows of the root table while they are extracted."""
        if self._step == "extract" and name == TABLES[0]:
            self.run.fetched += inc


class Ticker:
    """A listener that says how far the pages are, `every` so many seconds, and how waits end."""

    def __init__(self, every: float = 1.0) -> None:
        self._every = every
        self._last = time.monotonic()
        self._pages = self._bytes = 0

    def __call__(self, event: Event) -> None:
        """Print a line for `event`, or keep it for a later one."""
        match event:
            case Page():
                self._pages += 1
                self._bytes += event.size
                if time.monotonic() - self._last >= self._every:
                    self._last = time.monotonic()
                    print(f"    {self._pages:,} pages, {self._bytes / 1e6:,.1f} MB", flush=True)
            case Retried():
                print(f"    again in {event.wait:.1f} s, after {event.reason}", flush=True)


def run(records: int, seed: int, folder: Path) -> bool:
    """Load everything, change the records, load again, all into `folder`; print what happened.

    Return whether the tables have the rows that the server has, and the second run was smaller.
    """
    settings = Settings(records=records, seed=seed)
    print(f"Starting a local API with {records:,} generated issues ...", flush=True)
    with serving(settings) as server:
        print(
            f"  at {server.url}, in a process of its own; it allows {settings.burst} requests at "
            f"once, then {settings.rate:g} a second"
        )
        print("First run: everything")
        first = _load(server, folder)
        changes = server.change()
        print(
            f"Changes at the server: {len(changes.created):,} new, {len(changes.updated):,} "
            f"updated; {len(changes.emptied):,} of these lost all labels and assignees"
        )
        print("Second run: what changed")
        second = _load(server, folder)
        wanted = {table: server.counts()[table] for table in TABLES}
    print(f"\n{_report(first, second)}\n\n{_labels(folder)}\n")
    left = _left_over(folder, changes.emptied)
    fetched = f"{second.fetched:,} of {wanted['issues']:,} issues"
    print(f"The second run fetched {fetched}; {left} rows are left of the emptied lists.")
    complete = second.rows == wanted
    if not complete:
        print(f"The tables have {second.rows}, the server has {wanted}.", file=sys.stderr)
    return complete and left == 0 and second.fetched < wanted["issues"]


def _load(server: Server, folder: Path) -> Run:
    """Run the recipe as its user would: a new pipeline object that finds its state in `folder`."""
    before = server.counts()
    progress = Steps()
    pipeline = dlt.pipeline(
        "blocks_demo",
        pipelines_dir=str(folder / "pipelines"),
        destination=dlt.destinations.duckdb(str(folder / "demo.duckdb")),
        dataset_name="github",
        progress=progress,
    )
    source = recipe()(repo=server.repository, base_url=server.url, token=server.token)
    stop = listen(Ticker())
    try:
        pipeline.run(source)
    finally:
        stop()
    run = progress.run
    run.served = {name: count - before[name] for name, count in server.counts().items()}
    run.rows = {table: _query(folder, f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}
    return run


def recipe() -> Callable[..., Any]:
    """The recipe's source function: from the clone's cookbook/, or the copy in a wheel."""
    here = Path(__file__).parent
    places = (here.parent.parent / "cookbook", here / "cookbook")
    path = next(file for place in places if (file := place / "github_issues.py").exists())
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dlt looks the source's module up there
    spec.loader.exec_module(module)
    source: Callable[..., Any] = module.github
    return source


def _query(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(folder / "demo.duckdb"), read_only=True) as connection:
        return connection.execute("USE github").execute(query).fetchall()


def _left_over(folder: Path, emptied: list[int]) -> int:
    """How many rows the nested tables have for issues whose lists are empty."""
    ids = ", ".join(map(str, emptied)) or "NULL"
    nested = " UNION ALL ".join(f"SELECT _dlt_parent_id FROM {table}" for table in TABLES[1:])
    joined = f"issues JOIN ({nested}) AS nested ON nested._dlt_parent_id = issues._dlt_id"
    count: int = _query(folder, f"SELECT count(*) FROM {joined} WHERE id IN ({ids})")[0][0]
    return count


def _report(*runs: Run) -> str:
    """The table of the runs, a column for each."""
    rows = [
        ("issues fetched", [f"{run.fetched:,}" for run in runs]),
        *((f"rows in {table}", [f"{run.rows[table]:,}" for run in runs]) for table in TABLES),
        ("pages served", [f"{run.served['pages']:,}" for run in runs]),
        ("waits for the limit (429)", [f"{run.served['refused']:,}" for run in runs]),
        ("seconds told to wait", [f"{run.served['told_seconds']:,}" for run in runs]),
        ("MB received, gzip", [f"{run.served['sent_bytes'] / 1e6:,.1f}" for run in runs]),
        ("MB of JSON", [f"{run.served['json_bytes'] / 1e6:,.1f}" for run in runs]),
        *((f"seconds of {step}", [f"{run.seconds[step]:,.2f}" for run in runs]) for step in STEPS),
        ("MB/s, extract + normalize, waits included", [_speed(run, run.seconds) for run in runs]),
        ("MB per CPU second, extract + normalize", [_speed(run, run.cpu) for run in runs]),
    ]
    return _table([["", "first run", "second run"], *([title, *cells] for title, cells in rows)])


def _speed(run: Run, seconds: dict[str, float]) -> str:
    """JSON megabytes a second; with the clock's seconds this includes the waits for the limit."""
    return f"{run.served['json_bytes'] / 1e6 / (seconds['extract'] + seconds['normalize']):,.1f}"


def _labels(folder: Path) -> str:
    """The most used labels, a query over the root and a nested table."""
    head = ["issues joined with issues__labels", "issues", "open", "comments"]
    return _table([head, *([str(cell) for cell in row] for row in _query(folder, QUERY))])


def _table(lines: Sequence[Sequence[str]]) -> str:
    """Columns under their heads, the first to the left, the others to the right.

    >>> print(_table([["", "n"], ["one", "1"]]))
          n
    -------
    one   1
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "   ".join(
            cell.rjust(width) if position else cell.ljust(width)
            for position, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    return "\n".join([text[0], "-" * len(text[0]), *text[1:]])
