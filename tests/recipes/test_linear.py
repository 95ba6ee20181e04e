"""The recipe for Linear's issues."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any, TypeAlias

import dlt
import pytest

from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial, pick
from cookbook.linear import linear
from tests.replicas.linear import Linear

pytest_plugins = ["blocks.testing.fixtures"]

JUNE = "2024-06-01T00:00:00.000Z"
Rows: TypeAlias = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def workspace() -> Linear:
    """More issues than fit on a page, one with more labels, one archived, one in the trash."""
    workspace = Linear("lin_api_key")
    for number in range(130):
        day, labels = number // 10 + 1, 230 if number == 7 else 1
        workspace.issue(number, f"2024-03-{day:02}T00:00:{number % 10:02}.123Z", labels)
    workspace.issues[5]["archivedAt"] = JUNE
    workspace.issues[6] |= {"archivedAt": JUNE, "trashed": True}
    return workspace


@pytest.fixture
def server(workspace: Linear) -> Iterator[Server]:
    """It, served."""
    with serving(workspace.api) as server:
        yield server


def source(server: Server, key: str = "lin_api_key") -> Any:
    """The recipe against the replica."""
    return linear(base_url=server.url, key=key)


def test_trial(trial: Trial, server: Server, workspace: Linear) -> None:
    """All is loaded, labels whole; then what changed is asked for, and the trash is empty."""

    def expected() -> dict[str, list[dict[str, Any]]]:
        issues = [issue for issue in workspace.issues if not issue["trashed"]]
        return {
            "issues": pick(issues, "id", "identifier", "estimate"),
            "issues__labels": [label for issue in issues for label in issue["labels"]],
        }

    def change() -> None:
        workspace.issues[7] |= {"estimate": 3, "updatedAt": JUNE}
        workspace.issues[7]["labels"].pop()
        workspace.issues[8] |= {"trashed": True, "updatedAt": JUNE}
        workspace.issue(130, JUNE)

    again = trial(server, lambda: source(server), expected, change)
    variables = [json.loads(call.content)["variables"] for call in again]
    assert variables[0] == {"since": "2024-03-13T00:00:09.123000Z"}
    assert [each.get("id") for each in variables] == [None, "uuid-7", "uuid-7", "uuid-7"]


def test_complexity(pipeline: dlt.Pipeline, rows: Rows, server: Server, workspace: Linear) -> None:
    """A page costs what the docstring says; a run waits until there are enough points again."""
    workspace.issues[9]["dueDate"] = "2024-07-01"
    workspace.left = 3000
    pipeline.run(source(server))
    assert max(workspace.costs) <= 2300
    assert server.statuses == {200: 5}
    assert {row["due_date"] for row in rows(pipeline, "issues")} == {None, date(2024, 7, 1)}


def test_ratelimited(pipeline: dlt.Pipeline, rows: Rows, server: Server) -> None:
    """What Linear says with 400 when too much was asked is tried again."""
    said = {"message": "Rate limit exceeded", "extensions": {"code": "RATELIMITED"}}
    server.fail(lambda _: Answer({"errors": [said]}, 400, {"Retry-After": "0"}), at=2)
    pipeline.run(source(server))
    assert len(rows(pipeline, "issues")) == 129


LAST = {"hasNextPage": False, "endCursor": None}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer({"errors": [{"message": "no"}]}, 400), "a failure by Errors"),
        (Answer({"data": {"issues": None}, "errors": [{"message": "no"}]}), "a failure by Errors"),
        (Answer({"data": {"issues": {"nodes": [{"id": "1"}], "pageInfo": LAST}}}), "pageInfo"),
        (Answer({"data": {"issues": {"nodes": []}}}), "pageInfo"),
        (Answer({"data": {}}), "array"),
    ],
    ids=["an error", "an error with 200", "a key less", "no paging", "another shape"],
)
def test_wrong_answers(
    fails: Callable[..., None], server: Server, answer: Answer, says: str
) -> None:
    """What is not a whole page fails the run, and nothing is loaded."""
    server.fail(lambda _: answer)
    fails(source(server), says, "issues")


def test_wrong_token(refused: Callable[..., None], server: Server) -> None:
    """It is refused once, and not tried again."""
    refused(source(server, "other"), server)
