"""The recipe for GitHub's issues and comments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial, pick
from cookbook.github_comments import github_comments
from tests.replicas.github_comments import GitHub

pytest_plugins = ["blocks.testing.fixtures"]

JUNE = "2024-06-01T00:00:00Z"


@pytest.fixture
def github() -> GitHub:
    """Two repositories; in one every tenth issue has comments, of one more than fit on a page."""
    github = GitHub({"t0ken-a": 5000, "t0ken-b": 5000})
    for number in range(120):
        comments = 0 if number % 10 else 130 if number == 50 else 2
        github.issue("me/app", number, f"2024-03-01T00:{number % 60:02}:00Z", comments)
    for number in range(10):
        github.issue("me/lib", number, "2024-02-01T00:00:00Z", number % 2)
    return github


@pytest.fixture
def server(github: GitHub) -> Iterator[Server]:
    """It, served."""
    with serving(github.api) as server:
        yield server


def source(server: Server, repos: Sequence[str] = ("me/app", "me/lib")) -> Any:
    """The recipe against the replica."""
    return github_comments(repos, base_url=server.url, tokens=["t0ken-a", "t0ken-b"])


def test_trial(trial: Trial, server: Server, github: GitHub) -> None:
    """All is loaded, then what changed; a repository that is added is read from the start."""
    repos = ["me/app"]

    def expected() -> dict[str, list[dict[str, Any]]]:
        issues = [row | {"repo": repo} for repo in repos for row in github.issues[repo]]
        comments = [
            row | {"issue_id": issue["id"]}
            for issue in issues
            for row in github.comments[issue["id"]]
        ]
        return {
            "issues": pick(issues, "id", "repo", "number", "state", "comments"),
            "comments": pick(comments, "id", "issue_id", "body"),
        }

    def change() -> None:
        app = github.issues["me/app"]
        app[3] |= {"state": "closed", "updated_at": JUNE}
        del github.comments[app[50]["id"]][7]
        github.comment(app[50], JUNE)
        github.issue("me/app", 120, JUNE, comments=1)
        repos.append("me/lib")

    again = trial(server, lambda: source(server, repos), expected, change)
    since = {call.path: call.query.get("since") for call in again if "/app/" in call.path}
    assert since == {
        "/repos/me/app/issues": "2024-03-01T00:59:00Z",
        "/repos/me/app/issues/50/comments": None,
        "/repos/me/app/issues/120/comments": None,
    }
    assert server.statuses[404] == 0


def test_tokens_in_turn(
    pipeline: dlt.Pipeline, rows: Callable[..., list[Any]], server: Server, github: GitHub
) -> None:
    """A token whose quota somebody else uses up gives way to the next, without a wait."""
    server.before(6, lambda: github.left.pop("t0ken-a"))
    pipeline.run(source(server))
    assert len(rows(pipeline, "comments")) == 11 * 2 + 130 + 5
    assert 1 <= server.statuses[403] <= 8  # as many as may be under way


def test_secondary_limit(
    pipeline: dlt.Pipeline, rows: Callable[..., list[Any]], server: Server
) -> None:
    """A 403 that means "too fast" is waited for."""
    said = {"message": "You have exceeded a secondary rate limit."}
    for at in (2, 3):  # both tokens
        server.fail(lambda _: Answer(said, 403, {"Retry-After": "0"}), at=at)
    pipeline.run(source(server))
    assert len(rows(pipeline, "issues")) == 130


@pytest.mark.parametrize(
    ("body", "says"),
    [([{"id": 1, "number": 1}], "updated_at"), ({"message": "no"}, "updated_at"), (None, "JSON")],
    ids=["a key less", "an error", "nothing"],
)
def test_wrong_answers(fails: Callable[..., None], server: Server, body: Any, says: str) -> None:
    """What is not a list of issues fails the run, and nothing is loaded."""
    server.fail(lambda _: Answer(body), times=2)
    fails(source(server), says, "issues")


def test_bad_credentials(pipeline: dlt.Pipeline, server: Server) -> None:
    """One token that is refused fails the run."""
    with pytest.raises(PipelineStepFailed, match="credentials"):
        pipeline.run(github_comments(["me/app"], base_url=server.url, tokens=["old"]))
