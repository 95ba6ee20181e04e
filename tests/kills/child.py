"""A process that runs a pipeline and is killed on the way.

Started as a program it reads orders, one JSON object a line, and forks for each: importing dlt
takes longer than the run. It answers with one line each: what ended the fork.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import dlt
from dlt.common.storages.load_storage import LoadStorage

from blocks.backfill import backfill
from blocks.dlt import cursor, load
from blocks.intervals import Interval
from blocks.kinds import Integers
from blocks.recovery import recover
from blocks.unfinished import remove_unfinished
from tests.kills.points import arm

__all__ = ["PAGE", "Order", "event", "line", "pipeline", "settings", "tens", "window"]

Disposition: TypeAlias = Literal["append", "merge", "upsert", "replace", "keyless"]

PAGE = 50
"""Rows of a page, of a table that dlt is given, and of a file that it loads."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a process is to do: `runs` runs of the pipeline in `folder`, out of `events` events."""

    folder: str
    events: int
    disposition: Disposition
    nested: bool = True
    runs: int = 1
    recover: bool = False
    """Call `recover` first; and `remove_unfinished`, if `lost`."""
    lost: bool = False
    point: str | None = None
    nth: int = 1
    after: float | None = None
    """Be killed after so many seconds."""
    workers: int = 20
    by_name: bool = False
    """Load files in the order of their names, not as the file system lists them."""
    file_format: str = "parquet"
    per_load: int = 0
    """Backfill windows of ten events instead, so many per load."""


def event(version: int, nested: bool) -> dict[str, Any]:
    """One event of the API: `version` grows for ever, an `id` comes back after 300 events.

    A column and a nested table are new after 200 events.
    """
    row: dict[str, Any] = {"id": version % 300, "version": version, "note": f"it's no. {version}"}
    if version >= 200:
        row["grade"] = version / 2
    if nested:
        row["parts"] = [{"name": f"{version}-{number}"} for number in range(2)]
        row["marks"] = [{"name": f"m{version}"}] if version >= 200 else []
    return row


@dlt.source(name="events")
def source(order: Order) -> Any:
    """All events after the newest one that was loaded."""
    hints: dict[str, Any] = {"write_disposition": order.disposition}
    match order.disposition:
        case "merge":
            hints = {"write_disposition": "merge", "primary_key": "id"}
        case "upsert":
            merge = {"disposition": "merge", "strategy": "upsert"}
            hints = {"write_disposition": merge, "primary_key": "id"}
        case "keyless":
            hints = {"write_disposition": "merge"}

    @dlt.resource(name="items", **hints)
    def items() -> Iterator[Any]:
        seen = cursor("version", start=-1)
        first = 0 if order.disposition == "replace" else seen.since + 1
        versions = range(first, order.events)
        for start in range(0, len(versions), PAGE):
            page = [event(version, order.nested) for version in versions[start : start + PAGE]]
            yield from load([page], seen)

    return items


def tens(events: int) -> list[Interval]:
    """The versions of all events, ten by ten."""
    return [Interval(low, low + 10, Integers()) for low in range(0, events, 10)]


@dlt.source(name="history")
def window(versions: Interval) -> Any:
    """The events of a window."""

    @dlt.resource(name="items", write_disposition="append", file_format="parquet")
    def items() -> Iterator[Any]:
        rows = range(int(versions.since), int(versions.until))
        yield from load([[event(version, nested=True) for version in rows]])

    return items


def pipeline(folder: Path) -> dlt.Pipeline:
    """The pipeline in `folder`."""
    return dlt.pipeline(
        "killed",
        pipelines_dir=str(folder / "pipelines"),
        destination=dlt.destinations.duckdb(str(folder / "warehouse.duckdb")),
        dataset_name="data",
    )


def work(order: Order) -> None:
    """Do what the order says, or die."""
    os.environ["LOAD__WORKERS"] = str(order.workers)
    if order.by_name:
        listed = LoadStorage.list_new_jobs
        LoadStorage.list_new_jobs = lambda *names: sorted(listed(*names))  # type: ignore[method-assign]
    if order.point is not None:
        arm(order.point, order.nth)
    if order.after is not None:
        # Nobody handles SIGALRM: the kernel ends the process, as it does with SIGKILL.
        signal.setitimer(signal.ITIMER_REAL, order.after)
    target = pipeline(Path(order.folder))
    if order.per_load:
        backfill(target, window, tens(order.events), name="history", per_load=order.per_load)
        return
    if order.recover:
        recover(target)
        if order.lost:
            remove_unfinished(target)
    for _ in range(order.runs):
        target.run(source(order), loader_file_format=order.file_format)  # type: ignore[arg-type]


def fork(order: Order) -> str:
    """Do the order in a process of its own; the answer is empty if it ended well."""
    child = os.fork()
    if child == 0:
        try:
            work(order)
        except BaseException:  # noqa: BLE001 - a fork must not go on in the code of its parent
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return f"exit {os.WEXITSTATUS(status)}" if os.WEXITSTATUS(status) else ""


def main() -> None:
    """Answer orders until there are no more."""
    for line in sys.stdin:
        sys.stdout.write(f"{json.dumps(fork(Order(**json.loads(line))))}\n")
        sys.stdout.flush()


def settings() -> dict[str, str]:
    """The environment of the process: small files, so that a table is loaded by several jobs."""
    return {
        "DATA_WRITER__BUFFER_MAX_ITEMS": str(PAGE),
        "DATA_WRITER__FILE_MAX_ITEMS": str(PAGE),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "RUNTIME__LOG_LEVEL": "ERROR",
    }


def line(order: Order) -> str:
    """The order as the process reads it."""
    return json.dumps(asdict(order))


if __name__ == "__main__":
    main()
