"""JSON: read one value out of a body, count its records, or decode all of it.

`peek` and `count` skip in C whatever is not on their path; `loads` and `dumps` do whole documents.
One UTF-8 byte order mark at the start is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec
import orjson

__all__ = ["Path", "count", "dumps", "loads", "peek"]

Path: TypeAlias = str | Sequence[str | int]
"""Keys from the root to a value: dotted text (`"meta.next"`; `""` is the whole document), or a
sequence, for keys with dots (`["@odata.nextLink"]`) and places in arrays (`["data", -1, "id"]`)."""


def peek(body: bytes, path: Path) -> Any:
    """The value at `path`, or `None` when a key on the way is absent or its holder of another kind.

    Raises `msgspec.DecodeError` when the body is not JSON.

    >>> peek(b'{"data": [1, 2], "meta": {"next": "c2"}}', "meta.next")
    'c2'
    >>> peek(b'{"data": [{"id": 1}, {"id": 2}]}', ["data", -1, "id"])
    2
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


# The keys msgspec cannot name a field after, and those UTF-8 cannot hold.
_UNNAMABLE = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')


def _read(body: bytes, path: Path, kind: Any, finish: Callable[[Any], Any]) -> Any:
    keys = (path.split(".") if path else ()) if isinstance(path, str) else path
    try:
        found = _descend(_without_mark(body), keys, kind)
        return None if found is None else finish(found)
    except RecursionError:
        raise msgspec.DecodeError("JSON is nested too deeply") from None
    except UnicodeDecodeError:  # which holds the text it is about
        raise msgspec.DecodeError("JSON holds text that is not UTF-8") from None


def _descend(value: Any, keys: Sequence[str | int], kind: Any) -> Any:
    # One key at a time, each level left as Raw: the first step then checks the syntax of the whole
    # body, which one nested type would not do where it meets a value of another kind.
    try:
        if not keys:
            return msgspec.json.decode(value, type=kind)
        for key in keys[:-1]:
            value = _pick(value, key, msgspec.Raw)
            if value is None:
                return None
        return _pick(value, keys[-1], kind)
    except msgspec.ValidationError:
        msgspec.json.decode(value, type=msgspec.Raw)  # raises if what follows is not JSON
        return None


def _pick(value: Any, key: str | int, kind: Any) -> Any:
    if isinstance(key, str) and not _UNNAMABLE.search(key):
        return _field(key, kind)(value).value
    container: Any = dict[str, msgspec.Raw] if isinstance(key, str) else list[msgspec.Raw]
    try:
        return msgspec.json.decode(msgspec.json.decode(value, type=container)[key], type=kind)
    except LookupError:
        return None


@lru_cache(maxsize=256)
def _field(key: str, kind: Any) -> Callable[[Any], Any]:
    # A struct of one field: msgspec skips all others in C, without allocating. `rename` allows keys
    # that are no Python identifiers.
    step = msgspec.defstruct("Step", [("value", kind, None)], rename={"value": key})
    return msgspec.json.Decoder(step).decode


def _without_mark(body: bytes) -> bytes:
    return body.removeprefix(b"\xef\xbb\xbf")
