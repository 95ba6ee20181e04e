"""The normalizer beside dlt and other JSON readers: one table a corpus, one plot, the bars.

    python bench/normalize.py [--records N] [--repeats K] [--corpus NAME ...] [--full] [DIRECTORY]

All contenders read the same bytes in the same process and take turns; the figures are the best
of the repeats in CPU seconds (user and system, all threads), which is what one core takes, on a
machine that does other things as well. `DIRECTORY` has pages as `*.json` files, each an array of
records or one object. `--full` adds the cost and the memory of up to a million records
(`bench/memory.py`; takes some minutes).

"bare decode" is msgspec with the normalizer's own plan: once with each page dropped before the next
is decoded (the collector off; the processor's cache holds all, no use of rows can be as fast), once
with the rows kept up to the 5,000 of a yield, as their user would. "first" is a normalizer that
has seen nothing yet, "warm" one that knows the corpus.
pyarrow, polars and DuckDB make one table with nested columns, no child tables.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
# Columns that are null throughout are in the corpora on purpose.
os.environ.setdefault("RUNTIME__LOG_LEVEL", "ERROR")

import dlt
import msgspec
import orjson
import pyarrow as pa
import pyarrow.json
from dlt.common.destination.capabilities import DestinationCapabilitiesContext
from dlt.common.schema import Schema
from dlt.normalize.items_normalizers import JsonLItemsNormalizer

from bench.corpora import CORPORA
from blocks.dlt import load
from blocks.normalize import Normalizer
from blocks.normalize.compiled import compiled

# 5 to 20 MB each, less where dlt is slow: the whole run takes two to three minutes.
RECORDS = {
    "issues": 15_000,
    "events": 60_000,
    "orders": 20_000,
    "metrics": 120_000,
    "drifting": 10_000,
}
SEED = 1

Run = Callable[[], Any]
"""One run of a contender; a mapping in return is seconds by step, measured by itself."""

# Names of contenders that the bars below ask for.
OURS = "blocks, first"
WARM = "blocks, warm"
BARE = "msgspec, bare decode"
KEPT = "msgspec, bare decode, rows kept"
ARROW = "pyarrow.json"
DLT_STEP = "dlt normalize, in memory"
PIPE_OURS = "pipeline: blocks load, Parquet"
PIPE_PARQUET = "pipeline: dlt, Parquet"
PIPE_DEFAULT = "pipeline: dlt, its default"
ROWS_OURS = "pipeline, parsed rows: blocks load"
ROWS_DLT = "pipeline, parsed rows: dlt, Parquet"


@dataclass
class Result:
    """The best CPU seconds of each contender, and of each step of a pipeline, on one corpus."""

    name: str
    megabytes: float
    records: int
    seconds: dict[str, float] = field(default_factory=dict)
    steps: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, contender: str, run: Run) -> None:
        """Run once, keep the time if it is the best."""
        if contender in self.failed:
            return
        gc.collect()
        start = time.process_time()
        try:
            steps = run()
        except Exception as error:  # noqa: BLE001  # that a reader cannot is a result too
            self.failed[contender] = f"{type(error).__name__}: {error}".splitlines()[0][:80]
            return
        spent = time.process_time() - start
        if isinstance(steps, dict):
            spent = sum(steps.values())
            for step, seconds in steps.items():
                name = f"{contender}: {step}"
                self.steps[name] = min(self.steps.get(name, seconds), seconds)
        self.seconds[contender] = min(self.seconds.get(contender, spent), spent)

    def times(self, fast: str, slow: str) -> float | None:
        """How many times faster `fast` is than `slow`."""
        both = self.seconds | self.steps
        return both[slow] / both[fast] if fast in both and slow in both else None


def measure(name: str, pages: list[bytes], repeats: int) -> Result:
    """All contenders on the pages of one corpus, in turns."""
    rows = [page if isinstance(page, list) else [page] for page in map(orjson.loads, pages)]
    result = Result(name, sum(map(len, pages)) / 1e6, sum(map(len, rows)))
    lines = b"\n".join(orjson.dumps(row) for page in rows for row in page)
    with tempfile.TemporaryDirectory() as folder:
        fast = decoders(name, pages, rows) | others(lines, Path(folder) / "rows.ndjson")
        slow = pipelines(name, pages, rows) | {DLT_STEP: lambda: dlt_step(name, pages)}
        # What is fast varies most: a few more turns cost little.
        for turn in range(4 * repeats):
            for contender, run in (fast | slow if turn % 4 == 0 else fast).items():
                result.add(contender, run)
    return result


def decoders(name: str, pages: list[bytes], rows: list[list[Any]]) -> dict[str, Run]:
    """The normalizer, and what only decodes."""
    warm = Normalizer(name)
    for _ in range(2):
        exhaust(warm.stream(pages))
    # The decoder with the plan of a normalizer that has seen all keys, as without the module in C;
    # there is no public way to it.
    reader = Normalizer(name)._reader  # noqa: SLF001
    reader.read(orjson.dumps([row for page in rows for row in page]))
    reader.read(pages[0])
    bare = reader._decode  # noqa: SLF001
    untyped = msgspec.json.Decoder().decode

    def typed() -> None:
        assert bare is not None, "no plan"
        gc.disable()
        try:
            for page in pages:
                bare(page)
        finally:
            gc.enable()

    def kept() -> None:
        assert bare is not None, "no plan"
        held: list[Any] = []
        for page in pages:
            found = bare(page)
            held += found if type(found) is list else [found]
            if len(held) >= 5_000:
                held = []

    return {
        OURS: lambda: exhaust(Normalizer(name).stream(pages)),
        WARM: lambda: exhaust(warm.stream(pages)),
        BARE: typed,
        KEPT: kept,
        "msgspec, untyped": lambda: exhaust(map(untyped, pages)),
        "orjson.loads": lambda: exhaust(map(orjson.loads, pages)),
    }


def others(lines: bytes, file: Path) -> dict[str, Run]:
    """Readers of newline-delimited JSON, each on one thread; DuckDB wants them in a file."""
    found: dict[str, Run] = {}
    one_thread = pyarrow.json.ReadOptions(use_threads=False)
    found[ARROW] = lambda: pyarrow.json.read_json(pa.BufferReader(lines), one_thread)
    try:
        polars = import_module("polars")
    except ImportError:
        pass
    else:
        found["polars.read_ndjson"] = lambda: polars.read_ndjson(lines, infer_schema_length=None)
    duckdb = import_module("duckdb")
    file.write_bytes(lines)
    connection = duckdb.connect(config={"threads": 1})
    query = (
        f"SELECT * FROM read_json('{file}', format = 'newline_delimited',"
        " sample_size = -1, maximum_object_size = 100000000)"
    )
    found["duckdb read_json"] = lambda: connection.sql(query).to_arrow_table()
    return found


def exhaust(iterator: Iterator[Any]) -> None:
    for _ in iterator:
        pass


class Nowhere:
    """A storage for dlt's normalizer that keeps rows until the next page."""

    def __init__(self) -> None:
        self.rows: list[Any] = []

    def write_data_item(self, *row: Any) -> None:
        """Take what dlt would write."""
        self.rows.append(row)


