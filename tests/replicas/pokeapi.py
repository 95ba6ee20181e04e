"""PokeAPI: Pokémon and their species, as https://pokeapi.co/docs/v2 documents them.

No auth; only GET. Lists have 20 names on a page unless `limit` says otherwise, with URLs to the
pages around; a resource is had by id or name, at a path that ends with a slash. Others are 404
in plain text, as the site is static.
"""

from __future__ import annotations

from typing import Any

from blocks.testing import Answer, Api, Call, Refused, offset

Row = dict[str, Any]


class PokeApi:
    """What there is, by name."""

    def __init__(self) -> None:
        self.pokemon: list[Row] = []
        self.species: list[Row] = []
        self.api = Api(problem=_problem)
        self.api.get("/api/v2/pokemon/", query="limit offset")(self._list)
        self.api.get("/api/v2/pokemon/{name}/")(lambda call: _one(self.pokemon, call))
        self.api.get("/api/v2/pokemon-species/{name}/")(lambda call: _one(self.species, call))

    def add(self, name: str, species: str = "", **fields: Any) -> Row:
        """A new Pokémon, with a new species unless it is a variety of one there is."""
        default = not species
        row: Row = {"id": len(self.pokemon) + 1, "name": name, "is_default": default}
        row["species"] = {"name": species or f"{name}-species", "url": "https://pokeapi.co/"}
        detail = {"level_learned_at": 0, "move_learn_method": {"name": "egg"}}
        row["moves"] = [{"move": {"name": "cut"}, "version_group_details": [detail]}]
        row["sprites"] = {"front_default": None, "versions": {"generation-i": {"gray": "x.png"}}}
        row["types"] = [{"slot": 1, "type": {"name": "grass"}}]
        self.pokemon.append(row | fields)
        if default:
            entry: Row = {"id": len(self.species) + 1, "name": row["species"]["name"]}
            self.species.append(entry | {"capture_rate": 45, "habitat": None})
        return self.pokemon[-1]

    def _list(self, call: Call) -> Row:
        page = offset(self.pokemon, call.query.whole("offset", 0), call.query.whole("limit", 20))
        results = [
            {"name": row["name"], "url": f"{call.link({})}{row['id']}/"} for row in page.rows
        ]
        following = call.link({"offset": page.next}) if page.more else None
        return {"count": page.total, "next": following, "previous": None, "results": results}


def _one(rows: list[Row], call: Call) -> Row:
    for row in rows:
        if call.params["name"] in {row["name"], str(row["id"])}:
            return row
    raise Refused(404, "Not Found")


def _problem(refused: Refused) -> Answer:
    text = refused.message.encode()
    return Answer(text, refused.status, {"Content-Type": "text/plain; charset=utf-8"})
