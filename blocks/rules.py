"""Rules: what an answer means that its status does not say.

A rule is any callable `(httpx.Response) -> Outcome | None`; `None` has no opinion. Outcomes are the
words of `blocks.outcomes`. `Judged` asks rules about each response; these are the usual ones, and
yours is a function. One that also knows how long to wait returns a `Verdict`:

>>> def busy(response: httpx.Response) -> Verdict | None:
...     wait = response.headers.get("X-Busy-For")
...     return Verdict("limited", wait=float(wait)) if wait else None
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, TypeAlias

import httpx
import msgspec

from blocks import bodies, events
from blocks.errors import ConfigError, where
from blocks.json import Path, peek
from blocks.outcomes import OUTCOMES, Outcome, Verdict, mark, verdict

__all__ = ["Judged", "Markup", "Present", "Rule", "Status", "Text", "Value"]

logger = logging.getLogger(__name__)

Rule: TypeAlias = Callable[[httpx.Response], Outcome | Verdict | None]


@dataclass(frozen=True, slots=True)
class Status:
    """Status `status` is `outcome`: 404 "skip" where it means none, 202 "retry" for not yet.

    `wait` is the seconds to wait then, where the API says so in its documentation only.

    >>> Status(404, "skip")(httpx.Response(404))
    'skip'
    """

    status: int
    outcome: Outcome
    _: KW_ONLY
    wait: float | None = None

    def __post_init__(self) -> None:
        _check(self.outcome)

    def __call__(self, response: httpx.Response) -> Outcome | Verdict | None:
        """The outcome, if that is the status."""
        return _waiting(self.outcome, self.wait) if response.status_code == self.status else None


@dataclass(frozen=True, slots=True)
class Value:
    """A body with `value` at `path` is `outcome`; `False` is not 0, nor `1` the text "1".

    "fail" is no opinion where the status alone says to ask again: a 503 may have such a body, too.

    >>> rule = Value("ok", False)
    >>> rule(httpx.Response(200, json={"ok": False, "error": "channel_not_found"}))
    'fail'
    >>> rule(httpx.Response(200, json={"ok": True})) is None
    True
    """

    path: Path
    value: str | float | bool | None
    outcome: Outcome = "fail"

    def __post_init__(self) -> None:
        _check(self.outcome)

    def __call__(self, response: httpx.Response) -> Outcome | None:
        """The outcome, if that is the value."""
        found = _peek(response, self.path)
        same = type(found) is type(self.value) and found == self.value
        return _unless_status(response, self.outcome) if same else None


@dataclass(frozen=True, slots=True)
class Present:
    """A body with anything at `path` but null, false, 0 and what is empty is `outcome`.

    "fail" is no opinion where the status alone says to ask again.

    >>> Present("errors")(httpx.Response(200, json={"data": None, "errors": [{"message": "no"}]}))
    'fail'
    """

    path: Path
    outcome: Outcome = "fail"

    def __post_init__(self) -> None:
        _check(self.outcome)

    def __call__(self, response: httpx.Response) -> Outcome | None:
        """The outcome, if something is there."""
        return _unless_status(response, self.outcome) if _peek(response, self.path) else None


@dataclass(frozen=True, slots=True)
class Text:
    """A body that contains `text` is `outcome`, where its status is no success.

    `wait` is the seconds to wait then, where the API says so in its documentation only.

    >>> rule = Text("secondary rate limit", "limited", wait=60)
    >>> rule(httpx.Response(403, json={"message": "You have exceeded a secondary rate limit."}))
    Verdict(outcome='limited', reason='', wait=60)
    """

    text: str
    outcome: Outcome
    _: KW_ONLY
    wait: float | None = None

    def __post_init__(self) -> None:
        _check(self.outcome)

    def __call__(self, response: httpx.Response) -> Outcome | Verdict | None:
        """The outcome, if it does."""
        # Not in successes: there it may be anybody's data.
        if response.is_success or self.text.encode() not in response.content:
            return None
        return _waiting(self.outcome, self.wait)


@dataclass(frozen=True, slots=True)
class Markup:
    """A success that begins as HTML or XML does is `outcome`: an overloaded gateway's apology.

    >>> Markup()(httpx.Response(200, html="<h1>Back soon</h1>"))
    'retry'
    """

    outcome: Outcome = "retry"

    def __post_init__(self) -> None:
        _check(self.outcome)

    def __call__(self, response: httpx.Response) -> Outcome | None:
        """The outcome, if it does."""
        start = response.content[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
        return self.outcome if response.is_success and start.startswith(b"<") else None


class Judged(httpx.AsyncBaseTransport):
    """A transport whose responses are marked with what the first rule with an opinion says.

    `blocks.limits.Limited` and `blocks.retries.Retry` around it then act on that, and so does
    `blocks.fetch.check`. A response to skip keeps its status and gets `empty` for a body, which is
    to be an empty page as this API writes one: a paginator takes it for what it is. Each skip is
    logged and published. Bodies are read and decoded here (see `blocks.bodies.read`).

    >>> slack = Judged(httpx.AsyncHTTPTransport(), Value("error", "ratelimited", "limited"),
    ...     Value("error", "token_expired", "reauth"), Value("ok", False))
    """

    def __init__(
        self, transport: httpx.AsyncBaseTransport, *rules: Rule, empty: bytes = b"[]"
    ) -> None:
        if not rules:
            raise ConfigError("a Judged needs rules, got none")
        self._transport = transport
        self._rules = rules
        self._empty = empty

    def __repr__(self) -> str:
        rules = ", ".join(map(repr, self._rules))
        return f"Judged({self._transport!r}, {rules}, empty={self._empty!r})"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The response, marked."""
        response = await self._transport.handle_async_request(request)
        response.request = request
        await bodies.read(response)
        # Rules get a copy: the client around expects a response still to be read.
        copy = httpx.Response(
            response.status_code,
            headers=response.headers,
            content=bodies.content(response),
            request=request,
            extensions=response.extensions,
        )
        for rule in self._rules:
            said = rule(copy)
            if said is not None:
                found = said if isinstance(said, Verdict) else Verdict(said)
                _check(found.outcome)
                reason = found.reason or getattr(rule, "__name__", repr(rule))
                if found.outcome == "skip":
                    response = self._skip(response, reason)
                mark(response, replace(found, reason=reason))
                break
        return response

    async def aclose(self) -> None:
        """Close the transport within."""
        await self._transport.aclose()

    def _skip(self, response: httpx.Response, reason: str) -> httpx.Response:
        place = where(response)
        logger.info("skipping %s: status %d is %s", place, response.status_code, reason)
        events.publish(events.Skipped(place, reason))
        headers = response.headers.copy()
        headers.update(
            {"content-type": "application/json", "content-length": str(len(self._empty))}
        )
        headers.pop("transfer-encoding", None)
        return httpx.Response(
            response.status_code,
            headers=headers,
            stream=httpx.ByteStream(self._empty),
            extensions=response.extensions,
            request=response.request,
        )


def _check(outcome: str) -> None:
    if outcome not in OUTCOMES:
        raise ConfigError(f"expected an outcome ({', '.join(OUTCOMES)}), got {outcome!r}")


def _waiting(outcome: Outcome, wait: float | None) -> Outcome | Verdict:
    return outcome if wait is None else Verdict(outcome, wait=wait)


def _unless_status(response: httpx.Response, outcome: Outcome) -> Outcome | None:
    if outcome == "fail" and verdict(response).outcome in {"retry", "limited", "reauth"}:
        return None
    return outcome


def _peek(response: httpx.Response, path: Path) -> Any:
    try:
        return peek(response.content, path)
    except msgspec.DecodeError:
        return None  # not JSON: for others to say
