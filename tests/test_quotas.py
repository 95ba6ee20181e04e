"""What APIs say is left is read as each of them means it, and nothing else into it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, get_args

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import ConfigError
from blocks.quotas import (
    HubSpot,
    Quota,
    Quotas,
    RateLimit,
    Reset,
    Salesforce,
    ShopifyBucket,
    ShopifyCost,
    XRateLimit,
)

NOW = datetime(2026, 6, 2, 12, 0, 0, tzinfo=UTC)
EPOCH = int(NOW.timestamp())


def said(reader: Quotas, headers: dict[str, str] | Iterable[tuple[str, str]]) -> list[Quota]:
    """What `reader` makes of a response with these headers."""
    return list(reader(httpx.Response(200, headers=list(dict(headers).items())), NOW))


@pytest.mark.parametrize(
    ("quota", "used_up", "wait", "pace"),
    [
        (Quota(5), False, 0.0, None),
        (Quota(5, reset=10), False, 0.0, 0.5),
        (Quota(0, reset=10), True, 10.0, 0.0),
        (Quota(0), True, None, None),
        (Quota(0, reset=0), True, 0.0, 0.0),
        (Quota(8, limit=40, restore=2), False, 0.0, 2),
        (Quota(0, limit=40, restore=2), True, 0.5, 2),
        (Quota(66, restore=50, needed=166), True, 2.0, 50),
        (Quota(0.5, reset=3), True, 3.0, 0.5 / 3),
    ],
)
def test_waits_and_paces(
    quota: Quota, used_up: bool, wait: float | None, pace: float | None
) -> None:
    """Enough for a call means no wait; a bucket fills by the second, a window at its end."""
    assert (quota.used_up, quota.wait, quota.pace) == (used_up, wait, pace)


def test_a_quota_reads_as_text() -> None:
    """For logs."""
    assert str(Quota(0, limit=5000, name="core")) == "0 of 5000 left of 'core'"
    assert str(Quota(7.5)) == "7.5 left"


@pytest.mark.parametrize(
    ("reset", "text", "seconds"),
    [
        ("seconds", "30", 30.0),
        ("seconds", "0.5", 0.5),
        ("epoch", str(EPOCH + 30), 30.0),
        ("epoch", f"{EPOCH + 30}.25", 30.25),
        ("epoch-ms", str((EPOCH + 30) * 1000), 30.0),
        ("date", "2026-06-02T12:00:30Z", 30.0),
        ("date", "2026-06-02T14:00:30+02:00", 30.0),
        ("date", "Tue, 02 Jun 2026 12:00:30 GMT", 30.0),
        ("epoch", str(EPOCH - 30), 0.0),
        ("date", "2026-06-02T11:00:00Z", 0.0),
        # One taken for another: absurd, so not known, rather than 57 years or at once.
        ("seconds", str(EPOCH + 30), None),
        ("epoch", str((EPOCH + 30) * 1000), None),
        ("date", "2026-06-02T12:00:30", None),
        *((kind, "soon", None) for kind in ("seconds", "epoch", "epoch-ms", "date")),
        *((kind, "", None) for kind in ("seconds", "epoch", "epoch-ms", "date")),
        *((kind, "-5", None) for kind in ("seconds", "epoch", "epoch-ms", "date")),
        *((kind, "٣", None) for kind in ("seconds", "epoch", "epoch-ms", "date")),
    ],
)
def test_a_reset_is_what_it_was_declared_to_be(
    reset: Any, text: str, seconds: float | None
) -> None:
    """Epoch, delta or date by declaration, never by its size."""
    headers = [("X-RateLimit-Remaining", b"0"), ("X-RateLimit-Reset", text.encode())]
    response = httpx.Response(403, headers=headers)  # type: ignore[arg-type]
    assert [quota.reset for quota in XRateLimit(reset)(response, NOW)] == [seconds]


@pytest.mark.parametrize("reset", ["epoch", "epoch-ms", "date"])
def test_an_instant_counts_from_the_date_of_the_response(reset: Any) -> None:
    """A clock an hour off here does no harm as long as the server agrees with itself."""
    there = EPOCH + 3600
    texts = {
        "epoch": str(there + 30),
        "epoch-ms": f"{there + 30}000",
        "date": "2026-06-02T13:00:30Z",
    }
    date = format_datetime(datetime.fromtimestamp(there, UTC), usegmt=True)
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": texts[reset], "Date": date}
    assert [quota.reset for quota in said(XRateLimit(reset), headers)] == [30.0]


def test_github() -> None:
    """All of its headers (docs.github.com, "Rate limits for the REST API")."""
    headers = {
        "x-ratelimit-limit": "5000",
        "x-ratelimit-remaining": "0",
        "x-ratelimit-used": "5000",
        "x-ratelimit-reset": str(EPOCH + 1800),
        "x-ratelimit-resource": "core",
    }
    assert said(XRateLimit("epoch"), headers) == [Quota(0, 1800.0, 5000, name="core")]


@pytest.mark.parametrize("prefix", ["RateLimit-", "X-Rate-Limit-", "x-custom-"])
def test_other_prefixes(prefix: str) -> None:
    """GitLab's, Okta's, anybody's."""
    headers = {f"{prefix}Remaining": "9", f"{prefix}Limit": "10"}
    assert said(XRateLimit("epoch", prefix), headers) == [Quota(9, None, 10)]


