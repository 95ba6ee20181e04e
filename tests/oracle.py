"""dlt as the oracle: what its own normalizer makes of records, and what ours makes, comparable.

`expected` runs dlt's relational normalizer in memory, without files or a destination, so that
thousands of documents can be compared; the pipelines in `test_dlt.py` tie it to a database.

Property tests take their number of examples from `EXAMPLES`: some thousand documents, or with
`BLOCKS_THOROUGH=1` in the environment hundreds of thousands (an example has five on average).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from itertools import chain
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pytest
from dlt.common.configuration.container import Container
from dlt.common.destination.capabilities import DestinationCapabilitiesContext
from dlt.common.json import json as dlt_json
from dlt.common.json import may_have_pua
from dlt.common.libs.pyarrow import columns_to_arrow
from dlt.common.schema import Schema
from dlt.common.schema.exceptions import CannotCoerceNullException, DataValidationError
from dlt.normalize.items_normalizers import JsonLItemsNormalizer
from hypothesis import HealthCheck, settings

from blocks.errors import NormalizeError
from blocks.normalize import Normalizer
from blocks.normalize.dialect import Dialect

Rows = dict[str, list[dict[str, Any]]]
Runs = Sequence[Sequence[Sequence[Any]]]
"""Runs of pages of rows."""

IDS = {"_dlt_id", "_dlt_parent_id", "_dlt_root_id", "_dlt_load_id"}

settings.register_profile("quick", max_examples=60, deadline=None, derandomize=True)
settings.register_profile(
    "thorough",
    max_examples=5_000,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
EXAMPLES = settings.get_profile("thorough" if os.environ.get("BLOCKS_THOROUGH") else "quick")


REFUSALS = (NormalizeError, DataValidationError, CannotCoerceNullException)
"""What our normalizer may raise for rows that cannot become tables."""


class _Storage:
    """Where dlt's normalizer writes rows: a dict of lists."""

    def __init__(self) -> None:
        self.rows: Rows = {}

    def write_data_item(
        self, load_id: str, schema: str, table: str, row: dict[str, Any], columns: Any
    ) -> None:
        self.rows.setdefault(table, []).append(row)


def expected(
    schema: Schema,
    root: str,
    pages: Iterable[Sequence[Any]],
    nulls: dict[str, set[str]] | None = None,
) -> Rows:
    """The rows of all tables that dlt makes of `pages`; `schema` learns their columns.

    `nulls` learns those that were null and had no type at that time, by table.

    Rows go through the typed JSON lines that dlt writes when it extracts them.
    """
    storage = _Storage()
    capabilities = DestinationCapabilitiesContext.generic_capabilities("parquet")
    normalizer = JsonLItemsNormalizer(
        storage,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        schema,
        "load",
        SimpleNamespace(destination_capabilities=capabilities),  # type: ignore[arg-type]
    )
    if nulls is not None:
        normalizer._null_only_columns = nulls
    for page in pages:
        line = dlt_json.typed_dumpb(list(page))
        items = dlt_json.loadb(line)
        normalizer._normalize_chunk(root, items, may_have_pua(line), skip_write=False)
    return {
        table: _written(rows, schema.get_table_columns(table), capabilities)
        for table, rows in storage.rows.items()
    }


def _written(
    rows: list[dict[str, Any]], columns: Any, capabilities: DestinationCapabilitiesContext
) -> list[dict[str, Any]]:
    # What dlt's Parquet writer does on the way to a file; it raises for what Arrow cannot hold.
    for name, column in columns.items():
        if column["data_type"] == "json":
            for row in rows:
                if not isinstance(row.get(name), str | None):
                    row[name] = dlt_json.dumps(row[name])
    arrow = columns_to_arrow(columns, capabilities, "UTC")
    table = pa.Table.from_pylist(rows, arrow)
    for field in arrow:
        if not field.nullable and table.column(field.name).null_count:
            raise CannotCoerceNullException("", "", field.name)
    found: list[dict[str, Any]] = table.to_pylist()
    return found


def actual(
    schema: Schema, root: str, pages: Iterable[Any], rows: int = 5000, *, apart: bool = False
) -> Rows:
    """The rows of all tables that our normalizer makes of pages: bodies or parsed rows.

    With `apart` each page is looked at alone, so that later ones find all that earlier ones taught.
    """
    normalizer = Normalizer(root, dialect=Dialect(schema, "load"))
    out: Rows = {}
    streams = [[page] for page in pages] if apart else [pages]
    for tables in chain.from_iterable(normalizer.stream(stream, rows) for stream in streams):
        for name, table in tables.items():
            table.validate(full=True)
            assert_arrow_types(schema, name, table)
            out.setdefault(name, []).extend(table.to_pylist())
    return out


def assert_arrow_types(schema: Schema, name: str, table: pa.Table) -> None:
    """Each column has the Arrow type and nullability that the schema gives it."""
    dialect = Dialect(schema)
    for field in table.schema:
        column = schema.tables[name]["columns"][field.name]
        assert field.type == dialect.settled(name)[field.name][1]
        assert field.nullable == column.get("nullable", True)


def table(
    hints: Mapping[str, Mapping[str, Any]] | None = None, name: str = "items", **rest: Any
) -> Any:
    """A table of a dlt schema: `hints` of its columns, and its other properties."""
    columns = {key: {"name": key, **hint} for key, hint in (hints or {}).items()}
    return {"name": name, "columns": columns, **rest}


def with_level(level: int) -> Any:
    """A table with a limit of nesting of its own."""
    return {**table(), "x-normalizer": {"max_nesting": level}}


