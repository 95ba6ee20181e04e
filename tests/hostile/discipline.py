"""Discipline: nobody asks before the time that a server told, on whatever clock that was told.

Storms run on virtual time, the client's clocks and the server's. The server's time of day may be
days off, and jumps; what it says in dates counts from its own `Date`.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from random import Random

import anyio
import httpx
import trio
from trio.testing import MockClock

from blocks.client import client
from blocks.errors import BlocksError
from blocks.limits import Rate
from blocks.oauth import RefreshToken
from blocks.quotas import Reset, XRateLimit
from blocks.retries import Retry
from tests.authority import Answering, Received, answering, said
from tests.faults.clock import run as run_virtually
from tests.faults.server import Reply
from tests.faults.server import serving as serving_here
from tests.hostile.table import Line
from tests.loopback import JSON, answer

__all__ = ["kills", "storms", "turns"]

_FORMS = ("seconds", "decimals", "date", "old date", "epoch", "ratelimit date")
_JUMPS = (0, 3600, -3600, 2 * 86400, -2 * 86400)


@dataclass
class Storm:
    """A server that refuses all for a time that it tells, and what came in that time."""

    rng: Random
    shared: bool
    now: float = 0.0
    offset: float = 0.0
    form: str = ""
    told: float = 0.0
    since: dict[str, float] = field(default_factory=dict)  # when who was refused
    until: dict[str, float] = field(default_factory=dict)
    back: list[float] = field(default_factory=list)  # seconds after the time told
    early: int = 0
    good: int = 0
    _open: int = 3

    def __post_init__(self) -> None:
        self.form = self.rng.choice(_FORMS)
        self.told = float(self.rng.choice([self.rng.randint(2, 120), self.rng.randint(121, 3600)]))
        self._left = self.rng.randint(1, 3)  # times that each is refused

    def handle(self, received: Received) -> Reply:
        """A refusal, till the time that it told is over."""
        who = "all" if self.shared else received.target
        now = self.now = asyncio.get_running_loop().time()
        until = self.until.get(who)
        if until is not None and now < until - 1e-6:
            # What was under way when the first was refused could not know.
            self.early += now > self.since[who] + 0.01
            return self._refuse(until - now)
        if until is not None:
            self.back.append(now - until)
        if until is None or self._left > 0:
            self._left -= until is not None
            self.since[who], self.until[who] = now, now + self.told
            return self._refuse(self.told)
        self.good += 1
        return Reply((answer(),))

    def _refuse(self, wait: float) -> Reply:
        self.offset += self.rng.choice(_JUMPS)  # its time of day, not time
        whole = -int(-wait // 1)
        clock = datetime(2026, 3, 8, 6, 59, 59, tzinfo=UTC) + timedelta(seconds=self.offset)
        date, end = clock, clock + timedelta(seconds=whole)
        headers = [*JSON, ("Date", format_datetime(date, usegmt=True))]
        headers.append(
            {
                "seconds": ("Retry-After", str(whole)),
                "decimals": ("Retry-After", f"{wait:.1f}9"),
                "date": ("Retry-After", format_datetime(end, usegmt=True)),
                "old date": ("Retry-After", end.strftime("%A, %d-%b-%y %H:%M:%S GMT")),
                "epoch": ("X-RateLimit-Reset", str(int(end.timestamp()))),
                "ratelimit date": ("X-RateLimit-Reset", format_datetime(end, usegmt=True)),
            }[self.form]
        )
        if "X-RateLimit" in headers[-1][0]:
            headers.append(("X-RateLimit-Remaining", "0"))
        return Reply((answer(b"{}", "429 Too Many Requests", headers),))


def storms(count: int) -> Line:
    """Storms of 429: requests before the time told, and how the waiting come back.

    First and last at least a quarter of the wait apart, or half of the minute that a long one may
    be spread over.
    """
    line = Line("discipline: 429 storms")
    shares: list[float] = []
    for seed in range(count):
        storm = Storm(Random(seed), shared=seed % 2 == 0)
        workers = storm.rng.randint(20, 32)
        good = run_virtually(partial(_weather, storm, workers))
        line.cells += 1
        place = f"storm {seed}, {storm.form}, {storm.told:g} s"
        if storm.early:
            line.leak(f"{place}: {storm.early} requests before the time told")
        if good != 3 * workers or storm.good != good:
            line.leak(f"{place}: {good} of {3 * workers} answered")
        if not storm.shared:
            apart = max(storm.back) - min(storm.back)
            shares.append(apart / min(storm.told, 120.0))
            if shares[-1] < 0.25:
                line.leak(f"{place}: all back within {apart:.1f} s")
    line.said = f"back over {sum(shares) / len(shares):.0%} of the wait, or of 120 s"
    return line


async def _weather(storm: Storm, workers: int) -> int:
    loop = asyncio.get_running_loop()
    reset: Reset = "date" if storm.form == "ratelimit date" else "epoch"

    def limit() -> Rate:
        return Rate(50, burst=3, clock=loop.time, quotas=XRateLimit(reset))

    retry = partial(Retry, attempts=9, total=20_000.0, chance=storm.rng.random)
    async with serving_here(storm.handle) as server:
        shared = limit()

        async def work(number: int) -> int:
            rate = shared if storm.shared else limit()
            async with client(server.url, limit=rate, retry=retry) as api:
                found = [await api.get(f"/{number}") for _ in range(3)]
            return sum(each.is_success for each in found)

        return sum(await asyncio.gather(*map(work, range(workers))))


def turns(hits: int) -> Line:
    """Turns of a rate: no more in any stretch of time than agreed, and nobody is left to wait.

    64 tasks that come and go as they like, some of whom give up, on both kinds of loop.
    """
    line = Line("discipline: turns of a rate")
    longest = 0.0
    # Most on trio, where virtual time takes a tenth as long to jump.
    for backend, share in (("trio", 0.98), ("asyncio", 0.02)):
        for seed in range(4):
            rng = Random(f"{backend}/{seed}")
            count, per = rng.choice([3, 100, 5000]), rng.choice([0.5, 1.0, 60.0])
            pace, burst = count / per, rng.choice([1, 10])
            rate = Rate(count, per, burst, clock=anyio.current_time)
            passed, waits = _taken(backend, rng, rate, int(hits * share / 4))
            line.cells += len(passed)
            place = f"{rate!r}, {backend}, seed {seed}"
            if over := crowded(passed, pace, burst):
                line.leak(f"{place}: {over} turns too many")
            # Each waits for the 63 others, as long as turns go to who asks first.
            longest = max(longest, *(wait * pace for wait in waits))
            if longest > 64 + 1e-6:
                line.leak(f"{place}: one waited for {longest:.1f} turns")
    line.said = f"longest wait: {longest:.0f} turns"
    return line


def crowded(moments: list[float], pace: float, burst: float) -> int:
    """How many moments are one too many in a stretch of time that ends with them."""
    over, least = 0, float("inf")
    for number, moment in enumerate(moments):
        # So much was earned by then: between two of them it grows by what may come between.
        owed = number - moment * pace
        least = min(least, owed)
        over += owed - least + 1 > burst + 1e-6
    return over


def _taken(backend: str, rng: Random, rate: Rate, hits: int) -> tuple[list[float], list[float]]:
    passed: list[float] = []
    waits: list[float] = []

    async def work() -> None:
        while len(passed) < hits:
            began = anyio.current_time()
            # Every tenth gives up after a while, if it has had no turn by then.
            patience = rng.random() * 64 / rate.statistics().rate if rng.random() < 0.1 else None
            with anyio.move_on_after(patience):
                async with rate:
                    passed.append(anyio.current_time())
                    waits.append(passed[-1] - began)
            if rng.random() < 0.01:
                await anyio.sleep(rng.random() * 100 / rate.statistics().rate)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(64):
                group.start_soon(work)

    if backend == "asyncio":
        run_virtually(main)
    else:
        trio.run(main, clock=MockClock(autojump_threshold=0))
    return passed, waits


class Rotating:
    """Renews the refresh token with each use; the last but one is good till the new one is used.

    As servers with a grace period have it.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.number = 0
        self.refused = 0
        self.spent: set[str] = set()
        self.used = threading.Semaphore(0)

    def good(self, token: str) -> bool:
        """Whether a refresh token can be used."""
        return token in {f"r{self.number}", f"r{self.number - 1}"}

    def __call__(self, received: Received) -> bytes:
        """A token, or that it is no good any more."""
        with self.lock:
            if received.path != "/token":
                # Each access token is good for one use.
                access = received.headers["authorization"]
                spent = access in self.spent
                self.spent.add(access)
                self.used.release()
                return said({}, "401 Unauthorized" if spent else "200 OK")
            token = received.form["refresh_token"]
            if not self.good(token):
                self.refused += 1
                return said({"error": "invalid_grant"}, "400 Bad Request")
            if token == f"r{self.number}":
                self.number += 1
            body = {"access_token": f"a{self.number}", "token_type": "bearer", "expires_in": 3600}
            return said({**body, "refresh_token": f"r{self.number}"})


