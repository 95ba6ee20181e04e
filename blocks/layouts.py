"""Layouts: columns of texts that are times in one format, read at once.

In C (`native/layouts.c`), at some nanoseconds a text. What it reads has numbers with all of their
digits and names in their very letters, and so a length that is always the same, but for a fraction
and an offset at the end. Of a column with any other text it reads nothing, nor of any where there
was no C compiler: then the caller reads it in a slower way.
"""

from __future__ import annotations

import calendar
import locale
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import time
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["CLOCK", "DAY", "INSTANT", "Layout", "layout"]

_Names: TypeAlias = tuple[tuple[bytes, ...], ...]

_compiled: Any
try:
    _compiled = import_module("blocks._layouts")
except ImportError:
    _compiled = None

_WIDEST = 64
_NUMBERS = {"Y": 4, **dict.fromkeys("ymdHIMS", 2)}
# What directives of strptime are for: of each a format has at most one.
_PARTS = {
    **dict.fromkeys("Yy", "year"),
    **dict.fromkeys("mbB", "month"),
    **dict.fromkeys("aA", "weekday"),
    **dict.fromkeys("HI", "hour"),
    **{each: each for each in "dpMSfz"},
}


@dataclass(frozen=True, slots=True)
class Layout:
    """A format, as `native/layouts.c` has it."""

    model: bytes
    marks: bytes
    tail: str = ""
    names: _Names = ((), (), ())

    def read(self, texts: pa.ChunkedArray) -> pa.ChunkedArray | None:
        """Timestamps in microseconds, nulls kept; `None` where a text may have another format.

        They are in UTC if the format has an offset, else what clocks show.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        if _compiled is None:
            return None
        kind = pa.timestamp("us", "UTC" if "z" in self.tail.lower() else None)
        chunks = []
        for chunk in texts.chunks:
            some = chunk.drop_null() if chunk.null_count else chunk
            _, offsets, data = some.buffers()
            found = _compiled.clocks(
                *(offsets or bytes(8), data or b"", some.offset, len(some)),
                *(pa.types.is_large_string(some.type), self.model, self.marks),
                *(self.tail, self.names),
            )
            if found is None:
                return None
            times = pa.Array.from_buffers(kind, len(some), [None, pa.py_buffer(found)])
            if chunk.null_count:
                nulls = pa.nulls(len(chunk), kind)
                times = pc.replace_with_mask(nulls, chunk.is_valid(), times)
            chunks.append(times)
        return pa.chunked_array(chunks, kind)


DAY = Layout(b"0000-00-00", b"YYYY'mm'dd")
"""2024-05-01"""
CLOCK = Layout(b"0000-00-00T00:00:00", b"YYYY'mm'ddTHH'MM'SS", ".")
"""2024-05-01T10:00:00, with a fraction or without one."""
INSTANT = Layout(CLOCK.model, CLOCK.marks, ".Z")
"""The same with an offset."""


def layout(form: str) -> Layout | None:
    """The layout of a format of `strptime`; `None` for one of another length for other times.

    >>> layout("%d.%m.%Y")
    Layout(model=b'00.00.0000', marks=b"dd'mm'YYYY", tail='', names=((), (), ()))
    >>> layout("week %W of %Y")
    """
    return _layout(form, locale.setlocale(locale.LC_TIME))


@lru_cache(maxsize=256)
def _layout(form: str, _language: str) -> Layout | None:
    steps = re.findall("%(.?)|([^%]+)", form, re.DOTALL)
    parts = [_PARTS.get(step) for step, literal in steps if not literal and step != "%"]
    if None in parts or len({*parts}) < len(parts) or not {"year", "month", "d"} <= {*parts}:
        return None
    tail = ""
    for last in "zf":
        if steps[-1][0] == last:
            tail = steps.pop()[0] + tail
    model, marks = b"", b""
    names: dict[str, tuple[bytes, ...]] = {"b": (), "a": (), "p": ()}
    for directive, literal in steps:
        if count := _NUMBERS.get(directive):
            model += b"0" * count
            marks += directive.encode() * count
        elif directive in ("", "%"):
            text = (literal or "%").encode()
            model += text
            marks += b"'" * len(text)
        elif several := _names(directive):
            names[directive.lower()] = several
            model += bytes(len(several[0]))
            marks += directive.lower().encode() * len(several[0])
        else:
            return None
    if len(model) > _WIDEST or (b"I" in marks) != (b"p" in marks):
        return None
    return Layout(model, marks, tail, tuple(names.values()))


def _names(directive: str) -> tuple[bytes, ...]:
    """The names that a directive is one of, in the language at hand; none if of several lengths."""
    languages: dict[str, Iterable[str]] = {
        "a": calendar.day_abbr,
        "A": calendar.day_name,
        "b": calendar.month_abbr[1:],
        "B": calendar.month_name[1:],
        "p": [time(hour).strftime("%p") for hour in (1, 13)],
    }
    names = tuple(each.encode() for each in languages.get(directive, []))
    return names if len({*map(len, names)}) == 1 and names[0] else ()
