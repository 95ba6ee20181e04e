"""Deletes reach DuckDB through dlt's merge: the guide's sources, run after run."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import dlt
import httpx
import pyarrow.compute as pc
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.client import client
from blocks.deletes import Keys, flag, vanished
from blocks.dlt import cursor, known, load
from blocks.errors import ResponseError
from tests.authority import Answering, Received, answering, said
from tests.test_dlt import caused_by
from tests.warehouse import Warehouse

GUIDE = Path(__file__).parent.parent / "cookbook" / "deletes.md"
Rows = list[dict[str, Any]]


@pytest.fixture
def guide(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the snippets of the guide define."""
    text = GUIDE.read_text(encoding="utf-8")
    module = ModuleType("guide")  # dlt looks a source's module up
    monkeypatch.setitem(sys.modules, "guide", module)
    for snippet in re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
        exec(compile(snippet, "deletes.md", "exec"), vars(module))
    return vars(module)


class Api:
    """Answers each path, with a query where it has one, from a dict of bodies."""

    def __init__(self, bodies: dict[str, Any]) -> None:
        self.bodies = bodies
        self.asked: list[str] = []

    def __call__(self, request: Received) -> bytes:
        """The body of the longest entry that the target has all parts of."""
        url = httpx.URL(f"http://api{request.target}")
        self.asked.append(request.target)
        parts = {url.path, *url.query.decode().split("&")}
        fitting = [key for key in self.bodies if {*re.split("[?&]", key)} <= parts]
        return said(self.bodies[max(fitting, key=len)])


def run(warehouse: Warehouse, server: Answering, make: Any) -> None:
    """One run of a source of the guide."""
    warehouse.run(make(client(server.url, retry=lambda transport: transport)))


def ids(warehouse: Warehouse, table: str) -> list[Any]:
    """The keys in the destination."""
    return [key for (key,) in warehouse.query(f"SELECT id FROM {table} ORDER BY id")]


def test_a_flag_in_the_rows(guide: dict[str, Any], tmp_path: Path) -> None:
    """Deletes the row, and those nested in it."""
    rows = [{"id": each, "modified_at": "2024-02-01", "tags": ["x", "y"]} for each in range(3)]
    api = Api({"/accounts": {"records": rows}})
    warehouse = Warehouse(tmp_path)
    with answering(api) as server:
        run(warehouse, server, guide["accounts"])
        rows[1] |= {"is_deleted": True, "modified_at": "2024-03-01"}
        run(warehouse, server, guide["accounts"])
    assert ids(warehouse, "accounts") == [0, 2]
    assert warehouse.query("SELECT count(*) FROM accounts__tags") == [(4,)]
    assert httpx.URL(f"http://api{api.asked[-1]}").params["since"] == "2024-02-01T00:00:00Z"


def test_a_time_that_is_not_null_is_a_flag(tmp_path: Path) -> None:
    """As `deleted_at` is in many APIs."""

    @dlt.resource(
        primary_key="id",
        write_disposition="merge",
        columns={"deleted_at": {"data_type": "timestamp", "hard_delete": True}},
    )
    def items(at: str | None) -> Iterator[Any]:
        yield from load([[{"id": 1, "deleted_at": None}, {"id": 2, "deleted_at": at}]])

    warehouse = Warehouse(tmp_path)
    warehouse.run(items(None))
    assert ids(warehouse, "items") == [1, 2]
    warehouse.run(items("2024-05-01T00:00:00Z"))
    assert ids(warehouse, "items") == [1]


def test_an_archive_of_whole_records(guide: dict[str, Any], tmp_path: Path) -> None:
    """Their tombstones win over rows of the same load, and leave no nested rows."""
    live = [{"id": each, "updated_at": "2024-02-01", "emails": [{"no": each}]} for each in range(4)]
    api = Api({"/contacts": {"results": live}, "/contacts?archived=true": {"results": []}})
    warehouse = Warehouse(tmp_path)
    with answering(api) as server:
        run(warehouse, server, guide["contacts"])
        gone = [{**live[each], "archived": True} for each in (1, 3)]
        gone.append({"id": 77, "updated_at": "2023-01-01", "emails": [{"no": 77}]})
        api.bodies["/contacts?archived=true"] = {"results": gone}
        run(warehouse, server, guide["contacts"])
    assert ids(warehouse, "contacts") == [0, 2]
    assert warehouse.query("SELECT no FROM contacts__emails ORDER BY no") == [(0,), (2,)]