def save(file: Path, token: str) -> None:
    """All of it, or the one before: what `write_text` does not promise a process that is killed."""
    new = file.with_suffix(".new")
    new.write_text(token)
    new.replace(file)


def kills(count: int) -> Line:
    """Processes that renew their refresh token and are killed: the saved one is always good."""
    line = Line("discipline: rotation, kill -9")
    rng = Random(7)
    with tempfile.TemporaryDirectory() as folder, rotation() as (server, rotating):
        file = Path(folder) / "refresh"
        save(file, "r0")
        for number in range(count):
            child = subprocess.Popen(
                [sys.executable, "-m", "tests.hostile.discipline", server.url, str(file)],
                cwd=Path(__file__).parent.parent.parent,
                stdout=subprocess.DEVNULL,
            )
            for _ in range(rng.randint(1, 60)):
                if not rotating.used.acquire(timeout=30):
                    line.leak(f"kill {number}: the process does not go on")
                    break
            threading.Event().wait(rng.random() * 0.01)
            child.send_signal(signal.SIGKILL)
            child.wait(30)
            line.cells += 1
            with rotating.lock:
                if not rotating.good(token := file.read_text()):
                    line.leak(f"kill {number}: {token} is saved, r{rotating.number} is good")
        if rotating.refused:
            line.leak(f"{rotating.refused} refresh tokens were refused")
        line.said = f"{rotating.number} renewals"
    return line


@contextmanager
def rotation() -> Iterator[tuple[Answering, Rotating]]:
    """The server of the tokens."""
    rotating = Rotating()
    with answering(rotating) as server:
        yield server, rotating


async def _renew(url: str, file: Path, token: str) -> None:
    auth = RefreshToken(f"{url}/token", "me", "secret", token, save=partial(save, file))
    async with client(url, auth=auth, retry=lambda transport: transport) as api:
        while True:
            try:
                await api.get("/items")
            except (BlocksError, httpx.HTTPError) as error:
                print(json.dumps(str(error)))  # noqa: T201


if __name__ == "__main__":
    kept = Path(sys.argv[2])
    asyncio.run(_renew(sys.argv[1], kept, kept.read_text()))
