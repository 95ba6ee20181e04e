"""The fault world: `python -m tests.faults --seeds 200`, or `--kind 7 --seed 13` for one run.

Each run ends in A, every record there exactly once, or in B, a clear error, nothing moved, and the
next run without faults gives A. Anything else has failed. `--peer dlt` has dlt's own `rest_api`
source read the same worlds, where it can be asked to.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import signal
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence

from tests.faults.kinds import KINDS
from tests.faults.runs import Result, trial

# Seconds that no run may take, even where it is not on virtual time.
_LONGEST = 300


def main() -> int:
    """Run what is asked for, print the table, and say whether any run failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kind", type=int, choices=sorted(KINDS), action="append")
    parser.add_argument("--seed", type=int, help="this seed alone")
    parser.add_argument("--seeds", type=int, default=8, help="seeds of each kind, from 0")
    parser.add_argument("--peer", choices=["dlt"], help="dlt's rest_api instead of blocks")
    asked = parser.parse_args()
    # One of the faults is Ctrl-C, which a job in the background of a script ignores.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    seeds = range(asked.seeds) if asked.seed is None else range(asked.seed, asked.seed + 1)
    failed: list[Result] = []
    everything: list[Result] = []
    print(f"{'kind':<19}{'runs':>6}{'A':>6}{'B':>6}{'failed':>8}{'lost':>7}{'doubled':>9}", end="")
    print(f"{'leaked':>8}{'seconds':>9}")
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"DLT_DATA_DIR": home, "DLT_PROJECT_DIR": home}
        os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "WARNING"}
        for kind in asked.kind or _able(asked.peer):
            results = [*_trials(kind, seeds, peer=asked.peer is not None)]
            everything += results
            print(line(f"{kind:>2} {KINDS[kind].__name__.replace('_', ' ')}", results), flush=True)
            failed += [result for result in results if result.verdict == "failed"]
            if asked.seed is not None:
                print(*results, sep="\n")
    print(line("   all", everything))
    print(*failed, sep="\n")
    return 1 if failed else 0


def _able(peer: str | None) -> list[int]:
    if peer is None:
        return sorted(KINDS)
    from tests.faults.peer import KINDS as ABLE

    return sorted(ABLE)


def _trials(kind: int, seeds: Sequence[int], *, peer: bool) -> list[Result]:
    results = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if peer else "default")
        for seed in seeds:
            faulthandler.dump_traceback_later(_LONGEST, exit=True)
            if result := trial(kind, seed, peer=peer):
                results.append(result)
    faulthandler.cancel_dump_traceback_later()
    return results


def line(name: str, results: Sequence[Result]) -> str:
    """A row of the table."""
    found = Counter(result.verdict for result in results)
    counts = [len(results), found["A"], found["B"], found["failed"]]
    counts += [sum(each.lost for each in results), sum(each.doubled for each in results)]
    counts += [sum(each.leaked > 0 for each in results)]
    numbers = "".join(map("{:>{}}".format, counts, (6, 6, 6, 8, 7, 9, 8)))
    return f"{name:<19}{numbers}{sum(each.seconds for each in results):>9.1f}"


if __name__ == "__main__":
    sys.exit(main())
