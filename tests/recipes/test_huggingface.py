"""The recipe for Hugging Face against a replica."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.connections import Connections
from blocks.downloads import storage
from blocks.testing import Answer, Server, faults, serving
from blocks.testing.trials import Trial, pick
from cookbook.huggingface import huggingface
from tests.replicas.huggingface import Hub

pytest_plugins = ["blocks.testing.fixtures"]

Row = dict[str, Any]
Rows: TypeAlias = Callable[[dlt.Pipeline, str], list[Row]]
PARQUET = "/datasets/ann/words/resolve/*"


def word(number: int) -> Row:
    """A row of the dataset; a column of its own is called split."""
    return {"word": f"w{number}", "count": number, "split": "-", "tags": [f"t{number % 3}"]}


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
    return huggingface("ann/words", base_url=server.url, viewer_url=server.url, **inside)


def test_datasets(trial: Trial, server: Server, hub: Hub) -> None:
    """All of it; then the datasets that changed, and the rows of a new commit."""

    def change() -> None:
        hub.datasets[3] |= {"lastModified": "2024-06-01T10:00:00.000Z", "downloads": 900}
        hub.splits = {"train": [word(n) for n in range(5, 230)], "test": [word(901), word(902)]}
        hub.commit = "c1"

    def expected() -> dict[str, list[Row]]:
        mine = [row for row in hub.datasets if row["author"] == "ann"]
        rows = [
            {"hub_split": name, "split": "-", **pick([row], "word", "count")[0]}
            for name, some in hub.splits.items()
            for row in some
        ]
        tags = [
            {"value": tag} for some in hub.splits.values() for row in some for tag in row["tags"]
        ]
        indexes = [{"row_idx": number} for number in range(len(hub.splits["train"]))]
        return {
            "datasets": pick(mine, "id", "downloads"),
            "rows": rows,
            "rows__tags": tags,
            "examples": indexes,
        }

    again = trial(server, lambda: source(server), expected, change)
    paths = [call.path for call in again]
    assert paths.count("/api/datasets") == 2  # the second page is older than what is known
    assert paths.count("/rows") == 3


def test_nothing_new(pipeline: dlt.Pipeline, rows: Rows, server: Server, stored: Server) -> None:
    """Without a new commit no rows are asked for, and those there stay."""
    pipeline.run(source(server))
    server.requests.clear()
    stored.requests.clear()
    pipeline.run(source(server))
    assert server.count("/rows") == server.count("/parquet") == len(stored.requests) == 0
    assert (len(rows(pipeline, "rows")), len(rows(pipeline, "examples"))) == (251, 250)
    assert json.loads(rows(pipeline, "examples")[0]["row"]).keys() == word(0).keys()


def test_storage(pipeline: dlt.Pipeline, rows: Rows, server: Server, stored: Server) -> None:
    """A lost connection to storage gets another link; no credential ever goes there."""
    stored.fail(faults.reset)
    pipeline.run(source(server).with_resources("rows"))
    assert len(rows(pipeline, "rows")) == 251
    assert server.count(PARQUET, status=302) == 3
    assert all("authorization" not in call.headers for call in stored.requests)


def test_a_link_inside(pipeline: dlt.Pipeline, server: Server, stored: Server) -> None:
    """Unless told otherwise, no link leads into a network that is not public."""
    with pytest.raises(PipelineStepFailed, match="public internet"):
        pipeline.run(source(server, files=None).with_resources("rows"))
    assert stored.requests == []


def test_part_of_it(pipeline: dlt.Pipeline, rows: Rows, server: Server, hub: Hub) -> None:
    """Parquet of a part of a dataset is not taken for all of it."""
    hub.partial = True
    with pytest.raises(PipelineStepFailed, match="all of the subset"):
        pipeline.run(source(server))
    assert rows(pipeline, "rows") == rows(pipeline, "datasets") == []


@pytest.mark.parametrize(
    ("place", "answer", "message"),
    [
        (PARQUET, Answer(None, 200), "a link to storage"),
        ("/parquet", Answer({"parquet_files": []}), "all of the subset"),
        ("/rows", Answer({"error": "busy", "num_rows_total": 1}), "at 'rows'"),
        ("*/revision/*", Answer({"error": "no such revision"}), "a commit at 'sha'"),
    ],
)
def test_wrong_answers(
    pipeline: dlt.Pipeline, rows: Rows, server: Server, place: str, answer: Answer, message: str
) -> None:
    """What is not as documented fails the run, and nothing is loaded."""
    server.fail(lambda _: answer, path=place, times=3)
    with pytest.raises(PipelineStepFailed, match=message):
        pipeline.run(source(server))
    assert rows(pipeline, "rows") == rows(pipeline, "datasets") == []


def test_wrong_token(pipeline: dlt.Pipeline, server: Server) -> None:
    """A refused token is an error at once."""
    with pytest.raises(PipelineStepFailed, match="credentials"):
        pipeline.run(source(server, token="hf_other").with_resources("datasets"))
    assert server.statuses == {401: 1}
