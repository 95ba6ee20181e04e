"""No header makes a reader fail, hang, or say what the standards do not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import http_sf
import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from blocks.errors import AuthError
from blocks.headers import http_date, retry_after
from blocks.links import Link, parse
from blocks.quotas import HubSpot, Quotas, RateLimit, Salesforce, ShopifyBucket, XRateLimit
from blocks.sessions import CookieLogin
from tests.fuzz.texts import calls, damaged, latin

NOW = datetime(2026, 6, 2, 12, 0, 0, tzinfo=UTC)

DATES = [
    "Tue, 02 Jun 2026 12:02:00 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "Sun Nov  6 08:49:37 1994",
]
WAITS = [*DATES, "0", "120", "2.0", "99999999999999999999"]
LINKS = [
    '</items?page=2&q=a,b;c>; rel="next"; title="a, <b>; rel=\\"next\\""',
    "</a>; rel=prev, <https://api.example.com/p>; REL=\"next last\"; title*=UTF-8''%e2%82%ac",
    '<>; foo; anchor="#x" ; rel = next ,, <//h/p>;rel=last;',
]
FIELDS = {
    "RateLimit": ['"default";r=50;t=30', 'a;r=1;pk=:AAA=:, "b";r=0', "limit=9, remaining=5"],
    "RateLimit-Policy": ['"default";q=100;w=60;qu="requests"', "a;q=1, b;q=2"],
    "RateLimit-Remaining": ["5", "0", "1e3", "9" * 30],
    "RateLimit-Reset": ["30", "1780401630", "1780401630123", "2026-06-02T12:00:30Z", *DATES],
    "RateLimit-Limit": ["100, 100;w=10", "100"],
    "X-HubSpot-RateLimit-Remaining": ["1"],
    "X-HubSpot-RateLimit-Interval-Milliseconds": ["10000"],
    "X-Shopify-Shop-Api-Call-Limit": ["32/40", "1/0"],
    "Sforce-Limit-Info": ["api-usage=1/5; per-app-api-usage=17/250(appName=x)"],
    "Date": DATES,
    "Age": ["1"],
}
COOKIES = [
    "sid=abc; Path=/; HttpOnly",
    "sid=abc; Expires=Sun, 06 Nov 2094 08:49:37 GMT; Max-Age=60; Version=1",
    'other="a;b"; Domain=api.example.com; Port="80,x"',
]


@given(lines=st.lists(damaged(WAITS), max_size=3), date=damaged(DATES))
def test_retry_after_is_a_wait_or_nothing(lines: list[str], date: str) -> None:
    """Whatever lines there are: never a negative number, and never an error."""
    headers = [(b"Retry-After", latin(line)) for line in lines]
    response = httpx.Response(429, headers=[*headers, (b"Date", latin(date))])
    seconds = retry_after(response, NOW)
    assert seconds is None or seconds >= 0


@given(text=damaged(DATES))
def test_a_date_is_the_one_the_standard_library_reads(text: str) -> None:
    """Where both read one; leap seconds and two digits of a year are RFC 9110's alone."""
    found = http_date(text, NOW)
    if found is None or ":60" in text or "-" in text:
        return
    with suppress(ValueError):  # days of the week that are none
        assert parsedate_to_datetime(text).replace(tzinfo=UTC) == found


@given(lines=st.lists(damaged(LINKS), max_size=2))
def test_links_are_of_the_header_or_there_is_an_error(lines: list[str]) -> None:
    """A target stands in angle brackets in one of the lines; types are words in lower case."""
    try:
        links = parse(lines)
    except ValueError:
        return
    for link in links:
        assert any(f"<{link.target}>" in line for line in lines)
        assert all(rel == rel.lower() and rel.split() == [rel] for rel in link.rels)


