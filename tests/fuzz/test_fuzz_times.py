"""No text makes a kind of times or numbers fail, hang, or lead a lower bound past a row."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import BlocksError, ConfigError, CursorError
from blocks.instants import instant, instants
from blocks.kinds import Dates, Epoch, Integers, Kind, Pattern, Texts, Times
from blocks.kinds.kind import bound, kind_for, pack, unpack
from tests.fuzz.texts import damaged

STAMPS = [
    "2024-05-01T10:00:00Z",
    "2024-05-01t10:00:00.123456789+05:30",
    "2016-12-31T23:59:60Z",
    "2024-05-01 10:00:00,5-0800",
    "2024-W18-3",
    "2024-05-01",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59.999999-12:00",
]
NUMBERS = [
    "1714557600",
    "1714557600.25",
    "-1",
    "1e9",
    "1E+999999999",
    "1e-999999999",
    "NaN",
    "sNaN",
]
KINDS: list[Kind] = [
    *(Times(), Times(timedelta(minutes=1), zone="Asia/Kolkata"), Times(zone="America/New_York")),
    *(Dates(), Dates(zone="America/New_York"), Dates(zone="Pacific/Kiritimati")),
    *(Epoch("s"), Epoch("ms"), Epoch("us"), Integers(), Texts()),
    *(Pattern("%Y-%m-%d %H:%M", zone="Europe/Berlin"), Pattern("%Y-%m-%dT%H:%M:%S%z")),
]
kinds = st.sampled_from(KINDS)
values = st.one_of(
    damaged(STAMPS + NUMBERS),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.decimals(),
    st.datetimes(timezones=st.none() | st.just(UTC)),
    st.dates(),
    st.sampled_from([10**400, -(10**400), [], {}, b"1"]),
)


@given(kind=kinds, value=values)
def test_a_value_is_a_point_or_a_cursor_error(kind: Kind, value: object) -> None:
    """And the floor of a point is a point not after it, which is its own floor."""
    try:
        point = kind.read(value)
        floor = kind.floor(point)
    except CursorError:
        return
    assert floor <= point
    assert kind.floor(floor) == floor
    assert unpack(pack(point), kind) == point


@given(kind=kinds, value=values)
def test_what_is_written_is_read(kind: Kind, value: object) -> None:
    """The API is told the floor, and nothing else."""
    try:
        floor = kind.floor(kind.read(value))
        written = kind.write(floor)
    except CursorError:
        return
    if isinstance(kind, Pattern) and floor.year < 1001:  # %Y is as the platform's C has it
        return
    assert kind.read(written) == floor
    assert bound(written, kind) == floor


@given(text=damaged(STAMPS))
def test_a_text_is_the_instant_that_python_reads(text: str) -> None:
    """Where Python reads one: its digits after the sixth are cut off, too."""
    try:
        expected = datetime.fromisoformat(text)
    except ValueError:
        return
    try:
        found = instant(text, "UTC")
    except CursorError:
        with pytest.raises(OverflowError):
            expected.replace(tzinfo=expected.tzinfo or UTC).astimezone(UTC)
        return
    assert found == expected.replace(tzinfo=expected.tzinfo or UTC)


@given(texts=st.lists(damaged(STAMPS[:6]), min_size=1, max_size=3))
def test_a_column_holds_what_its_texts_say_one_by_one(texts: list[str]) -> None:
    """Arrow's reader is asked first, but says nothing that the one for single texts does not."""
    try:
        column = pa.chunked_array([pa.array(texts, pa.string())])
    except UnicodeEncodeError:
        return
    try:
        expected = [instant(text, "UTC") for text in texts]
    except CursorError:
        expected = []
    try:
        found = instants(column, "UTC").to_pylist()
    except CursorError:
        found = []
    assert found == expected


@given(value=values)
def test_a_start_is_of_a_kind_or_a_config_error(value: object) -> None:
    """And what looks like times can be read as such."""
    try:
        kind = kind_for(value)
    except ConfigError:
        return
    with suppress(CursorError):  # of the year 0
        kind.floor(kind.read(value))


@given(kept=damaged(STAMPS + NUMBERS) | st.integers(), kind=kinds)
def test_state_is_a_point_or_a_typed_error(kept: str | int, kind: Kind) -> None:
    """Whoever edited it."""
    for asked in (kind, None):
        with suppress(BlocksError):
            unpack(kept, asked)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "text",
    [
        "9" * 2**18,
        "1e999999999",
        "1e-999999999",
        "-1E+99999999",
        "0." + "0" * 2**18 + "1",
        "2024-05-01T10:00:00." + "9" * 2**18,
        " " * 2**18,
        ":60" * 2**16,
        "2024-05-01" * 2**14,
    ],
)
def test_a_hostile_number_is_refused_at_once(kind: Kind, text: str) -> None:
    """A few letters may stand for a number of a billion digits: it is never made."""
    with suppress(CursorError):
        kind.read(text)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "value", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", date.min, date.max]
)
def test_a_zero_time_is_a_time_or_a_cursor_error(kind: Kind, value: object) -> None:
    """As .NET and Go write "never", in zones where it is of the year 0 or 10000, too."""
    with suppress(CursorError):
        kind.write(kind.floor(kind.read(value)))
