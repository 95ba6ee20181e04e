"""What is done stays done, what is not stays a gap, and nothing is read twice but the lookback."""

from __future__ import annotations

import json
import os
import pickle
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from blocks.calendars import Every
from blocks.errors import ConfigError, CursorError
from blocks.intervals import Interval, Intervals, unread
from blocks.kinds import Dates, Epoch, Integers, Kind, Pattern, Texts, Times

DAY = timedelta(days=1)
BERLIN, LORD_HOWE, SANTIAGO = "Europe/Berlin", "Australia/Lord_Howe", "America/Santiago"

KINDS: list[Kind] = [
    Times(),
    Times(timedelta(seconds=1), zone=BERLIN),
    Times(timedelta(hours=1), zone=LORD_HOWE),  # clocks change by half an hour
    Dates(),
    Dates(zone=SANTIAGO),  # clocks change at midnight
    Epoch("s"),
    Pattern("%Y-%m-%d %H:%M", zone=BERLIN),
    Integers(),
]
EVERY: list[Every] = ["day", "week", "month", "quarter", "year", DAY, 7 * DAY, 36.5 * DAY]
INSTANTS = st.integers(1_550_000_000, 1_750_000_000).map(lambda s: datetime.fromtimestamp(s, UTC))


def utc(*numbers: int) -> datetime:
    """An instant."""
    return datetime(*numbers, tzinfo=UTC)  # type: ignore[arg-type,misc]


def texts(intervals: list[Interval]) -> list[str]:
    """As they print."""
    return [str(interval) for interval in intervals]


@st.composite
def ranges(draw: st.DrawFn) -> tuple[Kind, Any, Any]:
    """A kind and two of its points in order."""
    kind = draw(st.sampled_from(KINDS))
    points = st.integers(-1000, 10**9) if isinstance(kind.step, int) else INSTANTS
    start, end = sorted(kind.floor(point) for point in (draw(points), draw(points)))
    return kind, start, end if end > start else kind.floor(kind.back(start, -3))


def test_bounds_are_those_of_the_api() -> None:
    """Each kind writes the four bounds, a step apart where the API's are on the other side."""
    start, end = utc(2024, 3, 30, 23), utc(2024, 3, 31, 22)  # a day of 23 hours
    day = Interval(start, end, Dates(zone=BERLIN))
    assert (day.since, day.after, day.until, day.through) == (
        *("2024-03-31", "2024-03-30", "2024-04-01", "2024-03-31"),
    )
    seconds = Interval(start, end, Epoch("s"))
    assert (seconds.since, seconds.after) == (1711839600, 1711839599)
    assert (seconds.until, seconds.through) == (1711922400, 1711922399)
    minutes = Interval(start, end, Pattern("%d.%m.%Y %H:%M", zone=BERLIN))
    assert (minutes.since, minutes.through) == ("31.03.2024 00:00", "31.03.2024 23:59")
    ids = Interval(0, 100, Integers())
    assert (ids.since, ids.after, ids.until, ids.through) == (0, -1, 100, 99)
    assert (day.length, ids.length) == (timedelta(hours=23), 100)
    assert str(Interval(start, end)) == "2024-03-30T23:00:00Z to 2024-03-31T22:00:00Z"


@given(ranges())
def test_intervals_are_plain_values(found: tuple[Kind, Any, Any]) -> None:
    """They compare, hash and pickle."""
    kind, start, end = found
    interval = Interval(start, end, kind)
    restored = pickle.loads(pickle.dumps(interval))
    assert restored == interval
    assert {restored: 1}[interval] == 1


@pytest.mark.parametrize("bounds", [(1, 1), (2, 1)])
def test_an_interval_has_a_length(bounds: tuple[int, int]) -> None:
    """Its end is after its start."""
    with pytest.raises(ConfigError, match="expected an end after the start"):
        Interval(*bounds, Integers())


