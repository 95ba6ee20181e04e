"""Faults of cursors: values that they stumble over, and orders in which rows come (21)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from blocks.cursors import Cursor
from blocks.kinds import Dates, Epoch, Integers, Kind, Pattern, Texts, Times
from tests.faults.cases import Asked, Case
from tests.faults.server import Reply
from tests.faults.world import START, World, nanoseconds

__all__ = ["KINDS"]

_ORDERS = ("newest first", "no order")
_SPOILED = ("renamed", "a word")
_CLOCKS = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True)
class Stamp:
    """How an API writes when, or after what, a record was made, beside `updated_at`.

    `write` has that of a record, `read` what the API compares.
    """

    kind: Kind
    start: Any
    write: Callable[[Mapping[str, Any]], Any]
    read: Callable[[Any], Any] = str
    exclusive: bool = False


def _moment(one: Mapping[str, Any], begin: str = START, times: int = 1) -> datetime:
    """When it was updated; each second a longer time, from another day on."""
    passed = (nanoseconds(one["updated_at"]) - nanoseconds(START)) // 10**9
    return datetime.fromisoformat(begin) + timedelta(seconds=passed * times)


def _tick(one: Mapping[str, Any]) -> int:
    return int((nanoseconds(one["updated_at"]) - nanoseconds(START)) // 10**9)


def _local(moment: datetime, zone: str) -> datetime:
    return moment.astimezone(ZoneInfo(zone))


STAMPS: Mapping[str, Stamp] = {
    "seconds": Stamp(Epoch("s"), START, lambda one: int(_moment(one).timestamp()), int),
    "milliseconds as text": Stamp(
        Epoch("ms"), START, lambda one: f"{_moment(one).timestamp():.0f}000", int
    ),
    "days of the account": Stamp(
        Dates(zone="America/New_York"),
        "2024-03-07",  # clocks change on the tenth
        lambda one: str(_local(_moment(one, "2024-03-07T07:00Z", 3600), "America/New_York").date()),
    ),
    # An API that compares what its clocks show, also in the hour that they show twice.
    "clocks": Stamp(
        Pattern(_CLOCKS, zone="Europe/Berlin"),
        "2024-10-26 12:00:00",
        lambda one: _local(_moment(one, "2024-10-26T22:00Z", 60), "Europe/Berlin").strftime(
            _CLOCKS
        ),
    ),
    "no colon": Stamp(
        Times(), START, lambda one: f"{_moment(one):%Y-%m-%dT%H:%M:%S+0000}", datetime.fromisoformat
    ),
    "lower case": Stamp(
        Times(),
        START,
        lambda one: f"{_moment(one):%Y-%m-%dt%H:%M:%Sz}",
        lambda text: datetime.fromisoformat(text.upper()),
    ),
    "a space": Stamp(Times(), START, lambda one: str(_moment(one)), datetime.fromisoformat),
    "ids": Stamp(Integers(unique=True), 0, lambda one: one["id"], int),
    "digits": Stamp(Integers(), 0, lambda one: str(_tick(one)), int),  # "9" before "10"
    "beyond 64 bits": Stamp(Integers(), 0, lambda one: str(2**64 + _tick(one)), int),
    "unique texts": Stamp(Texts(unique=True), "0", lambda one: f"{one['id']:026}", exclusive=True),
    "shared texts": Stamp(Texts(), "0", lambda one: f"{_tick(one):08}"),
    "not always there": Stamp(Epoch("s"), START, lambda one: int(_moment(one).timestamp()), int),
}


def cursors(rng: Random) -> Case:
    """Times and other marks in many writings and orders, equal, late, or none at all."""
    how = rng.choice([*_MADE, *_ORDERS, *sorted(STAMPS), *_SPOILED])
    world = World(rng)
    if how in STAMPS:
        return _stamped(rng, world, how)
    if how in _SPOILED:
        return _spoiled(rng, world, how)
    case = Case(rng, world, warm=True, virtual=True, what=how)
    if how in _ORDERS:
        places = {key: rng.random() if how == "no order" else -key for key in world.records}
        world.order = lambda one: places[one["id"]]
    else:
        _MADE[how](case)
    return case


def _ties(case: Case) -> None:
    """As any world has them."""


def _exclusive(case: Case) -> None:
    case.world.wanted = lambda one, since: nanoseconds(one["updated_at"]) > nanoseconds(since)
    case.ask = lambda cursor: cursor.after


def _precision(case: Case) -> None:
    records = case.world.records.values()
    for each in records:
        each["updated_at"] = _finer(case.rng, each["updated_at"])
    # In order: what is written later and is earlier would be late, which is another case.
    times = sorted((each["updated_at"] for each in records), key=nanoseconds)
    for each, when in zip(records, times, strict=True):
        each["updated_at"] = when


def _offsets(case: Case) -> None:
    for each in case.world.records.values():
        each["updated_at"] = _elsewhere(case.rng, each["updated_at"])


def _mixed(case: Case) -> None:
    _precision(case)
    _offsets(case)


def _null(case: Case) -> None:
    # Such rows are in every answer, as with APIs that leave them in.
    records = case.world.records
    for key in case.rng.sample(sorted(records), 3):
        records[key]["updated_at"] = None


def _future(case: Case) -> None:
    records = case.world.records
    for key in case.rng.sample(sorted(records)[: len(records) // 2], 2):
        records[key]["updated_at"] = "2099-01-01T00:00:00Z"
    case.cursor = lambda state: Cursor(
        "updated_at", start=START, state=state, until="2030-01-01T00:00:00Z"
    )


def _late(case: Case) -> None:
    # With a lookback as long as they are late.
    records = case.world.records
    half = sorted(records)[len(records) // 2 :]
    mark = datetime.fromisoformat(records[half[0] - 1]["updated_at"])
    late = min(timedelta(seconds=case.rng.randint(1, 40)), mark - datetime.fromisoformat(START))
    when = (mark - late).isoformat().replace("+00:00", "Z")
    for key in half[:3]:
        records[key]["updated_at"] = when
    case.cursor = lambda state: Cursor("updated_at", start=START, state=state, lookback=late)


_MADE: Mapping[str, Callable[[Case], None]] = {
    "ties": _ties,
    "exclusive": _exclusive,
    "precision": _precision,
    "offsets": _offsets,
    "mixed": _mixed,
    "null": _null,
    "future": _future,
    "late": _late,
}


def _finer(rng: Random, when: str) -> str:
    digits = rng.choice(
        ["", "5", "000001", "123456", "999999", "9999999", "123456789", "999999999"]
    )
    return when.replace("Z", f".{digits}Z") if digits else when


def _elsewhere(rng: Random, when: str) -> str:
    zone = timezone(timedelta(minutes=rng.choice([0, 0, 120, -300, 330, -765])))
    fraction = when[when.index(".") : -1] if "." in when else ""
    moved = datetime.fromisoformat(when.replace(fraction, "")).astimezone(zone).isoformat()
    return (
        moved[:19]
        + fraction
        + (moved[19:] if rng.random() < 0.8 else moved[19:].replace("+00:00", "Z"))
    )


def _stamped(rng: Random, world: World, how: str) -> Case:
    stamp = STAMPS[how]
    without = set(rng.sample(sorted(world.records), 3)) if how == "not always there" else set()
    for key, one in world.records.items():
        if key not in without:
            one["stamp"] = stamp.write(one)

    def wanted(one: dict[str, Any], since: Any) -> bool:
        if "stamp" not in one:  # in every answer, as those of `null`
            return True
        mine, asked = stamp.read(one["stamp"]), stamp.read(since)
        return bool(mine > asked if stamp.exclusive else mine >= asked)

    world.wanted = wanted
    case = Case(rng, world, warm=True, virtual=True, what=how)
    case.cursor = lambda state: Cursor("stamp", start=stamp.start, kind=stamp.kind, state=state)
    if stamp.exclusive:
        case.ask = lambda cursor: cursor.after
    return case


def _spoiled(rng: Random, world: World, how: str) -> Case:
    page = 0 if how == "renamed" else rng.randrange(world.pages - 1)

    def spoil(asked: Asked) -> Reply:
        found = asked.envelope["data"] = [dict(one) for one in asked.envelope["data"]]
        if how == "renamed":
            for one in found:
                one["changed_at"] = one.pop("updated_at")
        else:
            found[asked.rng.randrange(len(found))]["updated_at"] = "yesterday"
        return Reply((asked.say(),))

    case = Case(rng, world, what=f"{how} on page {page}", expected="B", faults={page: [spoil]})
    case.warm, case.virtual = False, True
    # A page on which there are times has such a value in a column of its own, as dlt does.
    case.cursor = lambda state: Cursor("updated_at", start=START, state=state, missing="raise")
    return case


KINDS = {21: cursors}