@pytest.mark.parametrize("left", ["", "many", "-1", "1e3", "9" * 16, "5, 6", "0x1", "inf", "nan"])
def test_what_is_no_number_says_nothing(left: str) -> None:
    """Passed over, not taken for none or for much."""
    assert said(XRateLimit("seconds"), {"X-RateLimit-Remaining": left}) == []


def test_a_reset_must_be_declared() -> None:
    """One of four."""
    with pytest.raises(ConfigError, match=r"'epoch-ms', 'date'.*got 'guess'"):
        XRateLimit("guess")  # type: ignore[arg-type]


POLICY = '"burst";q=100;w=60,"daily";q=1000;w=86400'


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        # draft-ietf-httpapi-ratelimit-headers-08 and later
        ({"RateLimit": '"default";r=50;t=30'}, [Quota(50, 30, name="default")]),
        ({"RateLimit": "default;r=50;t=30"}, [Quota(50, 30, name="default")]),
        ({"RateLimit": '"a";r=1;t=2, "b";r=0'}, [Quota(1, 2, name="a"), Quota(0, name="b")]),
        (
            {"RateLimit": '"burst";r=0, "daily";r=9;t=5', "RateLimit-Policy": POLICY},
            [Quota(0, 60, 100, name="burst"), Quota(9, 5, 1000, name="daily")],
        ),
        ({"RateLimit": '"a";r=5;t=9;pk=:cHsdsRa894==:'}, [Quota(5, 9, name="a")]),
        (
            {"RateLimit": '"a";r=5', "RateLimit-Policy": '"a";q=10;qu="requests"'},
            [Quota(5, None, 10, name="a")],
        ),
        ({"RateLimit": '"a";r=5', "RateLimit-Policy": '"a";q=10;qu="content-bytes"'}, []),
        ({"RateLimit": '"a";r=5', "RateLimit-Policy": '"a";'}, [Quota(5, name="a")]),
        ({"RateLimit": '"a";r=-1'}, []),
        ({"RateLimit": '"a";r=1.5'}, []),
        ({"RateLimit": '"a";r=?1'}, []),
        ({"RateLimit": '"a";r="5"'}, []),
        ({"RateLimit": '"a";t=5'}, []),
        ({"RateLimit": '"a";r=9999999999999999'}, []),
        ({"RateLimit": '"a";r=5,'}, []),
        ({"RateLimit": '"a";r=5;t=-3'}, [Quota(5, name="a")]),
        ({"RateLimit": '"a";r=0;t=99999999'}, [Quota(0, name="a")]),
        ({"RateLimit": ""}, []),
        ({"RateLimit": '"a";r=5', "Age": "7"}, []),
        # draft-07 and what some servers send: a dictionary
        ({"RateLimit": "limit=100, remaining=50, reset=30"}, [Quota(50, 30, 100)]),
        ({"RateLimit": "limit=100,remaining=50"}, [Quota(50, None, 100)]),
        ({"RateLimit": "limit=100, reset=30"}, []),
        ({"RateLimit": 'remaining="50"'}, []),
        # draft-06 and before: three fields
        (
            {
                "RateLimit-Limit": "100, 100;w=10",
                "RateLimit-Remaining": "0",
                "RateLimit-Reset": "5",
            },
            [Quota(0, 5, 100)],
        ),
        ({"RateLimit-Remaining": "7"}, [Quota(7)]),
        ({"RateLimit-Remaining": "7", "RateLimit-Reset": "soon"}, [Quota(7)]),
        ({"RateLimit-Remaining": "seven"}, []),
        ({"RateLimit-Remaining": "7", "RateLimit-Reset": str(EPOCH)}, [Quota(7)]),
        ({"RateLimit-Limit": "100"}, []),
        ({}, []),
    ],
)
def test_the_draft_in_its_versions(headers: dict[str, str], expected: list[Quota]) -> None:
    """List, dictionary or three fields; what is malformed is ignored, as it demands."""
    assert said(RateLimit(), headers) == expected


