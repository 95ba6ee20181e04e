"""The recipe for Notion against a replica."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial
from cookbook.notion import notion
from tests.replicas.notion import Notion

pytest_plugins = ["blocks.testing.fixtures"]

Row = dict[str, Any]
Rows = Callable[[dlt.Pipeline, str], list[Row]]


def page(name: str, day: int, edited: str = "2024-05-20T10:00:00.000Z") -> Row:
    """A page that was created on a day of May."""
    return {
        "object": "page",
        "id": name,
        "created_time": f"2024-05-{day:02}T10:00:00.000Z",
        "last_edited_time": edited,
        "in_trash": False,
        "properties": {"Points": {"id": "x", "type": "number", "number": day}},
    }


def block(name: str, kind: str = "paragraph", **more: Any) -> Row:
    """A block with some text."""
    content = {"rich_text": [{"plain_text": f"text of {name}"}], "color": "default"}
    time = "2024-05-20T10:00:00.000Z"
    row = {"object": "block", "id": name, "type": kind, "has_children": False, kind: content}
    return row | {"created_time": time, "last_edited_time": time} | more


@pytest.fixture
def workspace() -> Notion:
    """Twelve pages, of which a query shows seven; blocks three levels deep in one of them."""
    pages = [page(f"p{day}", day) for day in range(1, 13)]
    blocks: dict[str, list[Row]] = {each["id"]: [] for each in pages}
    blocks["p1"] = [block(f"b{n}") for n in range(6)]
    blocks["p1"][5] |= {"has_children": True}
    blocks["b5"] = [block("c0", "toggle", has_children=True), block("c1")]
    blocks["c0"] = [block("d0"), block("d1", "child_page", has_children=True)]
    blocks["p2"] = [block("e0")]
    return Notion(pages, blocks, most=7)


@pytest.fixture
def server(workspace: Notion) -> Iterator[Server]:
    """It, served."""
    with serving(workspace.api) as server:
        yield server


def source(server: Server, data_source: str = "ds1", token: str = "ntn_t0ken", **more: Any) -> Any:
    """The recipe."""
    return notion(data_source, per_minute=290, base_url=server.url, token=token, **more)


def tree(workspace: Notion, page: str, parent: str) -> list[Row]:
    """The blocks below one."""
    found = []
    for place, each in enumerate(workspace.blocks[parent]):
        at = {"page_id": page, "parent_id": parent, "position": place}
        found.append(at | {"id": each["id"], "text": f"text of {each['id']}"})
        if each["has_children"] and each["type"] != "child_page":
            found += tree(workspace, page, each["id"])
    return found


def test_pages_and_blocks(trial: Trial, server: Server, workspace: Notion) -> None:
    """All pages and blocks; then those that changed, without what is in the trash."""

    def change() -> None:
        edited = {"last_edited_time": "2024-06-01T10:00:00.000Z"}
        for name in ("p1", "p2", "p3"):
            workspace.pages[int(name[1:]) - 1] |= edited
        workspace.blocks["c0"] = [block("d9")]
        workspace.blocks["p2"] = []
        workspace.blocks["p3"] = [block("f0")]
        workspace.pages[11]["in_trash"] = True
        workspace.pages.append(page("p90", 20, "2024-06-01T11:00:00.000Z"))
        workspace.blocks["p90"] = [block("g0")]

    def expected() -> dict[str, list[Row]]:
        live = [each for each in workspace.pages if not each["in_trash"]]
        return {
            "pages": [
                {"id": each["id"], "properties__points__number": int(each["created_time"][8:10])}
                for each in live
            ],
            "blocks": [each for page in live for each in tree(workspace, page["id"], page["id"])],
        }

    again = trial(server, lambda: source(server), expected, change)
    first, *_ = (call.json for call in again if call.method == "POST")
    # The last change seen, less five minutes.
    (edited,) = first["filter"]["and"]
    assert edited["last_edited_time"] == {"on_or_after": "2024-05-20T09:55:00Z"}
    read = {call.path.split("/")[3] for call in again if call.method == "GET"}
    # All of them were edited within those five minutes, but for the one in the trash.
    assert read == {f"p{n}" for n in (*range(1, 12), 90)} | {"b5", "c0"}


def test_without_the_sweep(
    pipeline: dlt.Pipeline, rows: Rows, server: Server, workspace: Notion
) -> None:
    """A run without it asks for what was edited alone."""
    workspace.pages[3]["last_edited_time"] = "2024-06-01T10:00:00.000Z"
    pipeline.run(source(server, sweep=False))
    server.requests.clear()
    pipeline.run(source(server, sweep=False))
    assert [(call.method, call.path) for call in server.requests] == [
        ("POST", "/v1/data_sources/ds1/query"),
        ("GET", "/v1/blocks/p4/children"),
    ]
    assert len(rows(pipeline, "pages")) == 12


def test_more_pages_of_one_minute_than_a_query_shows(
    pipeline: dlt.Pipeline, server: Server, workspace: Notion
) -> None:
    """They cannot be had, which is an error."""
    workspace.pages += [page(f"q{number}", 13) for number in range(8)]
    workspace.blocks |= {f"q{number}": [] for number in range(8)}
    with pytest.raises(PipelineStepFailed, match="repeats a request already sent"):
        pipeline.run(source(server))


def test_a_block_that_is_deleted_meanwhile(
    pipeline: dlt.Pipeline, rows: Rows, server: Server, workspace: Notion
) -> None:
    """It has no blocks; a data source that is not there is an error."""
    server.before(1, lambda: workspace.blocks.pop("c0"), path="*/b5/children")
    pipeline.run(source(server))
    assert {row["id"] for row in rows(pipeline, "blocks")} >= {"b5", "c0", "c1", "e0"}
    with pytest.raises(PipelineStepFailed, match="status 404"):
        pipeline.run(source(server, "ds2"))


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("*/query", {"object": "error", "code": "no"}, "an array of records"),
        ("*/query", {"results": [{"id": "p1"}], "has_more": False}, "last_edited_time"),
        ("*/children", {"results": [{"id": "b1"}], "has_more": False}, "type"),
        ("*/children", {"object": "error"}, "array of records at 'results'"),
    ],
    ids=["an error", "a key less", "a block without type", "an error for blocks"],
)
def test_wrong_answers(
    fails: Callable[..., None], server: Server, path: str, body: Row, message: str
) -> None:
    """What is no page of the kind fails aloud, and loads nothing."""
    server.fail(lambda _: Answer(body), path=path)
    fails(source(server), message, "pages")


def test_wrong_token(refused: Callable[..., None], server: Server) -> None:
    """It is refused once, and not tried again."""
    refused(source(server, token="other"), server)
