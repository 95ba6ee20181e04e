"""Points of columns: read in bulk they are what each value is by itself."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks import layouts
from blocks.clocks import placed
from blocks.errors import CursorError
from blocks.instants import instant, instants, zone_of
from blocks.kinds import Dates, Epoch, Integers, Kind, Pattern, Times
from tests.fuzz.texts import damaged

ZONES = ["UTC", "Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Pacific/Apia"]
zones = st.sampled_from(ZONES)
naive = datetime.fromisoformat
# Around changes of clocks, around 1970, and anywhere; before 1900 clocks were of no zone.
moments = st.one_of(
    *(
        st.datetimes(middle - timedelta(hours=30), middle + timedelta(hours=30))
        for middle in (
            *(naive("2024-10-27T01"), naive("2024-03-31T01"), naive("2024-04-06T15")),
            *(naive("1970-01-01"), naive("2011-12-30T10"), naive("2024-03-10T05")),
        )
    ),
    st.datetimes(naive("1900-01-01"), naive("2037-12-30")),
)
# Beyond where bulk begins to pay, by repeating; rows in disorder, and some without a value.
columns = st.lists(moments, min_size=1, max_size=20)
FORMS = [
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%Y/%m/%d",
    "%Y%m%d%H%M%S",
    "%a, %d %b %Y %H:%M:%S GMT",
    "%A %d %B %y, %H:%M",
    "%m/%d/%Y %I:%M %p",
    "%Y-%m-%dT%H:%M:%S.%f",
    "%b %d %H:%M:%S %z %Y",
]

STRINGS = (pa.string(), pa.large_string())
moment = naive("2024-05-01T10:20:30.456789")


def many(values: list[Any], *, nulls: bool = True) -> pa.ChunkedArray:
    """A column of two chunks and more than a thousand rows."""
    rows = values * (1200 // len(values)) + [None] * nulls
    kind = pa.array(rows).type
    return pa.chunked_array([pa.array(rows[7:], kind), pa.array(rows[:7], kind)])


def one_by_one(kind: Kind, column: pa.ChunkedArray) -> list[Any] | None:
    """What `read` makes of each value; `None` if it reads one of them not."""
    known: dict[Any, Any] = {None: None}
    try:
        for value in set(column.to_pylist()) - {None}:
            known[value] = kind.read(value)
    except CursorError:
        return None
    return [known[value] for value in column.to_pylist()]


def in_bulk(kind: Kind, column: pa.ChunkedArray) -> list[Any] | None:
    """What `points` makes of the column; `None` if it refuses it."""
    try:
        found = kind.points(column).to_pylist()
    except CursorError:
        return None
    return list(found)


@given(columns, zones, st.sampled_from(FORMS), st.booleans())
def test_times_in_a_format(times: list[datetime], zone: str, form: str, repeat: bool) -> None:
    """Days, hours that come twice, names, and repetition or not: always what `read` says."""
    kind = Pattern(form, zone=zone)
    texts = [kind.write(moment.replace(tzinfo=UTC)) for moment in times]
    column = many(texts) if repeat else pa.chunked_array([[*texts, None]])
    assert in_bulk(kind, column) == one_by_one(kind, column)


@given(
    columns, zones, st.sampled_from([9, 7, 6, 3, 0]), st.sampled_from(["T", "t", " "]), st.data()
)
def test_texts_of_rfc_3339(
    times: list[datetime], zone: str, digits: int, between: str, data: st.DataObject
) -> None:
    """Any precision, either case, with an offset or without, before 1970 and after."""
    offset = data.draw(st.sampled_from(["Z", "z", "+05:30", "-00:00", ""]))
    kind = Times(zone=zone)
    texts = []
    for moment in times:
        local = moment if offset else moment.replace(tzinfo=UTC).astimezone(zone_of(zone))
        fraction = f".{local.microsecond:06}999"[: digits + 1] if digits else ""
        texts.append(f"{local:%Y-%m-%d}{between}{local:%H:%M:%S}{fraction}{offset}")
    column = many(texts)
    assert in_bulk(kind, column) == one_by_one(kind, column)


@given(columns, zones)
def test_texts_of_days(times: list[datetime], zone: str) -> None:
    """Days, those too that begin at one o'clock."""
    kind = Times(zone=zone)
    column = many([f"{moment:%Y-%m-%d}" for moment in times])
    assert in_bulk(kind, column) == one_by_one(kind, column)


