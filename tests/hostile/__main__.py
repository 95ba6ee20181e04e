"""All matrices: `python -m tests.hostile`, every cell; `--quick` as in the tests."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.hostile.table import Line


def main() -> int:
    """Print the table, and say whether anything leaked."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger("blocks").setLevel(logging.CRITICAL)
    cells = leaks = 0
    print(f"{'kind':<34}{'cells':>8}{'leaks':>7}")
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"DLT_DATA_DIR": home, "DLT_PROJECT_DIR": home}
        os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "CRITICAL"}
        for line in lines(Path(home), quick=quick):
            cells, leaks = cells + line.cells, leaks + len(line.leaks)
            print(f"{line.kind:<34}{line.cells:>8}{len(line.leaks):>7}  {line.said}", flush=True)
            for leak in line.leaks[:5]:
                print(f"    {leak}")
    print(f"{'all':<34}{cells:>8}{leaks:>7}")
    return 1 if leaks else 0


def lines(home: Path, *, quick: bool) -> Iterator[Line]:
    """Each kind when it is done."""
    from tests.hostile import bombs, canaries, discipline, exhaustion, origins

    yield from origins.matrix(7 if quick else 1)
    yield canaries.errors()
    yield canaries.runs(home, ["query", "refresh"] if quick else [*origins.KINDS])
    yield bombs.bombs()
    yield bombs.depth()
    yield exhaustion.cuts()
    yield exhaustion.numbers(10**5 if quick else 10**6)
    yield exhaustion.waits()
    yield discipline.storms(24 if quick else 1000)
    yield discipline.turns(4000 if quick else 10**6)
    yield discipline.kills(4 if quick else 200)


if __name__ == "__main__":
    sys.exit(main())
