"""Flaws: where a body stops being JSON, found once its decoder has refused it.

Decoders say that they stopped, some of them where, none of them always. This reads the body again
by RFC 8259, slower and only then, so that every error has the byte and the path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isinf
from sys import get_int_max_str_digits

__all__ = ["Flaw", "deepest", "find", "refusal"]


@dataclass(frozen=True, slots=True)
class Flaw:
    """What was found, at which byte from 0 of the body, in the value at which path.

    >>> str(Flaw("NaN", 15, ("data", 0, "a")))
    'NaN at byte 15, in data[0].a'
    """

    found: str
    byte: int
    steps: tuple[str | int, ...]

    def __str__(self) -> str:
        return f"{self.found} at byte {self.byte}, in {_path(self.steps)}"


def find(body: bytes) -> Flaw | None:
    """The first flaw of `body`: what is no JSON, or a value that Python has no room for.

    >>> find(b'{"data": [{"a": 1}, {"a": 01}]}')
    Flaw(found="'1'", byte=27, steps=('data', 1, 'a'))
    >>> str(find(b'{"data": [{"a": '))
    'the end of the body at byte 16, in data[0].a'
    """
    try:
        body.decode()
    except UnicodeDecodeError as error:
        # What ends with the valid text before is a flaw of its own only if it comes earlier.
        text, cut = body[: error.start], error.reason == "unexpected end of data"
    else:
        text, cut = body, True
    scan = _Scan(text)
    problem = scan.run()
    if problem is None or (problem == _END and not cut):
        found = None if len(text) == len(body) else "bytes that are not UTF-8"
        return Flaw(found, len(text), scan.steps()) if found else None
    return Flaw(problem, len(body) if problem == _END else scan.at, scan.steps())


def deepest(body: bytes) -> Flaw:
    """The first place in `body` where arrays and objects are nested deepest.

    >>> str(deepest(b'[1, {"a": [ []]}]'))
    '4 levels at byte 12, in [1].a[0]'
    """
    scan = _Scan(body)
    scan.run()
    depth, at = scan.depth, scan.deepest
    scan = _Scan(body)
    scan.run(at)
    return Flaw(f"{depth} levels", at, scan.steps())


def refusal(body: bytes, error: Exception) -> str:
    """What a message says of `body`, which `error` of a decoder, or of `blocks.json`, refused.

    >>> refusal(b'{"meta": {"next": NaN}}', ValueError("malformed"))
    'expected JSON, got NaN at byte 18, in meta.next'
    """
    # `blocks.json` makes an error of its own of too many levels.
    if isinstance(error, RecursionError) or isinstance(error.__context__, RecursionError):
        return f"JSON is nested too deeply to read, got {deepest(body)}"
    return f"expected JSON, got {find(body) or error}"


_END = "the end of the body"
_SPACE = re.compile(rb"[ \t\n\r]*")
# Possessive, as is all that repeats here: nothing is tried twice.
_TEXT = re.compile(rb'"(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*+')
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+")
# As much of a number as is one, or might become one if there were more.
_NUMBER_BEGUN = re.compile(rb"-?(?:0|[1-9][0-9]*+)?+(?:\.[0-9]*+)?+(?:[eE][+-]?[0-9]*+)?+")
_ESCAPE_BEGUN = re.compile(rb"\\(?:u[0-9a-fA-F]{0,3})?\Z")
_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)")
_WORDS = (b"true", b"false", b"null")
_NO_JSON = re.compile(rb"NaN|-?Infinity")

# Scalars without anything to look into, with their commas: passed over together, which is most of
# a body at many times the speed.
_DULL = (
    rb'(?:"(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4})*+"'
    rb"|-?(?:0|[1-9][0-9]{0,300}+)(?:\.[0-9]++)?+(?![0-9.eE])|true|false|null)"
)
_GAP = rb"[ \t\n\r]*+"
_ITEM = re.compile(_GAP + _DULL + _GAP + rb",")
_ITEMS = re.compile(rb"(?:" + _ITEM.pattern + rb"){1,1000}+")
_MEMBERS = re.compile(
    rb"(?:" + _GAP + rb'("(?:[^"\\\x00-\x1f]++)?+)"' + _GAP + rb":" + _ITEM.pattern + rb"){1,1000}+"
)

# What may come next: a value, a value or the end of the array, a key, a key or the end of the
# object, a colon, a comma or the end of either, nothing.
_VALUE, _FIRST, _KEY, _FIRST_KEY, _COLON, _NEXT, _NOTHING = range(1, 8)


class _Scan:
    """One reading of a body, as far as it is JSON; `at` is where it stopped."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 3 if body.startswith(b"\xef\xbb\xbf") else 0
        self.depth = self.deepest = 0
        # For each array its index, for each object its last key as it stands there, from the quote.
        self._open: list[int | bytes] = []

    def steps(self) -> tuple[str | int, ...]:
        """The path to where it stopped."""
        return tuple(
            step if isinstance(step, int) else step[1:].decode(errors="replace")
            for step in self._open
            if step != b""
        )

    def run(self, until: int | None = None) -> str | None:
        """Read to the first flaw, and say what it is, or to the byte `until`."""
        want = _VALUE
        while self.at != until:
            self.at = _SPACE.match(self.body, self.at).end()  # type: ignore[union-attr]
            if self.at == until:
                return None
            character = self.body[self.at : self.at + 1]
            if not character:
                return None if want == _NOTHING else _END
            following = self._pass_over(want) or self._step(character, want)
            if isinstance(following, str):
                return following
            want = following
        return None

    def _pass_over(self, want: int) -> int | None:
        """Read as many dull values as stand here; what follows them, `None` if there is none."""
        in_array = bool(self._open) and isinstance(self._open[-1], int)
        if want in (_KEY, _FIRST_KEY) and (members := _MEMBERS.match(self.body, self.at)):
            self.at = members.end()
            self._open[-1] = members[1]
            return _KEY
        if want in (_VALUE, _FIRST) and in_array and (items := _ITEMS.match(self.body, self.at)):
            count = len(_ITEM.findall(self.body, self.at, items.end()))
            self._open[-1] += count  # type: ignore[operator]
            self.at = items.end()
            return _VALUE
        return None

    def _step(self, character: bytes, want: int) -> int | str:
        """Read one token; what may follow it, or what is wrong with it."""
        if want in (_VALUE, _FIRST) and character not in b"]},:":
            return self._value(character)
        if want in (_KEY, _FIRST_KEY) and character == b'"':
            return self._key()
        if want == _COLON and character == b":":
            self.at += 1
            return _VALUE
        holds_keys = bool(self._open) and not isinstance(self._open[-1], int)
        if want == _NEXT and character == b",":
            return self._comma()
        if want in (_NEXT, _FIRST, _FIRST_KEY) and character == (b"}" if holds_keys else b"]"):
            self.at += 1
            self._open.pop()
            return self._after()
        return self._unexpected()

    def _key(self) -> int | str:
        start = self.at
        problem = self._text()
        if problem is None:
            self._open[-1] = self.body[start : self.at - 1]
        return problem or _COLON

    def _comma(self) -> int:
        self.at += 1
        last = self._open[-1]
        if not isinstance(last, int):
            return _KEY
        self._open[-1] = last + 1
        return _VALUE

    def _value(self, character: bytes) -> int | str:
        if character in b"[{":
            self._open.append(0 if character == b"[" else b"")
            if len(self._open) > self.depth:
                self.depth, self.deepest = len(self._open), self.at
            self.at += 1
            return _FIRST if character == b"[" else _FIRST_KEY
        if character == b'"':
            return self._text() or self._after()
        if number := _NUMBER.match(self.body, self.at):
            return self._number(number[0]) or self._after()
        for word in _WORDS:
            if self.body.startswith(word, self.at):
                self.at += len(word)
                return self._after()
        return self._unexpected()

    def _after(self) -> int:
        return _NEXT if self._open else _NOTHING

    def _number(self, number: bytes) -> str | None:
        start, self.at = self.at, self.at + len(number)
        begun = _NUMBER_BEGUN.match(self.body, start).end()  # type: ignore[union-attr]
        if begun > self.at:
            self.at = begun
            return _END if begun == len(self.body) else self._unexpected()
        whole = number.lstrip(b"-").isdigit()
        if len(number) > get_int_max_str_digits() if whole else isinf(float(number)):
            self.at = start
            return "a number out of range"
        return None

    def _text(self) -> str | None:
        start, body = self.at, self.body
        end: int = _TEXT.match(body, start).end()  # type: ignore[union-attr]
        cut = end == len(body) or _ESCAPE_BEGUN.match(body, end) is not None
        if b"\\u" in body[start:end]:
            half = _half(body, start, end)
            # The other half may stand where the body ends.
            if half is not None and not (cut and half + 6 == end):
                self.at = half
                return "half of a surrogate pair"
        self.at = end
        if body[end : end + 1] == b'"':
            self.at = end + 1
            return None
        if cut:
            return _END
        return "a bad escape" if body[end : end + 1] == b"\\" else "a control character"

    def _unexpected(self) -> str:
        """What stands where something else has to."""
        body, start = self.body, self.at
        if found := _NO_JSON.match(body, start):
            return found[0].decode()
        rest = body[start : start + 5]
        for word in (*_WORDS, b"-0"):  # the sign alone is no number
            same = next((i for i, each in enumerate(word) if rest[i : i + 1] != bytes([each])), 0)
            self.at = max(self.at, start + same)
        if self.at >= len(body):
            return _END
        return repr(body[self.at : self.at + 4].decode(errors="ignore")[:1])


def _half(body: bytes, start: int, end: int) -> int | None:
    """The place of the first escape of a surrogate that stands without the other half."""
    high: int | None = None
    for escape in _ESCAPE.finditer(body, start, end):
        unit = int(escape[1] or b"0", 16)
        low = 0xDC00 <= unit < 0xE000
        if high is not None and not (low and escape.start() == high + 6):
            return high
        if high is None and low:
            return escape.start()
        high = escape.start() if 0xD800 <= unit < 0xDC00 else None
    return high


_PLAIN = re.compile(r"[\w$@ -]+")
_SHOWN = 8


def _path(steps: tuple[str | int, ...]) -> str:
    """Steps as the paths of `blocks.json` are written, of very many the first and last."""
    text = "".join(map(_step_text, steps[:_SHOWN])).removeprefix(".")
    if len(steps) > 2 * _SHOWN:
        text += "..."
        steps = steps[-_SHOWN:]
    else:
        steps = steps[_SHOWN:]
    return text + "".join(map(_step_text, steps)) or "the top of the document"


def _step_text(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    key = step if len(step) <= 40 else f"{step[:40]}..."
    return f".{key}" if _PLAIN.fullmatch(step) else f'["{key}"]'
