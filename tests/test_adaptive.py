"""Rates that follow the API: down at once, up little by little, never above what was agreed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from blocks.adaptive import Adaptive, Pace
from blocks.errors import ConfigError
from blocks.limits import Limited
from blocks.outcomes import verdict
from blocks.quotas import ShopifyBucket, XRateLimit
from tests.test_turns import crowded

URL = "https://api.example.com/items"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """trio with virtual time."""
    return "trio", {"clock": MockClock(autojump_threshold=0)}


class Api:
    """Allows `allowed` calls in any second, and says 429 to the rest."""

    def __init__(self, allowed: int) -> None:
        self.allowed = allowed
        self.served: list[float] = []
        self.refused: list[float] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer after a tenth of a second."""
        await anyio.sleep(0.1)
        now = anyio.current_time()
        if sum(moment > now - 1 for moment in self.served) >= self.allowed:
            self.refused.append(now)
            return httpx.Response(429, headers={"Retry-After": "1"})
        self.served.append(now)
        return httpx.Response(200)


@pytest.mark.anyio
async def test_it_finds_what_an_api_bears() -> None:
    """Told 100 a second by us and 10 by the API it settles near 10, with few refusals."""
    rate = Adaptive(100, recovery=120, clock=anyio.current_time)
    api = Api(allowed=10)
    start = anyio.current_time()

    async def calls(client: httpx.AsyncClient) -> None:
        while True:
            await client.get(URL)

    async with httpx.AsyncClient(transport=Limited(httpx.MockTransport(api), rate)) as client:
        with anyio.move_on_after(300):
            async with anyio.create_task_group() as group:
                for _ in range(30):
                    group.start_soon(calls, client)
    settled = [moment for moment in api.served if moment > start + 60]
    refused = [moment for moment in api.refused if moment > start + 60]
    assert len(settled) / 240 > 5
    assert len(refused) / len(settled) < 0.1
    assert 2 < rate.statistics().rate < 20


def test_a_burst_of_refusals_is_one_cut() -> None:
    """Those under way when the first came back have nothing new to say."""
    rate = Adaptive(64)
    for sent in (10.0, 10.1, 10.2):
        rate.slower(sent=sent, now=11.0)
    assert rate.statistics().rate == 32
    rate.slower(sent=11.0, now=11.5)
    assert rate.statistics().rate == 16


def test_there_is_a_slowest_and_a_fastest() -> None:
    """A 64th after many refusals; all of it after many answers."""
    rate = Adaptive(64, recovery=60)
    for number in range(20):
        rate.slower(sent=float(number), now=float(number))
    assert rate.statistics().rate == 1.0
    for number in range(20, 10_000):
        rate.faster(now=float(number))
    assert rate.statistics().rate == 64


def test_rates_are_by_the_second_whatever_they_were_told_in() -> None:
    """The fastest of 120 a minute is two a second, and so are a 64th and the growth of it."""
    rate = Adaptive(120, 60, recovery=4)
    rate.slower(sent=0.0, now=0.0)
    rate.faster(now=0.5)
    assert rate.statistics().rate == 1.25
    for number in range(1, 100):
        rate.faster(now=float(number))
    assert rate.statistics().rate == 2.0
    for number in range(100, 200):
        rate.slower(sent=float(number), now=float(number))
    assert rate.statistics().rate == 2 / 64
    pace = Pace(XRateLimit("seconds"), 120, 60)
    for left, expected in [("6000", 2.0), ("60", 1.0), ("1", 2 / 64)]:
        headers = {"X-RateLimit-Remaining": left, "X-RateLimit-Reset": "60"}
        pace.heed(httpx.Response(200, headers=headers), now=100.0)
        assert pace.statistics().rate == expected


def test_growth_is_earned_by_answers() -> None:
    """From nothing to all in `recovery` seconds of answers; a quiet hour earns one call's worth."""
    rate = Adaptive(10, recovery=100)
    rate.slower(sent=0.0, now=0.0)
    moments = [number / 10 for number in range(1, 101)]
    for now in moments:
        rate.faster(now)
    assert rate.statistics().rate == pytest.approx(5 + 10 * 10 / 100)
    rate.faster(3600.0)
    assert rate.statistics().rate == pytest.approx(6 + 10 / 100 / 6)
    rate.faster(1.0)  # a clock read long ago by another thread
    assert rate.statistics().rate == pytest.approx(6 + 10 / 100 / 6)


