"""The recipe for the Parquet of a dataset of Hugging Face against a replica."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.connections import Connections
from blocks.downloads import storage
from blocks.testing import Answer, Server, faults, serving
from blocks.testing.trials import Trial, pick
from cookbook.huggingface_parquet import huggingface_parquet
from tests.replicas.huggingface import Hub, word

pytest_plugins = ["blocks.testing.fixtures"]

Row = dict[str, Any]
Rows: TypeAlias = Callable[[dlt.Pipeline, str], list[Row]]
PARQUET = "/datasets/ann/words/resolve/*"


@pytest.fixture
def hub() -> Hub:
    """A dataset with two splits."""
    hub = Hub(size=4)
    hub.splits = {"train": [word(n) for n in range(250)], "test": [word(900)]}
    return hub


@pytest.fixture
def stored(hub: Hub) -> Iterator[Server]:
    """The storage, at an origin of its own."""
    with serving(hub.storage) as stored:
        hub.storage_url = stored.url
        yield stored


@pytest.fixture
def server(hub: Hub, stored: Server) -> Iterator[Server]:
    """Hub and viewer."""
    assert stored.url
    with serving(hub.api) as server:
        yield server


def source(server: Server, **other: Any) -> Any:
    """The recipe, as for a mirror with storage of its own network."""
    inside = {"token": "hf_t0ken", "files": storage(transport=Connections()), **other}
    return huggingface_parquet("ann/words", base_url=server.url, viewer_url=server.url, **inside)


def test_rows(trial: Trial, server: Server, hub: Hub) -> None:
    """All rows of all splits; then those of a new commit in their place."""

    def change() -> None:
        hub.splits = {"train": [word(n) for n in range(5, 230)], "test": [word(901), word(902)]}
        hub.commit = "c1"

    def expected() -> dict[str, list[Row]]:
        several = [(name, row) for name, some in hub.splits.items() for row in some]
        rows = [
            {"hub_split": name, "split": "-", **pick([row], "word", "count")[0]}
            for name, row in several
        ]
        return {
            "rows": rows,
            "rows__tags": [{"value": t} for _, row in several for t in row["tags"]],
        }

    again = trial(server, lambda: source(server), expected, change)
    assert [call.method for call in again] == ["GET", "GET", "HEAD", "HEAD"]


def test_nothing_new(pipeline: dlt.Pipeline, rows: Rows, server: Server, stored: Server) -> None:
    """Without a new commit no rows are asked for, and those there stay."""
    pipeline.run(source(server))
    server.requests.clear()
    stored.requests.clear()
    pipeline.run(source(server))
    assert (server.count("*"), len(stored.requests)) == (1, 0)
    assert len(rows(pipeline, "rows")) == 251


def test_storage(pipeline: dlt.Pipeline, rows: Rows, server: Server, stored: Server) -> None:
    """A lost connection to storage gets another link; no credential ever goes there."""
    stored.fail(faults.reset)
    pipeline.run(source(server))
    assert len(rows(pipeline, "rows")) == 251
    assert server.count(PARQUET, status=302) == 3
    assert all("authorization" not in call.headers for call in stored.requests)


def test_a_link_inside(pipeline: dlt.Pipeline, server: Server, stored: Server) -> None:
    """Unless told otherwise, no link leads into a network that is not public."""
    with pytest.raises(PipelineStepFailed, match="public internet"):
        pipeline.run(source(server, files=None))
    assert stored.requests == []


def test_part_of_it(pipeline: dlt.Pipeline, rows: Rows, server: Server, hub: Hub) -> None:
    """Parquet of a part of a dataset is not taken for all of it."""
    hub.partial = True
    with pytest.raises(PipelineStepFailed, match="all of the subset"):
        pipeline.run(source(server))
    assert rows(pipeline, "rows") == []


@pytest.mark.parametrize(
    ("place", "answer", "message"),
    [
        (PARQUET, Answer(None, 200), "a link to storage"),
        ("/parquet", Answer({"parquet_files": []}), "all of the subset"),
        ("*/revision/*", Answer({"error": "no such revision"}), "a commit at 'sha'"),
        ("*/revision/*", Answer({"error": "Invalid credentials"}, 401), "credentials"),
    ],
)
def test_wrong_answers(
    fails: Callable[..., None], server: Server, place: str, answer: Answer, message: str
) -> None:
    """What is not as documented fails the run, and nothing is loaded."""
    server.fail(lambda _: answer, path=place, times=3)
    fails(source(server), message, "rows")
