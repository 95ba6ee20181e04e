"""Kinds of cursor values: how an API writes the values that a cursor or a window moves along.

| the API writes | kind |
|---|---|
| `2024-05-01T10:00:00Z`, any offset and precision (RFC 3339) | `Times()` |
| `1714557600`, or milli- or microseconds since 1970 | `Epoch("s")`, `"ms"`, `"us"` |
| `2024-05-01`, days of the account's zone | `Dates(zone="America/New_York")` |
| `2024-05-01 10:00`, or whatever `strptime` reads | `Pattern("%Y-%m-%d %H:%M")` |
| `4711` | `Integers()` |
| texts that sort as they are: ULIDs, padded numbers | `Texts()` |

What is compared are points: times as instants, numbers as numbers, texts by code point. A point is
read out of what the API writes and written as the API takes it, so no text is ever compared with
another that means the same. A kind of yours is whatever has what `Kind` has.
"""

from __future__ import annotations

from blocks.kinds.kind import Integers, Kind, Point, Texts, bound, kind_for, pack, unpack
from blocks.kinds.patterns import Pattern
from blocks.kinds.times import Dates, Epoch, Times

__all__ = [
    "Dates",
    "Epoch",
    "Integers",
    "Kind",
    "Pattern",
    "Point",
    "Texts",
    "Times",
    "bound",
    "kind_for",
    "pack",
    "unpack",
]
