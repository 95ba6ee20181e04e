"""Coverage-guided fuzzing of the parsers, for hours rather than seconds.

    python -m tests.fuzz.atheris_parsers links -runs=1000000

Needs `atheris`. Any exception but those that a parser promises ends the run, with the input.
"""

from __future__ import annotations

import gc
import inspect
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import httpx

from blocks.errors import CursorError
from blocks.headers import retry_after
from blocks.instants import instant
from blocks.json import keys
from blocks.links import parse
from blocks.quotas import Quotas, RateLimit, Salesforce, XRateLimit

NOW = datetime(2026, 6, 2, 12, 0, tzinfo=UTC)


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
    readers: list[Quotas] = [RateLimit(), XRateLimit("date", "RateLimit-"), Salesforce()]
    for reader in readers:
        list(reader(httpx.Response(200, headers=headers), NOW))


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

if __name__ == "__main__":
    import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

    # Ours alone: httpx's thousands take a minute.
    for function in filter(inspect.isfunction, gc.get_objects()):
        if str(function.__module__).startswith("blocks."):
            atheris.instrument_func(function)
    chosen = PARSERS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, chosen)
    atheris.Fuzz()
