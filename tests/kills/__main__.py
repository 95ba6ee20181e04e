"""Print the whole matrix, with and without recovery.

    python -m tests.kills [trials at random times, default 20]

Two processes at a time; with 20 trials of each configuration half an hour on two idle cores.
"""

from __future__ import annotations

import platform
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from importlib import metadata
from pathlib import Path

from tests.kills.matrix import Case, Process, Verdict, cases, configurations, judge

WORKERS = 2

Judge = Callable[[Sequence[Case], bool], list[Verdict]]


def main() -> None:
    """Judge every case twice, and print what did harm."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    began = time.perf_counter()
    print(f"Python {platform.python_version()}, dlt {metadata.version('dlt')}; rows lost, rows")
    print("doubled, and those of loads that are not in _dlt_loads or loads that are there twice\n")
    print(f"{'configuration':44} {'point':8} {'without':>28} {'with recover':>28}")
    alone: list[Verdict] = []
    helped: list[Verdict] = []
    with judging() as judged:
        for kind in configurations():
            chosen = [*cases(kind, trials)]
            before, after = judged(chosen, False), judged(chosen, True)
            for line in rows(chosen, before, after):
                print(f"{kind.kind:44} {line}", flush=True)
            print(f"{kind.kind:44} {'':8} {total(before):>28} {total(after):>28}\n", flush=True)
            alone += before
            helped += after
    print(f"{'all':44} {'':8} {total(alone):>28} {total(helped):>28}")
    print(f"\n{time.perf_counter() - began:.0f} seconds")


@contextmanager
def judging() -> Iterator[Judge]:
    """What judges cases, with or without recovery, in several processes."""
    local = threading.local()
    processes: list[Process] = []

    with tempfile.TemporaryDirectory() as name:

        def start() -> None:
            local.folder = Path(name) / f"{threading.get_ident()}"
            local.folder.mkdir()
            local.process = Process(local.folder / "errors.txt")
            processes.append(local.process)

        def one(case: Case, recover: bool) -> Verdict:
            return judge(local.process, case, local.folder, recover=recover)

        with ThreadPoolExecutor(WORKERS, initializer=start) as pool:
            try:
                yield lambda chosen, recover: [*pool.map(partial(one, recover=recover), chosen)]
            finally:
                for process in processes:
                    process.close()


def rows(
    chosen: Sequence[Case], before: Sequence[Verdict], after: Sequence[Verdict]
) -> Iterator[str]:
    """The cells of one configuration that had a fault."""
    for case, alone, helped in zip(chosen, before, after, strict=True):
        if not (alone.good and helped.good):
            point = f"{case.point} {case.nth}" if case.point else f"{case.after:.2f} s"
            yield f"{point:8} {told(alone):>28} {told(helped):>28}"


def told(verdict: Verdict) -> str:
    """A verdict in short."""
    if not verdict.hit:
        return "not hit"
    if verdict.good:
        return "-"
    numbers = f"{verdict.lost} / {verdict.doubled} / {verdict.unfinished}"
    return f"stuck, {numbers}" if verdict.stuck else numbers


def total(verdicts: Sequence[Verdict]) -> str:
    """How many of the kills that were hit did harm."""
    hit = [verdict for verdict in verdicts if verdict.hit]
    return f"{sum(not each.good for each in hit)} of {len(hit)} did harm"


if __name__ == "__main__":
    main()