def dlt_step(name: str, pages: list[bytes]) -> dict[str, float]:
    """dlt's relational normalizer without its files: no reading, no writing, only its rows."""
    storage = Nowhere()
    capabilities = DestinationCapabilitiesContext.generic_capabilities("parquet")
    unused: Any = None
    config: Any = SimpleNamespace(destination_capabilities=capabilities)
    target: Any = storage
    normalizer = JsonLItemsNormalizer(target, unused, unused, Schema(name), "load", config)
    spent = 0.0
    for page in pages:
        found = json.loads(page)
        rows = found if isinstance(found, list) else [found]
        start = time.process_time()
        # There is no public way to this step alone.
        normalizer._normalize_chunk(name, rows, False, skip_write=False)  # noqa: SLF001
        storage.rows.clear()
        spent += time.process_time() - start
    return {"normalize": spent}


def pipelines(name: str, pages: list[bytes], rows: list[list[Any]]) -> dict[str, Run]:
    """Whole pipelines up to the load; dlt's resource parses each page with the json module."""

    def blocks_pages() -> Iterator[Any]:
        yield from load(pages)

    def blocks_rows() -> Iterator[Any]:
        yield from load(rows)

    def dlt_pages() -> Iterator[Any]:
        for page in pages:
            yield json.loads(page)

    def dlt_rows() -> Iterator[Any]:
        yield from rows

    contenders = {
        PIPE_OURS: (blocks_pages, "parquet"),
        PIPE_PARQUET: (dlt_pages, "parquet"),
        PIPE_DEFAULT: (dlt_pages, "insert_values"),
        ROWS_OURS: (blocks_rows, "parquet"),
        ROWS_DLT: (dlt_rows, "parquet"),
    }

    def bind(resource: Callable[[], Iterator[Any]], file_format: str) -> Run:
        return lambda: pipeline(dlt.resource(resource, name=name), file_format)

    return {contender: bind(*how) for contender, how in contenders.items()}


