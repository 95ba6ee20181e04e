"""Several limits as one: each holds exactly, and none makes those wait whom it does not concern."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from blocks.errors import ConfigError
from blocks.limits import Limit, Limited, Rate
from blocks.pools import Limits, Pools
from blocks.slots import InFlight
from tests.test_turns import crowded

URL = "https://api.example.com"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """trio with virtual time."""
    return "trio", {"clock": MockClock(autojump_threshold=0)}


async def passes(limit: Limit, callers: int) -> list[float]:
    """When each of `callers` who come at once passes, from their coming."""
    start, found = anyio.current_time(), list[float]()

    async def call() -> None:
        async with limit:
            found.append(round(anyio.current_time() - start, 6))

    async with anyio.create_task_group() as group:
        for _ in range(callers):
            group.start_soon(call)
    return found


def test_who_costs_more_than_a_burst_waits_for_all_of_it() -> None:
    """From when it is asked for, or from the end of a pause: nothing is earned before."""
    dear = Rate(1, burst=2, cost=lambda _: 5.0)
    both, request = Limits(dear, Rate(100, burst=10)), httpx.Request("GET", URL)
    assert both.reserve(10.0, request) == 13.0
    both.pause(40.0)
    assert both.reserve(14.0, request) == 43.0


@given(
    steps=st.lists(
        st.tuples(st.sampled_from([0.0, 0.1, 5.0]), st.sampled_from("abc"), st.floats(0, 40)),
        max_size=60,
    )
)
def test_each_window_of_each_limit_holds(steps: Sequence[tuple[float, str, float]]) -> None:
    """Limits that share a limit, each with one of its own, one of them paused now and then."""
    shared, own, other = Rate(4), Rate(1, burst=3), Rate(10, per=7, burst=2)
    both = {"a": Limits(own, shared), "b": Limits(other, shared)}
    turns: dict[str, list[float]] = {"a": [], "b": []}
    now = 100.0
    for step, who, pause in steps:
        now += step
        if who == "c":
            own.pause(now + pause)
        else:
            turns[who].append(both[who].reserve(now))
            assert turns[who][-1] >= now
    for passed, pace, burst in (
        (turns["a"], 1.0, 3),
        (turns["b"], 10 / 7, 2),
        (turns["a"] + turns["b"], 4.0, 1),
    ):
        assert crowded([(at, 1.0) for at in passed], pace, burst) == []


def test_a_full_queue_at_one_pool_does_not_hold_another() -> None:
    """600 callers of a slow pool leave the turns between theirs to everybody else."""
    shared, slow = Rate(10), Rate(1)
    for_slow, for_all = Limits(slow, shared), Limits(shared)
    claimed = [for_slow.reserve(now=100.0) for _ in range(600)]
    assert claimed == pytest.approx([100.0 + number for number in range(600)])
    slow.pause(5000.0)
    assert for_slow.reserve(now=100.0) == 5000.0
    others = [for_all.reserve(now=100.0) for _ in range(90)]
    assert max(others) <= 100 + 90 / 9 + 0.2
    assert crowded([(at, 1.0) for at in claimed + others], 10.0, 1) == []


@pytest.mark.anyio
async def test_two_windows_at_once() -> None:
    """10 a second until those of the minute are used up."""
    clock = anyio.current_time
    limit = Limits(Rate(10, clock=clock), Rate(30, per=60, burst=20, clock=clock))
    found = await passes(limit, 23)
    assert found[:20] == pytest.approx([number / 10 for number in range(20)])
    # Those of the minute come back one in two seconds, from the first call on.
    assert found[20:] == pytest.approx([2, 4, 6], abs=1e-3)


@pytest.mark.anyio
async def test_a_pause_of_one_holds_them_all_and_no_window_is_crowded_after() -> None:
    """What waited for the slow window does not pour through the fast one when it opens."""
    clock = anyio.current_time
    fast, slow = Rate(10, clock=clock), Rate(1000, per=3600, burst=1000, clock=clock)
    slow.pause(clock() + 50)
    found = await passes(Limits(fast, slow), 30)
    assert min(found) == pytest.approx(50)
    assert crowded([(at, 1.0) for at in found], 10.0, 1) == []
    assert max(found) <= 50 + 3.1


@pytest.mark.anyio
async def test_what_is_in_flight_is_taken_first() -> None:
    """However they are listed: a turn in time would be stale after waiting for a place."""
    clock = anyio.current_time
    rate, flight = Rate(10, clock=clock), InFlight(2, clock=clock)
    limit, begun = Limits(rate, flight), list[float]()

    async def call() -> None:
        async with limit:
            begun.append(round(anyio.current_time() - start, 6))
            await anyio.sleep(1)

    start = anyio.current_time()
    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(call)
    assert begun == pytest.approx([0.0, 0.1, 1.0, 1.1, 2.0, 2.1])
    assert limit.statistics().calls == 6
    assert limit.statistics().rate == 10
    assert limit.statistics().waited == pytest.approx(0.1 + 1.0 + 1.1 + 2.0 + 2.1)


def test_threads_share_it() -> None:
    """64 threads reserving in two limits at once get what one would."""
    fast, slow = Rate(1000), Rate(2000, per=3, burst=50)
    limit, turns = Limits(fast, slow), list[float]()

    def reserve() -> None:
        turns.extend([limit.reserve(time.monotonic()) for _ in range(20)])

    threads = [threading.Thread(target=reserve) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(turns) == 64 * 20
    assert crowded([(at, 1.0) for at in turns], 1000, 1) == []
    assert crowded([(at, 1.0) for at in turns], 2000 / 3, 50) == []


def test_a_pause_of_all_is_one_of_the_first() -> None:
    """Whom the others are shared with goes on."""
    own, shared = Rate(1), Rate(1)
    Limits(own, shared).pause(100.0)
    assert (own.reserve(50.0), shared.reserve(50.0)) == (100.0, 50.0)


def test_a_part_listed_twice_counts_once() -> None:
    """Limits of limits that share one do not make a call pay it twice."""
    shared = Rate(1)
    limit = Limits(Limits(Rate(100), shared), Limits(Rate(200), shared))
    assert limit.reserve(now=10.0) == 10.0
    assert limit.reserve(now=10.0) == pytest.approx(11.0)


@pytest.mark.anyio
async def test_statistics_are_of_the_busiest_and_the_slowest() -> None:
    """The most calls that one of them had, others' included, and the rate that binds."""
    clock = anyio.current_time
    own, shared = Rate(7, clock=clock), Rate(3, clock=clock)
    for limit in (Limits(own, shared), shared):
        async with limit:
            pass
    assert (own.statistics().calls, shared.statistics().calls) == (1, 2)
    for both in (Limits(own, shared), Limits(shared, own)):
        assert (both.statistics().calls, both.statistics().rate) == (2, 3)


