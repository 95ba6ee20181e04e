"""Fan-out: for each parent its children's pages, many parents at once.

`parents` takes them from the rows that were just normalized, `fan_out` asks for their children.
Ids go into paths by `blocks.requests.path`, which quotes them.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
)
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import anyio
import anyio.abc
import httpx

from blocks import events
from blocks.closing import closing
from blocks.errors import AuthError, BodyError, ConfigError, StatusError, where
from blocks.outcomes import verdict

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["fan_out", "parents"]

logger = logging.getLogger(__name__)

P = TypeVar("P")
T = TypeVar("T")

# Pages of one child that may wait for those of children before it: most have no more.
_AHEAD = 4


async def fan_out(
    parents: Iterable[P] | AsyncIterable[P],
    fetch: Callable[[P], AsyncIterable[T]],
    *,
    at_once: int = 8,
    ordered: bool = True,
    skip: Collection[int] = frozenset(),
) -> AsyncIterator[tuple[P, T]]:
    """What `fetch` gives for each parent, mostly pages, as pairs of the parent and the page.

    Up to `at_once` parents are worked at together, and each is taken from `parents` only when there
    is room. A parent's pages stay in their order. Parents stay in theirs if `ordered`: then up to
    `2 * at_once` of them may be begun and not yet handed over, with 4 pages waiting of each, so
    that those of more than 5 pages run hardly together. Otherwise pages come as they are there,
    `at_once` of them may wait, and nobody waits for a slow parent.

    A child refused with a status in `skip` (404: deleted since, 403: not for us) is passed over,
    logged and published, if the refusal comes in place of its first page: after that, rows would
    be missing from its middle. Never skipped are answers that tell us to ask again or to log in
    again, whatever their status, and answers to token requests. Any other error is raised after the
    pages that were there before it; no more parents are begun, and what still runs is cancelled. An
    error of `parents` is treated alike.

    It holds a task group across its yields: run it under `blocks.network.prefetch`, or in one task
    that closes it (`contextlib.aclosing`). Plain iterables are iterated in the event loop: they
    must not wait.

    >>> import anyio
    >>> async def comments(number):
    ...     yield f"first comments of {number}"
    ...     yield f"more of {number}"
    >>> async def main():
    ...     async for number, page in fan_out([7, 3], comments):
    ...         print(number, page)
    >>> anyio.run(main)
    7 first comments of 7
    7 more of 7
    3 first comments of 3
    3 more of 3
    """
    if at_once < 1:
        raise ConfigError(f"fan_out needs at_once >= 1, got {at_once!r}")
    for status in skip:
        if (outcome := verdict(httpx.Response(status)).outcome) != "fail":
            raise ConfigError(f"skip: expected statuses about a child, got {status}: {outcome!r}")
    reason: BaseException | None = None
    async with anyio.create_task_group() as tasks:
        try:
            spread = _Spread(fetch, at_once, ordered, skip)
            tasks.start_soon(spread.begin, parents, tasks)
            while (line := await spread.lines.take()) is not None:
                while (found := await line.take()) is not None:
                    yield found
        except (Exception, GeneratorExit) as caught:  # noqa: BLE001 - raised below
            # Out of the task group as it is, not as a group of one.
            reason = caught
            tasks.cancel_scope.cancel()
    if reason is not None:
        raise reason


def parents(
    table: pa.Table, /, *columns: str, missing: Literal["raise", "drop", "keep"] = "raise"
) -> list[Any]:
    """Whose children to ask for: the values of one column, or dicts of several, in row order.

    Rows alike in these columns count once. A nested table, which a transformer also gets, has none.
    A row with a null in one of the columns, or a table that lacks a column because no row had a
    value so far, raises `BodyError`; with `missing="drop"` such rows have no children (their count
    is logged), with "keep" they have `None` there.

    >>> import pyarrow as pa
    >>> issues = pa.table({"id": [1, 2, 1], "number": [7, 3, 7], "title": ["a", "b", "c"]})
    >>> parents(issues, "number")
    [7, 3]
    >>> parents(issues, "id", "number")
    [{'id': 1, 'number': 7}, {'id': 2, 'number': 3}]
    """
    if not columns:
        raise ConfigError("parents needs a column, got none")
    if missing not in {"raise", "drop", "keep"}:
        raise ConfigError(f"missing: expected 'raise', 'drop' or 'keep', got {missing!r}")
    known = table.column_names
    if "_dlt_parent_id" in known:
        return []
    absent = [name for name in columns if name not in known]
    if absent and missing == "raise":
        expected = f"expected column {absent[0]}, by which to ask for children"
        raise BodyError(f"{expected}, got columns {', '.join(known)}")
    nothing = [None] * table.num_rows
    values = [nothing if name in absent else table.column(name).to_pylist() for name in columns]
    rows = [*zip(*values, strict=True)]
    whole = rows if missing == "keep" else [row for row in rows if None not in row]
    if lost := len(rows) - len(whole):
        message = f"{', '.join(columns)}: {lost} of {len(rows)} rows have none"
        if missing == "raise":
            raise BodyError(f"expected in each row, to ask for its children, {message}")
        logger.info("no children for rows without %s", message)
    distinct = dict.fromkeys(whole)
    if len(columns) == 1:
        return [value for (value,) in distinct]
    return [dict(zip(columns, row, strict=True)) for row in distinct]


class _Line(Generic[T]):
    """Items on their way from several tasks to one, at most `most` of them waiting.

    It ends when every writer has left; the first is there from the beginning.
    """

    def __init__(self, most: int) -> None:
        self.room = anyio.Semaphore(most)
        self._items: deque[T | Exception] = deque()
        self._news = anyio.Event()
        self._writers = 1

    def join(self) -> None:
        """Be another writer."""
        self._writers += 1

    def leave(self) -> None:
        """Write no more."""
        self._writers -= 1
        self._news.set()

    def put(self, item: T | Exception) -> None:
        """Add an item, or an error for `take` to raise; `room` was waited for."""
        self._items.append(item)
        self._news.set()

    async def take(self) -> T | None:
        """The next item when it is there, or `None` at the end."""
        while not self._items:
            if not self._writers:
                return None
            self._news = anyio.Event()
            await self._news.wait()
        self.room.release()
        item = self._items.popleft()
        if isinstance(item, Exception):
            raise item
        return item


class _Spread(Generic[P, T]):
    """The children in work: a line of lines, one for each child in order, or one for all."""

    def __init__(
        self,
        fetch: Callable[[P], AsyncIterable[T]],
        at_once: int,
        ordered: bool,
        skip: Collection[int],
    ) -> None:
        self._fetch = fetch
        self._skip = skip
        self._turns = anyio.Semaphore(at_once)
        # One more is being handed over. When that is slow, those behind it go on.
        self.lines: _Line[_Line[tuple[P, T]]] = _Line(2 * at_once - 1)
        self._shared: _Line[tuple[P, T]] | None = None if ordered else _Line(at_once)
        self._broken = False

    async def begin(
        self, parents: Iterable[P] | AsyncIterable[P], tasks: anyio.abc.TaskGroup
    ) -> None:
        """Begin children as there is room, each in a task of its own, until one has failed."""
        if self._shared is not None:
            self.lines.put(self._shared)
        try:
            async with closing(_iterate(parents)) as each:
                while True:
                    await self._turns.acquire()
                    if self._shared is None:
                        await self.lines.room.acquire()
                    parent = await anext(each)
                    if self._broken:
                        break
                    tasks.start_soon(self._work, parent, self._open())
        except StopAsyncIteration:
            pass
        except Exception as error:  # noqa: BLE001 - raised in its turn
            line = self._open()
            await line.room.acquire()
            line.put(error)
            line.leave()
        if self._shared is not None:
            self._shared.leave()
        self.lines.leave()

    def _open(self) -> _Line[tuple[P, T]]:
        # Before its task runs: trio starts tasks in any order.
        if self._shared is not None:
            self._shared.join()
            return self._shared
        line: _Line[tuple[P, T]] = _Line(_AHEAD)
        self.lines.put(line)
        return line

    async def _work(self, parent: P, line: _Line[tuple[P, T]]) -> None:
        begun = False
        try:
            async with closing(self._fetch(parent)) as pages:
                async for page in pages:
                    begun = True
                    await line.room.acquire()
                    line.put((parent, page))
        except Exception as error:  # noqa: BLE001 - raised in its turn
            if begun or not self._skips(error):
                self._broken = True
                await line.room.acquire()
                line.put(error)
        line.leave()
        self._turns.release()

    def _skips(self, error: Exception) -> bool:
        response = error.response if isinstance(error, AuthError | StatusError) else None
        if (
            response is None
            or response.status_code not in self._skip
            or verdict(response).outcome != "fail"
            or "token_url" in response.request.extensions
        ):
            return False
        place, status = where(response), str(response.status_code)
        logger.info("skipping %s: status %s", place, status)
        events.publish(events.Skipped(place, status))
        return True


async def _iterate(parents: Iterable[P] | AsyncIterable[P]) -> AsyncIterator[P]:
    if isinstance(parents, AsyncIterable):
        async with closing(parents) as each:
            async for parent in each:
                yield parent
    else:
        for parent in parents:
            yield parent