def test_bounds_stand_where_the_api_can_be_told() -> None:
    """A time of the day is no bound for an API that knows days."""
    with pytest.raises(ConfigError, match="expected bounds in steps of Dates"):
        Interval(utc(2024, 1, 1), utc(2024, 1, 2, 12), Dates())


@given(ranges())
def test_halves_make_up_the_whole(found: tuple[Kind, Any, Any]) -> None:
    """Two that touch, or none where there is only one step; halved on and on, it ends."""
    kind, start, end = found
    interval = Interval(start, end, kind)
    for _ in range(100):
        halves = interval.halves()
        if not halves:
            break
        first, second = halves
        assert (first.start, first.end, second.end) == (interval.start, second.start, interval.end)
        interval = second if kind.back(second.start, -1) < second.end else first
    assert kind.floor(kind.back(interval.end)) == interval.start


@given(ranges(), st.sampled_from(EVERY))
def test_windows_tile_the_gaps(found: tuple[Kind, Any, Any], every: Every) -> None:
    """The windows of a gap touch, in order, from its start to its end; inner bounds are aligned."""
    kind, start, end = found
    if isinstance(kind.step, int):
        every, end = 1000, min(end, start + 100_000)
    state: dict[str, Any] = {}
    windows = Intervals("x", start=start, end=end, state=state, kind=kind).todo(every)
    assert (windows[0].start, windows[-1].end) == (start, end)
    assert all(left.end == right.start for left, right in pairwise(windows))
    zone = ZoneInfo(getattr(kind, "zone", "UTC"))
    for window in windows[1:]:
        if isinstance(every, str):
            begin = window.start.astimezone(zone)
            day = begin.date()
            assert (begin - timedelta(microseconds=1)).astimezone(zone) <= begin
            assert (window.start - timedelta(hours=2)).astimezone(zone).date() < day
            assert every != "week" or day.weekday() == 0
            assert every not in {"month", "quarter", "year"} or day.day == 1
            assert every != "quarter" or day.month in {1, 4, 7, 10}
            assert every != "year" or day.month == 1
        elif isinstance(every, timedelta):
            assert window.length <= every + timedelta(hours=1)
        else:
            assert window.length <= every


def test_calendars_are_those_of_the_account() -> None:
    """Months begin at midnight of the zone, and have an hour less or more where clocks change."""
    calls = Intervals("c", start="2024-02-10", end="2024-05-02", state={}, kind=Dates(zone=BERLIN))
    assert texts(calls.todo("month")) == [
        "2024-02-10 to 2024-03-01",
        "2024-03-01 to 2024-04-01",
        "2024-04-01 to 2024-05-01",
        "2024-05-01 to 2024-05-02",
    ]
    march = calls.todo("month")[1]
    assert march.start == utc(2024, 2, 29, 23)
    assert march.length == timedelta(days=31, hours=-1)


def test_whole_days_are_those_of_the_zone() -> None:
    """Windows of days keep to the time of the clocks; hours are hours."""
    times = Times(zone=BERLIN)
    start, end = "2024-03-30T12:00:00", "2024-04-01T12:00:00"
    calls = Intervals("calls", start=start, end=end, state={}, kind=times)
    assert [window.length for window in calls.todo(DAY)] == [timedelta(hours=23), DAY]
    lengths = [window.length for window in calls.todo(timedelta(hours=18))]
    assert lengths == [timedelta(hours=18), timedelta(hours=18), timedelta(hours=11)]


def test_midnight_that_never_was() -> None:
    """Where clocks jump over midnight, the day begins where they land."""
    calls = Intervals(
        "calls", start="2024-09-07", end="2024-09-09", state={}, kind=Dates(zone=SANTIAGO)
    )
    assert [window.length for window in calls.todo("day")] == [DAY, timedelta(hours=23)]


def test_an_hour_shown_twice_is_not_cut() -> None:
    """Clocks that go back show an hour twice: no bound that they write stands for two instants."""
    kind = Pattern("%Y-%m-%d %H:%M", zone=BERLIN)
    start, end = "2024-10-27 01:00", "2024-10-27 04:00"
    windows = Intervals("c", start=start, end=end, state={}, kind=kind).todo(timedelta(minutes=30))
    written = [window.since for window in windows]
    assert len(set(written)) == len(written)
    assert [left.end for left in windows[:-1]] == [right.start for right in windows[1:]]


