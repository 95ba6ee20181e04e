"""Loading: Arrow tables into a dlt extract, as if dlt's own normalizer had made them.

Nested tables are among them, and dlt's schema is left as its own normalizer would have left it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from functools import lru_cache
from typing import Any, Protocol, TypeAlias, TypeVar, cast

import dlt
import httpx
import pyarrow as pa
from dlt.common.configuration.container import Container
from dlt.common.destination.capabilities import (
    DestinationCapabilitiesContext,
    adjust_schema_to_capabilities,
)
from dlt.common.libs.pyarrow import py_arrow_to_table_schema_columns
from dlt.common.schema import Schema
from dlt.common.schema.typing import TTableSchema, TTableSchemaColumns
from dlt.common.schema.utils import is_nested_table
from dlt.common.storages.load_package import LoadPackageStateInjectableContext
from dlt.extract import DltResource
from dlt.extract.hints import make_hints
from dlt.extract.items import TableNameMeta

from blocks.errors import BodyError, ConfigError, NormalizeError
from blocks.events import Counts, scoped
from blocks.json import OrAbsent, Path, dumps, keys
from blocks.normalize import Normalizer
from blocks.normalize.dialect import Dialect
from blocks.normalize.selection import Where, select

__all__ = ["Observer", "counted", "load"]

T = TypeVar("T")

Page: TypeAlias = httpx.Response | bytes | list[Any] | pa.Table
"""A response that was read, a JSON body, or rows: parsed already, or as an Arrow table."""


Body: TypeAlias = Page | tuple[Page, Mapping[str, Any]]
"""A page, or one with values to add to each of its root rows."""


class Observer(Protocol):
    """Whoever wants to see root tables before dlt has them, such as a cursor."""

    def observe(self, table: pa.Table, /) -> None:
        """Take in the rows of a table."""


def load(
    pages: Page | Iterable[Body],
    cursor: Observer | None = None,
    *,
    path: Path | OrAbsent = "",
    table: str | None = None,
    rows: int = 5000,
    where: Where | None = None,
) -> Iterator[Any]:
    """What to yield from a dlt resource so that dlt loads the records of `pages`.

    `pages` is one page or an iterable of them; many are put together to about `rows` root rows
    a yield, or 32 MiB of JSON, because each costs dlt some milliseconds. `path` leads to the
    records in a body, with `OrAbsent` (`blocks.json`) where a list that is empty is left out.
    `table` names another table than the resource's own. `cursor` observes the root table. A page in
    a pair brings values for each of its root rows, as `fan_out` children those of their parent:
    `load((page, {"issue_id": id}) for id, page in found)`.

    `where` makes a mask of a root table (`blocks.cursors.Cursor.within`, or
    `lambda table: pc.not_equal(table["state"], "draft")`): rows it is not true of are left out with
    the nested rows below them, after `cursor` has seen them, and counted as "filtered".

    Requests, bytes, waits, retries and skips on the way are counted into dlt's custom metrics of
    the resource, in the trace.

    Raises `BodyError` for a response without readable records, `NormalizeError` for other
    pages and for values that fit no column; dlt then drops the whole extract, state included.
    """
    loader = _loader(table, path)
    current: list[Page] = []
    filtered = 0

    def bodies() -> Iterator[Any]:
        several: Any = [pages] if isinstance(pages, httpx.Response | bytes | pa.Table) else pages
        for each in counted(several):
            page, added = each if isinstance(each, tuple) else (each, {})
            current[:] = [page]
            yield (page.content if isinstance(page, httpx.Response) else page), added

    try:
        for tables in loader.normalizer.stream(bodies(), rows):
            root = tables.get(loader.root)
            if cursor is not None and root is not None:
                cursor.observe(root)
            if where is not None and root is not None:
                tables = select(tables, loader.root, where, loader.normalizer.dialect)  # noqa: PLW2901
                filtered += root.num_rows - getattr(tables.get(loader.root), "num_rows", 0)
            yield from loader.mark(tables)
    except NormalizeError as error:
        if current and isinstance(current[0], httpx.Response):
            raise BodyError(str(error), current[0]) from error
        raise
    if filtered:
        _count({"filtered": filtered})


def counted(items: Iterable[T]) -> Iterator[T]:
    """`items`, with what happens on the way to them counted into dlt's metrics of the resource.

    `load` does that for what it iterates. This is for loops around it:
    `for page in counted(prefetch(pages(...))): yield from load(page)`.
    """
    counts = Counts()
    # Counted for this resource alone.
    context = scoped(counts)
    left = iter(items)
    while True:
        try:
            item = context.run(next, left)
        except StopIteration:
            break
        yield item
    _count(counts.read())


def _count(numbers: Mapping[str, float]) -> None:
    metrics = dlt.current.resource_metrics()
    for name, number in numbers.items():
        metrics[name] = metrics.get(name, 0) + number


class _Loader:
    """One root table of one resource in one load."""

    def __init__(
        self, schema: Schema, resource: DltResource, load_id: str, table: str, path: Path | OrAbsent
    ):
        self._schema = schema
        self._resource = resource
        self._table = table
        self._hinted: dict[str, int] = {}
        self._register_root()
        self._capabilities = Container()[DestinationCapabilitiesContext]
        dialect = Dialect(schema, load_id, self._capabilities)
        self.root = dialect.table(table)
        self.normalizer = Normalizer(table, path, dialect=dialect)

    def _register_root(self) -> None:
        # As dlt's extractor does with the first item, and before the normalizer learns columns:
        # keys, hints and the contract of the resource come first.
        schema = self._schema
        meta = TableNameMeta(self._table)
        for table in self._resource.compute_tables(schema.naming, meta=meta):
            name = str(table["name"])
            contract = schema.resolve_contract_settings_for_table(name, table)
            if contract["columns"] != "evolve" and schema.is_new_table(name):
                table["x-normalizer"] = {"evolve-columns-once": True}
            allowed, _ = schema.apply_schema_contract(contract, table)
            if allowed:
                schema.update_table(
                    allowed, normalize_identifiers=False, merge_compound_props=False
                )

    def mark(self, tables: dict[str, pa.Table]) -> Iterator[Any]:
        """Say for each Arrow table which table of dlt's it is."""
        for name, table in tables.items():
            columns = self._schema.tables[name]["columns"]
            if self._hinted.get(name) != len(columns):
                self._hinted[name] = len(columns)
                if is_nested_table(self._schema.tables[name]):
                    self._hint_nested(name)
                else:
                    self._hint_types(name, table.schema)
            found = self._name_nulls(name, table)
            yield dlt.mark.with_table_name(found, self._table if name == self.root else name)

    def _name_nulls(self, name: str, table: pa.Table) -> pa.Table:
        """The table with the names of columns that are only null, for dlt to warn of.

        dlt looks at the first table of each of its files, and then at which columns have a type.
        """
        names = self.normalizer.dialect.untyped(name)
        if not names:
            return table
        metadata = {**(table.schema.metadata or {}), "dlt.null_columns": dumps(names)}
        return table.replace_schema_metadata(metadata)

    def _hint_types(self, name: str, arrow: pa.Schema) -> None:
        """Tell dlt the types that Arrow has no word for, such as json."""
        from_arrow = adjust_schema_to_capabilities(
            py_arrow_to_table_schema_columns(arrow), self._capabilities
        )
        types = {
            column: {"data_type": schema["data_type"]}
            for column, schema in self._schema.tables[name]["columns"].items()
            if column in from_arrow and schema["data_type"] != from_arrow[column]["data_type"]
        }
        if types:
            self._resource.apply_hints(columns=cast("TTableSchemaColumns", types))

    def _hint_nested(self, name: str) -> None:
        """Tell dlt that a table is nested."""
        table = self._schema.tables[name]
        # A variant made by `apply_hints` would inherit the keys and columns of the resource.
        hints = make_hints(
            table_name=name, parent_table_name=table["parent"], columns=deepcopy(table["columns"])
        )
        self._resource._set_hints(hints, create_table_variant=True)
        if not isinstance(table, _NestedTable):
            answering = _NestedTable(table, resource=self._resource.name)
            self._schema.tables[name] = cast("TTableSchema", answering)


