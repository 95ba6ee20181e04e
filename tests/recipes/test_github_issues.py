"""The recipe for the issues of one repository at GitHub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial, pick
from cookbook.github_issues import github
from tests.replicas.github_comments import LABEL, GitHub

pytest_plugins = ["blocks.testing.fixtures"]

JUNE = "2024-06-01T00:00:00Z"


@pytest.fixture
def hub() -> GitHub:
    """A repository with several pages of issues."""
    hub = GitHub({"t0ken": 5000})
    for number in range(230):
        hub.issue("me/app", number, f"2024-03-01T00:{number % 60:02}:00Z")
    return hub


@pytest.fixture
def server(hub: GitHub) -> Iterator[Server]:
    """It, served."""
    with serving(hub.api) as server:
        yield server


def source(server: Server, token: str = "t0ken", repo: str = "me/app") -> Any:
    """The recipe against the replica."""
    return github(repo, server.url, token)


def test_trial(trial: Trial, server: Server, hub: GitHub) -> None:
    """All issues with their labels, then those that changed."""
    issues = hub.issues["me/app"]

    def change() -> None:
        issues[3] |= {"state": "closed", "updated_at": JUNE}
        hub.issue("me/app", 900, JUNE)

    def expected() -> dict[str, list[dict[str, Any]]]:
        labels = [LABEL for _ in issues]
        return {"issues": pick(issues, "id", "number", "state"), "issues__labels": labels}

    again = trial(server, lambda: source(server), expected, change)
    assert [call.query["since"] for call in again] == ["2024-03-01T00:59:00Z"]


@pytest.mark.parametrize(
    ("body", "says"),
    [([{"id": 1, "number": 1}], "updated_at"), ({"message": "no"}, "updated_at"), (None, "JSON")],
    ids=["a key less", "an error", "nothing"],
)
def test_wrong_answers(fails: Callable[..., None], server: Server, body: Any, says: str) -> None:
    """What is not a list of issues fails the run, and nothing is loaded."""
    server.fail(lambda _: Answer(body))
    fails(source(server), says, "issues")


def test_wrong_token(refused: Callable[..., None], pipeline: dlt.Pipeline, server: Server) -> None:
    """It is refused once, and not tried again; an unknown repository is an error, too."""
    refused(source(server, "other"), server)
    with pytest.raises(PipelineStepFailed, match="status 404"):
        pipeline.run(source(server, repo="me/other"))
