"""Drivers: a case read on virtual time, through the network thread, by dlt, or in a child."""

from __future__ import annotations

import asyncio
import copy
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from blocks.errors import BlocksError
from tests.faults.cases import Api, Case
from tests.faults.clock import Hang
from tests.faults.clock import run as run_virtual
from tests.faults.server import Server, serving, serving_thread
from tests.faults.source import Loaded, connect, read, read_ahead
from tests.faults.world import Row

__all__ = [
    "Child",
    "Dlt",
    "Driver",
    "Outcome",
    "Reading",
    "Thread",
    "Virtual",
    "is_typed",
    "name_of",
]

# Virtual seconds that no reading may take: five attempts of five minutes, with waits, some times.
_DEADLINE = 6 * 3600.0


@dataclass
class Reading:
    """What is read into: rows and state of one reading, on probation until it has ended well."""

    api: httpx.AsyncClient
    url: str
    clock: Callable[[], float]
    state: dict[str, Any]
    rows: list[Row]
    played: Api


@dataclass
class Outcome:
    """How one reading ended: with rows, or with an error."""

    rows: list[Row]
    state: Any
    error: BaseException | None
    api: Api
    stuck: str = ""


class Driver:
    """Reads a case one way, into a destination of its own."""

    pending = False
    strict = True
    """Whether a verdict has to be the expected one, and no request more than it takes."""

    def __init__(self, case: Case, folder: Path, name: tuple[int, int]) -> None:
        self.case = case
        self.folder = folder
        self.name = name
        self.state: Any = {}
        self._rows: list[Row] = []

    def rows(self) -> list[Row]:
        """What is in the destination."""
        return list(self._rows)

    def run(self, *, clean: bool) -> Outcome:
        """Read once."""
        raise NotImplementedError

    def typed(self, error: BaseException) -> bool:
        """Whether `error` is of a type to be expected."""
        return is_typed(error)

    def keep(self, outcome: Outcome) -> None:
        """Commit what was read, if it ended well."""
        if outcome.error is not None or outcome.stuck:
            return
        self.state = outcome.state
        merged = {each[0]: each for each in self._rows}
        new = {each[0]: each for each in outcome.rows}
        # A run has each record once; between runs, keys tell what is new.
        twice = (
            [] if self.case.merge else [each for each in outcome.rows if each is not new[each[0]]]
        )
        self._rows = [*(merged | new).values(), *twice]


class Virtual(Driver):
    """In an event loop on virtual time, both sides of it."""

    def run(self, *, clean: bool) -> Outcome:
        """Read once."""
        state = copy.deepcopy(self.state)
        found: list[Outcome] = []

        async def main() -> None:
            loop = asyncio.get_running_loop()
            api = Api(self.case, loop.time, clean=clean)
            outcome = Outcome([], state, None, api)
            found.append(outcome)
            tls = self.case.tls(clean) if self.case.tls else None
            async with serving(api, tls) as server:
                api.url = server.url
                scheme = "https" if self.case.tls else "http"
                url = f"{scheme}://{self.case.named or '127.0.0.1'}:{server.port}"
                try:
                    async with (
                        asyncio.timeout(_DEADLINE),
                        connect(self.case, url, loop.time) as http,
                    ):
                        reading = Reading(http, url, loop.time, state, outcome.rows, api)
                        if self.case.read is not None:
                            await self.case.read(reading)
                        else:
                            outcome.rows.extend(await read(self.case, http, state))
                except TimeoutError:
                    outcome.stuck = f"hangs: still at it after {_DEADLINE:.0f} s"
                except asyncio.CancelledError as error:
                    outcome.error = error
                except Exception as error:  # noqa: BLE001 - judged
                    outcome.error = error
                for _ in range(100):  # what closes, closes in a few turns
                    await asyncio.sleep(0)
                outcome.stuck = outcome.stuck or _left(self.case, server, clean=clean)

        try:
            run_virtual(main, self.case.names)
        except Hang as hang:
            found[0].stuck = f"hangs: {hang}"
        self.keep(found[0])
        return found[0]


