"""The public surface: every public name with its signature, so that a change of it is seen.

`python tests/test_api.py` prints what is there now, to be pasted here when the change is meant.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import blocks

SURFACE = """\
blocks.auth
    class Basic(Auth)
        __init__(user: str, password: str)
        auth_flow(self, request: httpx.Request) -> _Flow
    class Bearer(Auth)
        __init__(token: str)
        auth_flow(self, request: httpx.Request) -> _Flow
    class HeaderKey(Auth)
        __init__(key: str, *, name: str = 'X-API-Key')
        auth_flow(self, request: httpx.Request) -> _Flow
    class QueryKey(Auth)
        __init__(key: str, *, name: str = 'api_key')
        auth_flow(self, request: httpx.Request) -> _Flow
blocks.bodies
    LARGEST
    class Whole(AsyncBaseTransport)
        __init__(
            transport: httpx.AsyncBaseTransport,
            *,
            timeout: float | None = None,
            largest: int = 268435456,
        )
        async aclose(self) -> None
        async handle_async_request(self, request: httpx.Request) -> httpx.Response
    async read(response: httpx.Response, largest: int = 268435456) -> None
blocks.client
    class SameOrigin(AsyncBaseTransport)
        __init__(transport: httpx.AsyncBaseTransport, origin: str)
        async aclose(self) -> None
        async handle_async_request(self, request: httpx.Request) -> httpx.Response
    client(
        base_url: str,
        *,
        auth: httpx.Auth | None = None,
        limit: Rate | None = None,
        retry: Callable[[httpx.AsyncBaseTransport], httpx.AsyncBaseTransport] = Retry,
        timeout: float = 60.0,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> httpx.AsyncClient
blocks.connections
    class Connections(AsyncBaseTransport)
        __init__(count: int = 100, *, tls: ssl.SSLContext | None = None)
        async aclose(self) -> None
        async handle_async_request(self, request: httpx.Request) -> httpx.Response
blocks.cursors
    class Cursor
        __init__(column: str, *, start: str | int, state: MutableMapping[str, Any])
        observe(self, table: pa.Table) -> None
        since: Any
blocks.dlt
    cursor(column: str, *, start: str | int) -> Cursor
    load(
        pages: Page | Iterable[Page],
        cursor: Cursor | None = None,
        *,
        path: Path = '',
        table: str | None = None,
        rows: int = 5000,
    ) -> Iterator[Any]
blocks.errors
    class AuthError(ResponseError)
    class BlocksError(Exception)
        __init__(message: str, response: httpx.Response | None = None)
    class BodyError(ResponseError)
    class ConfigError(BlocksError, ValueError)
    class CursorError(BlocksError)
    class ForeignOrigin(PagingError)
    class NormalizeError(BlocksError)
    class PagingError(ResponseError)
    class PagingLoop(PagingError)
    class ResponseError(BlocksError)
    class RetryError(BlocksError)
    class StatusError(ResponseError)
        __init__(message: str, response: httpx.Response)
    where(subject: httpx.Request | httpx.Response) -> str
blocks.fetch
    check(response: httpx.Response) -> None
    async pages(
        client: httpx.AsyncClient,
        request: httpx.Request,
        paginator: Callable[[httpx.Response], httpx.Request | None],
        *,
        at_most: int | None = None,
    ) -> AsyncIterator[httpx.Response]
blocks.headers
    http_date(text: str, now: datetime) -> datetime | None
    retry_after(response: httpx.Response, now: datetime) -> float | None
blocks.json
    Path
    count(body: bytes, path: Path) -> int | None
    dumps(value: Any) -> bytes
    loads(body: bytes) -> Any
    peek(body: bytes, path: Path) -> Any
blocks.limits
    class Limited(AsyncBaseTransport)
        __init__(transport: httpx.AsyncBaseTransport, limit: Rate)
        async aclose(self) -> None
        async handle_async_request(self, request: httpx.Request) -> httpx.Response
    class Rate
        __init__(
            count: int,
            per: float = 1.0,
            burst: int = 1,
            *,
            clock: Callable[[], float] = monotonic,
        )
        pause(self, until: float) -> None
        reserve(self, now: float) -> float
        statistics(self) -> Statistics
    class Statistics
        __init__(calls: int, waited: float, pauses: int)
blocks.links
    class Link
        __init__(target: str, rels: tuple[str, ...], anchor: str | None = None)
    origin(url: httpx.URL) -> str
    parse(values: list[str]) -> list[Link]
    resolve(base: httpx.URL, reference: httpx.URL) -> httpx.URL
blocks.network
    prefetch(source: AsyncIterable[T], ahead: int = 8) -> Iterator[T]
blocks.normalize
    class Normalizer
        __init__(table: str, path: Path = '', *, dialect: Dialect | None = None)
        __call__(self, page: Page) -> dict[str, pa.Table]
        stream(
            self,
            pages: Iterable[Page],
            rows: int = 5000,
        ) -> Iterator[dict[str, pa.Table]]
blocks.paginators
    class LinkHeader
        __init__(rel: str = 'next')
        __call__(self, response: httpx.Response) -> httpx.Request | None
    class NextToken
        __init__(path: Path, param: str)
        __call__(self, response: httpx.Response) -> httpx.Request | None
    class NextUrl
        __init__(path: Path)
        __call__(self, response: httpx.Response) -> httpx.Request | None
    class Offset
        __init__(
            limit: int,
            *,
            offset_param: str = 'offset',
            limit_param: str = 'limit',
            records: Path = '',
            total: Path | None = None,
        )
        __call__(self, response: httpx.Response) -> httpx.Request | None
    class PageNumber
        __init__(
            param: str = 'page',
            *,
            start: int = 1,
            records: Path = '',
            total_pages: Path | None = None,
        )
        __call__(self, response: httpx.Response) -> httpx.Request | None
    follow(response: httpx.Response, url: str) -> httpx.Request
    turn(request: httpx.Request, params: Mapping[str, str | int]) -> httpx.Request
blocks.retries
    class Retry(AsyncBaseTransport)
        __init__(
            transport: httpx.AsyncBaseTransport,
            attempts: int = 5,
            total: float = 300.0,
            *,
            reads: Callable[[httpx.Request], bool] = reads,
            chance: Callable[[], float] = Random.random,
        )
        async aclose(self) -> None
        async handle_async_request(self, request: httpx.Request) -> httpx.Response
    classify(
        outcome: httpx.Response | Exception,
    ) -> Literal['ok', 'retry', 'limited', 'fail']
    delay(attempt: int, chance: float) -> float
    reads(request: httpx.Request) -> bool
"""


def public_modules() -> list[str]:
    """The modules right under `blocks`; the demo and the command line are no interface."""
    root = Path(blocks.__file__).parent
    names = {path.stem for path in root.glob("*.py")} | {
        p.parent.name for p in root.glob("*/__init__.py")
    }
    return [f"blocks.{name}" for name in sorted(names - {"__init__", "__main__", "demo"})]


class Source(str):
    """Text that prints as it is written."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def plain(value: Any) -> Any:
    """An annotation as it is written, and functions and classes by their names."""
    if inspect.isroutine(value) or (
        inspect.isclass(value) and value is not inspect.Signature.empty
    ):
        return Source(value.__qualname__)
    return Source(value) if isinstance(value, str) else value


def signature(thing: Any) -> list[str]:
    """The signature in one line, or in a line for each parameter if that would be long."""
    found = inspect.signature(thing)
    parameters = [
        parameter.replace(
            annotation=plain(parameter.annotation),
            default=parameter.default
            if isinstance(parameter.default, str)
            else plain(parameter.default),
        )
        for parameter in found.parameters.values()
    ]
    found = found.replace(parameters=parameters, return_annotation=plain(found.return_annotation))
    if len(str(found)) < 80:
        return [str(found)]
    *_, returned = str(found).rpartition(")")
    lines = [str(parameter) for parameter in parameters]
    named = [parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters]
    if any(named):
        lines.insert(named.index(True), "*")
    return ["(", *(f"    {line}," for line in lines), f"){returned}"]


def named(name: str, thing: Any) -> list[str]:
    """The lines of one callable."""
    asynchronous = inspect.iscoroutinefunction(thing) or inspect.isasyncgenfunction(thing)
    first, *rest = signature(thing)
    return [("async " if asynchronous else "") + name + first, *rest]


def public_bases(thing: type) -> list[str]:
    """The names of the nearest public classes above `thing`."""
    found = []
    for base in thing.__bases__:
        found += public_bases(base) if base.__name__.startswith("_") else [base.__name__]
    return [name for name in found if name != "object"]


def described(name: str, thing: Any) -> Iterator[str]:
    """The lines of a function, or a constant; for a class also those of its public attributes."""
    if inspect.isroutine(thing):
        yield from named(name, thing)
        return
    if not inspect.isclass(thing):
        yield name
        return
    yield f"class {name}({', '.join(public_bases(thing))})".removesuffix("()")
    if "__init__" in vars(thing):
        yield from (f"    {line.removesuffix(' -> None')}" for line in named("__init__", thing))
    for attribute, value in sorted(vars(thing).items()):
        if attribute.startswith("_") and attribute != "__call__":
            continue
        if isinstance(value, property) and value.fget:
            yield f"    {attribute}: {inspect.signature(value.fget).return_annotation}"
        elif inspect.isroutine(value):
            yield from (f"    {line}" for line in named(attribute, getattr(thing, attribute)))


def surface() -> str:
    """All public modules with what is in them."""
    lines = []
    for name in public_modules():
        module = importlib.import_module(name)
        lines.append(name)
        for public in module.__all__:
            lines += [f"    {line}" for line in described(public, getattr(module, public))]
    return "\n".join(lines) + "\n"


def test_surface() -> None:
    """The public names and signatures are those in this file."""
    assert surface().splitlines() == SURFACE.splitlines()


@pytest.mark.parametrize("name", public_modules())
def test_public_means_listed(name: str) -> None:
    """`__all__` is sorted and has every class and function that the module defines in the open."""
    module = importlib.import_module(name)
    defined = {
        public
        for public, thing in vars(module).items()
        if not public.startswith("_")
        and (inspect.isclass(thing) or inspect.isfunction(thing))
        and thing.__module__ == name
    }
    assert module.__all__ == sorted(module.__all__)
    assert defined - {*module.__all__} == set()


if __name__ == "__main__":
    print(surface(), end="")  # noqa: T201
