"""The recipe for GitHub's pull requests by GraphQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dlt
import httpx
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial, pick
from cookbook.github_graphql import github_graphql, points
from tests.replicas.github_graphql import GitHub

pytest_plugins = ["blocks.testing.fixtures"]

JUNE = "2024-06-01T00:00:00Z"


@pytest.fixture
def github() -> GitHub:
    """A hundred and twenty pull requests, two of which have more labels or reviews than fit."""
    github = GitHub("t0ken")
    for number in range(120):
        labels, reviews = 130 if number == 7 else 1, 230 if number in {7, 99} else 1
        github.pull(
            number, f"2024-03-{number // 10 + 1:02}T00:{number % 10:02}:00Z", labels, reviews
        )
    github.pull(500, "2023-12-31T23:59:59Z")
    return github


@pytest.fixture
def server(github: GitHub) -> Iterator[Server]:
    """It, served."""
    with serving(github.api) as server:
        yield server


def source(server: Server, token: str = "t0ken") -> Any:
    """The recipe against the replica."""
    return github_graphql("me/app", base_url=server.url, token=token)


def test_trial(trial: Trial, server: Server, github: GitHub) -> None:
    """All of this year is loaded, nested lists whole; then the pages that changed are asked for."""

    def expected() -> dict[str, list[dict[str, Any]]]:
        pulls = [pull for pull in github.pulls if pull["updatedAt"] >= "2024"]
        return {
            "pull_requests": pick(pulls, "id", "number", "state"),
            "pull_requests__labels": [row for pull in pulls for row in pull["labels"]],
            "pull_requests__reviews": pick(
                [row for pull in pulls for row in pull["reviews"]], "id", "state"
            ),
        }

    def change() -> None:
        github.pulls[7] |= {"state": "MERGED", "updatedAt": JUNE}
        github.pulls[7]["labels"].pop()
        github.pull(120, JUNE)
        github.asked.clear()

    again = trial(server, lambda: source(server), expected, change)
    asked = [each.get("id", "a page") for each in github.asked[: len(again)]]
    assert asked == ["a page", *["PR_7"] * 5, "a page"]


def test_points(pipeline: dlt.Pipeline, server: Server, github: GitHub) -> None:
    """What the limit counts for a query is what the API takes for it."""
    pipeline.run(source(server))
    sent = [
        httpx.Request("POST", server.url + call.path, content=call.content)
        for call in server.requests
    ]
    assert list(map(points, sent)) == github.costs
    assert points(httpx.Request("POST", server.url, json={"variables": {"pulls": 100}})) == 2


def test_points_used_up(
    pipeline: dlt.Pipeline, rows: Callable[..., list[Any]], server: Server, github: GitHub
) -> None:
    """When points are used up, which comes with status 200, the run waits for more."""
    github.left = 3
    server.before(5, lambda: setattr(github, "left", 5000))
    pipeline.run(source(server))
    assert len(rows(pipeline, "pull_requests__reviews")) == 118 + 2 * 230


PAGE = {
    "nodes": [{"id": "PR_1", "updatedAt": JUNE}],
    "pageInfo": {"hasNextPage": False, "endCursor": None},
}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"data": None, "errors": [{"message": "Something went wrong"}]}, "a failure by Errors"),
        ({"data": {"repository": {"pullRequests": PAGE}}, "errors": [{}]}, "a failure by Errors"),
        ({"data": {"repository": {"pullRequests": PAGE}}}, "pageInfo"),
        ({"data": {"repository": {"pullRequests": {"nodes": []}}}}, "pageInfo"),
        ({"message": "moved"}, "array"),
    ],
    ids=["errors", "partial", "a key less", "no paging", "another shape"],
)
def test_wrong_answers(fails: Callable[..., None], server: Server, body: Any, says: str) -> None:
    """What is not a whole page fails the run, and nothing is loaded."""
    server.fail(lambda _: Answer(body))
    fails(source(server), says, "pull_requests")


def test_unknown_repository(pipeline: dlt.Pipeline, server: Server) -> None:
    """It is an error, though GitHub says 200."""
    with pytest.raises(PipelineStepFailed, match="a failure by Errors"):
        pipeline.run(github_graphql("me/other", base_url=server.url, token="t0ken"))


def test_wrong_token(refused: Callable[..., None], server: Server) -> None:
    """It is refused once, and not tried again."""
    refused(source(server, "other"), server)
