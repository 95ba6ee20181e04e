"""Jobs: work that an API does in its own time, from its creation to its end.

A `Job` says how one is created, asked about and cancelled, in plain functions of its id; `States`
and `Codes` read from an answer whether it is done. `run` waits. What a finished job made is fetched
with `blocks.fetch.pages`, or with `blocks.downloads` where it made files.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import anyio
import httpx

from blocks.errors import BodyError, ConfigError, JobError, JobTimeout, StatusError, where
from blocks.fetch import check
from blocks.headers import retry_after
from blocks.ledger import Ledger, fingerprint
from blocks.places import Source, kind, read

__all__ = ["Codes", "Job", "Patience", "States", "run"]

logger = logging.getLogger(__name__)

# Seconds for a cancellation to be answered: less than `prefetch` waits for a clean-up.
_FAREWELL = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One job: the request that creates it, and what follows from its id.

    The answer to `create` has the id, a text or an integer, at `id`. `poll` makes of it the request
    that asks how it is; `status` reads the answer: true when the job is done, false while it is not
    (yet), an error (`JobError`) when it never will be. `cancel` makes the request that ends it.
    `subject` is for you: the window or the account that it is about.

    >>> api = httpx.AsyncClient(base_url="https://api.example.com")
    >>> job = Job(
    ...     api.build_request("POST", "/exports", json={"day": "2024-05-01"}),
    ...     id="export.id",
    ...     poll=lambda id: api.build_request("GET", f"/exports/{id}"),
    ...     status=States("state", waiting=["queued", "running"], done=["done"]),
    ...     cancel=lambda id: api.build_request("DELETE", f"/exports/{id}"),
    ... )
    """

    create: httpx.Request = field(repr=False)
    id: Source
    poll: Callable[[Any], httpx.Request]
    status: Callable[[httpx.Response], bool]
    cancel: Callable[[Any], httpx.Request] | None = None
    subject: Any = None


@dataclass(frozen=True, slots=True)
class States:
    """A status by the text at `place`: not yet for those in `waiting`, the end for those in `done`.

    Any other is an error that names it: failed, expired, or unknown to whoever listed them.

    >>> state = States("status", waiting=["pending"], done=["succeeded"])
    >>> state(httpx.Response(200, json={"status": "pending"}))
    False
    >>> state(httpx.Response(200, json={"status": "failed"}))
    Traceback (most recent call last):
    blocks.errors.JobError: expected one of pending, succeeded at 'status', got 'failed' \
(an unknown request, status 200)
    """

    place: Source
    waiting: Collection[str]
    done: Collection[str]

    def __post_init__(self) -> None:
        for name, states in (("waiting", self.waiting), ("done", self.done)):
            # Of a text "in" would find every part.
            if isinstance(states, str):
                raise ConfigError(f"{name}: expected a collection of texts, got one text")
        if both := sorted({*self.waiting} & {*self.done}):
            raise ConfigError(f"expected states for waiting or done, got {both[0]!r} for both")

    def __call__(self, response: httpx.Response) -> bool:
        """Whether the job is done."""
        check(response)
        value = read(response, self.place)
        if isinstance(value, str) and (value in self.done or value in self.waiting):
            return value in self.done
        known = ", ".join([*self.waiting, *self.done])
        got = repr(value[:100]) if isinstance(value, str) else kind(value)
        raise JobError(f"expected one of {known} at {self.place!r}, got {got}", response)


