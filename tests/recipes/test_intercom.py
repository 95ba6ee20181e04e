"""The recipe for Intercom against a replica."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import dlt
import pytest

from blocks.events import Event, Retried, listen
from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial
from cookbook.intercom import intercom
from tests.replicas.intercom import intercom_api

pytest_plugins = ["blocks.testing.fixtures"]

Row = dict[str, Any]
Rows = Callable[[dlt.Pipeline, str], list[Row]]
MAY = 1714521600


@pytest.fixture
def conversations() -> list[Row]:
    """Two pages of them, several of one second."""
    return [{"id": f"c{n}", "title": "open", "updated_at": MAY + n // 3} for n in range(160)]


@pytest.fixture
def parts(conversations: list[Row]) -> dict[str, list[Row]]:
    """A reply to each but the tenth, which has none."""
    found = {row["id"]: [{"id": f"p{row['id']}", "body": "hello"}] for row in conversations}
    return found | {"c9": []}


@pytest.fixture
def server(conversations: list[Row], parts: dict[str, list[Row]]) -> Iterator[Server]:
    """The replica."""
    with serving(intercom_api(conversations, parts)) as server:
        yield server


def source(server: Server, token: str = "t0ken") -> Any:
    """The recipe."""
    return intercom(base_url=server.url, token=token)


def test_conversations(
    trial: Trial, server: Server, conversations: list[Row], parts: dict[str, list[Row]]
) -> None:
    """All conversations with their parts, then those that changed."""

    def change() -> None:
        conversations[5] |= {"updated_at": MAY + 500, "title": "closed"}
        parts["c5"].append({"id": "p500", "body": "bye"})
        conversations.append({"id": "c900", "title": "new", "updated_at": MAY + 501})
        parts["c900"] = [{"id": "p900", "body": "hello?"}]

    def expected() -> dict[str, list[Row]]:
        said = [{**part, "conversation_id": key} for key in parts for part in parts[key]]
        return {"conversations": conversations, "conversation_parts": said}

    search, *others = trial(server, lambda: source(server), expected, change)
    # c159 shares the last second seen.
    paths = {f"/conversations/{key}" for key in ("c5", "c159", "c900")}
    assert {call.path for call in others} == paths
    assert search.json["query"]["value"] == MAY + 52


def test_a_conversation_that_is_deleted_while_we_read(
    pipeline: dlt.Pipeline, rows: Rows, server: Server, conversations: list[Row]
) -> None:
    """It has no parts, and others have theirs."""
    server.before(4, lambda: conversations.pop(100))
    pipeline.run(source(server), loader_file_format="parquet")
    assert server.statuses[404] == 1
    assert len(rows(pipeline, "conversation_parts")) == 158


def test_the_reset_is_waited_for(pipeline: dlt.Pipeline, rows: Rows, server: Server) -> None:
    """A 429 says by an epoch when to go on, and has no Retry-After."""
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 1)}
    server.fail(lambda _: Answer({"type": "error.list"}, 429, headers))
    seen: list[Event] = []
    stop = listen(seen.append)
    pipeline.run(source(server).with_resources("conversations"))
    stop()
    assert "0 left" in {event.reason for event in seen if isinstance(event, Retried)}
    assert len(rows(pipeline, "conversations")) == 160


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/conversations/search", "one object at conversations, got nothing"),
        ("/conversations/c7", "at conversation_parts.conversation_parts, got nothing"),
    ],
)
def test_wrong_answers(fails: Callable[..., None], server: Server, path: str, message: str) -> None:
    """What is no page fails aloud, and loads nothing, of conversations neither."""
    server.fail(lambda _: Answer({"type": "error.list", "errors": []}), path=path)
    fails(source(server), message, "conversations")


def test_wrong_token(refused: Callable[..., None], server: Server) -> None:
    """It is refused once, and not tried again."""
    refused(source(server, "other"), server)
