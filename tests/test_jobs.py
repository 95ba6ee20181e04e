"""Jobs are created once, waited for, cancelled when left, and picked up after a kill."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Generator
from contextlib import aclosing, nullcontext, suppress
from functools import partial
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import (
    AuthError,
    BodyError,
    ConfigError,
    JobError,
    JobTimeout,
    StatusError,
)
from blocks.jobs import Codes, Job, Patience, States, run
from blocks.ledger import Ledger
from blocks.network import prefetch
from blocks.places import Header
from blocks.slots import InFlight

STATE = States("state", waiting=["queued"], done=["done"])
QUICK = Patience(least=0.001, most=0.002, total=20)
SECRET = "c4n4ry"


class Office:
    """An API with jobs: each is queued for so many polls as its request says, then done."""

    def __init__(self, most: int = 100) -> None:
        self.most = most
        self.left: dict[int, int] = {}
        self.ends: dict[int, str] = {}
        self.begun: list[Any] = []
        self.cancelled: list[int] = []
        self.peak = 0
        self.answers: dict[str, Callable[[], httpx.Response]] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        place = f"{request.method} {request.url.path}"
        if place in self.answers:
            return self.answers[place]()
        if request.method == "POST":
            return self.create(json.loads(request.content))
        number = int(request.url.path.rpartition("/")[2])
        if number not in self.ends:
            return httpx.Response(404, json={"error": "no such job"})
        if request.method == "DELETE":
            self.cancelled.append(number)
            self.ends[number] = "cancelled"
        if self.ends[number] == "done" and self.left[number] > 0:
            self.left[number] -= 1
            return httpx.Response(200, json={"state": "queued"})
        self.left[number] = 0
        return httpx.Response(200, json={"state": self.ends[number], "number": number})

    def create(self, asked: Any) -> httpx.Response:
        """A new job, unless there are too many."""
        running = sum(
            left > 0 and self.ends[number] == "done" for number, left in self.left.items()
        )
        self.peak = max(self.peak, running + 1)
        assert running < self.most
        self.begun.append(asked)
        number = len(self.begun)
        self.left[number], self.ends[number] = asked.get("polls", 1), asked.get("end", "done")
        return httpx.Response(201, json={"job": {"id": number}})

    def client(self) -> httpx.AsyncClient:
        """A client of it."""
        return httpx.AsyncClient(
            base_url="https://api.example.com", transport=httpx.MockTransport(self)
        )


def job(api: httpx.AsyncClient, status: Any = STATE, **asked: Any) -> Job:
    """A job that is asked for so."""
    return Job(
        api.build_request("POST", "/jobs", json=asked),
        id="job.id",
        poll=lambda number: api.build_request("GET", f"/jobs/{number}"),
        status=status,
        cancel=lambda number: api.build_request("DELETE", f"/jobs/{number}"),
        subject=asked,
    )


async def interrupted(office: Office, kept: dict[str, Any], *asked: dict[str, Any]) -> None:
    """A run whose rows come to nothing after the jobs are done."""
    with suppress(RuntimeError), Ledger(kept) as ledger:
        await numbers(office, *asked, ledger=ledger)
        raise RuntimeError


async def numbers(office: Office, *asked: dict[str, Any], **options: Any) -> list[int]:
    """The numbers of the jobs, in the order they are handed over."""
    options = {"patience": QUICK} | options
    async with office.client() as api:
        jobs = [job(api, **each) for each in asked]
        return [answer.json()["number"] async for _, answer in run(api, jobs, **options)]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_job_is_created_and_asked_until_it_is_done(anyio_backend: str) -> None:
    """One creation, as many questions as it takes, the last answer and the job come back."""
    office = Office()
    async with office.client() as api:
        (found,) = [each async for each in run(api, [job(api, polls=3)], patience=QUICK)]
    assert found[0].subject == {"polls": 3}
    assert found[1].json() == {"state": "done", "number": 1}
    assert (len(office.begun), office.cancelled) == (1, [])


@given(polls=st.lists(st.integers(0, 4), max_size=8), at_once=st.integers(1, 4))
def test_jobs_come_in_order_and_never_too_many(polls: list[int], at_once: int) -> None:
    """Whatever each takes: all of them, in order, `at_once` at the API at most."""
    office = Office(most=at_once)
    asked = [{"polls": count, "place": place} for place, count in enumerate(polls)]
    patience = Patience(least=1e-6, most=1e-6, total=20)

    async def main() -> list[int]:
        return await numbers(office, *asked, at_once=at_once, patience=patience)

    assert [office.begun[number - 1]["place"] for number in anyio.run(main)] == [*range(len(polls))]


@pytest.mark.anyio
async def test_a_limit_holds_for_several_runs() -> None:
    """Two runs that share an `InFlight` have as many jobs between them as it allows."""
    office, limit = Office(most=2), InFlight(2)
    asked = [{"polls": 3} for _ in range(4)]
    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(partial(numbers, office, *asked, at_once=4, limit=limit))
    assert (len(office.begun), office.peak) == (8, 2)


@pytest.mark.anyio
async def test_an_error_comes_after_the_jobs_before_it() -> None:
    """Jobs before the one that failed are handed over, those after it cancelled or not begun."""
    office = Office()
    seen = []
    asked: list[dict[str, Any]] = [{"polls": 4}, {"end": "failed"}, {"polls": 10**9}]
    asked += [{}] * 9
    async with office.client() as api:
        jobs = [job(api, **each) for each in asked]

        async def consume() -> None:
            async for each, _ in run(api, jobs, at_once=3, patience=QUICK):
                seen.append(each.subject)

        with pytest.raises(JobError, match="expected one of queued, done at 'state', got 'failed'"):
            await consume()
    assert seen == [{"polls": 4}]
    assert len(office.begun) < len(asked)
    assert 3 in office.cancelled


def endless(api: httpx.AsyncClient, **options: Any) -> Generator[Any, None, None]:
    """A first job that ends at once, a second that never does, through `prefetch`."""
    jobs = [job(api, polls=0), job(api, polls=10**9)]
    yield from prefetch(run(api, jobs, at_once=2, patience=QUICK, **options))


@pytest.mark.parametrize("reason", [GeneratorExit, KeyboardInterrupt, RuntimeError])
def test_leaving_early_cancels(reason: type[BaseException]) -> None:
    """Jobs that are not done are cancelled on `break`, Ctrl-C and errors; those done are not."""
    office = Office()

    found = endless(office.client())
    next(found)
    with pytest.raises(reason):
        found.throw(reason)
    assert office.cancelled == [2]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_closing_in_a_task_of_ones_own_cancels(anyio_backend: str) -> None:
    """Without `prefetch`, `aclosing` ends the run, and with it the jobs."""
    office = Office()
    async with office.client() as api:
        jobs = [job(api, polls=0), job(api, polls=10**9)]
        async with aclosing(run(api, jobs, at_once=2, patience=QUICK)) as found:
            await anext(found)
    assert [office.begun[number - 1] for number in office.cancelled] == [{"polls": 10**9}]


@pytest.mark.anyio
async def test_leaving_while_a_job_is_created_cancels_it() -> None:
    """The answer with the id is waited for, so that there is something to cancel."""
    office = Office()
    asked, go_on = anyio.Event(), anyio.Event()

    async def slow(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            asked.set()
            await go_on.wait()
        return office(request)

    async with httpx.AsyncClient(
        base_url="https://api.example.com", transport=httpx.MockTransport(slow)
    ) as api:

        async def consume() -> None:
            async for _ in run(api, [job(api)], patience=QUICK):
                raise AssertionError

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(consume)
            await asked.wait()
            tasks.cancel_scope.cancel()
            go_on.set()
    assert office.cancelled == [1]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "answer", [lambda: httpx.Response(500), lambda: (_ for _ in ()).throw(httpx.ConnectError("no"))]
)
async def test_a_cancellation_that_fails_hides_nothing(
    answer: Callable[[], httpx.Response], caplog: pytest.LogCaptureFixture
) -> None:
    """The error that was under way is raised; what became of the cancellation is logged."""
    caplog.set_level(logging.INFO, logger="blocks.jobs")
    office = Office()
    office.answers["DELETE /jobs/1"] = answer
    with pytest.raises(JobError, match="got 'failed'"):
        await numbers(office, {"end": "failed"})
    (record,) = caplog.records
    assert "cancelled" in record.getMessage()
    assert "POST api.example.com/jobs" in record.getMessage()


@pytest.mark.anyio
async def test_a_job_without_cancel_is_left_alone() -> None:
    """Where an API cannot cancel, nothing is sent."""
    office = Office()
    async with office.client() as api:
        full = job(api, end="failed")
        bare = Job(full.create, id=full.id, poll=full.poll, status=full.status)
        with pytest.raises(JobError):
            await anext(aiter(run(api, [bare], patience=QUICK)))
    assert office.cancelled == []


@pytest.mark.anyio
async def test_too_long_is_a_typed_error() -> None:
    """`JobTimeout` carries the last answer; the job is cancelled, and the ledger forgets it."""
    kept: dict[str, Any] = {}
    patience = Patience(least=0.001, most=0.002, total=0.1)
    for ledger in (nullcontext(), Ledger(kept)):
        office = Office()
        with (
            pytest.raises(JobTimeout, match=r"end within 0.1 s, got none.*status 200") as caught,
            ledger as book,
        ):
            await numbers(office, {"polls": 10**9}, patience=patience, ledger=book)
        assert caught.value.response is not None
        assert office.cancelled == [1]
    assert kept == {}


@pytest.mark.anyio
async def test_an_api_that_does_not_answer_runs_into_the_total() -> None:
    """The time for the answers counts, too; there is no last answer then."""
    office = Office()

    async def slow(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            await anyio.sleep_forever()
        return office(request)

    async with httpx.AsyncClient(
        base_url="https://api.example.com", transport=httpx.MockTransport(slow)
    ) as api:
        patience = Patience(least=0.001, most=0.001, total=0.05)
        with pytest.raises(JobTimeout) as caught:
            await anext(aiter(run(api, [job(api)], patience=patience)))
    assert caught.value.response is None
    assert office.cancelled == [1]


@pytest.mark.anyio
async def test_a_told_wait_beyond_the_total_is_not_begun() -> None:
    """`Retry-After: 3600` with an hour less than that to go raises at once."""
    office = Office()
    later = httpx.Response(200, json={"state": "queued"}, headers={"Retry-After": "3600"})
    office.answers["GET /jobs/1"] = lambda: later
    with pytest.raises(JobTimeout, match="got told to wait 3600 s with 20 s left"):
        await numbers(office, {})


@pytest.mark.anyio
async def test_a_told_wait_counts_before_the_own() -> None:
    """`Retry-After: 0` is asked again after `least`, however long the own pause would be."""
    office = Office()
    answers = iter([{"Retry-After": "0"}] * 5)

    def told() -> httpx.Response:
        headers = next(answers, None)
        state = "queued" if headers else "done"
        return httpx.Response(200, json={"state": state, "number": 1}, headers=headers)

    office.answers["GET /jobs/1"] = told
    with anyio.fail_after(10):
        assert await numbers(office, {}, patience=Patience(least=0.001, most=1000, total=1000)) == [
            1
        ]


@given(least=st.floats(0.1, 10), factor=st.floats(1, 100), count=st.integers(1, 20))
def test_pauses_double_between_their_bounds(least: float, factor: float, count: int) -> None:
    """The first is `least`, none is above `most`, each at most twice the one before."""
    patience = Patience(least=least, most=least * factor)
    each = patience.pauses()
    found = [next(each) for _ in range(count)]
    assert found == [min(least * 2**power, least * factor) for power in range(count)]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "kind", "match"),
    [
        (httpx.Response(500, json={}), StatusError, "expected success"),
        (httpx.Response(403, json={}), AuthError, "refusal"),
        (httpx.Response(200, json={"job": {}}), BodyError, "a job's id at 'job.id', got nothing"),
        (httpx.Response(200, json={"job": {"id": True}}), BodyError, "got bool"),
        (httpx.Response(200, json={"job": {"id": ""}}), BodyError, "got str"),
        (httpx.Response(200, html="<html>"), BodyError, "expected JSON"),
    ],
)
async def test_a_creation_that_gives_no_job(
    answer: httpx.Response, kind: type[Exception], match: str
) -> None:
    """The answer is checked like a page, and has to have an id."""
    office = Office()
    office.answers["POST /jobs"] = lambda: answer
    with pytest.raises(kind, match=match):
        await numbers(office, {})


@pytest.mark.anyio
async def test_a_location_as_id_and_codes_as_status() -> None:
    """202 with a Location that answers 202 until there is something, or 404."""
    left = [404, 202, 200]

    def api(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(202, headers={"Location": "/later/7"}, json={})
        assert request.url.path == "/later/7"
        return httpx.Response(left.pop(0), json={"rows": 3})

    async with httpx.AsyncClient(
        base_url="https://api.example.com", transport=httpx.MockTransport(api)
    ) as client:
        export = Job(
            client.build_request("POST", "/exports"),
            id=Header("Location"),
            poll=lambda location: client.build_request("GET", location),
            status=Codes([202, 404]),
        )
        ((_, answer),) = [each async for each in run(client, [export], patience=QUICK)]
    assert answer.json() == {"rows": 3}
    with pytest.raises(StatusError):
        Codes([202])(httpx.Response(404, request=httpx.Request("GET", "https://x")))


@pytest.mark.parametrize("value", ["x" * 500, 7, None, {"a": 1}])
def test_a_state_nobody_listed_is_named(value: Any) -> None:
    """Texts are quoted, a hundred characters of them; of others the kind is said."""
    with pytest.raises(JobError, match="expected one of queued, done at 'state', got") as caught:
        STATE(httpx.Response(200, json={"state": value}))
    assert len(str(caught.value)) < 220


@pytest.mark.parametrize(
    "make",
    [
        lambda: States("state", waiting="queued", done=["done"]),
        lambda: States("state", waiting=["queued"], done="done"),
        lambda: States("state", waiting=["a", "b"], done=["b"]),
        lambda: Patience(least=0),
        lambda: Patience(least=9, most=3),
        lambda: Patience(total=0),
        lambda: Ledger({}, keep=0),
        lambda: next(prefetch(run(Office().client(), [], at_once=0))),
    ],
)
def test_what_cannot_work_is_refused(make: Callable[[], object]) -> None:
    """Arguments are checked where they are given."""
    with pytest.raises(ConfigError):
        make()


def test_a_job_shows_no_query() -> None:
    """The request, whose URL may hold a key, is not in the job's repr."""
    create = httpx.Request("POST", f"https://api.example.com/jobs?key={SECRET}")
    shown = repr(Job(create, id="id", poll=lambda _: create, status=STATE))
    assert SECRET not in shown


