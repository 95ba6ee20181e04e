"""Cursors: what it costs to observe one, beside normalizing the rows, and what it keeps.

    python bench/cursors.py [rows, default 200000]

Orders as JSON pages of 1,000 rows are normalized, and the wide issues of `normalize.py`, of which a
row has twelve times the bytes; cursors over several columns observe the tables of the orders and
mask them (`within`). dlt's incremental sees the same rows, as these tables and as parsed JSON, in a
resource that is read to its end with it and without. CPU time, the best of three rounds, in turn.
Then the size of the state after so many rows that share the highest time.
"""

from __future__ import annotations

import json
import logging
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from importlib.metadata import version
from typing import Any

import dlt
import pyarrow as pa
import pyarrow.compute as pc

from bench.corpora import issues
from blocks.cursors import Cursor
from blocks.kinds import Dates, Epoch, Integers, Kind, Pattern, Texts, Times
from blocks.normalize import Normalizer

ROUNDS = 3
PAGE = 1000
ISSUES = 10_000
START = "2024-01-01T00:00:00Z"
COLUMNS: dict[str, tuple[Kind, Any]] = {
    "updated_at": (Times(), START),
    "epoch": (Epoch("ms"), START),
    "id": (Integers(), 0),
    "text": (Times(), START),
    "nanos": (Times(), START),
    "day": (Dates(zone="America/New_York"), START),
    "digits": (Integers(), 0),
    "seconds": (Epoch("s"), START),
    "code": (Texts(), ""),
    "local": (Pattern("%d.%m.%Y %H:%M", zone="Europe/Berlin"), START),
    "clock": (Pattern("%d.%m.%Y %H:%M:%S", zone="Europe/Berlin"), START),
    "mail": (Pattern("%a, %d %b %Y %H:%M:%S GMT"), START),
}
TEXTS = {
    "text": "%Y-%m-%dT%H:%M:%SZ",
    "day": "%Y-%m-%d",
    "code": "01HV%Y%m%d%H%M%SQ",
    "clock": "%d.%m.%Y %H:%M:%S",
    "mail": "%a, %d %b %Y %H:%M:%S GMT",
}


def order(number: int) -> dict[str, Any]:
    """One row; a new second each, a new minute for sixty."""
    day, second = divmod(number, 86400)
    clock = f"{second // 3600:02}:{second // 60 % 60:02}"
    return {
        "id": number,
        "updated_at": f"2024-05-{day + 1:02}T{clock}:{second % 60:02}Z",
        "epoch": 1714521600000 + number * 1000,
        # Right by RFC 3339, but text to the normalizer.
        "nanos": f"2024-05-{day + 1:02}t{clock}:{second % 60:02}.123456789z",
        "digits": f"{number}",
        "seconds": 1714521600.25 + number,
        "local": f"{day + 1:02}.05.2024 {clock}",
        "status": ("open", "paid", "sent")[number % 3],
        "total": number % 997 / 7,
        "customer": {
            "id": number % 5000,
            "name": f"customer {number % 5000}",
            "vip": not number % 9,
        },
        "note": f"order {number} of a customer who wants it soon",
    }


def tables(bodies: Iterable[bytes]) -> Iterator[pa.Table]:
    """What the normalizer makes of pages."""
    for found in Normalizer("orders").stream(bodies, 5000):
        yield found["orders"]


def texts(table: pa.Table) -> pa.Table:
    """With the times as texts too, each another but for the days."""
    times = pc.cast(table["updated_at"], pa.timestamp("s", "UTC"))
    for name, form in TEXTS.items():
        table = table.append_column(name, pc.strftime(times, format=form))
    return table


def least(*works: Callable[[], object]) -> list[float]:
    """CPU seconds of each, the best of some rounds taken in turn."""
    found: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for work, spent in zip(works, found, strict=True):
            began = time.process_time()
            work()
            spent.append(time.process_time() - began)
    return [min(spent) for spent in found]


def observed(given: list[pa.Table], column: str, *, mask: bool) -> None:
    """A cursor over all tables."""
    kind, start = COLUMNS[column]
    until = "2099-01-01T00:00:00Z" if isinstance(kind.step, timedelta) else None
    seen = Cursor(column, start=start, state={}, until=until, kind=kind)
    for table in given:
        seen.observe(table)
        if mask:
            seen.within(table)