def test_pools_among_limits_are_asked_for_each_request() -> None:
    """One that depends on the request does so within others, too."""
    shared = Rate(9)
    limit = Limits(POOLS, shared)
    assert limit.parts(request("GET", "/search/code")) == (CODE, shared)
    assert limit.parts(request("GET", "/search/issues")) == (SEARCH, shared)
    assert limit.parts() == (REST, shared)


def test_limits_that_cannot_be_are_refused() -> None:
    """None at all, or on several clocks."""
    with pytest.raises(ConfigError, match="needs limits, got none"):
        Limits()
    with pytest.raises(ConfigError, match="one clock, got several"):
        Limits(Rate(1), Rate(1, clock=time.perf_counter))


def request(method: str, path: str) -> httpx.Request:
    """A request there, with a query that is nobody's business."""
    return httpx.Request(method, f"{URL}{path}?q=/search/")


SEARCH, CODE, WRITE, REST = Rate(30, per=60), Rate(10, per=60), Rate(1), Rate(5000, per=3600)
POOLS = Pools({"GET /search/code": CODE, "GET /search/*": SEARCH, "P* *": WRITE}, default=REST)


@pytest.mark.parametrize(
    ("method", "path", "limit"),
    [
        ("GET", "/search/code", CODE),
        ("GET", "/search/issues", SEARCH),
        ("GET", "/search/", SEARCH),
        ("POST", "/search/code", WRITE),
        ("PATCH", "/repos", WRITE),
        ("GET", "/", REST),
        ("GET", "/repos/search/code", REST),
        ("GET", "/search%2Fcode", REST),
        ("DELETE", "/search/code", REST),
    ],
)
def test_a_request_goes_to_its_pool(method: str, path: str, limit: Rate) -> None:
    """By method and path, the first that fits, else the default."""
    assert POOLS.of(request(method, path)) is limit
    assert POOLS.parts(request(method, path)) == (limit,)


def test_without_a_request_it_is_the_default() -> None:
    """As in `async with`."""
    assert POOLS.parts() == (REST,)


@pytest.mark.anyio
async def test_a_refusal_pauses_its_pool_only() -> None:
    """What others may still ask for they get; what all share goes on."""
    clock = anyio.current_time
    shared, search = Rate(1000, clock=clock), Rate(1000, clock=clock)
    pools = Pools({"GET /search*": Limits(search, shared)}, default=shared)

    def api(asked: httpx.Request) -> httpx.Response:
        refused = asked.url.path == "/search"
        return httpx.Response(429 if refused else 200, headers={"Retry-After": "30"})

    start = anyio.current_time()
    async with httpx.AsyncClient(transport=Limited(httpx.MockTransport(api), pools)) as client:
        await client.get(f"{URL}/search")
        await client.get(f"{URL}/repos")
        assert anyio.current_time() - start == pytest.approx(0, abs=0.01)
        await client.get(f"{URL}/search")
    assert anyio.current_time() - start == pytest.approx(30, abs=0.01)
    assert (search.statistics().pauses, shared.statistics().pauses) == (2, 0)
    assert pools.statistics().calls == 3 + 3  # by pool, so those shared count twice
    assert pools.statistics().rate == 2000


@pytest.mark.parametrize("route", ["", "/items", "get /items", "GET items", "GET  /a", "GET /a b"])
def test_a_route_that_cannot_fit_is_refused(route: str) -> None:
    """Said at construction."""
    with pytest.raises(ConfigError, match="a route is a method and a path"):
        Pools({route: REST}, default=REST)


def test_repr_is_the_expression() -> None:
    """What is printed can be pasted."""
    assert repr(Limits(Rate(1), InFlight(2))) == "Limits(Rate(1, per=1.0, burst=1), InFlight(2))"
    expected = "Pools({'* /a': Rate(1, per=1.0, burst=1)}, default=InFlight(2))"
    assert repr(Pools({"* /a": Rate(1)}, default=InFlight(2))) == expected
