"""Faults of contents: values that are none, and times that cursors stumble over (13 and 21)."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from random import Random

from blocks.cursors import Cursor
from tests.faults.cases import Asked, Case
from tests.faults.server import Reply
from tests.faults.wire import lasting
from tests.faults.world import START, World, nanoseconds

__all__ = ["KINDS"]

_LONG = "9" * 1000

# What stands in the place of a member of one record, as JSON.
_ODD: dict[str, tuple[str, str]] = {
    "nan": ("amount", "NaN"),
    "infinity": ("amount", "-Infinity"),
    "beyond a float": ("amount", "1e400"),
    "beyond 64 bits": ("reference", str(2**64 + 5)),
    "a thousand digits": ("reference", _LONG),
    "half a character": ("name", r'"\ud800"'),
    "no UTF-8": ("name", '"\udcff"'),
    "a line end in a text": ("name", '"a\nb"'),
    "a bad escape": ("name", r'"\x"'),
    "too deep": ("tags", "[" * 5000 + "]" * 5000),
    "single quotes": ("name", "'a'"),
    "a comment": ("name", '"a" /* b */'),
    "a comma too many": ("tags", '["a",]'),
    "a leading zero": ("amount", "012"),
    "a plus": ("amount", "+12"),
}


def records(rng: Random) -> Case:
    """One record of a page that JSON, UTF-8, 64 bits or the stack cannot hold; JSON cut or not."""
    how = rng.choice([*sorted(_ODD), "cut", "more", "twice", "zero", "text"])

    def spoil(asked: Asked) -> Reply:
        found = asked.envelope["data"]
        place = asked.rng.randrange(len(found))
        if how == "cut":
            body = asked.body
            return Reply((asked.say(body[: asked.rng.randrange(1, len(body))]),))
        if how == "more":
            return Reply((asked.say(asked.body + asked.rng.choice([b"]", b"{}", b"\0", b"//"])),))
        chosen = found[place] = dict(found[place])
        name, odd = _ODD.get(how, ("name", ""))
        if how == "twice":  # of equal names the last counts
            name, odd = "name", f'"no", "name": {json.dumps(chosen["name"])}'
        elif how == "text":  # numbers as text, as dlt coerces them
            name, odd = "reference", json.dumps(str(chosen["reference"]))
        elif how == "zero":
            name, odd = "name", json.dumps(chosen["name"])[:-1] + r'\u00e9"'
            asked.api.case.world.records[chosen["id"]]["name"] = chosen["name"] + "é"
        chosen[name] = "@odd@"
        body = asked.body.replace(b'"@odd@"', odd.encode(errors="surrogateescape"))
        return Reply((asked.say(body),))

    good = how in {"twice", "text", "zero"}
    return lasting(rng, spoil, expected="A" if good else "B", most=1, what=how)


def cursors(rng: Random) -> Case:
    """Times in many writings, equal at the border, late, in the future, or none at all."""
    how = rng.choice(["ties", "precision", "offsets", "future", "late", "null", "mixed"])
    world = World(rng)
    case = Case(rng, world, warm=True, virtual=True, what=how)
    half = sorted(world.records)[len(world.records) // 2 :]
    if how in {"precision", "mixed"}:
        for each in world.records.values():
            each["updated_at"] = _finer(rng, each["updated_at"])
        # In order: what is written later and is earlier would be late, which is another case.
        times = sorted((each["updated_at"] for each in world.records.values()), key=nanoseconds)
        for each, when in zip(world.records.values(), times, strict=True):
            each["updated_at"] = when
    if how in {"offsets", "mixed"}:
        for each in world.records.values():
            each["updated_at"] = _elsewhere(rng, each["updated_at"])
    if how == "null":
        for key in rng.sample(sorted(world.records), 3):
            world.records[key]["updated_at"] = None
        # Such rows are in every answer, as with APIs that leave them in.
    if how == "future":
        first = sorted(world.records)[: len(world.records) // 2]
        for key in rng.sample(first, 2):
            world.records[key]["updated_at"] = "2099-01-01T00:00:00Z"
        case.cursor = lambda state: Cursor(
            "updated_at", start=START, state=state, until="2030-01-01T00:00:00Z"
        )
    if how == "late":
        # With a lookback as long as they are late.
        mark = datetime.fromisoformat(world.records[half[0] - 1]["updated_at"])
        late = min(timedelta(seconds=rng.randint(1, 40)), mark - datetime.fromisoformat(START))
        when = (mark - late).isoformat().replace("+00:00", "Z")
        for key in half[:3]:
            world.records[key]["updated_at"] = when
        case.cursor = lambda state: Cursor("updated_at", start=START, state=state, lookback=late)
    return case


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


KINDS = {13: records, 21: cursors}