class _NestedTable(dict[str, Any]):
    """A nested table that answers for its resource.

    dlt's extract metrics ask that of any table written to, but a nested table must not have it
    as a property.
    """

    def __init__(self, table: Mapping[str, Any], resource: str) -> None:
        super().__init__(table)
        self._resource = resource

    def __missing__(self, key: str) -> str:
        if key == "resource":
            return self._resource
        raise KeyError(key)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return deepcopy(dict(self), memo)


def _is_news(record: logging.LogRecord) -> bool:
    # dlt warns at every yield that hints, which `_hint` gave it, win over Arrow types.
    return "when merging arrow schema with dlt schema" not in record.getMessage()


logging.getLogger("dlt").addFilter(_is_news)


@lru_cache(maxsize=64)
def _cached(
    schema: Schema,
    resource: DltResource,
    load_id: str,
    table: str,
    path: tuple[Any, ...],
    beside: tuple[str, ...] | None,
) -> _Loader:
    # One loader for all calls of `load` in a run: shapes and plans are kept between pages.
    steps = [dict(step) if isinstance(step, frozenset) else step for step in path]
    place = steps if beside is None else OrAbsent(steps, beside)
    return _Loader(schema, resource, load_id, table, place)


def _loader(table: str | None, path: Path | OrAbsent) -> _Loader:
    resource = dlt.current.resource()
    name = table or resource.table_name
    if not isinstance(name, str):
        raise ConfigError(
            f"expected a fixed table name for resource {resource.name}, got a function:"
            " give load() the table for each of its calls"
        )
    load_id = Container()[LoadPackageStateInjectableContext].load_id
    beside = (*path.beside,) if isinstance(path, OrAbsent) else None
    given = path.path if isinstance(path, OrAbsent) else path
    steps = [frozenset(step.items()) if isinstance(step, Mapping) else step for step in keys(given)]
    schema = dlt.current.source_schema()
    return _cached(schema, resource, load_id, name, tuple(steps), beside)
