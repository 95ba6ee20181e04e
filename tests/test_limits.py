"""No more calls than agreed, whoever makes them; and everybody gets a turn."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from blocks import events
from blocks.errors import ConfigError
from blocks.limits import Limited, Rate
from blocks.outcomes import Verdict, mark, verdict
from blocks.quotas import XRateLimit

URL = "https://api.example.com/items?key=secret"


@pytest.fixture
def clock() -> MockClock:
    """Virtual time: it jumps to the next waking when nobody has anything to do."""
    return MockClock(autojump_threshold=0)


@pytest.fixture
def anyio_backend(clock: MockClock) -> tuple[str, dict[str, object]]:
    """trio, as it takes a clock."""
    return "trio", {"clock": clock}


def crowded(turns: Sequence[float], count: int, per: float, burst: int) -> list[tuple[float, ...]]:
    """Stretches of time that hold more turns than a Rate promises; pairs are enough to find one."""
    turns = sorted(turns)
    return [
        (turns[i], turns[j])
        for i, j in itertools.combinations(range(len(turns)), 2)
        if j - i + 1 > burst + (turns[j] - turns[i]) * count / per + 1e-6
    ]


@given(
    count=st.integers(1, 50),
    per=st.sampled_from([0.5, 1.0, 60.0]),
    burst=st.integers(1, 5),
    steps=st.lists(st.tuples(st.sampled_from("rrrrp"), st.floats(0, 30)), max_size=60),
)
def test_no_stretch_of_time_holds_too_many_turns(
    count: int, per: float, burst: int, steps: list[tuple[str, float]]
) -> None:
    """At most burst + t * count / per turns in t seconds, in whatever order clocks are read."""
    rate = Rate(count, per, burst)
    turns, paused = [], 0.0
    for step, moment in steps:
        if step == "p":
            rate.pause(moment)
            paused = max(paused, moment)
        else:
            turns.append(rate.reserve(moment))
            assert turns[-1] >= max(moment, paused)
    assert crowded(turns, count, per, burst) == []


@given(count=st.integers(1, 50), burst=st.integers(1, 5), callers=st.integers(1, 100))
def test_nobody_waits_longer_than_the_rate_demands(count: int, burst: int, callers: int) -> None:
    """Of callers who come together, number n waits for the n - burst before it."""
    rate = Rate(count, burst=burst)
    turns = [rate.reserve(100.0) for _ in range(callers)]
    expected = [100.0 + max(0, n - burst + 1) / count for n in range(callers)]
    assert turns == pytest.approx(expected)


def test_threads_together_get_no_more() -> None:
    """Eight threads reserving as fast as they can get the turns one would."""
    rate, turns = Rate(1000, burst=3), list[float]()

    def reserve() -> None:
        turns.extend([rate.reserve(time.monotonic()) for _ in range(200)])

    threads = [threading.Thread(target=reserve) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(turns) == 1600
    assert crowded(turns, 1000, 1.0, 3) == []


def test_loops_in_several_threads_share_it() -> None:
    """One Rate holds over event loops: two loops with 10 calls each take 19 intervals at least."""
    rate, began = Rate(100), time.monotonic()

    async def call() -> None:
        async with rate:
            pass

    async def calls() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(call)

    threads = [threading.Thread(target=anyio.run, args=[calls]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began >= 0.19
    assert rate.statistics().calls == 20


async def enter(rate: Rate, passed: list[float], callers: int = 1) -> None:
    """`callers` tasks pass `rate`; the times at which they did are added to `passed`."""

    async def call() -> None:
        async with rate:
            passed.append(anyio.current_time())

    async with anyio.create_task_group() as group:
        for _ in range(callers):
            group.start_soon(call)


def spaces(passed: list[float]) -> list[float]:
    """The times between neighbours."""
    return [later - earlier for earlier, later in itertools.pairwise(passed)]


@pytest.mark.anyio
async def test_entering_waits_for_a_turn() -> None:
    """Tasks pass one interval apart, and the waits are counted."""
    rate, passed = Rate(2, clock=anyio.current_time), list[float]()
    await enter(rate, passed, callers=4)
    assert spaces(passed) == pytest.approx([0.5, 0.5, 0.5])
    statistics = rate.statistics()
    assert (statistics.calls, statistics.pauses) == (4, 0)
    assert statistics.waited == pytest.approx(0.5 + 1.0 + 1.5)


@pytest.mark.anyio
async def test_a_pause_holds_those_already_waiting() -> None:
    """Nobody passes before its end, and afterwards the pace is that of the rate, no burst."""
    rate, passed = Rate(10, burst=3, clock=anyio.current_time), list[float]()
    start = anyio.current_time()
    async with anyio.create_task_group() as group:
        group.start_soon(enter, rate, passed, 20)
        await anyio.sleep(0.25)
        rate.pause(start + 10)
        rate.pause(start + 5)  # a shorter one changes nothing
    before = [moment - start for moment in passed if moment - start < 10]
    assert before == pytest.approx([0.0, 0.0, 0.0, 0.1, 0.2])
    assert len(passed) == 20
    assert crowded(passed, 10, 1.0, 3) == []
    assert max(passed) <= start + 10 + 2
    assert rate.statistics().pauses == 1


@pytest.mark.anyio
async def test_turns_given_after_the_end_of_a_pause_stay() -> None:
    """A pause costs its own time, not the turns that were later anyway."""
    rate, passed = Rate(1, clock=anyio.current_time), list[float]()
    start = anyio.current_time()
    async with anyio.create_task_group() as group:
        group.start_soon(enter, rate, passed, 6)
        await anyio.sleep(0.5)
        rate.pause(start + 2.5)
    assert [moment - start for moment in passed] == pytest.approx([0, 3, 4, 5, 6, 7])


@pytest.mark.anyio
async def test_a_cancelled_turn_goes_to_the_next() -> None:
    """A thousand who gave up do not keep one who comes later waiting."""
    rate, passed = Rate(1, clock=anyio.current_time), list[float]()
    start = anyio.current_time()
    with anyio.move_on_after(2.5):
        await enter(rate, passed, callers=1000)
    await enter(rate, passed, callers=3)
    assert [moment - start for moment in passed] == pytest.approx([0, 1, 2, 3, 4, 5])


@pytest.mark.anyio
async def test_turns_gone_by_are_not_used_later() -> None:
    """A turn given back too late for anyone is lost: used later it would crowd the present."""
    rate, passed = Rate(1, clock=anyio.current_time), list[float]()
    with anyio.move_on_after(0.5):
        await enter(rate, passed, callers=4)
    await anyio.sleep(10)
    await enter(rate, passed, callers=3)
    assert crowded(passed, 1, 1.0, 1) == []


@pytest.mark.anyio
async def test_a_stall_is_not_made_up_for(clock: MockClock) -> None:
    """After a sleep of the machine turns missed are claimed anew instead of all used at once."""
    rate, passed = Rate(10, clock=anyio.current_time), list[float]()
    async with anyio.create_task_group() as group:
        group.start_soon(enter, rate, passed, 20)
        await anyio.sleep(0.45)
        clock.jump(60)
    assert len(passed) == 20
    assert max(spaces(passed)) > 60
    # One turn may be up to its tolerance late, the rest is spaced as ever.
    assert min(spaces(passed)) >= 0.05


@pytest.mark.anyio
async def test_calls_cost_what_their_requests_say() -> None:
    """A write that counts five takes the turns of five reads; a usual one counts one."""

    def points(request: httpx.Request) -> float:
        return 5 if request.method == "POST" else 1

    rate, moments = Rate(10, burst=5, cost=points, clock=anyio.current_time), list[float]()
    start = anyio.current_time()

    def api(request: httpx.Request) -> httpx.Response:
        moments.append(anyio.current_time() - start)
        return httpx.Response(200)

    async with limited(api, rate) as client:
        for method in ("POST", "POST", "GET", "GET", "POST"):
            await client.request(method, URL)
    assert moments == pytest.approx([0, 0.5, 0.6, 0.7, 1.2])
    assert repr(rate) == "Rate(10, per=1.0, burst=5, cost=points)"
    assert rate.statistics().rate == 10


@pytest.mark.anyio
async def test_a_long_wait_is_said_once_with_its_reason_and_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Over ten seconds, by one of all who wait for the same; events tell of every wait."""
    caplog.set_level("INFO", "blocks")
    rate, seen = Rate(1, clock=anyio.current_time), list[events.Event]()
    stop = events.listen(seen.append)
    rate.pause(anyio.current_time() + 60, "GET api.example.com/items answered 429")
    await enter(rate, [], callers=3)
    rate.pause(anyio.current_time() + 5)
    await enter(rate, [])
    with anyio.move_on_after(14.5):
        await enter(rate, [], callers=30)
    stop()
    shown, told = "Rate(1, per=1.0, burst=1)", "GET api.example.com/items answered 429"
    assert caplog.messages == [
        f"waiting 60 s for {shown}: {told}",
        f"waited 60 s for {shown}: {told}",
        f"waiting 11 s for {shown}: its pace",
        f"waited 11 s for {shown}: its pace",
    ]
    found = [(round(event.seconds), event.reason) for event in seen]  # type: ignore[union-attr]
    assert found[:4] == [(60, told), (61, told), (62, told), (5, "a pause")]
    # A turn each second, and then those whose patience ended.
    assert sorted(seconds for seconds, _ in found[4:]) == [*range(1, 15), *[14] * 16]
    assert {reason for _, reason in found[4:]} == {"its pace"}


