"""Places: where in a response a value is, and where in a request it goes.

In a response: a path into the JSON body (`blocks.json.Path`), or a `Header`. In a request: the name
of a query parameter, a `Header`, a field of a JSON body (`JsonBody`; GraphQL variables are
`JsonBody("variables.after")`), or of a form (`FormBody`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar
from urllib.parse import parse_qsl

import httpx
import msgspec

from blocks.errors import BodyError, ConfigError, PagingError, where
from blocks.flaws import refusal
from blocks.json import OrAbsent, Path, count, keys, peek, raw
from blocks.requests import repeat, replaced, turn

__all__ = [
    "FormBody",
    "Header",
    "JsonBody",
    "OrNull",
    "Records",
    "Source",
    "Target",
    "kind",
    "put",
    "read",
    "records",
    "sent",
    "size",
    "truth",
    "values",
    "whole",
]

_T = TypeVar("_T")
_NUMBERS = "blocks.numbers"


@dataclass(frozen=True, slots=True)
class Header:
    """The header `name`, of a response or of a request."""

    name: str

    def __post_init__(self) -> None:
        # RFC 9110, section 5.6.2: a field name is a token.
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", self.name):
            raise ConfigError(f"name: expected the name of a header, got {self.name!r}")


@dataclass(frozen=True, slots=True)
class JsonBody:
    """The value at `path` in the JSON body of a request; objects on the way are made as needed."""

    path: Path

    def __post_init__(self) -> None:
        steps = keys(self.path)
        if not steps or not all(isinstance(step, str) for step in steps):
            raise ConfigError(f"path: expected keys of objects, got {self.path!r}")


@dataclass(frozen=True, slots=True)
class FormBody:
    """The field `name` of a request's form body (application/x-www-form-urlencoded)."""

    name: str


@dataclass(frozen=True, slots=True)
class OrNull:
    """Records at `path` where null stands for an empty array.

    Go writes an empty list so, but null is also what a failed call leaves where the records would
    be. Only who knows the API can tell, so without this it is an error; no key at all always is.
    """

    path: Path


Source: TypeAlias = Path | Header
"""Where in a response a value is."""

Target: TypeAlias = str | Header | JsonBody | FormBody
"""Where in a request a value goes; text is the name of a query parameter."""

Records: TypeAlias = Path | OrNull | OrAbsent
"""Where in a response the array of records is."""


def read(response: httpx.Response, source: Source) -> Any:
    """The value at `source`; `None` when it is not there. Text, if it is a header's.

    Raises `BodyError` when the body is not JSON.

    >>> read(httpx.Response(200, headers={"X-Next-Page": "2"}), Header("X-Next-Page"))
    '2'
    """
    if isinstance(source, Header):
        return response.headers.get(source.name)
    return _json(response, peek, source)


def records(response: httpx.Response, place: Records) -> tuple[int, bytes]:
    """How many records there are, and the JSON text of their array.

    Raises `BodyError` when there is no array.

    >>> records(httpx.Response(200, content=b'{"items": [{"id": 1}]}'), "items")
    (1, b'[{"id": 1}]')
    """
    rows = size(response, place)
    text = _json(response, raw, _path(place))
    return rows, b"[]" if text is None or text == b"null" else text


def size(response: httpx.Response, place: Records) -> int:
    """How many records there are, by a single pass over the body, however often it is asked.

    Raises `BodyError` when there is no array.

    >>> size(httpx.Response(200, content=b'{"items": [{"id": 1}]}'), "items")
    1
    """
    path = _path(place)
    rows = _kept(response, ("records", path), lambda: _json(response, count, path))
    if rows is not None:
        return rows
    if isinstance(place, OrAbsent) and place.missing(response.content):
        return 0
    null = _json(response, raw, path) == b"null"
    if null and isinstance(place, OrNull):
        return 0
    got = "null" if null else kind(_json(response, peek, path))
    raise BodyError(f"expected an array of records at {path!r}, got {got}", response)


def values(response: httpx.Response, place: Records, key: Path) -> list[Any]:
    """What each record has at `key`; `None` where it has nothing there.

    >>> values(httpx.Response(200, json={"items": [{"id": 1}, {}]}), "items", "id")
    [1, None]
    """
    rows = msgspec.json.decode(records(response, place)[1], type=list[msgspec.Raw])
    return [peek(bytes(row), key) for row in rows]


def whole(response: httpx.Response, source: Source) -> int:
    """The whole number at `source`, which may be written as text."""
    if isinstance(source, Header):
        number = _number(read(response, source))
    else:
        number = _kept(response, ("whole", source), lambda: _number(read(response, source)))
    if number is None:
        got = kind(read(response, source))
        raise BodyError(f"expected a whole number at {source!r}, got {got}", response)
    return number


