"""What `load` brings into DuckDB is what dlt itself would have brought there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.common.schema.exceptions import DataValidationError
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.dlt import cursor, load
from blocks.errors import ConfigError, CursorError, NormalizeError
from tests.oracle import related
from tests.warehouse import Warehouse, same

Page = list[dict[str, Any]]

FIRST: list[Page] = [
    [
        {
            "id": 1,
            "labels": [{"name": "a"}, {"name": "b", "tags": ["x", None]}],
            "user": {"login": "u-1", "site": {"admin": False}},
            "at": "2024-01-02T03:04:05Z",
            "size": 1,
            "raw": {"deep": [1, {"er": 2}]},
        },
        {"id": 2, "labels": [], "user": None, "size": "large", "at": "2024-01-02T03:04:05.5+02:00"},
    ],
    [{"id": 3, "labels": [{"name": "c"}], "lists": [[1, 2], [], [3]], "new": True}],
]
SECOND: list[Page] = [
    [
        {"id": 1, "labels": [{"name": "b"}], "user": {"login": 7}, "size": 2.5},
        {"id": 3, "labels": [], "lists": [[4]], "at": "not a time"},
    ],
    [],
    [{"id": 4, "labels": [{"name": "d"}]}],
]
THIRD: list[Page] = [[{"id": 1, "labels": [], "size": 3}]]

DISPOSITIONS: dict[str, dict[str, Any]] = {
    "append": {"write_disposition": "append"},
    "replace": {"write_disposition": "replace"},
    "merge": {"write_disposition": "merge", "primary_key": "id"},
    "merge key": {"write_disposition": "merge", "merge_key": "id"},
    "upsert": {
        "write_disposition": {"disposition": "merge", "strategy": "upsert"},
        "primary_key": "id",
    },
    "scd2": {"write_disposition": {"disposition": "merge", "strategy": "scd2"}},
    "json column": {"columns": {"raw": {"data_type": "json"}, "labels": {"data_type": "json"}}},
    "no nesting": {"max_table_nesting": 0},
    "one level": {"max_table_nesting": 1},
}


def blocks_source(pages: list[Page], hints: dict[str, Any]) -> Any:
    """The pages as JSON bodies through `load`."""

    @dlt.resource(name="items", **hints)
    def items() -> Iterator[Any]:
        yield from load([json.dumps(page).encode() for page in pages])

    return items


def dlt_source(pages: list[Page], hints: dict[str, Any]) -> Any:
    """The pages as a plain resource yields them."""

    @dlt.resource(name="items", **hints)
    def items() -> Iterator[Any]:
        yield from json.loads(json.dumps(pages))

    return items


@pytest.mark.parametrize("name", DISPOSITIONS)
def test_same_tables(name: str, tmp_path: Path) -> None:
    """After each of three runs, with lists that shrink and empty, DuckDB holds what dlt loads."""
    ours, theirs = Warehouse(tmp_path / "ours"), Warehouse(tmp_path / "theirs")
    for pages in (FIRST, SECOND, THIRD):
        ours.run(blocks_source(pages, DISPOSITIONS[name]))
        theirs.run(dlt_source(pages, DISPOSITIONS[name]))
        same(ours, theirs, "items")


@pytest.mark.parametrize("contract", ["evolve", "discard_value", "discard_row", "freeze"])
@pytest.mark.parametrize("entity", ["tables", "columns", "data_type"])
def test_schema_contracts(contract: str, entity: str, tmp_path: Path) -> None:
    """New tables, columns and types in a later run are let in, dropped or refused as dlt does."""
    hints = {"schema_contract": {entity: contract}}
    ours, theirs = Warehouse(tmp_path / "ours"), Warehouse(tmp_path / "theirs")
    known: list[Page] = [[{"id": 1, "size": 1, "labels": [{"name": "a"}]}]]
    changes: dict[str, dict[str, Any]] = {
        "tables": {"id": 2, "owners": [{"name": "b"}]},
        "columns": {"id": 2, "colour": "red"},
        "data_type": {"id": 2, "size": "large"},
    }
    later = [[{"id": 3, "labels": [{"name": "c"}]}, changes[entity], {"id": 4, "size": 4}]]
    ours.run(blocks_source(known, {}))
    theirs.run(dlt_source(known, {}))
    if contract == "freeze":
        with pytest.raises(PipelineStepFailed, match=r"frozen"):
            theirs.run(dlt_source(later, hints))
        with pytest.raises(PipelineStepFailed, match=r"frozen") as failure:
            ours.run(blocks_source(later, hints))
        assert caused_by(failure.value, DataValidationError)
        assert ours.query("SELECT id FROM items") == [(1,)]
        return
    ours.run(blocks_source(later, hints))
    theirs.run(dlt_source(later, hints))
    assert ours.tables() == theirs.tables()
    assert ours.columns() == theirs.columns()
    assert sorted(related(ours.rows(), "items")) == sorted(related(theirs.rows(), "items"))


def caused_by(error: BaseException | None, kind: type[BaseException]) -> bool:
    """Whether an error, or one in its chain of causes, is of this kind."""
    return error is not None and (isinstance(error, kind) or caused_by(error.__cause__, kind))


def test_page_by_page_and_two_tables_from_one_page(tmp_path: Path) -> None:
    """`load` takes one page at a time as well, and sends parts of it to tables of their own."""

    @dlt.resource(name="items", primary_key="id", write_disposition="merge")
    def items() -> Iterator[Any]:
        for number in range(3):
            more = [{"name": "more", "rows": [{"id": number}]}]
            users = [{"id": number, "tags": [1]}]
            page = {"data": {"items": [{"id": number}]}, "users": users, "pages": more}
            body = json.dumps(page).encode()
            yield from load(body, path="data.items")
            yield from load(body, path=["users"], table="users")
            yield from load(body, path="pages[name=more].rows", table="more")

    warehouse = Warehouse(tmp_path)
    warehouse.run(items)
    assert warehouse.tables() == ["items", "more", "users", "users__tags"]
    assert warehouse.query("SELECT id FROM items ORDER BY 1") == [(0,), (1,), (2,)]
    assert warehouse.query("SELECT count(*) FROM users__tags") == [(3,)]


def test_rows_parsed_already(tmp_path: Path) -> None:
    """A page may be a list of rows instead of a body."""

    @dlt.resource(name="items")
    def items() -> Iterator[Any]:
        yield from load([[{"id": 1, "tags": ["a"]}], [{"id": 2}]])

    warehouse = Warehouse(tmp_path)
    warehouse.run(items)
    assert warehouse.query("SELECT id FROM items ORDER BY 1") == [(1,), (2,)]


def test_cursor_moves_with_the_rows(tmp_path: Path) -> None:
    """The next run continues from the highest value that was committed."""
    asked: list[Any] = []

    @dlt.resource(name="items", primary_key="id", write_disposition="merge")
    def items(pages: list[Page]) -> Iterator[Any]:
        updated = cursor("changed", start="2024-01-01T00:00:00Z")
        asked.append(updated.since)
        yield from load(pages, updated)

    warehouse = Warehouse(tmp_path)
    times = ["2024-01-03T00:00:00Z", "2024-01-05T01:00:00+01:00", "2024-01-04T00:00:00Z"]
    for pages in (
        [[{"id": 1, "changed": at}] for at in times],
        [[{"id": 1, "changed": times[0]}]],
        [],
    ):
        warehouse.run(items(pages))
    assert asked == ["2024-01-01T00:00:00Z", "2024-01-05T00:00:00Z", "2024-01-05T00:00:00Z"]


@pytest.mark.parametrize(
    ("page", "error", "message"),
    [
        (
            b'[{"id": 2}',
            NormalizeError,
            "page 2: expected JSON, got the end of the body at byte 10,",
        ),
        (b"<html>", NormalizeError, "page 2: expected JSON, got '<' at byte 0,"),
        (b'{"error": 1}', NormalizeError, "array of records or one object at rows, got nothing"),
        (b'{"rows": "x"}', NormalizeError, "array of records or one object at rows, got str"),
        ({"id": 2}, NormalizeError, "expected a page"),
        (b'{"rows": [{"id": null}]}', Exception, "id"),
        (b'{"rows": [{"id": 99999999999999999999}]}', NormalizeError, "99999999999999999999"),
    ],
)
def test_bad_pages(page: Any, error: type[Exception], message: str, tmp_path: Path) -> None:
    """A page that cannot be loaded says why; the load before it stands, and the state too."""

    @dlt.resource(name="items", primary_key="id", write_disposition="merge")
    def items(pages: list[Any]) -> Iterator[Any]:
        yield from load(pages, cursor("seen", start=0), path="rows")

    warehouse = Warehouse(tmp_path)
    good = b'{"rows": [{"id": 1, "seen": 5}]}'
    warehouse.run(items([good]))
    state = warehouse.pipeline().state["sources"]
    with pytest.raises(PipelineStepFailed) as failure:
        warehouse.run(items([b'{"rows": [{"id": 3, "seen": 9}]}', page]))
    assert caused_by(failure.value, error)
    assert message in str(failure.value)
    assert warehouse.query("SELECT id, seen FROM items") == [(1, 5)]
    assert warehouse.pipeline().state["sources"] == state
    assert not warehouse.pipeline().has_pending_data
    warehouse.run(items([good]))


def test_cursor_column_that_no_row_has(tmp_path: Path) -> None:
    """A cursor over a column that never came is an error, not a cursor that never moves."""

    @dlt.resource(name="items")
    def items() -> Iterator[Any]:
        yield from load(b'[{"id": 1}]', cursor("changed", start=0))

    with pytest.raises(PipelineStepFailed, match="expected column changed") as failure:
        Warehouse(tmp_path).run(items)
    assert caused_by(failure.value, CursorError)


def test_table_name_must_be_fixed(tmp_path: Path) -> None:
    """A resource that names its table by a function needs `table`."""

    @dlt.resource(name="items", table_name=lambda row: row["kind"])
    def items() -> Iterator[Any]:
        yield from load(b"[]")

    with pytest.raises(PipelineStepFailed) as failure:
        Warehouse(tmp_path).run(items)
    assert caused_by(failure.value, ConfigError)
