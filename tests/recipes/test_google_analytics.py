"""The Google Analytics recipe against its replica: days of the property, read until they settle."""

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
from cookbook.google_analytics import google_analytics
from tests.replicas.google import EMAIL, pem
from tests.replicas.google_analytics import Analytics

pytest_plugins = ["blocks.testing.fixtures"]

ZONE = "America/New_York"
DAYS = 20


def day(ago: int) -> date:
    """The day so many days ago, where the property is."""
    return datetime.now(ZoneInfo(ZONE)).date() - timedelta(days=ago)


@pytest.fixture
def analytics() -> Analytics:
    """Two sources on each day but one, today included, five rows to an answer."""
    analytics = Analytics(most=5)
    for ago in range(DAYS, -1, -1):
        for source in ("google", "bing") if ago != 9 else ():
            analytics.add(str(day(ago)), source, 100 + ago)
    return analytics


@pytest.fixture
def server(analytics: Analytics) -> Iterator[Server]:
    """The replica at an address."""
    with serving(analytics.api) as server:
        yield server


def source(server: Server, property_id: str = "77") -> Any:
    """The recipe for the replica."""
    url, start = server.url, str(day(DAYS))
    return google_analytics(property_id, ZONE, start, url, f"{url}/token", EMAIL, pem())


def test_all_and_changes(trial: Trial, server: Server, analytics: Analytics) -> None:
    """All complete days come; then the last three again, with rows changed, new and gone."""

    def change() -> None:
        analytics.rows[-3]["sessions"] = 999
        analytics.rows.remove(analytics.rows[-4])
        analytics.add(str(day(1)), "news", 5)

    def expected() -> dict[str, Rows]:
        names = {"sessionSource": "session_source", "sessions": "sessions"}
        return {
            "report": [
                {"property_id": "77", "date": date.fromisoformat(row["date"]), "total_revenue": 2.0}
                | {column: row[name] for name, column in names.items()}
                for row in analytics.rows
                if row["date"] < str(day(0))
            ]
        }

    again = trial(server, lambda: source(server), expected, change, expire=analytics.tokens.expire)
    ranges = [call.json["dateRanges"][0] for call in again if "runReport" in call.path]
    assert min(each["startDate"] for each in ranges) == str(day(3))
    assert max(each["endDate"] for each in ranges) == str(day(1))


def test_quota(pipeline: dlt.Pipeline, rows: Any, server: Server) -> None:
    """Without tokens (429) it waits and asks again."""
    server.fail(429, at=2, times=2)
    pipeline.run(source(server), loader_file_format="parquet")
    assert len(rows(pipeline, "report")) == 2 * DAYS - 2
    assert server.statuses[429] == 2


@pytest.mark.parametrize("wrong", ["property", "shape"])
def test_wrong(pipeline: dlt.Pipeline, rows: Any, server: Server, wrong: str) -> None:
    """A property of others, and an answer without headers, load nothing."""
    if wrong == "shape":
        server.fail(lambda _: Answer({"kind": "analyticsData#runReport"}), at=4, path="*:runReport")
    said = {"property": "refusal of the credentials", "shape": "dimensionHeaders"}[wrong]
    with pytest.raises(PipelineStepFailed, match=said):
        pipeline.run(source(server, "77" if wrong == "shape" else "78"))
    assert rows(pipeline, "report") == []