def _left(case: Case, server: Server, *, clean: bool) -> str:
    ours = {asyncio.current_task(), *server.tasks}
    if left := [str(task.get_coro()) for task in asyncio.all_tasks() if task not in ours]:
        return f"tasks left behind: {left}"
    if server.errors:
        return f"the server itself failed: {server.errors[0]!r}"
    if case.sockets and server.opened != server.closed:
        return f"{server.opened - server.closed} connections left open"
    if not clean and case.connections not in {None, server.opened}:
        return f"{server.opened} connections, more than {case.connections}"
    return ""


class Thread(Driver):
    """Through the network thread, in real time; failures are tried again at once."""

    def run(self, *, clean: bool) -> Outcome:
        """Read once."""
        state = copy.deepcopy(self.state)
        api = Api(self.case, time.monotonic, clean=clean)
        outcome = Outcome([], state, None, api)
        with serving_thread(api) as server:
            api.url = server.url
            try:
                with _pressing_again():
                    rows = read_ahead(self.case, connect(self.case, server.url), state)
                outcome.rows.extend(rows)
            except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - judged
                outcome.error = error
        if server.errors:
            outcome.stuck = f"the server itself failed: {server.errors[0]!r}"
        self.keep(outcome)
        return outcome


@contextmanager
def _pressing_again() -> Iterator[None]:
    """Ctrl-C again, as people do, if Python lost it: whatever finalizers raise it ignores."""
    before, main = sys.unraisablehook, threading.get_ident()

    def lost(what: Any) -> None:
        if what.exc_type is not KeyboardInterrupt:
            before(what)
            return
        # Not from here, where it would be lost as well.
        threading.Timer(0.01, signal.pthread_kill, [main, signal.SIGINT]).start()

    sys.unraisablehook = lost
    try:
        yield
    finally:
        sys.unraisablehook = before


class Dlt(Driver):
    """By dlt into DuckDB, in real time."""

    def __init__(self, case: Case, folder: Path, name: tuple[int, int]) -> None:
        super().__init__(case, folder, name)
        self._loaded = Loaded(folder)

    def rows(self) -> list[Row]:
        """What is in the database."""
        return self._loaded.rows()

    @property
    def pending(self) -> bool:  # type: ignore[override]
        """Whether a load was begun and not finished."""
        return self._loaded.pending

    def run(self, *, clean: bool) -> Outcome:
        """Read once."""
        api = Api(self.case, time.monotonic, clean=clean)
        outcome = Outcome([], None, None, api)
        with serving_thread(api) as server:
            api.url = server.url
            try:
                self._loaded.run(self.case, connect(self.case, server.url))
            except Exception as error:  # noqa: BLE001 - judged
                outcome.error = error
        if self._loaded.pending:
            outcome.stuck = "a load was left pending"
        self.state = self._loaded.state
        return outcome


class Child(Dlt):
    """By dlt, and where there are to be faults in a process of its own, under a limit."""

    def run(self, *, clean: bool) -> Outcome:
        """Read once."""
        if clean:
            return super().run(clean=True)
        from tests.faults.child import run

        api = Api(self.case, time.monotonic)
        outcome = Outcome([], None, None, api)
        with serving_thread(api) as server:
            api.url = server.url
            name, typed, shown = run(*self.name, self.case.limited, server.url, self.folder)
        for path, _, _ in os.walk(self.folder):
            Path(path).chmod(0o755)
        if name:
            outcome.error = (httpx.HTTPError if typed else RuntimeError)(f"{name}: {shown}")
        if self.case.limited in {"files", "memory", "bomb"} and outcome.error is None:
            return super().run(clean=True)  # read there into nothing, here for good
        self.state = self._loaded.state
        return outcome


def is_typed(error: BaseException) -> bool:
    """Whether `error` is one of ours or of httpx, or dlt's word for a step one has ended."""
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, BlocksError | httpx.HTTPError):
            return True
        # dlt says in which step; the cause is ours.
        if type(current).__module__.split(".")[0] != "dlt":
            return False
        current = current.__cause__
    return False


def name_of(error: BaseException | None) -> str:
    """The type of `error`, or of what it is dlt's word for."""
    current = error
    while current is not None and type(current).__module__.split(".")[0] == "dlt":
        current = current.__cause__
    return type(current or error).__name__ if error else ""