def test_several_lines_are_one_list() -> None:
    """As for any list (RFC 9651, section 4.2)."""
    response = httpx.Response(200, headers=[("RateLimit", '"a";r=1'), ("RateLimit", '"b";r=2')])
    assert [quota.name for quota in RateLimit()(response, NOW)] == ["a", "b"]


def test_text_that_is_not_ascii_says_nothing() -> None:
    """Malformed, so ignored."""
    response = httpx.Response(200, headers=[(b"RateLimit", '"ä";r=1'.encode())])
    assert list(RateLimit()(response, NOW)) == []


def test_hubspot() -> None:
    """Interval in milliseconds, day, second: each a quota, as far as it is sent."""
    headers = {
        "X-HubSpot-RateLimit-Daily": "250000",
        "X-HubSpot-RateLimit-Daily-Remaining": "249999",
        "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
        "X-HubSpot-RateLimit-Max": "100",
        "X-HubSpot-RateLimit-Remaining": "0",
        "X-HubSpot-RateLimit-Secondly": "10",
        "X-HubSpot-RateLimit-Secondly-Remaining": "9",
    }
    assert said(HubSpot(), headers) == [
        Quota(0, 10.0, 100, name="interval"),
        Quota(9, 1.0, 10, name="second"),
        Quota(249999, None, 250000, name="day"),
    ]
    assert said(HubSpot(), {"X-HubSpot-RateLimit-Remaining": "3"}) == [Quota(3, name="interval")]
    assert said(HubSpot(), {}) == []


def test_shopify_bucket() -> None:
    """Used of all, leaking."""
    header = "X-Shopify-Shop-Api-Call-Limit"
    assert said(ShopifyBucket(), {header: "32/40"}) == [Quota(8, limit=40, restore=2.0)]
    assert [quota.wait for quota in said(ShopifyBucket(4.0), {header: "80/80"})] == [0.25]
    assert said(ShopifyBucket(), {header: "32"}) == []
    assert said(ShopifyBucket(), {}) == []


def shopify(cost: Any) -> httpx.Response:
    """An answer of its GraphQL API."""
    return httpx.Response(200, json={"data": None, "extensions": {"cost": cost}})


STATUS = {"maximumAvailable": 1000.0, "currentlyAvailable": 66, "restoreRate": 50.0}


