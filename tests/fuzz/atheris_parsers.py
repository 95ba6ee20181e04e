"""Coverage-guided fuzzing of the parsers, for hours rather than seconds.

    python -m tests.fuzz.atheris_parsers links -runs=1000000

Needs `atheris`. Any exception but those that a parser promises ends the run, with the input. It
begins with the samples of the other fuzzers, as what expressions in C do is not seen: from nothing
it found a corpus of two texts for `waits`.
"""

from __future__ import annotations

import gc
import inspect
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx

from blocks.errors import CursorError
from blocks.headers import retry_after
from blocks.instants import instant
from blocks.json import keys
from blocks.links import parse
from blocks.quotas import Quotas, RateLimit, Salesforce, XRateLimit
from tests.fuzz.test_fuzz_headers import FIELDS, LINKS, WAITS
from tests.fuzz.test_fuzz_times import STAMPS

NOW = datetime(2026, 6, 2, 12, 0, tzinfo=UTC)
_QUOTAS: list[Quotas] = [RateLimit(), XRateLimit("date", "RateLimit-"), Salesforce()]


def waits(data: bytes) -> None:
    """Retry-After."""
    seconds = retry_after(httpx.Response(429, headers=[(b"Retry-After", data)]), NOW)
    assert seconds is None or seconds >= 0


def links(data: bytes) -> None:
    """Link."""
    with suppress(ValueError):
        parse([data.decode("latin-1")])


def quotas(data: bytes) -> None:
    """RateLimit and its kin."""
    names = ("RateLimit", "RateLimit-Remaining", "RateLimit-Reset", "Sforce-Limit-Info")
    headers = [(name.encode(), part) for name, part in zip(names, data.split(b"\n"), strict=False)]
    # One for all, which is most of the time; readers change nothing of it.
    response = httpx.Response(200, headers=headers)
    for reader in _QUOTAS:
        list(reader(response, NOW))


def times(data: bytes) -> None:
    """RFC 3339."""
    with suppress(CursorError):
        instant(data.decode("utf-8", "surrogateescape"), "UTC")


def paths(data: bytes) -> None:
    """Paths into JSON."""
    with suppress(ValueError):
        keys(data.decode("utf-8", "surrogateescape"))


PARSERS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each for each in (waits, links, quotas, times, paths)
}

SAMPLES: dict[str, Sequence[str]] = {
    "waits": WAITS,
    "links": LINKS,
    "quotas": [
        *FIELDS["RateLimit"],
        *(f"\n{left}\n{reset}" for left in "50" for reset in FIELDS["RateLimit-Reset"]),
        *(f"\n\n\n{usage}" for usage in FIELDS["Sforce-Limit-Info"]),
    ],
    "times": STAMPS,
    "paths": ["data", "data.items", "a.0.b", "a..b", '"a.b".c', ""],
}


def begin(name: str) -> str:
    """A new folder with the samples of a parser, each in a file."""
    folder = Path(tempfile.mkdtemp(prefix=f"blocks-{name}-"))
    for number, text in enumerate(SAMPLES[name]):
        (folder / str(number)).write_bytes(text.encode())
    return str(folder)


if __name__ == "__main__":
    import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

    # Ours alone: httpx's thousands take a minute.
    for function in filter(inspect.isfunction, gc.get_objects()):
        if str(function.__module__).startswith("blocks."):
            atheris.instrument_func(function)
    name = sys.argv.pop(1)
    atheris.Setup([*sys.argv, begin(name)], PARSERS[name])
    atheris.Fuzz()
