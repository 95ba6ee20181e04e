"""GraphQL: queries as requests, Relay's pages, and errors that come with status 200.

    api = client(url, retry=partial(Retry, reads=reads))
    first = query(api, "/graphql", ISSUES, {"repo": "blocks", "after": None})
    pages(api, first, Relay("data.repository.issues"))

Variables go where any paginator can put them: `JsonBody("variables.after")`. `Errors` is a rule for
`blocks.rules.Judged`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec

from blocks.errors import BodyError, ConfigError, PagingError
from blocks.json import Path, keys, peek
from blocks.outcomes import Outcome, verdict
from blocks.paginators import advance
from blocks.places import JsonBody, kind, put, read, truth
from blocks.quotas import ShopifyCost

__all__ = ["Errors", "Relay", "query", "reads", "wait"]


def query(
    client: httpx.AsyncClient | httpx.Client,
    url: str,
    document: str,
    variables: Mapping[str, Any] | None = None,
) -> httpx.Request:
    """The POST that asks `document` (one operation) with `variables`, built but not sent.

    Values belong into `variables`: put into the text of the document they could change its meaning.

    >>> api = httpx.Client(base_url="https://api.example.com")
    >>> query(api, "/graphql", "query($n: Int) { items(first: $n) { id } }", {"n": 9}).content
    b'{"query":"query($n: Int) { items(first: $n) { id } }","variables":{"n":9}}'
    """
    body = {"query": document, "variables": dict(variables or {})}
    return client.build_request("POST", url, json=body)


def reads(request: httpx.Request) -> bool:
    """Whether `request` is safe to send again: a GET or HEAD, or a POST with a GraphQL query.

    For `blocks.retries.Retry`. A body with a mutation or a subscription anywhere is none, nor is
    one that cannot be read.

    >>> reads(httpx.Request("POST", "https://api/", json={"query": "{ items { id } }"}))
    True
    >>> reads(httpx.Request("POST", "https://api/", json={"query": "mutation { pay }"}))
    False
    """
    if request.method in {"GET", "HEAD", "OPTIONS"}:
        return True
    try:
        document = peek(request.content, "query")
    except (httpx.RequestNotRead, msgspec.DecodeError):
        return False
    if request.method != "POST" or not isinstance(document, str):
        return False
    # Texts and comments may hold any word. What is left is too strict at worst: a field named
    # mutation makes a query be sent once only.
    bare = re.sub(r'"""(?:\\"""|[\s\S])*?"""|"(?:\\.|[^"\\\n])*"|#[^\n\r]*', " ", document)
    return not re.search(r"\b(?:mutation|subscription)\b", bare)


@dataclass(frozen=True, slots=True)
class Relay:
    """The next page of the connection at `connection`, its end cursor as a variable of the query.

    Relay's connections have `pageInfo { hasNextPage endCursor }`, which the query is to ask for
    (relay.dev/graphql/connections.htm). Errors beside data may be what is missing in it, so they
    are an error here too, unless `partial` says that they are fine.

    >>> request = httpx.Request("POST", "https://api/", json={"query": "...", "variables": {}})
    >>> info = {"hasNextPage": True, "endCursor": "c2"}
    >>> page = httpx.Response(
    ...     200, json={"data": {"issues": {"nodes": [], "pageInfo": info}}}, request=request)
    >>> Relay("data.issues")(page).content
    b'{"query":"...","variables":{"after":"c2"}}'
    """

    connection: Path
    variable: str = "after"
    _: KW_ONLY
    partial: bool = False

    def __call__(self, response: httpx.Response) -> httpx.Request | None:
        """The request of the next page."""
        errors = read(response, "errors")
        if errors and not self.partial:
            raise BodyError(f"expected data without errors, got {_described(errors)}", response)
        info = [*keys(self.connection), "pageInfo"]
        if not isinstance(found := read(response, info), dict):
            raise BodyError(f"expected an object at {info!r}, got {kind(found)}", response)
        if not truth(response, [*info, "hasNextPage"]):
            return None
        cursor = found.get("endCursor")
        if not isinstance(cursor, str) or not cursor:
            message = f"expected an endCursor, as there is a next page, got {kind(cursor)}"
            raise PagingError(message, response)
        target = JsonBody(["variables", self.variable])
        return advance(response, put(response.request, target, cursor))


