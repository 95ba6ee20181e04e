"""A run in a process of its own, under limits that a machine may have (kind 24)."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import signal
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

# Here once, for all children of the fork server: what a limit keeps from being imported later
# would fail for another reason than the limit.
import dlt  # noqa: F401
import duckdb  # noqa: F401

import blocks.dlt  # noqa: F401
import tests.warehouse  # noqa: F401
from blocks.cursors import Cursor
from blocks.normalize import Normalizer
from tests.faults import kinds
from tests.faults.drivers import is_typed
from tests.faults.source import Loaded, connect, read_ahead, rows
from tests.faults.world import START

__all__ = ["Told", "run"]

Told = tuple[str, bool, str]
"""The name of the error, whether its type is a known one, and its traceback."""


def run(kind: int, seed: int, how: str, url: str, folder: Path) -> Told:
    """Read a case in a child under limit `how`, to its end."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_main, args=[there, kind, seed, how, url, folder], daemon=True)
    child.start()
    there.close()
    try:
        told: Told = here.recv() if here.poll(60) else ("hangs", False, "")
    except EOFError:
        child.join(10)
        told = f"died with {child.exitcode}", False, ""
    if told[0] == "hangs":
        child.kill()
    child.join(10)
    here.close()
    return told


def _main(there: Connection, kind: int, seed: int, how: str, url: str, folder: Path) -> None:
    os.environ |= {"DLT_DATA_DIR": str(folder / "home"), "DLT_PROJECT_DIR": str(folder / "home")}
    os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false"}
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # dlt and asyncio tell there what breaks
    _warm_up()
    case = kinds.KINDS[kind](Random(f"{kind}/{seed}"))
    case.faulty = True
    told: Told = ("", True, "")
    try:
        _limit(how, Random(seed), folder)
        if how in {"files", "memory", "bomb"}:
            read_ahead(case, connect(case, url), {})
        else:
            Loaded(folder).run(case, connect(case, url))
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - told
        machine = isinstance(_last(error), OSError | MemoryError) or _is_database(_last(error))
        shown = "".join(traceback.format_exception(error))
        told = type(_last(error)).__name__, is_typed(error) or machine, shown
    there.send(told)
    os._exit(0)  # with whatever the limit has broken


def _warm_up() -> None:
    tables = Normalizer("items")(
        b'[{"id": 1, "updated_at": "2024-01-01T00:00:00Z", "tags": ["a"]}]'
    )
    Cursor("updated_at", start=START, state={}).observe(tables["items"])
    assert [*rows(tables)]


def _last(error: BaseException) -> BaseException:
    while type(error).__module__.split(".")[0] == "dlt" and error.__cause__ is not None:
        error = error.__cause__
    return error


def _is_database(error: BaseException) -> bool:
    # Of dlt, or of DuckDB below: such as IOException for a file that another process holds.
    return type(error).__module__.split(".")[0] in {"_duckdb", "duckdb", "dlt"}


def _limit(how: str, rng: Random, folder: Path) -> None:
    if how == "files":
        used = sum(1 for _ in Path("/proc/self/fd").iterdir())
        most = used + rng.randint(0, 4)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    elif how in {"memory", "bomb"}:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        room = 24 if how == "memory" else 400
        most = pages * resource.getpagesize() + room * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    elif how == "disk":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        # Not amid the headers of DuckDB, which then leaves a file that it cannot open again.
        most = rng.choice([0, 60, 200]) * 1024
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    elif how == "read-only":
        for path, _, _ in os.walk(folder):
            Path(path).chmod(0o555)
        _be_nobody_special()


def _be_nobody_special() -> None:
    # Root writes wherever it likes, by two capabilities (capabilities(7)): drop them.
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    held = (ctypes.c_uint32 * 6)()
    if libc.capget(header, held) == 0:
        held[0] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        libc.capset(header, held)
