"""The recipe for datasets and examples of Hugging Face against a replica."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial, pick
from cookbook.huggingface import huggingface
from tests.replicas.huggingface import Hub, word

pytest_plugins = ["blocks.testing.fixtures"]

Row = dict[str, Any]
Rows: TypeAlias = Callable[[dlt.Pipeline, str], list[Row]]


def dataset(number: int, day: str, author: str = "ann") -> Row:
    """A dataset of an author's, changed on that day."""
    when = {"lastModified": f"{day}T10:00:00.000Z", "downloads": number}
    return {"id": f"{author}/d{number}", "author": author, **when}


@pytest.fixture
def hub() -> Hub:
    """Datasets on several pages; one of them with two splits, the longer of three pages."""
    hub = Hub(size=4)
    hub.datasets += [dataset(n, f"2024-05-{n + 1:02}") for n in range(10)]
    hub.datasets.append(dataset(99, "2024-05-09", "bob"))
    hub.splits = {"train": [word(n) for n in range(250)], "test": [word(900)]}
    return hub


@pytest.fixture
def server(hub: Hub) -> Iterator[Server]:
    """Hub and viewer."""
    with serving(hub.api) as server:
        yield server


def source(server: Server, token: str = "hf_t0ken") -> Any:
    """The recipe."""
    return huggingface("ann/words", base_url=server.url, viewer_url=server.url, token=token)


def test_datasets(trial: Trial, server: Server, hub: Hub) -> None:
    """All of it; then the datasets that changed, and the examples of a new commit."""

    def change() -> None:
        hub.datasets[3] |= {"lastModified": "2024-06-01T10:00:00.000Z", "downloads": 900}
        hub.splits["train"] = [word(n) for n in range(5, 230)]
        hub.commit = "c1"

    def expected() -> dict[str, list[Row]]:
        mine = [row for row in hub.datasets if row["author"] == "ann"]
        indexes = [{"row_idx": number} for number in range(len(hub.splits["train"]))]
        return {"datasets": pick(mine, "id", "downloads"), "examples": indexes}

    again = trial(server, lambda: source(server), expected, change)
    paths = [call.path for call in again]
    assert paths.count("/api/datasets") == 2  # the second page is older than what is known
    assert paths.count("/rows") == 3


def test_nothing_new(pipeline: dlt.Pipeline, rows: Rows, server: Server) -> None:
    """Without a new commit no examples are asked for, and those there stay."""
    pipeline.run(source(server))
    server.requests.clear()
    pipeline.run(source(server))
    assert server.count("/rows") == 0
    found = rows(pipeline, "examples")
    assert (len(found), json.loads(found[0]["row"]).keys()) == (250, word(0).keys())


@pytest.mark.parametrize(
    ("place", "answer", "message"),
    [
        ("/api/datasets", Answer({"error": "busy"}), "array"),
        ("/rows", Answer({"error": "busy", "num_rows_total": 1}), "at 'rows'"),
        ("*/revision/*", Answer({"error": "no such revision"}), "a commit at 'sha'"),
    ],
)
def test_wrong_answers(
    fails: Callable[..., None], server: Server, place: str, answer: Answer, message: str
) -> None:
    """What is not as documented fails the run, and nothing is loaded."""
    server.fail(lambda _: answer, path=place, times=3)
    fails(source(server), message, "examples", "datasets")


def test_wrong_token(pipeline: dlt.Pipeline, server: Server) -> None:
    """A refused token is an error at once."""
    with pytest.raises(PipelineStepFailed, match="credentials"):
        pipeline.run(source(server, "hf_other").with_resources("datasets"))
    assert server.statuses == {401: 1}
