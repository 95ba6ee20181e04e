"""The recipe for PokeAPI."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import dlt
import pytest

from blocks.testing import Answer, Server, serving
from blocks.testing.trials import Trial, pick
from cookbook.pokeapi import pokeapi
from tests.replicas.pokeapi import PokeApi

pytest_plugins = ["blocks.testing.fixtures"]

Rows: TypeAlias = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def world() -> PokeApi:
    """Five Pokémon, one of them a variety of another."""
    world = PokeApi()
    for name in ("bulbasaur", "ivysaur", "mr-mime", "type-null"):
        world.add(name)
    world.add("ivysaur-mega", "ivysaur-species")
    return world


@pytest.fixture
def server(world: PokeApi) -> Iterator[Server]:
    """It, served."""
    with serving(world.api) as server:
        yield server


def source(server: Server, *, anew: bool = False) -> Any:
    """The recipe against the replica."""
    return pokeapi(f"{server.url}/api/v2", anew=anew)


def paths(server: Server) -> list[str]:
    """What was asked for."""
    return sorted(call.path.removeprefix("/api/v2") for call in server.requests)


def test_trial(trial: Trial, server: Server, world: PokeApi) -> None:
    """All is loaded, each once; then what is new is asked for."""

    def expected() -> dict[str, list[dict[str, Any]]]:
        types = [{"slot": 1, "type__name": "grass"} for _ in world.pokemon]
        return {
            "pokemon": pick(world.pokemon, "id", "name"),
            "pokemon__types": types,
            "pokemon_species": pick(world.species, "id", "name", "capture_rate"),
        }

    again = trial(server, lambda: source(server), expected, lambda: world.add("mew"))
    asked = sorted(call.path.removeprefix("/api/v2") for call in again)
    assert asked == ["/pokemon-species/mew-species/", "/pokemon/", "/pokemon/mew/"]


def test_anew(pipeline: dlt.Pipeline, rows: Rows, server: Server, world: PokeApi) -> None:
    """What changed is loaded when all is read anew, and nothing is asked for otherwise."""
    pipeline.run(source(server))
    assert len(server.requests) == 1 + 5 + 4
    world.pokemon[2]["height"] = 13
    server.requests.clear()
    pipeline.run(source(server))
    assert paths(server) == ["/pokemon/"]
    pipeline.run(source(server, anew=True))
    assert pick(world.pokemon, "id", "height") == sorted(
        pick(rows(pipeline, "pokemon"), "id", "height"), key=lambda row: row["id"]
    )


def test_tables(pipeline: dlt.Pipeline, server: Server) -> None:
    """Lists are tables, the longest ones columns."""
    pipeline.run(source(server))
    schema = pipeline.default_schema
    assert set(schema.data_table_names()) == {"pokemon", "pokemon__types", "pokemon_species"}
    assert schema.get_table_columns("pokemon")["moves"]["data_type"] == "json"


def test_more_than_a_page(pipeline: dlt.Pipeline, rows: Rows, server: Server) -> None:
    """The list is followed to its end."""
    following = f"{server.url}/api/v2/pokemon/?limit=3&offset=0"
    server.fail(lambda _: Answer({"count": 5, "next": following, "results": []}))
    pipeline.run(source(server))
    assert len(rows(pipeline, "pokemon")) == 5
    assert server.count("/api/v2/pokemon/") == 3


@pytest.mark.parametrize(
    ("path", "answer", "says"),
    [
        ("/api/v2/pokemon/", Answer({"detail": "moved"}), "array"),
        ("/api/v2/pokemon/", Answer({"results": [{"url": "x"}], "next": None}), "None"),
        ("/api/v2/pokemon/*", Answer(b"Not Found", 404), "status 404"),
        ("/api/v2/pokemon-species/*", Answer([{"id": 1}], 501), "status 501"),
    ],
    ids=["another shape", "a key less", "not there", "an error below"],
)
def test_wrong_answers(
    fails: Callable[..., None], server: Server, path: str, answer: Answer, says: str
) -> None:
    """What is not as documented fails the run, and nothing is loaded."""
    server.fail(lambda _: answer, times=9, path=path)
    fails(source(server), says, "pokemon")