def read(batches: list[Any], column: str | None) -> None:
    """All batches through a dlt resource, with its incremental over a column."""
    resource = dlt.resource(batches, name="orders", primary_key="id")
    if column is not None:
        resource.add_step(dlt.sources.incremental(column, primary_key="id"))
    for _ in resource:
        pass


def state_of_dlt(ties: int) -> int:
    """Bytes of the state that dlt's incremental keeps."""
    rows = [{"id": number, "updated_at": START} for number in range(ties)]

    @dlt.resource(name="orders", primary_key="id")
    def orders(
        at: Any = dlt.sources.incremental("updated_at"),  # noqa: ARG001, B008
    ) -> Iterator[Any]:
        yield rows

    with tempfile.TemporaryDirectory() as folder:
        pipeline = dlt.pipeline("bench_cursors", pipelines_dir=folder, destination="duckdb")
        pipeline.extract(orders)
        return len(json.dumps(pipeline.state["sources"], default=str))


def state_of_ours(ties: int) -> int:
    """Bytes of the state that a cursor keeps."""
    state: dict[str, Any] = {}
    instant = pa.scalar(1714521600, pa.timestamp("s", "UTC"))
    seen = Cursor("updated_at", start=START, state=state)
    for first in range(0, ties, 5000):
        seen.observe(pa.table({"updated_at": pa.repeat(instant, min(5000, ties - first))}))
    return len(json.dumps(state))


def line(name: str, *values: str) -> None:
    """One row of a table."""
    print(f"{name:54}" + "".join(f"{value:>16}" for value in values))


def main(rows: int) -> None:
    """Print the tables."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("dlt", "pyarrow"))
    print(f"Python {platform.python_version()}, {packages}; {rows:,} rows, best of {ROUNDS}\n")
    parsed = [
        [order(number) for number in range(first, min(first + PAGE, rows))]
        for first in range(0, rows, PAGE)
    ]
    bodies = [json.dumps(page).encode() for page in parsed]
    made = [texts(table) for table in tables(bodies)]

    wide = [*issues(ISSUES, seed=1)]
    normalizing, widely = least(lambda: [*tables(bodies)], lambda: [*tables(wide)])
    scale = 1e6 / rows
    widely *= rows / ISSUES
    line("CPU s per million rows", "s", "of orders", "of issues")
    for name, pages, count, spent in (
        ("orders", bodies, rows, normalizing),
        ("issues", wide, ISSUES, widely),
    ):
        size = sum(map(len, pages)) / count
        line(f"normalizing {name}, {size:,.0f} B a row", f"{spent * scale:.2f}", "")

    def said(name: str, seconds: float) -> None:
        shares = (f"{seconds / spent:.2%}" for spent in (normalizing, widely))
        line(name, f"{seconds * scale:.3f}", *shares)

    for column, (kind, _) in COLUMNS.items():
        what = f"{type(kind).__name__}, {column}: {made[0].schema.field(column).type}"
        once, both = least(
            lambda column=column: observed(made, column, mask=False),  # type: ignore[misc]
            lambda column=column: observed(made, column, mask=True),  # type: ignore[misc]
        )
        said(f"observe: {what}", once)
        said("  and within", both)
    for name, batches in {"Arrow": made, "parsed JSON": parsed}.items():
        bare, with_one = least(
            lambda batches=batches: read(batches, None),  # type: ignore[misc]
            lambda batches=batches: read(batches, "updated_at"),  # type: ignore[misc]
        )
        said(f"dlt's incremental: {name}", with_one - bare)

    print()
    logging.getLogger("dlt").setLevel(logging.ERROR)  # it warns of what is measured here
    line("rows that share the highest time", "bytes of state")
    for ties in (1, 1000, 1_000_000):
        line(f"Cursor, {ties:,}", f"{state_of_ours(ties):,}")
    for ties in (1, 1000, 10_000):
        line(f"dlt's incremental, {ties:,}", f"{state_of_dlt(ties):,}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 200_000)
