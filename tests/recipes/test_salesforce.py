"""The Salesforce recipe against its replica: both ways to read, deletes, and what goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Rows, Trial
from cookbook.salesforce import salesforce
from tests.replicas.salesforce import ROOT, Org

pytest_plugins = ["blocks.testing.fixtures"]

TABLES = ["account", "task"]
SYSTEM = {"Id": "id", "IsDeleted": "boolean", "SystemModstamp": "datetime"}
FIELDS = {
    "Account": {**SYSTEM, "BillingAddress": "address", "BillingPostalCode": "string"},
    "Task": {**SYSTEM, "Hours__c": "double", "Due__c": "date", "Code__c": "string", "At": "base64"},
}


@pytest.fixture
def org() -> Org:
    """Seven accounts and seven tasks, three to a batch."""
    org = Org(FIELDS, batch=3)
    for n in range(7):
        row = {"Id": f"a{n}", "IsDeleted": False}
        time = f"2024-05-0{n + 1}T10:00:00.000"
        account = {**row, "SystemModstamp": f"{time}+0000", "BillingPostalCode": f"0123{n}"}
        task = {**row, "SystemModstamp": f"{time}Z", "Hours__c": n / 2, "Due__c": "2024-06-01"}
        org.records["Account"].append(account)
        org.records["Task"].append({**task, "Code__c": "NA"})
    return org


@pytest.fixture
def server(org: Org) -> Iterator[Server]:
    """The org at an address."""
    with serving(org.api) as server:
        yield server


def source(server: Server, secret: str = "not-a-secret") -> Any:
    """The recipe, with a job asked about often."""
    start, account, task = "2024-01-01T00:00:00Z", ["Account"], ["Task"]
    return salesforce(server.url, account, task, start, "app", secret, poll=0.02)


def test_all_and_changes(trial: Trial, server: Server, org: Org) -> None:
    """All records come, then those new, changed and deleted alone; cuts and limits are survived."""

    def change() -> None:
        for rows in org.records.values():
            late = {"SystemModstamp": "2024-05-08T00:00:00.000Z"}
            rows[0] |= {**late, "BillingPostalCode": "00000", "Hours__c": 9.5}
            rows[1] |= {**late, "IsDeleted": True}
            rows.append({**rows[2], "Id": "a9", **late})

    def expected() -> dict[str, Rows]:
        alive = {
            name: [row for row in org.records[name] if not row["IsDeleted"]] for name in FIELDS
        }
        codes = [
            {"id": row["Id"], "billing_postal_code": row["BillingPostalCode"]}
            for row in alive["Account"]
        ]
        hours = [{"id": row["Id"], "hours__c": row["Hours__c"]} for row in alive["Task"]]
        return {"account": codes, "task": hours}

    again = trial(server, lambda: source(server), expected, change, expire=org.tokens.expire)
    since = "SystemModstamp >= 2024-05-07T09:50:00Z"
    queries = [call.query.get("q", "") + call.content.decode() for call in again]
    assert [since in query for query in queries if "SELECT" in query] == [True, True]
    assert sum("/describe" in call.path for call in again) == 2
    assert len(again) < 14


def test_types(pipeline: dlt.Pipeline, rows: Any, server: Server) -> None:
    """Columns have the types of the fields, compound and binary ones are left out."""
    pipeline.run(source(server), loader_file_format="parquet")
    accounts, tasks = ({row["id"]: row for row in rows(pipeline, name)} for name in TABLES)
    stamp = {"system_modstamp": datetime(2024, 5, 7, 10, tzinfo=UTC), "is_deleted": False}
    assert accounts["a6"] == {"id": "a6", **stamp, "billing_postal_code": "01236"}
    values = {"hours__c": 3.0, "due__c": date(2024, 6, 1), "code__c": "NA"}
    assert tasks["a6"] == {"id": "a6", **stamp, **values}


def test_no_errors(pipeline: dlt.Pipeline, rows: Any, server: Server, org: Org) -> None:
    """The limit, a 403 with a code, is waited for; a job without results loads nothing."""
    server.fail(403, at=3)
    org.records["Task"].clear()
    pipeline.run(source(server), loader_file_format="parquet")
    assert (len(rows(pipeline, "account")), rows(pipeline, "task")) == (7, [])
    assert server.statuses[403] == 1


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("a job", "got 'Failed'"),
        ("the secret", "invalid_client"),
        ("a batch", "expected true or false at 'done'"),
        ("an object", "status 404"),
    ],
)
def test_wrong(
    pipeline: dlt.Pipeline, rows: Any, server: Server, org: Org, broken: str, said: str
) -> None:
    """A failed job, a wrong secret, a batch without keys, no such object: nothing is loaded."""
    org.fails = broken == "a job"
    if broken == "a batch":
        server.fail(lambda _: Answer({"records": []}), path=f"{ROOT}/queryAll")
    if broken == "an object":
        del org.fields["Account"]
    secret = "another" if broken == "the secret" else "not-a-secret"
    with pytest.raises(PipelineStepFailed, match=said):
        pipeline.run(source(server, secret), loader_file_format="parquet")
    assert [rows(pipeline, name) for name in TABLES] == [[], []]
