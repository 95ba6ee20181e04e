"""Kinds: what an API writes and what we compare are the same, in every direction."""

from __future__ import annotations

import pickle
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import ConfigError, CursorError
from blocks.kinds import (
    Dates,
    Epoch,
    Integers,
    Kind,
    Pattern,
    Texts,
    Times,
    kind_for,
    pack,
    unpack,
)

MINUTE = timedelta(minutes=1)
naive = datetime.fromisoformat
TIMES: list[Kind] = [
    Times(),
    Times(timedelta(seconds=1), zone="America/New_York"),
    Times(MINUTE, zone="Asia/Kathmandu"),
    Times(timedelta(hours=1), zone="Europe/Berlin"),
    Epoch("s"),
    Epoch("ms"),
    Epoch("us"),
    Dates(),
    Dates(zone="America/Sao_Paulo"),
    Dates(zone="America/Havana"),
    Pattern("%Y-%m-%d %H:%M"),
    Pattern("%Y-%m-%d %H:%M", zone="Europe/Berlin"),
    Pattern("%d/%m/%Y %H:%M:%S.%f", zone="Australia/Lord_Howe"),
    Pattern("%d/%m/%Y %H:%M", zone="Australia/Lord_Howe", step=timedelta(hours=1)),
    Pattern("%Y%m%dT%H%M%S%z", zone="Europe/Berlin"),
    Pattern("%Y/%m/%d %I %p", zone="America/New_York"),
    Pattern("%a, %d %b %Y %H:%M:%S GMT"),
]
times = st.datetimes(naive("1975-01-01"), naive("2037-12-30"), timezones=st.just(UTC))
kinds = st.sampled_from(TIMES)


@given(kinds, times)
def test_a_floor_is_written_and_read_back(kind: Kind, moment: datetime) -> None:
    """What the API is told for a time is the last it can be told that is not after it."""
    found = kind.floor(moment)
    assert found <= moment
    assert kind.floor(found) == found
    assert kind.write(moment) == kind.write(found)
    assert kind.read(kind.write(found)) == found
    # A day has up to 25 hours, an hour that clocks show twice two.
    assert moment - found < kind.step + timedelta(hours=2)


@given(kinds, times, times)
def test_floors_keep_the_order(kind: Kind, one: datetime, other: datetime) -> None:
    """A bound never overtakes a later one."""
    early, late = sorted([one, other])
    assert kind.floor(early) <= kind.floor(late)
    soon = early + (late - early) % timedelta(hours=3)
    assert kind.floor(early) <= kind.floor(soon)


@given(kinds, times, st.integers(1, 5))
def test_back(kind: Kind, moment: datetime, steps: int) -> None:
    """So many steps back the API tells the value apart, and `back` undoes itself."""
    bound = kind.floor(moment)
    before = kind.back(bound, steps)
    assert before < bound
    assert kind.write(before) != kind.write(bound)
    if not (isinstance(kind, Dates) and kind.zone != "UTC"):
        assert kind.back(before, -steps) == bound


@given(kinds, times)
def test_python_values_are_read(kind: Kind, moment: datetime) -> None:
    """A datetime of any zone is the instant it is, to the day for dates; so are Arrow's."""
    expected = kind.floor(moment) if isinstance(kind, Dates) else moment
    assert kind.read(moment) == expected
    assert kind.read(moment.astimezone(ZoneInfo("Asia/Tokyo"))) == expected
    if not (isinstance(kind, Pattern) and "%z" not in kind.format):
        column = pa.chunked_array([pa.array([moment, None], pa.timestamp("us", "UTC"))])
        assert kind.points(column).to_pylist() == [moment, None]


@given(kinds, st.lists(times, max_size=4))
def test_columns_as_the_api_writes_them(kind: Kind, moments: list[datetime]) -> None:
    """Points of a column are those of its values."""
    written = [kind.write(moment) for moment in moments]
    column = pa.chunked_array([pa.array([*written, None], None if written else pa.string())])
    found = kind.points(column)
    assert found.type == pa.timestamp("us", "UTC")
    assert found.to_pylist() == [*map(kind.read, written), None]


@given(times)
def test_clocks_that_dlt_took_for_utc(moment: datetime) -> None:
    """dlt makes UTC of texts without an offset; a pattern without one knows better."""
    kind = Pattern("%Y-%m-%dT%H:%M:%S", zone="America/New_York")
    text = kind.write(moment)
    as_utc = pa.array([datetime.fromisoformat(text + "Z")])
    assert kind.points(pa.chunked_array([as_utc])).to_pylist() == [kind.floor(moment)]


