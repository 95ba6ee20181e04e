"""A replica of Chess.com's Published-Data API, as far as players and their archives go.

https://support.chess.com/en/articles/9650547-what-is-the-pubapi-and-how-do-i-use-it: the paths, in
lower case; 404 for players that are not there, and 429 for requests in parallel.
https://www.chess.com/announcements/view/breaking-change-user-agent-contact-info-required: 403
without a contact in the User-Agent.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from blocks.testing import Api, Call, Refused

Row = dict[str, Any]


class Chess:
    """The API over games by player and month, as `games["anna"]["2024/01"]`."""

    def __init__(self) -> None:
        self.games: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
        self.api = Api(_contact, problem=lambda refused: {"code": 0, "message": refused.message})
        self.api.get("/pub/player/{name}")(self._profile)
        self.api.get("/pub/player/{name}/games/archives")(self._archives)
        self.api.get("/pub/player/{name}/games/{year}/{month}")(self._month)

    def play(self, number: int, month: str, white: str, black: str, **fields: Any) -> Row:
        """A game that ended in `month`, in the archives of both players."""
        sides = {side: {"username": n, "rating": 1500} for side, n in zip("wb", (white, black))}  # noqa: B905
        made = {"white": sides["w"], "black": sides["b"], "end_time": 1704067200 + number}
        game = {"url": f"https://www.chess.com/game/live/{number}", **made, **fields}
        for name in (white, black):
            self.games[name][month].append(game)
        return game

    def _of(self, call: Call) -> dict[str, list[Row]]:
        if call.params["name"] not in self.games:
            raise Refused(404, f'User "{call.params["name"]}" not found.')
        return self.games[call.params["name"]]

    def _profile(self, call: Call) -> Row:
        self._of(call)
        name = call.params["name"]
        return {"player_id": len(name), "username": name, "joined": 1389043258, "followers": 7}

    def _archives(self, call: Call) -> Row:
        at = f"https://api.chess.com/pub/player/{call.params['name']}/games"
        return {"archives": [f"{at}/{month}" for month in sorted(self._of(call))]}

    def _month(self, call: Call) -> Row:
        return {"games": self._of(call)[f"{call.params['year']}/{call.params['month']}"]}


def _contact(call: Call) -> None:
    if "contact: " not in call.headers.get("user-agent", ""):
        raise Refused(403, "a User-Agent with contact information is required")
