"""Faults of tokens: revoked, with lifetimes that lie, refused, or sent for elsewhere (kind 14)."""

from __future__ import annotations

import json
import math
from random import Random
from typing import Any
from urllib.parse import parse_qsl

import httpx

from blocks.oauth import ClientCredentials, RefreshToken
from tests.authority import Received
from tests.faults.cases import CANARY, ECHO, Api, Case
from tests.faults.server import Reply
from tests.faults.world import World
from tests.loopback import JSON, answer

__all__ = ["KINDS"]

_HTML = (("Content-Type", "text/html"),)


def tokens(rng: Random) -> Case:
    """Tokens revoked every few uses, lifetimes that lie, token servers that fail or send away."""
    how = rng.choice(["uses", "uses", "rotating", "rotating", "down", "denied", "junk", "away"])
    world = World(rng)
    at_once = world.style.at_once
    issuer = _Issuer(
        how,
        # Of several at once, each may find the token that was good a moment ago revoked.
        uses=rng.randint(3 * at_once, 6 * at_once) if at_once else rng.randint(1, 6),
        lifetime=rng.choice([3600, 1, 0, -5, "soon", None, 10**20]),
        failures=rng.randint(1, 6) if how == "down" else 0,
    )
    right = {"denied": "B", "junk": "B", "away": "B", "down": "A" if issuer.failures < 5 else "B"}
    return Case(
        rng,
        world,
        what=str(issuer),
        expected=right.get(how, "A"),
        auth=issuer.auth,
        credentials="" if how == "rotating" else "oauth",
        route=issuer.route,
        check=issuer.check,
        virtual=True,
    )


class _Issuer:
    """Hands out tokens, one good at a time, and looks at those that come."""

    def __init__(self, how: str, *, uses: int, lifetime: Any, failures: int) -> None:
        self.how = how
        self.uses = uses
        self.lifetime = lifetime
        self.failures = failures
        self._refresh = [CANARY]  # the refresh tokens that were saved, the last one good

    def __str__(self) -> str:
        said = f"{self.how}, {self.uses} uses, lifetime {self.lifetime}"
        return f"{said}, {self.failures} failures"

    def auth(self, url: str) -> httpx.Auth:
        """The credentials of the client."""
        if self.how == "rotating":
            return RefreshToken(f"{url}/token", "me", CANARY, self._refresh[-1], save=self._save)
        return ClientCredentials(f"{url}/token", "me", CANARY)

    async def _save(self, token: str) -> None:
        self._refresh.append(token)

    def route(self, received: Received, api: Api) -> Reply | None:
        """A token, a refusal, or nothing where the token that came is good."""
        notes = api.notes
        for name in ("asked", "granted", "revoked", "used"):
            notes.setdefault(name, 0)
        if received.path == "/token":
            notes["asked"] += 1
            return self._fail(api) or self._grant(received, api)
        good = received.headers.get("authorization") == f"Bearer {CANARY}.{notes['granted']}"
        if not good or notes["revoked"] == notes["granted"]:
            body = f'{{"error": "invalid_token", "was": "{ECHO}"}}'.encode()
            return Reply((answer(body, "401 Unauthorized"),))
        notes["used"] += 1
        if notes["used"] % self.uses == 0 and not api.clean:
            notes["revoked"] = notes["granted"]
        return None

    def _fail(self, api: Api) -> Reply | None:
        away = api.url.replace("127.0.0.1", "localhost") + "/stolen"
        said = {
            "away": answer(b"", "307 Go", [*JSON, ("Location", away)]),
            "denied": answer(b'{"error": "invalid_client"}', "401 No"),
            "junk": answer(b"<h1>Welcome</h1>", headers=_HTML),
        }
        if api.notes["asked"] <= self.failures:
            said["down"] = answer(b"{}", "500 Sorry")
        return Reply((said[self.how],)) if self.how in said and not api.clean else None

    def _grant(self, received: Received, api: Api) -> Reply:
        api.notes["granted"] += 1
        granted: dict[str, Any] = {
            "access_token": f"{CANARY}.{api.notes['granted']}",
            "token_type": "Bearer",
            "expires_in": 3600 if api.clean else self.lifetime,
        }
        if self.how == "rotating":
            form = dict(parse_qsl(received.body.decode()))
            if form["refresh_token"] != self._refresh[-1]:
                return Reply((answer(b'{"error": "invalid_grant"}', "400 No"),))
            granted["refresh_token"] = f"{CANARY}~{len(self._refresh)}"
        return Reply((answer(json.dumps(granted).encode()),))

    def check(self, api: Api) -> str:
        """Whether more tokens were obtained than one for each time that one was revoked."""
        granted, most = api.notes["granted"], math.ceil(api.notes["used"] / self.uses) + 1
        short = isinstance(self.lifetime, int) and self.lifetime < 100
        if granted > most and not short:
            return f"{granted} tokens where {most} would do"
        return ""


KINDS = {14: tokens}
