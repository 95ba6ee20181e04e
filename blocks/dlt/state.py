"""State: cursors and intervals in dlt's resource state, committed with the rows they stand for."""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Any, Unpack

import dlt

from blocks.cursors import Cursor
from blocks.errors import ConfigError, Incomplete
from blocks.intervals import Intervals, unread
from blocks.kinds import Kind, kind_for
from blocks.partitions import Options, Partitions

__all__ = ["Parents", "cursor", "intervals", "partitions", "raise_on_gaps"]

logger = logging.getLogger(__name__)


def cursor(
    column: str,
    *,
    start: Any,
    end: Any = None,
    lag: timedelta | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    **options: Unpack[Options],
) -> Cursor:
    """A `Cursor` in the state of the resource that is being extracted.

    dlt commits that state together with the rows of the run, or not at all. With the write
    disposition `replace` dlt drops the state at the start of each run. `column` is named as in the
    table; `options` are those of `Cursor`: `kind`, `lookback` and `missing`.

    Over times the range ends now, in whole seconds, less `lag`: as long as rows may need to appear
    after the time that they bear. With `Dates` it ends where the last complete day does. Now is
    what `clock` says, asked once: ours, unless an API tells its own, or a test sets one.

    `end` is for backfills: the range is [start, end), and the state is neither asked nor changed,
    so that the runs of every day go on where they were. `lookback`, `lag` and `clock` then mean
    nothing.
    """
    options["kind"] = kind = options.get("kind") or kind_for(start)
    if end is not None:
        options.pop("lookback", None)
        return Cursor(column, start=start, state={}, until=end, **options)
    state = dlt.current.resource_state()
    return Cursor(column, start=start, state=state, until=_until(kind, lag, clock), **options)


class Parents(Options, total=False):
    """What cursors of parents have beside: as `blocks.partitions.Partitions` takes it."""

    key: str | None
    most: int


def partitions(
    column: str,
    *,
    start: Any,
    end: Any = None,
    lag: timedelta | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    **options: Unpack[Parents],
) -> Partitions:
    """`Partitions` in the state of the resource that is being extracted: a cursor for each parent.

    The range ends as that of `cursor` does, for all of them at once, and with `end`, for backfills,
    the state is left alone. `options` are those of `cursor`, and `key` and `most`.
    """
    state: MutableMapping[str, Any] = dlt.current.resource_state() if end is None else {}
    kind = options.get("kind") or kind_for(start)
    until = _until(kind, lag, clock) if end is None else end
    return Partitions(column, start=start, state=state, until=until, **options)


def _until(kind: Kind, lag: timedelta | None, clock: Callable[[], datetime]) -> datetime | None:
    if isinstance(kind.step, timedelta):
        return clock().replace(microsecond=0) - (lag or timedelta())
    if lag is not None:
        raise ConfigError(f"lag: expected a cursor over times, got one over {kind}")
    return None


def intervals(
    name: str,
    *,
    start: Any,
    end: Any = None,
    kind: Kind | None = None,
    lookback: timedelta | int | None = None,
    lag: timedelta | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Intervals:
    """`Intervals` in the state of the resource that is being extracted, committed with its rows.

    Over times the range ends now, in whole seconds, less `lag`: as long as rows may need to appear
    after the time that they bear. With `Dates` it ends where the last complete day does. Now is
    what `clock` says, as for `cursor`. With an `end` it ends there, and what earlier runs have done
    of it is left out as well. With the write disposition `replace` dlt drops the state at the start
    of each run: all is read again.

    Windows that fail do not stop a run; `raise_on_gaps` tells of them when it is over.
    """
    kind = kind_for(start) if kind is None else kind
    until_now = end is None
    if until_now:
        if not isinstance(kind.step, timedelta):
            raise ConfigError(f"intervals {name}: expected an end of a range over {kind}")
        end = clock().replace(microsecond=0) - (lag or timedelta())
    elif lag is not None:
        raise ConfigError(f"intervals {name}: expected a lag or an end, got both")
    state = dlt.current.resource_state()
    found = Intervals(name, start=start, end=end, state=state, kind=kind, lookback=lookback)
    if until_now and found.done and found.done[-1].end > found.end:
        message = "intervals %s: done up to %s, now is %s: was the clock wrong, or the lag shorter?"
        logger.warning(message, name, found.done[-1].until, kind.write(found.end))
    return found


def raise_on_gaps(pipeline: dlt.Pipeline) -> None:
    """Raise `Incomplete` if the last run of any resource with `intervals` left gaps.

    For after `pipeline.run`, as an error in it would undo all that was had: what was is loaded
    now, and the next run asks for the gaps only.
    """
    found = [
        f"{source}.{resource}, {name}: {len(gaps)} with {gaps[0]}"
        for source, kept in pipeline.state.get("sources", {}).items()
        for resource, state in kept.get("resources", {}).items()
        for name, gaps in unread(state).items()
    ]
    if found:
        raise Incomplete(f"expected no gaps, got {'; '.join(found)}")
