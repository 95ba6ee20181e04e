"""Items made in the network thread reach a plain loop: in order, once, early, and cleanly ended."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks import network
from blocks.errors import ConfigError
from blocks.network import prefetch


async def count(stop: int, pause: float = 0.0) -> AsyncIterator[int]:
    """0, 1, 2 ... each after `pause` seconds."""
    for number in range(stop):
        await anyio.sleep(pause)
        yield number


class Guarded:
    """A source that counts on endlessly and says when and where it was left."""

    def __init__(self) -> None:
        self.left = threading.Event()
        self.thread = ""
        self.made = 0
        self.reason: BaseException | None = None

    async def numbers(self) -> AsyncIterator[int]:
        """0, 1, 2 ... for ever."""
        try:
            while True:
                self.made += 1
                yield self.made - 1
        except BaseException as error:
            self.reason = error
            raise
        finally:
            await anyio.lowlevel.checkpoint()  # clean-up may await
            self.thread = threading.current_thread().name
            self.left.set()


@given(stop=st.integers(0, 50), ahead=st.integers(1, 10))
def test_every_item_comes_once_and_in_order(stop: int, ahead: int) -> None:
    """Whatever the look-ahead."""
    assert list(prefetch(count(stop), ahead)) == list(range(stop))


def test_network_and_work_overlap() -> None:
    """Twenty items of 20 ms there and 20 ms here take far less than the sum of both."""
    began = time.perf_counter()
    for _ in prefetch(count(20, pause=0.02)):
        time.sleep(0.02)  # the work, played
    together = time.perf_counter() - began
    assert together < 0.8 * (20 * 0.02 + 20 * 0.02)


@pytest.mark.parametrize("ahead", [1, 3])
def test_look_ahead_is_bounded(ahead: int) -> None:
    """Never more than `ahead` items are made that nobody has taken."""
    source = Guarded()
    numbers = prefetch(source.numbers(), ahead)
    for taken in range(1, 6):
        next(numbers)
        settle()
        assert source.made == taken + ahead
    close(numbers)


def settle() -> None:
    """Let the network thread do all it can do at once."""
    for _ in range(20):
        list(prefetch(count(1)))


def close(numbers: Iterator[object]) -> None:
    """End the iteration early, as `break` does when nothing else holds the iterator."""
    numbers.close()  # type: ignore[attr-defined]


def test_nothing_starts_before_it_is_asked_for() -> None:
    """An iterator never used has begun nothing."""
    source = Guarded()
    prefetch(source.numbers())
    settle()
    assert source.made == 0


def test_leaving_early_cleans_up_in_the_network_thread() -> None:
    """`break` throws the cancellation into the source, and waits for its clean-up."""
    source = Guarded()
    for number in prefetch(source.numbers()):
        if number == 3:
            break
    assert source.left.is_set()
    assert source.thread == "blocks-network"
    assert isinstance(source.reason, asyncio.CancelledError)


def test_leaving_while_the_source_waits() -> None:
    """A source in the middle of an await is cancelled there."""
    source = Guarded()

    async def slow() -> AsyncIterator[int]:
        async for number in source.numbers():
            yield number
            with contextlib.closing(source):  # type: ignore[type-var]
                await anyio.sleep(3600)

    source.close = source.left.set  # type: ignore[attr-defined]
    numbers = prefetch(slow())
    assert next(numbers) == 0
    settle()
    close(numbers)
    assert source.left.is_set()


def test_garbage_is_left_cleanly() -> None:
    """An iterator nobody holds any more ends its source."""
    source = Guarded()
    numbers = prefetch(source.numbers())
    next(numbers)
    del numbers
    gc.collect()
    assert source.left.wait(10)


def test_garbage_in_the_network_thread_does_not_wait_for_itself() -> None:
    """The collector may run there; the source still ends."""
    source = Guarded()
    held = [prefetch(source.numbers())]
    next(held[0])

    async def drop() -> AsyncIterator[float]:
        began = time.monotonic()
        held.clear()
        yield time.monotonic() - began

    assert list(prefetch(drop())) < [1.0]
    assert source.left.wait(10)


def test_an_error_comes_after_the_items_before_it_with_its_traceback() -> None:
    """Nothing is swallowed, and the line that failed is shown."""

    async def failing() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise ValueError("third")

    numbers = prefetch(failing())
    assert [next(numbers), next(numbers)] == [1, 2]
    with pytest.raises(ValueError, match="third") as caught:
        next(numbers)
    assert "failing" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]


def test_an_error_in_the_loop_ends_the_source() -> None:
    """The consumer's own error comes out, and the source is left."""
    source = Guarded()

    def consume() -> None:
        for _ in prefetch(source.numbers()):
            raise KeyError("consumer")

    with pytest.raises(KeyError, match="consumer") as caught:
        consume()
    del caught
    gc.collect()
    assert source.left.wait(10)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, BaseExceptionGroup])