# Picked up again


@pytest.mark.anyio
async def test_a_job_left_is_picked_up_by_the_next_run() -> None:
    """An error around the run leaves the job to the next one, which creates none and forgets it."""
    office, kept = Office(), dict[str, Any]()
    await interrupted(office, kept, {"polls": 2})
    assert len(kept) == 1
    json.dumps(kept)  # fit for any store
    with Ledger(kept) as ledger:
        assert await numbers(office, {"polls": 2}, ledger=ledger) == [1]
        assert len(kept) == 1  # until all of it was read
    assert (len(office.begun), office.cancelled, kept) == (1, [], {})
    with Ledger(kept) as ledger:
        assert await numbers(office, {"polls": 2}, ledger=ledger) == [2]


def test_a_job_left_unfinished_goes_on() -> None:
    """With a ledger, leaving early cancels nothing; the next run waits for the same job."""
    office, kept = Office(), dict[str, Any]()
    with Ledger(kept) as ledger:
        found = endless(office.client(), ledger=ledger)
        next(found)
        with pytest.raises(ZeroDivisionError):
            found.throw(ZeroDivisionError)
        jobs = len(kept)
        kept_then = dict(kept)
    assert (jobs, office.cancelled) == (2, [])
    office.left[2] = 1
    with Ledger(kept_then) as ledger:
        found = endless(office.client(), ledger=ledger)
        assert [answer.json()["number"] for _, answer in found] == [1, 2]
    assert len(office.begun) == 2


