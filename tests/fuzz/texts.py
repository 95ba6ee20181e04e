"""Inputs: what is right with a few things wrong, and what grows as far as asked."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, TypeVar

from hypothesis import strategies as st

T = TypeVar("T", str, bytes)

_TEXT = 'aZ09 \t,;:=<>"\\/?#%&.-+_[]{}()@*\x00\x7fäÿ\u0663\ud800\U0001f600'
_BYTES = 'aZ09 \t,;:=<>"\\/?#%&.-+_[]{}()@*\x00\x7fä\r\n'.encode() + b"\xff\xed\xa0\x80\xef\xbb\xbf"


@st.composite
def damaged(draw: st.DrawFn, samples: Sequence[T]) -> T:
    """One of `samples` with up to four stretches of it lost, doubled, moved or replaced."""
    text = draw(st.sampled_from(samples))
    first: Any = samples[0]
    letters: Any = _TEXT if isinstance(first, str) else _BYTES
    for _ in range(draw(st.integers(0, 4))):
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        end = min(end, start + 9)
        other = draw(st.sampled_from(samples))
        letter = draw(st.integers(0, len(letters) - 1))
        stretches = [
            text[:0],
            text[start:end] * 2,
            other[start:end],
            letters[letter : letter + 1],
        ]
        text = text[:start] + draw(st.sampled_from(stretches)) + text[end:]
    return text


def latin(text: str) -> bytes:
    """Text as a header can hold it: no line ends, characters beyond Latin-1 as UTF-8."""
    return "".join(text.splitlines()).replace("\x00", "").encode("utf-8", "surrogatepass")


def calls(function: Callable[[], Any]) -> int:
    """How many functions, of Python and of C, were called on the way to what it returns."""
    number = 0

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal number
        number += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return number
