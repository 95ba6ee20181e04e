"""Windows come whole, in order, once; what fails is halved or left out, and never in silence."""

from __future__ import annotations

import json
import logging
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from blocks import events
from blocks.errors import (
    AuthError,
    BodyError,
    ConfigError,
    ForeignOrigin,
    Incomplete,
    Overflow,
    PagingLoop,
    RetryError,
    StatusError,
)
from blocks.intervals import Interval, Intervals
from blocks.kinds import Integers, Times
from blocks.network import prefetch
from blocks.windows import narrow, windows

SECRET = "c4n4ry"
REQUEST = httpx.Request("GET", f"https://api.example.com/calls?key={SECRET}")


def answered(status: int) -> httpx.Response:
    """An answer to a request with a secret in its query."""
    return httpx.Response(status, json={}, request=REQUEST)


DOWN = StatusError("expected success", answered(502))
TOO_MANY = Overflow("expected at most 10 rows, got a total of 25", answered(200))


def ids(start: int, end: int, every: int) -> list[Interval]:
    """Windows over integers."""
    return Intervals("ids", start=start, end=end, state={}).todo(every)


class Api:
    """Pages of the integers in a window, two on each, slow and failing where told to."""

    def __init__(
        self,
        fault: Callable[[Interval], Exception | None] = lambda window: None,
        delay: Callable[[Interval], int] = lambda window: 0,
    ) -> None:
        self.fault = fault
        self.delay = delay
        self.asked: list[str] = []
        self.busy = self.most_busy = self.given = self.most_held = 0

    async def fetch(self, window: Interval) -> AsyncIterator[httpx.Response]:
        """The pages of a window; a fault comes after the first."""
        self.asked.append(str(window))
        self.busy += 1
        self.most_busy = max(self.busy, self.most_busy)
        try:
            numbers = list(range(window.start, window.end))
            yield httpx.Response(200, json=numbers[:2])
            for _ in range(self.delay(window)):
                await anyio.lowlevel.checkpoint()
            if error := self.fault(window):
                raise error
            for first in range(2, len(numbers), 2):
                yield httpx.Response(200, json=numbers[first : first + 2])
        finally:
            self.busy -= 1

    def given_out(self, ranges: Iterable[Interval], **options: Any) -> list[tuple[str, list[int]]]:
        """What `windows` gives out: each window with its numbers."""

        async def main() -> list[tuple[str, list[int]]]:
            found = []
            async with aclosing(windows(self.fetch, ranges, **options)) as several:  # type: ignore[type-var]
                async for window, pages in several:
                    found.append((str(window), [n for page in pages for n in page.json()]))
            return found

        return anyio.run(main)


def test_windows_come_whole_and_in_order() -> None:
    """However long each takes, windows come in the order of the ranges, with all their pages."""
    api = Api(delay=lambda window: 50 - window.start)
    found = api.given_out(ids(0, 25, 10), at_once=3)
    assert found == [
        ("0 to 10", list(range(10))),
        ("10 to 20", list(range(10, 20))),
        ("20 to 25", list(range(20, 25))),
    ]
    assert api.given_out(ids(0, 25, 10)[::-1]) == found[::-1]
    assert api.given_out([]) == []


@settings(max_examples=50)
@given(
    size=st.integers(1, 60),
    every=st.integers(1, 20),
    at_once=st.integers(1, 5),
    delays=st.lists(st.integers(0, 9), min_size=60, max_size=60),
    cap=st.integers(1, 12),
    broken=st.sets(st.integers(0, 59), max_size=3),
)
def test_what_is_there_comes_once(
    size: int, every: int, at_once: int, delays: list[int], cap: int, broken: set[int]
) -> None:
    """Caps and broken numbers: the others come once, in order, at most `at_once` at a time."""

    def fault(window: Interval) -> Exception | None:
        if window.length > cap:
            return TOO_MANY
        return DOWN if broken & set(range(window.start, window.end)) else None

    api = Api(fault, lambda window: delays[window.start])
    ranges = ids(0, size, every)
    try:
        found = api.given_out(ranges, at_once=at_once)
    except Incomplete:
        found = []
        assert broken & set(range(size))
    numbers = [number for _, several in found for number in several]
    assert numbers == sorted(set(numbers))
    left_out = set(range(size)) - set(numbers)
    assert not left_out or broken & left_out
    assert not broken & set(numbers)
    assert api.most_busy <= at_once