def test_errors_that_stop_a_loop_do_not_stop_the_network(error: type[BaseException]) -> None:
    """Raised in the source they come out here, raised in a task of its own as well."""
    failure = error("bad", [OSError()]) if error is BaseExceptionGroup else error("bad")

    async def failing() -> AsyncIterator[int]:
        yield 1
        raise failure

    async def spawning() -> AsyncIterator[int]:
        async def fail() -> None:
            raise failure

        async with anyio.create_task_group() as group:
            group.start_soon(fail)
            await anyio.sleep(3600)
        yield 1

    with pytest.raises(error):
        list(prefetch(failing()))
    with pytest.raises(BaseExceptionGroup):
        list(prefetch(spawning()))
    assert list(prefetch(count(3))) == [0, 1, 2]


def test_a_cancelled_source_is_not_the_end() -> None:
    """Somebody else's cancellation is an error, not a quiet last page."""

    async def cancelled() -> AsyncIterator[int]:
        yield 1
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="cancelled before its end"):
        list(prefetch(cancelled()))


def test_a_failing_clean_up_is_raised() -> None:
    """An error while leaving early is not lost."""

    async def failing() -> AsyncIterator[int]:
        try:
            yield 1
            await anyio.sleep(3600)
        finally:
            raise OSError("clean-up")

    numbers = prefetch(failing())
    next(numbers)
    with pytest.raises(OSError, match="clean-up"):
        close(numbers)


def test_an_error_ahead_of_where_the_consumer_leaves_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is about items nobody asked for, and must not stand before the consumer's own reason."""
    caplog.set_level("INFO", "blocks.network")

    async def failing() -> AsyncIterator[int]:
        yield 1
        raise OSError("page 2")

    numbers = prefetch(failing())
    next(numbers)
    settle()
    close(numbers)
    assert "had failed ahead: OSError" in caplog.text


def test_scopes_of_anyio_may_be_held_across_yields() -> None:
    """Task groups, locks and timeouts: the source is one task from its start to its end."""
    lock = anyio.Lock()
    left = []

    async def scoped() -> AsyncIterator[int]:
        async with anyio.create_task_group() as group, lock:
            group.start_soon(anyio.sleep, 3600)
            try:
                with anyio.fail_after(60):
                    for number in range(100):
                        async with asyncio.timeout(60):
                            yield number
            finally:
                left.append(True)
                group.cancel_scope.cancel()

    assert list(prefetch(scoped())) == list(range(100))
    for _ in prefetch(scoped(), ahead=2):
        break
    assert left == [True, True]
    assert list(prefetch(scoped())) == list(range(100))  # the lock is free again


class Stubborn:
    """Goes on after being cancelled, as often as told."""

    def __init__(self, times: int) -> None:
        self.times = times

    async def numbers(self) -> AsyncIterator[int]:
        """Ones, for ever."""
        while True:
            try:
                yield 1
                await anyio.sleep(3600)
            except asyncio.CancelledError:
                self.times -= 1
                if self.times < 0:
                    raise


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("ahead", [1, 2])
def test_a_stubborn_source_is_left_all_the_same(times: int, ahead: int) -> None:
    """Cancelled where it stands, and where that does not help closed."""
    numbers = prefetch(Stubborn(times).numbers(), ahead)
    next(numbers)
    settle()
    close(numbers)


