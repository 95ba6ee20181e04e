"""Cursors: ranges, marks and masks, and that no schedule of changes and failures loses a row."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.cursors import Cursor
from blocks.errors import ConfigError, CursorError
from blocks.kinds import Dates, Epoch, Integers, Kind, Pattern, Texts, Times

START = "2024-05-01T00:00:00Z"
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


def table(*values: Any, column: str = "at") -> pa.Table:
    """A table with that column."""
    return pa.table({"id": [*range(len(values))], column: pa.array(values)})


def utc(text: str) -> datetime:
    """An instant."""
    return datetime.fromisoformat(text)


def times(*texts: str | None) -> pa.Table:
    """A table with a column of timestamps, as the normalizer makes it."""
    return table(*(text and utc(text) for text in texts))


def test_bounds_are_as_the_api_writes_them() -> None:
    """Inclusive or exclusive, in the writing of the kind."""
    state: dict[str, Any] = {}
    seen = Cursor("at", start=START, until="2024-05-02T00:00:00+02:00", state=state)
    assert (seen.since, seen.until) == (START, "2024-05-01T22:00:00Z")
    assert (seen.after, seen.through) == (
        "2024-04-30T23:59:59.999999Z",
        "2024-05-01T21:59:59.999999Z",
    )
    seen = Cursor("at", start=START, until=utc(START) + HOUR, state=state, kind=Epoch("s"))
    assert seen.until - seen.since == 3600
    assert (seen.since - seen.after, seen.until - seen.through) == (1, 1)
    assert state == {}


@pytest.mark.parametrize(
    ("kind", "start", "values", "mark"),
    [
        (Times(), START, ["2024-05-01T10:00:00Z", "2024-05-01T10:00:00.5Z"], "05-01T10:00:00.5"),
        (Times(), START, ["2024-05-01T10:00:00+02:00", "2024-05-01T09:00:00Z"], "05-01T09:00:00"),
        (Times(), START, ["2024-05-01 10:00:00+00:00", "2024-05-01T09:00:00Z"], "05-01T10:00:00"),
        (Times(), START, [utc("2024-05-03T10:00:00+02:00"), None], "05-03T08:00:00"),
        (Epoch("s"), START, [1714557600, 1714557599.5], "05-01T10:00:00"),
        (Epoch("ms"), START, ["1714557600250"], "05-01T10:00:00.25"),
        (Dates(), "2024-05-01", ["2024-05-03", "2024-05-02"], "05-03T00:00:00"),
        (Pattern("%d.%m.%Y"), START, ["03.05.2024", "04.04.2024"], "05-03T00:00:00"),
        (Integers(), 0, ["9", "10"], 10),
        (Integers(), 0, [2**70 // 2**8, 5], 2**62),
        (Texts(), "", ["01", "011", "0"], "011"),
    ],
)
def test_the_mark_is_the_highest_point(kind: Kind, start: Any, values: Any, mark: Any) -> None:
    """Values compare as what they mean, whatever their precision, offset or width."""
    state: dict[str, Any] = {}
    for value in (values, values[::-1]):
        seen = Cursor("at", start=start, state=state, kind=kind)
        seen.observe(table(*value))
        again = Cursor("at", start=start, state=json.loads(json.dumps(state)), kind=kind)
        assert seen.mark == again.mark == again.since
        if isinstance(mark, str) and isinstance(kind.step, timedelta):
            assert kind.read(seen.mark) == utc(f"2024-{mark}Z")
        else:
            assert seen.mark == mark


def test_the_range_stays_during_the_run() -> None:
    """Whatever is observed: requests of one run, later ones too, ask for the same."""
    seen = Cursor("at", start=START, until="2024-05-03", state={}, kind=Times())
    seen.observe(times("2024-05-02T00:00:00Z"))
    assert seen.since == START
    assert seen.mark == "2024-05-02T00:00:00Z"
    assert seen.within(times("2024-05-01T00:00:00Z", "2024-05-02T00:00:00Z")).to_pylist() == [
        True,
        True,
    ]


def test_it_never_goes_back() -> None:
    """Neither by rows nor by a value, nor by an end that is earlier than the mark."""
    state: dict[str, Any] = {}
    Cursor("at", start=START, state=state).observe(times("2024-05-05T00:00:00Z"))
    kept = copy.deepcopy(state)
    again = Cursor("at", start=START, until="2024-05-04T00:00:00Z", state=state)
    again.observe(times("2024-05-03T00:00:00Z"))
    again.observe("2024-05-03T00:00:00Z")
    again.complete()
    assert state == kept


def test_a_clock_that_was_set_back(caplog: pytest.LogCaptureFixture) -> None:
    """The range is empty, not inside out, a warning says so, and the mark stays."""
    state: dict[str, Any] = {}
    Cursor("at", start=START, until="2024-05-05T00:00:00Z", state=state).complete()
    seen = Cursor("at", start=START, until="2024-05-04T00:00:00Z", state=state)
    assert seen.since == seen.until == seen.mark == "2024-05-05T00:00:00Z"
    assert seen.within(times("2024-05-04T12:00:00Z", "2024-05-06T00:00:00Z")).to_pylist() == [
        False,
        False,
    ]
    assert "nothing is to be read" in caplog.text
    caplog.clear()
    back = Cursor("at", start=START, until="2024-05-04T00:00:00Z", state=state, lookback=48 * HOUR)
    back.complete()
    assert (back.since, back.mark) == ("2024-05-03T00:00:00Z", "2024-05-05T00:00:00Z")
    assert "the mark stays at 2024-05-05T00:00:00Z" in caplog.text


def test_values_from_the_future() -> None:
    """They do not move the mark; those before `until` do, in the same table too."""
    seen = Cursor("at", start=START, until="2024-05-02T00:00:00Z", state={})
    seen.observe(times("2099-01-01T00:00:00Z", "2024-05-02T00:00:00Z"))
    assert seen.mark is None
    seen.observe(times("2099-01-01T00:00:00Z", "2024-05-01T10:00:00Z", None))
    assert seen.mark == "2024-05-01T10:00:00Z"
    seen.observe("2099-01-01T00:00:00Z")
    assert seen.mark == "2024-05-02T00:00:00Z"


def test_a_value_of_an_envelope() -> None:
    """It speaks for all rows before it."""
    seen = Cursor("asOf", start=0, kind=Epoch("s"), state={})
    seen.observe(1714557600)
    seen.observe("1714557599")
    assert seen.mark == 1714557600
    with pytest.raises(CursorError, match="expected a number of s since 1970, got 'x'"):
        seen.observe("x")


def test_lookback() -> None:
    """The range begins so much before the mark, but never before the start."""
    state: dict[str, Any] = {}
    assert Cursor("at", start=START, state=state, lookback=HOUR).since == START
    Cursor("at", start=START, state=state).observe(times("2024-05-01T00:30:00Z"))
    assert Cursor("at", start=START, state=state, lookback=HOUR).since == START
    Cursor("at", start=START, state=state).observe(times("2024-05-03T00:30:00Z"))
    assert Cursor("at", start=START, state=state, lookback=HOUR).since == "2024-05-02T23:30:00Z"
    later = Cursor("at", start="2024-05-09T00:00:00Z", state=state, lookback=HOUR)
    assert later.since == "2024-05-09T00:00:00Z"
    ids: dict[str, Any] = {}
    Cursor("id", start=0, state=ids).observe(table(100, column="id"))
    assert Cursor("id", start=0, state=ids, lookback=10).since == 90
    assert Cursor("id", start=0, state=ids, lookback=10, kind=Integers(unique=True)).since == 91


def test_unique_values() -> None:
    """A value seen is done: the range begins after it, and `complete` changes nothing."""
    state: dict[str, Any] = {}
    kind = Integers(unique=True)
    first = Cursor("id", start=5, state=state, kind=kind, until=100)
    assert (first.since, first.after) == (5, 4)
    first.observe(table(5, 9, column="id"))
    first.complete()
    second = Cursor("id", start=5, state=state, kind=kind)
    assert (second.mark, second.since, second.after) == (9, 10, 9)
    assert second.within(table(9, 10, column="id")).to_pylist() == [False, True]
    second.complete()
    assert second.mark == 9


def test_unique_texts() -> None:
    """They are asked for with `after`, as nothing lies a step after a text; the start is done."""
    state: dict[str, Any] = {}
    for mark, values in (("", ["a", "b"]), ("b", ["c"])):
        seen = Cursor("id", start="", state=state, kind=Texts(unique=True))
        assert seen.after == mark
        assert seen.within(table(mark, *values, column="id")).to_pylist() == [
            False,
            *(True for _ in values),
        ]
        seen.observe(table(*values, column="id"))
        with pytest.raises(ConfigError, match="expected to be asked for `after`"):
            _ = seen.since


def test_texts_that_rows_share() -> None:
    """They have `since` only."""
    seen = Cursor("id", start="a", state={}, until="c")
    assert (seen.since, seen.until) == ("a", "c")
    assert seen.within(table("", "a", "b", "c", column="id")).to_pylist() == [
        False,
        True,
        True,
        False,
    ]
    for bound in ("after", "through"):
        with pytest.raises(ConfigError, match="no text 1 before"):
            getattr(seen, bound)


def test_within() -> None:
    """The start is in the range and its end is not; what is left out is counted."""
    seen = Cursor("at", start=START, until="2024-05-02T00:00:00Z", state={}, missing="drop")
    rows = times(
        "2024-04-30T23:59:59.999999Z",
        "2024-05-01T00:00:00Z",
        "2024-05-01T23:59:59.999999Z",
        "2024-05-02T00:00:00Z",
        None,
    )
    mask = seen.within(rows)
    assert isinstance(mask, pa.BooleanArray)
    assert mask.to_pylist() == [False, True, True, False, False]
    assert seen.within(rows.slice(0, 0)).to_pylist() == []
    assert seen.within(pa.concat_tables([rows, rows])).to_pylist() == mask.to_pylist() * 2
    assert seen.counts == {"before": 3, "beyond": 3, "missing": 3}


def test_within_without_an_end() -> None:
    """Then all from the start on is in it."""
    assert Cursor("id", start=3, state={}).within(table(2, 3, column="id")).to_pylist() == [
        False,
        True,
    ]


@pytest.mark.parametrize("bound", [2**63, 2**70, -(2**70)])
def test_integers_beyond_64_bits(bound: int) -> None:
    """They compare with those of a column of 64 bits."""
    seen = Cursor("id", start=bound, until=bound + 1, state={})
    assert seen.within(table(0, column="id")).to_pylist() == [False]
    seen.observe(table(0, column="id"))
    assert seen.mark == (0 if bound > 0 else None)


@pytest.mark.parametrize(("missing", "kept"), [("keep", True), ("drop", False)])
def test_rows_without_a_value(missing: Any, kept: bool, caplog: pytest.LogCaptureFixture) -> None:
    """By policy they are loaded or left out; counted once, whoever saw them, and said once."""
    for order in ((True, False), (False, True), (True, True)):
        seen = Cursor("at", start=START, state={}, missing=missing)
        caplog.clear()
        for page in (times(None, "2024-05-02T00:00:00Z"), table(1, column="other"), times(None)):
            if order[0]:
                assert seen.within(page).to_pylist() == [kept, True][: len(page)]
            if order[1]:
                seen.observe(page)
        assert seen.counts == {"before": 0, "beyond": 0, "missing": 3}
        assert caplog.text.count(f"rows without a value, by policy: {missing}") == 1
        seen.observe(None)
        assert seen.counts["missing"] == (4 if order[1] else 3)


def test_rows_without_a_value_refused() -> None:
    """As an error, where they came from a table, a table without the column, or an envelope."""
    seen = Cursor("at", start=START, state={}, missing="raise")
    seen.observe(times(START))
    for page in (times(None), table(1, column="other")):
        with pytest.raises(CursorError, match="cursor at: expected a value in each row, got none"):
            seen.observe(page)
        with pytest.raises(CursorError, match="got none in 1"):
            seen.within(page)
    with pytest.raises(CursorError, match="got none in 1"):
        seen.observe(None)


def test_a_column_that_no_table_had() -> None:
    """It is a wrong name; once there was one, a table may lack it, in a later run too."""
    state: dict[str, Any] = {}
    seen = Cursor("at", start=START, state=state)
    for look in (seen.observe, seen.within):
        with pytest.raises(
            CursorError, match="expected column at for the cursor, got columns id, "
        ):
            look(table(1, column="other"))
    seen.observe(times(START))
    for later in (seen, Cursor("at", start=START, state=state)):
        later.observe(table(1, column="other"))
        assert later.within(table(1, 2, column="other")).to_pylist() == [True, True]


def test_columns_of_nulls() -> None:
    """They leave the mark alone."""
    seen = Cursor("at", start=START, state={})
    seen.observe(table(None, None))
    seen.observe(times(None))
    assert (seen.mark, seen.counts["missing"]) == (None, 3)


@pytest.mark.parametrize(
    ("start", "page"),
    [(START, table(5)), (0, table("x")), (0, table([1])), ("a", table(5)), (START, table("soon"))],
)
def test_columns_of_another_kind(start: Any, page: pa.Table) -> None:
    """They are refused, with the name of the column."""
    seen = Cursor("at", start=start, state={})
    for look in (seen.observe, seen.within):
        with pytest.raises(CursorError, match="cursor at: expected"):
            look(page)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": True}, "start: expected a time, a date, an integer or a text, got True"),
        ({"start": None}, "start"),
        ({"start": "x", "kind": Times()}, "start of cursor at: expected a time, got 'x'"),
        ({"start": START, "until": 5}, "until of cursor at: expected a time, got 5"),
        ({"start": START, "lookback": 5}, r"lookback: expected a length \(timedelta\), got 5"),
        ({"start": START, "lookback": -HOUR}, "lookback: expected a length"),
        ({"start": 0, "lookback": HOUR}, r"lookback: expected a length \(int\)"),
        ({"start": 0, "lookback": True}, r"lookback: expected a length \(int\)"),
        ({"start": "a", "lookback": 1}, "lookback: expected none, as texts have no distance"),
        ({"start": 0, "missing": "ignore"}, "missing: expected keep, drop or raise, got 'ignore'"),
    ],
)
def test_mistakes(options: dict[str, Any], message: str) -> None:
    """What cannot work is said when the cursor is made."""
    with pytest.raises(ConfigError, match=message):
        Cursor("at", state={}, **options)


def test_no_end() -> None:
    """Without `until` there is no upper bound, and nothing to complete."""
    seen = Cursor("at", start=START, state={})
    for use in (lambda: seen.until, lambda: seen.through, seen.complete):
        with pytest.raises(ConfigError, match="cursor at: expected it to be made with `until`"):
            use()


def test_state_of_another_kind() -> None:
    """A state that the kind cannot read is said, not overwritten."""
    state = {"cursors": {"at": 5}}
    with pytest.raises(CursorError, match="cursor at, in the state: expected a time, got 5"):
        Cursor("at", start=START, state=state)
    assert state == {"cursors": {"at": 5}}


def test_cursors_share_a_state() -> None:
    """Each has its column."""
    state: dict[str, Any] = {}
    Cursor("id", start=0, state=state).observe(table(5, column="id"))
    Cursor("at", start=START, state=state).observe(times(START))
    assert state == {"cursors": {"id": 5, "at": START}}


def test_stale(caplog: pytest.LogCaptureFixture) -> None:
    """When the API no longer keeps what the range begins with, all must be read anew."""
    state: dict[str, Any] = {}
    now, retention = utc("2024-06-15T00:00:00Z"), timedelta(days=30)
    assert Cursor("at", start=START, state=state).stale(retention, now)
    assert not Cursor("at", start="2024-06-01T00:00:00Z", state=state).stale(retention, now)
    assert caplog.text == ""
    Cursor("at", start=START, state=state).observe(times("2024-05-16T00:00:00Z"))
    with caplog.at_level(logging.WARNING):
        assert not Cursor("at", start=START, state=state).stale(retention, now)
        assert Cursor("at", start=START, state=state).stale(retention, now + SECOND)
        assert Cursor("at", start=START, state=state, lookback=HOUR).stale(retention, now)
    assert caplog.text.count("the API keeps rows for 30 days") == 2
    with pytest.raises(ConfigError, match="stale: expected a cursor over times"):
        Cursor("id", start=0, state={}).stale(retention, now)


@dataclass(frozen=True)
class Counted(Integers):
    """Integers that tell of the columns they were asked to read."""

    read_so_far: list[int] = field(default_factory=list)

    def points(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """As they are."""
        self.read_so_far.append(len(column))
        return Integers.points(self, column)


def test_a_table_is_read_once() -> None:
    """Though it is observed and masked, in any order; another one is another."""
    kind = Counted()
    seen = Cursor("id", start=2, state={}, kind=kind)
    one, other = table(1, 2, column="id"), table(3, column="id")
    for page in (one, other, one):
        for look in (seen.observe, seen.within, seen.observe):
            look(page)
    assert kind.read_so_far == [2, 1, 2]
    assert seen.within(table(1, 5, column="id")).to_pylist() == [False, True]
    assert (seen.mark, seen.counts["before"]) == (3, 3)


def test_repr() -> None:
    """It says the column and the range."""
    assert repr(Cursor("id", start=0, state={})) == "<Cursor id from 0>"
    assert repr(Cursor("at", start="2024-01-01", until="2024-02-01", state={})) == (
        "<Cursor at from '2024-01-01' to '2024-02-01'>"
    )


def test_state_does_not_grow_with_ties() -> None:
    """However many rows share the highest value, the mark is all that is kept."""
    state: dict[str, Any] = {}
    seen = Cursor("at", start=START, until="2024-05-03T00:00:00Z", state=state)
    for _ in range(10):
        seen.observe(pa.table({"at": pa.repeat(pa.scalar(utc("2024-05-02T00:00:00Z")), 100_000)}))
    assert len(json.dumps(state)) < 60


# The world: an API over rows that change while pages of them are read, and a source that fails.

Change = tuple[str, int]


@dataclass(frozen=True)
class Run:
    """One run: what changes before it and before each page, where it fails, what our clock says."""

    before: list[Change]
    between: list[list[Change]]
    fails: int | None = None
    size: int = 2
    skew: int = 0

    def changes(self, page: int) -> list[Change]:
        """Those before page number `page`."""
        return self.between[page] if page < len(self.between) else []


@dataclass(frozen=True)
class Api:
    """How it shows times, and which bounds it is asked with; `late`: as rows may be."""

    kind: Kind
    show: Callable[[datetime], Any]
    bounds: tuple[str, ...]
    begin: datetime
    late: timedelta

    def order(self, shown: Any) -> Any:
        """What it compares. It knows no zone: clocks compare as they are read."""
        return shown if isinstance(self.kind, Pattern) else self.kind.read(shown)


@dataclass
class World:
    """Rows of an API, and what a source loaded of them."""

    api: Api
    now: datetime
    rows: dict[int, tuple[datetime, int, bool]] = field(default_factory=dict)
    loaded: list[list[tuple[int, int, bool]]] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)

    def change(self, change: Change) -> None:
        """Time passes, or a row is made, or changed, or marked as deleted, or shows up late."""
        what, number = change
        if what == "wait":
            self.now += number * SECOND
        elif what in ("insert", "late") or not self.rows:
            at = self.now - self.api.late if what == "late" else self.now
            self.rows[len(self.rows)] = (at, 0, False)
        else:
            row = number % len(self.rows)
            self.rows[row] = (self.now, self.rows[row][1] + 1, what == "delete")

    def page(self, bounds: dict[str, Any], last: tuple[Any, int] | None, size: int) -> list[Any]:
        """The rows after `last` within the bounds, in the order of what the API shows."""
        order, found = self.api.order, []
        for row, (at, version, deleted) in self.rows.items():
            key = order(self.api.show(at))
            if (
                ("since" not in bounds or key >= order(bounds["since"]))
                and ("after" not in bounds or key > order(bounds["after"]))
                and ("until" not in bounds or key < order(bounds["until"]))
                and ("through" not in bounds or key <= order(bounds["through"]))
                and (last is None or (key, row) > last)
            ):
                found.append((key, row, self.api.show(at), version, deleted))
        return sorted(found)[:size]

    def read(self, run: Run, seen: Cursor, state: dict[str, Any], *, append: bool) -> None:
        """Read all pages while rows change; fail where told, and keep nothing then."""
        bounds = {name: getattr(seen, name) for name in self.api.bounds}
        last, loaded = None, []
        for number in count():
            for change in run.changes(number):
                self.change(change)
            if number == run.fails:
                return
            found = self.page(bounds, last, run.size)
            if not found:
                break
            last = found[-1][:2]
            rows = pa.table({"at": [row[2] for row in found]})
            seen.observe(rows)
            mask = seen.within(rows).to_pylist() if append else [True] * len(found)
            loaded += [row for row, keep in zip(found, mask, strict=True) if keep]
        if append:
            seen.complete()
        self.loaded.append([(row, version, deleted) for _, row, _, version, deleted in loaded])
        self.state = state


def simulated(api: Api, runs: list[Run], *, append: bool) -> World:
    """The world after `runs`, and one more days later when nothing changes."""
    world = World(api, api.begin)
    margin = api.late + 600 * SECOND
    for run in [*runs, Run([("wait", 200_000)], [])]:
        for change in run.before:
            world.change(change)
        state = copy.deepcopy(world.state)
        seen = Cursor(
            "at",
            start=api.begin - timedelta(days=2),
            until=world.now + run.skew * SECOND - (margin if append else timedelta()),
            state=state,
            kind=api.kind,
            lookback=None if append else margin,
        )
        world.read(run, seen, state, append=append)
    return world


def clocks(zone: str) -> Callable[[datetime], str]:
    """What clocks in `zone` show, to the minute."""
    return lambda at: at.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M")


def lists(*changes: str) -> st.SearchStrategy[list[Change]]:
    """Some changes, with waits between; few numbers, so that rows, ends and marks often meet."""
    waits = st.tuples(st.just("wait"), st.sampled_from([1, 60, 599, 600, 1800, 2400]))
    return st.lists(waits | st.tuples(st.sampled_from(changes), st.integers(0, 3)), max_size=4)


def runs(*changes: str) -> st.SearchStrategy[list[Run]]:
    """Some runs. Our clock is up to ten minutes ahead of the API's, or more than an hour behind."""
    run = st.builds(
        Run,
        before=lists(*changes),
        between=st.lists(lists(*changes), max_size=3),
        fails=st.sampled_from([None, None, None, 0, 1, 2]),
        size=st.integers(1, 3),
        skew=st.sampled_from([0, 0, 600, 599, -1, -5400]),
    )
    return st.lists(run, max_size=6)


