"""What a server says about time is read as the standards have it, and nothing else into it."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.headers import http_date, retry_after

NOW = datetime(2026, 6, 2, 12, 0, 0, tzinfo=UTC)


def wait(*lines: str, date: str | None = None) -> float | None:
    """`retry_after` of a 429 with these Retry-After lines, and a Date if given."""
    headers = [("Retry-After", line) for line in lines]
    if date is not None:
        headers.append(("Date", date))
    return retry_after(httpx.Response(429, headers=headers), NOW)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 120 ", 120),
        ("\t7", 7),
        ("3600", 3600),
        ("2.0", 2),
        ("1.5", 2),
        ("0.001", 1),
        ("007", 7),
        ("99999999999999999999999", 1e23),
        ("9" * 5000, math.inf),
        ("Tue, 02 Jun 2026 12:02:00 GMT", 120),
        ("Tuesday, 02-Jun-26 12:02:00 GMT", 120),
        ("Tue Jun  2 12:02:00 2026", 120),
        ("Mon, 02 Jun 2026 12:02:00 GMT", 120),
        ("Tue, 02 Jun 2026 12:02:60 GMT", 180),
        ("Tue, 02 Jun 2026 11:00:00 GMT", 0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 251_621_899_199),
    ],
)
def test_retry_after_is_read(text: str, seconds: float) -> None:
    """Seconds, with a fraction rounded up, and the three date forms; gone by is 0."""
    assert wait(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "-1", "+5", "1e3", "1_000", "0x10", "1.", ".5", "1,5", "inf", "nan", "soon"),
        *("\u0663", "\u00b9", "120, 60", "120;foo", "120 s", "120x", "x120"),
        "2026-06-02T12:02:00Z",
        "Tue, 02 Jun 2026 25:00:00 GMT",
        "Tue, 31 Feb 2026 12:00:00 GMT",
        "Tue, 02 Jun 2026 12:02:61 GMT",
        "Fri, 31 Dec 9999 23:59:60 GMT",
        "Tue, 02 Jun 2026 12:02:00 +0200",
        "Tue, 02 Jum 2026 12:02:00 GMT",
        "Tue, 2 Jun 2026 12:02:00 GMT",
    ],
)
def test_what_is_no_retry_after_is_ignored(text: str) -> None:
    """Anything else says nothing: ASCII digits only, no signs, lists, units or ISO dates."""
    response = httpx.Response(429, headers=[(b"Retry-After", text.encode())])
    assert retry_after(response, NOW) is None


def test_no_header_is_no_wait_told() -> None:
    """Absent is `None`, which is not 0."""
    assert retry_after(httpx.Response(429), NOW) is None


def test_the_longest_of_several_lines_counts() -> None:
    """Two proxies may each add one; lines that cannot be read are passed over."""
    assert wait("5", "soon", "Tue, 02 Jun 2026 12:00:30 GMT", "20") == 30


def test_a_date_counts_from_the_date_of_the_response() -> None:
    """A clock an hour off here does no harm as long as the server agrees with itself."""
    told, date = "Tue, 02 Jun 2026 13:00:30 GMT", "Tue, 02 Jun 2026 13:00:00 GMT"
    assert wait(told, date=date) == 30
    assert wait(told, date="yesterday") == 3630
    assert wait("30", date=date) == 30


@pytest.mark.parametrize(
    ("now", "year"), [(2026, 1977), (2027, 2077), (2080, 2077), (1999, 1977), (2126, 2077)]
)
def test_a_two_digit_year_is_not_far_ahead(now: int, year: int) -> None:
    """More than 50 years ahead is the last such year gone by (RFC 9110, 5.6.7)."""
    date = http_date("Monday, 06-Nov-77 08:49:37 GMT", NOW.replace(year=now))
    assert date is not None
    assert date.year == year


@given(
    moment=st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_every_instant_survives_the_usual_form(moment: datetime) -> None:
    """Reading undoes the standard library's writing."""
    moment = moment.replace(microsecond=0)
    assert http_date(format_datetime(moment, usegmt=True), NOW) == moment


@given(text=st.text(alphabet="0123456789.:,- TueJnGM\u0661", max_size=40))
def test_no_text_makes_it_fail(text: str) -> None:
    """Whatever a server sends, the answer is a wait of 0 or more, or none."""
    response = httpx.Response(429, headers=[(b"Retry-After", text.encode())])
    seconds = retry_after(response, NOW)
    assert seconds is None or seconds >= 0


def test_a_fraction_of_now_is_rounded_up() -> None:
    """Coming back half a second early is early."""
    response = httpx.Response(429, headers={"Retry-After": "Tue, 02 Jun 2026 12:00:10 GMT"})
    assert retry_after(response, NOW + timedelta(milliseconds=500)) == 10