@pytest.mark.parametrize(
    ("kind", "value", "micros"),
    [
        (Epoch("s"), 1.75, 1_750_000),
        (Epoch("s"), "1714557600.123456", 1714557600123456),
        (Epoch("s"), Decimal("-0.0000001"), -1),
        (Epoch("ms"), -1, -1000),
        (Epoch("us"), 7, 7),
        (Epoch("s"), "12", 12_000_000),
    ],
)
def test_numbers_since_1970(kind: Kind, value: Any, micros: int) -> None:
    """Fractions and texts are read to the microsecond, downwards, in columns too."""
    expected = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    assert kind.read(value) == expected
    assert kind.points(pa.chunked_array([[value, None]])).to_pylist() == [expected, None]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_days_are_those_of_the_account(zone: str) -> None:
    """A day begins where the account is, and has as many hours as clocks there say."""
    days = Dates(zone=zone)
    day = days.read("2024-03-11")
    assert days.read(date(2024, 3, 11)) == day
    assert day - days.back(day) == timedelta(hours=24 if zone == "UTC" else 23)
    assert days.write(day - timedelta.resolution) == "2024-03-10"
    assert days.points(pa.chunked_array([["2024-03-11"], [None]])).to_pylist() == [day, None]


def test_integers_of_any_writing() -> None:
    """Texts of integers compare as integers, also beyond 64 bits; they are written as numbers."""
    assert [Integers().read(value) for value in (9, "10", 11.0, Decimal(12))] == [9, 10, 11, 12]
    huge = 2**70
    for values in ([9, None], ["9", "10"], [9.0], [Decimal(9), Decimal(huge)], [str(huge), "-1"]):
        column = pa.chunked_array([pa.array(values)])
        expected = [None if value is None else int(value) for value in values]
        assert Integers().points(column).to_pylist() == expected
    column = pa.chunked_array([pa.array([2**63], pa.uint64())])
    assert Integers().points(column).to_pylist() == [2**63]
    assert Integers().points(pa.chunked_array([pa.nulls(1)])).to_pylist() == [None]
    assert Integers().write(Integers().floor(Integers().back(10, 3))) == 7


def test_texts_compare_by_code_point() -> None:
    """In Arrow as in Python; nothing lies a step before one."""
    values = ["a", "Z", "é", "\U0001f600", "\uffff", ""]
    column = pa.chunked_array([[*values, None]])
    assert Texts().points(column).to_pylist() == [*values, None]
    assert Texts().points(pa.chunked_array([pa.nulls(1)])).to_pylist() == [None]
    assert Texts().write(Texts().floor(Texts().read("é"))) == "é"
    with pytest.raises(ConfigError, match="no text 1 before 'é'"):
        Texts().back("é")


OTHERS: list[tuple[Kind, Any]] = [
    *product(TIMES, ["soon", True, None, []]),
    *product([kind for kind in TIMES if not isinstance(kind, Epoch)], [5]),
    *product([Epoch("s")], [float("nan"), float("inf"), 10**20]),
    *product([Integers()], [1.5, "1.5", "x", "", float("nan"), float("inf"), [], None, True]),
    *product([Texts()], [5, None, True]),
]


@pytest.mark.parametrize(("kind", "value"), OTHERS)
def test_values_of_another_kind(kind: Kind, value: Any) -> None:
    """What a value cannot be is refused, with what came."""
    with pytest.raises(CursorError, match="expected"):
        kind.read(value)


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        (Times(), pa.array([5])),
        (Times(), pa.array(["x"])),
        (Dates(), pa.array([5])),
        (Pattern("%Y-%m-%d"), pa.array([5])),
        (Pattern("%Y-%m-%d"), pa.array(["x"])),
        (Epoch("s"), pa.array(["x"])),
        (Epoch("s"), pa.array([2**62])),
        (Integers(), pa.array(["x"])),
        (Integers(), pa.array([str(10**80)])),
        (Texts(), pa.array([5])),
    ],
)
def test_columns_of_another_kind(kind: Kind, column: pa.Array) -> None:
    """So are columns."""
    with pytest.raises(CursorError, match="expected"):
        kind.points(pa.chunked_array([column]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Times(timedelta()), "step: expected a day or an even part of one"),
        (lambda: Times(timedelta(days=2)), "step"),
        (lambda: Times(timedelta(minutes=7)), "step"),
        (lambda: Times(zone="Mars"), "zone"),
        (lambda: Dates(zone="Mars"), "zone"),
        (lambda: Epoch("h"), "unit: expected s, ms or us, got 'h'"),  # type: ignore[arg-type]
        (lambda: Pattern("%Y-%m-%d", zone="Mars"), "zone"),
        (lambda: Pattern("%Y-%m"), "format"),
        (lambda: Pattern("%H:%M"), "format: expected one of times or days"),
        (lambda: Pattern("%Y-%m-%d %I:%M"), "format"),
        (lambda: Pattern("%y-%q"), "format"),
        (lambda: Pattern("%Y-%m-%d %H", step=MINUTE), "step: expected a multiple of 1:00:00"),
        (lambda: kind_for(1.5), "start: expected a time, a date, an integer or a text"),
        (lambda: kind_for(True), "start"),
        (lambda: kind_for(None), "start"),
    ],
)
def test_mistakes(make: Any, message: str) -> None:
    """A kind that cannot work is refused when it is made."""
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        ("2024-01-01T00:00:00Z", Times()),
        ("2024-01-01T00:00:00.123+02:00", Times()),
        (datetime(2024, 1, 1, tzinfo=UTC), Times()),
        ("2024-01-01", Dates()),
        (date(2024, 1, 1), Dates()),
        (0, Integers()),
        ("0", Texts()),
        ("", Texts()),
        ("01HV5K3G7Q", Texts()),
    ],
)
def test_the_kind_of_a_start(start: Any, kind: Kind) -> None:
    """It is what the start looks like."""
    assert kind_for(start) == kind