@pytest.mark.parametrize(
    ("count", "per", "burst"),
    [(0, 1.0, 1), (-1, 1.0, 1), (1, 0.0, 1), (1, -1.0, 1), (1, float("inf"), 1), (1, 1.0, 0)],
)
def test_a_rate_that_cannot_be_is_refused(count: int, per: float, burst: int) -> None:
    """Said at construction, with what was got."""
    with pytest.raises(ConfigError, match=f"got count={count}, per={per}, burst={burst}"):
        Rate(count, per, burst)


def test_repr_is_the_expression() -> None:
    """What is printed can be pasted."""
    assert repr(Rate(5000, per=3600)) == "Rate(5000, per=3600, burst=1)"
    transport = httpx.MockTransport(lambda _: httpx.Response(200))
    assert repr(Limited(transport, Rate(1))).endswith(", Rate(1, per=1.0, burst=1))")


Handler = Callable[[httpx.Request], httpx.Response]


def limited(handler: Handler, rate: Rate) -> httpx.AsyncClient:
    """A client of a limited API played by `handler`."""
    return httpx.AsyncClient(transport=Limited(httpx.MockTransport(handler), rate))


@pytest.mark.anyio
@pytest.mark.parametrize("status", [403, 429, 503])
async def test_a_told_wait_pauses_everybody(status: int) -> None:
    """Whoever shares the limit waits for what one was told; the answer comes back as it is."""
    told = httpx.Response(status, headers={"Retry-After": "20"})
    rate = Rate(1000, clock=anyio.current_time)
    start = anyio.current_time()
    async with limited(lambda _: told, rate) as one, limited(lambda _: told, rate) as other:
        assert (await one.get(URL)).status_code == status
        assert anyio.current_time() - start == pytest.approx(0, abs=0.01)
        await other.get(URL)
    assert anyio.current_time() - start == pytest.approx(20, abs=0.01)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(503),
        httpx.Response(403),
        httpx.Response(200, headers={"Retry-After": "20"}),
        httpx.Response(429, headers={"Retry-After": "3601"}),
        httpx.Response(429, headers={"Retry-After": "9" * 400}),
    ],
)
async def test_other_answers_pause_nobody(response: httpx.Response) -> None:
    """No wait told, no limit meant, or too long for anyone to wait in silence."""
    rate = Rate(1000, clock=anyio.current_time)
    async with limited(lambda _: response, rate) as api:
        await api.get(URL)
    assert rate.statistics().pauses == 0


