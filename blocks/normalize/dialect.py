"""The dialect: dlt's own names, types, coercions and contracts, asked where they matter.

Everything here is decided once for a name or a column, or for single values that do not fit their
column, so that it may be slow; and it is decided by dlt's own code, so that it is right. Some of
that code is not public: the tested range of versions is pinned in `pyproject.toml`.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
from dlt.common.destination.capabilities import DestinationCapabilitiesContext
from dlt.common.libs.pyarrow import get_py_arrow_datatype
from dlt.common.normalizers.json import helpers
from dlt.common.normalizers.utils import DLT_ID_LENGTH_BYTES
from dlt.common.schema import Schema
from dlt.common.schema.exceptions import CannotCoerceColumnException, CannotCoerceNullException
from dlt.common.schema.typing import TColumnSchema, TTableSchema
from dlt.common.schema.utils import is_complete_column
from dlt.common.time import get_context_timezone_name
from dlt.normalize.items_normalizers import JsonLItemsNormalizer

from blocks.errors import NormalizeError
from blocks.normalize.names import Names
from blocks.normalize.undo import Undo

__all__ = ["Dialect"]

# What the Arrow type of a column follows from.
_TYPING = ("data_type", "precision", "scale", "timezone", "x-nested-type")


class Dialect(Names):
    """What a dlt schema says of names, types and rows; it learns new columns as they come.

    `schema` is changed in place, exactly as dlt's normalize step would change it.
    """

    def __init__(
        self,
        schema: Schema,
        load_id: str | None = None,
        capabilities: DestinationCapabilitiesContext | None = None,
    ) -> None:
        super().__init__(schema)
        self.load_id = load_id
        generic = DestinationCapabilitiesContext.generic_capabilities
        self._capabilities = capabilities or generic("parquet")
        # Its methods for rows need no storage; `__init__` only keeps what it is given.
        self._rows = JsonLItemsNormalizer(
            None,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
            schema,
            load_id or "",
            SimpleNamespace(destination_capabilities=self._capabilities),  # type: ignore[arg-type]
        )
        if any("filters" in table for table in schema.tables.values()):
            schema._compile_settings()  # as before dlt's normalize step
        self._row_id_kinds: dict[str, str] = {}
        self._places: dict[tuple[Any, ...], tuple[str, pa.DataType]] = {}
        self._undo = Undo(schema)
        self._settled: dict[str, dict[str, tuple[str, pa.DataType]]] = {}
        self._fields: dict[str, list[pa.Field]] = {}
        self._claimed: set[str] = set()
        self._changes = 0
        self.crowded = False
        self.clashing = False
        self._refused_tables: set[str] = set()
        self._refused: dict[str, dict[str, str]] = {}

    @classmethod
    def new(cls, name: str) -> Dialect:
        """The rules of a new schema."""
        return cls(Schema(name))

    # News

    def claim(self, table: str) -> None:
        """Note that a place in the records fills `table`; two places make it `crowded`."""
        self.note_new()
        self.crowded |= table in self._claimed
        self._claimed.add(table)

    def note_new(self) -> None:
        """Note that there is something new: a key, a table, a column."""
        self._changes += 1

    @property
    def changes(self) -> int:
        """A number that is another one whenever there was something new, nulls included."""
        return self._changes + sum(map(len, self._rows.null_only_columns.values()))

    # Rules

    def nesting(self, root: str) -> int:
        """How many levels of nesting the rows of table `root` may open."""
        limit = self._config.get("max_nesting", 1000)
        return helpers.get_table_nesting_level(self.schema, root, limit) or 0

    def is_json(self, table: str, column: str, level: int) -> bool:
        """Whether objects and lists at this column stay whole, as JSON."""
        return helpers.is_nested_type(self.schema, table, column, level)

    def row_id_kind(self, root: str) -> str:
        """How ids of root rows are made: "random", "key_hash" or "row_hash"; fixed for a run."""
        if root not in self._row_id_kinds:
            self._row_id_kinds[root] = helpers.get_root_row_id_type(self.schema, root)
        return self._row_id_kinds[root]

    @property
    def is_filtered(self) -> bool:
        """Whether there are filters in the schema at all."""
        return bool(self.schema._compiled_excludes)

    def excludes(self, table: str, column: str) -> bool:
        """Whether the filters of the schema leave the column out."""
        return self.is_filtered and not self._rows._filter_row(table, {column: True})

    def is_root(self, table: str) -> bool:
        """Whether the schema has a table found in lists as one of its own, not as a nested one."""
        return not helpers.should_be_nested(self.schema, table)

    def parent(self, table: str) -> str | None:
        """The table that a nested table hangs below, `None` for others."""
        return self.schema.tables[table].get("parent")

    def inherited(self, table: str, is_root: bool) -> dict[str, str]:
        """The columns that rows below `table` inherit: name here -> name there."""
        rules = self._config.get("propagation")
        found = helpers.get_propagation_mapping(rules, table, is_root) if rules else {}
        return {str(here): str(there) for here, there in found.items()}

    @property
    def _config(self) -> Any:
        return self.schema._normalizers_config["json"].get("config") or {}

    def is_strict(self, root: str) -> bool:
        """Whether rows need more than their values put into columns: filters, contracts, ids."""
        return bool(
            self.row_id_kind(root) != "random"
            or self.is_filtered
            or self._refused_tables
            or self._refused
        )

    def is_odd(self, table: str, *, nested: bool) -> bool:
        """Whether rows below inherit values, or a null would have to be refused at once."""
        handed = self.inherited(table, not nested)
        unsettled = self.schema.tables[table]["columns"].values()
        return (
            (nested and self.is_root(table))
            or any(here != self.row_id for here in handed)
            or any(
                not column.get("nullable", True) and not is_complete_column(column)
                for column in unsettled
            )
        )

    # Columns

    def known(self, table: str, column: str) -> TColumnSchema | None:
        """The schema of a column whose type is settled."""
        found = self.schema.tables.get(table, {"columns": {}})["columns"].get(column)
        return found if found is not None and is_complete_column(found) else None

    def settled(self, table: str) -> dict[str, tuple[str, pa.DataType]]:
        """The columns of `table` whose type is settled: their dlt types with the Arrow types.

        The same dict each time; it grows with what is learned. Columns of one type have one tuple.
        """
        found = self._settled.setdefault(table, {})
        columns = self.schema.tables.get(table, {"columns": {}})["columns"]
        if len(found) < len(columns):
            for name, column in columns.items():
                if name not in found and is_complete_column(column):
                    found[name] = self._place(column)
        return found

    def untyped(self, table: str) -> list[str]:
        """The columns of `table` that were null in this load and still have no type."""
        return sorted(name for name in self.nulls(table) if self.known(table, name) is None)

    def nulls(self, table: str) -> AbstractSet[str]:
        """The columns of `table` that were null in this load before they had a type."""
        found: AbstractSet[str] = self._rows.null_only_columns.get(table, frozenset())
        return found

    def is_new(self, table: str) -> bool:
        """Whether no column of `table` has a type yet."""
        return self.schema.is_new_table(table)

    def fields(self, table: str) -> list[pa.Field]:
        """All columns of `table` whose type is settled, in the order of the schema."""
        settled = self.settled(table)
        found = self._fields.get(table, [])
        if len(found) < len(settled):
            columns = self.schema.tables[table]["columns"]
            found = self._fields[table] = [
                pa.field(name, settled[name][1], nullable=column.get("nullable", True))
                for name, column in columns.items()
                if name in settled
            ]
        return found

    def _place(self, column: TColumnSchema) -> tuple[str, pa.DataType]:
        """The type of a column, and the Arrow type dlt writes it with: one tuple for each type."""
        key = tuple(map(column.get, _TYPING))
        found = self._places.get(key)
        if found is None:
            zone = get_context_timezone_name()
            arrow = get_py_arrow_datatype(column, self._capabilities, zone)
            found = self._places[key] = str(column["data_type"]), arrow
        return found

    def refuses(self, table: str, column: str | None = None) -> str | None:
        """What the schema contract does to a table or column it does not let in, if so."""
        if column is None:
            return "discard_row" if table in self._refused_tables else None
        return self._refused.get(table, {}).get(column)

    def fit(self, table: str, parent: str | None, row: dict[str, Any]) -> dict[str, Any] | None:
        """Coerce the values of `row` to their columns, or to variants of them, as dlt does.

        Columns not known yet are learned, if the schema contract allows it. Values of columns it
        refuses are left out; `None` means it drops the row. Raises dlt's `DataValidationError` for
        a frozen contract, `NormalizeError` for a value that fits nowhere.
        """
        try:
            fitted, partial = self._rows._coerce_row(table, parent, row)  # type: ignore[arg-type]
        except (CannotCoerceColumnException, OSError, OverflowError, TypeError) as error:
            # Beside its own error dlt lets through what libraries raise for absurd values.
            message = f"values {_short(row)} do not fit table {table}: {error}"
            raise NormalizeError(message) from error
        if partial:
            self._learn(table, parent, partial, fitted)
        if table in self._refused_tables:
            return None
        modes = self._refused.get(table)
        if not modes:
            return fitted
        if any(modes.get(name) == "discard_row" for name in fitted):
            return None
        return {name: value for name, value in fitted.items() if name not in modes}

    def _learn(
        self, table: str, parent: str | None, partial: TTableSchema, row: dict[str, Any]
    ) -> None:
        schema = self.schema
        self.note_new()
        self._undo.keep()
        owner = table if table in schema.tables else parent or table
        contract = schema.resolve_contract_settings_for_table(owner)
        allowed, filters = schema.apply_schema_contract(contract, partial, data_item=row)
        for entity, name, mode in filters:
            if entity == "tables":
                self._refused_tables.add(name)
            else:
                self._refused.setdefault(table, {})[name] = mode
        if allowed is not None:
            schema.update_table(allowed, normalize_identifiers=False)

    def remember(self) -> None:
        """From here on keep what `forget` needs."""
        self._undo.begin()

    def forget(self) -> bool:
        """Unlearn all since `remember`; return whether there was anything."""
        if not self._undo.go_back():
            return False
        self._refused_tables.clear()
        self._refused.clear()
        self._settled.clear()
        self._fields.clear()
        return True

    def refuse_null(self, table: str, column: str) -> None:
        """Raise dlt's error for a null in a column that may have none."""
        raise CannotCoerceNullException(self.schema.name, table, column)

    # Rows

    def key_columns(self, table: str) -> list[str]:
        """The columns of the primary key."""
        return helpers.get_primary_key(self.schema, table)

    @cached_property
    def id_length(self) -> int:
        """The number of characters of a random id."""
        return -(-DLT_ID_LENGTH_BYTES * 4 // 3)


def _short(row: dict[str, Any]) -> str:
    text = repr(row)
    return text if len(text) <= 100 else f"{text[:97]}..."
