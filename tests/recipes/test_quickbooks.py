"""The recipe for QuickBooks Online against a replica."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.ledger import StateFile
from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial
from cookbook.quickbooks import quickbooks
from tests.replicas.quickbooks import Company

pytest_plugins = ["blocks.testing.fixtures"]

Row = dict[str, Any]
Rows: TypeAlias = Callable[[dlt.Pipeline, str], list[Row]]
TABLES = ("Customer", "Invoice", "Bill")  # of which there is none
LONG_AGO, NOW = timedelta(days=400), timedelta(seconds=1)


@pytest.fixture
def company() -> Company:
    """Customers, one of them inactive, and invoices with lines, of several pages."""
    company = Company(most=10)
    for number in range(1, 26):
        active = number != 7
        company.put("Customer", number, LONG_AGO, DisplayName=f"c{number}", Active=active)
        lines = [{"Id": "1", "Amount": number + 0.5}]
        company.put("Invoice", number, LONG_AGO, TotalAmt=number + 0.5, Line=lines)
    return company


@pytest.fixture
def server(company: Company, tmp_path: Path) -> Iterator[Server]:
    """The company at an address, and its first refresh token in a file."""
    (tmp_path / "token").write_text('{"refresh_token": "first"}')
    with serving(company.api) as server:
        yield server


@pytest.fixture
def source(server: Server, tmp_path: Path) -> Callable[[], Any]:
    """What makes the recipe."""
    token, bearer = str(tmp_path / "token"), f"{server.url}/tokens/bearer"
    return lambda: quickbooks("9130", token, server.url, bearer, "app", "s3cret").with_resources(
        *TABLES
    )


def live(company: Company, entity: str, *names: str) -> list[Row]:
    """What is there of an entity, by the columns of its table."""
    columns = {"Id": "id", "DisplayName": "display_name", "TotalAmt": "total_amt"}
    rows = [row for row in company.rows[entity] if "status" not in row]
    return [{columns[name]: row[name] for name in names} for row in rows]


def test_books(
    trial: Trial, server: Server, company: Company, source: Callable[[], Any], tmp_path: Path
) -> None:
    """All is queried; then changes and deletions come in one request each."""

    def change() -> None:
        company.put("Customer", 3, NOW, DisplayName="renamed", Active=True)
        company.put("Invoice", 90, NOW, TotalAmt=9.5, Line=[])
        company.put("Invoice", 4, NOW, status="Deleted")

    def expected() -> dict[str, list[Row]]:
        customers = live(company, "Customer", "Id", "DisplayName")
        return {"customer": customers, "invoice": live(company, "Invoice", "Id", "TotalAmt")}

    token, seen = tmp_path / "token", list[dict[str, str]]()
    server.before(1, lambda: seen.append(dict(StateFile(token))), path="/v3/*")
    again = trial(server, source, expected, change, expire=company.tokens.expire)
    paths = [call.path.rsplit("/", 1)[1] for call in again]
    assert sorted(paths) == ["bearer", "cdc", "cdc", "cdc"]
    # Before anything was asked with the token beside it.
    assert seen == [{"refresh_token": "refresh-1"}]
    assert StateFile(token)["refresh_token"] == f"refresh-{company.tokens.issued}"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600


def test_too_late_for_changes(
    pipeline: dlt.Pipeline, rows: Rows, server: Server, company: Company, source: Callable[[], Any]
) -> None:
    """After a long pause, or with too many changes to show, all is read and what is gone goes."""
    pipeline.run(source())
    with pipeline.managed_state() as state:
        for resource in state["sources"]["quickbooks"]["resources"].values():
            resource["cursors"]["changes"] = "2024-01-01T00:00:00Z"
    del company.rows["Customer"][5]
    server.requests.clear()
    pipeline.run(source())
    assert server.count("*/cdc") == 0
    assert len(rows(pipeline, "customer")) == 24
    for number in range(2000, 3000):
        company.put("Invoice", number, NOW, TotalAmt=1.0)
    company.most = 1000
    del company.rows["Invoice"][:3]
    pipeline.run(source())
    assert server.count("*/cdc") == 3
    assert len(rows(pipeline, "invoice")) == 1022


def test_a_row_that_slips(
    pipeline: dlt.Pipeline, rows: Rows, server: Server, company: Company, source: Callable[[], Any]
) -> None:
    """When positions move while pages are read, the run fails rather than lose a row."""
    server.before(3, lambda: company.rows["Customer"].pop(0), path="*/query")
    with pytest.raises(PipelineStepFailed, match="each Customer that was counted"):
        pipeline.run(source())
    assert rows(pipeline, "customer") == []


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer({"Fault": {"type": "ValidationFault"}}, 400), "status 400"),
        (Answer({"Fault": {"type": "SystemFault"}}), "QueryResponse"),
        (Answer({"QueryResponse": {}}), "totalCount"),
    ],
)
def test_wrong_answers(
    fails: Callable[..., None],
    server: Server,
    source: Callable[[], Any],
    answer: Answer,
    message: str,
) -> None:
    """Faults of all kinds fail the run, and nothing is loaded."""
    server.fail(lambda _: answer, path="*/query", times=2)
    fails(source(), message, "customer", "invoice")


def test_a_void_token(
    pipeline: dlt.Pipeline, server: Server, source: Callable[[], Any], tmp_path: Path
) -> None:
    """A refresh token that is no longer good is an error at once, and stays in its file."""
    StateFile(tmp_path / "token")["refresh_token"] = "older"
    with pytest.raises(PipelineStepFailed, match="invalid_grant"):
        pipeline.run(source())
    assert server.statuses == {400: 1}
    assert dict(StateFile(tmp_path / "token")) == {"refresh_token": "older"}
