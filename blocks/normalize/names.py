"""Names: what dlt calls the tables and columns of records, and its own."""

from __future__ import annotations

from functools import cached_property

from dlt.common.normalizers.json import helpers
from dlt.common.normalizers.json.relational import DataItemNormalizer
from dlt.common.schema import Schema
from dlt.common.schema.typing import C_DLT_ID, C_DLT_LOAD_ID

__all__ = ["Names"]


class Names:
    """The names that the naming convention of a schema gives.

    >>> names = Names(Schema("shop"))
    >>> names.column("unitPrice"), names.join("order", "lines"), names.row_id
    ('unit_price', 'order__lines', '_dlt_id')
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def column(self, key: str) -> str:
        """The normalized name of an object's key."""
        if not key or key.isspace():
            return DataItemNormalizer.EMPTY_KEY_IDENTIFIER
        return helpers.normalize_identifier(self.schema, self.schema.naming, key)

    def table(self, key: str) -> str:
        """The normalized name of a table, or of the part of its name that comes from `key`."""
        if not key or key.isspace():
            return DataItemNormalizer.EMPTY_KEY_IDENTIFIER
        return helpers.normalize_table_identifier(self.schema, self.schema.naming, key)

    def join(self, *names: str) -> str:
        """The name of a column or table at a path of normalized names, shortened if need be."""
        return self.schema.naming.shorten_fragments(*names)

    @cached_property
    def row_id(self) -> str:
        """The column of a row's own id."""
        return self.schema.naming.normalize_identifier(C_DLT_ID)

    @cached_property
    def parent_id(self) -> str:
        """The column of the id of a nested row's parent."""
        return self.schema.naming.normalize_identifier(DataItemNormalizer.C_DLT_PARENT_ID)

    @cached_property
    def list_index(self) -> str:
        """The column of a nested row's place in its list."""
        return self.schema.naming.normalize_identifier(DataItemNormalizer.C_DLT_LIST_IDX)

    @cached_property
    def load(self) -> str:
        """The column of a root row's load."""
        return self.schema.naming.normalize_identifier(C_DLT_LOAD_ID)
