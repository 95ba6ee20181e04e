"""The recipe for Chargebee against a replica."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dlt
import httpx
import pytest

from blocks.outcomes import Verdict
from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial, pick
from cookbook.chargebee import BUSY, chargebee
from tests.replicas.chargebee import chargebee_api

pytest_plugins = ["blocks.testing.fixtures"]

Row = dict[str, Any]
Rows = Callable[[dlt.Pipeline, str], list[Row]]
BEGIN = 1714557600


def record(number: int, updated: int | None) -> Row:
    """A record with the fields that all kinds have."""
    row = {"id": f"r{number}", "deleted": False, "resource_version": (updated or 0) * 1000}
    lines = [{"id": f"li_{number}", "amount": 100 * number}]
    return row | {"line_items": lines} | ({} if updated is None else {"updated_at": updated})


@pytest.fixture
def tables() -> dict[str, list[Row]]:
    """Two pages of customers, one of them never touched, and a few of the others."""
    customers = [record(n, BEGIN + n // 3) for n in range(150)]
    customers[0].pop("updated_at")
    few = [record(n, BEGIN + n) for n in range(3)]
    return {"customers": customers, "subscriptions": few, "invoices": [record(7, BEGIN)]}


@pytest.fixture
def server(tables: dict[str, list[Row]]) -> Iterator[Server]:
    """The replica."""
    with serving(chargebee_api(tables)) as server:
        yield server


def source(server: Server, key: str = "test_k3y") -> Any:
    """The recipe."""
    return chargebee(server.url, api_key=key)


def test_records(trial: Trial, server: Server, tables: dict[str, list[Row]]) -> None:
    """All records, then those that changed; what was deleted goes, with its lines."""

    def change() -> None:
        customers = tables["customers"]
        customers[5] |= {"updated_at": BEGIN + 500, "email": "me@example.com", "line_items": []}
        customers[9] |= {"updated_at": BEGIN + 501, "deleted": True}
        customers.append(record(900, BEGIN + 502))

    def expected() -> dict[str, list[Row]]:
        live = {
            name: [row for row in table if not row["deleted"]] for name, table in tables.items()
        }
        lines = [line for row in live["customers"] for line in row["line_items"]]
        return {
            **{name: pick(table, "id", "updated_at") for name, table in live.items()},
            "customers__line_items": pick(lines, "id", "amount"),
        }

    again = trial(server, lambda: source(server), expected, change)
    asked = {call.path: call.query["updated_at[after]"] for call in again}
    # The last change seen, less two minutes, exclusively.
    assert asked == {
        "/api/v2/customers": str(BEGIN + 49 - 121),
        "/api/v2/subscriptions": str(BEGIN + 2 - 121),
        "/api/v2/invoices": str(BEGIN - 121),
    }


def test_a_customer_that_changes_while_pages_are_read(
    pipeline: dlt.Pipeline, rows: Rows, server: Server, tables: dict[str, list[Row]]
) -> None:
    """Of the two versions that come in one load the later one stays."""
    changed = {"updated_at": BEGIN + 900, "resource_version": (BEGIN + 900) * 1000, "email": "new"}
    tables["customers"][130]["email"] = "old"
    server.before(2, lambda: tables["customers"].append(tables["customers"][2] | changed))
    pipeline.run(source(server))
    found = {row["id"]: row["email"] for row in rows(pipeline, "customers")}
    assert (found["r2"], found["r130"], len(found)) == ("new", "old", 150)


def test_the_wait_of_a_minute() -> None:
    """A refusal without Retry-After is taken for one of a minute."""
    assert BUSY(httpx.Response(429)) == Verdict("limited", wait=60)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"message": "no", "api_error_code": "x"}, "array of records at 'list'"),
        ({"list": [{"card": {}}]}, "expected 'customer' in each element"),
        ({"list": [{"customer": {"id": "r1"}}]}, "updated_at"),
    ],
    ids=["an error", "another entity", "a key less"],
)
def test_wrong_answers(fails: Callable[..., None], server: Server, body: Row, message: str) -> None:
    """What is no page of customers fails aloud, and loads nothing."""
    server.fail(lambda _: Answer(body), path="*/customers")
    fails(source(server), message, "invoices")


def test_wrong_key(refused: Callable[..., None], server: Server) -> None:
    """A key that is refused is an error at once."""
    refused(source(server, "test_other"), server)
