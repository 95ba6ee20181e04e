"""The recipe for the World Bank's indicators against a replica."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dlt
import pytest

from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial
from cookbook.world_bank import INDICATORS, world_bank
from tests.replicas.world_bank import WorldBank

pytest_plugins = ["blocks.testing.fixtures"]

POPULATION = INDICATORS[0]
Rows = Callable[[dlt.Pipeline, str], list[dict[str, Any]]]


@pytest.fixture
def bank() -> WorldBank:
    """Three pages of one indicator, a row of each of the others."""
    bank = WorldBank(most=20)
    for number in range(50):
        value = None if number % 7 == 0 else number + 0.5
        bank.add(POPULATION, f"C{number // 10}", 1960 + number % 10, value)
    for code in INDICATORS[1:]:
        bank.add(code, "C0", 2000, 1.5)
    return bank


@pytest.fixture
def server(bank: WorldBank) -> Iterator[Server]:
    """It, served."""
    with serving(bank.api) as server:
        yield server


def source(server: Server, years: str = "1960:2100") -> Any:
    """The recipe."""
    return world_bank(years, base_url=f"{server.url}/v2")


def test_trial(trial: Trial, server: Server, bank: WorldBank) -> None:
    """All observations; then those of the indicator that was updated, without one withdrawn."""

    def change() -> None:
        bank.rows[POPULATION][3]["value"] = 9.5
        del bank.rows[POPULATION][4]
        bank.updated[POPULATION] = "2024-06-30"

    def expected() -> dict[str, list[dict[str, Any]]]:
        rows = [
            {"indicator__id": code, "country__id": row["country"]["id"]}
            | {"date": int(row["date"]), "value": row["value"]}
            for code, found in bank.rows.items()
            for row in found
        ]
        return {"observations": rows}

    again = trial(server, lambda: source(server), expected, change)
    sizes = [(call.query["per_page"], call.query.get("page")) for call in again]
    assert sorted(sizes[1:4]) == [("1000", "1"), ("1000", "2"), ("1000", "3")]
    assert [sizes[0], *sizes[4:]] == [("1", None)] * 3


def test_years(pipeline: dlt.Pipeline, rows: Rows, server: Server) -> None:
    """Those asked for alone; another range is read though nothing was updated."""
    pipeline.run(source(server, "1960:1961"))
    assert {row["date"] for row in rows(pipeline, "observations")} == {1960, 1961}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([{"message": [{"id": "120", "key": "Invalid value"}]}], "a failure by Present"),
        ([{"page": 1}, [{"date": "2000"}]], "a whole number"),
        ({"total": 0}, "an array of records"),
    ],
    ids=["an error with 200", "no total", "another shape"],
)
def test_wrong_answers(fails: Callable[..., None], server: Server, body: Any, message: str) -> None:
    """What is no pair of a header and rows fails aloud, and loads nothing."""
    server.fail(lambda _: Answer(body), times=9)
    fails(source(server), message, "observations")


def test_an_update_while_pages_are_read(
    pipeline: dlt.Pipeline, rows: Rows, server: Server, bank: WorldBank
) -> None:
    """It moves rows from page to page; the next run reads all of them again."""

    def update() -> None:
        del bank.rows[POPULATION][0]
        bank.updated[POPULATION] = "2024-06-30"

    server.before(3, update)
    pipeline.run(source(server))
    pipeline.run(source(server))
    assert len(rows(pipeline, "observations")) == 49 + 2