@pytest.mark.anyio
async def test_another_request_is_another_job() -> None:
    """What was asked for differently is not picked up: its rows would be other ones."""
    office, kept = Office(), dict[str, Any]()
    await interrupted(office, kept, {"day": 1})
    with Ledger(kept) as ledger:
        assert await numbers(office, {"day": 2}, {"day": 1}, ledger=ledger) == [2, 1]
    assert kept == {}


@pytest.mark.anyio
@pytest.mark.parametrize("end", ["failed", 400, 404, 410])
async def test_a_job_that_is_no_more_is_created_anew(
    end: str | int, caplog: pytest.LogCaptureFixture
) -> None:
    """Unknown, expired or failed in the meantime: another one, with a warning."""
    office, kept = Office(), dict[str, Any]()
    await interrupted(office, kept, {})
    if isinstance(end, str):
        office.ends[1] = end
    else:
        office.answers["GET /jobs/1"] = lambda: httpx.Response(end, json={})
    with Ledger(kept) as ledger:
        assert await numbers(office, {}, ledger=ledger) == [2]
    assert "no more, creating another" in caplog.text
    assert kept == {}


@pytest.mark.anyio
@pytest.mark.parametrize("status", [401, 429, 500])
async def test_a_job_that_cannot_be_asked_about_stays(status: int) -> None:
    """A refusal, a limit or a failing server says nothing of the job: no second one is created."""
    office, kept = Office(), dict[str, Any]()
    await interrupted(office, kept, {})
    office.answers["GET /jobs/1"] = lambda: httpx.Response(status, json={})
    with pytest.raises((AuthError, StatusError)), Ledger(kept) as ledger:
        await numbers(office, {}, ledger=ledger)
    assert (len(office.begun), len(kept), office.cancelled) == (1, 1, [])