@given(columns, zones, st.sampled_from(["s", "ms", "us", "ns"]), st.booleans())
def test_timestamps_of_clocks(times: list[datetime], zone: str, unit: str, nulls: bool) -> None:
    """Without an offset they are the clocks of the zone, the first time where they come twice."""
    scale = {"s": 10**6, "ms": 1000, "us": 1, "ns": 1}[unit]
    local = [
        moment.replace(tzinfo=UTC).astimezone(zone_of(zone)).replace(tzinfo=None, fold=0)
        for moment in times
    ]
    local = [each - timedelta(microseconds=each.microsecond % scale) for each in local]
    column = many(local, nulls=nulls).cast(pa.timestamp(unit))
    rows = many(local, nulls=nulls).to_pylist()
    expected = [None if each is None else instant(each, zone) for each in rows]
    assert instants(column, zone).to_pylist() == expected


@given(columns, zones, st.booleans())
def test_clocks_are_read_alike(times: list[datetime], zone: str, nulls: bool) -> None:
    """By value and by column, as texts and as timestamps, whether or not they were ever shown."""
    times = [time.replace(microsecond=0) for time in times]
    kind = Pattern("%Y-%m-%d %H:%M:%S", zone=zone)
    rows = many(times, nulls=nulls)
    expected = [None if time is None else instant(time, zone) for time in rows.to_pylist()]
    assert instants(rows, zone).to_pylist() == expected
    texts = many([time.isoformat(" ") for time in times], nulls=nulls)
    for each in (Times(zone=zone), kind):
        assert in_bulk(each, texts) == one_by_one(each, texts) == expected


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
@pytest.mark.parametrize(
    "text",
    [
        *("2024-05-01", "20240501", "1969-12-31", "2024-03-31T02:30:00", "2024-05-01T10:00"),
        *("2024-05-01t10:00:00z", "2024-05-01T10:00:00.123456789+02:00", "2024-05-01T10:00Z"),
        *("1969-12-31T23:59:59.999999999Z", "2024-05-01 10:00:00.5-0930", "2016-12-31T23:59:60Z"),
    ],
)
def test_texts_without_what_is_in_c(text: str, zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing could be compiled they are read as by value, too."""
    monkeypatch.setattr(layouts, "_compiled", None)
    for rows in ([text], [None, text, text], [text] * 2000):
        column = pa.chunked_array([rows], pa.string())
        expected = [None if row is None else instant(row, zone) for row in rows]
        assert instants(column, zone).to_pylist() == expected


@given(columns, zones, st.sampled_from(["earliest", "latest"]))
def test_placed_is_what_arrow_says(times: list[datetime], zone: str, gap: Any) -> None:
    """Cell by cell it says what Arrow does of each time, of those that clocks skip, too."""
    column = many(times).cast(pa.timestamp("us"))
    expected = pc.assume_timezone(column, zone, ambiguous="earliest", nonexistent=gap)
    expected = expected.cast(pa.timestamp("us", "UTC"))
    assert placed(column, zone, gap).to_pylist() == expected.to_pylist()


@pytest.mark.parametrize("gap", ["earliest", "latest"])
@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("Europe/Berlin", naive("2024-10-27T03")),
        ("America/Havana", naive("2024-03-10T00")),
        ("Australia/Lord_Howe", naive("2024-04-07T02")),
        ("Pacific/Apia", naive("2011-12-30T00")),
    ],
)
def test_days_that_end_near_a_change(zone: str, change: datetime, gap: Any) -> None:
    """From any hour before clocks change to any hour after, however few the hours are."""
    steps = [change + timedelta(minutes=number) for number in range(-1500, 1500)]
    for first in range(0, 1500, 300):
        for last in range(1600, 3000, 200):
            column = pa.chunked_array([pa.array(steps[first:last], pa.timestamp("us"))])
            expected = pc.assume_timezone(column, zone, ambiguous="earliest", nonexistent=gap)
            assert placed(column, zone, gap).equals(expected.cast(pa.timestamp("us", "UTC")))


numbers = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2 * 10**9),
    st.floats(allow_nan=True),
    st.floats(16_384, 4e9),
    st.integers(0, 4 * 10**15).map(lambda number: number / 10**6),
)
counts = st.sampled_from([Epoch("s"), Epoch("ms"), Epoch("us"), Integers()])


@given(counts, st.lists(numbers, min_size=1, max_size=4), st.booleans())
def test_numbers(kind: Kind, values: list[Any], floating: bool) -> None:
    """Fractions too, down to the microsecond that the exact number falls in."""
    if floating:
        column = pa.chunked_array([pa.array(map(float, values), pa.float64())])
    else:
        whole = [each for each in values if isinstance(each, int)]
        column = pa.chunked_array([pa.array(whole, pa.int64())])
    assert in_bulk(kind, column) == one_by_one(kind, column)


TEXTS = [
    *("1714557600", "1714557600.25", "-1", "0x10", "0X10", "1e3"),
    *("+5", "007", " 7", "1_0", "", "٣"),
]


@given(counts, st.lists(damaged(TEXTS) | st.sampled_from(TEXTS), min_size=1, max_size=4))
def test_texts_of_numbers(kind: Kind, values: list[str]) -> None:
    """Arrow reads hexadecimal as well, and less of what else Python reads."""
    try:
        column = pa.chunked_array([pa.array(values, pa.string())])
    except UnicodeEncodeError:
        return
    assert in_bulk(kind, column) == one_by_one(kind, column)


STAMPS = ["2024-05-01T10:00:00", "2024-05-01", "2024-05-01 10:00", "2024-05-01t10:00:00.1234567"]


@given(st.lists(damaged(STAMPS) | st.sampled_from(STAMPS), min_size=1, max_size=3), zones)
def test_texts_of_any_form(texts: list[str], zone: str) -> None:
    """Whatever Arrow is asked to read, it says nothing that Python does not."""
    try:
        column = pa.chunked_array([pa.array(texts, pa.string())])
    except UnicodeEncodeError:
        return
    kind = Times(zone=zone)
    assert in_bulk(kind, column) == one_by_one(kind, column)


def test_a_number_of_another_unit() -> None:
    """Milliseconds taken for seconds are beyond all years: an error that says which."""
    with pytest.raises(CursorError, match="number of s since 1970, got 1714557600000"):
        Epoch("s").points(pa.chunked_array([[1714557600, 1714557600000]]))


@pytest.mark.parametrize("number", [-(10**17), -62_135_596_801])
def test_a_number_before_all_years(number: int) -> None:
    """So is one that lies before the year 1, however near to 1970 the others are."""
    with pytest.raises(CursorError, match=f"number of s since 1970, got {number}"):
        Epoch("s").points(pa.chunked_array([[number, 0]]))


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()])
def test_numbers_of_any_width(kind: pa.DataType) -> None:
    """However few bits they come in, they are what they say."""
    column = pa.chunked_array([pa.array([20_000.0, 32_768.0, None]).cast(kind)])
    whole = [datetime(1970, 1, 1, 5, 33, 20, tzinfo=UTC), datetime(1970, 1, 1, 9, 6, 8, tzinfo=UTC)]
    assert Epoch("s").points(column).to_pylist() == [*whole, None]
    assert Integers().points(column).to_pylist() == [20_000, 32_768, None]


def test_nulls_in_front() -> None:
    """How a column is to be read is told by its values, wherever they are."""
    texts = [None] * 2000 + ["2024-05-01t10:00:00.123456789z"]
    found = Times().points(pa.chunked_array([pa.array(texts)]))
    assert found.to_pylist()[-1] == datetime(2024, 5, 1, 10, 0, 0, 123456, tzinfo=UTC)
    assert found.null_count == 2000
    days = Dates().points(pa.chunked_array([pa.array([date(2024, 5, 1), None])]))
    assert days.to_pylist() == [datetime(2024, 5, 1, tzinfo=UTC), None]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Times(zone="Europe/Berlin"), "2024-05-01T10:00"),
        (Dates(zone="Europe/Berlin"), "2024-05-01"),
        (Epoch("ms"), "1714557600123"),
        (Integers(), "9223372036854775807"),
        (Integers(), "9" * 30),
        *((Pattern(form), moment.strftime(form)) for form in FORMS if "%z" not in form),
    ],
)
def test_large_texts_are_texts(kind: Kind, text: str) -> None:
    """Arrow has two types of them, which differ in how much a column may hold."""
    small, large = (pa.chunked_array([pa.array([text, None], type_)]) for type_ in STRINGS)
    assert (
        kind.points(large).to_pylist() == kind.points(small).to_pylist() == [kind.read(text), None]
    )
