"""The recipe for Asana against a replica."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial, pick
from cookbook.asana import asana
from tests.replicas.asana import Asana

pytest_plugins = ["blocks.testing.fixtures"]

Row = dict[str, Any]
Rows = Callable[[dlt.Pipeline, str], list[Row]]


def task(gid: str, modified: str = "2024-05-01T10:00:00.123Z") -> Row:
    """A task with a tag."""
    tags = [{"gid": "9", "name": f"tag of {gid}"}]
    return {"gid": gid, "name": f"Task {gid}", "modified_at": modified, "tags": tags, "x": "never"}


@pytest.fixture
def workspace() -> Asana:
    """Three projects, one with several pages of tasks, one empty; a task is in two of them."""
    workspace = Asana(most=4)
    workspace.add("p1", *(task(f"a{n}", f"2024-05-0{1 + n % 3}T10:00:00.123Z") for n in range(10)))
    workspace.add("p2", task("b0"), task("b1"), task("a0"))
    workspace.add("p3")
    return workspace


@pytest.fixture
def server(workspace: Asana) -> Iterator[Server]:
    """It, served."""
    with serving(workspace.api) as server:
        yield server


def source(server: Server, token: str = "t0ken") -> Any:
    """The recipe; of tasks read anew a quarter may be gone."""
    return asana("ws1", base_url=server.url, most=0.25, token=token)


def expected(workspace: Asana) -> dict[str, list[Row]]:
    """What is to be loaded now."""
    tasks = [
        row | {"project_gid": project["gid"]}
        for project in workspace.projects
        for row in workspace.tasks[project["gid"]]
    ]
    return {
        "projects": pick(workspace.projects, "gid", "name"),
        "tasks": pick(tasks, "project_gid", "gid", "name"),
        "tasks__tags": [{"name": row["tags"][0]["name"]} for row in tasks],
    }


def test_tasks(trial: Trial, server: Server, workspace: Asana) -> None:
    """All tasks; then what changed, was deleted, or left its project, by asking for that alone."""

    def change() -> None:
        workspace.tasks["p1"][3] |= {"name": "Another", "modified_at": "2024-06-01T10:00:00Z"}
        workspace.tasks["p1"].append(task("a90", "2024-06-01T11:00:00Z"))
        for number, gid in enumerate(["a4", "a5", "a6"]):
            del workspace.tasks["p1"][4]
            # In one section after the other, which is no leave of the project.
            workspace.tell("p1", f"a{7 + number}", "removed", "section")
            workspace.tell("p1", gid, "deleted")
        del workspace.tasks["p2"][2]
        workspace.tell("p2", "a0", "removed", "p2")
        workspace.tell("p2", "b1", "removed", "p2")
        workspace.tell("p2", "b1", "added", "p2")
        # Back since, which the events of the next run will tell.
        workspace.tell("p2", "b0", "removed", "p2")
        workspace.tasks["p2"][0]["modified_at"] = "2024-06-01T10:00:00Z"
        workspace.add("p4", task("d0", "2020-01-01T00:00:00Z"))

    again = trial(
        server,
        lambda: source(server),
        lambda: expected(workspace),
        change,
        expire=workspace.expire,
    )
    since = {
        call.query["project"]: call.query.get("modified_since")
        for call in again
        if call.path.endswith("/tasks")
    }
    began = "2008-01-01T00:00:00Z"
    assert since == {
        "p1": "2024-05-03T10:00:00.123000Z",
        "p2": "2024-05-01T10:00:00.123000Z",
        "p3": began,
        "p4": began,
    }


def test_the_day_after(
    pipeline: dlt.Pipeline, rows: Rows, server: Server, workspace: Asana
) -> None:
    """When sync tokens have expired all is read anew and compared; too much gone is an error."""
    pipeline.run(source(server))
    workspace.expire()
    del workspace.tasks["p1"][2:4], workspace.tasks["p2"][0]
    pipeline.run(source(server))
    found = pick(rows(pipeline, "tasks"), "project_gid", "gid", "name")
    assert sorted(map(str, found)) == sorted(map(str, expected(workspace)["tasks"]))
    workspace.expire()
    del workspace.tasks["p1"][1:6]
    with pytest.raises(PipelineStepFailed, match="expected at most 25% of 10 known keys"):
        pipeline.run(source(server))
    assert len(rows(pipeline, "tasks")) == 10


def test_an_offset_that_expires(
    pipeline: dlt.Pipeline, rows: Rows, server: Server, workspace: Asana
) -> None:
    """The list is begun again."""
    del workspace.projects[1:]
    server.before(2, workspace.expire, path="*/tasks")
    pipeline.run(source(server))
    assert server.statuses[400] == 1
    assert len(rows(pipeline, "tasks")) == 10


def test_a_task_that_was_taken_back(
    pipeline: dlt.Pipeline, rows: Rows, server: Server, workspace: Asana
) -> None:
    """One that was deleted and then was not is there, though it does not count as modified."""
    workspace.tasks["p2"][1]["modified_at"] = "2024-04-01T10:00:00Z"
    pipeline.run(source(server))
    workspace.tell("p2", "b1", "deleted")
    back = workspace.tasks["p2"].pop(1)
    pipeline.run(source(server))
    assert len(rows(pipeline, "tasks")) == 12
    workspace.tell("p2", "b1", "undeleted")
    workspace.tasks["p2"].append(back)
    pipeline.run(source(server))
    assert len(rows(pipeline, "tasks")) == 13


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("*/tasks", {"errors": [{"message": "no"}]}, "array of records at 'data'"),
        ("*/tasks", {"data": [{"gid": "a1"}], "next_page": None}, "modified_at"),
        ("*/events", {"errors": [{"message": "no"}]}, "sync"),
        ("*/projects", {"data": [{}], "next_page": None}, "gid"),
    ],
    ids=["an error", "a key less", "events without a token", "a project without gid"],
)
def test_wrong_answers(
    fails: Callable[..., None], server: Server, path: str, body: Row, message: str
) -> None:
    """What is no page of the kind fails aloud, and loads nothing."""
    server.fail(lambda _: Answer(body), path=path, times=99)
    fails(source(server), message, "tasks")


def test_wrong_token(refused: Callable[..., None], server: Server) -> None:
    """It is refused once, and not tried again."""
    refused(source(server, "other"), server)