@dataclass(frozen=True, slots=True)
class Codes:
    """A status by HTTP status: not yet for those in `waiting` (202, 404), the end at a success.

    >>> Codes([202])(httpx.Response(202))
    False
    """

    waiting: Collection[int]

    def __call__(self, response: httpx.Response) -> bool:
        """Whether the job is done."""
        if response.status_code in self.waiting:
            return False
        check(response)
        return True


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a job, in seconds.

    Between two questions `least` at first, then twice as long each time up to `most`, or what
    `Retry-After` says (not less than `least`). For its end `total` in all.

    >>> pauses = Patience(least=5, most=30).pauses()
    >>> [next(pauses) for _ in range(5)]
    [5, 10, 20, 30, 30]
    """

    least: float = 2.0
    most: float = 60.0
    total: float = 3600.0

    def __post_init__(self) -> None:
        if not (0 < self.least <= self.most and self.total > 0):
            raise ConfigError(f"patience needs 0 < least <= most and total > 0, got {self}")

    def pauses(self) -> Iterator[float]:
        """The seconds before each question, without end."""
        pause = self.least
        while True:
            yield pause
            pause = min(2 * pause, self.most)


async def run(
    client: httpx.AsyncClient,
    jobs: Iterable[Job],
    *,
    at_once: int = 1,
    limit: AbstractAsyncContextManager[Any] | None = None,
    ledger: Ledger | None = None,
    patience: Patience | None = None,
) -> AsyncGenerator[tuple[Job, httpx.Response], None]:
    """Each of `jobs` with the answer that said it is done, in order, up to `at_once` at a time.

    `limit`, such as one `blocks.slots.InFlight` given to several runs, is held by each job from its
    creation to its end: for APIs that allow so many of them. As many jobs again as `at_once` may
    have ended and wait for those before them. After an error no more are created; it is raised
    after the jobs before it: `JobTimeout` when `patience` ends, else what `status` or `check` say.

    When it is left before its end (an error, `break`, Ctrl-C), jobs not yet done are cancelled.
    With a `ledger` they are not, but picked up by the next run that asks for the same: the same
    method, URL and body to create it. One that is no more there, or came to a bad end, is created
    anew. A job that failed or took too long is cancelled and forgotten in either case.

    It holds a task group across its yields: run it under `blocks.network.prefetch`, or in one task
    that closes it (`contextlib.aclosing`).
    """
    if at_once < 1:
        raise ConfigError(f"run needs at_once >= 1, got {at_once!r}")
    runner = _Runner(client, limit or nullcontext(), ledger, patience or Patience())
    places = anyio.Semaphore(at_once)
    turns: deque[_Turn] = deque()
    left, begun = iter(jobs), 0
    reason: BaseException | None = None
    async with anyio.create_task_group() as tasks:
        try:
            while True:
                while len(turns) < 2 * at_once and (job := next(left, None)) is not None:
                    begun += 1
                    turns.append(_Turn(begun, job, JobError("not begun")))
                    tasks.start_soon(runner.take, turns[-1], places)
                if not turns:
                    break
                turn = turns.popleft()
                yield turn.job, await turn.end()
        except (Exception, GeneratorExit) as caught:  # noqa: BLE001 - raised below
            # Out of the task group as it is, not as a group of one.
            reason = caught
            tasks.cancel_scope.cancel()
    if reason is not None:
        raise reason


@dataclass(slots=True, eq=False)
class _Turn:
    """A job, and how it ended once it has."""

    number: int
    job: Job
    found: httpx.Response | Exception
    ended: anyio.Event = field(default_factory=anyio.Event)

    async def end(self) -> httpx.Response:
        await self.ended.wait()
        if isinstance(self.found, httpx.Response):
            return self.found
        raise self.found


@dataclass(slots=True, eq=False)
class _Runner:
    client: httpx.AsyncClient
    limit: AbstractAsyncContextManager[Any]
    ledger: Ledger | None
    patience: Patience
    broken: int | None = None

    async def take(self, turn: _Turn, places: anyio.Semaphore) -> None:
        async with places:
            # An error ends all jobs after its own; those before it, begun or not, go on.
            if self.broken is None or turn.number < self.broken:
                try:
                    async with self.limit:
                        turn.found = await self._end(turn.job)
                except Exception as error:  # noqa: BLE001 - raised in its turn
                    turn.found, self.broken = error, turn.number
        turn.ended.set()

    async def _end(self, job: Job) -> httpx.Response:
        name = "" if self.ledger is None else fingerprint(job.create)
        if self.ledger is not None and (found := self.ledger.find(name)) is not None:
            logger.info("picking up the job of an earlier run: %s", where(job.create))
            try:
                return await self._wait(job, found, name, 0.0)
            except (JobError, StatusError) as error:
                if not _is_gone(error):
                    raise
                logger.warning("the job of an earlier run is no more, creating another: %s", error)
        # Not to be left before the answer is there: without the id nobody could cancel it.
        with anyio.CancelScope(shield=True):
            created = await self.client.send(job.create)
            check(created)
            job_id = read(created, job.id)
            if not isinstance(job_id, str | int) or isinstance(job_id, bool) or job_id == "":
                raise BodyError(f"expected a job's id at {job.id!r}, got {kind(job_id)}", created)
        told = retry_after(created, datetime.now(UTC)) or 0.0
        return await self._wait(job, job_id, name, max(told, self.patience.least), new=True)

    async def _wait(
        self, job: Job, job_id: str | int, name: str, pause: float, *, new: bool = False
    ) -> httpx.Response:
        try:
            if new and self.ledger is not None:
                self.ledger.add(name, job_id)
            return await self._done(job, job_id, pause)
        except BaseException as error:
            if self.ledger is not None:
                if not isinstance(error, JobError):
                    logger.info("job left to the next run: %s", where(job.create))
                    raise
                self.ledger.drop(name)
            await self._cancel(job, job_id)
            raise

    async def _done(self, job: Job, job_id: str | int, pause: float) -> httpx.Response:
        response = None
        total, pauses = self.patience.total, self.patience.pauses()
        with anyio.move_on_after(total) as scope:
            while True:
                await anyio.sleep(pause)
                response = await self.client.send(job.poll(job_id))
                if job.status(response):
                    return response
                told = retry_after(response, datetime.now(UTC))
                pause = next(pauses) if told is None else max(told, self.patience.least)
                left = scope.deadline - anyio.current_time()
                if told is not None and told > left:
                    got = f"got told to wait {told:g} s with {left:.0f} s left"
                    raise JobTimeout(f"expected the job's end within {total:g} s, {got}", response)
        raise JobTimeout(f"expected the job's end within {total:g} s, got none", response)

    async def _cancel(self, job: Job, job_id: str | int) -> None:
        if job.cancel is None:
            return
        with anyio.move_on_after(_FAREWELL, shield=True):
            try:
                answer = await self.client.send(job.cancel(job_id))
                logger.info("job cancelled, answered %d: %s", answer.status_code, where(job.create))
            except Exception as error:  # noqa: BLE001 - another error is under way
                logger.warning("job not cancelled, %r: %s", error, where(job.create))


def _is_gone(error: JobError | StatusError) -> bool:
    if isinstance(error, JobError):
        return not isinstance(error, JobTimeout)
    # Any refusal of the id: Facebook says 400 of one that it does not know.
    return error.response.is_client_error and error.response.status_code not in {408, 429}
