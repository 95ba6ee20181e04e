"""The recipe for Chess.com against a replica."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from time import monotonic
from typing import Any, TypeAlias

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial
from cookbook.chess_com import chess_com
from tests.replicas.chess_com import Chess

pytest_plugins = ["blocks.testing.fixtures"]

Rows: TypeAlias = Callable[[dlt.Pipeline, str], list[dict[str, Any]]]
NOW = datetime.now(UTC).strftime("%Y/%m")


@pytest.fixture
def chess() -> Chess:
    """Two players with games of three months, some of them against each other."""
    chess = Chess()
    for number in range(12):
        month = ("2023/12", "2024/01", NOW)[number % 3]
        chess.play(number, month, "anna", ("boris", "carla")[number % 2])
    return chess


@pytest.fixture
def server(chess: Chess) -> Iterator[Server]:
    """The replica."""
    with serving(chess.api) as server:
        yield server


def source(server: Server, *players: str) -> Any:
    """The recipe."""
    return chess_com([*(players or ("Anna", "boris"))], "me@example.com", base_url=server.url)


def row(game: dict[str, Any]) -> dict[str, Any]:
    """What is in `games` of a game."""
    end = datetime.fromtimestamp(game["end_time"], UTC)
    return {"url": game["url"], "end_time": end, "white__username": game["white"]["username"]}


def test_games(trial: Trial, server: Server, chess: Chess) -> None:
    """All games, those of two players once; then the last month again, and no other."""

    def expected() -> dict[str, list[dict[str, Any]]]:
        games = {g["url"]: g for some in chess.games["anna"].values() for g in some}
        joined = {"joined": datetime(2014, 1, 6, 21, 20, 58, tzinfo=UTC)}
        players = [{"username": name, **joined} for name in ("anna", "boris")]
        return {"games": [row(game) for game in games.values()], "players": players}

    again = trial(
        server, lambda: source(server), expected, lambda: chess.play(90, NOW, "boris", "anna")
    )
    months = [call.path for call in again if call.path[-1].isdigit()]
    assert months == [f"/pub/player/{name}/games/{NOW}" for name in ("anna", "boris")]
    assert len(again) == 2 + 2 + 2


def test_a_player_more(pipeline: dlt.Pipeline, rows: Rows, server: Server) -> None:
    """A player added later is read from the start, and is nobody else's reason to be so."""
    pipeline.run(source(server, "boris"))
    assert len(rows(pipeline, "games")) == 6
    server.requests.clear()
    pipeline.run(source(server, "boris", "carla"))
    assert len(rows(pipeline, "games")) == 12
    assert server.count("/pub/player/carla/games/20*") == 3
    assert server.count("/pub/player/boris/games/20*") <= 1


def test_one_at_a_time(pipeline: dlt.Pipeline, server: Server) -> None:
    """Even with both resources in threads of their own, no request begins before an answer ends."""
    begun: list[float] = []

    def slow(act: Callable[[], Answer]) -> Answer:
        begun.append(monotonic())
        return replace(act(), delay=0.05)

    server.fail(slow, times=100)
    pipeline.run(source(server).parallelize())
    assert min(b - a for a, b in pairwise(begun)) >= 0.05


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer({"games": [], "code": 0}), "at 'archives'"),
        (Answer({"code": 0, "message": "Internal error."}, 404), "404"),
    ],
)
def test_wrong_answers(
    fails: Callable[..., None], server: Server, answer: Answer, message: str
) -> None:
    """What is no list of archives fails the run, and nothing is loaded."""
    server.fail(lambda _: answer, path="*/archives")
    fails(source(server), message, "games", "players")


def test_a_month_without_games(pipeline: dlt.Pipeline, rows: Rows, server: Server) -> None:
    """An archive that is no archive fails, too."""
    server.fail(lambda _: Answer({"code": 0}), path="*/2024/01")
    with pytest.raises(PipelineStepFailed, match="games"):
        pipeline.run(source(server))
    assert rows(pipeline, "games") == []


def test_nobody_of_that_name(pipeline: dlt.Pipeline, server: Server) -> None:
    """A player who is not there is an error, not an empty list."""
    with pytest.raises(PipelineStepFailed, match="404"):
        pipeline.run(source(server, "nobody").with_resources("games"))
