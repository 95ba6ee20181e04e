"""Backfill: a long history in many small loads, each of them a checkpoint.

dlt has a run's rows and its state in one package, which is loaded whole or not at all. So a window
is remembered as done in the package that has its rows: a kill at any moment costs what was being
extracted, and nothing is loaded twice or left out.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

import dlt
from dlt.extract import DltResource, DltSource

from blocks.errors import ConfigError
from blocks.intervals import Interval, Intervals
from blocks.recovery import recover

__all__ = ["Progress", "Source", "backfill", "log"]

logger = logging.getLogger(__name__)

_KEY = "blocks_backfill"  # in the state of the pipeline, beside the names of its sources

Source: TypeAlias = Callable[[Interval], DltSource | DltResource]
"""From a window to what reads it: rows of that window only, and no cursor of the running loads."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A load of a backfill has ended: `windows` are its own, `rows` those of all its tables."""

    name: str
    windows: tuple[Interval, ...]
    rows: int
    seconds: float
    """What the load took."""
    done: int
    """Windows this call has loaded so far."""
    total: int
    """Windows there were to load for this call."""
    left: float
    """Seconds that the others will take at the pace of the last loads."""

    def __str__(self) -> str:
        left = timedelta(seconds=round(self.left))
        return (
            f"{self.name}: {self.windows[0].since} to {self.windows[-1].until}, {self.rows} rows in"
            f" {self.seconds:.1f} s, {self.done} of {self.total} windows, {left} left"
        )


def log(progress: Progress) -> None:
    """Write `progress` to this module's logger, at level INFO."""
    logger.info("%s", progress)


def backfill(
    pipeline: dlt.Pipeline,
    source: Source,
    ranges: Iterable[Interval],
    *,
    name: str,
    per_load: int = 1,
    report: Callable[[Progress], object] = log,
) -> int:
    """Load the windows `ranges` that are not done yet, in their order; return how many those were.

    A window is done once the package with its rows is loaded, whatever becomes of the process, the
    machine or the working directory: what is done is kept in the pipeline's state under `name`,
    merged where windows touch. Of a window done in part, only the rest is loaded, so windows may be
    of another length the next time. `blocks.intervals.Intervals.todo` cuts them; `reversed(...)` of
    it begins with the newest.

    `per_load` windows make one load, which costs a fraction of a second by itself, and is what a
    kill repeats. `report` has a `Progress` after each load. `blocks.recovery.recover` is called
    first, and its conditions are those of `backfill`; a load that fails ends it with dlt's error,
    with all earlier ones done.

    Where other runs merge into the same tables meanwhile, let their cursors look back as long as a
    load takes: what was read for it may be older than what they have loaded before it was.

    Raises `ConfigError` for a source that replaces its tables: the last window would be all.
    """
    if per_load < 1:
        raise ConfigError(f"expected at least 1 window per load, got {per_load}")
    recover(pipeline)
    if pipeline.config.restore_from_destination:
        # In a new working directory, what is done is known to the destination alone.
        pipeline.sync_destination()
    windows = _todo(name, ranges, deepcopy(_state(pipeline)))
    paces: deque[float] = deque(maxlen=20)
    for first in range(0, len(windows), per_load):
        chunk = windows[first : first + per_load]
        began = time.monotonic()
        pipeline.run(_marked(name, source, chunk))
        seconds = time.monotonic() - began
        paces.append(seconds / len(chunk))
        done = first + len(chunk)
        left = (len(windows) - done) * sum(paces) / len(paces)
        report(Progress(name, tuple(chunk), _rows(pipeline), seconds, done, len(windows), left))
    return len(windows)


def _state(pipeline: dlt.Pipeline) -> dict[str, Any]:
    found: dict[str, Any] = pipeline.state.get("sources", {}).get(_KEY, {})
    return found


def _todo(name: str, ranges: Iterable[Interval], state: dict[str, Any]) -> list[Interval]:
    """What is not done of `ranges`, each part once; `state` is used up."""
    todo = []
    for window in ranges:
        part = _intervals(name, window, state)
        for gap in part.gaps():
            part.add(gap)
            todo.append(gap)
    return todo


def _intervals(name: str, window: Interval, state: dict[str, Any]) -> Intervals:
    return Intervals(name, start=window.start, end=window.end, state=state, kind=window.kind)


def _marked(name: str, source: Source, windows: list[Interval]) -> list[DltSource | DltResource]:
    """What reads the windows, and one resource more: it has no rows and remembers them."""

    def mark() -> Iterator[Any]:
        state = dlt.current.source_state(_KEY)
        for window in windows:
            _intervals(name, window, state).add(window)
        yield from ()

    marker = dlt.resource(mark, name="backfill")()
    data = [source(window) for window in windows]
    for each in data:
        resources = [each] if isinstance(each, DltResource) else each.selected_resources.values()
        for resource in resources:
            if _replaces(resource):
                raise ConfigError(
                    f"expected resource {resource.name} to append or to merge, as its windows are"
                    " loaded one by one, got replace"
                )
    if isinstance(data[0], DltResource):
        return [*data, marker]
    data[0].resources.add(marker)
    return data


def _replaces(resource: DltResource) -> bool:
    disposition = resource.write_disposition
    if isinstance(disposition, dict):
        disposition = disposition["disposition"]
    return disposition == "replace"


def _rows(pipeline: dlt.Pipeline) -> int:
    trace = pipeline.last_trace
    counts = trace.last_normalize_info.row_counts if trace and trace.last_normalize_info else {}
    return sum(count for table, count in counts.items() if not table.startswith("_dlt"))
