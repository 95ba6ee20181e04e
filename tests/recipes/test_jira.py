"""The recipe for Jira's issues."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dlt
import pytest

from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial
from cookbook.jira import jira
from tests.replicas.jira import jira_api, updated

pytest_plugins = ["blocks.testing.fixtures"]

Row = dict[str, Any]
Rows = Callable[[dlt.Pipeline, str], list[Row]]


def issue(number: int, at: str, **fields: Any) -> Row:
    """An issue with its history in it."""
    document = {"type": "doc", "version": 1, "content": [{"type": "text", "text": "Hi"}]}
    made = {"summary": f"Issue {number}", "updated": at, "labels": ["a"], "description": document}
    made |= {"comment": {"comments": []}, "worklog": {"worklogs": []}, "status": {"name": "Open"}}
    key = f"{'WEB' if number % 5 == 0 else 'APP'}-{number}"
    return {"id": f"{10000 + number}", "key": key, "self": "https://jira", "fields": made | fields}


@pytest.fixture
def issues() -> list[Row]:
    """Issues of one morning, one each half minute."""
    return [
        issue(
            n,
            f"2024-05-01T{6 + n // 120:02}:{n // 2 % 60:02}:{n % 2 * 30:02}.250+0000",
            customfield_10001=n / 2,
            customfield_10002=f"r{n}",
        )
        for n in range(120)
    ]


@pytest.fixture
def server(issues: list[Row]) -> Iterator[Server]:
    """The site, served; the account is in New York."""
    with serving(jira_api(issues, zone="America/New_York", most=50)) as server:
        yield server


def source(server: Server, jql: str = "", token: str = "t0ken") -> Any:
    """The recipe against the replica."""
    return jira(server.url, jql, email="me@example.com", token=token)


def test_trial(trial: Trial, server: Server, issues: list[Row]) -> None:
    """All issues, then those that changed, asked for on the clock of the account."""

    def change() -> None:
        issues[7]["fields"] |= {"updated": "2024-05-02T03:00:30.000+0000", "labels": ["b", "c"]}
        issues[8]["fields"] |= {"customfield_10003": "north", "customfield_10004": "never"}
        issues[8]["fields"] |= {"updated": "2024-05-02T03:00:30.000+0000"}
        issues.append(issue(900, "2024-05-02T04:00:00.123+0000"))

    def expected() -> dict[str, list[Row]]:
        names = {
            "story_points": "customfield_10001",
            "region_customfield_10002": "customfield_10002",
            "region_customfield_10003": "customfield_10003",
            "updated_customfield_10004": "customfield_10004",
        }
        return {
            "issues": [
                {"id": row["id"], "key": row["key"], "updated": updated(row)}
                | {name: row["fields"].get(names[name]) for name in names}
                for row in issues
            ],
            "issues__labels": [
                {"value": label} for row in issues for label in row["fields"]["labels"]
            ],
        }

    again = trial(server, lambda: source(server), expected, change)
    # Ten minutes before the last one, at 06:59:30 in UTC.
    assert [call.query["jql"] for call in again if "jql" in call.query] == [
        'updated >= "2024-05-01 02:49" ORDER BY updated ASC'
    ]


def test_columns(pipeline: dlt.Pipeline, rows: Rows, server: Server) -> None:
    """Documents stay whole, what was not asked for is not there, and `jql` narrows."""
    pipeline.run(source(server, "project = WEB"))
    found = rows(pipeline, "issues")
    assert len(found) == 24
    assert '"content"' in found[0]["description"]
    assert not [column for column in found[0] if column.startswith(("comment", "worklog"))]
    assert "issues__description__content" not in pipeline.default_schema.tables


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("*/search/jql", {"errorMessages": ["no"]}, "array of records at 'issues'"),
        ("*/search/jql", {"issues": [{"id": "1", "fields": {}}]}, "expected a value in each row"),
        ("*/myself", {"accountId": "a1"}, "timeZone"),
    ],
)
def test_wrong_answers(
    fails: Callable[..., None], server: Server, path: str, body: Row, message: str
) -> None:
    """What is no page of issues fails aloud, and loads nothing."""
    server.fail(lambda _: Answer(body), path=path)
    fails(source(server), message, "issues")


def test_wrong_token(refused: Callable[..., None], server: Server) -> None:
    """It is refused once, and not tried again."""
    refused(source(server, token="other"), server)
