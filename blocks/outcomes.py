"""Outcomes: what came of a request, in the six classes that everybody here acts upon.

    ok       use it
    retry    the moment's fault: ask again
    limited  too much was asked: ask again when told, and let everybody else wait, too
    reauth   the credentials have expired: get new ones, once
    skip     nothing to be had, and that is fine: an empty page
    fail     the request's fault: tell the caller

The status decides, unless somebody below knew better and marked the response (`blocks.rules` for
what bodies say, `blocks.limits` for used-up quotas).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import httpx

from blocks.errors import AuthError, BodyError, StatusError

__all__ = ["OUTCOMES", "Outcome", "Verdict", "accept", "mark", "verdict"]

Outcome: TypeAlias = Literal["ok", "retry", "limited", "reauth", "skip", "fail"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

# httpx's place for what transports have to say about a response.
_EXTENSION = "blocks.verdict"
# Not worth asking again, among the 5xx: the answer is about the request, not about the moment.
_FINAL = {501, 505, 506, 508, 510, 511}


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome, why ("" where the status says it all), and the seconds to wait, where known."""

    outcome: Outcome
    reason: str = ""
    wait: float | None = None


def mark(response: httpx.Response, verdict: Verdict) -> None:
    """Make `verdict` what everybody above finds."""
    response.extensions[_EXTENSION] = verdict


def verdict(response: httpx.Response) -> Verdict:
    """What `response` was marked with, else what its status says.

    "limited": 429, and 403 or 503 with `Retry-After`, which GitHub sends for its secondary limits.
    "retry": 408, 421, 425, and any 5xx that is about the moment. "reauth": 401. "fail": all other
    statuses from 400. The rest is "ok" (RFC 9110, section 15; RFC 6585; RFC 8470).

    >>> verdict(httpx.Response(502)).outcome, verdict(httpx.Response(404)).outcome
    ('retry', 'fail')
    """
    marked = response.extensions.get(_EXTENSION)
    if isinstance(marked, Verdict):
        return marked
    status = response.status_code
    if status < 400:
        return _OK
    if status == 429 or (status in {403, 503} and "retry-after" in response.headers):
        return Verdict("limited")
    if status in {408, 421, 425} or (status >= 500 and status not in _FINAL):
        return Verdict("retry")
    return Verdict("reauth" if status == 401 else "fail")


def accept(response: httpx.Response) -> bool:
    """Whether `response` was marked as good, so that nothing about it is left to check.

    False for those nobody marked. Marked with anything but "ok" and "skip" it raises: `AuthError`
    for "reauth", else `BodyError` where the status is a success and `StatusError` where it is none.
    """
    marked = response.extensions.get(_EXTENSION)
    if not isinstance(marked, Verdict):
        return False
    if marked.outcome in {"ok", "skip"}:
        return True
    message = f"expected success, got {_KINDS[marked.outcome]} by {marked.reason}"
    if marked.outcome == "reauth":
        raise AuthError(message, response)
    if response.is_success:
        raise BodyError(message, response)
    raise StatusError(message, response)


_OK = Verdict("ok")
_KINDS = {
    "retry": "a passing failure",
    "limited": "a rate limit",
    "reauth": "a refusal of the credentials",
    "fail": "a failure",
}