def test_a_source_that_will_not_end_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Said in the log, after some patience; the consumer goes on."""
    monkeypatch.setattr(network, "_PATIENCE", 0.05)
    leave = asyncio.Event()

    async def hanging() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            await leave.wait()

    numbers = prefetch(hanging())
    next(numbers)
    close(numbers)
    assert "left alone" in caplog.text

    async def release() -> AsyncIterator[None]:
        leave.set()
        yield

    list(prefetch(release()))


def test_any_async_iterable_will_do() -> None:
    """Not only generators; there is then nothing to throw into."""

    class Numbers:
        def __init__(self) -> None:
            self.made = 0

        def __aiter__(self) -> Numbers:
            return self

        async def __anext__(self) -> int:
            await anyio.lowlevel.checkpoint()
            self.made += 1
            return self.made

    numbers = prefetch(Numbers())
    assert next(numbers) == 1
    settle()
    close(numbers)


def test_leaving_before_the_task_began() -> None:
    """An error right at the start leaves nothing behind."""
    source = Guarded()
    busy, go_on = threading.Event(), threading.Event()

    async def block() -> AsyncIterator[None]:
        busy.set()
        go_on.wait(10)
        yield

    with ThreadPoolExecutor() as threads:
        blocked = threads.submit(list, prefetch(block()))
        assert busy.wait(10)

        def interrupted() -> None:
            numbers = prefetch(source.numbers())
            threads.submit(go_on.wait, 0.1).add_done_callback(lambda _: go_on.set())
            with contextlib.suppress(KeyboardInterrupt):
                numbers.throw(KeyboardInterrupt)  # type: ignore[attr-defined]

        interrupted()
        blocked.result()
    assert source.made == 0


def test_context_variables_come_along() -> None:
    """The source sees those of whoever asked first."""
    name = contextvars.ContextVar("name", default="nobody")

    async def named() -> AsyncIterator[str]:
        yield name.get()

    name.set("somebody")
    assert list(prefetch(named())) == ["somebody"]


def test_many_at_once() -> None:
    """Fifty iterators from ten threads share the one network thread."""
    with ThreadPoolExecutor(10) as threads:
        sums = list(threads.map(lambda stop: sum(prefetch(count(stop, 0.001))), range(50)))
    assert sums == [stop * (stop - 1) // 2 for stop in range(50)]
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("blocks-network") == 1


def test_the_network_thread_cannot_wait_for_itself() -> None:
    """An error instead of a standstill."""

    async def nested() -> AsyncIterator[int]:
        for number in prefetch(count(3)):
            yield number

    with pytest.raises(RuntimeError, match="use `async for` instead"):
        list(prefetch(nested()))


@pytest.mark.parametrize("ahead", [0, -1])
def test_a_look_ahead_of_nothing_is_refused(ahead: int) -> None:
    """At the call, not at the first item."""
    with pytest.raises(ConfigError, match=f"got {ahead}"):
        prefetch(count(1), ahead)


def run(code: str) -> tuple[int, str, str]:
    """What a program of its own process printed, warnings being errors."""
    program = """
import _thread, asyncio, os, signal, sys, threading, time
from blocks.network import prefetch

async def forever(log=True):
    try:
        yield 1
        await asyncio.sleep(3600)
    finally:
        if log:
            print("left in", threading.current_thread().name)

async def count(stop):
    for number in range(stop):
        yield number
"""
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", program + code],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return child.returncode, child.stdout, child.stderr


@pytest.mark.parametrize(
    "interrupt", ["_thread.interrupt_main()", "os.kill(os.getpid(), signal.SIGINT)"]
)
def test_ctrl_c_gets_through(interrupt: str) -> None:
    """A consumer that waits is interrupted, the source left, and the process can go on."""
    status, output, complaint = run(f"""
def interrupt():
    ready.wait()
    {interrupt}

ready = threading.Event()
helper = threading.Thread(target=interrupt)
helper.start()
try:
    for item in prefetch(forever()):
        ready.set()
except KeyboardInterrupt:
    print("interrupted")
print(*prefetch(count(3)))
helper.join()
print(threading.active_count())
""")
    assert (status, complaint) == (0, "")
    assert output.splitlines() == ["left in blocks-network", "interrupted", "0 1 2", "2"]


def test_ctrl_c_outdoes_a_failing_clean_up() -> None:
    """Of the two errors the interrupt is the one raised."""
    status, output, _ = run("""
async def failing():
    try:
        yield 1
        await asyncio.sleep(3600)
    finally:
        raise OSError

numbers = prefetch(failing())
next(numbers)
try:
    threading.Thread(target=_thread.interrupt_main).start()
    next(numbers)
except KeyboardInterrupt:
    print("interrupted")
""")
    assert (status, output) == (0, "interrupted\n")


def test_a_process_may_end_amid_an_iteration() -> None:
    """No hang and no noise at exit."""
    assert run("numbers = prefetch(forever(False)); print(next(numbers))") == (0, "1\n", "")


def test_a_forked_child_has_a_network_of_its_own() -> None:
    """New iterators work there; the parent's are refused instead of waited for, or just dropped."""
    status, output, complaint = run("""
held, other = prefetch(forever(False)), prefetch(forever(False))
next(held), next(other)
child = os.fork()
if not child:
    del other
    try:
        next(held)
    except RuntimeError as error:
        print(error)
    print(*prefetch(count(3)), flush=True)
    sys.exit()
assert os.waitpid(child, 0)[1] == 0
print(*prefetch(count(2)))
""")
    assert (status, complaint) == (0, "")
    assert output.splitlines() == [
        "this iterator was begun in the parent process; begin a new one",
        "0 1 2",
        "0 1",
    ]