@dataclass(frozen=True, slots=True)
class Errors:
    """A rule for `errors` in a body, whatever the status: "limited", "retry", `partial` or "fail".

    By the `code` (in `extensions` or beside the message) or `type` of each error. "limited": any
    says that too much was asked, as Shopify (THROTTLED), GitHub (RATE_LIMIT, RATE_LIMITED), Linear
    (RATELIMITED) and monday.com (COMPLEXITY_BUDGET_EXHAUSTED) do. "retry": all are the server's own
    failures, such as Apollo's INTERNAL_SERVER_ERROR. `partial`: there is data beside them, part of
    which they explain the absence of. "fail": all others. No errors: no opinion.

    >>> said = {"errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]}
    >>> Errors()(httpx.Response(200, json=said))
    'limited'
    """

    _: KW_ONLY
    partial: Outcome = "fail"

    def __post_init__(self) -> None:
        if self.partial not in {"ok", "retry", "skip", "fail"}:
            raise ConfigError(f"partial: expected ok, retry, skip or fail, got {self.partial!r}")

    def __call__(self, response: httpx.Response) -> Outcome | None:
        """The outcome, if there are errors."""
        try:
            errors = peek(response.content, "errors")
            if not errors:
                return None
            data = peek(response.content, "data")
        except msgspec.DecodeError:
            return None  # not JSON: for others to say
        found = errors if isinstance(errors, list) else [errors]
        if any(_codes(error) & _LIMITED for error in found):
            return "limited"
        if all(_codes(error) & _PASSING for error in found):
            return "retry"
        # An object in which everything is null is no data: the one field asked for has failed.
        whole = data is None or not any(_values(data))
        if whole and verdict(response).outcome in {"retry", "limited", "reauth"}:
            return None
        return "fail" if whole else self.partial


def wait(response: httpx.Response) -> float | None:
    """Seconds until the query that `response` answers can be paid for; `None` where it is not said.

    By the cost that Shopify states in `extensions`, as `blocks.quotas.ShopifyCost` reads it: what
    the query asks for, what is there, and how much is restored each second.

    >>> status = {"maximumAvailable": 1000, "currentlyAvailable": 66, "restoreRate": 50}
    >>> cost = {"requestedQueryCost": 166, "actualQueryCost": None, "throttleStatus": status}
    >>> wait(httpx.Response(200, json={"extensions": {"cost": cost}}))
    2.0
    """
    for quota in ShopifyCost()(response, datetime.now(UTC)):
        return quota.wait
    return None


# Without the signs by which spellings differ: RATE_LIMITED, RATELIMITED, graphql_rate_limit.
_LIMITED = {
    "complexitybudgetexhausted",
    "graphqlratelimit",
    "ratelimit",
    "ratelimited",
    "ratelimitexceeded",
    "throttled",
    "toomanyrequests",
}
_PASSING = {"internalservererror", "serviceunavailable", "timeout"}


def _codes(error: Any) -> set[str]:
    if not isinstance(error, dict):
        return set()
    extensions = error.get("extensions")
    said = [error.get("code"), error.get("type")]
    if isinstance(extensions, dict):
        said += [extensions.get("code"), extensions.get("type")]
    if error.get("message") == "Throttled":  # all that Shopify said before it had codes
        said.append("THROTTLED")
    return {re.sub(r"[^a-z]", "", text.lower()) for text in said if isinstance(text, str)}


def _values(data: Any) -> list[bool]:
    if isinstance(data, dict):
        return [value is not None for value in data.values()]
    return [data is not None]


def _described(errors: Any) -> str:
    # Not their messages: they may repeat what was sent.
    number = len(errors) if isinstance(errors, list) else 1
    codes = sorted(set().union(*map(_codes, errors if isinstance(errors, list) else [])))
    return f"{number} with data" + (f" ({', '.join(codes)})" if codes else "")