def quota(left: int, reset: int | None = 30) -> dict[str, str]:
    """Headers that say so."""
    headers = {"X-RateLimit-Remaining": str(left)}
    return headers if reset is None else headers | {"X-RateLimit-Reset": str(reset)}


def dialect(**options: Any) -> Rate:
    """A rate that reads such headers."""
    reader = XRateLimit("seconds")
    return Rate(1000, quotas=reader, clock=anyio.current_time, **options)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        (quota(1), 0),
        (quota(0), 30),
        (quota(0, reset=None), 0),
        (quota(0, reset=4000), 0),
        (quota(0) | {"Retry-After": "7"}, 0),
        ({}, 0),
    ],
)
async def test_a_quota_used_up_pauses_before_a_refusal(
    headers: dict[str, str], wait: float
) -> None:
    """A success that says it was the last one is believed; a wait told outright counts more."""
    rate, start = dialect(), anyio.current_time()
    async with limited(lambda _: httpx.Response(200, headers=headers), rate) as api:
        await api.get(URL)
        await api.get(URL)
    assert anyio.current_time() - start == pytest.approx(wait, abs=0.01)


@pytest.mark.anyio
async def test_an_error_with_nothing_left_is_a_refusal() -> None:
    """GitHub's primary limit: 403, remaining 0, no Retry-After; not a matter of credentials."""
    rate = dialect()
    async with limited(lambda _: httpx.Response(403, headers=quota(0)), rate) as api:
        found = verdict(await api.get(URL))
    assert found == Verdict("limited", "0 left", wait=30.0)
    async with limited(lambda _: httpx.Response(403, headers=quota(5)), dialect()) as api:
        assert verdict(await api.get(URL)).outcome == "fail"


