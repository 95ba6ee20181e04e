"""Limits: what a turn costs, whether the rate is kept, and how much of it is used.

    python bench/limits.py [seconds per real-time run, default 3]

Beside aiolimiter, limits and pyrate-limiter, as far as they are installed: pip install aiolimiter
limits pyrate-limiter. Each is set to so many calls a second; what else it promises is its own
affair, so the most calls in any one second is printed beside. Medians of five rounds.
"""

from __future__ import annotations

import asyncio
import math
import platform
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from statistics import median
from typing import Any

import anyio
import httpx
import trio
from trio.testing import MockClock

# This script's name is also that of one of the libraries.
sys.path = [path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent]

from bench.loopback import response, serve, serving  # noqa: E402
from blocks.adaptive import Adaptive  # noqa: E402
from blocks.client import client  # noqa: E402
from blocks.limits import Rate  # noqa: E402
from blocks.pools import Limits  # noqa: E402
from blocks.slots import InFlight  # noqa: E402

ROUNDS = 5
ACQUIRES = 20_000
TASKS = 300
Pass = Callable[[], Awaitable[object]]


def worn(limit: AbstractAsyncContextManager[object]) -> Pass:
    """Pass a limit once."""

    async def enter() -> None:
        async with limit:
            pass

    return enter


def ours(rate: float) -> dict[str, Callable[[], Pass]]:
    """Our limits that let `rate` calls a second pass."""
    return {
        "Rate": lambda: worn(Rate(rate)),
        "Limits of two rates": lambda: worn(Limits(Rate(rate), Rate(rate * 60, per=60, burst=9))),
        "Limits of rate, in flight": lambda: worn(Limits(Rate(rate), InFlight(1000))),
        "Adaptive": lambda: worn(Adaptive(rate)),
    }


def others(rate: int) -> dict[str, Callable[[], Pass]]:
    """Those installed, set to `rate` calls a second."""
    found: dict[str, Callable[[], Pass]] = {}
    with suppress(ImportError):
        aiolimiter = import_module("aiolimiter")
        name = named("aiolimiter")
        found[name] = lambda: worn(aiolimiter.AsyncLimiter(rate, 1))
        found[f"{name}, evenly"] = lambda: worn(aiolimiter.AsyncLimiter(1, 1 / rate))
    with suppress(ImportError):
        limits = import_module("limits")
        strategies = import_module("limits.aio.strategies")
        storage = import_module("limits.aio.storage")

        def moving() -> Pass:
            window = strategies.MovingWindowRateLimiter(storage.MemoryStorage())
            item = limits.RateLimitItemPerSecond(rate)

            async def hit() -> None:
                # It says yes or no; waiting is left to the caller.
                while not await window.hit(item):
                    reset = (await window.get_window_stats(item)).reset_time
                    await asyncio.sleep(max(0.001, reset - time.time()))

            return hit

        found[named("limits")] = moving
    with suppress(ImportError):
        pyrate: Any = import_module("pyrate_limiter")

        def bucket() -> Pass:
            limiter = pyrate.Limiter(pyrate.Rate(rate, pyrate.Duration.SECOND))
            return partial(limiter.try_acquire_async, "calls")

        found[named("pyrate-limiter")] = bucket
    return found


def named(distribution: str) -> str:
    """A distribution with its version."""
    return f"{distribution} {metadata.version(distribution)}"


async def acquire(make: Callable[[], Pass]) -> float:
    """Microseconds of CPU for a turn that is there."""
    enter = make()
    began = time.process_time()
    for _ in range(ACQUIRES):
        await enter()
    return (time.process_time() - began) / ACQUIRES * 1e6


async def crowd(enter: Pass, clock: Callable[[], float], seconds: float) -> list[float]:
    """When hundreds of tasks passed that ask again and again for so long."""
    passed: list[float] = []

    async def ask() -> None:
        while True:
            await enter()
            passed.append(clock())

    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as group:
            for _ in range(TASKS):
                group.start_soon(ask)
    return passed


def excess(passed: Sequence[float], rate: float) -> float:
    """By how many calls the fullest stretch of any length exceeds t * rate."""
    least, most = math.inf, 0.0
    for number, moment in enumerate(passed):
        least = min(least, number - moment * rate)
        most = max(most, number + 1 - moment * rate - least)
    return most


def fullest(passed: Sequence[float]) -> int:
    """The most calls in any one second."""
    most = first = 0
    for last, moment in enumerate(passed):
        while passed[first] <= moment - 1:
            first += 1
        most = max(most, last - first + 1)
    return most


def simulated(count: int, per: float, burst: int, seconds: float) -> None:
    """One line about our rate in virtual time."""

    async def main() -> list[float]:
        rate = Rate(count, per, burst, clock=anyio.current_time)
        return await crowd(worn(rate), anyio.current_time, seconds)

    passed = trio.run(main, clock=MockClock(autojump_threshold=0))
    allowed = burst + math.floor(seconds * count / per + 1e-6)
    over = excess(passed, count / per) - burst
    line(
        f"Rate({count}, per={per:g}, burst={burst})",
        [f"{len(passed):,}", f"{len(passed) / allowed:.2%}", "none" if over < 1e-3 else f"{over}"],
    )


async def used(url: str, rate: int, in_flight: int, seconds: float) -> float:
    """The part of `rate` that requests over HTTP use."""
    done = 0

    async def work(api: httpx.AsyncClient) -> None:
        nonlocal done
        while True:
            await api.get("/")
            done += 1

    async with client(url, limit=Rate(rate)) as api:
        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as group:
                for _ in range(in_flight):
                    group.start_soon(work, api)
    return done / (seconds * rate)


def line(name: str, values: Sequence[str]) -> None:
    """One row of a table."""
    print(f"{name:36}" + "".join(f"{value:>18}" for value in values))


def main(seconds: float) -> None:
    """Print the four tables."""
    print(f"Python {platform.python_version()}, {platform.machine()}, {named('anyio')}\n")

    line(f"a turn that is there ({ACQUIRES:,})", ["CPU µs"])
    for name, make in {**ours(10**9), **others(10**9)}.items():
        line(name, [f"{median(asyncio.run(acquire(make)) for _ in range(ROUNDS)):.2f}"])

    print()
    line(f"60 s of virtual time, {TASKS} tasks", ["calls", "of those allowed", "windows over"])
    for count, per, burst in ((7, 1.0, 1), (50, 1.0, 10), (1000, 60.0, 20), (1000, 1.0, 1)):
        simulated(count, per, burst, 60.0)

    print()
    rate = 200
    line(f"{seconds:g} s, {TASKS} tasks, {rate}/s", ["calls", "most in a second"])
    for name, make in {**ours(rate), **others(rate)}.items():
        passed = asyncio.run(crowd(make(), time.perf_counter, seconds))
        line(name, [f"{len(passed):,}", f"{fullest(passed):,}"])

    print()
    line("over HTTP, 20 ms an answer", ["in flight", "of the rate used"])
    with serving(__file__, 0.02) as url:
        for rate, in_flight in ((50, 4), (200, 16), (500, 32), (1000, 64)):
            part = asyncio.run(used(url, rate, in_flight, seconds))
            line(f"{rate}/s", [str(in_flight), f"{part:.1%}"])


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(lambda _: response(b"[]"), float(sys.argv[2]))
    else:
        main(float(sys.argv[1]) if sys.argv[1:] else 3.0)
