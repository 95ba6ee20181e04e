"""JSON: read one value out of a body, count its records, or decode all of it.

`peek`, `count` and `raw` skip in C whatever is not on their path; `loads` and `dumps` do whole
documents. One UTF-8 byte order mark at the start is dropped.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec
import orjson

__all__ = [
    "OrAbsent",
    "Path",
    "Step",
    "check_depth",
    "count",
    "dumps",
    "keys",
    "loads",
    "peek",
    "raw",
]

Step: TypeAlias = str | int | Mapping[str, str]
"""One step of a path: a key of an object, a place in an array, or members by which to choose from
an array of objects."""

Path: TypeAlias = str | Sequence[Step]
"""Steps from the root to a value: dotted text (`"meta.next"`, `"data[-1].id"`,
`"links[rel=next].href"`; `""` is the whole document), or a sequence, for keys with dots or brackets
(`["data", -1, "user.id"]`, `["links", {"rel": "next"}, "href"]`)."""


@dataclass(frozen=True, slots=True)
class OrAbsent:
    """Records at `path`, of which there are none where its last key is left out.

    Google leaves out a list that is empty, as do others whose JSON is made of Protocol Buffers. But
    so does an answer that says 200 and tells of a failure. So the object that lacks the key may
    have none but those in `beside`: any other is an error, as is null, and as is a page without its
    key wherever this is not said.
    """

    path: Path
    beside: Collection[str]

    def __post_init__(self) -> None:
        if not (steps := keys(self.path)) or not isinstance(steps[-1], str):
            raise ValueError(f"path: expected one that ends in a key, got {self.path!r}")
        if isinstance(self.beside, str):
            raise ValueError(f"beside: expected keys, got {self.beside!r}")  # noqa: TRY004 - as above

    def missing(self, body: bytes) -> bool:
        """Whether the object is there, and the key is left out.

        >>> records = OrAbsent("data.rows", ["total"])
        >>> records.missing(b'{"data": {"total": 0}}'), records.missing(b'{"data": {"error": 7}}')
        (True, False)
        """
        *above, _ = keys(self.path)
        holder = raw(body, above)
        try:
            found = msgspec.json.decode(holder or b"0", type=dict[str, msgspec.Raw])
        except msgspec.ValidationError:
            return False
        return found.keys() <= {*self.beside}


def peek(body: bytes, path: Path) -> Any:
    """The value at `path`, or `None` when a key on the way is absent or its holder of another kind.

    Raises `msgspec.DecodeError` when the body is not JSON. Of values and keys that are passed over
    it is not looked at whether their text is UTF-8; `count` and `raw` do likewise.

    >>> peek(b'{"data": [1, 2], "meta": {"next": "c2"}}', "meta.next")
    'c2'
    >>> peek(b'{"data": [{"id": 1}, {"id": 2}]}', "data[-1].id")
    2
    >>> peek(b'{"links": [{"rel": "self"}, {"rel": "next", "href": "/2"}]}', "links[rel=next].href")
    '/2'
    >>> peek(b'{"data": []}', "meta.next") is None
    True
    """
    return _read(body, path, msgspec.Raw, msgspec.json.decode)


def count(body: bytes, path: Path) -> int | None:
    """How many elements the array at `path` has, none of them decoded; `None` when it is no array.

    Raises `msgspec.DecodeError` when the body is not JSON.

    >>> count(b'{"data": [{"id": 1}, {"id": 2}]}', "data")
    2
    >>> count(b'{"data": null}', "data") is None
    True
    """
    length: int | None = _read(body, path, list[msgspec.Raw], len)
    return length


def raw(body: bytes, path: Path) -> bytes | None:
    """The JSON text of the value at `path`, checked but not decoded; `None` when there is none.

    Raises `msgspec.DecodeError` when the body is not JSON.

    >>> raw(b'{"data": [1, 2.50], "meta": null}', "data")
    b'[1, 2.50]'
    >>> raw(b'{"data": [1, 2.50], "meta": null}', "meta")
    b'null'
    """
    text: bytes | None = _read(body, path, msgspec.Raw, bytes)
    return text


def keys(path: Path) -> tuple[Step, ...]:
    """The steps of `path`; raises `ValueError` for text that is none.

    In text a step is what stands between dots; `[2]` and `[-1]` are places in an array, and
    `[rel=next]` is the first of its objects whose `rel` is `next`, or is a list that has `next`.
    The annotations of OData keep their dot: `@odata.nextLink` is one key.

    >>> keys("data.links[rel=next].href")
    ('data', 'links', {'rel': 'next'}, 'href')
    """
    return _parsed(path) if isinstance(path, str) else tuple(path)


def loads(body: bytes) -> Any:
    """The whole document as Python objects; of equal keys the last counts.

    Integers beyond 64 bits become floats, as orjson has them: `peek(body, "")` keeps their digits.
    Raises `ValueError` when the body is not JSON.

    >>> loads(b'{"id": 1}')
    {'id': 1}
    """
    return orjson.loads(_without_mark(body))


def dumps(value: Any) -> bytes:
    """Compact UTF-8 JSON; raises `TypeError` for what JSON cannot say.

    >>> dumps({"id": 1})
    b'{"id":1}'
    """
    return orjson.dumps(value)


def check_depth(body: bytes) -> None:
    """Raise `RecursionError` for JSON nested so deeply that msgspec would end the process.

    For whoever decodes with msgspec itself. It keeps to the interpreter's recursion limit, which
    protects the stack of C only as long as nobody has raised it, and from Python 3.12 on.

    >>> check_depth(b'{"data": [1]}')
    """
    if sys.version_info >= (3, 12) or sys.getrecursionlimit() <= _DEEPEST:
        return
    if body.count(b"[") + body.count(b"{") <= _DEEPEST:
        return
    depth = 0
    for bracket in _STRING.sub(b"", body).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > _DEEPEST:
            raise RecursionError(f"JSON is nested more than {_DEEPEST} deep")


# Far deeper than documents are, and some hundred kilobytes of a stack of megabytes. With a limit of
# 10**6, 200,000 brackets are a segmentation fault.
_DEEPEST = 3000
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
# The keys msgspec cannot name a field after, and those UTF-8 cannot hold.
_UNNAMABLE = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')


def _read(body: bytes, path: Path, kind: Any, finish: Callable[[Any], Any]) -> Any:
    steps = keys(path)
    try:
        check_depth(body)
        found = _descend(_without_mark(body), steps, kind)
        return None if found is None else finish(found)
    except RecursionError:
        raise msgspec.DecodeError("JSON is nested too deeply") from None
    except UnicodeDecodeError:  # which holds the text it is about
        raise msgspec.DecodeError("JSON holds text that is not UTF-8") from None


def _descend(value: Any, steps: tuple[Step, ...], kind: Any) -> Any:
    # One key at a time, each level left as Raw: the first step then checks the syntax of the whole
    # body, which one nested type would not do where it meets a value of another kind.
    try:
        if not steps:
            return msgspec.json.decode(value, type=kind)
        for step in steps[:-1]:
            value = _pick(value, step, msgspec.Raw)
            if value is None:
                return None
        return _pick(value, steps[-1], kind)
    except msgspec.ValidationError:
        msgspec.json.decode(value, type=msgspec.Raw)  # raises if what follows is not JSON
        return None


def _pick(value: Any, step: Step, kind: Any) -> Any:
    if isinstance(step, str) and not _UNNAMABLE.search(step):
        return _field(step, kind)(value).value
    container: Any = dict[str, msgspec.Raw] if isinstance(step, str) else list[msgspec.Raw]
    found = msgspec.json.decode(value, type=container)
    try:
        chosen = _chosen(found, step) if isinstance(step, Mapping) else found[step]
    except LookupError:
        return None
    return msgspec.json.decode(chosen, type=kind)


def _chosen(elements: list[msgspec.Raw], members: Mapping[str, str]) -> msgspec.Raw:
    # As HAL, FHIR and PayPal list their links; a list for `rel` is Siren's.
    for element in elements:
        found = msgspec.json.decode(element)
        if isinstance(found, dict) and all(
            value == found.get(name) or (isinstance(found.get(name), list) and value in found[name])
            for name, value in members.items()
        ):
            return element
    raise LookupError


_PART = re.compile(r"((?:@odata\.)?[^.\[\]]*)((?:\[[^\[\]]*\])*)(\.|\Z)")
_BRACKET = re.compile(r"\[(?:(-?[0-9]{1,9})|([^=\]]+)=([^\]]*))\]")


@lru_cache(maxsize=256)
def _parsed(path: str) -> tuple[Step, ...]:
    steps: list[Step] = []
    at, more = 0, path
    while more:
        part = _PART.match(path, at)
        brackets = [] if part is None else [*_BRACKET.finditer(part[2])]
        if part is None or "".join(found[0] for found in brackets) != part[2]:
            raise ValueError(f"path: expected keys, [2] or [key=value], got {path!r}")
        if part[1] or not brackets:
            steps.append(part[1])
        for place, name, value in (found.groups() for found in brackets):
            steps.append(int(place) if place else {name: value})
        at, more = part.end(), part[3]
    return tuple(steps)


@lru_cache(maxsize=256)
def _field(key: str, kind: Any) -> Callable[[Any], Any]:
    # A struct of one field: msgspec skips all others in C, without allocating. `rename` allows keys
    # that are no Python identifiers.
    step = msgspec.defstruct("Step", [("value", kind, None)], rename={"value": key})
    return msgspec.json.Decoder(step).decode


def _without_mark(body: bytes) -> bytes:
    return body.removeprefix(b"\xef\xbb\xbf")
