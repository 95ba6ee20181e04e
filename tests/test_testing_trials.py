"""Trials and fixtures: which sources stand them, and what of dlt's reaches a test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import httpx
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.testing import Api, Call, Refused, Server, bearer, offset, serving
from blocks.testing.trials import Trial, pick

pytest_plugins = ["blocks.testing.fixtures"]

Row = dict[str, Any]
Get = Callable[[httpx.Client, str], httpx.Response]


def numbers(rows: list[Row], *guards: Any) -> Api:
    """Rows by offset, five a page, with a total."""
    api = Api(*guards)

    @api.get("/rows", query="offset since")
    def all_rows(call: Call) -> Row:
        found = [row for row in rows if row["id"] >= call.query.whole("since", 0)]
        page = offset(found, call.query.whole("offset", 0), 5)
        return {"rows": page.rows, "next": page.next}

    return api


def steadily(client: httpx.Client, path: str) -> httpx.Response:
    """The answer, tried again until it is whole and no 429; or an error."""
    while True:
        try:
            answer = client.get(path)
        except httpx.TransportError:
            continue
        if answer.status_code != 429:
            return answer.raise_for_status()


def once(client: httpx.Client, path: str) -> httpx.Response:
    """The answer, or an error."""
    return client.get(path).raise_for_status()


def lenient(client: httpx.Client, path: str) -> httpx.Response:
    """The answer, or one without rows where there is none: how rows are lost in silence."""
    answer = steadily(client, path)
    if "json" in answer.headers["content-type"]:
        return answer
    return httpx.Response(200, json={"rows": [], "next": None})


def source(url: str, get: Get, *, pages: int = 100, since: str = "") -> Any:
    """Rows, in plain Python: at most so many `pages`, `since` where the last run ended."""

    @dlt.resource(name="rows", primary_key="id", write_disposition="merge")
    def read() -> Iterator[Any]:
        state = dlt.current.resource_state()
        start, place = state.get("since", 0) if since else 0, 0
        with httpx.Client(base_url=url, headers={"Authorization": "Bearer t0ken"}) as client:
            for _ in range(pages):
                page = get(client, f"/rows?since={start}&offset={place}").json()
                yield page["rows"]
                for row in page["rows"]:
                    state["since"] = row["id"] + (since == "beyond")
                place = page["next"]
                if place is None:
                    return

    return read


@pytest.fixture
def rows_there() -> list[Row]:
    """A dozen records."""
    return [{"id": number, "text": f"t{number}"} for number in range(12)]


@pytest.fixture
def server(rows_there: list[Row]) -> Iterator[Server]:
    """Their replica."""
    with serving(numbers(rows_there, bearer("t0ken"))) as server:
        yield server


def test_a_good_source(server: Server, rows_there: list[Row], trial: Trial) -> None:
    """A source that does what it must stands its trial, which tells what the second run asked."""

    def change() -> None:
        rows_there[11]["text"] = "changed"
        rows_there.append({"id": 12, "text": "new"})

    made = lambda: source(server.url, steadily, since="inclusive")  # noqa: E731
    again = trial(server, made, lambda: {"rows": rows_there}, change)
    assert [call.query["since"] for call in again] == ["11"]


@pytest.mark.parametrize(
    ("options", "get", "complaint"),
    [
        ({"pages": 2}, steadily, "after the first run: expected 12 rows in rows, got 10; missing"),
        ({"since": "beyond"}, steadily, "after the run after the change: expected 13 rows"),
        ({}, lenient, "expected an error, as request 2 was answered with HTML"),
    ],
)
def test_bad_sources(
    server: Server,
    rows_there: list[Row],
    trial: Trial,
    options: Any,
    get: Get,
    complaint: str,
) -> None:
    """Sources that end early, miss changes or swallow errors do not."""

    def change() -> None:
        rows_there[3]["text"] = "changed"
        rows_there.append({"id": 12, "text": "new"})

    with pytest.raises(AssertionError, match=complaint):
        trial(
            server,
            lambda: source(server.url, get, **options),
            lambda: {"rows": rows_there},
            change,
        )


def test_a_fragile_source(server: Server, rows_there: list[Row], trial: Trial) -> None:
    """Nor does one that does not try again; its own error says so."""
    with pytest.raises(PipelineStepFailed):
        trial(
            server,
            lambda: source(server.url, once),
            lambda: {"rows": rows_there},
            lambda: None,
        )


def test_an_unrenewed_token(rows_there: list[Row], trial: Trial) -> None:
    """Nor one that holds on to a token which has expired."""
    expired: list[bool] = []

    def guard(call: Call) -> None:
        if expired:
            raise Refused(401, "expired")

    with serving(numbers(rows_there, guard)) as server:
        with pytest.raises(PipelineStepFailed, match="401"):
            trial(
                server,
                lambda: source(server.url, steadily),
                lambda: {"rows": rows_there},
                lambda: None,
                expire=lambda: expired.append(True),
            )
        assert server.statuses[401] == 1


Rows = Callable[[dlt.Pipeline, str], list[Row]]


def test_rows(pipeline: dlt.Pipeline, rows: Rows) -> None:
    """Rows are those of the table, without what dlt adds; none before there is a table."""
    assert rows(pipeline, "items") == []
    pipeline.run([{"id": 1, "tags": ["a"]}], table_name="items")
    assert rows(pipeline, "items") == [{"id": 1}]
    assert rows(pipeline, "items__tags") == [{"value": "a"}]
    assert rows(pipeline, "others") == []


def test_new_pipelines(new_pipeline: Callable[[], dlt.Pipeline], rows: Rows) -> None:
    """Each new pipeline begins with nothing."""
    first, second = new_pipeline(), new_pipeline()
    first.run([{"id": 1}], table_name="items")
    assert (len(rows(first, "items")), rows(second, "items")) == (1, [])


def test_pick() -> None:
    """Columns that a row has not are `None`."""
    assert pick([{"a": 1, "b": 2}, {}], "a") == [{"a": 1}, {"a": None}]


USER = """
pytest_plugins = ["blocks.testing.fixtures"]

import dlt
from dlt.common.runtime import anon_tracker

def test_before():
    assert dlt.secrets.get("token") == "real"
    assert anon_tracker._ANON_TRACKER_ENDPOINT == "http://127.0.0.1:9"

def test_within(pipeline, dlt_sandbox):
    assert dlt.secrets.get("token") is None
    assert dlt.config.get("here") is None
    pipeline.run([{"id": 1}], table_name="items")
    assert anon_tracker._ANON_TRACKER_ENDPOINT is None
    assert pipeline.working_dir.startswith(str(dlt_sandbox))

def test_after():
    assert dlt.secrets.get("token") == "real"
"""


def test_sandbox(tmp_path: Path) -> None:
    """Within a test's sandbox no settings of the project are seen, and no telemetry is sent."""
    settings = tmp_path / ".dlt"
    settings.mkdir()
    (settings / "secrets.toml").write_text('token = "real"\n')
    # Where nobody listens.
    telemetry = 'dlthub_telemetry = true\ndlthub_telemetry_endpoint = "http://127.0.0.1:9"\n'
    (settings / "config.toml").write_text(f"here = 1\n[runtime]\n{telemetry}")
    (tmp_path / "test_user.py").write_text(USER)
    kept = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    options = ["-q", "-p", "no:cacheprovider", "--basetemp", "temporary"]
    command = [sys.executable, "-m", "pytest", *options, "test_user.py"]
    child = subprocess.run(
        command, cwd=tmp_path, env=kept, capture_output=True, text=True, timeout=60
    )
    assert child.returncode == 0, child.stdout
