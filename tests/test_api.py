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
from dlt.common.configuration.specs import BaseConfiguration

import blocks

SURFACE = """\
blocks.adaptive
    class Adaptive(Rate)
        __init__(
            count: float,
            per: float = 1.0,
            burst: int = 1,
            *,
            recovery: float = 60.0,
            cost: Callable[[httpx.Request], float] | None = None,
            clock: Callable[[], float] = monotonic,
        )
        faster(self, now: float) -> None
        slower(self, sent: float, now: float) -> None
    class Pace(Rate)
        __init__(
            quotas: Quotas,
            count: float,
            per: float = 1.0,
            burst: int = 1,
            *,
            cost: Callable[[httpx.Request], float] | None = None,
            clock: Callable[[], float] = monotonic,
        )
        heed(self, response: httpx.Response, now: float) -> Sequence[Quota]
blocks.addresses
    is_public(address: str) -> bool
blocks.assertions
    class ClientAssertion(Grant)
        __init__(
            token_url: str,
            client_id: str,
            key: JwtKey,
            *,
            scope: str = '',
            fields: Mapping[str, str] | None = None,
        )
        fresh(self) -> Mapping[str, str]
    class JwtBearer(Grant)
        __init__(
            token_url: str,
            key: JwtKey,
            *,
            claims: Mapping[str, Any],
            fields: Mapping[str, str] | None = None,
            lifetime: float = 300,
        )
        fresh(self) -> Mapping[str, str]
    class JwtKey(Secret)
        __init__(
            key: str,
            *,
            algorithm: Literal['RS256', 'ES256', 'HS256'] = 'RS256',
            key_id: str = '',
            passphrase: str = '',
        )
        sign(self, claims: Mapping[str, Any], *, lifetime: float = 300) -> str
blocks.auth
    class Basic(Secret, Auth)
        __init__(user: str, password: str)
        auth_flow(self, request: httpx.Request) -> _Flow
    class Bearer(Secret, Auth)
        __init__(token: str)
        auth_flow(self, request: httpx.Request) -> _Flow
    class CookieKey(Secret, Auth)
        __init__(key: str, *, name: str)
        auth_flow(self, request: httpx.Request) -> _Flow
    class HeaderKey(Secret, Auth)
        __init__(key: str, *, name: str = 'X-API-Key')
        auth_flow(self, request: httpx.Request) -> _Flow
    class QueryKey(Secret, Auth)
        __init__(key: str, *, name: str = 'api_key')
        auth_flow(self, request: httpx.Request) -> _Flow
        keyed(self, request: httpx.Request) -> httpx.Request
        unkeyed(self, url: httpx.URL) -> httpx.URL
blocks.backfill
    class Progress
        __init__(
            name: str,
            windows: tuple[Interval, ...],
            rows: int,
            seconds: float,
            done: int,
            total: int,
            left: float,
        )
    Source
    backfill(
        pipeline: dlt.Pipeline,
        source: Source,
        ranges: Iterable[Interval],
        *,
        name: str,
        per_load: int = 1,
        report: Callable[[Progress], object] = log,
    ) -> int
    log(progress: Progress) -> None
blocks.batches
    batches(ids: Iterable[I], size: int) -> Iterator[list[I]]
    halving(
        fetch: Callable[[list[I]], AsyncIterable[httpx.Response]],
        *,
        narrow: Callable[[Exception], bool] = refused,
        found: Callable[[httpx.Response], Iterable[object]] | None = None,
        lost: MutableMapping[I, str] | None = None,
    ) -> Callable[[Sequence[I]], AsyncIterator[httpx.Response]]
    refused(error: Exception) -> bool
blocks.bodies
    LARGEST
    class Whole(AsyncBaseTransport)
        __init__(
            transport: httpx.AsyncBaseTransport,
            *,
            timeout: float | None = None,
            largest: int | None = None,
        )
        async aclose(self) -> None
        async handle_async_request(self, request: httpx.Request) -> httpx.Response
    content(response: httpx.Response) -> bytes
    async read(response: httpx.Response, largest: int | None = None) -> None
blocks.calendars
    Every
    following(every: Every, zone: str) -> Callable[[Point], Point]
blocks.caps
    class Capped
        __init__(
            paginator: Paginator,
            restart: Callable[[str | int], httpx.Request],
            *,
            key: Path,
            records: Records,
            at: int,
            order: Kind | None = None,
        )
        __call__(self, response: httpx.Response) -> httpx.Request | None
blocks.client
    class SameOrigin(AsyncBaseTransport)
        __init__(transport: httpx.AsyncBaseTransport, origin: str)
        async aclose(self) -> None
        async handle_async_request(self, request: httpx.Request) -> httpx.Response
    client(
        base_url: str,
        *,
        auth: httpx.Auth | None = None,
        limit: Limit | None = None,
        retry: Callable[[httpx.AsyncBaseTransport], httpx.AsyncBaseTransport] = Retry,
        timeout: float = 60.0,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> httpx.AsyncClient
blocks.clocks
    Gap
    placed(column: pa.ChunkedArray, zone: str, gap: Gap) -> pa.ChunkedArray
blocks.closing
    closing(items: AsyncIterable[T]) -> AbstractAsyncContextManager[AsyncIterator[T]]
blocks.connections
    class Connections(AsyncBaseTransport)
        __init__(
            count: int = 100,
            *,
            tls: ssl.SSLContext | None = None,
            public: bool = False,
        )
        async aclose(self) -> None
        async handle_async_request(self, request: httpx.Request) -> httpx.Response
blocks.credentials
    class CredentialPool(Secret, AsyncBaseTransport)
        __init__(
            transport: httpx.AsyncBaseTransport,
            credentials: Sequence[httpx.Auth],
            *,
            quota: Callable[[httpx.Request], str] = _one,
            clock: Callable[[], float] = monotonic,
        )
        async aclose(self) -> None
        async handle_async_request(self, request: httpx.Request) -> httpx.Response
        statistics(self) -> tuple[Usage, ...]
    class Usage
        __init__(calls: int, refused: int, left: Mapping[str, int])
blocks.cursors
    class Cursor
        __init__(
            column: str,
            *,
            start: Any,
            state: MutableMapping[str, Any],
            until: Any = None,
            kind: Kind | None = None,
            lookback: timedelta | int | None = None,
            missing: Missing = 'keep',
        )
        after: Any
        complete(self) -> None
        counts: dict[str, int]
        mark: Any
        observe(self, found: Any) -> None
        since: Any
        stale(self, retention: timedelta, now: datetime) -> bool
        through: Any
        until: Any
        within(self, table: pa.Table) -> pa.Array
    Missing
blocks.deletes
    class Keys
        __init__(*columns: str)
        add(self, keys: Iterable[Any]) -> None
        observe(self, table: pa.Table) -> None
        table: pa.Table
    flag(column: str = 'deleted') -> dict[str, dict[str, Any]]
    tombstones(
        pages: Iterable[httpx.Response],
        key: str | Mapping[str, Path] = 'id',
        *,
        records: Records = '',
        flag: str = 'deleted',
    ) -> Iterator[list[dict[str, Any]]]
    vanished(known: pa.Table, listed: pa.Table, *, most: float = 0.2) -> pa.Table
blocks.dlt
    class Observer(Protocol)
        __init__(*args, **kwargs)
        observe(self, table: pa.Table, /) -> None
    counted(items: Iterable[T]) -> Iterator[T]
    cursor(
        column: str,
        *,
        start: Any,
        end: Any = None,
        lag: timedelta | None = None,
        clock: Callable[[], datetime] = <lambda>,
        **options: Unpack[Options],
    ) -> Cursor
    intervals(
        name: str,
        *,
        start: Any,
        end: Any = None,
        kind: Kind | None = None,
        lookback: timedelta | int | None = None,
        lag: timedelta | None = None,
        clock: Callable[[], datetime] = <lambda>,
    ) -> Intervals
    known(*columns: str, table: str | None = None) -> pa.Table
    load(
        pages: Page | Iterable[Body],
        cursor: Observer | None = None,
        *,
        path: Path | OrAbsent = '',
        table: str | None = None,
        rows: int = 5000,
        where: Where | None = None,
    ) -> Iterator[Any]
    partitions(
        column: str,
        *,
        start: Any,
        end: Any = None,
        lag: timedelta | None = None,
        clock: Callable[[], datetime] = <lambda>,
        **options: Unpack[Parents],
    ) -> Partitions
    raise_on_gaps(pipeline: dlt.Pipeline) -> None
blocks.downloads
    async download(
        client: httpx.AsyncClient,
        request: httpx.Request | Callable[[], Awaitable[httpx.Request]],
        *,
        attempts: int = 5,
        delay: Callable[[int, float], float] = delay,
        chance: Callable[[], float] = Random.random,
    ) -> AsyncGenerator[bytes, None]
    storage(
        *,
        timeout: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> httpx.AsyncClient
blocks.errors
    class AuthError(ResponseError)
    class BlocksError(Exception)
        __init__(message: str, response: httpx.Response | None = None)
    class BodyError(ResponseError)
    class ConfigError(BlocksError, ValueError)
    class CursorError(BlocksError)
    class Denied(AuthError)
    class ForeignOrigin(PagingError)
    class Incomplete(BlocksError)
    class JobError(ResponseError)
    class JobTimeout(JobError)
    class NormalizeError(BlocksError)
    class Overflow(PagingError)
    class PagingError(ResponseError)
    class PagingLoop(PagingError)
    class ResponseError(BlocksError)
    class RetryError(BlocksError)
    class StatusError(ResponseError)
        __init__(message: str, response: httpx.Response)
    where(subject: httpx.Request | httpx.Response) -> str
blocks.events
    class Answered
        __init__(place: str, status: int, size: int, seconds: float)
    class Counts
        __init__()
        __call__(self, event: Event) -> None
        read(self) -> dict[str, float]
    Event
    class Failed
        __init__(place: str, reason: str, seconds: float)
    Listener
    class Page
        __init__(place: str, number: int, size: int)
    class Retried
        __init__(place: str, attempt: int, reason: str, wait: float)
    class Sent
        __init__(place: str)
    class Skipped
        __init__(place: str, reason: str)
    class Waited
        __init__(limit: str, reason: str, seconds: float)
    heard() -> bool
    listen(listener: Listener) -> Callable[[], None]
    log(event: Event) -> None
    publish(event: Event) -> None
    scoped(listener: Listener) -> Context
blocks.exchanges
    apart(response: httpx.Response, body: bytes) -> httpx.Response
    endpoint(text: str) -> httpx.URL
    token_request(
        url: httpx.URL,
        content: bytes,
        headers: dict[str, str],
        like: httpx.Request,
    ) -> httpx.Request
blocks.fanout
    async fan_out(
        parents: Iterable[P] | AsyncIterable[P],
        fetch: Callable[[P], AsyncIterable[T]],
        *,
        at_once: int = 8,
        ordered: bool = True,
        skip: Collection[int] = frozenset(),
    ) -> AsyncIterator[tuple[P, T]]
    parents(
        table: pa.Table,
        *columns: str,
        *,
        missing: Literal['raise', 'drop', 'keep'] = 'raise',
    ) -> list[Any]
blocks.fast
    fast(source: Source) -> Source
blocks.fetch
    check(response: httpx.Response) -> None
    async gather(
        client: httpx.AsyncClient,
        request: httpx.Request,
        paginator: Countable,
        *,
        at_once: int,
        at_most: int | None = None,
    ) -> AsyncIterator[httpx.Response]
    async pages(
        client: httpx.AsyncClient,
        request: httpx.Request,
        paginator: Callable[[httpx.Response], httpx.Request | None],
        *,
        at_most: int | None = None,
        past: Callable[[httpx.Response], object] | None = None,
        instead: Callable[[httpx.Response], httpx.Request | None] | None = None,
    ) -> AsyncIterator[httpx.Response]
blocks.fields
    chunks(
        names: Sequence[str],
        *,
        most: int | None = None,
        length: int | None = None,
        always: Sequence[str] = (),
    ) -> Iterator[list[str]]
    distinct(names: Mapping[str, str], taken: Collection[str] = ()) -> dict[str, str]
    merge(parts: Sequence[Any], key: str | Sequence[str]) -> Any
    rename(row: Mapping[str, V], names: Mapping[str, str]) -> dict[str, V]
blocks.flaws
    class Flaw
        __init__(found: str, byte: int, steps: tuple[str | int, ...])
    deepest(body: bytes) -> Flaw
    find(body: bytes) -> Flaw | None
    refusal(body: bytes, error: Exception) -> str
blocks.formats
    class Gunzip
        __init__()
        end(self) -> None
        parts(self, chunk: bytes) -> Iterator[bytes]
    csv(
        chunks: Iterable[bytes],
        delimiter: str = ',',
        *,
        types: Mapping[str, pa.DataType] | None = None,
    ) -> Iterator[pa.Table]
    gunzip(chunks: Iterable[bytes]) -> Iterator[bytes]
    ndjson(chunks: Iterable[bytes]) -> Iterator[bytes]
    unzip(
        chunks: Iterable[bytes],
        *,
        largest: int | None = None,
    ) -> Iterator[tuple[str, Iterator[bytes]]]
blocks.grants
    class Grant(Expiring)
        __init__(
            token_url: str,
            form: Mapping[str, str],
            *,
            client_id: str = '',
            client_secret: str = '',
            client_auth: Literal['basic', 'post'] = 'basic',
        )
        fresh(self) -> Mapping[str, str]
        obtain(self, request: httpx.Request) -> Generator[Step, Any, Token]
    with_fields(form: Mapping[str, str], fields: Mapping[str, str] | None) -> dict[str, str]
blocks.graphql
    class Errors
        __init__(*, partial: Outcome = 'fail')
        __call__(self, response: httpx.Response) -> Outcome | None
    class Relay
        __init__(connection: Path, variable: str = 'after', *, partial: bool = False)
        __call__(self, response: httpx.Response) -> httpx.Request | None
    query(
        client: httpx.AsyncClient | httpx.Client,
        url: str,
        document: str,
        variables: Mapping[str, Any] | None = None,
    ) -> httpx.Request
    reads(request: httpx.Request) -> bool
    wait(response: httpx.Response) -> float | None
blocks.guards
    class Arrays
        __init__()
        check(self, page: httpx.Response) -> None
    class Countable(Protocol)
        __init__(*args, **kwargs)
        follows(self, response: httpx.Response, request: httpx.Request | None) -> bool
        rest(self, response: httpx.Response) -> Iterator[httpx.Request]
        total(self, response: httpx.Response) -> int
    class Moved
        __init__(paginator: Countable)
        check(self, page: httpx.Response, planned: httpx.Request | None) -> None
    class Numbered(Protocol)
        __init__(*args, **kwargs)
        rows(self, response: httpx.Response) -> bytes | None
    class Rows
        __init__(paginator: object)
        check(self, page: httpx.Response) -> None
    class Sent
        __init__(recent: int = 65536)
        async before(self, request: httpx.Request, previous: httpx.Response | None) -> bool
    class Shrunk
        __init__(paginator: object)
        check(self, page: httpx.Response) -> None
blocks.headers
    http_date(text: str, now: datetime) -> datetime | None
    retry_after(response: httpx.Response, now: datetime) -> float | None
blocks.instants
    distinct(
        column: pa.ChunkedArray,
        read: Callable[[pa.ChunkedArray], pa.ChunkedArray],
    ) -> pa.ChunkedArray
    each(
        column: pa.ChunkedArray,
        read: Callable[[Any], Any],
        kind: pa.DataType,
    ) -> pa.ChunkedArray
    floor(point: datetime, step: timedelta, zone: str) -> datetime
    instant(value: Any, zone: str) -> datetime
    instants(column: pa.ChunkedArray, zone: str, *, local: bool = False) -> pa.ChunkedArray
    midnight(day: date, zone: str) -> datetime
    unambiguous(point: datetime, zone: str) -> datetime
    zone_of(name: str) -> tzinfo
blocks.intervals
    class Interval
        __init__(start: Point, end: Point, kind: Kind = <factory>)
        after: str | int
        halves(self) -> tuple[Interval, ...]
        length: Any
        since: str | int
        through: str | int
        until: str | int
    class Intervals
        __init__(
            name: str,
            *,
            start: Any,
            end: Any,
            state: MutableMapping[str, Any],
            kind: Kind | None = None,
            lookback: timedelta | int | None = None,
        )
        add(self, interval: Interval) -> None
        done: list[Interval]
        gaps(self) -> list[Interval]
        todo(self, every: Every | None = None) -> list[Interval]
    unread(state: Mapping[str, Any]) -> dict[str, list[Interval]]
blocks.jobs
    class Codes
        __init__(waiting: Collection[int])
        __call__(self, response: httpx.Response) -> bool
    class Job
        __init__(
            create: httpx.Request,
            id: Source,
            poll: Callable[[Any], httpx.Request],
            status: Callable[[httpx.Response], bool],
            cancel: Callable[[Any], httpx.Request] | None = None,
            subject: Any = None,
        )
    class Patience
        __init__(least: float = 2.0, most: float = 60.0, total: float = 3600.0)
        pauses(self) -> Iterator[float]
    class States
        __init__(place: Source, waiting: Collection[str], done: Collection[str])
        __call__(self, response: httpx.Response) -> bool
    async run(
        client: httpx.AsyncClient,
        jobs: Iterable[Job],
        *,
        at_once: int = 1,
        limit: AbstractAsyncContextManager[Any] | None = None,
        ledger: Ledger | None = None,
        patience: Patience | None = None,
    ) -> AsyncGenerator[tuple[Job, httpx.Response], None]
blocks.json
    class OrAbsent
        __init__(path: Path, beside: Collection[str])
        missing(self, body: bytes) -> bool
    Path
    Step
    check_depth(body: bytes) -> None
    count(body: bytes, path: Path) -> int | None
    dumps(value: Any) -> bytes
    keys(path: Path) -> tuple[Step, ...]
    loads(body: bytes) -> Any
    peek(body: bytes, path: Path) -> Any
    raw(body: bytes, path: Path) -> bytes | None
blocks.kinds
    class Dates
        __init__(zone: str = 'UTC')
        back(self, point: datetime, steps: int = 1) -> datetime
        floor(self, point: datetime) -> datetime
        points(self, column: pa.ChunkedArray) -> pa.ChunkedArray
        read(self, value: Any) -> datetime
        write(self, point: datetime) -> str
    class Epoch
        __init__(unit: Literal['s', 'ms', 'us'])
        back(self, point: datetime, steps: int = 1) -> datetime
        floor(self, point: datetime) -> datetime
        points(self, column: pa.ChunkedArray) -> pa.ChunkedArray
        read(self, value: Any) -> datetime
        step: timedelta
        write(self, point: datetime) -> int
    class Integers
        __init__(unique: bool = False)
        back(self, point: int, steps: int = 1) -> int
        floor(self, point: int) -> int
        points(self, column: pa.ChunkedArray) -> pa.ChunkedArray
        read(self, value: Any) -> int
        write(self, point: int) -> int
    class Kind(Protocol)
        __init__(*args, **kwargs)
        back(self, point: Point, steps: int = 1) -> Point
        floor(self, point: Point) -> Point
        points(self, column: pa.ChunkedArray) -> pa.ChunkedArray
        read(self, value: Any) -> Point
        step: Any
        unique: bool
        write(self, point: Point) -> str | int
    class Pattern
        __init__(
            format: str,
            *,
            zone: str = 'UTC',
            step: timedelta = datetime.timedelta(0),
        )
        back(self, point: datetime, steps: int = 1) -> datetime
        floor(self, point: datetime) -> datetime
        points(self, column: pa.ChunkedArray) -> pa.ChunkedArray
        read(self, value: Any) -> datetime
        write(self, point: datetime) -> str
    class Point
    class Texts
        __init__(unique: bool = False)
        back(self, point: str, steps: int = 1) -> str
        floor(self, point: str) -> str
        points(self, column: pa.ChunkedArray) -> pa.ChunkedArray
        read(self, value: Any) -> str
        write(self, point: str) -> str
    class Times
        __init__(
            step: timedelta = datetime.timedelta(microseconds=1),
            *,
            zone: str = 'UTC',
        )
        back(self, point: datetime, steps: int = 1) -> datetime
        floor(self, point: datetime) -> datetime
        points(self, column: pa.ChunkedArray) -> pa.ChunkedArray
        read(self, value: Any) -> datetime
        write(self, point: datetime) -> str
    bound(value: Any, kind: Kind) -> Point
    kind_for(start: Any) -> Kind
    pack(point: Point) -> str | int
    unpack(kept: str | int, kind: Kind | None = None) -> Point
blocks.layouts
    CLOCK
    DAY
    INSTANT
    class Layout
        __init__(
            model: bytes,
            marks: bytes,
            tail: str = '',
            names: _Names = ((), (), ()),
        )
        read(self, texts: pa.ChunkedArray) -> pa.ChunkedArray | None
    layout(form: str) -> Layout | None
blocks.ledger
    class Ledger
        __init__(
            state: MutableMapping[str, Any],
            *,
            keep: float = 86400.0,
            clock: Callable[[], float] = time,
        )
        add(self, job: str, job_id: str | int) -> None
        drop(self, job: str) -> None
        find(self, job: str) -> str | int | None
    class StateFile(MutableMapping)
        __init__(path: str | Path)
    fingerprint(request: httpx.Request) -> str
blocks.limits
    class Limit(ABC)
        parts(self, request: httpx.Request | None = None) -> tuple[Part, ...]
        pause(self, until: float, reason: str = 'a pause') -> None
        reserve(self, now: float, request: httpx.Request | None = None) -> float
        statistics(self) -> Statistics
    class Limited(AsyncBaseTransport)
        __init__(transport: httpx.AsyncBaseTransport, limit: Limit)
        async aclose(self) -> None
        async handle_async_request(self, request: httpx.Request) -> httpx.Response
    class Rate(Part, Limit)
        __init__(
            count: float,
            per: float = 1.0,
            burst: int = 1,
            *,
            cost: Callable[[httpx.Request], float] | None = None,
            quotas: Quotas | None = None,
            clock: Callable[[], float] = monotonic,
        )
        parts(self, request: httpx.Request | None = None) -> tuple[Part, ...]
blocks.links
    class Link
        __init__(target: str, rels: tuple[str, ...], anchor: str | None = None)
    base(response: httpx.Response) -> httpx.URL
    origin(url: httpx.URL) -> str
    parse(values: list[str]) -> list[Link]
    rebase(response: httpx.Response, url: httpx.URL) -> None
    reference(text: str) -> httpx.URL
    resolve(base: httpx.URL, reference: httpx.URL) -> httpx.URL
blocks.loadfiles
    ends(path: str, file_format: str, column: str) -> list[str] | None
blocks.logs
    hide_queries() -> None
blocks.nested
    async complete(
        client: httpx.AsyncClient,
        records: Sequence[dict[str, Any]],
        following: Callable[[dict[str, Any]], httpx.Request | None],
        paginator: Paginator,
        *,
        nested: Path,
        source: Path,
        at_once: int = 8,
    ) -> None
    more(connection: Any) -> str | None
blocks.network
    prefetch(source: AsyncIterable[T], ahead: int = 8) -> Iterator[T]
blocks.normalize
    class Normalizer
        __init__(
            table: str,
            path: Path | OrAbsent = '',
            *,
            dialect: Dialect | None = None,
        )
        __call__(self, page: Page) -> dict[str, pa.Table]
        stream(
            self,
            pages: Iterable[Page | Carried],
            rows: int = 5000,
        ) -> Iterator[dict[str, pa.Table]]
blocks.oauth
    class ClientCredentials(Grant)
        __init__(
            token_url: str,
            client_id: str,
            client_secret: str,
            *,
            scope: str = '',
            fields: Mapping[str, str] | None = None,
            client_auth: Literal['basic', 'post'] = 'basic',
        )
    class LegacyPassword(Grant)
        __init__(
            token_url: str,
            user: str,
            password: str,
            *,
            client_id: str = '',
            client_secret: str = '',
            fields: Mapping[str, str] | None = None,
            client_auth: Literal['basic', 'post'] = 'basic',
        )
    class RefreshToken(Grant)
        __init__(
            token_url: str,
            client_id: str,
            client_secret: str,
            refresh_token: str,
            *,
            save: Callable[[str], object],
            fields: Mapping[str, str] | None = None,
            client_auth: Literal['basic', 'post'] = 'basic',
        )
        obtain(self, request: httpx.Request) -> Generator[Step, Any, Token]
blocks.outcomes
    OUTCOMES
    Outcome
    class Verdict
        __init__(outcome: Outcome, reason: str = '', wait: float | None = None)
    accept(response: httpx.Response) -> bool
    mark(response: httpx.Response, verdict: Verdict) -> None
    verdict(response: httpx.Response) -> Verdict
blocks.paginators
    class Keyset
        __init__(records: Records, key: Path, target: Target)
        __call__(self, response: httpx.Response) -> httpx.Request | None
    class LinkHeader
        __init__(rel: str = 'next')
        __call__(self, response: httpx.Response) -> httpx.Request | None
    class NextToken
        __init__(
            source: Source,
            target: Target,
            *,
            keep: Collection[str] | None = None,
        )
        __call__(self, response: httpx.Response) -> httpx.Request | None
    class NextUrl
        __init__(source: Source)
        __call__(self, response: httpx.Response) -> httpx.Request | None
    class Offset
        __init__(
            limit: int,
            *,
            offset_param: Target = 'offset',
            limit_param: Target = 'limit',
            start: int = 0,
            records: Records = '',
        )
        __call__(self, response: httpx.Response) -> httpx.Request | None
        position(self, request: httpx.Request) -> int
        rows(self, response: httpx.Response) -> bytes | None
        to(self, request: httpx.Request, position: int) -> httpx.Request
    class PageNumber
        __init__(
            target: Target = 'page',
            *,
            start: int = 1,
            records: Records | None = '',
        )
        __call__(self, response: httpx.Response) -> httpx.Request | None
        position(self, request: httpx.Request) -> int
        rows(self, response: httpx.Response) -> bytes | None
        to(self, request: httpx.Request, position: int) -> httpx.Request
    Paginator
    class SinglePage
        __init__()
        __call__(self, response: httpx.Response) -> None
    advance(response: httpx.Response, request: httpx.Request) -> httpx.Request
    follow(response: httpx.Response, url: str) -> httpx.Request
    turn(
        request: httpx.Request,
        params: Mapping[str, str | int],
        *,
        keep: Collection[str] | None = None,
    ) -> httpx.Request
blocks.partitions
    class Options(dict)
    class Partitions
        __init__(
            column: str,
            *,
            start: Any,
            state: MutableMapping[str, Any],
            until: Any = None,
            key: str | None = None,
            most: int = 10000,
            **options: Unpack[Options],
        )
        observe(self, table: pa.Table) -> None
        of(self, key: str | int) -> Cursor
blocks.parts
    LONG
    class Part
        __init__(
            clock: Callable[[], float],
            turns: Turns | None = None,
            cost: Callable[[httpx.Request], float] | None = None,
            quotas: Quotas | None = None,
        )
        answered(self, sent: float) -> None
        claim(self, at: float, now: float, cost: float) -> float
        claim_first(self, now: float, cost: float) -> tuple[float, float]
        cost(self, request: httpx.Request | None) -> float
        count(self, waited: float) -> None
        drop(self) -> None
        due(self, place: float, cost: float) -> float
        faster(self, now: float) -> None
        give_back(self, place: float, cost: float) -> None
        heed(self, response: httpx.Response, now: float) -> Sequence[Quota]
        hold(self, wait: float | None, sent: float, now: float, reason: str) -> None
        opening(self, at: float, now: float, cost: float) -> float
        pause(self, until: float, reason: str = 'a pause') -> None
        slower(self, sent: float, now: float) -> None
        statistics(self) -> Statistics
        async take(self) -> None
    class Statistics
        __init__(calls: int, waited: float, pauses: int, rate: float = inf)
    lock
blocks.places
    class FormBody
        __init__(name: str)
    class Header
        __init__(name: str)
    class JsonBody
        __init__(path: Path)
    class OrNull
        __init__(path: Path)
    Records
    Source
    Target
    kind(value: Any) -> str
    put(
        request: httpx.Request,
        target: Target,
        value: str | int,
        keep: Collection[str] | None = None,
    ) -> httpx.Request
    read(response: httpx.Response, source: Source) -> Any
    records(response: httpx.Response, place: Records) -> tuple[int, bytes]
    sent(request: httpx.Request, target: Target, default: int) -> int
    size(response: httpx.Response, place: Records) -> int
    truth(response: httpx.Response, source: Source) -> bool
    values(response: httpx.Response, place: Records, key: Path) -> list[Any]
    whole(response: httpx.Response, source: Source) -> int
blocks.pools
    class Limits(Limit)
        __init__(*limits: Limit)
        parts(self, request: httpx.Request | None = None) -> tuple[Part, ...]
        statistics(self) -> Statistics
    class Pools(Limit)
        __init__(routes: Mapping[str, Limit], default: Limit)
        of(self, request: httpx.Request) -> Limit
        parts(self, request: httpx.Request | None = None) -> tuple[Part, ...]
        statistics(self) -> Statistics
blocks.quotas
    class HubSpot
        __init__()
        __call__(self, response: httpx.Response, _: datetime) -> Iterator[Quota]
    class Quota
        __init__(
            remaining: float,
            reset: float | None = None,
            limit: float | None = None,
            restore: float = 0.0,
            needed: float = 1.0,
            name: str = '',
        )
        pace: float | None
        used_up: bool
        wait: float | None
    Quotas
    class RateLimit
        __init__()
        __call__(self, response: httpx.Response, _: datetime) -> Iterator[Quota]
    Reset
    class Salesforce
        __init__()
        __call__(self, response: httpx.Response, _: datetime) -> Iterator[Quota]
    class ShopifyBucket
        __init__(leak: float = 2.0)
        __call__(self, response: httpx.Response, _: datetime) -> Iterator[Quota]
    class ShopifyCost
        __init__(path: Path = 'extensions.cost')
        __call__(self, response: httpx.Response, _: datetime) -> Iterator[Quota]
    class XRateLimit
        __init__(reset: Reset, prefix: str = 'X-RateLimit-')
        __call__(self, response: httpx.Response, now: datetime) -> Iterator[Quota]
blocks.recovery
    class Recovery
        __init__(
            freed: tuple[str, ...] = (),
            committed: tuple[str, ...] = (),
            restarted: tuple[str, ...] = (),
            unsure: tuple[str, ...] = (),
            loaded: tuple[str, ...] = (),
            dropped: tuple[str, ...] = (),
        )
    recover(pipeline: dlt.Pipeline) -> Recovery
blocks.redirects
    class Redirects(AsyncBaseTransport)
        __init__(transport: httpx.AsyncBaseTransport)
        async aclose(self) -> None
        async handle_async_request(self, request: httpx.Request) -> httpx.Response
    class RedirectsTo(AsyncBaseTransport)
        __init__(
            transport: httpx.AsyncBaseTransport,
            origins: Collection[str],
            *,
            through: httpx.AsyncBaseTransport | None = None,
        )
        async aclose(self) -> None
        async handle_async_request(self, request: httpx.Request) -> httpx.Response
blocks.requests
    follow(response: httpx.Response, url: str) -> httpx.Request
    path(template: str, *ids: str | int) -> str
    repeat(
        request: httpx.Request,
        *,
        url: httpx.URL | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Request
    replaced(
        form: bytes,
        values: Mapping[str, str | int],
        keep: Collection[str] | None = None,
    ) -> bytes
    turn(
        request: httpx.Request,
        params: Mapping[str, str | int],
        *,
        keep: Collection[str] | None = None,
    ) -> httpx.Request
blocks.restarts
    async restart(
        listing: Callable[[], AsyncIterator[httpx.Response]],
        lost: Callable[[httpx.Response], object],
        *,
        at_most: int = 3,
    ) -> AsyncIterator[httpx.Response]
blocks.retries
    class Retry(AsyncBaseTransport)
        __init__(
            transport: httpx.AsyncBaseTransport,
            attempts: int = 5,
            total: float = 300.0,
            *,
            reads: Callable[[httpx.Request], bool] = reads,
            delay: Callable[[int, float], float] = delay,
            chance: Callable[[], float] = Random.random,
        )
        async aclose(self) -> None
        async handle_async_request(self, request: httpx.Request) -> httpx.Response
    classify(outcome: httpx.Response | Exception) -> Outcome
    delay(attempt: int, chance: float) -> float
    reads(request: httpx.Request) -> bool
blocks.rules
    class Judged(AsyncBaseTransport)
        __init__(
            transport: httpx.AsyncBaseTransport,
            *rules: Rule,
            *,
            empty: bytes = b'[]',
        )
        async aclose(self) -> None
        async handle_async_request(self, request: httpx.Request) -> httpx.Response
    class Markup
        __init__(outcome: Outcome = 'retry')
        __call__(self, response: httpx.Response) -> Outcome | None
    class Present
        __init__(path: Path, outcome: Outcome = 'fail')
        __call__(self, response: httpx.Response) -> Outcome | None
    Rule
    class Status
        __init__(status: int, outcome: Outcome, *, wait: float | None = None)
        __call__(self, response: httpx.Response) -> Outcome | Verdict | None
    class Text
        __init__(text: str, outcome: Outcome, *, wait: float | None = None)
        __call__(self, response: httpx.Response) -> Outcome | Verdict | None
    class Value
        __init__(
            path: Path,
            value: str | float | bool | None,
            outcome: Outcome = 'fail',
        )
        __call__(self, response: httpx.Response) -> Outcome | None
blocks.scaffold
blocks.secrets
    class Secret
    mentions(text: str, secrets: Iterable[str]) -> bool
    named(function: object) -> str
    printable(name: str, text: str, *, colons: bool = True) -> str
    visible(name: str, text: str, *, spaces: bool = False) -> str
blocks.sessions
    class CookieLogin(Expiring)
        __init__(
            login_url: str,
            credentials: Mapping[str, Any],
            *,
            name: str,
            lifetime: float | None = None,
            encoding: Literal['json', 'form'] = 'form',
        )
        found(self, response: httpx.Response) -> object
        sign(self, request: httpx.Request, token: str) -> None
    class TokenLogin(Expiring)
        __init__(
            login_url: str,
            credentials: Mapping[str, Any],
            *,
            path: Path,
            header: str = 'Authorization',
            prefix: str = 'Bearer ',
            lifetime: float | None = None,
            encoding: Literal['json', 'form'] = 'json',
        )
        found(self, response: httpx.Response) -> object
        sign(self, request: httpx.Request, token: str) -> None
blocks.signing
    class Hmac(Secret)
        __init__(
            key: str | bytes,
            message: Callable[[httpx.Request], bytes],
            *,
            header: str = 'X-Signature',
            prefix: str = '',
            digest: Literal['sha256', 'sha1', 'sha512'] = 'sha256',
            encoding: Literal['hex', 'base64'] = 'hex',
        )
        __call__(self, request: httpx.Request) -> None
    class SigV4(Secret)
        __init__(credentials: _Credentials, *, region: str, service: str)
        __call__(self, request: httpx.Request) -> None
    class Signed(AsyncBaseTransport)
        __init__(
            transport: httpx.AsyncBaseTransport,
            sign: Callable[[httpx.Request], object],
        )
        async aclose(self) -> None
        async handle_async_request(self, request: httpx.Request) -> httpx.Response
blocks.slots
    class InFlight(Part, Limit)
        __init__(count: int, *, clock: Callable[[], float] = monotonic)
        drop(self) -> None
        parts(self, request: httpx.Request | None = None) -> tuple[Part, ...]
        async take(self) -> None
blocks.stops
    class Empty
        __init__(records: Records)
        __call__(self, response: httpx.Response) -> bool
    class Flag
        __init__(source: Source, *, last: bool = False)
        __call__(self, response: httpx.Response) -> bool
    class Older
        __init__(
            key: Path,
            *,
            records: Records,
            than: str | int,
            kind: Kind | None = None,
        )
        __call__(self, response: httpx.Response) -> bool
    Stop
    class TotalPages
        __init__(source: Source, *, size: int | None = None)
        rest(self, response: httpx.Response, paginator: PageNumber) -> range
    class TotalRows
        __init__(source: Source)
        rest(self, response: httpx.Response, paginator: Offset) -> range
    class Until
        __init__(paginator: Paginator, stop: Stop | TotalPages | TotalRows)
        __call__(self, response: httpx.Response) -> httpx.Request | None
        follows(self, response: httpx.Response, request: httpx.Request | None) -> bool
        rest(self, response: httpx.Response) -> Iterator[httpx.Request]
        rows(self, response: httpx.Response) -> bytes | None
        total(self, response: httpx.Response) -> int
blocks.testing
    class Allowance
        __init__(
            count: int,
            per: float = 1.0,
            *,
            clock: Callable[[], float] = monotonic,
        )
        __call__(self, call: Call) -> None
        left(self) -> int
    class Answer
        __init__(
            body: Any = None,
            status: int = 200,
            headers: Mapping[str, str] = <factory>,
            delay: float = 0.0,
            drip: float = 0.0,
            end: Literal['whole', 'cut', 'reset'] = 'whole',
        )
        encoded(self) -> bytes
    class Api
        __init__(
            *guards: Guard,
            *,
            problem: Callable[[Refused], Any] = _error,
            finish: Callable[[Call, Answer], Answer] = _unchanged,
        )
        get(
            self,
            path: str,
            *,
            query: str = '',
            guards: Iterable[Guard] | None = None,
        ) -> Callable[[_H], _H]
        handle(self, call: Call) -> Answer
        post(
            self,
            path: str,
            *,
            body: str = '',
            query: str = '',
            guards: Iterable[Guard] | None = None,
        ) -> Callable[[_H], _H]
        refuse(self, refused: Refused) -> Answer
        route(
            self,
            method: str,
            path: str,
            *,
            query: str = '',
            body: str = '',
            guards: Iterable[Guard] | None = None,
        ) -> Callable[[_H], _H]
    class Call
        __init__(
            method: str,
            path: str,
            query: Given,
            headers: Given,
            content: bytes = b'',
            params: dict[str, str] = <factory>,
            declared: str = '',
            status: int = 0,
        )
        form: Given
        json: Any
        link(self, changes: Mapping[str, object]) -> str
    class Refused(Exception)
        __init__(status: int, message: str, headers: Mapping[str, str] | None = None)
    class Server
        __init__(api: Api)
        answer(self, call: Call) -> Answer
        before(self, number: int, do: Callable[[], object], *, path: str = '*') -> None
        count(self, path: str = '*', *, status: int | None = None) -> int
        fail(
            self,
            fault: int | Fault,
            *,
            at: int = 1,
            times: int = 1,
            path: str = '*',
        ) -> None
        mend(self) -> None
        statuses: Counter[int]
    class Tokens
        __init__(
            client_id: str,
            client_secret: str,
            *,
            refresh: str | None = None,
            lifetime: float | None = 3600,
            fields: Mapping[str, Any] | None = None,
            clock: Callable[[], float] = monotonic,
        )
        __call__(self, call: Call) -> None
        expire(self) -> None
        grant(self, call: Call) -> Answer
        issue(self) -> dict[str, Any]
        issued: int
    basic(user: str, password: str = '') -> Guard
    bearer(*tokens: str) -> Guard
    connection(
        rows: Sequence[Row],
        first: int,
        after: str | None = None,
        *,
        key: str = 'id',
    ) -> dict[str, Any]
    header_key(name: str, *keys: str) -> Guard
    keyed(rows: Sequence[Row], after: Any, size: int, *, key: str = 'id') -> Page
    linked(call: Call, page: Page, parameter: str = 'page') -> dict[str, str]
    numbered(rows: Sequence[Row], number: int, size: int, *, first: int = 1) -> Page
    offset(rows: Sequence[Row], start: int, size: int) -> Page
    query_key(name: str, *keys: str) -> Guard
    serving(api: Api) -> Iterator[Server]
    unwrap(token: str | None, default: Any = None) -> Any
    wrap(value: Any) -> str | None
blocks.tokens
    class Expiring(Secret, Auth)
        __init__()
        async async_auth_flow(self, request: httpx.Request) -> _AsyncFlow
        obtain(self, request: httpx.Request) -> Generator[Step, Any, Token]
        sign(self, request: httpx.Request, token: str) -> None
        sync_auth_flow(self, request: httpx.Request) -> _Flow
    Step
    class Token(Secret)
        __init__(value: str, lifetime: float | None = None)
    class TokenFrom(Expiring)
        __init__(function: Callable[[], object])
        obtain(self, request: httpx.Request) -> Generator[Step, Any, Token]
blocks.turns
    class Turns
        __init__(pace: float, burst: float)
        change(self, pace: float, now: float) -> None
        claim(self, at: float, now: float, cost: float) -> float
        claim_first(self, now: float, cost: float) -> tuple[float, float]
        due(self, place: float, cost: float) -> float
        give_back(self, place: float, cost: float) -> None
        opening(self, at: float, now: float, cost: float) -> float
blocks.unfinished
    remove_unfinished(pipeline: dlt.Pipeline) -> dict[str, int]
blocks.waiting
    async enter(parts: Sequence[Part], request: httpx.Request | None = None) -> None
    leave(parts: Sequence[Part]) -> None
    reserve(parts: Sequence[Part], request: httpx.Request | None, now: float) -> float
blocks.windows
    narrow(error: Exception) -> bool
    async windows(
        fetch: Callable[[Interval], AsyncIterable[httpx.Response]],
        ranges: Iterable[Interval],
        *,
        at_once: int = 4,
        least: timedelta | int | None = None,
        narrow: Callable[[Exception], bool] = narrow,
        strict: bool = False,
    ) -> AsyncIterator[tuple[Interval, list[httpx.Response]]]
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
        # dlt puts one beside each function that became a resource.
        and not (inspect.isclass(thing) and issubclass(thing, BaseConfiguration))
    }
    assert module.__all__ == sorted(module.__all__)
    assert defined - {*module.__all__} == set()


if __name__ == "__main__":
    print(surface(), end="")  # noqa: T201
