"""Layouts: what they read of a column is what `strptime` reads, and they read the common forms."""

from __future__ import annotations

import locale
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import CursorError
from blocks.kinds import Pattern, Times
from blocks.layouts import CLOCK, DAY, INSTANT, Layout, layout
from tests.fuzz.texts import damaged

try:
    compiled: Any = import_module("blocks._layouts")
except ImportError:
    compiled = None
needs_c = pytest.mark.skipif(compiled is None, reason="no C compiler where this was installed")

FORMS = [
    *("%d.%m.%Y %H:%M:%S", "%Y%m%d%H%M%S", "%a, %d %b %Y %H:%M:%S GMT", "%m/%d/%y %I:%M %p"),
    *(
        "%Y-%m-%dT%H:%M:%S.%f",
        "%Y%m%dT%H%M%S%z",
        "%Y-%m-%d %H:%M:%S.%f%z",
        "%d%m%y",
        "%M:%H %d%b%Y",
    ),
    *("%%%Y%%-%m-%d", "le %d/%m/%Y à %Hh%M", "%Y %m %d 0%H%M%S%f", "%S%M%H%d%m%Y"),
]
naive = datetime.fromisoformat
times = st.datetimes(naive("1000-01-01"), naive("9999-12-30"), timezones=st.just(UTC))


def column(texts: list[Any]) -> pa.ChunkedArray:
    """Two chunks, each a slice of more."""
    rows = pa.array([*texts, None, *texts], pa.string())
    half = len(texts) // 2
    return pa.chunked_array([rows[:half], rows[half : len(texts)]])


def parsed(text: str | None, form: str) -> datetime | None:
    """As Python does."""
    return None if text is None else datetime.strptime(text, form)  # noqa: DTZ007


@needs_c
@given(
    st.sampled_from(FORMS),
    st.lists(times | st.none(), max_size=12),
    st.sampled_from([pa.string(), pa.large_string()]),
)
def test_they_read_what_is_written(form: str, moments: list[Any], kind: pa.DataType) -> None:
    """All of it, wherever the nulls are, in texts of either width."""
    texts = [None if moment is None else moment.strftime(form) for moment in moments]
    known = layout(form)
    assert known is not None
    found = known.read(column(texts).cast(kind))
    assert found is not None
    assert found.to_pylist() == [parsed(text, form) for text in texts]


@given(st.data())
def test_they_read_what_python_reads(data: st.DataObject) -> None:
    """Or nothing: never another time, and none where there is none."""
    form = data.draw(st.sampled_from(FORMS))
    samples = [datetime(2024, 2, day, 12, 3, 59, 5, UTC).strftime(form) for day in (1, 29)]
    text = data.draw(damaged(samples))
    try:
        several = column([samples[0], text])
    except UnicodeEncodeError:
        return
    known = layout(form)
    assert known is not None
    if (found := known.read(several)) is not None:
        assert found.to_pylist() == [parsed(samples[0], form), parsed(text, form)]


DIGITS = st.text("0123456789", min_size=14, max_size=14)


@given(DIGITS | st.builds(lambda text: text[:4] + "0229" + text[8:], DIGITS))
def test_digits_that_are_no_time(text: str) -> None:
    """Months, days, leap years and hours are looked at, each in any row."""
    form = "%Y%m%d%H%M%S"
    known = layout(form)
    assert known is not None
    try:
        expected = parsed(text, form)
    except ValueError:
        assert known.read(column(["20000101000000", text])) is None
        return
    if (found := known.read(column(["20000101000000", text]))) is not None:
        assert found[1].as_py() == expected


@given(st.sampled_from(FORMS), st.lists(times, min_size=1, max_size=5), st.booleans())
def test_one_odd_text_changes_no_other(form: str, moments: list[datetime], local: bool) -> None:
    """With it the column is read in the slow way, and to the same points."""
    kind = Pattern(form, zone="Europe/Berlin" if local else "UTC")
    moments = [
        moment.replace(year=1970 + moment.year % 60, day=1 + moment.day % 28) for moment in moments
    ]
    texts = [kind.write(moment) for moment in moments]
    odd = kind.write(datetime(2024, 5, 7, 10, 8, 9, 7, UTC))
    for more in (odd.swapcase(), odd.replace("07", "7", 1)):
        try:
            kind.read(more)
        except CursorError:
            continue
        slow = kind.points(column([*texts, more])).to_pylist()[: len(texts)]
        assert kind.points(column(texts)).to_pylist() == slow == [kind.read(text) for text in texts]


