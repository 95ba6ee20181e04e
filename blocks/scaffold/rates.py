"""Rates: how many calls an API allows, as far as its answers tell."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import httpx

from blocks.headers import http_date, retry_after
from blocks.quotas import RateLimit, Reset, XRateLimit
from blocks.scaffold.blueprint import Allowance
from blocks.scaffold.expressions import called, expression
from blocks.scaffold.findings import Finding
from blocks.scaffold.source import rate_arguments

__all__ = ["rate"]

_FARTHEST = 32 * 86400
# What is between the number of calls and the seconds is for others.
_CALLS = re.compile(r"(?:^|;\s*q=)([1-9][0-9]{0,8})(?=\s*(?:;|$))")
_SECONDS = re.compile(r";\s*w=([1-9][0-9]{0,6})(?=\s*(?:;|$))")


def rate(answers: list[httpx.Response]) -> Finding:
    """What the answers say."""
    now = datetime.now(UTC)
    for answer in answers:
        if answer.status_code == 429:
            wait = retry_after(answer, now)
            told = "" if wait is None else f", Retry-After: {wait:g} s"
            return Finding("rate", why=(f"429{told}",), sure=False, advice="again, later")
    for answer in answers:
        for header in ("ratelimit-policy", "ratelimit-limit", "x-ratelimit-limit"):
            texts = answer.headers.get_list(header, split_commas=True)
            if found := [each for text in texts for each in _policies(text.strip()[:300])]:
                return _policy(header, found)
    for answer in answers:
        for prefix in ("X-RateLimit-", "X-Rate-Limit-", "RateLimit-"):
            if re.fullmatch(r"[1-9][0-9]{0,8}", answer.headers.get(f"{prefix}Limit", "")):
                return _window(answer, prefix, now)
    return Finding(
        "rate", why=("no header of any answer tells",), sure=False, advice="--limit N/PER of `new`"
    )


def _policies(text: str) -> list[tuple[int, int]]:
    """Calls and seconds: `"default";q=100;w=60`, or `100;w=60` of earlier drafts."""
    calls, seconds = _CALLS.search(text), _SECONDS.search(text)
    other = "qu=" in text and 'qu="requests"' not in text
    return [(int(calls[1]), int(seconds[1]))] if calls and seconds and not other else []


def _policy(header: str, found: list[tuple[int, int]]) -> Finding:
    count, per = min(found, key=lambda each: each[0] / each[1])
    why = f"{header} says {count} in {per} s"
    if len(found) > 1:
        why += f", the slowest of {len(found)}"
    quotas = None if header.startswith("x-") else RateLimit()
    allowance = Allowance(count, per, quotas)
    code = called(0, "Rate(", rate_arguments(allowance))
    return Finding("rate", allowance, (why,), code)


def _window(answer: httpx.Response, prefix: str, now: datetime) -> Finding:
    """A count without the time it is for: what is left of it, the reset tells, if anything."""
    count = answer.headers[f"{prefix}Limit"]
    text = answer.headers.get(f"{prefix}Reset", "")
    start = (http_date(answer.headers.get("date", ""), now) or now).timestamp()
    why = [f"{prefix}Limit says {count}, but not in which time"]
    options = []
    if re.fullmatch(r"[0-9]{1,15}", text):
        waits: dict[Reset, float] = {
            "seconds": float(text),
            "epoch": float(text) - start,
            "epoch-ms": float(text) / 1000 - start,
        }
        for kind, wait in waits.items():
            if -60 <= wait <= _FARTHEST:
                why.append(f"{prefix}Reset is {kind}: it is at least {max(0, wait):.0f} s")
                quotas = expression(XRateLimit(kind, prefix))
                options.append(f"Rate({count}, per=..., quotas={quotas})")
    advice = f"--limit {count}/PER of `new`, PER from the API's guide"
    return Finding("rate", why=tuple(why), sure=False, options=tuple(options), advice=advice)
