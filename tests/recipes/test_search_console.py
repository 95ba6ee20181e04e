"""The Search Console recipe against its replica: final days, all of their pages, and quotas."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Rows, Trial
from cookbook.search_console import search_console
from tests.replicas.google import EMAIL, pem
from tests.replicas.search_console import SITE, Console

pytest_plugins = ["blocks.testing.fixtures"]

DAYS = 12


def day(ago: int) -> date:
    """The day so many days ago, by Pacific time."""
    return datetime.now(ZoneInfo("America/Los_Angeles")).date() - timedelta(days=ago)


@pytest.fixture
def console() -> Console:
    """Three pages of the site on each day but one, today included, two rows to an answer."""
    console = Console(most=2)
    for ago in range(DAYS, -1, -1):
        for number in range(3) if ago != 7 else ():
            console.add(str(day(ago)), f"https://example.com/{number}", ago + number)
    return console


@pytest.fixture
def server(console: Console) -> Iterator[Server]:
    """The replica at an address."""
    with serving(console.api) as server:
        yield server


def source(server: Server, site: str = SITE) -> Any:
    """The recipe for the replica."""
    start = str(day(DAYS))
    return search_console(site, "web", start, server.url, f"{server.url}/token", EMAIL, pem())


def final(console: Console) -> list[dict[str, Any]]:
    """The rows of days that are final."""
    names = ("page", "country", "clicks", "position")
    return [
        {"site": SITE, "search_type": "web", "date": date.fromisoformat(row["date"])}
        | {name: row[name] for name in names}
        for row in console.rows
        if row["date"] <= str(day(3))
    ]


def test_all_and_changes(trial: Trial, server: Server, console: Console) -> None:
    """All final days come; then two of them again, with rows changed, new and gone."""

    def change() -> None:
        *_, first, second, third = (row for row in console.rows if row["date"] == str(day(3)))
        first["clicks"] = 99
        console.rows.remove(second)
        third["position"] = 9.5
        console.add(str(day(4)), "https://example.com/new", 1)

    def expected() -> dict[str, Rows]:
        return {"search_analytics": final(console)}

    again = trial(server, lambda: source(server), expected, change, expire=console.tokens.expire)
    asked = [call.json for call in again if "query" in call.path]
    assert {(body["startDate"], body["endDate"]) for body in asked} == {
        (str(day(4)), str(day(4))),
        (str(day(3)), str(day(3))),
    }


def test_quota(pipeline: dlt.Pipeline, rows: Any, server: Server, console: Console) -> None:
    """A quota that is exceeded, a 403 with a reason, is waited for."""
    console.exceeded = 1
    pipeline.run(source(server), loader_file_format="parquet")
    assert len(rows(pipeline, "search_analytics")) == len(final(console))
    assert server.statuses[403] == 1


@pytest.mark.parametrize("wrong", ["site", "shape"])
def test_wrong(pipeline: dlt.Pipeline, rows: Any, server: Server, wrong: str) -> None:
    """A site of others, and an answer that is none of the API's, load nothing."""
    if wrong == "shape":
        server.fail(lambda _: Answer({}), at=9)
    said = {"site": "refusal of the credentials", "shape": "responseAggregationType"}[wrong]
    with pytest.raises(PipelineStepFailed, match=said):
        pipeline.run(source(server, SITE if wrong == "shape" else "sc-domain:example.org"))
    assert rows(pipeline, "search_analytics") == []