@pytest.mark.anyio
async def test_nothing_left_and_no_time_told_is_a_blind_wait() -> None:
    """A day's use that is used up: a second, then two, as for any refusal."""
    rate = dialect()
    async with limited(lambda _: httpx.Response(403, headers=quota(0, None)), rate) as api:
        start = anyio.current_time()
        found = [verdict(await api.get(URL)) for _ in range(3)]
    assert found == [Verdict("limited", "0 left")] * 3
    assert anyio.current_time() - start == pytest.approx(1 + 2, abs=0.01)


@pytest.mark.anyio
async def test_a_rule_below_decides() -> None:
    """What was marked "limited" pauses, whatever its status; other marks are left alone."""

    async def ask(mark_as: Verdict, headers: dict[str, str]) -> tuple[int, Verdict]:
        def api(request: httpx.Request) -> httpx.Response:
            answer = httpx.Response(404, headers=headers)
            mark(answer, mark_as)
            return answer

        rate = dialect()
        async with limited(api, rate) as client:
            found = verdict(await client.get(URL))
        return rate.statistics().pauses, found

    throttled, skipped = Verdict("limited", "a rule"), Verdict("skip", "a rule")
    assert await ask(throttled, {}) == (1, throttled)
    assert await ask(skipped, {}) == (0, skipped)
    assert await ask(skipped, quota(0)) == (1, skipped)


@pytest.mark.anyio
async def test_untold_waits_double_until_an_answer() -> None:
    """1, 2, 4 ... 64 s while 429 follows 429; an answer that is none starts over."""
    moments, refused = list[float](), 9

    def api(request: httpx.Request) -> httpx.Response:
        moments.append(anyio.current_time())
        return httpx.Response(200 if len(moments) == refused + 1 else 429)

    async with limited(api, Rate(1000, clock=anyio.current_time)) as client:
        for _ in range(refused + 3):
            await client.get(URL)
    gaps = [round(gap) for gap in spaces(moments)]
    assert gaps == [1, 2, 4, 8, 16, 32, 64, 64, 64, 0, 1]


@pytest.mark.anyio
async def test_a_volley_of_refusals_is_one_step() -> None:
    """Ten requests in flight, all refused at once, double nothing and shorten nothing."""
    rate = Rate(1000, burst=10, clock=anyio.current_time)
    start = anyio.current_time()

    async def api(request: httpx.Request) -> httpx.Response:
        fine = request.url.path == "/fine"
        await anyio.sleep(0.6 if fine else 0.5)  # the answer travels
        return httpx.Response(200 if fine else 429)

    async with httpx.AsyncClient(transport=Limited(httpx.MockTransport(api), rate)) as client:
        async with anyio.create_task_group() as group:
            for path in ["/items"] * 9 + ["/fine"]:
                group.start_soon(client.get, f"https://api.example.com{path}")
        assert rate.statistics().pauses == 1
        await client.get(URL)
        assert anyio.current_time() - start == pytest.approx(0.5 + 1 + 0.5, abs=0.05)
        await client.get(URL)
    assert anyio.current_time() - start == pytest.approx(2 + 2 + 0.5, abs=0.05)


@pytest.mark.anyio
async def test_a_pause_is_logged_without_the_query(caplog: pytest.LogCaptureFixture) -> None:
    """The log says how long and where, and nothing secret."""
    caplog.set_level("INFO", "blocks")
    async with limited(lambda _: httpx.Response(429), Rate(9, clock=anyio.current_time)) as api:
        await api.get(URL)
    assert caplog.messages == ["pausing 1 s: GET api.example.com/items answered 429"]


def test_a_forked_child_can_go_on() -> None:
    """Whoever held the arithmetic's lock when the process forked."""
    code = """
import os, threading, time
from blocks.limits import Rate

rate = Rate(10**9)

def hammer():
    while True:
        rate.reserve(time.monotonic())

threading.Thread(target=hammer, daemon=True).start()
for _ in range(30):
    child = os.fork()
    if child == 0:
        rate.reserve(time.monotonic())
        Rate(5).reserve(0.0)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""
    # Coverage has a lock of its own, which a forked child may find held.
    env = {name: text for name, text in os.environ.items() if not name.startswith("COVERAGE")}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=env)


def test_late_is_a_tenth_of_a_second_or_an_interval() -> None:
    """Whichever is longer."""
    assert [Rate(2, per=10).late, Rate(100).late] == [5.0, 0.1]
