"""Quotas: what an API says is left of what it allows, read from its answers.

A reader is any callable `(httpx.Response, datetime) -> Iterable[Quota]`, the second argument being
the time now, aware; a limit is given the one of its API: `Rate(10, quotas=HubSpot())`. Nothing is
guessed: a reset means what the reader was told. What cannot be read, or is absurd, is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias, get_args

import httpx
import msgspec

from blocks.bodies import content
from blocks.errors import ConfigError
from blocks.headers import http_date
from blocks.json import Path, peek

__all__ = [
    "HubSpot",
    "Quota",
    "Quotas",
    "RateLimit",
    "Reset",
    "Salesforce",
    "ShopifyBucket",
    "ShopifyCost",
    "XRateLimit",
]

# Seconds. A reset farther away is another kind of number than was declared: an epoch taken for a
# delta is 57 years. Monthly quotas still fit.
_FARTHEST = 32 * 86400.0
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")
_SHARE = re.compile(r"([0-9]{1,15})/([0-9]{1,15})")
# Begun at the first letter of a name only: a header of any length is read in linear time.
_USAGE = re.compile(r"(?<![a-z-])([a-z-]++)=([0-9]{1,15})/([0-9]{1,15})(?:\(appName=([^()]*+)\))?")

Reset: TypeAlias = Literal["seconds", "epoch", "epoch-ms", "date"]
Quotas: TypeAlias = "Callable[[httpx.Response, datetime], Iterable[Quota]]"


@dataclass(frozen=True, slots=True)
class Quota:
    """`remaining` units are left; more come in `reset` seconds, or `restore` of them each second.

    `needed` is what a call takes. `None` where the API does not say.

    >>> Quota(0, reset=30.0).wait, Quota(40, restore=50, needed=140).wait, Quota(7).wait
    (30.0, 2.0, 0.0)
    """

    remaining: float
    reset: float | None = None
    limit: float | None = None
    restore: float = 0.0
    needed: float = 1.0
    name: str = ""

    def __str__(self) -> str:
        limit = "" if self.limit is None else f" of {self.limit:g}"
        return f"{self.remaining:g}{limit} left{self.name and f' of {self.name!r}'}"

    @property
    def used_up(self) -> bool:
        """Whether there is too little for a call."""
        return self.remaining < self.needed

    @property
    def wait(self) -> float | None:
        """Seconds until there is enough for a call, `None` if that is not known, or absurd."""
        if not self.used_up:
            return 0.0
        if self.restore > 0:
            return _near((self.needed - self.remaining) / self.restore)
        return self.reset

    @property
    def pace(self) -> float | None:
        """Units a second that can be spent for ever, or until the reset; `None` if not known."""
        if self.restore > 0:
            return self.restore
        return None if self.reset is None else self.remaining / max(1.0, self.reset)


@dataclass(frozen=True, slots=True)
class XRateLimit:
    """`X-RateLimit-Remaining`, `-Reset` and `-Limit`, or the like under another `prefix`.

    `reset` declares what the reset header holds: "seconds" from now, the "epoch" in seconds or
    "epoch-ms" in milliseconds (1970, UTC), or a "date" (ISO 8601 with an offset, or HTTP). Instants
    count from the response's own `Date` where it has one, so that a wrong clock here does no harm.

    GitHub is `XRateLimit("epoch")`
    (https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api), GitLab
    `XRateLimit("epoch", prefix="RateLimit-")`, Okta `XRateLimit("epoch", prefix="X-Rate-Limit-")`.

    >>> headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1780401630"}
    >>> now = datetime.fromisoformat("2026-06-02T12:00:00Z")
    >>> [quota.wait for quota in XRateLimit("epoch")(httpx.Response(403, headers=headers), now)]
    [30.0]
    """

    reset: Reset
    prefix: str = "X-RateLimit-"

    def __post_init__(self) -> None:
        if self.reset not in get_args(Reset):
            raise ConfigError(f"reset: expected one of {get_args(Reset)}, got {self.reset!r}")

    def __call__(self, response: httpx.Response, now: datetime) -> Iterator[Quota]:
        """What is left of the window."""
        headers = response.headers
        remaining = _number(headers.get(f"{self.prefix}Remaining"))
        if remaining is not None:
            yield Quota(
                remaining,
                _near(self._reset(headers.get(f"{self.prefix}Reset", ""), response, now)),
                _number(headers.get(f"{self.prefix}Limit")),
                name=headers.get(f"{self.prefix}Resource", ""),
            )

    def _reset(self, text: str, response: httpx.Response, now: datetime) -> float | None:
        number = _number(text)
        if self.reset == "seconds":
            return number
        start = http_date(response.headers.get("date", ""), now) or now
        if self.reset == "date":
            try:
                date = http_date(text, now) or datetime.fromisoformat(text)
                return (date - start).total_seconds()
            except (TypeError, ValueError):  # without an offset, or no date at all
                return None
        if number is None:
            return None
        return number / (1000 if self.reset == "epoch-ms" else 1) - start.timestamp()


@dataclass(frozen=True, slots=True)
class RateLimit:
    """The `RateLimit` fields of the IETF's draft, of its current and its earlier versions.

    Those are a list (`RateLimit: "default";r=50;t=30`, from draft-ietf-httpapi-ratelimit-headers-08
    on, with `RateLimit-Policy`), a dictionary (`limit=100, remaining=50, reset=30`) and three
    fields (`RateLimit-Limit`, `-Remaining`, `-Reset`; the reset in seconds, where GitLab sends an
    epoch). Malformed fields, other units than requests and answers from a cache are passed over.

    >>> response = httpx.Response(200, headers={"RateLimit": '"default";r=0;t=30'})
    >>> [quota.wait for quota in RateLimit()(response, datetime.now())]
    [30.0]
    """

    def __call__(self, response: httpx.Response, _: datetime) -> Iterator[Quota]:
        """What is left of each policy."""
        headers = response.headers
        if "age" in headers:
            return
        if "ratelimit" in headers:
            text = ", ".join(headers.get_list("ratelimit"))
            found = _parsed(text, "list")
            if found is None:
                found = _parsed(text, "dictionary") or {}
                yield from _three(*(found.get(key) for key in ("remaining", "reset", "limit")))
                return
            policies = _parsed(", ".join(headers.get_list("ratelimit-policy")), "list") or []
            known = {str(name): params for name, params in policies}
            for name, params in found:
                policy = known.get(str(name), {})
                left = _count(params.get("r"))
                if left is not None and policy.get("qu", "requests") == "requests":
                    # Without t the window bounds how long it can take.
                    reset = _count(params.get("t", policy.get("w")))
                    yield Quota(left, _near(reset), _count(policy.get("q")), name=str(name))
        elif "ratelimit-remaining" in headers:
            texts = (headers.get(f"ratelimit-{key}", "") for key in ("remaining", "reset", "limit"))
            # The limit may be followed by the policies: `100, 100;w=10`.
            yield from _three(*((_parsed(text, "list") or [None])[0] for text in texts))


@dataclass(frozen=True, slots=True)
class HubSpot:
    """HubSpot's headers: an interval in milliseconds, a day and a second, as far as they are sent.

    (https://developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines)
    """

    def __call__(self, response: httpx.Response, _: datetime) -> Iterator[Quota]:
        """What is left of each."""
        headers = response.headers
        interval = _number(headers.get("X-HubSpot-RateLimit-Interval-Milliseconds"))
        for name, total, left, reset in (
            ("interval", "Max", "Remaining", None if interval is None else interval / 1000),
            ("second", "Secondly", "Secondly-Remaining", 1.0),
            ("day", "Daily", "Daily-Remaining", None),
        ):
            remaining = _number(headers.get(f"X-HubSpot-RateLimit-{left}"))
            if remaining is not None:
                limit = _number(headers.get(f"X-HubSpot-RateLimit-{total}"))
                yield Quota(remaining, _near(reset), limit, name=name)


@dataclass(frozen=True, slots=True)
class ShopifyBucket:
    """Shopify's REST bucket, `X-Shopify-Shop-Api-Call-Limit: 32/40`, which leaks `leak` a second.

    (https://shopify.dev/docs/api/admin-rest/usage/rate-limits)
    """

    leak: float = 2.0

    def __call__(self, response: httpx.Response, _: datetime) -> Iterator[Quota]:
        """What is left of the bucket."""
        found = _SHARE.fullmatch(response.headers.get("X-Shopify-Shop-Api-Call-Limit", "").strip())
        if found:
            used, limit = float(found[1]), float(found[2])
            yield Quota(limit - used, limit=limit, restore=self.leak)


@dataclass(frozen=True, slots=True)
class ShopifyCost:
    """The points Shopify's GraphQL API has left, from the body: `path` leads to the cost.

    The next query is taken to cost what this one asked for. Throttled is status 200 there, so have
    `Judged(..., blocks.graphql.Errors())` as well. The limit reads a body that is complete: below
    it stands `blocks.bodies.Whole`. (https://shopify.dev/docs/api/usage/limits)
    """

    path: Path = "extensions.cost"

    def __call__(self, response: httpx.Response, _: datetime) -> Iterator[Quota]:
        """What is left of the bucket."""
        try:
            cost = peek(content(response), self.path)
        except msgspec.DecodeError:
            return
        if isinstance(cost, Mapping) and isinstance(status := cost.get("throttleStatus"), Mapping):
            left, rate = _sound(status.get("currentlyAvailable")), _sound(status.get("restoreRate"))
            if left is not None and rate is not None:
                yield Quota(
                    left,
                    limit=_sound(status.get("maximumAvailable")),
                    restore=rate,
                    needed=_sound(cost.get("requestedQueryCost")) or 1.0,
                    name="points",
                )


@dataclass(frozen=True, slots=True)
class Salesforce:
    """Salesforce's `Sforce-Limit-Info: api-usage=10018/100000`: a day's use, no time of reset.

    (https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/headers_api_usage.htm)
    """

    def __call__(self, response: httpx.Response, _: datetime) -> Iterator[Quota]:
        """What is left of each allowance."""
        for kind, used, limit, app in _USAGE.findall(response.headers.get("Sforce-Limit-Info", "")):
            name = f"{kind} {app}".strip()
            yield Quota(float(limit) - float(used), limit=float(limit), name=name)


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and _NUMBER.fullmatch(text := text.strip()) else None


def _sound(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= 10**15 else None


def _count(value: Any) -> float | None:
    return _sound(value) if isinstance(value, int) else None


def _near(seconds: float | None) -> float | None:
    if seconds is None or seconds > _FARTHEST:
        return None
    return max(0.0, seconds)


def _parsed(text: str, kind: Literal["list", "dictionary"]) -> Any:
    import http_sf  # 40 ms, for this one dialect

    try:
        return http_sf.parse(text.strip(" \t").encode("ascii"), tltype=kind)
    except ValueError:  # not ASCII, or not a structured field
        return None


def _three(remaining: Any, reset: Any, limit: Any) -> Iterator[Quota]:
    left = _count(remaining[0]) if remaining else None
    if left is not None:
        numbers = [_count(item[0]) if item else None for item in (reset, limit)]
        yield Quota(left, _near(numbers[0]), numbers[1])