def test_steps_of_patterns() -> None:
    """A pattern is as fine as its format, or coarser if said."""
    steps = [
        Pattern(form).step
        for form in ("%Y-%m-%d", "%Y-%m-%d %H", "%d %b %Y %H:%M:%S", "%Y-%j %H:%M:%S.%f")
    ]
    assert steps == [
        timedelta(days=1),
        timedelta(hours=1),
        timedelta(seconds=1),
        timedelta.resolution,
    ]
    minutes = Pattern("%Y-%m-%d %H:%M:%S", step=MINUTE)
    assert minutes.write(datetime(2024, 5, 1, 10, 30, 59, tzinfo=UTC)) == "2024-05-01 10:30:00"


def test_an_hour_that_clocks_show_twice() -> None:
    """No bound is in it, as the API could not tell which pass is meant; rows of both come after."""
    kind = Pattern("%Y-%m-%d %H:%M", zone="Europe/Berlin")
    first, second = (datetime(2024, 10, 27, hour, 30, tzinfo=UTC) for hour in (0, 1))
    floors = kind.floor(first), kind.floor(second)
    assert [kind.write(floor) for floor in floors] == ["2024-10-27 02:00"] * 2
    after = datetime(2024, 10, 27, 2, tzinfo=UTC)
    assert kind.floor(after) == after
    assert kind.write(kind.back(after)) == "2024-10-27 02:59"
    assert kind.read("2024-10-27 02:10") >= kind.floor(second)
    written = Pattern("%Y-%m-%d %H:%M %z", zone="Europe/Berlin")
    assert [written.write(first), written.write(second)] == [
        "2024-10-27 02:30 +0200",
        "2024-10-27 02:30 +0100",
    ]


CLOCKS = [
    Pattern(form, zone=zone)
    for form in ("%Y-%m-%d %H:%M", "%Y-%m-%d %H", "%Y-%m-%d")
    for zone in ("Europe/Berlin", "Australia/Lord_Howe", "America/Havana", "Asia/Beirut")
]
# Around nights in which clocks of these zones go forward, and back.
nights = st.builds(
    lambda day, seconds: naive(day) + timedelta(seconds=seconds),
    st.sampled_from(["2024-03-31", "2024-10-27", "2024-10-06", "2024-04-07", "2024-03-10"]),
    st.integers(-86400, 2 * 86400),
)


@given(st.sampled_from(CLOCKS), nights, nights)
def test_rows_are_on_the_side_of_a_bound_where_the_api_has_them(
    kind: Pattern, row: datetime, border: datetime
) -> None:
    """Which compares what clocks show; so do rows of times that were never shown, or shown twice.

    Of two ranges that meet at a bound, the one that is given a row is the one that takes it.
    """
    text = row.strftime(kind.format)
    bound = kind.floor(border.replace(tzinfo=UTC))
    assert (kind.read(text) < bound) == (text < kind.write(bound))
    assert kind.points(pa.chunked_array([[text]])).to_pylist() == [kind.read(text)]


@given(st.one_of(times, st.integers(), st.text()))
def test_points_are_kept_as_json(point: Any) -> None:
    """What is packed is a text or an integer, and comes back as the point it was."""
    kind = kind_for(point) if not isinstance(point, str) else Texts()
    kept = pack(point)
    assert type(kept) in (str, int)
    assert unpack(kept, kind) == point
    if not isinstance(point, str):
        assert unpack(kept) == point


def test_state_of_another_kind() -> None:
    """Any kind of times reads what another kept; numbers become an epoch; else it is refused."""
    moment = datetime(2024, 5, 1, 10, 0, 30, tzinfo=UTC)
    for kind in TIMES:
        assert unpack(pack(moment), kind) == moment
    assert unpack(60, Epoch("s")).minute == 1
    for kept, kind in ((5, Times()), ("x", Times()), ("x", Integers()), (5, Texts())):
        with pytest.raises(CursorError, match="expected"):
            unpack(kept, kind)


@pytest.mark.parametrize("kind", [*TIMES, Integers(unique=True), Texts(unique=True)])
def test_kinds_are_values(kind: Kind) -> None:
    """They compare, hash, pickle, and print as they are written."""
    assert pickle.loads(pickle.dumps(kind)) == kind
    assert len({kind, pickle.loads(pickle.dumps(kind))}) == 1
    assert repr(kind).startswith(f"{type(kind).__name__}(")
    assert kind.unique is isinstance(kind, Integers | Texts)
