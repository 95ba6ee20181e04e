"""Instants: texts of RFC 3339, zones where clocks change, and columns of either."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import ConfigError, CursorError
from blocks.instants import each, floor, instant, instants, midnight, unambiguous, zone_of

# Half an hour, at midnight, a quarter of an hour off, no change at all, the other half of the year.
ZONES = [
    *("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana"),
    *("Asia/Kathmandu", "America/Sao_Paulo", "Asia/Beirut"),
]
naive = datetime.fromisoformat
times = st.datetimes(naive("1975-01-01"), naive("2037-12-30"), timezones=st.just(UTC))
zones = st.sampled_from(ZONES)


def utc(text: str) -> datetime:
    """The instant of a text that Python itself reads."""
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2024-05-01T10:00:00Z", "2024-05-01T10:00:00+00:00"),
        ("2024-05-01t10:00:00z", "2024-05-01T10:00:00+00:00"),
        ("2024-05-01 10:00:00.5-00:00", "2024-05-01T10:00:00.500000+00:00"),
        ("2024-05-01T10:00:00.123456789+05:30", "2024-05-01T04:30:00.123456+00:00"),
        ("2024-05-01T23:59:59.999999999Z", "2024-05-01T23:59:59.999999+00:00"),
        ("2024-05-01T10:00:00+0000", "2024-05-01T10:00:00+00:00"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.999999+00:00"),
        ("2016-12-31T23:59:60.25+00:00", "2016-12-31T23:59:59.999999+00:00"),
        ("2024-05-01T10:00", "2024-05-01T08:00:00+00:00"),
        ("2024-05-01", "2024-04-30T22:00:00+00:00"),
    ],
)
def test_texts(text: str, same: str) -> None:
    """Each form of RFC 3339 is an instant, never later than what it says; Berlin has no offset."""
    assert instant(text, "Europe/Berlin") == utc(same)
    assert instants(pa.chunked_array([[text, None]]), "Europe/Berlin").to_pylist() == [
        utc(same),
        None,
    ]


@pytest.mark.parametrize(
    "value", ["", "yesterday", "2024-13-01T00:00:00Z", 5, None, True, [], "60"]
)
def test_no_times(value: Any) -> None:
    """What is no time is refused, numbers included: their unit is not guessed."""
    with pytest.raises(CursorError, match="expected a time, got"):
        instant(value, "UTC")


def test_times_out_of_range() -> None:
    """An offset may not lead out of the calendar."""
    with pytest.raises(CursorError, match="years 1 to 9999"):
        instant("0001-01-01T00:00:00+23:00", "UTC")
    with pytest.raises(CursorError, match="years 1 to 9999"):
        instants(pa.chunked_array([pa.array([2**62], pa.timestamp("s", "UTC"))]), "UTC")


@given(times, zones)
def test_python_values(moment: datetime, zone: str) -> None:
    """Aware datetimes are what they are, naive ones in the zone, dates the start of their day."""
    local = moment.astimezone(ZoneInfo(zone))
    assert instant(local, "Asia/Tokyo") == moment
    assert instant(local.replace(tzinfo=None, fold=local.fold), zone) == moment
    assert instant(local.date(), zone) == midnight(local.date(), zone)
    assert instant(local.isoformat(), zone) == moment


@given(times, zones)
def test_midnight_is_the_first_instant_of_its_day(moment: datetime, zone: str) -> None:
    """No instant of a day is before it, none of the day before after it."""
    day = moment.astimezone(ZoneInfo(zone)).date()
    first = midnight(day, zone)
    assert first <= moment
    assert first.astimezone(ZoneInfo(zone)).date() == day
    assert (first - timedelta.resolution).astimezone(ZoneInfo(zone)).date() < day
    assert instants(pa.chunked_array([pa.array([day])]), zone).to_pylist() == [first]


@given(times, zones, st.sampled_from([1, 60, 900, 3600, 86400]))
def test_floor(moment: datetime, zone: str, seconds: int) -> None:
    """A floor is not after, less than a step before (and a change of clocks), and its own floor."""
    step = timedelta(seconds=seconds)
    found = floor(moment, step, zone)
    assert timedelta() <= moment - found < step + timedelta(hours=1)
    assert floor(found, step, zone) == found
    if zone == "UTC":
        assert found.timestamp() == moment.timestamp() // seconds * seconds


@given(times, times, zones)
def test_unambiguous_bounds_order_clocks_as_instants(
    one: datetime, other: datetime, zone: str
) -> None:
    """From such a bound on, clocks show its time or a later one; before it an earlier one."""
    where = zone_of(zone)
    autumn = datetime(2024, 10, 27, tzinfo=UTC) + (other - datetime(1975, 1, 1, tzinfo=UTC)) % (
        timedelta(hours=4)
    )
    for point in (one, autumn):
        bound = unambiguous(point, zone)
        assert point - timedelta(hours=2) <= bound <= point
        assert unambiguous(bound, zone) == bound
        shown = bound.astimezone(where).replace(tzinfo=None)
        for minutes in range(0, 240, 15):
            later, earlier = (bound + sign * timedelta(minutes=minutes) for sign in (1, -1))
            assert later.astimezone(where).replace(tzinfo=None) >= shown
            if minutes:
                assert earlier.astimezone(where).replace(tzinfo=None) < shown


def test_an_hour_shown_twice() -> None:
    """Both passes of it fall back to where it begins, half an hour of it likewise."""
    for text in ("2024-10-27T00:00:00+00:00", "2024-10-27T00:59:59+00:00", "2024-10-27T01:30:00Z"):
        assert unambiguous(utc(text), "Europe/Berlin") == utc("2024-10-27T00:00:00+00:00")
    assert unambiguous(utc("2024-10-27T02:00:00Z"), "Europe/Berlin") == utc("2024-10-27T02:00Z")
    assert unambiguous(utc("2024-04-06T15:10:00Z"), "Australia/Lord_Howe") == utc(
        "2024-04-06T14:30:00+00:00"
    )


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1714557600], pa.timestamp("s", "UTC")), "2024-05-01T10:00:00+00:00"),
        (pa.array([1714557600000], pa.timestamp("ms", "Asia/Tokyo")), "2024-05-01T10:00:00+00:00"),
        (pa.array([1714557600000], pa.timestamp("ms")), "2024-05-01T08:00:00+00:00"),
        (pa.array([-1], pa.timestamp("ns", "UTC")), "1969-12-31T23:59:59.999999+00:00"),
        (pa.array([-1], pa.timestamp("ns")), "1969-12-31T22:59:59.999999+00:00"),
        (pa.array([date(2024, 5, 1)], pa.date32()), "2024-04-30T22:00:00+00:00"),
        (pa.array([date(2024, 5, 1)], pa.date64()), "2024-04-30T22:00:00+00:00"),
        (pa.array(["2024-05-01T12:00:00+02:00"], pa.large_string()), "2024-05-01T10:00:00+00:00"),
    ],
)
def test_columns(column: pa.Array, expected: str) -> None:
    """Columns of any unit are instants, never later than they say; Berlin has no offset."""
    found = instants(pa.chunked_array([column]), "Europe/Berlin")
    assert found.type == pa.timestamp("us", "UTC")
    assert found.to_pylist() == [utc(expected)]


def test_columns_without_a_value() -> None:
    """A column of nulls has none, one of no chunk neither."""
    assert instants(pa.chunked_array([pa.nulls(2)]), "UTC").to_pylist() == [None, None]
    assert instants(pa.chunked_array([], pa.string()), "UTC").to_pylist() == []
    assert each(pa.chunked_array([], pa.string()), int, pa.int64()).to_pylist() == []
    for unit in ("s", "ms", "us", "ns"):
        column = pa.chunked_array([pa.nulls(2, pa.timestamp(unit))])
        assert instants(column, "Europe/Berlin").to_pylist() == [None, None]


def test_columns_of_clocks() -> None:
    """Timestamps that dlt took for UTC are read as the clocks of the zone; a gap is before it."""
    shown = [*map(naive, ("2024-05-01T10:00", "2024-03-31T02:30", "2024-10-27T02:30"))]
    expected = ["2024-05-01T08:00Z", "2024-03-31T00:59:59.999999Z", "2024-10-27T00:30Z"]
    for zone in (None, "UTC"):
        column = pa.chunked_array([pa.array(shown, pa.timestamp("us", zone))])
        found = instants(column, "Europe/Berlin", local=True)
        assert found.to_pylist() == [utc(text) for text in expected]


@pytest.mark.parametrize(
    ("text", "zone", "before"),
    [
        ("2024-03-31T02:00:00", "Europe/Berlin", "2024-03-31T00:59:59.999999Z"),
        ("2024-03-31T02:59:59.999999", "Europe/Berlin", "2024-03-31T00:59:59.999999Z"),
        ("2024-03-31T03:00:00", "Europe/Berlin", "2024-03-31T01:00:00Z"),
        ("2024-10-06T02:15:00", "Australia/Lord_Howe", "2024-10-05T15:29:59.999999Z"),
        ("2024-03-10T00:00:00", "America/Havana", "2024-03-10T04:59:59.999999Z"),
        ("2024-03-10", "America/Havana", "2024-03-10T05:00:00Z"),
        ("2011-12-30T12:00:00", "Pacific/Apia", "2011-12-30T09:59:59.999999Z"),
    ],
)
def test_a_time_that_clocks_skip(text: str, zone: str, before: str) -> None:
    """It is the last instant before, by itself and in a column; a day begins when it does."""
    assert instant(text, zone) == utc(before)
    assert instants(pa.chunked_array([[text]]), zone).to_pylist() == [utc(before)]


@pytest.mark.parametrize("column", [pa.array([1.5]), pa.array([True]), pa.array([["x"]])])
def test_columns_of_no_times(column: pa.Array) -> None:
    """Other columns are refused by their type, texts by their value."""
    with pytest.raises(CursorError, match=f"expected times, got a column of {column.type}"):
        instants(pa.chunked_array([column]), "UTC")
    with pytest.raises(CursorError, match="expected a time, got 'soon'"):
        instants(pa.chunked_array([["soon"]]), "UTC")


def test_zones() -> None:
    """Whatever the zone of the machine is."""
    assert zone_of("UTC") is UTC
    assert str(zone_of("Europe/Berlin")) == "Europe/Berlin"


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "/etc/localtime", "Europe"])
def test_unknown_zones(name: str) -> None:
    """A zone that is none is an error at once."""
    with pytest.raises(ConfigError, match="zone: expected one such as Europe/Berlin"):
        zone_of(name)
