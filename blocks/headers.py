"""Headers: what a server says about time, as numbers.

Pure functions over a response; waiting is for others.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

import httpx

__all__ = ["http_date", "retry_after"]

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = "(?P<month>" + "|".join(_MONTHS) + ")"
_TIME = "(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"

# The three forms a recipient must read (RFC 9110, section 5.6.7). The weekday is not compared with
# the date: it says nothing the date does not.
_DATES = tuple(
    re.compile(form)
    for form in (
        f"[A-Z][a-z]{{2}}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT",
        f"[A-Z][a-z]{{5,8}}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT",
        f"[A-Z][a-z]{{2}} {_MONTH} (?P<day>[0-9 ][0-9]) {_TIME} (?P<year>[0-9]{{4}})",
    )
)
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def retry_after(response: httpx.Response, now: datetime) -> float | None:
    """Whole seconds until the response's `Retry-After`; `None` when there is none to be read.

    Seconds (RFC 9110, section 10.2.3) or a date; a date counts from the response's own `Date`, so
    that a wrong clock here does no harm, else from `now` (aware). A date gone by is 0. A fraction,
    which Shopify sends, is rounded up. Of several lines the longest wait counts. The number is not
    capped and may be `inf`: how long is too long is the caller's to say.

    >>> now = datetime(2026, 6, 2, 12, 0, tzinfo=UTC)
    >>> def wait(text):
    ...     return retry_after(httpx.Response(429, headers={"Retry-After": text}), now)
    >>> wait("1.5"), wait("Tue, 02 Jun 2026 12:02:00 GMT")
    (2.0, 120.0)
    >>> wait("soon") is None
    True
    """
    waits = [_wait(line, response, now) for line in response.headers.get_list("retry-after")]
    return max((wait for wait in waits if wait is not None), default=None)


def _wait(line: str, response: httpx.Response, now: datetime) -> float | None:
    text = line.strip(" \t")
    if _SECONDS.fullmatch(text):
        seconds = float(text)  # unlike int, no limit on digits: a thousand nines are inf
        return seconds if math.isinf(seconds) else float(math.ceil(seconds))
    # A two-digit year is read against the clock here: the server's may hang on the same rule.
    date = http_date(text, now)
    if date is None:
        return None
    start = http_date(response.headers.get("date", ""), now) or now
    return float(max(0, math.ceil((date - start).total_seconds())))


def http_date(text: str, now: datetime) -> datetime | None:
    """The instant of an HTTP date in any of its three forms, or `None` when `text` is none.

    A two-digit year is the one at most 50 years after `now`; second 60, a leap second, is read as
    the next minute's 0.

    >>> now = datetime(2026, 6, 2, tzinfo=UTC)
    >>> http_date("Sunday, 06-Nov-94 08:49:37 GMT", now).isoformat()
    '1994-11-06T08:49:37+00:00'
    """
    for form in _DATES:
        if found := form.fullmatch(text):
            break
    else:
        return None
    year, second = int(found["year"]), int(found["second"])
    if len(found["year"]) == 2:
        latest = now.year + 50
        year = latest - (latest - year) % 100
    try:
        date = datetime(
            year,
            _MONTHS.index(found["month"]) + 1,
            int(found["day"]),
            int(found["hour"]),
            int(found["minute"]),
            59 if second == 60 else second,
            tzinfo=UTC,
        )
        return date + timedelta(seconds=1) if second == 60 else date
    except (OverflowError, ValueError):  # 31 February, 25:00, the leap second at the end of 9999
        return None
