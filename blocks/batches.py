"""Batches: many ids in one request, halved where the API refuses a batch because of one of them.

A batch is a list of ids, and a parent for `blocks.fanout.fan_out`:
`fan_out(batches(ids, 100), halving(fetch))`.
"""

from __future__ import annotations

import logging
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    MutableMapping,
    Sequence,
)
from itertools import islice
from typing import TypeVar

import httpx

from blocks import events
from blocks.closing import closing
from blocks.errors import BlocksError, ConfigError, StatusError, where
from blocks.outcomes import verdict

__all__ = ["batches", "halving", "refused"]

logger = logging.getLogger(__name__)

I = TypeVar("I")  # noqa: E741 - an id
T = TypeVar("T")

# About what was asked for: RFC 9110, section 15.5. The rest may be about how it was asked.
_ABSENT = {"404", "410"}
# As `where` has it.
_UNKNOWN = "an unknown request"


def batches(ids: Iterable[I], size: int) -> Iterator[list[I]]:
    """Lists of `size` ids each, the last of what is left, taken from `ids` one list at a time.

    >>> list(batches(range(5), 2))
    [[0, 1], [2, 3], [4]]
    """
    if size < 1:
        raise ConfigError(f"batches need a size >= 1, got {size!r}")
    left = iter(ids)
    return iter(lambda: [*islice(left, size)], [])


def refused(error: Exception) -> bool:
    """Whether an API may have raised this about one id in a batch, or about there being so many.

    True of an answer 400, 404, 410, 413, 414 or 422 (RFC 9110, section 15.5) that is no rate limit
    and nothing else that deserves another attempt.

    >>> refused(StatusError("expected success", httpx.Response(404)))
    True
    """
    return (
        isinstance(error, StatusError)
        and error.response.status_code in {400, 404, 410, 413, 414, 422}
        and verdict(error.response).outcome == "fail"
    )


def halving(
    fetch: Callable[[list[I]], AsyncIterable[httpx.Response]],
    *,
    narrow: Callable[[Exception], bool] = refused,
    found: Callable[[httpx.Response], Iterable[object]] | None = None,
    lost: MutableMapping[I, str] | None = None,
) -> Callable[[Sequence[I]], AsyncIterator[httpx.Response]]:
    """`fetch` for batches, which asks for each half of one that fails, down to single ids.

    Halved is what fails with an error that `narrow` is true of, before its first page: after that,
    rows would come twice. A single id that fails so is passed over, logged and published with its
    status. Where not one id of a batch of several passes, and not all have 404 or 410, the error of
    the batch is raised: it is about the request, not about an id. All other errors are raised.

    `found` reads the ids of a page: those asked for and in no page of their batch are logged and
    published, too, as "missing". Ids are compared as text, 7 with "7". In `lost` each id without an
    answer gets its reason ("404", "missing"); logs and events have only counts and places.

    >>> import anyio
    >>> async def users(ids):
    ...     refused = httpx.Response(404, request=httpx.Request("GET", "https://api/users"))
    ...     if 3 in ids:
    ...         raise StatusError("expected success", refused)
    ...     yield httpx.Response(200, json=[{"id": id} for id in ids if id != 5])
    >>> lost = {}
    >>> async def main():
    ...     read = halving(users, found=lambda page: [u["id"] for u in page.json()], lost=lost)
    ...     return [user["id"] async for page in read([1, 2, 3, 4, 5]) for user in page.json()]
    >>> anyio.run(main), lost
    ([1, 2, 4], {3: '404', 5: 'missing'})
    """

    async def read(ids: Sequence[I]) -> AsyncIterator[httpx.Response]:
        todo = [[*ids]] if ids else []
        first: Exception | None = None
        passed, reasons = False, set[str]()
        while todo:
            batch = todo.pop()
            place, answered = "", set[str]()
            try:
                async with closing(fetch(batch)) as pages:
                    async for page in pages:
                        place = where(page)
                        answered.update(map(str, found(page)) if found else ())
                        yield page
            except Exception as error:
                if place or not narrow(error):
                    raise
                first = first or error
                if len(batch) > 1:
                    middle = len(batch) // 2
                    todo += batch[middle:], batch[:middle]
                else:
                    place, reason = _said(error)
                    reasons.add(reason)
                    if not (todo or passed or len(ids) == 1 or reasons <= _ABSENT):
                        raise first from None
                    _miss(batch, place, reason, lost)
            else:
                passed = True
                if found:
                    missing = [each for each in batch if str(each) not in answered]
                    _miss(missing, place or _UNKNOWN, "missing", lost)

    return read


def _said(error: Exception) -> tuple[str, str]:
    response = error.response if isinstance(error, BlocksError) else None
    if response is None:
        return _UNKNOWN, type(error).__name__
    return where(response), str(response.status_code)


def _miss(ids: list[I], place: str, reason: str, lost: MutableMapping[I, str] | None) -> None:
    if ids:
        logger.warning("nothing for %d ids, %s: %s", len(ids), reason, place)
    for each in ids:
        events.publish(events.Skipped(place, reason))
        if lost is not None:
            lost[each] = reason
