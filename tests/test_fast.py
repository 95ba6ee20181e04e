"""`fast` changes how the tables of a dlt resource are made, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
import pytest
from dlt.sources.rest_api import rest_api_source

from blocks.demo.server import Settings, serving
from blocks.fast import fast
from tests.warehouse import Warehouse, same


def row(number: int) -> dict[str, Any]:
    """A row with nested lists."""
    at = f"2024-01-{number % 28 + 1:02d}T00:00:00Z"
    return {"id": number, "at": at, "tags": [{"name": f"t{number}"}], "user": {"id": number % 7}}


def singles() -> Any:
    """Rows one by one."""

    @dlt.resource(name="items")
    def items() -> Iterator[Any]:
        yield from map(row, range(1300))

    return items


def pages() -> Any:
    """Pages, an empty one among them, through a map, a filter and a yield map."""

    @dlt.resource(name="items", primary_key="id", write_disposition="merge")
    def items(first: int = 0) -> Iterator[Any]:
        for start in range(first, 900, 100):
            yield [row(number) for number in range(start, start + 100)]
            yield []

    return (
        items(100)
        .add_filter(lambda each: each["id"] % 3 == 0)
        .add_map(lambda each: {**each, "seen": True})
        .add_yield_map(lambda each: iter([each, {**each, "id": -each["id"]}]))
    )


def incremental() -> Any:
    """A resource with dlt's own incremental, which filters and keeps state."""

    @dlt.resource(name="items", primary_key="id", write_disposition="merge")
    def items(
        at: Any = dlt.sources.incremental("at", initial_value="2024-01-10T00:00:00Z"),  # noqa: B008 - dlt asks for it
    ) -> Iterator[Any]:
        yield [row(number) for number in range(50)]
        yield row(1000)

    return items


def transformed() -> Any:
    """A parent that feeds a transformer, both loaded."""

    @dlt.resource(name="items")
    def items() -> Iterator[Any]:
        yield [row(number) for number in range(5)]

    @dlt.transformer(data_from=items, name="details")
    def details(rows: list[dict[str, Any]]) -> Iterator[Any]:
        for each in rows:
            yield {"id": each["id"], "parts": [{"n": 1}, {"n": each["id"]}]}

    @dlt.source(name="both")
    def both() -> Any:
        return items, details

    return both()


def dynamic() -> Any:
    """Tables named by the row."""

    @dlt.resource(name="items", table_name=lambda each: f"items_{each['id'] % 2}")
    def items() -> Iterator[Any]:
        yield [row(number) for number in range(6)]

    return items


def marked() -> Any:
    """Items sent to tables by name."""

    @dlt.resource(name="items")
    def items() -> Iterator[Any]:
        yield dlt.mark.with_table_name([row(1)], "one")
        yield dlt.mark.with_table_name(row(2), "two")
        yield row(3)

    return items


def listed() -> Any:
    """A resource made of a plain list."""
    return dlt.resource([row(number) for number in range(10)], name="items")


def asynchronous() -> Any:
    """An async generator."""

    @dlt.resource(name="items")
    async def items() -> Any:
        for number in range(10):
            yield row(number)

    return items


SOURCES: dict[str, Callable[[], Any]] = {
    each.__name__: each
    for each in (
        *(singles, pages, incremental, transformed, dynamic, marked, listed, asynchronous),
    )
}


@pytest.mark.parametrize("name", SOURCES)
def test_same_tables(name: str, tmp_path: Path) -> None:
    """Two runs leave the same tables, types, hints and relations as without `fast`."""
    ours, theirs = Warehouse(tmp_path / "ours"), Warehouse(tmp_path / "theirs")
    for _ in range(2):
        theirs.run(SOURCES[name]())
        ours.run(fast(fast(SOURCES[name]())))
        if name in {"transformed", "dynamic", "marked"}:
            assert ours.columns() == theirs.columns()
            assert ours.schema() == theirs.schema()
            counts = [{t: len(r) for t, r in each.rows().items()} for each in (ours, theirs)]
            assert counts[0] == counts[1]
        else:
            same(ours, theirs, "items")
    states = [each.pipeline().state.get("sources") for each in (ours, theirs)]
    assert states[0] == states[1]


def test_rest_api(tmp_path: Path) -> None:
    """A `rest_api` source, with paging and an incremental, loads the same."""
    ours, theirs = Warehouse(tmp_path / "ours"), Warehouse(tmp_path / "theirs")
    with serving(Settings(records=250, burst=1000)) as server:
        endpoint = {
            "path": f"repos/{server.repository}/issues",
            "params": {"state": "all", "per_page": 100, "since": "{incremental.start_value}"},
            "incremental": {"cursor_path": "updated_at", "initial_value": "2024-01-01T00:00:00Z"},
        }
        config: Any = {
            "client": {
                "base_url": server.url,
                "auth": {"type": "bearer", "token": server.token},
                "paginator": "header_link",
            },
            "resources": [
                {
                    "name": "issues",
                    "primary_key": "id",
                    "write_disposition": "merge",
                    "endpoint": endpoint,
                }
            ],
        }
        for _ in range(2):
            ours.run(fast(rest_api_source(config, name="api")))
            theirs.run(rest_api_source(config, name="api"))
            same(ours, theirs, "issues")
            server.change()


def test_what_is_not_rows_passes(tmp_path: Path) -> None:
    """Arrow tables that a resource yields itself are loaded as they are."""

    @dlt.resource(name="items")
    def items() -> Iterator[Any]:
        yield pa.table({"id": [1, 2]})
        yield pa.table({"id": [3]})

    warehouse = Warehouse(tmp_path)
    warehouse.run(fast(items))
    assert warehouse.query("SELECT sum(id) FROM items") == [(6,)]