def pipeline(resource: Any, file_format: Any) -> dict[str, float]:
    """CPU seconds of extract and of normalize, into an empty pipeline."""
    with tempfile.TemporaryDirectory() as folder:
        target = dlt.pipeline(
            "bench",
            pipelines_dir=str(Path(folder) / "pipelines"),
            destination=dlt.destinations.duckdb(str(Path(folder) / "bench.duckdb")),
        )
        clock = [time.process_time()]
        target.extract(resource, loader_file_format=file_format)
        clock.append(time.process_time())
        target.normalize()
        clock.append(time.process_time())
    return {"extract": clock[1] - clock[0], "normalize": clock[2] - clock[1]}


def table(result: Result) -> None:
    """Print a corpus, the fastest first."""
    megabytes = result.megabytes
    print(
        f"\n{result.name}: {result.records:,} records, {megabytes:.1f} MB of JSON,"
        f" {1e6 * megabytes / result.records:,.0f} B a record\n"
    )
    print(f"{'':38}{'seconds':>9}{'MB/s':>9}{'of bare':>9}{'blocks is':>11}")
    best = result.seconds.get(BARE)
    for name, seconds in sorted(result.seconds.items(), key=lambda item: item[1]):
        ours = OURS
        if name.startswith("pipeline"):
            ours = ROWS_OURS if "parsed" in name else PIPE_OURS
        of_bare = f"{best / seconds:9.0%}" if best else f"{'':9}"
        times = seconds / result.seconds[ours]
        print(f"{name:38}{seconds:9.3f}{megabytes / seconds:9.1f}{of_bare}{times:9.2f} x")
    for name, why in result.failed.items():
        print(f"{name:38} failed: {why}")


Bar = tuple[str, str, float, str, str]
"""A corpus, what is claimed, how many times at least, the faster, the slower."""


def bars(results: list[Result]) -> list[Bar]:
    """The claims about the corpora that were run."""
    made: list[Bar] = []
    for result in results:
        name = result.name
        if name == "drifting":
            made.append((name, "dlt extract + normalize", 2, PIPE_OURS, PIPE_PARQUET))
            continue
        share = 0.3 if name == "events" else 0.5
        made += [
            (name, "bare typed decode", share, WARM, BARE),
            (name, "bare typed decode, rows kept", share, WARM, KEPT),
            (name, "pyarrow.json", 2, OURS, ARROW),
            (name, "dlt normalize in memory", 12, OURS, DLT_STEP),
            (name, "dlt normalize step, Parquet", 12, OURS, f"{PIPE_PARQUET}: normalize"),
            (name, "dlt extract + normalize, Parquet", 20, OURS, PIPE_PARQUET),
            (name, "pipeline beside dlt, Parquet", 10, PIPE_OURS, PIPE_PARQUET),
            (name, "pipeline beside dlt, its default", 18, PIPE_OURS, PIPE_DEFAULT),
            (name, "parsed rows beside dlt, Parquet", 4, ROWS_OURS, ROWS_DLT),
        ]
    return made


def judge(results: list[Result]) -> None:
    """Print whether each bar is met."""
    print("\nBars\n")
    found = {result.name: result for result in results}
    for corpus, claim, least, fast, slow in bars(results):
        times = found[corpus].times(fast, slow)
        if times is None:
            said = "not measured"
        else:
            said = f"{times:8.2f} x   {'met' if times >= least else 'NOT MET'}"
        print(f"{corpus:10}{claim:36}{least:6.1f} x{said:>24}")


