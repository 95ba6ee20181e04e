"""Every run of the fault world ends with all records, or with a clear error and nothing changed."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path
from random import Random

import anyio
import anyio.to_thread
import httpx
import pytest

from tests.faults.cases import Case
from tests.faults.clock import Hang, run
from tests.faults.drivers import Virtual
from tests.faults.kinds import KINDS
from tests.faults.runs import trial
from tests.faults.server import Reply, serving
from tests.faults.world import STYLES, World, different
from tests.loopback import answer

SEEDS = range(8)


# dlt says so itself, of a load that is left to finish.
@pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated:DeprecationWarning")
# The world's own server is cut off with its clients: its side of a connection may be left open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_every_run_ends_in_a_verdict(kind: int) -> None:
    """A or B, whichever is right; what is printed of one that failed runs it again."""
    results = [result for seed in SEEDS if (result := trial(kind, seed))]
    assert len(results) == len(SEEDS)
    assert [str(result) for result in results if result.verdict == "failed"] == []


def test_a_case_is_the_same_whenever_it_is_drawn() -> None:
    """So that a seed says it all."""
    for kind, draw in KINDS.items():
        one, two = (draw(Random(f"{kind}/5")) for _ in range(2))
        assert (one.what, one.expected, one.budget) == (two.what, two.expected, two.budget)
        assert one.world.records == two.world.records


def test_a_difference_is_seen() -> None:
    """Else all the rest here means nothing."""
    truth = World(Random(1)).truth()
    found = list(truth.values())
    assert not different(found, truth)
    assert different(found[1:], truth).lost == 1
    assert different([*found, found[0]], truth).doubled == 1
    other = (*found[0][:2], "another name", *found[0][3:])
    assert different([other, *found[1:]], truth).changed == 1


@pytest.mark.parametrize("style", STYLES)
def test_a_world_without_faults_is_read_as_it_is(style: str, tmp_path: Path) -> None:
    """By each way to page, in as many requests as there are pages."""
    case = Case(Random(style), World(Random(style), [style]))
    outcome = Virtual(case, tmp_path, (0, 0)).run(clean=True)
    assert (outcome.error, outcome.stuck, outcome.api.requests) == (None, "", case.world.pages)
    assert not different(outcome.rows, case.world.truth())


def test_time_passes_where_all_wait() -> None:
    """Hours of silence take no time, whoever waits in whatever order; bytes do not wait for it."""

    async def main() -> tuple[str, float]:
        def handle(_: object) -> Reply:
            return Reply((3600.0, answer(b"[1"), 7200.0, b"]"), "close")

        async with serving(handle) as server, httpx.AsyncClient(timeout=9000) as api:
            response = await api.get(server.url)
            return response.text, asyncio.get_running_loop().time()

    text, seconds = run(main)
    assert (text, round(seconds)) == ("[1", 3600)


def test_time_waits_for_threads() -> None:
    """What is slow in them is slow in earnest, and no timer may overtake it."""

    async def main() -> str:
        done = threading.Event()
        threading.Timer(0.05, done.set).start()
        with anyio.move_on_after(3600):
            await anyio.to_thread.run_sync(done.wait)
            return "the thread"
        return "the timer"

    assert run(main) == "the thread"


def test_a_hang_is_seen() -> None:
    """Two who wait for each other do not hold up the rest."""

    async def main() -> None:
        mine, theirs = socket.socketpair()
        mine.setblocking(False)
        with mine, theirs:
            await asyncio.get_running_loop().sock_recv(mine, 1)

    with pytest.raises(Hang):
        run(main, silence=0.1)
