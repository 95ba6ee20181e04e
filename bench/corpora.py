"""Corpora: seeded JSON pages in the shapes that APIs answer with, for the other scripts here.

A corpus is a function of a number of records and a seed, and yields page bodies one by one, so
that a million records need no memory. Bodies are compact arrays of `PAGE` records.

| name | shape |
|---|---|
| `issues` | nested and wide: 91 columns, two nested tables, 4.5 kB a record |
| `events` | 20 types with 30 keys each of their own: some 600 sparse columns, and keys drift |
| `orders` | deep lists: orders, their lines, the discounts of a line; addresses |
| `metrics` | flat: 12 columns of numbers and times, 0.3 kB a record |
| `drifting` | a key that no page had before on every page |

>>> list(CORPORA)
['issues', 'events', 'orders', 'metrics', 'drifting']
>>> [len(orjson.loads(page)) for page in metrics(250, seed=1)]
[100, 100, 50]
>>> all(list(corpus(150, 1)) == list(corpus(150, 1)) for corpus in CORPORA.values())
True
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import orjson

from blocks.demo import records as demo

__all__ = ["CORPORA", "PAGE", "Corpus", "drifting", "events", "issues", "metrics", "orders"]

PAGE = 100
"""Records on a page: what most APIs allow at most."""

Corpus = Callable[[int, int], Iterator[bytes]]
Record = dict[str, Any]

_START = datetime(2024, 1, 1, tzinfo=UTC)
# fmt: off
_WORDS = (
    "amber", "basil", "cedar", "delta", "ember", "fjord", "grove", "haven", "indigo",
    "jetty", "knoll", "larch", "maple", "nectar", "ochre", "pebble", "quartz", "raven",
    "sable", "tundra", "umber", "violet", "willow", "xenon", "yonder", "zephyr",
)
# fmt: on


def issues(records: int, seed: int) -> Iterator[bytes]:
    """The issues of `blocks.demo`, with bodies cut to a spread of lengths."""
    return _pages(_issues(records, seed))


def events(records: int, seed: int) -> Iterator[bytes]:
    """Events of 20 types; every 2,000 events one type gets a key more."""
    return _pages(_events(records, seed))


def orders(records: int, seed: int) -> Iterator[bytes]:
    """Orders with one to eight lines, each with no to three discounts."""
    return _pages(_orders(records, seed))


def metrics(records: int, seed: int) -> Iterator[bytes]:
    """Readings of sensors: integers, floats, times and two short texts."""
    return _pages(_metrics(records, seed))


def drifting(records: int, seed: int) -> Iterator[bytes]:
    """Ten keys that stay, and on the records of page `n` the key `extra_n`."""
    return _pages(_drifting(records, seed))


CORPORA: dict[str, Corpus] = {
    "issues": issues,
    "events": events,
    "orders": orders,
    "metrics": metrics,
    "drifting": drifting,
}


def _pages(records: Iterable[Record]) -> Iterator[bytes]:
    source = iter(records)
    while page := list(islice(source, PAGE)):
        yield orjson.dumps(page)


def _issues(records: int, seed: int) -> Iterator[Record]:
    draw = random.Random(seed)
    block = 5_000
    for start in range(0, records, block):
        # Issues are made for a whole span of time: block by block, so that memory stays flat.
        for issue in demo.generate(min(block, records - start), seed + start):
            issue["id"] += start * 10_000
            issue["number"] += start
            if issue["body"]:
                issue["body"] = issue["body"][: 40 + int(draw.expovariate(1 / 1_500))]
            yield issue


def _events(records: int, seed: int) -> Iterator[Record]:
    draw = random.Random(seed)
    kinds = [f"{noun}.{verb}" for noun in _WORDS[:10] for verb in ("opened", "closed")]
    keys = {kind: [_event_key(kind, index) for index in range(30)] for kind in kinds}
    for number in range(records):
        if number % 2_000 == 1_999:
            kind = draw.choice(kinds)
            keys[kind].append(_event_key(kind, len(keys[kind])))
        # Some types are common, most are rare.
        kind = kinds[min(int(draw.expovariate(0.25)), len(kinds) - 1)]
        payload: Record = {key: make(draw) for key, make in keys[kind] if draw.random() < 0.8}
        payload["actor"] = {"id": draw.randrange(10_000), "login": _user(draw)}
        if draw.random() < 0.3:
            payload["tags"] = draw.sample(_WORDS, 2)
        yield {
            "id": f"evt_{seed:04x}{number:012x}",
            "type": kind,
            "created_at": _time(number),
            "livemode": True,
            "api_version": "2024-06-20",
            "payload": payload,
        }


def _event_key(kind: str, index: int) -> tuple[str, Callable[[random.Random], Any]]:
    makers: tuple[tuple[str, Callable[[random.Random], Any]], ...] = (
        ("note", lambda draw: " ".join(draw.choices(_WORDS, k=6))),
        ("count", lambda draw: draw.randrange(1_000_000)),
        ("state", lambda draw: draw.choice(_WORDS)),
        ("done_at", lambda draw: _time(draw.randrange(10**7))),
        ("ratio", lambda draw: round(draw.random(), 6)),
        ("is_final", lambda draw: draw.random() < 0.5),
        ("reference", lambda draw: f"ref_{draw.getrandbits(64):016x}"),
        ("amount", lambda draw: draw.randrange(10**9) if draw.random() < 0.9 else None),
    )
    name, make = makers[index % len(makers)]
    return f"{kind.replace('.', '_')}_{name}_{index}", make


def _orders(records: int, seed: int) -> Iterator[Record]:
    draw = random.Random(seed)
    for number in range(records):
        lines = [_line(draw, index) for index in range(draw.randint(1, 8))]
        yield {
            "id": 4_000_000_000 + number,
            "name": f"#{1000 + number}",
            "created_at": _time(number),
            "updated_at": _time(number + 3600),
            "currency": "EUR",
            "total_price": round(sum(line["price"] * line["quantity"] for line in lines), 2),
            "confirmed": draw.random() < 0.98,
            "note": " ".join(draw.choices(_WORDS, k=5)) if draw.random() < 0.2 else None,
            "customer": {
                "id": draw.randrange(10**9),
                "email": f"{_user(draw)}@example.com",
                "orders_count": draw.randrange(40),
                "tags": draw.sample(_WORDS, draw.randrange(3)),
            },
            "billing_address": _address(draw),
            "shipping_address": _address(draw),
            "discount_codes": [
                {"code": draw.choice(_WORDS).upper(), "amount": round(draw.random() * 20, 2)}
                for _ in range(draw.randrange(2))
            ],
            "lines": lines,
        }


def _line(draw: random.Random, index: int) -> Record:
    return {
        "id": draw.randrange(10**10),
        "position": index + 1,
        "sku": f"SKU-{draw.randrange(10**6):06d}",
        "title": " ".join(draw.choices(_WORDS, k=4)).title(),
        "quantity": draw.randint(1, 9),
        "price": round(draw.random() * 200, 2),
        "taxable": True,
        "properties": {"colour": draw.choice(_WORDS), "gift": draw.random() < 0.1},
        "discounts": [
            {
                "code": draw.choice(_WORDS).upper(),
                "amount": round(draw.random() * 9, 2),
                "reason": " ".join(draw.choices(_WORDS, k=3)),
            }
            for _ in range(draw.choices((0, 1, 2, 3), (6, 3, 1, 1))[0])
        ],
    }


def _address(draw: random.Random) -> Record:
    return {
        "name": _user(draw),
        "address1": f"{draw.randrange(1, 400)} {draw.choice(_WORDS).title()} Street",
        "address2": None,
        "city": f"city-{draw.randrange(500)}",
        "zip": f"{draw.randrange(10**5):05d}",
        "country_code": draw.choice(("DE", "FR", "IT", "NL")),
        "latitude": round(draw.random() * 90, 6),
        "longitude": round(draw.random() * 180, 6),
    }


def _metrics(records: int, seed: int) -> Iterator[Record]:
    draw = random.Random(seed)
    for number in range(records):
        low, high = sorted((draw.random() * 100, draw.random() * 100))
        yield {
            "id": number,
            "device": f"device-{draw.randrange(2_000):04d}",
            "metric": draw.choice(("temperature", "pressure", "humidity")),
            "observed_at": _time(number),
            "received_at": _time(number + 2),
            "value": (low + high) / 2,
            "low": low,
            "high": high,
            "samples": draw.randrange(1, 61),
            "battery": draw.randrange(101),
            "sequence": draw.getrandbits(48),
            "valid": draw.random() < 0.99,
        }


def _drifting(records: int, seed: int) -> Iterator[Record]:
    draw = random.Random(seed)
    for number in range(records):
        yield {
            "id": number,
            "name": " ".join(draw.choices(_WORDS, k=3)),
            "owner": {"id": draw.randrange(10_000), "login": _user(draw)},
            "created_at": _time(number),
            "score": draw.random(),
            "votes": draw.randrange(10_000),
            "text": " ".join(draw.choices(_WORDS, k=30)),
            "open": draw.random() < 0.5,
            "state": draw.choice(_WORDS),
            f"extra_{number // PAGE}": draw.choice(_WORDS),
        }


def _user(draw: random.Random) -> str:
    return f"user-{draw.randrange(10_000):04d}"


def _time(second: int) -> str:
    return (_START + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")