def scale() -> None:
    """Print cost and peak memory from a thousand to a million records."""
    print("\nLinear in records, flat in memory (yields of 5,000 rows; the input not counted)\n")
    print(f"{'':10}{'records':>10}{'MB':>9}{'CPU s':>9}{'ms a MB':>9}{'peak MB':>9}")
    script = Path(__file__).with_name("memory.py")
    sizes = (1_000, 10_000, 100_000, 1_000_000)
    for corpus in CORPORA:
        found: dict[int, Any] = {}
        # A column for each page: a million records would be a table of 10,000 columns.
        for records in sizes[:3] if corpus == "drifting" else sizes:
            command = [sys.executable, str(script), corpus, str(records)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[records] = row = json.loads(done.stdout)
            print(
                f"{corpus:10}{records:10,}{row['megabytes']:9.1f}{row['seconds']:9.2f}"
                f"{1e3 * row['seconds'] / row['megabytes']:9.2f}{row['peak']:9.0f}",
                flush=True,
            )
        *_, before, last = sorted(found)
        cost = {n: row["seconds"] / row["megabytes"] for n, row in found.items()}
        slower = cost[last] / cost[before]
        verdict = "met" if slower <= 1.1 else "NOT MET"
        print(f"{corpus:10}a MB of {last:,} costs {slower:.2f} of one of {before:,}: {verdict}")
        # The columns of drifting keys grow with the records, and memory with them.
        if corpus not in {"drifting", "events"}:
            larger = found[last]["peak"] / found[before]["peak"]
            verdict = "met" if larger <= 1.1 and found[last]["peak"] < 300 else "NOT MET"
            print(f"{corpus:10}peak memory is {larger:.2f} of it, under 300 MB: {verdict}")


def plot(results: list[Result], path: Path) -> None:
    """Draw MB/s of every contender, one panel a corpus, on one logarithmic scale."""
    import matplotlib as mpl  # only if there is a plot to draw

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(
        1, len(results), figsize=(3.2 * len(results) + 2.6, 4.8), sharey=True, squeeze=False
    )
    names = [name for name in results[0].seconds if "parsed" not in name]
    names.sort(key=lambda name: -results[0].seconds[name])
    for panel, result in zip(panels[0], results, strict=True):
        speeds = [result.megabytes / result.seconds.get(name, float("inf")) for name in names]
        colours = ["#d9480f" if "blocks" in name else "#adb5bd" for name in names]
        drawn = panel.barh(names, speeds, color=colours)
        panel.bar_label(drawn, [f"{speed:,.0f}" if speed else "-" for speed in speeds], padding=2)
        panel.set_xscale("log")
        panel.set_xlim(1, 6_000)
        panel.set_title(f"{result.name}, {result.megabytes:.0f} MB")
        panel.set_xlabel("MB/s of JSON, one core")
        panel.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    print(f"\nPlot: {path}")


def versions() -> str:
    """The machine and what runs on it."""
    named = []
    for name in ("dlt", "msgspec", "orjson", "pyarrow", "polars", "duckdb"):
        try:
            named.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            named.append(f"{name} not installed")
    return f"Python {platform.python_version()}, {', '.join(named)}, {platform.machine()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", nargs="?", type=Path, help="of JSON pages")
    parser.add_argument("--records", type=int, help="of each corpus")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--corpus", nargs="+", choices=list(CORPORA), default=list(CORPORA))
    parser.add_argument("--plot", type=Path, default=Path(__file__).with_name("normalize.png"))
    parser.add_argument("--full", action="store_true", help="cost and memory up to a million")
    arguments = parser.parse_args()
    inputs: dict[str, list[bytes]]
    if arguments.directory:
        files = sorted(arguments.directory.glob("*.json"))
        if not files:
            parser.error(f"expected *.json files in {arguments.directory}, got none")
        inputs = {arguments.directory.resolve().name: [file.read_bytes() for file in files]}
    else:
        inputs = {
            name: list(CORPORA[name](arguments.records or RECORDS[name], SEED))
            for name in arguments.corpus
        }
    print(versions())
    print(f"Best of {arguments.repeats} (of {4 * arguments.repeats}, what is fast), CPU seconds")
    print(f"{'With' if compiled else 'Without'} the compiled module")
    results = []
    for name, pages in inputs.items():
        results.append(measure(name, pages, arguments.repeats))
        table(results[-1])
    judge(results)
    plot(results, arguments.plot)
    if arguments.full:
        scale()


if __name__ == "__main__":
    main()
