"""The recipe for Stripe's customers and charges."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial, pick
from cookbook.stripe import stripe
from tests.replicas.stripe import Stripe

pytest_plugins = ["blocks.testing.fixtures"]

DAY = 86400
Rows: TypeAlias = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def account() -> Stripe:
    """Customers and charges of long ago, more than fit on a page, and some of yesterday."""
    account = Stripe("sk_test_key")
    for number in range(105):
        account.create("customer", ago=90 * DAY - number // 2, name=f"c{number}")
    for number in range(20):
        account.create("charge", ago=DAY, amount=number)
    return account


@pytest.fixture
def server(account: Stripe) -> Iterator[Server]:
    """It, served."""
    with serving(account.api) as server:
        yield server


def source(server: Server) -> Any:
    """The recipe against the replica."""
    return stripe(server.url, "sk_test_key")


def test_trial(trial: Trial, server: Server, account: Stripe) -> None:
    """All is listed; then events tell of what is new, changed several times a second, or gone."""

    def expected() -> dict[str, list[dict[str, Any]]]:
        return {
            "customers": pick(account.customers, "id", "name"),
            "charges": pick(account.charges, "id", "amount", "refunded"),
        }

    def change() -> None:
        customer = account.create("customer", ago=5, name="new")
        for name in ("changed", "changed again"):
            account.update(customer, ago=5, name=name)
        account.update(account.charges[3], ago=4, refunded=True)
        account.delete(account.customers[0], ago=3)
        account.delete(account.create("customer", ago=2), ago=2)

    again = trial(server, lambda: source(server), expected, change)
    assert [call.path for call in again] == ["/v1/events", "/v1/events"]
    types = ["customer.created", "customer.updated", "customer.deleted"]
    assert again[0].query.several("types[]") == types


def age(pipeline: dlt.Pipeline) -> None:
    """Let the last run have been in January 2024."""
    with pipeline.managed_state() as state:
        for resource in state["sources"]["stripe"]["resources"].values():
            resource["cursors"]["events"] = "2024-01-01T00:00:00Z"


def test_too_late_for_events(
    pipeline: dlt.Pipeline,
    rows: Rows,
    server: Server,
    account: Stripe,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """When events may be gone, a run says so, lists all again and deletes what is not there."""
    pipeline.run(source(server))
    assert caplog.text == ""
    schema = pipeline.default_schema
    assert schema.data_table_names() == ["customers", "charges"]  # metadata is one column
    assert schema.get_table_columns("customers")["created"]["data_type"] == "timestamp"
    age(pipeline)
    account.delete(account.customers[7], ago=40 * DAY)
    account.update(account.customers[8], ago=40 * DAY, name="changed")
    server.requests.clear()
    pipeline.run(source(server))
    assert "some are gone" in caplog.text
    assert server.count("/v1/events") == 0
    found = sorted(pick(rows(pipeline, "customers"), "id", "name"), key=str)
    assert found == pick(account.customers, "id", "name")
    for name in ("of one", "second"):
        account.update(account.customers[9], ago=5, name=name)
    server.requests.clear()
    pipeline.extract(source(server))
    assert pipeline.normalize().row_counts["customers"] == 1
    assert server.count("/v1/events") == len(server.requests) == 2


def test_a_listing_cut_short(
    pipeline: dlt.Pipeline, rows: Rows, server: Server, account: Stripe
) -> None:
    """A list that lacks most of what is known deletes nothing."""
    pipeline.run(source(server))
    age(pipeline)
    del account.customers[20:]
    with pytest.raises(PipelineStepFailed, match="cut short"):
        pipeline.run(source(server))
    assert len(rows(pipeline, "customers")) == 105


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer({"data": [{"object": "customer"}], "has_more": False}), "id"),
        (Answer({"data": []}), "has_more"),
        (Answer({"error": {"type": "invalid_request_error"}}, 400), "status 400"),
        (Answer({"error": {"type": "invalid_request_error"}}), "data"),
    ],
    ids=["a key less", "no has_more", "an error", "an error with 200"],
)
def test_wrong_answers(
    fails: Callable[..., None], server: Server, answer: Answer, says: str
) -> None:
    """What is no list of Stripe's fails the run, and nothing is loaded."""
    server.fail(lambda _: answer)
    fails(source(server), says, "customers")


def test_wrong_key(pipeline: dlt.Pipeline, server: Server) -> None:
    """A refused key fails at once."""
    with pytest.raises(PipelineStepFailed, match="credentials"):
        pipeline.run(stripe(server.url, "sk_test_old"))
    assert server.statuses == {401: 1}
