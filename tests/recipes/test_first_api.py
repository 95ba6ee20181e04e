"""The first recipe against a replica of Open Library."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial, pick
from cookbook.first_api import open_library
from tests.replicas.first_api import library_api

pytest_plugins = ["blocks.testing.fixtures"]

Row = dict[str, Any]


def work(number: int) -> Row:
    """A work; what describes some is text, and an object for others."""
    about = f"about {number}" if number % 2 else {"type": "/type/text", "value": f"on {number}"}
    key, title = f"/works/OL{number}W", f"Book {number}"
    return {"key": key, "title": title, "description": about, "subjects": ["a", f"s{number}"]}


@pytest.fixture
def works() -> list[Row]:
    """Two pages of works."""
    return [work(number) for number in range(150)]


@pytest.fixture
def server(works: list[Row]) -> Iterator[Server]:
    """The replica."""
    with serving(library_api(works)) as server:
        yield server


def source(server: Server, contact: str = "me@example.com") -> Any:
    """The recipe."""
    return open_library(contact, "OL1A", server.url)


def test_works(trial: Trial, server: Server, works: list[Row]) -> None:
    """All works and their lists; in a second run what there is then, and no more."""

    def change() -> None:
        works[3] |= {"title": "Another", "subjects": []}
        del works[7]
        works.append(work(900))

    def expected() -> dict[str, list[Row]]:
        subjects = [{"value": subject} for row in works for subject in row["subjects"]]
        return {"works": pick(works, "key", "title"), "works__subjects": subjects}

    again = trial(server, lambda: source(server), expected, change)
    assert [call.query.get("offset") for call in again] == [None, "100"]


def test_the_rate_is_kept(pipeline: dlt.Pipeline, server: Server, works: list[Row]) -> None:
    """More pages than may be had in a second are all had at the first attempt."""
    works += [work(number) for number in range(1000, 1350)]
    pipeline.run(source(server))
    assert server.statuses == {200: 5}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"links": {}}, "at entries"),
        ({"error": "notfound"}, "at entries"),
        ({"entries": [{"title": "no key"}]}, "key"),
    ],
    ids=["no records", "an error", "no key"],
)
def test_wrong_answers(fails: Callable[..., None], server: Server, body: Row, message: str) -> None:
    """What is no page of works fails aloud, and loads nothing."""
    server.fail(lambda _: Answer(body))
    fails(source(server), message, "works")


def test_no_such_author(pipeline: dlt.Pipeline, server: Server) -> None:
    """An author who is not there is an error, not an empty table."""
    with pytest.raises(PipelineStepFailed, match="404"):
        pipeline.run(open_library("me@example.com", "OL2A", server.url))
