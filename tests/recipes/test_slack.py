"""The recipe for Slack's messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dlt
import pytest

from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial, pick
from cookbook.slack import slack
from tests.replicas.slack import Slack

pytest_plugins = ["blocks.testing.fixtures"]

Row = dict[str, Any]
Rows = Callable[[dlt.Pipeline, str], list[Row]]
MAY, DAY = 1714557600, 86400  # 2024-05-01T10:00:00Z


def ts(second: int) -> str:
    """So many seconds after the beginning, and some microseconds."""
    return f"{MAY + second}.000216"


@pytest.fixture
def workspace() -> Slack:
    """Two channels of ten days; in one is a thread that goes on from day to day."""
    workspace = Slack(["C1", "C2"], size=8)
    for day in range(10):
        workspace.say("C1", ts(day * DAY), f"day {day}")
        workspace.say("C2", ts(day * DAY + 60), f"day {day}")
    for day in range(5, 10):
        workspace.say("C1", ts(day * DAY + 30), f"reply {day}", thread=ts(5 * DAY))
        workspace.say("C1", ts(day * DAY + 31), f"reply {day}", thread=ts(5 * DAY))
    return workspace


@pytest.fixture
def server(workspace: Slack) -> Iterator[Server]:
    """It, served."""
    with serving(workspace.api) as server:
        yield server


def source(server: Server, token: str = "xoxb-t0ken") -> Any:
    """The recipe against the replica."""
    return slack(base_url=f"{server.url}/api", token=token)


def messages(workspace: Slack) -> list[Row]:
    """All messages there are, with their channels."""
    return [
        {"channel": channel, **pick([row], "ts", "text", "thread_ts")[0]}
        for channel in workspace.channels
        for row in workspace.messages[channel].values()
    ]


def test_trial(trial: Trial, server: Server, workspace: Slack) -> None:
    """All messages and replies; then what is new, and of a channel that was joined all there is."""

    def change() -> None:
        workspace.messages["C2"][ts(8 * DAY + 60)]["text"] = "edited"
        workspace.say("C1", ts(9 * DAY + 90), "news", thread=ts(5 * DAY))
        workspace.say("C2", ts(9 * DAY + 91), "first reply", thread=ts(9 * DAY + 60))
        workspace.messages["C3"] = {}
        workspace.channels.append("C3")
        workspace.say("C3", ts(0), "old")

    def expected() -> dict[str, list[Row]]:
        channels = [{"id": channel} for channel in workspace.channels]
        return {"channels": channels, "messages": messages(workspace)}

    again = trial(server, lambda: source(server), expected, change)
    # Seven days before the last message, or from the start; of threads what came since it.
    asked = [call.query for call in again if "history" in call.path and "cursor" not in call.query]
    last = {"C1": MAY + 9 * DAY + 31, "C2": MAY + 9 * DAY + 60}
    assert {query["channel"]: int(query["oldest"]) for query in asked} == {
        **{channel: mark - 7 * DAY for channel, mark in last.items()},
        "C3": 1704067200,
    }
    threads = [call.query for call in again if "replies" in call.path]
    assert {query["channel"]: int(query["oldest"]) for query in threads} == last
    assert [query["ts"] for query in threads if query["channel"] == "C1"] == [ts(5 * DAY)]


def test_threads_without_news(pipeline: dlt.Pipeline, server: Server, workspace: Slack) -> None:
    """They are not asked for again."""
    workspace.say("C1", ts(9 * DAY + 90), "news")
    pipeline.run(source(server))
    server.requests.clear()
    pipeline.run(source(server))
    assert server.count("/api/conversations.replies") == 0


def test_an_error_of_the_moment(pipeline: dlt.Pipeline, rows: Rows, server: Server) -> None:
    """It says 200, and is tried again."""
    server.fail(lambda _: Answer({"ok": False, "error": "internal_error"}))
    pipeline.run(source(server))
    assert len(rows(pipeline, "channels")) == 2


@pytest.mark.parametrize(
    ("method", "body", "message"),
    [
        ("history", {"ok": False, "error": "missing_scope"}, "a failure by missing_scope"),
        ("history", {"ok": False, "error": "token_revoked"}, "credentials by token_revoked"),
        ("history", {"messages": []}, "a failure by None"),
        ("history", {"ok": True, "messages": [{"text": "hi"}]}, "expected column ts"),
        ("replies", {"ok": True}, "at messages, got nothing"),
    ],
)
def test_wrong_answers(
    fails: Callable[..., None], server: Server, method: str, body: Row, message: str
) -> None:
    """What is no page fails aloud, and loads nothing."""
    server.fail(lambda _: Answer(body), path=f"/api/conversations.{method}", times=9)
    fails(source(server), message, "messages", "channels")
