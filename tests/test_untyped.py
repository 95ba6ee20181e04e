"""Columns that were only null: dlt warns of ours as it does of its own."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import dlt
from dlt.normalize.validate import reconcile_null_only_columns
from hypothesis import given

from blocks.dlt import load
from blocks.fast import fast
from blocks.normalize import Normalizer
from blocks.normalize.dialect import Dialect
from tests.oracle import EXAMPLES, expected, schemas, table
from tests.test_parity_any import PAGES, SIZES
from tests.warehouse import Warehouse

FEEDS: dict[str, list[list[Any]]] = {
    "only_null": [[{"id": 1, "a": None, "b": None}, {"id": 2, "a": None}]],
    "hinted": [[{"id": 1, "a": None, "b": None}]],
    "typed_later": [[{"id": 1, "a": None}], [{"id": 2, "a": 5}]],
    "typed_before": [[{"id": 1, "a": 5}], [{"id": 2, "a": None}]],
    "below_object": [[{"id": 1, "o": {"a": None}}]],
    "object_or_null": [[{"id": 1, "o": {"a": 1}}, {"id": 2, "o": None}]],
    "list_or_null": [[{"id": 1, "l": [1]}, {"id": 2, "l": None}]],
    "list_then_null": [[{"id": 1, "l": [1]}], [{"id": 2, "l": [2]}], [{"id": 3, "l": None}]],
    "null_then_list": [[{"id": 1, "l": None}], [{"id": 2, "l": [2]}]],
    "nested": [[{"id": 1, "l": [{"a": None, "c": 1}, {"a": None}]}]],
    "elements": [[{"id": 1, "l": [None, None]}, {"id": 2, "l": [[None]]}]],
    "element_beside_objects": [[{"id": 1, "l": [{"a": 1}, None]}]],
    "nothing_else": [[{"a": None}]],
    "no_null": [[{"id": 1}]],
}
QUIET = {"typed_later", "typed_before", "no_null"}


def heard(source: Any, folder: Path) -> list[str]:
    """What dlt warns of in a run of `source`."""
    found: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    ear = Ear(logging.WARNING)
    logging.getLogger("dlt").addHandler(ear)
    try:
        Warehouse(folder).run(source)
    finally:
        logging.getLogger("dlt").removeHandler(ear)
    return sorted(message for message in found if "did not receive any data" in message)


def source(feed: Callable[[list[list[Any]]], Iterable[Any]]) -> Any:
    """All feeds, each a resource that yields what `feed` makes of its pages."""

    @dlt.source(name="feeds")
    def feeds() -> Any:
        for name, pages in FEEDS.items():
            columns: Any = {"b": {"unique": True}} if name == "hinted" else {}
            yield dlt.resource(feed, name=name, columns=columns)(json.loads(json.dumps(pages)))

    return feeds()


def test_warnings(tmp_path: Path) -> None:
    """The same words about the same columns of the same tables."""

    def rows(pages: list[list[Any]]) -> Iterator[Any]:
        yield from pages

    def bodies(pages: list[list[Any]]) -> Iterator[Any]:
        yield from load(json.dumps(page).encode() for page in pages)

    want = heard(source(rows), tmp_path / "theirs")
    assert heard(source(bodies), tmp_path / "ours") == want
    assert heard(fast(source(rows)), tmp_path / "fast") == want
    told = "\n".join(want)
    assert {name for name in FEEDS if f"'{name}" not in told} == QUIET


def test_a_column_that_is_late(tmp_path: Path) -> None:
    """Each file that dlt begins has the columns known by then; a new column begins another."""

    @dlt.resource(name="items")
    def ours() -> Iterator[Any]:
        yield from load([b'[{"id": 1}]'])
        yield from load([b'[{"id": 2, "new": 1, "late": null}]'])

    (message,) = heard(ours(), tmp_path)
    assert "  - late\n" in message


@given(pages=PAGES, rows=SIZES)
@EXAMPLES
def test_any_rows(pages: Any, rows: int) -> None:
    """For any rows the columns without a type are those that dlt finds."""
    theirs, ours = schemas(table())(), schemas(table())()
    nulls: dict[str, set[str]] = {}
    try:
        expected(theirs, "items", json.loads(json.dumps(pages)), nulls)
    except Exception:  # noqa: BLE001  # rows that dlt has no tables for are another test's
        return
    found = reconcile_null_only_columns(theirs, nulls)
    dialect = Dialect(ours, "load")
    bodies = [json.dumps(page).encode() for page in pages]
    for _ in Normalizer("items", dialect=dialect).stream(bodies, rows):
        pass
    want = {name: [column["name"] for column in columns] for name, columns in found.items()}
    got = {name: dialect.untyped(name) for name in ours.tables}
    assert {name: names for name, names in got.items() if names} == want