@pytest.mark.parametrize("at_once", [1, 3])
def test_what_is_held_is_bounded(at_once: int) -> None:
    """No more than `at_once` windows are begun that nobody has taken, and that one at hand."""
    api = Api()

    async def main() -> None:
        taken = 0
        async with aclosing(windows(api.fetch, ids(0, 40, 2), at_once=at_once)) as several:  # type: ignore[type-var]
            async for _ in several:
                taken += 1
                for _ in range(20):
                    await anyio.lowlevel.checkpoint()
                assert len(api.asked) <= taken + at_once

    anyio.run(main)
    assert len(api.asked) == 20


def test_windows_are_fetched_at_once() -> None:
    """Four windows that wait for each other all come."""
    all_there = anyio.Event

    async def main() -> list[int]:
        waiting, event = 0, all_there()

        async def fetch(window: Interval) -> AsyncIterator[httpx.Response]:
            nonlocal waiting
            waiting += 1
            if waiting == 4:
                event.set()
            await event.wait()
            yield httpx.Response(200, json=[])

        return [window.start async for window, _ in windows(fetch, ids(0, 4, 1), at_once=4)]

    assert anyio.run(main) == [0, 1, 2, 3]


def test_an_overflow_is_halved() -> None:
    """Windows with too many rows are asked for in halves of halves until they fit."""
    api = Api(lambda window: TOO_MANY if window.length > 10 else None)
    found = api.given_out(ids(0, 40, 25), at_once=1)
    assert [window for window, _ in found] == [
        *("0 to 6", "6 to 12", "12 to 18", "18 to 25", "25 to 32", "32 to 40"),
    ]
    assert api.asked == [
        *("0 to 25", "0 to 12", "0 to 6", "6 to 12", "12 to 25", "12 to 18", "18 to 25"),
        *("25 to 40", "25 to 32", "32 to 40"),
    ]


def test_halves_have_a_least_length(caplog: pytest.LogCaptureFixture) -> None:
    """What overflows even so is left out with a word on it; the other halves come."""
    heard: list[events.Event] = []
    stop = events.listen(heard.append)
    api = Api(lambda window: TOO_MANY if window.start <= 3 < window.end else None)
    found = api.given_out(ids(0, 16, 16), least=2)
    stop()
    assert [window for window, _ in found] == ["0 to 2", "4 to 8", "8 to 16"]
    assert heard == [events.Skipped("window 2 to 4", "Overflow")]
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage() == (
        "window 2 to 4 is left out: Overflow: expected at most 10 rows, got a total of 25"
        " (GET api.example.com/calls, status 200), and it may not be halved (least=2)"
    )
    assert SECRET not in caplog.text


def test_the_least_length_is_that_of_the_longer_half() -> None:
    """An odd window is halved as well as its kind can."""
    api = Api(lambda window: TOO_MANY if window.length > 2 else None)
    found = api.given_out(ids(0, 3, 3), least=2)
    assert [window for window, _ in found] == ["0 to 1", "1 to 3"]


def test_the_least_length_of_times_is_a_minute() -> None:
    """Unless told otherwise."""
    asked = []

    async def fetch(window: Interval) -> AsyncIterator[httpx.Response]:
        asked.append(window.length)
        raise TOO_MANY
        yield

    start = datetime(2024, 1, 1, tzinfo=UTC)
    range_ = Interval(start, start + timedelta(minutes=4), Times())
    with pytest.raises(Incomplete):
        list(prefetch(windows(fetch, [range_])))
    assert min(asked) == timedelta(minutes=1)
    with pytest.raises(Incomplete):
        list(prefetch(windows(fetch, [range_], least=timedelta(seconds=30))))
    assert min(asked) == timedelta(seconds=30)


def test_a_server_that_is_down_is_not_asked_for_ever_smaller_windows() -> None:
    """One window is halved to the least; after that the others are asked for once, as they are."""
    api = Api(lambda window: DOWN)
    with pytest.raises(Incomplete, match="18 of 18 windows failed, the first of them 0 to 1: "):
        api.given_out(ids(0, 64, 4), at_once=1)
    # 4, 2, 1 of the first window; its other halves; the other fifteen.
    assert len(api.asked) == 3 + 2 + 15


