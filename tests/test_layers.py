"""Which module may import which: blocks do not know each other, and stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import blocks

ROOT = Path(blocks.__file__).parent

# What each module imports beside the standard library: modules of ours by their dotted names,
# others' packages by theirs. An entry speaks for the modules under it that have none of their own;
# modules of one package (`blocks.normalize.*`) may import each other.
# A new edge is added here in the commit that needs it, with the reason.
ALLOWED: dict[str, set[str]] = {
    "blocks": set(),
    "blocks.errors": {"httpx"},
    "blocks.json": {"msgspec", "orjson"},
    # Why a body is none.
    "blocks.flaws": set(),
    # Pure functions over the header fields of one standard each.
    "blocks.headers": {"httpx"},
    "blocks.links": {"httpx"},
    # What happens, told to whoever listens: publishers and listeners meet here only.
    "blocks.events": set(),
    # The words for what came of a request, which those who decide and those who act share.
    "blocks.outcomes": {"blocks.errors", "httpx"},
    # The blocks that talk.
    "blocks.secrets": {"blocks.errors"},
    "blocks.auth": {"blocks.errors", "blocks.secrets", "httpx"},
    # Credentials that expire: how a token is had, by whom, and by which grant. Bodies that mean
    # "log in again" have been marked by whoever judges them.
    "blocks.exchanges": {"blocks.errors", "httpx"},
    "blocks.tokens": {
        *("blocks.errors", "blocks.exchanges", "blocks.outcomes", "blocks.secrets"),
        *("anyio", "httpx"),
    },
    "blocks.grants": {
        *("blocks.errors", "blocks.exchanges", "blocks.json", "blocks.secrets", "blocks.tokens"),
        "httpx",
    },
    "blocks.oauth": {
        *("blocks.errors", "blocks.grants", "blocks.secrets", "blocks.tokens", "httpx"),
    },
    # PyJWT, cryptography and botocore are extras, imported when first used.
    "blocks.assertions": {
        *("blocks.errors", "blocks.grants", "blocks.secrets", "cryptography", "jwt"),
    },
    # A session is a token, sent as the header or cookie of `blocks.auth`.
    "blocks.sessions": {
        *("blocks.auth", "blocks.errors", "blocks.exchanges", "blocks.json", "blocks.tokens"),
        *("httpx", "msgspec"),
    },
    "blocks.signing": {"blocks.auth", "blocks.errors", "blocks.secrets", "botocore", "httpx"},
    "blocks.credentials": {"blocks.errors", "blocks.headers", "blocks.secrets", "httpx"},
    # Paging, from small to large: the next request, where in it a value goes, which value, and
    # when to stop. Totals are compared with where a numbered paginator stands.
    "blocks.requests": {"blocks.errors", "blocks.links", "httpx"},
    "blocks.places": {
        *("blocks.errors", "blocks.flaws", "blocks.json", "blocks.requests", "httpx", "msgspec"),
    },
    "blocks.paginators": {
        *("blocks.errors", "blocks.json", "blocks.links", "blocks.places", "blocks.requests"),
        "httpx",
    },
    # A page is older than a cursor by the cursor's kind of values.
    "blocks.stops": {
        *("blocks.errors", "blocks.json", "blocks.kinds", "blocks.paginators", "blocks.places"),
        "httpx",
    },
    # A list whose place is lost is begun again, whatever makes its pages.
    "blocks.restarts": {"blocks.errors", "httpx"},
    # A search that shows so many rows is begun again at a value of the last.
    "blocks.caps": {
        *("blocks.errors", "blocks.json", "blocks.kinds", "blocks.paginators", "blocks.places"),
        "httpx",
    },
    # A paginator, and a rule for what counts as an error.
    "blocks.graphql": {
        *("blocks.errors", "blocks.json", "blocks.outcomes", "blocks.paginators"),
        *("blocks.places", "blocks.quotas", "httpx", "msgspec"),
    },
    # Limits, from small to large: arithmetic, what APIs say is left, one thing to wait for, the
    # waiting itself, a rate and its transport; then other kinds of limits, which are made of these.
    "blocks.turns": set(),
    "blocks.quotas": {
        *("blocks.bodies", "blocks.errors", "blocks.headers", "blocks.json", "http_sf"),
        *("httpx", "msgspec"),
    },
    "blocks.parts": {"blocks.errors", "blocks.quotas", "blocks.turns", "httpx"},
    "blocks.waiting": {"blocks.events", "blocks.parts", "anyio", "httpx"},
    "blocks.limits": {
        *("blocks.errors", "blocks.headers", "blocks.outcomes", "blocks.parts", "blocks.quotas"),
        *("blocks.turns", "blocks.waiting", "httpx"),
    },
    "blocks.slots": {
        *("blocks.errors", "blocks.events", "blocks.limits", "blocks.parts", "anyio", "httpx"),
    },
    "blocks.pools": {"blocks.errors", "blocks.limits", "blocks.parts", "httpx"},
    "blocks.adaptive": {
        *("blocks.errors", "blocks.limits", "blocks.parts", "blocks.quotas", "httpx"),
    },
    # JSON that only the end of the connection ends is looked at for its own end.
    "blocks.bodies": {
        *("blocks.errors", "blocks.events", "blocks.json", "anyio", "httpx", "msgspec", "zlib_ng"),
    },
    # A rule is about a whole body, and read before anybody else has it.
    "blocks.rules": {
        *("blocks.bodies", "blocks.errors", "blocks.events", "blocks.json", "blocks.outcomes"),
        *("httpx", "msgspec"),
    },
    # An attempt includes its body, so what can go wrong there is Retry's to classify.
    "blocks.retries": {
        *("blocks.bodies", "blocks.errors", "blocks.events", "blocks.headers", "blocks.outcomes"),
        *("anyio", "httpx"),
    },
    # Which addresses links from others may lead to.
    "blocks.addresses": set(),
    "blocks.connections": {"blocks.addresses", "blocks.errors", "aiohttp", "httpx", "yarl"},
    # What waits: pages for answers, prefetch for pages. The client puts every transport in place.
    "blocks.guards": {"blocks.errors", "httpx"},
    "blocks.fetch": {
        *("blocks.errors", "blocks.events", "blocks.guards", "blocks.outcomes", "anyio", "httpx"),
    },
    # Children of many parents, and many ids in one request; an answer is skipped by its verdict.
    # Both iterate what a caller makes, and have to end it in the task that began it.
    "blocks.closing": set(),
    "blocks.fanout": {
        *("blocks.closing", "blocks.errors", "blocks.events", "blocks.outcomes"),
        *("anyio", "httpx", "pyarrow"),
    },
    "blocks.batches": {
        *("blocks.closing", "blocks.errors", "blocks.events", "blocks.outcomes", "httpx"),
    },
    "blocks.nested": {
        *("blocks.errors", "blocks.fetch", "blocks.json", "blocks.paginators", "blocks.places"),
        *("anyio", "httpx"),
    },
    "blocks.network": {"blocks.errors"},
    # What others write about our requests.
    "blocks.logs": {"httpx"},
    # A redirect is one more request, made as paginators make them, unless a rule knew better.
    "blocks.redirects": {
        *("blocks.connections", "blocks.errors", "blocks.links", "blocks.outcomes"),
        *("blocks.requests", "httpx"),
    },
    "blocks.client": {
        *("blocks", "blocks.bodies", "blocks.connections", "blocks.errors", "blocks.limits"),
        *("blocks.logs", "blocks.redirects", "blocks.retries", "httpx"),
    },
    # Jobs wait for an API; ids that outlive a run are noted in a ledger. What a job made is
    # streamed, and so retried, from where it was cut, by whoever downloads it.
    "blocks.ledger": {"blocks.errors", "httpx"},
    "blocks.jobs": {
        *("blocks.errors", "blocks.fetch", "blocks.headers", "blocks.ledger", "blocks.places"),
        *("anyio", "httpx"),
    },
    "blocks.downloads": {
        *("blocks", "blocks.connections", "blocks.errors", "blocks.events", "blocks.formats"),
        *("blocks.headers", "blocks.logs", "blocks.outcomes", "blocks.requests"),
        *("blocks.retries", "anyio", "httpx"),
    },
    # The blocks that understand. A cursor imports pyarrow when it is given a table, not before.
    "blocks.formats": {"blocks.errors", "pyarrow", "zlib_ng"},
    "blocks.fields": {"blocks.errors", "pyarrow"},
    "blocks.deletes": {"blocks.errors", "blocks.json", "blocks.places", "httpx", "pyarrow"},
    # What remembers, from small to large: times in columns, instants, the values APIs write, ranges
    # of them, how far one was read; for each parent; and the gaps of a range, which windows fill.
    "blocks.clocks": {"pyarrow"},
    "blocks.layouts": {"pyarrow"},
    "blocks.instants": {"blocks.clocks", "blocks.errors", "blocks.layouts", "pyarrow"},
    "blocks.kinds": {
        *("blocks.clocks", "blocks.errors", "blocks.instants", "blocks.layouts", "pyarrow"),
    },
    "blocks.cursors": {"blocks.errors", "blocks.kinds", "pyarrow"},
    "blocks.partitions": {"blocks.cursors", "blocks.errors", "blocks.kinds", "pyarrow"},
    "blocks.calendars": {"blocks.errors", "blocks.instants", "blocks.kinds"},
    "blocks.intervals": {"blocks.calendars", "blocks.errors", "blocks.kinds"},
    "blocks.windows": {
        *("blocks.errors", "blocks.events", "blocks.intervals", "blocks.outcomes"),
        *("anyio", "httpx"),
    },
    "blocks.normalize": {"blocks.errors", "blocks.flaws", "blocks.json", "msgspec", "pyarrow"},
    # Asks dlt for the names and types it would give.
    "blocks.normalize.dialect": {"blocks.errors", "dlt", "pyarrow"},
    "blocks.normalize.names": {"dlt"},
    "blocks.normalize.undo": {"dlt"},
    "blocks.normalize.values": {"blocks.errors", "dlt", "pendulum"},
    # On top, the binding to dlt.
    "blocks.dlt": {
        *("blocks.cursors", "blocks.errors", "blocks.events", "blocks.intervals", "blocks.json"),
        *("blocks.kinds", "blocks.normalize", "blocks.normalize.dialect", "blocks.partitions"),
        *("dlt", "httpx", "pyarrow"),
    },
    "blocks.fast": {"blocks.dlt", "dlt"},
    # Around a run of a pipeline: what earlier ones left, and many runs for one history.
    "blocks.loadfiles": {"dlt", "pyarrow"},
    "blocks.recovery": {"blocks.loadfiles", "dlt"},
    "blocks.unfinished": {"blocks.errors", "dlt"},
    "blocks.backfill": {"blocks.errors", "blocks.intervals", "blocks.recovery", "dlt"},
    # Replicas of APIs for tests of sources. Trials name dlt's types only.
    "blocks.testing": {"blocks.errors"},
    "blocks.testing.trials": {"dlt"},
    "blocks.testing.fixtures": {"dlt", "duckdb", "pytest"},
    # Guesses at an API, writes sources: it names most blocks. dlt says how odd columns are named.
    "blocks.scaffold": {
        *("blocks.auth", "blocks.bodies", "blocks.client", "blocks.connections", "blocks.errors"),
        *("blocks.fetch", "blocks.headers", "blocks.json", "blocks.kinds", "blocks.links"),
        *("blocks.outcomes", "blocks.paginators", "blocks.quotas", "blocks.requests"),
        *("blocks.rules", "blocks.secrets", "blocks.stops", "anyio", "dlt", "httpx", "msgspec"),
    },
    # Applications: nothing imports them. The demo plays the user of dlt and DuckDB.
    "blocks.demo": {"blocks.events", "dlt", "duckdb", "httpx", "orjson", "uvicorn"},
    "blocks.__main__": {"blocks.demo", "blocks.errors", "blocks.scaffold"},
}

LIGHT = sorted(
    {name for name in ALLOWED if "." in name and "__" not in name}
    - {
        "blocks.normalize",
        "blocks.normalize.dialect",
        "blocks.normalize.names",
        "blocks.normalize.undo",
        "blocks.normalize.values",
        "blocks.dlt",
        "blocks.demo",
        "blocks.backfill",
        "blocks.fast",
        "blocks.loadfiles",
        "blocks.recovery",
        "blocks.testing.fixtures",
        "blocks.unfinished",
    }
)


def modules() -> dict[str, Path]:
    """All our modules by their dotted names."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imports(path: Path) -> Iterator[str]:
    """Dotted names that the module imports anywhere, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {path}"
            assert node.module is not None
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in modules() else node.module


def entry(name: str) -> str:
    """The entry of the table that speaks for module `name`: the longest that fits."""
    return max((key for key in ALLOWED if f"{name}.".startswith(f"{key}.")), key=len)


def package(name: str) -> str:
    """The part below `blocks` that module `name` is or is in."""
    return ".".join(name.split(".")[:2])


def edges(key: str) -> set[str]:
    """What the modules that entry `key` speaks for import, from outside of their own package."""
    found = {
        entry(other) if package(other) in ALLOWED else other.split(".")[0]
        for name, path in modules().items()
        if entry(name) == key
        for other in imports(path)
        if package(other) != package(name)
    }
    return found - sys.stdlib_module_names


@pytest.mark.parametrize("key", ALLOWED)
def test_modules_import_what_the_table_says(key: str) -> None:
    """No import that the table does not allow, and nothing in the table that is not imported."""
    assert edges(key) == ALLOWED[key]


@pytest.mark.parametrize("name", modules())
def test_every_module_is_in_the_table(name: str) -> None:
    """A new module gets an entry, its own or that of its package."""
    assert package(name) in ALLOWED


@pytest.mark.parametrize("name", LIGHT)
def test_a_light_block_is_light(name: str) -> None:
    """Importing a block loads none of dlt, DuckDB and pyarrow, which are slow to import."""
    code = f"import sys, {name}; print(*{{*sys.modules}} & {{'dlt', 'duckdb', 'pyarrow'}})"
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (child.returncode, child.stdout.strip(), child.stderr) == (0, "", "")


def test_the_package_itself_is_empty() -> None:
    """`import blocks` loads none of its modules."""
    code = "import sys, blocks; print(*(name for name in sys.modules if 'blocks.' in name))"
    output = subprocess.check_output([sys.executable, "-c", code], text=True, timeout=60)
    assert output.strip() == ""
