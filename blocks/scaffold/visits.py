"""Visits: a few requests to one API, counted, to its own origin, none sent twice."""

from __future__ import annotations

import httpx

from blocks.auth import Basic, Bearer, HeaderKey, QueryKey
from blocks.bodies import Whole
from blocks.client import client
from blocks.connections import Connections
from blocks.errors import ConfigError, PagingError, ResponseError
from blocks.fetch import check
from blocks.links import origin
from blocks.outcomes import Outcome
from blocks.rules import Judged
from blocks.scaffold.blueprint import Auth, Endpoint

__all__ = ["MOST", "Visits", "reason"]

MOST = 4
# Bytes of a page: none that somebody looks at is larger, and some servers send without end.
_LARGEST = 16 * 2**20


class Visits:
    """At most `MOST` requests to the API at `place`, `secret` being what `auth` sends.

    Neither retried nor redirected; of a body at most 16 MiB are read, for at most 100 seconds.
    """

    def __init__(self, place: Endpoint, auth: Auth, secret: str = "") -> None:
        self._api = client(
            place.base_url,
            auth=_flow(auth, secret),
            retry=lambda transport: transport,
            timeout=20,
            headers=place.headers,
            transport=Judged(Whole(Connections(), largest=_LARGEST), _redirect),
        )
        self._place = place
        self.answers: list[httpx.Response] = []

    @property
    def left(self) -> int:
        """How many more there may be."""
        return MOST - len(self.answers)

    async def first(self) -> httpx.Response:
        """The answer to a request of the first page."""
        params = httpx.QueryParams(list(self._place.params)) if self._place.params else None
        return await self.get(self._api.build_request("GET", self._place.path, params=params))

    async def get(self, request: httpx.Request) -> httpx.Response:
        """The answer to `request`, checked; raises `ResponseError` or `httpx.HTTPError`."""
        if not self.left:
            raise PagingError(f"expected at most {MOST} requests, got another")
        self.answers.append(httpx.Response(0))  # counted, answered or not
        response = await self._api.send(request)
        self.answers[-1] = response
        if response.has_redirect_location:
            # Not chained, and without its path: it may be one that logs somebody in.
            to = origin(request.url.join(response.headers["location"]))
            raise PagingError(f"expected a page, got a redirect to {to}, not followed", response)
        check(response)
        return response

    async def close(self) -> None:
        """Close the connections."""
        await self._api.aclose()


def _redirect(response: httpx.Response) -> Outcome | None:
    # Marked, it is not followed: a request that nobody has counted.
    return "ok" if response.has_redirect_location else None


def reason(error: Exception) -> str:
    """What an error says, fit to be shown; of httpx's own, whose texts quote, the kind alone."""
    if isinstance(error, ResponseError | ConfigError):
        return "".join(letter for letter in str(error) if letter.isprintable())[:300]
    return f"no answer ({type(error).__name__})"


def _flow(auth: Auth, secret: str) -> httpx.Auth | None:
    if auth.kind == "basic":
        user, colon, password = secret.partition(":")
        if not colon:
            raise ConfigError("auth: expected user:password for basic, got no colon")
        return Basic(user, password)
    if auth.kind == "bearer":
        return Bearer(secret)
    if auth.kind == "header-key":
        return HeaderKey(secret, name=auth.name)
    return QueryKey(secret, name=auth.name) if auth.kind == "query-key" else None