def test_a_window_had_is_a_sign_of_life() -> None:
    """After it windows that break are halved again."""
    api = Api(lambda window: DOWN if {0, 9} & set(range(window.start, window.end)) else None)
    found = api.given_out(ids(0, 16, 8), at_once=1)
    assert [window for window, _ in found] == [
        *("1 to 2", "2 to 4", "4 to 8", "8 to 9", "10 to 12", "12 to 16"),
    ]


def test_failures_are_left_out_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    """One window that fails is a gap, said at level ERROR; not with `strict`."""
    refused = StatusError("expected success", answered(404))
    api = Api(lambda window: refused if window.start == 10 else None)
    ranges = ids(0, 30, 10)
    assert [window for window, _ in api.given_out(ranges)] == ["0 to 10", "20 to 30"]
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", f"window 10 to 20 is left out: StatusError: {refused}")
    ]
    found = prefetch(windows(api.fetch, ranges, strict=True))
    assert [str(next(found)[0]), str(next(found)[0])] == ["0 to 10", "20 to 30"]
    with pytest.raises(Incomplete) as caught:
        next(found)
    assert caught.value.__cause__ is refused
    assert str(caught.value) == (
        "1 of 3 windows failed, the first of them 10 to 20: StatusError: expected success"
        " (GET api.example.com/calls, status 404)"
    )


def test_urls_of_others_errors_are_not_told(caplog: pytest.LogCaptureFixture) -> None:
    """An error of httpx may name the URL with its query: only its kind is said."""
    error = httpx.HTTPStatusError(f"no: {REQUEST.url}", request=REQUEST, response=answered(500))
    with pytest.raises(Incomplete, match=r"0 to 1: HTTPStatusError$"):
        Api(lambda window: error).given_out(ids(0, 1, 1))
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        AuthError("expected success", answered(401)),
        ConfigError("expected a number"),
        ForeignOrigin("next page is elsewhere"),
        KeyError("total"),
    ],
)
@pytest.mark.parametrize("at_once", [1, 2])
def test_what_no_window_survives_is_raised_at_once(error: Exception, at_once: int) -> None:
    """Errors of the credentials and of the code end it all, as they are; nothing more is asked."""
    api = Api(lambda window: error if window.start == 10 else None)
    with pytest.raises(type(error)) as caught:
        api.given_out(ids(0, 1000, 10), at_once=at_once)
    assert caught.value is error
    assert len(api.asked) <= 1 + at_once
    assert api.busy == 0


def test_of_several_such_errors_the_first_is_raised() -> None:
    """The others may be what came of it."""
    errors = {start: AuthError(f"no {start}", answered(401)) for start in (0, 10, 20)}
    api = Api(lambda window: errors[window.start])
    with pytest.raises(AuthError) as caught:
        api.given_out(ids(0, 30, 10), at_once=3)
    assert caught.value is errors[0]


@pytest.mark.parametrize("broken", [True, False])
def test_nobody_waits_for_what_nobody_will_take(broken: bool) -> None:
    """At an error, or when its taker leaves, windows under way are cancelled."""

    async def fetch(window: Interval) -> AsyncIterator[httpx.Response]:
        if window.start == 1:
            await anyio.sleep_forever()
        if window.start == 2 and broken:
            raise AuthError("expected success", answered(401))
        yield httpx.Response(200, json=[])

    async def main() -> list[int]:
        found = []
        with anyio.fail_after(20):
            async with aclosing(windows(fetch, ids(0, 9, 1))) as several:  # type: ignore[type-var]
                try:
                    async for window, _ in several:
                        found.append(window.start)
                        if not broken:
                            break
                except AuthError:
                    return found
        return found

    assert set(anyio.run(main)) <= {0}


def test_leaving_early_leaves_nothing_behind() -> None:
    """`break` cancels what is under way, on whichever window it stands."""
    left = []

    async def fetch(window: Interval) -> AsyncIterator[httpx.Response]:
        try:
            if window.start > 0:
                await anyio.sleep_forever()
            yield httpx.Response(200, json=[])
        finally:
            left.append(window.start)

    began = time.monotonic()
    for window, _ in prefetch(windows(fetch, ids(0, 9, 1), at_once=4)):
        assert window.start == 0
        break
    assert time.monotonic() - began < 4
    assert sorted(left) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TOO_MANY, True),
        (Overflow("expected at most 5 pages"), True),
        (DOWN, True),
        (StatusError("expected success", answered(500)), True),
        (StatusError("expected success", answered(429)), False),
        (StatusError("expected success", answered(404)), False),
        (BodyError("expected JSON", answered(200)), False),
        (PagingLoop("expected another page"), False),
        (httpx.ReadTimeout("60 s"), True),
        (httpx.RemoteProtocolError("cut"), True),
        (httpx.ConnectTimeout("60 s"), False),
        (httpx.ConnectError("refused"), False),
        (TimeoutError(), True),
        (KeyError("total"), False),
    ],
)
def test_narrow(error: Exception, expected: bool) -> None:
    """Shorter windows are for what has to do with length, also where attempts were used up."""
    assert narrow(error) is expected
    gave_up = RetryError("gave up after 5 attempts")
    gave_up.__cause__ = error
    assert narrow(gave_up) is expected


