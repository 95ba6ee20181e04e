"""Calls and answers: what reaches a replica, what it says, and how it refuses.

Parameters are declared by their names in one text, as in `"since page fields[]+ sort[*"`: one with
`+` may be given several times, one with `*` stands for all that begin so, and `"*"` for any.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode

__all__ = ["Answer", "Call", "Given", "Refused", "undeclared"]


class Refused(Exception):  # noqa: N818 - says what happened
    """Raised by guards and routes: what the vendor would refuse, and the status it would give.

    How the body says so is the `problem` of `blocks.testing.api.Api`.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


class Given(dict[str, str]):
    """Parameters or headers by name; of those given several times the last, `several` has all.

    `given["name"]` refuses the call (400) where there is none, `given.get("name")` does not.

    >>> given = Given([("id", "1"), ("id", "2"), ("limit", "10")])
    >>> given["id"], given.several("id"), given.whole("limit", 100), given.whole("page", 1)
    ('2', ['1', '2'], 10, 1)
    >>> given["cursor"]
    Traceback (most recent call last):
    blocks.testing.calls.Refused: missing 'cursor'
    """

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        pairs = list(pairs)
        super().__init__(pairs)
        self._all = {name: [text for key, text in pairs if key == name] for name in self}

    def __missing__(self, name: str) -> str:
        raise Refused(400, f"missing {name!r}")

    def several(self, name: str) -> list[str]:
        """All values of `name`, in the order sent."""
        return self._all[name] if name in self else []

    def whole(self, name: str, default: int, *, least: int = 0, most: int | None = None) -> int:
        """The whole number at `name`; refuses the call unless it is from `least` to `most`."""
        text = self.get(name, str(default))
        if not (text.isascii() and text.removeprefix("-").isdigit()):
            raise Refused(400, f"expected a whole number as {name!r}")
        number = int(text)
        if number < least or (most is not None and number > most):
            bounds = f"at least {least}" if most is None else f"{least} to {most}"
            raise Refused(400, f"expected {bounds} as {name!r}")
        return number


@dataclass(slots=True, eq=False, repr=False)
class Call:
    """A request as it came.

    `path` is as sent, percent-encoded; names of `headers` are in lower case; `params` are what
    stood at the `{names}` of the route's path, decoded. `status` is that of the answer, 0 before
    there is one. The repr has values of declared
    parameters only: what a guard takes out of `query`, as it does with keys, is not in it.
    """

    method: str
    path: str
    query: Given
    headers: Given
    content: bytes = b""
    params: dict[str, str] = field(default_factory=dict)
    declared: str = ""
    status: int = 0

    def __repr__(self) -> str:
        hidden = undeclared(self.query, self.declared)
        shown = "&".join(
            f"{name}={'***' if name in hidden else text}"
            for name in self.query
            for text in self.query.several(name)
        )
        status = f" -> {self.status}" if self.status else ""
        return f"<{self.method} {self.path}{'?' if shown else ''}{shown}{status}>"

    @property
    def form(self) -> Given:
        """The body as a form; a call without one is refused (415)."""
        self._expect("application/x-www-form-urlencoded")
        pairs = parse_qsl(self.content.decode("latin-1"), keep_blank_values=True)
        return Given(pairs)

    @property
    def json(self) -> Any:
        """The body as JSON; a call without one is refused (415, or 400 if it cannot be read)."""
        self._expect("application/json")
        try:
            return json.loads(self.content)
        except ValueError:
            raise Refused(400, "expected JSON") from None

    def link(self, changes: Mapping[str, object]) -> str:
        """The URL of this call with query parameters changed; those that are `None` go.

        >>> call = Call("GET", "/items", Given([("page", "1")]), Given([("host", "api")]))
        >>> call.link({"page": 2})
        'http://api/items?page=2'
        """
        kept = [(n, t) for n in self.query if n not in changes for t in self.query.several(n)]
        new = [(name, str(value)) for name, value in changes.items() if value is not None]
        query = urlencode(kept + new)
        return f"http://{self.headers['host']}{self.path}{'?' if query else ''}{query}"

    def _expect(self, kind: str) -> None:
        if self.headers.get("content-type", "").partition(";")[0].strip().lower() != kind:
            raise Refused(415, f"expected a body of type {kind}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a replica says: `body` as it is if bytes, nothing if `None`, else as JSON.

    It begins `delay` seconds late and, with `drip`, comes in ten parts so many seconds apart. One
    that is "cut" says how long it is and ends halfway; one that is "reset" says nothing.
    """

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drip: float = 0.0
    end: Literal["whole", "cut", "reset"] = "whole"

    def encoded(self) -> bytes:
        """The body, as bytes."""
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def undeclared(given: Collection[str], names: str) -> list[str]:
    """Which of `given` are not among the declared `names`, or there too often.

    >>> undeclared(Given([("page", "1"), ("pge", "2")]), "page")
    ['pge']
    >>> tags = Given([("tag", "a"), ("tag", "b")])
    >>> undeclared(tags, "tag"), undeclared(tags, "tag+")
    (['tag'], [])
    """
    declared = names.split()
    once, often = set(declared), {name[:-1] for name in declared if name.endswith("+")}
    begins = tuple(name[:-1] for name in declared if name.endswith("*"))
    return [
        name
        for name in given
        if name not in often
        and not name.startswith(begins)
        and (name not in once or (isinstance(given, Given) and len(given.several(name)) > 1))
    ]