minutes = Times(MINUTE, zone="Asia/Kolkata")
days = Dates(zone="Europe/Berlin")
KINDS: list[tuple[Kind, Callable[[datetime], Any]]] = [
    (Times(SECOND), Times(SECOND).write),
    (Times(), Times().write),
    (minutes, minutes.write),
    (Epoch("s"), Epoch("s").write),
    (days, days.write),
    *(
        (Pattern("%Y-%m-%d %H:%M", zone=zone), clocks(zone))
        for zone in ("Europe/Berlin", "America/New_York")
    ),
]
APIS = st.builds(
    lambda kind, lower, upper, begin, late: Api(kind[0], kind[1], (lower, *upper), begin, late),
    st.sampled_from(KINDS),
    st.sampled_from(["since", "after"]),
    st.sampled_from([(), ("until",), ("through",)]),
    # Before clocks go back in Berlin, and before they go forward in New York.
    st.sampled_from([utc("2024-10-26T23:50:00Z"), utc("2024-03-10T06:50:00Z")]),
    st.sampled_from([timedelta(), MINUTE, 40 * MINUTE]),
)


@settings(max_examples=400)
@given(APIS, runs("insert", "late", "update", "delete"), st.booleans())
def test_merge_ends_equal_to_the_api(api: Api, schedule: list[Run], newest: bool) -> None:
    """Whatever changes between pages and wherever runs fail, and whichever version a run keeps.

    With a lookback as long as rows are late and our clock is ahead; rows are marked as deleted.
    """
    world = simulated(api, schedule, append=False)
    merged = {}
    for loaded in world.loaded:
        for row, version, deleted in loaded if newest else loaded[::-1]:
            merged[row] = (version, deleted)
    assert merged == {row: (version, deleted) for row, (_, version, deleted) in world.rows.items()}


