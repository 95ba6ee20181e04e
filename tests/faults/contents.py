"""Faults of contents: values that are none (13)."""

from __future__ import annotations

import json
from random import Random

from tests.faults.cases import Asked, Case
from tests.faults.server import Reply
from tests.faults.wire import lasting

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


KINDS = {13: records}
