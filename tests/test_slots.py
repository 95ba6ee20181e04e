"""Never more in flight than allowed, in order, across tasks, threads and loops that end."""

from __future__ import annotations

import asyncio
import gc
import threading

import anyio
import pytest
from trio.testing import MockClock

from blocks import events
from blocks.errors import ConfigError
from blocks.slots import InFlight


class Gauge:
    """How many are inside now, and the most that ever were."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = self.total = 0

    def __enter__(self) -> None:
        with self.lock:
            self.now += 1
            self.total += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.now -= 1


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_no_more_than_count_at_once_and_in_order(anyio_backend: str) -> None:
    """64 tasks through five places: five at most, first come first served."""
    limit, gauge, order, all_there = InFlight(5), Gauge(), list[int](), anyio.Event()

    async def call(number: int) -> None:
        async with limit:
            with gauge:
                order.append(number)
                await all_there.wait()

    async with anyio.create_task_group() as group:
        for number in range(64):
            group.start_soon(call, number)
            await anyio.wait_all_tasks_blocked()
        all_there.set()
    assert (gauge.most, gauge.total) == (5, 64)
    if anyio_backend == "asyncio":  # trio shuffles those woken together
        assert order == sorted(order)
    assert limit.statistics().calls == 64


def test_loops_in_several_threads_share_it() -> None:
    """Places left in one event loop wake those who wait in another, of another kind."""
    limit, gauge = InFlight(3), Gauge()

    async def call() -> None:
        async with limit:
            with gauge:
                await anyio.sleep(0.001)

    async def calls() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(call)

    threads = [
        threading.Thread(target=anyio.run, args=[calls], kwargs={"backend": backend})
        for backend in ["asyncio", "trio"] * 4
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gauge.total == 160
    assert gauge.most <= 3
    assert limit.statistics().waited > 0


async def hold(limit: InFlight, started: anyio.Event, until: anyio.Event) -> None:
    """Be in flight until told."""
    async with limit:
        started.set()
        await until.wait()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_who_gives_up_leaves_the_line(anyio_backend: str) -> None:
    """Waiting or just served: a cancelled task takes no place with it."""
    limit = InFlight(1)
    started, until = anyio.Event(), anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(hold, limit, started, until)
        await started.wait()
        with anyio.move_on_after(0.01):
            async with limit:
                raise AssertionError
        async with anyio.create_task_group() as others:
            others.start_soon(hold, limit, anyio.Event(), until)
            await anyio.wait_all_tasks_blocked()
            until.set()  # the place goes to the waiting one, who is cancelled before it runs
            others.cancel_scope.cancel()
    with anyio.fail_after(5):
        async with limit:
            pass


@pytest.mark.anyio
async def test_a_place_given_to_the_cancelled_goes_on() -> None:
    """Served and cancelled in one step: the place is not lost."""
    limit = InFlight(1)
    await limit.take()
    waiting = asyncio.create_task(limit.take())
    await anyio.wait_all_tasks_blocked()
    limit.drop()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with anyio.fail_after(5):
        await limit.take()


@pytest.mark.anyio
async def test_who_was_not_served_has_nothing_to_give_back() -> None:
    """Giving up in the line opens no place beside the one in use."""
    limit = InFlight(1)
    await limit.take()
    for _ in range(2):
        with anyio.move_on_after(0.01) as scope:
            await limit.take()
        assert scope.cancelled_caught


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_ended_is_passed_over() -> None:
    """Who waited in a loop that is closed by now cannot be woken: the next one is, and only one."""
    limit = InFlight(1)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(limit.take())
    abandoned = loop.create_task(limit.take())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    limit.drop()
    del abandoned
    gc.collect()  # its clean-up has nothing to give back

    async def main() -> None:
        with anyio.fail_after(5):
            await limit.take()
        with anyio.move_on_after(0.01) as scope:
            await limit.take()
        assert scope.cancelled_caught

    anyio.run(main)


class TestLongWaits:
    """In virtual time."""

    @pytest.fixture
    def anyio_backend(self) -> tuple[str, dict[str, object]]:
        """trio."""
        return "trio", {"clock": MockClock(autojump_threshold=0)}

    @pytest.mark.anyio
    async def test_a_long_wait_is_said_once(self, caplog: pytest.LogCaptureFixture) -> None:
        """One of all who wait for the same says when it begins and when it ends."""
        caplog.set_level("INFO", "blocks")
        limit = InFlight(1, clock=anyio.current_time)
        until, seen = anyio.Event(), list[events.Event]()
        stop = events.listen(seen.append)
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(hold, limit, anyio.Event(), until)
            await anyio.sleep(25)
            until.set()
        stop()
        assert caplog.messages == [
            "waiting for InFlight(1): all in use for 10 s",
            "waited 25 s for InFlight(1): all in use",
        ]
        assert [(event.reason, round(event.seconds)) for event in seen] == [  # type: ignore[union-attr]
            ("all in use", 25),
            ("all in use", 25),
        ]
        assert limit.statistics().waited == pytest.approx(50)

    @pytest.mark.anyio
    async def test_the_next_long_wait_is_said_again(self, caplog: pytest.LogCaptureFixture) -> None:
        """Each time that all are in use for long, not the first time only."""
        caplog.set_level("INFO", "blocks")
        limit = InFlight(1, clock=anyio.current_time)
        for _ in range(2):
            until = anyio.Event()
            async with anyio.create_task_group() as group:
                for _ in range(2):
                    group.start_soon(hold, limit, anyio.Event(), until)
                await anyio.sleep(25)
                until.set()
        assert [message.split()[0] for message in caplog.messages] == ["waiting", "waited"] * 2

    @pytest.mark.anyio
    async def test_a_pause_holds_it(self) -> None:
        """An API whose limit is how many at once may say Retry-After, too."""
        limit = InFlight(1, clock=anyio.current_time)
        start = anyio.current_time()
        limit.pause(start + 5)
        assert limit.reserve(start + 1) == start + 5
        async with limit:
            assert anyio.current_time() == pytest.approx(start + 5)
        assert limit.statistics().pauses == 1

    @pytest.mark.anyio
    async def test_cancelled_in_a_pause_the_place_is_left(self) -> None:
        """What was taken while waiting for the rest is given back."""
        limit = InFlight(1, clock=anyio.current_time)
        limit.pause(anyio.current_time() + 5)
        with anyio.move_on_after(1):
            async with limit:
                raise AssertionError
        with anyio.fail_after(10):
            async with limit:
                pass


def test_it_must_let_somebody_pass() -> None:
    """Said at construction."""
    with pytest.raises(ConfigError, match="count >= 1, got 0"):
        InFlight(0)