@settings(max_examples=400)
@given(APIS, runs("insert", "insert", "late"))
def test_append_has_each_row_once(api: Api, schedule: list[Run]) -> None:
    """However many share a time, if the end lags as long as rows are late and clocks are ahead."""
    world = simulated(api, schedule, append=True)
    assert sorted(row for loaded in world.loaded for row, _, _ in loaded) == sorted(world.rows)


@given(runs("insert"), st.sampled_from(["since", "after"]))
def test_unique_ids_are_loaded_once(schedule: list[Run], lower: str) -> None:
    """Without an end, a completion, or a row that is read twice."""
    kind = Integers(unique=True)
    state: dict[str, Any] = {}
    ids = 0
    loaded: list[int] = []
    for run in [*schedule, Run([], [])]:
        ids += len(run.before)
        attempt = copy.deepcopy(state)
        seen = Cursor("id", start=1, state=attempt, kind=kind)
        last = seen.since - 1 if lower == "since" else seen.after
        read: list[int] = []
        for number in count():
            ids += len(run.changes(number))
            page = [*range(last + 1, ids + 1)][: run.size]
            if number == run.fails or not page:
                break
            seen.observe(pa.table({"id": page}))
            read += page
            last = page[-1]
        if number != run.fails:
            loaded += read
            state = attempt
    assert loaded == [*range(1, ids + 1)]