@pytest.mark.anyio
async def test_a_job_picked_up_may_take_too_long() -> None:
    """The next run waits for it as long as for any; then it is cancelled, and not created again."""
    office, kept = Office(), dict[str, Any]()
    await interrupted(office, kept, {})
    office.left[1] = 10**9
    patience = Patience(least=0.001, most=0.001, total=0.05)
    with pytest.raises(JobTimeout), Ledger(kept) as ledger:
        await numbers(office, {}, ledger=ledger, patience=patience)
    assert (len(office.begun), office.cancelled, kept) == (1, [1], {})


@pytest.mark.anyio
async def test_an_id_that_may_be_a_credential_is_not_kept() -> None:
    """A URL with a query is refused, its job cancelled: such an API goes without a ledger."""
    office, kept = Office(), dict[str, Any]()
    signed = f"https://storage.example.com/7?sig={SECRET}"
    office.answers["POST /jobs"] = lambda: httpx.Response(200, json={"job": {"id": signed}})
    async with office.client() as api:
        cancelled: list[str] = []

        def cancel(number: str) -> httpx.Request:
            cancelled.append(number)
            return api.build_request("DELETE", "/jobs/0")

        full = job(api)
        export = Job(full.create, id=full.id, poll=full.poll, status=full.status, cancel=cancel)
        with (
            pytest.raises(JobError, match="id that may be kept") as caught,
            Ledger(kept) as book,
        ):
            await anext(aiter(run(api, [export], patience=QUICK, ledger=book)))
    assert (cancelled, kept) == ([signed], {})
    assert SECRET not in str(caught.value)


@pytest.mark.anyio
async def test_a_body_that_streams_cannot_be_told_from_others() -> None:
    """Whether a job is the same is a matter of its request's body, so that has to be there."""

    async def body() -> Any:
        yield b"{}"

    office = Office()
    async with office.client() as api:
        full = job(api)
        create = api.build_request("POST", "/jobs", content=body())
        export = Job(create, id=full.id, poll=full.poll, status=full.status)
        with pytest.raises(ConfigError, match="got a stream: POST"), Ledger({}) as ledger:
            await anext(aiter(run(api, [export], patience=QUICK, ledger=ledger)))
