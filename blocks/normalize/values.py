"""Values: Python values as dlt's extract would leave them, and the texts and ids made of them."""

from __future__ import annotations

import json as standard_json
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from dlt.common.json import json
from dlt.common.normalizers.json import helpers
from pendulum import Date as PendulumDate
from pendulum import DateTime as PendulumDateTime
from pendulum import Time as PendulumTime

from blocks.errors import NormalizeError

__all__ = ["json_text", "key_text", "nested_hash", "plain", "row_hash"]

# Python values that dlt has a data type for.
_KEPT = {datetime, date, time, Decimal, bytes, PendulumDateTime, PendulumDate, PendulumTime}


def plain(value: Any) -> Any:
    """What a Python value JSON has no word for is after dlt's extract wrote and read it.

    >>> plain(("a", 1))
    ['a', 1]
    """
    if type(value) in _KEPT:
        return value
    try:
        return json.typed_loadb(json.typed_dumpb(value))
    except TypeError as error:
        raise NormalizeError(f"expected a value dlt can load, got {value!r:.60}") from error


def key_text(key: Any) -> str:
    """The text that a key of a Python dict is in JSON.

    >>> key_text(1), key_text("a")
    ('1', 'a')
    """
    return key if isinstance(key, str) else next(iter(json.loads(json.dumps({key: None}))))


def json_text(value: Any) -> str:
    """JSON text as dlt writes it into a column of type json.

    >>> json_text({"a": [1, 2]})
    '{"a":[1,2]}'
    """
    try:
        return json.dumps(value)
    except TypeError:  # integers beyond 64 bits, which dlt cannot write
        pass
    try:
        return standard_json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except TypeError as error:
        raise NormalizeError(f"expected a value for JSON, got {value!r:.60}") from error


def row_hash(row: dict[str, Any], columns: list[str] | None = None) -> str:
    """The id of a root row made of its values: all of them, or those of `columns`."""
    try:
        # As they stand in the files of dlt's extract, dates and decimals marked.
        return helpers.get_row_hash(json.loadb(json.typed_dumpb(row)), subset=columns)
    except TypeError as error:
        raise NormalizeError(f"expected values to make an id of, got {row!r:.100}") from error


def nested_hash(parent_id: str, table: str, index: int) -> str:
    """The id of a nested row made of its parent's id and its place."""
    return helpers.get_nested_row_hash(parent_id, table, index)