def test_a_list_of_keys(guide: dict[str, Any], tmp_path: Path) -> None:
    """Nothing but the key and the flag reaches the table."""
    live = [{"id": f"l{each}", "name": "x"} for each in range(3)]
    api = Api({"/leads": {"records": live}, "/leads/deleted": {"deletedRecords": []}})
    warehouse = Warehouse(tmp_path)
    with answering(api) as server:
        run(warehouse, server, guide["leads"])
        deleted = [{"id": "l0", "deletedDate": "2024-05-01"}]
        api.bodies |= {"/leads": {"records": live[1:]}}
        api.bodies |= {"/leads/deleted": {"deletedRecords": deleted}}
        run(warehouse, server, guide["leads"])
    assert ids(warehouse, "leads") == ["l1", "l2"]
    assert [name for name in warehouse.columns()["leads"] if not name.startswith("_dlt")] == [
        *("deleted", "id", "name"),
    ]


class Customers(Api):
    """Customers, and events of them, newest first."""

    def __init__(self, count: int) -> None:
        self.people: Rows = [{"id": f"cus_{each}", "name": "old"} for each in range(count)]
        self.events: Rows = []
        super().__init__(
            {
                "/customers": {"data": self.people, "has_more": False},
                "/events": {"data": self.events, "has_more": False},
            }
        )

    def happened(self, name: str, kind: str, ago: timedelta) -> None:
        """An event, later than those before."""
        at = int((datetime.now(UTC) - ago).timestamp())
        told = {"object": {"id": name, "name": "new"}}
        self.events.insert(0, {"id": f"evt_{at}", "created": at, "type": kind, "data": told})


def ran(guide: dict[str, Any], warehouse: Warehouse, server: Answering, ago: timedelta) -> None:
    """A run of the source of events, so long ago as far as its cursor knows."""
    guide["cursor"] = partial(cursor, lag=ago)
    run(warehouse, server, guide["customers"])


def test_events_since_the_last_run(guide: dict[str, Any], tmp_path: Path) -> None:
    """Everything first, then what events say: of each customer the newest."""
    api, warehouse = Customers(10), Warehouse(tmp_path)
    with answering(api) as server:
        ran(guide, warehouse, server, timedelta(days=2))
        assert [each.partition("?")[0] for each in api.asked] == ["/customers"]
        api.happened("cus_3", "customer.deleted", timedelta(days=3))
        api.happened("cus_1", "customer.deleted", timedelta(hours=4))
        api.happened("cus_0", "customer.updated", timedelta(hours=3))
        api.happened("cus_0", "customer.deleted", timedelta(hours=2))
        api.happened("cus_1", "customer.updated", timedelta(hours=1))
        ran(guide, warehouse, server, timedelta())
        assert [each.partition("?")[0] for each in api.asked[1:]] == ["/events"]
    assert ids(warehouse, "customers") == [f"cus_{each}" for each in range(1, 10)]
    assert warehouse.query("SELECT name FROM customers WHERE id = 'cus_1'") == [("new",)]