def test_shopify_cost() -> None:
    """The next query waits until what this one asked for is there."""
    cost = {"requestedQueryCost": 166, "actualQueryCost": None, "throttleStatus": STATUS}
    (quota,) = ShopifyCost()(shopify(cost), NOW)
    assert quota == Quota(66, limit=1000, restore=50, needed=166, name="points")
    assert quota.wait == 2.0
    cost["throttleStatus"] = STATUS | {"currentlyAvailable": 10**15}  # of 15 digits, as texts are
    assert [each.remaining for each in ShopifyCost()(shopify(cost), NOW)] == [1e15]


def test_shopify_cost_that_is_not_read_yet() -> None:
    """A limit reads the body on its way."""
    cost = {"requestedQueryCost": 166, "actualQueryCost": None, "throttleStatus": STATUS}
    (quota,) = ShopifyCost()(shopify(cost), NOW)
    unread = httpx.Response(200, stream=httpx.ByteStream(shopify(cost).content))
    assert list(ShopifyCost()(unread, NOW)) == [quota]


@pytest.mark.parametrize(
    "response",
    [
        shopify(None),
        shopify({"throttleStatus": None}),
        shopify({"throttleStatus": STATUS | {"restoreRate": "fast"}}),
        shopify({"throttleStatus": STATUS | {"currentlyAvailable": True}}),
        shopify({"throttleStatus": STATUS | {"currentlyAvailable": -1}}),
        shopify({"throttleStatus": STATUS | {"currentlyAvailable": 10**15 + 1}}),
        httpx.Response(200, json=[]),
        httpx.Response(502, html="<h1>no</h1>"),
    ],
)
def test_shopify_cost_that_cannot_be_read_says_nothing(response: httpx.Response) -> None:
    """Passed over."""
    assert list(ShopifyCost()(response, NOW)) == []


def test_salesforce() -> None:
    """A day's use, and an app's share of it; when it starts anew nobody says."""
    text = "api-usage=10018/100000; api-bursts=1/750; per-app-api-usage=17/250(appName=my app)"
    assert said(Salesforce(), {"Sforce-Limit-Info": text}) == [
        Quota(89982, limit=100000, name="api-usage"),
        Quota(749, limit=750, name="api-bursts"),
        Quota(233, limit=250, name="per-app-api-usage my app"),
    ]
    assert said(Salesforce(), {"Sforce-Limit-Info": "none"}) == []
    (over,) = said(Salesforce(), {"Sforce-Limit-Info": "api-usage=7/5"})
    assert (over.used_up, over.wait) == (True, None)


READERS: list[Quotas] = [
    *(XRateLimit(kind, "RateLimit-") for kind in get_args(Reset)),
    *(RateLimit(), HubSpot(), ShopifyBucket(), Salesforce()),
]
NAMES = [
    *("RateLimit", "RateLimit-Policy", "RateLimit-Limit", "RateLimit-Remaining"),
    *("RateLimit-Reset", "X-HubSpot-RateLimit-Remaining", "X-Shopify-Shop-Api-Call-Limit"),
    *("Sforce-Limit-Info", "X-HubSpot-RateLimit-Interval-Milliseconds", "Date"),
]


@given(
    headers=st.dictionaries(
        st.sampled_from(NAMES),
        st.one_of(
            st.text(alphabet='0123456789-+.:;=,"/ rtqwTZlimtrgnapu()?@%\u0661', max_size=40),
            st.integers(0, 2 * 10**9).map(str),
        ),
    )
)
def test_no_header_makes_a_reader_fail(headers: dict[str, str]) -> None:
    """Whatever a server sends: waits of zero to 32 days, or none known."""
    encoded = [(name.encode(), text.encode()) for name, text in headers.items()]
    for reader in READERS:
        for quota in reader(httpx.Response(200, headers=encoded), NOW):
            assert quota.wait is None or 0 <= quota.wait <= 32 * 86400
            assert quota.pace is None or quota.pace >= 0 or quota.remaining < 0