def test_narrow_without_a_cause() -> None:
    """A wait told that is too long says nothing of the length of a window."""
    assert not narrow(RetryError("told to wait 3600 s", answered(429)))
    assert narrow(RetryError("gave up", answered(503)))
    assert not narrow(RetryError("gave up"))


def test_narrow_is_yours() -> None:
    """An API says "too much" in its own way."""

    def refused(error: Exception) -> bool:
        return isinstance(error, StatusError) and error.response.status_code == 413

    large = StatusError("expected success", answered(413))
    api = Api(lambda window: large if window.length > 8 else None)
    found = api.given_out(ids(0, 16, 16), narrow=refused)
    assert [window for window, _ in found] == ["0 to 8", "8 to 16"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"at_once": 0}, "windows need at_once >= 1, got 0"),
        ({"least": 0}, "least: expected a positive int, got 0"),
        ({"least": timedelta(1)}, "least: expected a positive int, got datetime"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    """They are refused before anything is asked for."""
    api = Api()
    with pytest.raises(ConfigError, match=message):
        api.given_out(ids(0, 9, 3), **options)
    assert api.asked == []


class Nights(RuleBasedStateMachine):
    """Night after night windows of a growing range from an API with a cap and bad days.

    Its rows are the numbers of the range. The model: how often each was loaded.
    """

    def __init__(self) -> None:
        super().__init__()
        self.state = "{}"
        self.before = self.end = self.lookback = 0
        self.loaded: Counter[int] = Counter()
        self.again: Counter[int] = Counter()

    @initialize(lookback=st.integers(0, 12))
    def begin(self, lookback: int) -> None:
        """A source is set up."""
        self.lookback = lookback

    @rule(
        more=st.integers(0, 30),
        every=st.integers(1, 25),
        at_once=st.integers(1, 4),
        cap=st.integers(1, 25),
        bad=st.sets(st.integers(0, 200), max_size=4),
        crash=st.integers(0, 30),
    )
    def night(
        self, more: int, every: int, at_once: int, cap: int, bad: set[int], crash: int
    ) -> None:
        """A run: the state is committed with the rows, or neither is after a crash."""

        def fault(window: Interval) -> Exception | None:
            if window.length > cap:
                return TOO_MANY
            return DOWN if bad & set(range(window.start, window.end)) else None

        self.end += more
        state = json.loads(self.state)
        several = self.intervals(state)
        found: list[int] = []
        try:
            for each in Api(fault).given_out(several.todo(every), at_once=at_once):
                if len(found) == crash:
                    return
                start, end = map(int, each[0].split(" to "))
                several.add(Interval(start, end, Integers()))
                found.extend(each[1])
        except Incomplete:
            return
        self.again.update(range(max(0, self.before - self.lookback), self.before))
        self.before = self.end
        self.loaded.update(found)
        self.state = json.dumps(state)
        asked = {
            number for gap in self.intervals(state).gaps() for number in range(gap.start, gap.end)
        }
        assert {*self.loaded, *asked} == set(range(self.end))

    def intervals(self, state: dict[str, Any]) -> Intervals:
        """As a source makes them."""
        return Intervals("ids", start=0, end=self.end, state=state, lookback=self.lookback)

    def teardown(self) -> None:
        """After a good night each row is there, and no more often than the lookback asks for."""
        self.night(more=3, every=7, at_once=2, cap=4, bad=set(), crash=10**6)
        assert set(self.loaded) == set(range(self.end))
        for number, times in self.loaded.items():
            assert times <= 1 + self.again[number]


THOROUGH = os.environ.get("BLOCKS_THOROUGH")
Nights.TestCase.settings = settings(
    max_examples=2000 if THOROUGH else 40, stateful_step_count=10, deadline=None
)
TestNights = Nights.TestCase