@needs_c
@pytest.mark.parametrize(
    ("form", "texts"),
    [
        (
            INSTANT,
            [
                "2024-05-01T10:00:00Z",
                "2024-05-01t10:00:00.5z",
                "2024-05-01 10:00:00.123456789+05:30",
            ],
        ),
        (
            INSTANT,
            ["2024-05-01T10:00:00-0030", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z"],
        ),
        (INSTANT, ["2024-05-01T10:00:00." + "0" * 80 + "Z"]),
        (CLOCK, ["2024-05-01T10:00:00", "2024-05-01 10:00:00.5", None]),
        (DAY, ["2024-02-29", "0001-01-01"]),
    ],
)
def test_forms_of_rfc_3339(form: Layout, texts: list[str]) -> None:
    """Any precision, either case, any offset."""
    kind = Times()
    found = form.read(column(texts))
    assert found is not None
    assert [each and each.replace(tzinfo=UTC) for each in found.to_pylist()] == [
        text and kind.read(text) for text in texts
    ]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (INSTANT, "2024-05-01T10:00:00"),
        (INSTANT, "2024-05-01T10:00:00+24:00"),
        (INSTANT, "2024-05-01T10:00:00+05:60"),
        (INSTANT, "2024-05-01T10:00:00+05"),
        (INSTANT, "2024-05-01T10:00:00+05-30"),
        (INSTANT, "2024-05-01T10:00:00 05:30"),
        (INSTANT, "2024-05-01T10:00:00X"),
        (INSTANT, "2024-05-01T10:00:00.Z"),
        (INSTANT, "2024-05-01T10:00:60Z"),
        (INSTANT, "2024-05-01\0" + "10:00:00Z"),
        (INSTANT, "0001-01-01T00:00:00+00:01"),
        (INSTANT, "9999-12-31T23:59:59-00:01"),
        (CLOCK, "2024-05-01T10:00:00Z"),
        (CLOCK, "2024-05-01T10:00:00."),
        (DAY, "2024-05-0"),
        (DAY, "2023-02-29"),
        (DAY, "2024-13-01"),
        (DAY, "2024-01-33"),
        (DAY, "0000-01-01"),
        (DAY, "2024-05-01 "),
        (DAY, "٢٠٢٤-05-01"),
    ],
)
def test_other_forms_are_left_to_others(form: Layout, text: str) -> None:
    """Whether or not they are times."""
    assert form.read(column(["2024-05-01", text])) is None
    assert form.read(pa.chunked_array([[text]])) is None


@pytest.mark.parametrize(
    "form",
    [
        "%Y-%j",
        "%Y-%m",
        "%Y-%m-%d %p",
        "%Y-%m-%d %I",
        "%Y %y-%m-%d",
        "%Y-%m-%d %",
        "%A %d %B %Y",
        "%z %Y%m%d",
        "%f %Y%m%d",
        "%Y%m%d" + "x" * 60,
        "%Y-%m-%d %Z",
        "%Y%m%d%-H",
    ],
)
def test_formats_of_another_length_or_other_parts(form: str) -> None:
    """They have no layout."""
    assert layout(form) is None


def test_names_are_those_of_the_language() -> None:
    """Of the one at hand when it is asked, as `strptime` has it."""
    before = locale.setlocale(locale.LC_TIME)
    for language in ("C", "de_DE.UTF-8", "fr_FR.UTF-8", "ja_JP.UTF-8"):
        try:
            locale.setlocale(locale.LC_TIME, language)
        except locale.Error:
            continue
        try:
            text = datetime(2024, 5, 1, tzinfo=UTC).strftime("%d %b %Y")
            known = layout("%d %b %Y")
            found = None if known is None else known.read(pa.chunked_array([[text]]))
            assert found is None or found.to_pylist() == [parsed(text, "%d %b %Y")]
        finally:
            locale.setlocale(locale.LC_TIME, before)


@needs_c
def test_a_module_used_otherwise() -> None:
    """It refuses what would have it read beyond a buffer."""
    names = ((), (), ())
    with pytest.raises(ValueError, match="an offset for each text"):
        compiled.clocks(bytes(8), b"", 0, 2, False, b"00", b"dd", "", names)
    with pytest.raises(ValueError, match="a mark for each byte"):
        compiled.clocks(bytes(8), b"", 0, 1, False, b"00", b"d", "", names)
    with pytest.raises(ValueError, match="a mark for each byte"):
        compiled.clocks(bytes(8), b"", 0, 1, False, bytes(65), bytes(65), "", names)
    with pytest.raises(ValueError, match="a mark for each byte"):
        compiled.clocks(bytes(8), b"", 0, 1, False, b"0", b"\xff", "", names)
    for wrong in (((),), ((), (), [b"AM"]), ((b"May",), (), ()), ((), ("Mon",), ())):
        with pytest.raises(TypeError, match="three tuples of bytes"):
            compiled.clocks(bytes(8), b"", 0, 1, False, b"00", b"bb", "", wrong)
    offsets = pa.array([0, 99], pa.int32()).buffers()[1]
    assert compiled.clocks(offsets, b"24", 0, 1, False, b"00", b"dd", "", names) is None
