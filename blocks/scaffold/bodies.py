"""Bodies: which arrays of objects and which members an answer has, and where.

What a server sends is looked at within bounds: so deep, so many, names no longer than names are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import httpx
import msgspec

from blocks.errors import BodyError
from blocks.json import Path, Step, dumps, keys, loads, raw

__all__ = [
    "Page",
    "Steps",
    "arrays",
    "bare",
    "called_one_of",
    "fields",
    "members",
    "shown",
]

Steps: TypeAlias = tuple[Step, ...]

_DEEP = 5
_MANY = 500
_LONG = 100


@dataclass(frozen=True, slots=True)
class Page:
    """An answer, its document, and its records at `path`."""

    response: httpx.Response
    path: Path = ""
    document: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "document", loads(self.response.content))
        except ValueError:
            raise BodyError("expected JSON, got other text", self.response) from None

    def at(self, path: Path) -> Page:
        """The page with its records elsewhere."""
        return Page(self.response, path)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The records: objects in an array, none if there is no such."""
        found = self.document
        for step in keys(self.path):
            found = found.get(step) if isinstance(found, dict) else None
        return found if _objects(found) else []

    def marks(self, key: str | None) -> list[bytes]:
        """What tells each record from others: its key, or without one all of it, as sent."""
        if key is not None:
            return [dumps(row.get(key)) for row in self.rows]
        if not self.rows:
            return []
        try:
            text = raw(self.response.content, self.path) or b"[]"
            return [bytes(row) for row in msgspec.json.decode(text, type=list[msgspec.Raw])]
        except (msgspec.DecodeError, RecursionError):
            raise BodyError("expected JSON of some depth, got more", self.response) from None


def arrays(document: Any) -> list[tuple[Steps, list[dict[str, Any]]]]:
    """All arrays of objects, with some in them, that are not within another array.

    >>> arrays({"data": [{"id": 1}], "links": [{"rel": "next", "href": "/2"}], "tags": ["a"]})
    [(('data',), [{'id': 1}])]
    """
    found: list[tuple[Steps, list[dict[str, Any]]]] = []
    for steps, value in _walked(document):
        if _objects(value) and value and not all("href" in each for each in value):
            found.append((steps, value))
    return found


def members(page: Page) -> Iterator[tuple[Steps, Any]]:
    """Texts, numbers, booleans and nulls beside the records; of arrays only links by `rel`."""
    records = keys(page.path)
    for steps, value in _walked(page.document):
        if steps == records:
            continue
        if isinstance(value, list):
            for each in value[:20]:
                if isinstance(each, dict) and each.get("rel") == "next" and "href" in each:
                    yield (*steps, {"rel": "next"}, "href"), each["href"]
        elif not isinstance(value, dict):
            yield steps, value


def fields(row: Mapping[str, Any]) -> Iterator[tuple[Steps, Any]]:
    """What a record has, and what the objects in it have."""
    for steps, value in _walked(row, deep=2):
        if not isinstance(value, dict | list):
            yield steps, value


def bare(name: Any) -> str:
    """A name without what spellings differ in.

    >>> bare("next_page"), bare("@odata.nextLink")
    ('nextpage', 'odatanextlink')
    """
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def called_one_of(page: Page, names: Collection[str]) -> list[tuple[Steps, Any]]:
    """The members whose bare name is one of `names`."""
    return [(steps, value) for steps, value in members(page) if bare(steps[-1]) in names]


def shown(steps: Steps) -> Path:
    """Steps as the text that stands for them, or as a list where there is none.

    >>> shown(("meta", "next")), shown(("user.id",)), shown(("links", {"rel": "next"}, "href"))
    ('meta.next', ['user.id'], 'links[rel=next].href')
    """
    written = ""
    for step in steps:
        if isinstance(step, Mapping):
            written += "".join(f"[{name}={value}]" for name, value in step.items())
        else:
            written += f".{step}" if written else str(step)
    try:
        plain = keys(written) == steps and written.isprintable()
    except ValueError:
        plain = False
    return written if plain else list(steps)


def _walked(document: Any, deep: int = _DEEP) -> Iterator[tuple[Steps, Any]]:
    left: list[tuple[Steps, Any]] = [((), document)]
    count = 0
    while left and count < _MANY:
        steps, value = left.pop(0)
        count += 1
        if steps or not isinstance(value, dict):
            yield steps, value
        if isinstance(value, dict) and len(steps) < deep:
            names = (name for name in list(value)[:_MANY] if 0 < len(name) <= _LONG)
            left += [((*steps, name), value[name]) for name in names]


def _objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)
