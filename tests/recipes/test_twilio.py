"""The recipe for Twilio against a replica."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial, pick
from cookbook.twilio import twilio
from tests.replicas.twilio import Twilio, stamp

pytest_plugins = ["blocks.testing.fixtures"]

Row = dict[str, Any]
Rows: TypeAlias = Callable[[dlt.Pipeline, str], list[Row]]
TODAY = datetime.now(UTC).date()
OLD = date(2024, 2, 3)


def message(number: int, account: str, day: date | None) -> Row:
    """A message, sent on that day or not yet."""
    sent = stamp(day) if day else None
    price = "-0.00750" if day else None
    return {"sid": f"SM{number}", "account_sid": account, "date_sent": sent, "price": price}


def usage(account: str, day: date, count: int) -> Row:
    """The messages of a day."""
    dates = {"start_date": day.isoformat(), "end_date": day.isoformat()}
    return {"account_sid": account, "category": "sms", **dates, "count": str(count), "price": 0.1}


@pytest.fixture
def vendor() -> Twilio:
    """Two accounts, with messages on several pages."""
    vendor = Twilio("AC1", "AC2", size=5)
    for n in range(14):
        day = OLD if n < 9 else TODAY
        vendor.rows["Messages"].append(message(n, f"AC{1 + n % 2}", day))
        call = {"sid": f"CA{n}", "account_sid": f"AC{1 + n % 2}", "start_time": stamp(day)}
        vendor.rows["Calls"].append(call)
    vendor.rows["Usage/Records/Daily"] += [usage(f"AC{n}", TODAY, n) for n in (1, 2)]
    return vendor


@pytest.fixture
def server(vendor: Twilio) -> Iterator[Server]:
    """The replica."""
    with serving(vendor.api) as server:
        yield server


def source(server: Server, token: str = "t0ken") -> Any:
    """The recipe."""
    return twilio(base_url=server.url, account_sid="AC1", auth_token=token)


def test_accounts(trial: Trial, server: Server, vendor: Twilio) -> None:
    """All of both accounts; then the last days, an account that is new from its start."""
    messages = vendor.rows["Messages"]

    def change() -> None:
        messages[-1]["price"] = "-0.01500"
        messages.append(message(900, "AC2", TODAY))
        vendor.accounts.append("AC3")
        messages.append(message(901, "AC3", OLD))
        vendor.rows["Usage/Records/Daily"][0]["count"] = "7"

    def expected() -> dict[str, list[Row]]:
        prices = [
            {"sid": row["sid"], "price": Decimal(row["price"]).quantize(Decimal("1e-9"))}
            for row in messages
        ]
        counts = pick(vendor.rows["Usage/Records/Daily"], "account_sid", "count")
        calls = pick(vendor.rows["Calls"], "sid", "account_sid")
        accounts = [{"sid": sid} for sid in vendor.accounts]
        return {"messages": prices, "calls": calls, "usage": counts, "accounts": accounts}

    again = trial(server, lambda: source(server), expected, change)
    since = {c.path.split("/")[3]: c.query["DateSent>"] for c in again if "DateSent>" in c.query}
    recent = (TODAY - timedelta(days=5)).isoformat()
    assert since == {"AC1": recent, "AC2": recent, "AC3": "2024-01-01"}
    assert len(again) == 1 + 3 * 3


def test_columns(pipeline: dlt.Pipeline, rows: Rows, server: Server, vendor: Twilio) -> None:
    """Times are times, and no account's token is loaded."""
    vendor.rows["Messages"].append(message(902, "AC1", None))
    pipeline.run(source(server))
    sent = datetime(2024, 2, 3, 10, 30, tzinfo=UTC)
    found = {row["sid"]: row for row in rows(pipeline, "messages")}
    assert found["SM0"]["date_sent"] == sent
    assert "SM902" not in found
    assert rows(pipeline, "accounts")[0].keys() == {"sid", "status", "date_created"}
    assert rows(pipeline, "calls")[0]["start_time"].tzinfo


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer({"code": 20404, "status": 404}, 404), "status 404"),
        (Answer({"code": 20001}), "at 'messages'"),
        (Answer({"messages": [], "next_page_uri": "https://x.example/"}), "leaves http"),
    ],
)
def test_wrong_answers(
    fails: Callable[..., None], server: Server, answer: Answer, message: str
) -> None:
    """Errors of all kinds, and pages that lead elsewhere, fail the run, and nothing is loaded."""
    server.fail(lambda _: answer, path="*/AC2/Messages.json")
    fails(source(server), message, "messages", "accounts")


def test_wrong_token(pipeline: dlt.Pipeline, server: Server) -> None:
    """A refused token is an error at once."""
    with pytest.raises(PipelineStepFailed, match="credentials"):
        pipeline.run(source(server, "other"))
    assert server.statuses == {401: 1}