def schemas(
    *tables: Any,
    names: str = "snake_case",
    longest: int | None = None,
    settings: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
) -> Callable[[], Schema]:
    """What makes schemas with these tables, settings, naming and normalizer configuration."""

    def make() -> Schema:
        json_ = {"module": "dlt.common.normalizers.json.relational", "config": config or {}}
        schema = Schema("test", normalizers=cast("Any", deepcopy({"names": names, "json": json_})))
        schema.naming.max_length = cast("int", longest)
        stored = schema.to_dict()
        cast("Any", stored["settings"]).update(deepcopy(settings or {}))
        schema = Schema.from_stored_schema(stored)
        schema.naming.max_length = cast("int", longest)
        for one in tables:
            schema.update_table(deepcopy(one))
        return stored_and_restored(schema)

    return make


def stored_and_restored(schema: Schema) -> Schema:
    """The schema as the next step or run of a pipeline gets it."""
    restored = Schema.from_stored_schema(schema.to_dict())
    restored.naming.max_length = schema.naming.max_length
    return restored


@contextmanager
def merging() -> Iterator[None]:
    """A destination that knows all merge strategies, as dlt has one in context in a pipeline."""
    capabilities = DestinationCapabilitiesContext.generic_capabilities("parquet")
    capabilities.supported_merge_strategies = ["delete-insert", "upsert", "scd2", "insert-only"]
    with Container().injectable_context(capabilities):
        yield


def compare(
    runs: Runs,
    make: Callable[[], Schema] | None = None,
    *,
    rows: int = 5000,
    parsed: bool = False,
    exact: bool = False,
    apart: bool = False,
) -> None:
    """Fail unless both normalizers agree on every run, or both refuse the one that dlt refuses.

    `make` gives each a schema, which is stored and restored between runs as a pipeline does.
    Pages are JSON bodies for ours, lists of Python values if `parsed`. `exact` compares ids too,
    `apart` looks at each page alone.
    """
    make = make or schemas()
    ours, theirs = make(), make()
    for pages in runs:
        bodies: list[Any] = [
            deepcopy(list(page)) if parsed else json.dumps(page).encode() for page in pages
        ]
        try:
            want = expected(theirs, "items", deepcopy(pages))
        except (DataValidationError, CannotCoerceNullException) as error:
            with pytest.raises(type(error)):
                actual(ours, "items", bodies, rows, apart=apart)
            return
        # dlt lets errors of Python, orjson and Arrow through where it meets what it cannot do.
        except Exception:  # noqa: BLE001
            with pytest.raises(REFUSALS):
                actual(ours, "items", bodies, rows, apart=apart)
            return
        got = actual(ours, "items", bodies, rows, apart=apart)
        assert columns(ours) == columns(theirs)
        assert order(ours) == order(theirs)
        assert (plain if exact else related)(got, "items") == (plain if exact else related)(
            want, "items"
        )
        ours, theirs = stored_and_restored(ours), stored_and_restored(theirs)


def columns(schema: Schema) -> dict[str, dict[str, dict[str, Any]]]:
    """All columns of all tables of data with all their properties, and the parents of tables."""
    return {
        str(table["name"]): {
            "": {"parent": table.get("parent")},
            **{name: dict(column) for name, column in table["columns"].items()},
        }
        for table in schema.data_tables(include_incomplete=True)
    }


def order(schema: Schema) -> dict[str, list[str]]:
    """The columns of all tables as they stand, but for variants: those come after the others here.

    dlt meets a variant in the row of its first value; to know which that is, all values of all
    columns would have to be looked at one by one.
    """
    return {
        str(table["name"]): [
            name for name, column in table["columns"].items() if not column.get("variant")
        ]
        for table in schema.data_tables()
    }


def plain(rows: Rows, root: str) -> dict[str, list[str]]:
    """All rows as they are, ids included, nested ones sorted, in a comparable form."""
    found = {
        table: [
            _comparable({name: value for name, value in row.items() if value is not None})
            for row in some
        ]
        for table, some in rows.items()
    }
    return {name: some if name == root else sorted(some) for name, some in found.items()}


def related(rows: Rows, root: str) -> list[str]:
    """Root rows with the rows below them, ids replaced by nesting, in a comparable form.

    Fails if an id is used twice, a nested row has no parent or has another root than its parent.
    """
    children: dict[Any, list[tuple[str, dict[str, Any]]]] = {}
    ids: set[Any] = set()
    for table, found in rows.items():
        for row in found:
            assert row["_dlt_id"]
            assert row["_dlt_id"] not in ids
            ids.add(row["_dlt_id"])
            if table != root:
                children.setdefault(row["_dlt_parent_id"], []).append((table, row))
    used = 0

    def nest(row: dict[str, Any], root_id: str) -> dict[str, Any]:
        nonlocal used
        used += 1
        assert row.get("_dlt_root_id", root_id) == root_id
        below = [
            (table, child["_dlt_list_idx"], nest(child, root_id))
            for table, child in children.get(row["_dlt_id"], [])
        ]
        below.sort(key=lambda found: found[:2])
        values = {
            name: value for name, value in row.items() if name not in IDS and value is not None
        }
        return {**values, "": below}

    nested = [_comparable(nest(row, row["_dlt_id"])) for row in rows.get(root, [])]
    assert used == len(ids)
    return nested


def _comparable(row: dict[str, Any]) -> str:
    return json.dumps(row, sort_keys=True, default=_text)


def _text(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else repr(value)