def truth(response: httpx.Response, source: Source) -> bool:
    """The boolean at `source`, which may be written as text or as 0 and 1."""
    value = read(response, source)
    text = value.strip().lower() if isinstance(value, str) else value
    # Of equal keys 1 and True are one, as are 0 and False.
    known = {"true": True, "false": False, "1": True, "0": False, 1: True, 0: False}
    if isinstance(text, str | int) and text in known:
        return known[text]
    raise BodyError(f"expected true or false at {source!r}, got {kind(value)}", response)


def sent(request: httpx.Request, target: Target, default: int) -> int:
    """The whole number `request` has at `target`, or `default` if nothing is there."""
    found: Any
    if isinstance(target, Header):
        found = request.headers.get(target.name)
    elif isinstance(target, JsonBody):
        found = _member(request, target)
    elif isinstance(target, FormBody):
        form = _form(request).decode("latin-1")
        found = dict(parse_qsl(form, keep_blank_values=True)).get(target.name)
    else:
        found = request.url.params.get(target)
    number = _number(default if found is None else found)
    if number is None:
        raise PagingError(f"expected a whole number as {target!r}, got another ({where(request)})")
    return number


def put(
    request: httpx.Request, target: Target, value: str | int, keep: Collection[str] | None = None
) -> httpx.Request:
    """`request` again with `value` at `target`; everything else stays as it is.

    With `keep`, of the fields beside it only those stay: query parameters, keys of the same JSON
    object, fields of the form.

    >>> request = httpx.Request("POST", "https://api.example.com/", json={"cursor": "a", "n": 9})
    >>> put(request, JsonBody("cursor"), "b").content
    b'{"cursor":"b","n":9}'
    """
    if isinstance(target, Header):
        # Checked here, as httpx's error would quote it.
        if not re.fullmatch(r"[!-~](?:[ -~]*[!-~])?", str(value)):
            raise PagingError(f"expected visible ASCII for {target!r} ({where(request)})")
        return repeat(request, headers={target.name: str(value)})
    if isinstance(target, JsonBody):
        try:
            body = _edited(request.content, keys(target.path), value, keep)
        except (httpx.RequestNotRead, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            message = f"expected a request with a JSON object around {target!r}"
            raise PagingError(f"{message} ({where(request)})") from None
        return repeat(request, body=body)
    if isinstance(target, FormBody):
        return repeat(request, body=replaced(_form(request), {target.name: value}, keep))
    return turn(request, {target: value}, keep=keep)


def kind(value: Any) -> str:
    """What `value` is, for messages: its type, or "nothing"."""
    return "nothing" if value is None else type(value).__name__


def _json(response: httpx.Response, reader: Callable[[bytes, Path], _T], path: Path) -> _T:
    body = response.content
    try:
        if (found := reader(body, path)) is None:
            body.decode()  # or a key that is not UTF-8 may be the one
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        form = response.headers.get("content-type", "no type")
        message = f"{refusal(body, error)}, of {len(body)} bytes of {form}"
        raise BodyError(message, response) from error
    return found


def _kept(
    response: httpx.Response, key: tuple[str, Source], find: Callable[[], int | None]
) -> int | None:
    # To find one takes a pass over the body, and paginators, stops and guards ask for the same: on
    # pages of 490 kB 1 ms a page. A copy of a response has its extensions, maybe another body.
    body, (held, numbers) = response.content, response.extensions.get(_NUMBERS, (b"", {}))
    if held is not body:
        numbers = {}
        response.extensions[_NUMBERS] = body, numbers
    name = repr(key)  # paths may be lists and hold mappings
    if numbers.get(name) is None:
        numbers[name] = find()
    number: int | None = numbers[name]
    return number


def _path(place: Records) -> Path:
    return place.path if isinstance(place, OrNull | OrAbsent) else place


def _number(value: Any) -> int | None:
    # As text too: APIs send totals as "250". Up to 19 digits: int() of many is slow or refused.
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return value if isinstance(value, int) and value >= 0 and not isinstance(value, bool) else None


def _form(request: httpx.Request) -> bytes:
    written = request.headers.get("content-type", "")
    with suppress(httpx.RequestNotRead):
        if written.startswith("application/x-www-form-urlencoded"):
            return request.content
    raise PagingError(f"expected a request with a form body, got another ({where(request)})")


def _member(request: httpx.Request, target: JsonBody) -> Any:
    try:
        return peek(request.content, target.path)
    except (httpx.RequestNotRead, msgspec.DecodeError, UnicodeDecodeError):
        message = f"expected a request with a JSON body for {target!r}"
        raise PagingError(f"{message} ({where(request)})") from None


def _edited(
    text: Any, steps: tuple[Any, ...], value: str | int, keep: Collection[str] | None
) -> bytes:
    # Members stay as they are written, digits and all.
    key, *more = steps
    members = msgspec.json.decode(text, type=dict[str, msgspec.Raw] | None) or {}
    if more:
        inner = _edited(members.get(key, b"null"), tuple(more), value, keep)
    else:
        inner = msgspec.json.encode(value)
        if keep is not None:
            members = {name: each for name, each in members.items() if name in {key, *keep}}
    members[key] = msgspec.Raw(inner)
    return msgspec.json.encode(members)
