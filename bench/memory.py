"""One corpus through the normalizer in a process of its own: its cost and its peak memory.

    python bench/memory.py CORPUS RECORDS

Pages are made one by one while the normalizer reads, so that the input takes no memory, and the
time to make them is left out. Prints one line of JSON: `megabytes` of input, CPU `seconds`, and
`peak`, the MB of resident memory over those after all imports and the making of one page.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Iterator
from pathlib import Path

from bench.corpora import CORPORA, Corpus
from blocks.normalize import Normalizer

SEED = 1


class Pages:
    """The pages of a corpus, with the time spent on making them and their size."""

    def __init__(self, corpus: Corpus, records: int) -> None:
        self.seconds = 0.0
        self.size = 0
        self._source = corpus(records, SEED)

    def __iter__(self) -> Iterator[bytes]:
        while True:
            start = time.process_time()
            page = next(self._source, None)
            self.seconds += time.process_time() - start
            if page is None:
                return
            self.size += len(page)
            yield page


def resident() -> float:
    """The MB of memory this process has now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", choices=list(CORPORA))
    parser.add_argument("records", type=int)
    arguments = parser.parse_args()
    corpus = CORPORA[arguments.corpus]
    # A block of issues is made at once: it is part of the input, not of what is measured.
    for _ in corpus(min(arguments.records, 5_000), SEED):
        pass
    baseline = resident()
    pages = Pages(corpus, arguments.records)
    start = time.process_time()
    for _ in Normalizer(arguments.corpus).stream(pages):
        pass
    spent = time.process_time() - start - pages.seconds
    # Linux counts in kibibytes, https://man7.org/linux/man-pages/man2/getrusage.2.html
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(
        json.dumps(
            {"megabytes": pages.size / 1e6, "seconds": spent, "peak": max(0.0, peak - baseline)}
        )
    )


if __name__ == "__main__":
    main()