def test_a_full_refresh_when_events_are_gone(
    guide: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After a pause longer than events are kept, with a warning; what vanished is deleted."""
    api, warehouse = Customers(10), Warehouse(tmp_path)
    with answering(api) as server:
        ran(guide, warehouse, server, timedelta(days=40))
        assert not caplog.messages
        del api.people[4]
        ran(guide, warehouse, server, timedelta())
        assert "the API keeps rows for 30 days" in caplog.text
        ran(guide, warehouse, server, timedelta())
    assert [each.partition("?")[0] for each in api.asked] == [
        *("/customers", "/customers", "/events"),
    ]
    assert len(ids(warehouse, "customers")) == 9


def orders(count: int) -> Rows:
    """Rows with nested ones."""
    return [
        {"id": each, "updated_at": "2024-02-01", "lines": [{"no": each}]} for each in range(count)
    ]


def test_absence_alone(guide: dict[str, Any], tmp_path: Path) -> None:
    """Keys of the destination that are listed no more, also when the working directory is lost."""
    rows = orders(10)
    api = Api({"/orders": {"orders": rows}, "/orders?fields=id": {"orders": rows}})
    with answering(api) as server:
        run(Warehouse(tmp_path), server, guide["orders"])
        assert len(ids(Warehouse(tmp_path), "orders")) == 10
        del rows[3]
        run(Warehouse(tmp_path), server, guide["orders"])
        shutil.rmtree(tmp_path / "warehouse" / "pipelines")
        del rows[5]
        api.bodies["/orders"] = {"orders": []}
        run(Warehouse(tmp_path), server, guide["orders"])
    warehouse = Warehouse(tmp_path)
    assert ids(warehouse, "orders") == [0, 1, 2, 4, 5, 7, 8, 9]
    assert warehouse.query("SELECT no FROM orders__lines ORDER BY no") == [
        (each,) for each in (0, 1, 2, 4, 5, 7, 8, 9)
    ]


@pytest.mark.parametrize("left", [0, 1, 7])
def test_a_broken_listing_deletes_nothing(left: int, guide: dict[str, Any], tmp_path: Path) -> None:
    """Nor does the rest of that run count: rows and state are as they were."""
    rows = orders(10)
    api = Api({"/orders": {"orders": rows}, "/orders?fields=id": {"orders": rows}})
    warehouse = Warehouse(tmp_path)
    with answering(api) as server:
        run(warehouse, server, guide["orders"])
        state = warehouse.pipeline().state["sources"]
        api.bodies["/orders"] = {"orders": [{"id": 10, "updated_at": "2024-03-01"}]}
        api.bodies["/orders?fields=id"] = {"orders": rows[:left]}
        with pytest.raises(PipelineStepFailed, match="known keys") as failure:
            run(warehouse, server, guide["orders"])
    assert caused_by(failure.value, ResponseError)
    assert ids(warehouse, "orders") == [*range(10)]
    assert warehouse.pipeline().state["sources"] == state


def test_a_first_run_that_finds_nothing(guide: dict[str, Any], tmp_path: Path) -> None:
    """Is no error: there is nothing to be deleted."""
    api = Api({"/orders": {"orders": []}, "/orders?fields=id": {"orders": []}})
    warehouse = Warehouse(tmp_path)
    with answering(api) as server:
        run(warehouse, server, guide["orders"])
        api.bodies = {"/orders": {"orders": orders(1)}}
        run(warehouse, server, guide["orders"])
    assert ids(warehouse, "orders") == [0]


def test_compound_keys_of_one_account(tmp_path: Path) -> None:
    """What other accounts have in the table is left alone; names are those of the API."""

    @dlt.resource(
        table_name="Items",
        primary_key=["accountId", "id"],
        write_disposition="merge",
        columns=flag(),
    )
    def items(account: str, keys: list[int]) -> Iterator[Any]:
        listed = Keys("account_id", "id")
        yield from load([[{"accountId": account, "id": each} for each in keys]], listed)
        here = known("accountId", "id", table="Items")
        here = here.filter(pc.equal(here["account_id"], account)) if here.num_rows else here
        yield from load([(vanished(here, listed.table, most=0.5), {"deleted": True})])

    warehouse = Warehouse(tmp_path)
    for account, keys in (("a", [1, 2]), ("b", [1, 2, 3]), ("a", [2])):
        warehouse.run(items(account, keys))
    assert warehouse.query("SELECT account_id, id FROM items ORDER BY 1, 2") == [
        *(("a", 2), ("b", 1), ("b", 2), ("b", 3)),
    ]


@pytest.mark.parametrize("strategy", ["delete-insert", "upsert"])
def test_tombstones_of_keys_that_are_not_there(strategy: Any, tmp_path: Path) -> None:
    """Dropped by default; with upsert they become rows, which the guide says."""
    how: Any = {"disposition": "merge", "strategy": strategy}

    @dlt.resource(primary_key="id", write_disposition=how, columns=flag())
    def items(pages: list[Any]) -> Iterator[Any]:
        yield from load(pages)

    warehouse = Warehouse(tmp_path)
    warehouse.run(items([[{"id": 1, "tags": ["x"]}, {"id": 2, "tags": ["y"]}]]))
    warehouse.run(items([([{"id": 1}, {"id": 7}], {"deleted": True})]))
    assert ids(warehouse, "items") == ([2] if strategy == "delete-insert" else [2, 7])
    assert warehouse.query("SELECT value FROM items__tags") == [("y",)]


@pytest.mark.parametrize("dead_first", [True, False])
def test_a_tombstone_wins_over_a_row_of_the_same_load(dead_first: bool, tmp_path: Path) -> None:
    """Whichever comes first; dlt alone would keep any one of them."""

    @dlt.resource(primary_key="id", write_disposition="merge", columns=flag())
    def items(pages: list[Any]) -> Iterator[Any]:
        yield from load(pages)

    live: Any = [{"id": each, "tags": ["x"]} for each in range(5)]
    dead: Any = ([{"id": 1}, {"id": 3}], {"deleted": True})
    warehouse = Warehouse(tmp_path)
    warehouse.run(items([live]))
    warehouse.run(items([dead, live] if dead_first else [live, dead]))
    assert ids(warehouse, "items") == [0, 2, 4]


def test_dlt_compares_by_itself_what_is_read_whole(tmp_path: Path) -> None:
    """As the guide says of its strategy: whatever is not in the load, unless there is none."""

    @dlt.resource(primary_key="id", write_disposition={"disposition": "merge", "strategy": "cdc"})
    def items(keys: list[int]) -> Iterator[Any]:
        yield from load([[{"id": each, "tags": [each]} for each in keys]])

    warehouse = Warehouse(tmp_path)
    for keys, left in (([1, 2, 3], [1, 2, 3]), ([2], [2]), ([], [2])):
        warehouse.run(items(keys))
        assert ids(warehouse, "items") == left
    assert warehouse.query("SELECT value FROM items__tags") == [(2,)]


def test_columns_that_must_not_be_null_refuse_tombstones(tmp_path: Path) -> None:
    """Aloud, before anything is loaded."""
    columns: Any = {**flag(), "name": {"data_type": "text", "nullable": False}}

    @dlt.resource(primary_key="id", write_disposition="merge", columns=columns)
    def items(pages: list[Any]) -> Iterator[Any]:
        yield from load(pages)

    warehouse = Warehouse(tmp_path)
    warehouse.run(items([[{"id": 1, "name": "x"}]]))
    with pytest.raises(PipelineStepFailed, match="name"):
        warehouse.run(items([([{"id": 1}], {"deleted": True})]))
    assert ids(warehouse, "items") == [1]


def test_known_columns_are_those_of_the_table(tmp_path: Path) -> None:
    """One that it lacks is an error, and not a table without keys; types are those it has."""

    @dlt.resource
    def items(*columns: str) -> Iterator[Any]:
        seen.append(known(*columns))
        yield from load([[{"id": 1, "at": "2024-05-01T10:00:00Z", "size": 2.5}, {"id": 2}]])

    seen: list[Any] = []
    warehouse = Warehouse(tmp_path)
    warehouse.run(items("id", "never"))
    warehouse.run(items("at", "id", "size"))
    assert seen[0].to_pydict() == {"id": [], "never": []}
    assert seen[1].sort_by("id").to_pylist() == [
        {"at": datetime(2024, 5, 1, 10, tzinfo=UTC), "id": 1, "size": 2.5},
        {"at": None, "id": 2, "size": None},
    ]
    with pytest.raises(PipelineStepFailed, match="expected columns never in items, got id, at"):
        warehouse.run(items("id", "never"))
