"""Whatever is claimed, moved or given back, no stretch of time holds more than was earned."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.turns import Turns
from tests.fuzz.texts import calls

costs = st.sampled_from([0.5, 1.0, 1.0, 1.0, 2.0, 3.5, 7.0])


def crowded(
    passes: Iterable[tuple[float, float]], pace: float, burst: float
) -> list[tuple[float, float, float]]:
    """Stretches of time that hold more cost than promised: begin, end, cost."""
    passes = sorted(passes)
    most = max([burst, *(cost for _, cost in passes)])
    found = []
    for index, (begin, _) in enumerate(passes):
        total = 0.0
        for end, cost in passes[index:]:
            total += cost
            if total > most + (end - begin) * pace + 1e-6:
                found.append((begin, end, total))
    return found


@given(
    pace=st.sampled_from([0.25, 1.0, 7.0, 1000.0]),
    burst=st.integers(1, 5),
    steps=st.lists(
        st.tuples(st.sampled_from([0.0, 0.01, 0.4, 3.0, 50.0]), st.floats(0, 20), costs),
        max_size=40,
    ),
    cancelled=st.sets(st.integers(0, 39)),
)
def test_no_stretch_of_time_holds_more_than_was_earned(
    pace: float, burst: int, steps: Sequence[tuple[float, float, float]], cancelled: set[int]
) -> None:
    """At most max(burst, dearest) + t * pace in t seconds, with claims for later and returns."""
    turns, now = Turns(pace, burst), 1000.0
    passes: dict[int, tuple[float, float]] = {}
    for number, (step, later, cost) in enumerate(steps):
        now += step
        at = turns.opening(now + later, now, cost)
        assert at >= now + later
        place = turns.claim(at, now, cost)
        assert turns.due(place, cost) <= at + 1e-6
        if number in cancelled and at > now:
            turns.give_back(place, cost)
        else:
            passes[number] = at, cost
    assert crowded(passes.values(), pace, burst) == []


@given(
    burst=st.integers(1, 5),
    steps=st.lists(st.tuples(st.floats(0, 10), costs, st.sampled_from([0.5, 1, 4])), max_size=30),
)
def test_a_change_of_pace_moves_turns_and_keeps_their_order(
    burst: int, steps: Sequence[tuple[float, float, float]]
) -> None:
    """In any stretch no more than what was earned in it, at the pace of each moment."""
    turns, now, pace = Turns(1.0, burst), 100.0, 1.0
    earned = [(now, 0.0)]  # in all, up to each change
    waiting: list[tuple[float, float, float]] = []  # place, cost, asked
    passed: list[tuple[float, float]] = []  # earned in all when it passed, cost

    def advance(until: float) -> None:
        while waiting:
            place, cost, asked = waiting[0]
            due = max(asked, turns.due(place, cost))
            if due > until:
                break
            waiting.pop(0)
            passed.append((earned[-1][1] + (due - earned[-1][0]) * pace, cost))

    for step, cost, following in steps:
        now += step
        advance(now)
        _, place = turns.claim_first(now, cost)
        waiting.append((place, cost, now))
        advance(now)
        earned.append((now, earned[-1][1] + (now - earned[-1][0]) * pace))
        pace = following
        turns.change(pace, now)
        dues = [turns.due(place, cost) for place, cost, _ in waiting if cost == 1.0]
        assert dues == sorted(dues)
    advance(now + 10_000)
    assert waiting == []
    assert crowded(passed, 1.0, burst) == []


@given(burst=st.integers(1, 5), several=st.lists(costs, min_size=1, max_size=20))
def test_the_first_claim_is_the_opening(burst: int, several: Sequence[float]) -> None:
    """`claim_first` is `opening` and `claim` in one."""
    one, other = Turns(2.0, burst), Turns(2.0, burst)
    for cost in several:
        at = one.opening(10.0, 10.0, cost)
        place = one.claim(at, 10.0, cost)
        assert other.claim_first(10.0, cost) == pytest.approx((at, place))


def test_the_dear_are_paid_for_beforehand() -> None:
    """What costs more than the bucket holds waits for the rest, and then leaves nothing."""
    turns = Turns(pace=1.0, burst=2)
    assert turns.claim_first(now=10.0, cost=5)[0] == 13.0
    assert turns.opening(at=13.0, now=13.0, cost=1) == 14.0


def test_places_skipped_stay_open() -> None:
    """Who has to pass late does not make others wait that could go before."""
    turns = Turns(pace=1.0, burst=1)
    late = turns.opening(at=100.0, now=0.0, cost=1)
    turns.claim(late, now=0.0, cost=1)
    others = [turns.claim_first(now=0.0, cost=1)[0] for _ in range(101)]
    assert late == 100.0
    assert others[:100] == list(range(100))
    assert others[100] == 101.0


def test_a_dear_call_does_not_use_too_small_a_gap() -> None:
    """Places given back one by one are not two of a kind; small ones use what is left of them."""
    turns = Turns(pace=1.0, burst=1)
    places = [turns.claim_first(now=0.0, cost=1)[1] for _ in range(3)]
    turns.give_back(places[-1], 1)
    assert turns.claim_first(now=0.0, cost=2)[0] == 4.0
    assert turns.claim_first(now=0.0, cost=0.5)[0] == 1.5
    assert turns.claim_first(now=0.0, cost=1)[0] == 5.0


def test_what_is_gone_by_is_forgotten() -> None:
    """Places given back and not used in time are none: the bucket does not grow by them."""
    turns = Turns(pace=1.0, burst=1)
    places = [turns.claim_first(now=0.0, cost=1)[1] for _ in range(10)]
    for place in places[1:]:
        turns.give_back(place, 1)
    claimed = [turns.claim_first(now=8.5, cost=1)[0] for _ in range(4)]
    assert claimed == [9.0, 10.0, 11.0, 12.0]


@given(moments=st.permutations([0.0, 0.5, 1.0, 30.0, 31.0, 3600.0]))
def test_clocks_read_out_of_order_harm_nothing(moments: Sequence[float]) -> None:
    """Threads hand in what they read in any order; a jump ahead is not made up for."""
    turns = Turns(pace=1.0, burst=2)
    taken = [turns.claim_first(now=moment, cost=1)[0] for moment in moments for _ in range(3)]
    assert crowded([(at, 1.0) for at in taken], 1.0, 2) == []
    assert all(later >= earlier for earlier, later in itertools.pairwise(taken))


def test_after_a_change_of_pace_places_are_due_by_the_new_one() -> None:
    """What was claimed keeps its place; its time is as far away as the new pace makes it."""
    turns = Turns(pace=2.0, burst=1)
    assert turns.claim(at=10.0, now=10.0, cost=1) == 20.0
    turns.change(4.0, now=20.0)
    assert turns.due(44.0, 1) == 21.0
    assert turns.claim_first(now=20.0, cost=1) == (20.0, 40.0)


def test_a_gap_is_for_others_if_a_call_fits() -> None:
    """Who passes later leaves what lies before: a whole unit is given away, half of one is not."""
    for later, next_one in [(1.0, 100.0), (0.5, 101.5)]:
        turns = Turns(pace=1.0, burst=1)
        turns.claim(at=100.0 + later, now=100.0, cost=1)
        assert turns.opening(at=100.0, now=100.0, cost=1) == next_one


def test_gaps_gone_by_cost_nothing() -> None:
    """A call after a thousand of them takes as many steps as one after ten."""
    counted = []
    for number in (10, 1000):
        turns = Turns(pace=1.0, burst=1)
        for index in range(number):
            turns.claim(at=3.0 * index + 1.0, now=3.0 * index, cost=1)
        counted.append(calls(lambda turns=turns, now=3.0 * number: turns.opening(now, now, 1)))  # type: ignore[misc]
    assert counted[0] == counted[1]