def test_touching_stretches_are_one() -> None:
    """However many windows are added, in whatever order, the state keeps the holes only."""
    state: dict[str, Any] = {}
    ids = Intervals("ids", start=0, end=1000, state=state)
    windows = ids.todo(10)
    for window in [*windows[50:], *windows[:49]]:
        ids.add(window)
    assert state["intervals"]["ids"]["done"] == [[0, 490], [500, 1000]]
    ids.add(windows[0])
    assert texts(ids.done) == ["0 to 490", "500 to 1000"]
    assert texts(ids.gaps()) == ["490 to 500"]


def test_state_is_json_and_outlives_the_run() -> None:
    """What is kept goes through JSON; another run goes on from it, whatever else is there."""
    state: dict[str, Any] = {"cursors": {"id": 7}}
    first = Intervals("calls", start="2024-01-01", end="2024-01-05", state=state)
    first.add(first.todo("day")[1])
    state = json.loads(json.dumps(state))
    assert state["cursors"] == {"id": 7}
    second = Intervals("calls", start="2024-01-01", end="2024-01-05", state=state)
    assert texts(second.gaps()) == ["2024-01-01 to 2024-01-02", "2024-01-03 to 2024-01-05"]


def test_looking_changes_nothing() -> None:
    """The state is written when windows are asked for or added, not before."""
    state: dict[str, Any] = {}
    calls = Intervals("calls", start=0, end=9, state=state)
    assert (texts(calls.gaps()), calls.done, state) == (["0 to 9"], [], {})
    assert repr(calls) == "Intervals('calls', start=0, end=9)"


def test_the_range_may_grow_at_both_ends() -> None:
    """An earlier start and a later end open gaps there; a later start closes none of its own."""
    state: dict[str, Any] = {}
    ids = Intervals("ids", start=100, end=200, state=state)
    ids.add(ids.todo()[0])
    wider = Intervals("ids", start=50, end=250, state=state)
    assert texts(wider.gaps()) == ["50 to 100", "200 to 250"]
    assert Intervals("ids", start=150, end=200, state=state).gaps() == []
    assert Intervals("ids", start=300, end=200, state=state).todo(10) == []


def test_lookback_is_counted_from_the_end_of_the_run_before() -> None:
    """What had not settled when it was read is read again, however late the next run comes."""
    state: dict[str, Any] = {}
    first = Intervals("calls", start="2024-01-01", end="2024-01-11", state=state, lookback=3 * DAY)
    first.add(first.todo()[0])
    assert first.gaps() == []
    late = Intervals("calls", start="2024-01-01", end="2024-01-31", state=state, lookback=3 * DAY)
    assert texts(late.todo()) == ["2024-01-08 to 2024-01-31"]
    # Had in part: the part that failed is kept as a gap, also if it was read once before.
    late.add(Interval(utc(2024, 1, 10), utc(2024, 1, 31), Dates()))
    third = Intervals("calls", start="2024-01-01", end="2024-02-05", state=state, lookback=3 * DAY)
    assert texts(third.todo()) == ["2024-01-08 to 2024-01-10", "2024-01-28 to 2024-02-05"]


def test_lookback_is_as_in_the_run_at_hand() -> None:
    """A longer one reads more again, none nothing."""
    state: dict[str, Any] = {}
    ids = Intervals("ids", start=0, end=100, state=state, lookback=5)
    ids.add(ids.todo()[0])
    for lookback, expected in ((None, []), (0, []), (5, ["95 to 100"]), (20, ["80 to 100"])):
        again = Intervals("ids", start=0, end=100, state=state, lookback=lookback)
        assert texts(again.gaps()) == expected