@given(
    headers=st.fixed_dictionaries(
        {}, optional={name: damaged(samples) for name, samples in FIELDS.items()}
    )
)
@example({"X-Shopify-Shop-Api-Call-Limit": "32323232/40"})
def test_quotas_are_read_or_passed_over(headers: dict[str, str]) -> None:
    """Waits of zero to 32 days, numbers that are numbers, and never an error."""
    response = httpx.Response(200, headers=[(n.encode(), latin(t)) for n, t in headers.items()])
    kinds = [XRateLimit(kind, "RateLimit-") for kind in ("seconds", "epoch", "epoch-ms", "date")]
    readers: list[Quotas] = [RateLimit(), *kinds, HubSpot(), ShopifyBucket(), Salesforce()]
    for reader in readers:
        for quota in reader(response, NOW):
            assert quota.wait is None or 0 <= quota.wait <= 32 * 86400
            assert str(quota)


@given(text=damaged(FIELDS["RateLimit"]))
@example('\t"default";r=50;t=30')
def test_rate_limit_is_what_the_structured_field_says(text: str) -> None:
    """Each member with a sound `r` is a quota of that many, and no other is."""
    response = httpx.Response(200, headers=[(b"RateLimit", latin(text))])
    try:
        members: Any = http_sf.parse(latin(text.strip(" \t")), tltype="list")
    except ValueError:
        return
    expected = [
        float(params["r"])
        for _, params in members
        if type(params.get("r")) is int and 0 <= params["r"] <= 10**15
    ]
    assert [quota.remaining for quota in RateLimit()(response, NOW)] == expected


@given(lines=st.lists(damaged(COOKIES), max_size=3))
def test_a_login_finds_a_cookie_or_says_that_there_is_none(lines: list[str]) -> None:
    """Whatever a server sets, it is sent as it can be, or it is an `AuthError`."""
    flow = CookieLogin("https://api.example.com/login", {}, name="sid").sync_auth_flow(
        httpx.Request("GET", "https://api.example.com/items")
    )
    request = next(flow)
    headers = [(b"Set-Cookie", latin(line)) for line in lines]
    try:
        signed = flow.send(httpx.Response(200, headers=headers, content=b"", request=request))
    except AuthError:
        return
    assert signed.headers["Cookie"].startswith("sid=")


def _wait(text: str) -> None:
    retry_after(httpx.Response(429, headers=[(b"Retry-After", text.encode("latin-1"))]), NOW)


def _links(text: str) -> list[Link] | None:
    try:
        return parse([text])
    except ValueError:
        return None


def _quota(text: str) -> None:
    headers = [(name.encode(), text.encode("latin-1")) for name in FIELDS]
    reset = XRateLimit("date", "RateLimit-")
    readers: list[Quotas] = [RateLimit(), reset, ShopifyBucket(), Salesforce()]
    for reader in readers:
        list(reader(httpx.Response(200, headers=headers[:-1]), NOW))


PUMPS = [
    *("9", "0.", ".0", " ", "\t", "-", ",", ";", "<", ">", '"', "\\", "=", "a", "a=", ";a=b", "("),
    *('"a";r=1,', "<a>;rel=next,", '<a>;rel="n\\', "=1/2;", "a=1/2(appName=", "a" * 16 + " = "),
]


@pytest.mark.parametrize("pump", PUMPS)
@pytest.mark.parametrize("read", [_wait, _links, _quota])
def test_a_long_header_costs_what_its_length_does(read: Callable[[str], object], pump: str) -> None:
    """Twice as long, at most twice the calls; and in time, where quadratic would be an hour.

    Calls do not show what a regular expression does by itself, so those get 256 KiB.
    """
    one, two = (calls(lambda size=size: read(pump * size)) for size in (200, 400))  # type: ignore[misc]
    assert two <= 2 * one + 20
    for before, after in [
        ("", ""),
        ("<a>;rel=next;", "\x01"),
        ('<a>;x="', ""),
        ('"a";r=5;t=', "!"),
    ]:
        read(before + pump * (2**18 // len(pump)) + after)
