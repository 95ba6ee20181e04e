"""The Facebook ads recipe against its replica: reports, lookback, limits, and what fails."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Rows, Trial
from cookbook.facebook_ads import facebook_ads
from tests.replicas.facebook_ads import TOKEN, Ads

pytest_plugins = ["blocks.testing.fixtures"]

ZONE, DAYS = "America/Los_Angeles", 45


def day(ago: int) -> str:
    """The day so many days ago, where the account is."""
    return str(datetime.now(ZoneInfo(ZONE)).date() - timedelta(days=ago))


@pytest.fixture
def ads() -> Ads:
    """An ad on each day, today included."""
    ads = Ads()
    for ago in range(DAYS, -1, -1):
        ads.add(day(ago), "1", ago)
    return ads


@pytest.fixture
def server(ads: Ads) -> Iterator[Server]:
    """The replica at an address."""
    with serving(ads.api) as server:
        yield server


def source(server: Server, token: str = TOKEN) -> Any:
    """The recipe for the replica, with reports asked about often."""
    url = f"{server.url}/v25.0"
    return facebook_ads("42", ZONE, day(DAYS), url, token, calls=1_000_000, poll=0.01)


def test_all_and_changes(trial: Trial, server: Server, ads: Ads) -> None:
    """All complete days come; then the last 28 again, with rows changed, new and gone."""

    def change() -> None:
        ads.rows[-2] |= {"clicks": "777", "actions": [{"action_type": "like", "value": "7"}]}
        ads.rows.append({**ads.rows[-28], "ad_id": "2", "ad_name": "two"})
        ads.rows.remove(ads.rows[-29])

    def expected() -> dict[str, Rows]:
        whole = [row for row in ads.rows if row["date_start"] < day(0)]
        return {
            "insights": [
                {
                    "date_start": date.fromisoformat(row["date_start"]),
                    "ad_id": row["ad_id"],
                    "clicks": int(row["clicks"]),
                    "spend": Decimal("1.25"),
                }
                for row in whole
            ],
            "insights__actions": [row["actions"][0] for row in whole],
        }

    again = trial(server, lambda: source(server), expected, change)
    ranges = [call.form["time_range"] for call in again if call.method == "POST"]
    assert min(ranges).startswith(f'{{"since": "{day(28)}"')
    assert len(ranges) in {4, 5}


@pytest.mark.parametrize("code", [17, 2])
def test_limits(pipeline: dlt.Pipeline, rows: Any, server: Server, ads: Ads, code: int) -> None:
    """Limits and passing failures, which are 400s with a code, are waited for."""
    ads.codes = [code]
    pipeline.run(source(server), loader_file_format="parquet")
    assert (len(rows(pipeline, "insights")), server.statuses[400]) == (DAYS, 1)


@pytest.mark.parametrize("limit", ["longest", "most"])
def test_too_much(pipeline: dlt.Pipeline, rows: Any, server: Server, ads: Ads, limit: str) -> None:
    """Reports that fail, or are refused as too much, are asked for in halves."""
    setattr(ads, limit, 3)
    pipeline.run(source(server), loader_file_format="parquet")
    assert len(rows(pipeline, "insights")) == DAYS


@pytest.mark.parametrize(
    ("wrong", "said"),
    [("token", "refusal of the credentials"), ("shape", "at data"), ("code", "windows failed")],
)
def test_wrong(
    pipeline: dlt.Pipeline, rows: Any, server: Server, ads: Ads, wrong: str, said: str
) -> None:
    """An expired token, pages without data, any other error: nothing is loaded."""
    if wrong == "shape":
        server.fail(lambda _: Answer({"rows": []}), at=3, path="*/60*/insights")
    if wrong == "code":
        ads.codes = [100]
    with pytest.raises(PipelineStepFailed, match=said):
        pipeline.run(source(server, "another" if wrong == "token" else TOKEN))
    assert rows(pipeline, "insights") == []