@given(
    steps=st.lists(
        st.tuples(st.floats(0, 3), st.sampled_from(["call", "call", "faster", "slower"])),
        max_size=60,
    )
)
def test_never_above_what_was_agreed(steps: Sequence[tuple[float, str]]) -> None:
    """Whatever is answered, any stretch holds at most burst + t * count / per calls."""
    rate, now = Adaptive(5, burst=2, recovery=10), 100.0
    taken: list[float] = []
    for step, what in steps:
        now += step
        if what == "call":
            taken.append(rate.reserve(now))
        elif what == "faster":
            rate.faster(now)
        else:
            rate.slower(now, now)
        # Turns still to come move with the pace: here they are let go.
        taken = [at for at in taken if at <= now]
    assert crowded([(at, 1.0) for at in taken], 5.0, 2) == []


@pytest.mark.anyio
async def test_those_waiting_feel_the_change() -> None:
    """Turns already given come later after a cut, in their order, and sooner after growth."""
    rate, passed = Adaptive(10, clock=anyio.current_time), list[float]()
    start = anyio.current_time()

    async def call() -> None:
        async with rate:
            passed.append(anyio.current_time() - start)

    async with anyio.create_task_group() as group:
        for _ in range(16):
            group.start_soon(call)
        await anyio.sleep(0.45)
        rate.slower(sent=start, now=anyio.current_time())  # 11 wait: two seconds and more
        await anyio.sleep(1)
        for _ in range(400):
            rate.faster(anyio.current_time())
            await anyio.sleep(0.01)
    spaces = [later - earlier for earlier, later in itertools.pairwise(passed)]
    assert spaces[:4] == pytest.approx([0.1] * 4)
    assert 0.14 < spaces[4] < 0.2
    assert spaces[5:8] == pytest.approx([0.2] * 3, abs=0.01)
    assert spaces[-1] < 0.199
    assert crowded([(at, 1.0) for at in passed], 10.0, 1.5) == []


@pytest.mark.anyio
async def test_a_wait_ends_early_when_the_pace_jumps() -> None:
    """Looked at every second: a day's wait at a crawl is none when the API says go."""
    said = {"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "3000"}
    rate = Pace(XRateLimit("seconds"), 1, clock=anyio.current_time)
    rate.heed(httpx.Response(200, headers=said), anyio.current_time())
    start, passed = anyio.current_time(), list[float]()

    async def call() -> None:
        async with rate:
            passed.append(anyio.current_time() - start)

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(call)
        await anyio.sleep(10)
        said["X-RateLimit-Remaining"] = "3000"
        rate.heed(httpx.Response(200, headers=said), anyio.current_time())
    assert len(passed) == 5
    assert max(passed) < 75
    assert min(b - a for a, b in itertools.pairwise(passed)) > 0.5


@pytest.mark.parametrize(
    ("headers", "rate"),
    [
        ({}, 10.0),
        ({"X-RateLimit-Remaining": "60"}, 10.0),
        ({"X-RateLimit-Remaining": "60", "X-RateLimit-Reset": "60"}, 1.0),
        ({"X-RateLimit-Remaining": "60000", "X-RateLimit-Reset": "60"}, 10.0),
        ({"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "3600"}, 10 / 64),
        ({"X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "0"}, 5.0),
    ],
)
def test_what_is_left_is_spread(headers: dict[str, str], rate: float) -> None:
    """Over the time until the reset, within what was agreed."""
    pace = Pace(XRateLimit("seconds"), 10)
    pace.heed(httpx.Response(200, headers=headers), now=100.0)
    assert pace.statistics().rate == rate


def test_a_bucket_is_spent_as_fast_as_it_leaks() -> None:
    """What is restored each second can be spent for ever."""
    pace = Pace(ShopifyBucket(), 40)
    headers = {"X-Shopify-Shop-Api-Call-Limit": "39/40"}
    pace.heed(httpx.Response(200, headers=headers), now=100.0)
    assert pace.statistics().rate == 2.0


def test_repr_is_the_expression() -> None:
    """What is printed shows the settings."""
    assert repr(Adaptive(9)) == "Adaptive(9, per=1.0, burst=1, recovery=60.0)"
    assert repr(Pace(ShopifyBucket(), 9)) == "Pace(ShopifyBucket(leak=2.0), 9, per=1.0, burst=1)"


@pytest.mark.anyio
async def test_what_is_used_up_is_a_verdict() -> None:
    """A refusal beside which nothing is left is a rate limit, whatever its status."""
    pace = Pace(XRateLimit("seconds"), 10, clock=anyio.current_time)
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "60"}
    api = httpx.MockTransport(lambda _: httpx.Response(403, headers=headers))
    async with httpx.AsyncClient(transport=Limited(api, pace)) as client:
        found = verdict(await client.get(URL))
    assert (found.outcome, found.wait) == ("limited", 60.0)


def test_recovery_takes_time() -> None:
    """However little, said at construction."""
    assert repr(Adaptive(1, recovery=0.1)) == "Adaptive(1, per=1.0, burst=1, recovery=0.1)"
    with pytest.raises(ConfigError, match="recovery > 0 seconds, got 0"):
        Adaptive(1, recovery=0)