def test_a_backfill_does_not_move_the_lookback() -> None:
    """An end before that of an earlier run fills gaps, and settles nothing anew."""
    state: dict[str, Any] = {}
    new = Intervals("ids", start=500, end=1000, state=state, lookback=10)
    new.add(new.todo()[0])
    old = Intervals("ids", start=0, end=500, state=state, lookback=10)
    assert texts(old.todo()) == ["0 to 500"]
    old.add(old.gaps()[0])
    again = Intervals("ids", start=0, end=1000, state=state, lookback=10)
    assert texts(again.gaps()) == ["990 to 1000"]


def test_a_coarser_kind_reads_too_much_rather_than_too_little() -> None:
    """Done stretches are rounded inwards to what the kind of this run can ask for."""
    state: dict[str, Any] = {}
    start, end = "2024-01-01T06:00:00Z", "2024-01-05T06:00:00Z"
    hours = Intervals("calls", start=start, end=end, state=state)
    for gap in hours.todo(timedelta(hours=6))[:2] + hours.todo(timedelta(hours=6))[5:]:
        hours.add(gap)
    days = Intervals("calls", start="2024-01-01", end="2024-01-06", state=state)
    assert texts(days.done) == ["2024-01-03 to 2024-01-05"]
    assert texts(days.gaps()) == ["2024-01-01 to 2024-01-03", "2024-01-05 to 2024-01-06"]


@pytest.mark.parametrize("start", [0, "2024-01-01"])
def test_another_kind_of_values_is_refused(start: Any) -> None:
    """A state of times is not continued with numbers, nor the other way round."""
    state: dict[str, Any] = {}
    ends = {0: 9, "2024-01-01": "2024-02-01"}
    Intervals("calls", start=start, end=ends.pop(start), state=state).todo()
    ((other, end),) = ends.items()
    with pytest.raises(CursorError, match="expected"):
        Intervals("calls", start=other, end=end, state=state)


@pytest.mark.parametrize(
    ("every", "start", "end"),
    [
        (timedelta(hours=1), "2024-01-01", "2024-02-01"),  # the API knows days
        (-DAY, "2024-01-01", "2024-02-01"),
        (7, "2024-01-01", "2024-02-01"),
        ("fortnight", "2024-01-01", "2024-02-01"),
        (0, 0, 9),
        (True, 0, 9),
        (DAY, 0, 9),
        ("day", 0, 9),
    ],
)
def test_windows_that_cannot_be(every: Any, start: Any, end: Any) -> None:
    """Windows shorter than a step, or not of the range's kind, are refused."""
    calls = Intervals("calls", start=start, end=end, state={})
    with pytest.raises(ConfigError, match="windows"):
        calls.todo(every)


def test_ranges_that_cannot_be() -> None:
    """Texts have no length; a lookback is one of the range's kind."""
    with pytest.raises(ConfigError, match="expected times or integers"):
        Intervals("calls", start="a", end="z", state={}, kind=Texts())
    with pytest.raises(ConfigError, match="lookback of intervals calls: expected an integer"):
        Intervals("calls", start=0, end=9, state={}, lookback=DAY)


@pytest.mark.parametrize("bounds", [(-1, 5), (5, 11)])
def test_nothing_is_done_outside_of_the_range(bounds: tuple[int, int]) -> None:
    """What was not asked for is not taken for done."""
    ids = Intervals("ids", start=0, end=10, state={})
    with pytest.raises(ConfigError, match="expected an interval within"):
        ids.add(Interval(*bounds, Integers()))


def test_unread_tells_of_the_last_run() -> None:
    """From the state alone: what was asked for and was not had, by name."""
    state: dict[str, Any] = {}
    assert unread(state) == {}
    calls = Intervals("calls", start="2024-01-01", end="2024-01-04", state=state)
    windows = calls.todo("day")
    calls.add(windows[0])
    ids = Intervals("ids", start=0, end=9, state=state)
    ids.todo()
    assert {name: texts(gaps) for name, gaps in unread(state).items()} == {
        "calls": ["2024-01-02T00:00:00Z to 2024-01-04T00:00:00Z"],
        "ids": ["0 to 9"],
    }
    for window in windows[1:]:
        calls.add(window)
    assert list(unread(state)) == ["ids"]


