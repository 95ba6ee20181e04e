"""Blueprints: what a source is to be, as plain values that were checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import httpx

from blocks.errors import ConfigError
from blocks.json import Path, keys
from blocks.kinds import Kind, bound
from blocks.paginators import Paginator
from blocks.scaffold import names

__all__ = ["Allowance", "Auth", "AuthKind", "Blueprint", "Endpoint", "Mark", "Rows", "endpoint"]

AuthKind: TypeAlias = Literal[
    "bearer", "basic", "header-key", "query-key", "client-credentials", "none"
]
"""How an API is told who asks."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the records are: an origin, a path as it is sent, parameters, headers for all calls."""

    base_url: str
    path: str
    params: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Auth:
    """How credentials are sent: `name` is that of a header or query parameter, for keys."""

    kind: AuthKind = "none"
    name: str = ""
    token_url: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """The cursor: a path of keys in a record, where to start, and in which kind of values.

    `param` is the query parameter that asks for records from a value on, "" if there is none.
    """

    path: Path
    start: str | int
    kind: Kind
    param: str = ""


@dataclass(frozen=True, slots=True)
class Rows:
    """Where in a body the records are; their primary key, and cursor, if any."""

    path: Path = ""
    key: str | None = None
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Allowance:
    """`count` calls in `per` seconds; `quotas` reads what is left of them."""

    count: int
    per: float = 1
    quotas: object = None


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A source of one table. Raises `ConfigError` for one that cannot work."""

    name: str
    endpoint: Endpoint
    paginator: Paginator
    auth: Auth = Auth()
    rows: Rows = Rows()
    allowance: Allowance | None = None

    def __post_init__(self) -> None:
        names.check(self.name)
        _names("records", self.rows.path)
        if (mark := self.rows.mark) is None:
            return
        if self.rows.key is None:
            raise ConfigError("cursor: expected a key too, by which changed records are merged")
        if not _names("cursor", mark.path):
            raise ConfigError("cursor: expected the name of a column, got none")
        bound(mark.start, mark.kind)

    @property
    def table(self) -> str:
        """What the records are called: the end of the path, or the source itself."""
        last = self.endpoint.path.rpartition("/")[2].replace("-", "_").lower()
        return last if names.free(last) else self.name


def endpoint(url: str, headers: Mapping[str, str] | None = None) -> Endpoint:
    """The endpoint at `url`.

    Raises `ConfigError` for a URL or headers that seem to hold credentials: those belong neither
    into a source nor into the history of a shell.

    >>> endpoint("https://api.example.com/v1/items?per_page=50").params
    (('per_page', '50'),)
    >>> endpoint("https://api.example.com/v1/items?api_key=s3cret")
    Traceback (most recent call last):
    blocks.errors.ConfigError: url: expected no credentials, got a parameter 'api_key'
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        raise ConfigError("url: expected a URL, got other text") from None
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        got = f"{parsed.scheme}://{parsed.host}"
        raise ConfigError(f"url: expected one such as https://api.example.com/items, got {got}")
    if parsed.userinfo or parsed.fragment:
        raise ConfigError("url: expected one without user and fragment")
    path = parsed.raw_path.partition(b"?")[0].decode("ascii")
    if path.startswith("//"):
        raise ConfigError("url: expected a path that begins with one slash")
    params = tuple(parsed.params.multi_items())
    headers = dict(headers or {})
    for what, given in (("parameter", [name for name, _ in params]), ("header", [*headers])):
        if found := [name for name in given if names.credential(name)]:
            raise ConfigError(f"url: expected no credentials, got a {what} {found[0]!r}")
    base = str(parsed.copy_with(raw_path=b"/")).rstrip("/")
    return Endpoint(base, path, params, headers)


def _names(what: str, path: Path) -> tuple[Any, ...]:
    steps = keys(path)
    if not all(isinstance(step, str) and step for step in steps):
        raise ConfigError(f"{what}: expected keys of objects, got {path!r}")
    return steps