class Runs(RuleBasedStateMachine):
    """Runs over a range that grows, of which some fail, some crash, and some are cut short.

    The model: the units of the range that were loaded, and need not be loaded again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.committed = "{}"
        self.start = self.end = 0
        self.lookback = 0
        self.settled: set[int] = set()

    @initialize(lookback=st.integers(0, 30), start=st.integers(-5, 5))
    def begin(self, lookback: int, start: int) -> None:
        """A source is set up."""
        self.lookback = lookback
        self.start, self.end = start, start

    @rule(more=st.integers(0, 40), every=st.integers(1, 25), data=st.data())
    def run(self, more: int, every: int, data: st.DataObject) -> None:
        """A run in which any windows may fail and any be halved; its state is committed."""
        before, self.end = self.end, self.end + more
        state = json.loads(self.committed)
        ids = self.intervals(state)
        todo = [window.halves() or (window,) for window in ids.todo(every)]
        windows = [part for parts in todo for part in parts]
        had = data.draw(st.lists(st.sampled_from(windows), unique=True)) if windows else []
        # What may have changed since the run before counts as never read.
        self.settled = {unit for unit in self.settled if unit < before - self.lookback}
        for window in had:
            units = set(range(window.start, window.end))
            assert not units & self.settled, "read twice, though not of the lookback"
            self.settled |= units
            ids.add(window)
        self.committed = json.dumps(state)

    @precondition(lambda self: self.end > self.start)
    @rule(every=st.integers(1, 25))
    def crash(self, every: int) -> None:
        """A run that ends in an error: neither rows nor state are there afterwards."""
        state = json.loads(self.committed)
        ids = self.intervals(state)
        for window in ids.todo(every):
            ids.add(window)

    @rule(earlier=st.integers(1, 20))
    def backfill(self, earlier: int) -> None:
        """The start is moved back."""
        self.start -= earlier

    def intervals(self, state: dict[str, Any]) -> Intervals:
        """As a source makes them."""
        return Intervals("ids", start=self.start, end=self.end, state=state, lookback=self.lookback)

    @invariant()
    def what_is_not_there_is_asked_for(self) -> None:
        """Each unit of the range that was not loaded, or may have changed, and no other."""
        ids = self.intervals(json.loads(self.committed))
        asked = [unit for gap in ids.gaps() for unit in range(gap.start, gap.end)]
        settled = {unit for unit in self.settled if unit < self.end - self.lookback}
        assert asked == [n for n in range(self.start, self.end) if n not in settled]


THOROUGH = os.environ.get("BLOCKS_THOROUGH")
Runs.TestCase.settings = settings(
    max_examples=5000 if THOROUGH else 60, stateful_step_count=20, deadline=None
)
TestRuns = Runs.TestCase


@given(st.dates(date(2019, 1, 1), date(2024, 12, 1)), st.sampled_from(EVERY), st.data())
def test_gaps_resume_over_calendars(start: date, every: Every, data: st.DataObject) -> None:
    """Whatever fails and however it is cut, in days of a zone each is read exactly once."""
    state: dict[str, Any] = {}
    kind = Dates(zone=SANTIAGO)
    read: Counter[str] = Counter()
    end = start + data.draw(st.integers(1, 90)) * DAY
    for _ in range(4):
        calls = Intervals("calls", start=start, end=end, state=state, kind=kind)
        for window in calls.todo(every):
            if data.draw(st.booleans()):
                since, until = map(date.fromisoformat, (str(window.since), str(window.until)))
                read.update(str(since + n * DAY) for n in range((until - since) // DAY))
                calls.add(window)
        end += DAY
    calls = Intervals("calls", start=start, end=end, state=state, kind=kind)
    for window in calls.todo("day"):
        read[str(window.since)] += 1
    days = (end - start) // DAY
    assert read == {str(start + n * DAY): 1 for n in range(days)}
