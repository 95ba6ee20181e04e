"""The normalizer: pages of JSON in, the tables dlt would make of them out, as Arrow."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

import pyarrow as pa

from blocks.errors import NormalizeError
from blocks.json import OrAbsent, Path
from blocks.normalize.builder import Builder
from blocks.normalize.columns import Rows
from blocks.normalize.dialect import Dialect
from blocks.normalize.plan import Elements
from blocks.normalize.reader import Reader
from blocks.normalize.tables import Part, table, tables
from blocks.normalize.tree import Table

__all__ = ["Carried", "Normalizer", "Page"]

Page: TypeAlias = bytes | list[Any] | pa.Table
"""The body of a page as JSON bytes, or its rows: parsed already, or as an Arrow table."""

Carried: TypeAlias = tuple[Page, Mapping[str, Any]]
"""A page and what to add to each of its root rows: values by their keys."""

# Rows are read again, or column by column, from the processor's cache if they fit. From 5,000 rows
# down to 1,000 that doubles the speed; below a megabyte it falls again (bench/normalize.py).
_CHUNK_BYTES = 1 << 20
_CHUNK_ROWS = 1000
# Rows of a megabyte each are handed out before there are thousands of them.
_MOST_BYTES = 32 << 20

_NOTHING: Mapping[str, Any] = {}


class Normalizer:
    """Turns pages of one resource into Arrow tables: a root table and its nested ones.

    Names, types, keys and ids are those dlt makes of the same records; what one page teaches
    (a new column, the type of another) holds for the pages after it. Tables come as a dict,
    the root first, only those that have rows. Use one normalizer for each root table, from
    one thread.

    `path` leads to the records in a body: an array, or one object. Rows parsed already are taken
    as they are. `dialect` brings a pipeline's schema; without one the rules are a new schema's.

    >>> issues = Normalizer("issues")
    >>> page = issues(b'[{"id": 1, "user": {"login": "ann"}, "labels": ["bug", "ui"]}]')
    >>> list(page)
    ['issues', 'issues__labels']
    >>> page["issues"].column_names
    ['id', 'user__login', '_dlt_load_id', '_dlt_id']
    >>> page["issues__labels"].column("value").to_pylist()
    ['bug', 'ui']
    """

    def __init__(
        self, table: str, path: Path | OrAbsent = "", *, dialect: Dialect | None = None
    ) -> None:
        self.dialect = dialect or Dialect.new(table)
        name = self.dialect.table(table)
        self._root = Table(self.dialect, (name,), self.dialect.nesting(name), None)
        # An id that is a hash of the whole row needs the row as it came.
        hashed = self.dialect.row_id_kind(name) == "row_hash"
        self._reader = Reader(self._root, path, planned=not hashed)
        self._builder: Builder | None = None
        self._pages = 0

    def __call__(self, page: Page) -> dict[str, pa.Table]:
        """The tables of one page."""
        return next(self._stream([page], sys.maxsize, sys.maxsize), {})

    def stream(
        self, pages: Iterable[Page | Carried], rows: int = 5000
    ) -> Iterator[dict[str, pa.Table]]:
        """The tables of many pages, put together to about `rows` root rows at a time.

        Small pages cost less together; of large ones about 32 MiB of JSON are enough. A page may
        come with values to add to its root rows, such as the key of the parent that they are
        children of: numbers, texts, booleans or times, which stand before those the rows have
        under the same name. A page that cannot be read raises `NormalizeError` after all rows
        before it have been handed out.

        >>> pages = [(b'[{"id": 7}, {"id": 8}]', {"issue": 1}), (b'[{"id": 9}]', {"issue": 2})]
        >>> [tables] = Normalizer("comments").stream(pages)
        >>> tables["comments"].column("issue").to_pylist()
        [1, 1, 2]
        """
        return self._stream(pages, rows, _MOST_BYTES)

    def _stream(
        self, pages: Iterable[Page | Carried], rows: int, size: int
    ) -> Iterator[dict[str, pa.Table]]:
        # A stream that is left early takes its rows with it.
        builder, self._builder = self._builder or Builder(self._root), None
        held = _Held(self._root, builder)
        try:
            for chunk in self._chunks(pages, held):
                if chunk is not None:
                    held.size += chunk.size
                    self._add(held, chunk)
                if held.count >= (rows if held.size < size else 1):
                    yield held.take()
        except NormalizeError:
            if held.count:
                yield held.take()
            raise
        if held.count:
            yield held.take()
        self._builder = builder

    def _add(self, held: _Held, chunk: _Chunk) -> None:
        plan, is_parsed = chunk.how
        with _no_collector():
            if is_parsed and held.builder.append(chunk.rows, chunk.added, self._learn):
                chunk.clear()
                return
            try:
                held.add(tables(self._root, chunk.rows, plan, chunk.added))
            except NormalizeError:
                # Find the page with the value that fits nowhere; rows before it count.
                self.dialect.forget()
                for page, rows, added in chunk.pages():
                    try:
                        held.add(tables(self._root, rows, plan, added))
                    except NormalizeError as error:
                        raise NormalizeError(f"page {page}: {error}") from error
            except RecursionError:
                raise NormalizeError(
                    f"page {chunk.ends[0][0]}: records are nested too deeply for tables:"
                    " set max_nesting, then what is deeper becomes JSON"
                ) from None
            chunk.clear()  # while the collector rests

    def _chunks(self, pages: Iterable[Page | Carried], held: _Held) -> Iterator[_Chunk | None]:
        """Rows of one plan, as many as fit the processor's cache; `None`: some are `held` now."""
        chunk = _Chunk(None, is_parsed=False)
        for each in pages:
            page, added = each if isinstance(each, tuple) else (each, _NOTHING)
            self._pages += 1
            tried = isinstance(page, bytes) and held.builder.may_read()
            if tried:
                yield from chunk.parts()
                chunk = _Chunk(None, is_parsed=False)
            try:
                columns = self._columns(added)
                if tried and held.builder.read(page, self._reader.path, columns, self._learn):
                    held.size += len(page)
                    yield None
                    continue
                # A plan is for pages again and again that a builder never takes.
                planned = not tried and not held.builder.is_able
                with _no_collector():
                    plan, rows = self._read(page, planned=planned)
            except NormalizeError as error:
                yield from chunk.parts()
                raise NormalizeError(f"page {self._pages}: {error}") from error
            how = plan, isinstance(page, list)
            if chunk.is_full() or how != chunk.how or isinstance(rows, pa.Table):
                yield from chunk.parts()
                chunk = _Chunk(*how)
            chunk.add(self._pages, rows, len(page) if isinstance(page, bytes) else 0)
            chunk.carry(columns, len(rows))
            if isinstance(rows, pa.Table):
                # Without rows there is nothing to learn, and no key to miss.
                if rows.num_rows:
                    yield chunk
                chunk = _Chunk(None, is_parsed=False)
        yield from chunk.parts()

    def _learn(self, rows: list[Any], added: Mapping[str, Sequence[Any]]) -> None:
        # What fits nowhere is an error once it is known of which page.
        with suppress(NormalizeError, RecursionError):
            tables(self._root, rows, None, added)

    def _columns(self, added: Mapping[str, Any]) -> dict[str, Any]:
        for key, value in added.items():
            if isinstance(value, (dict, list)):
                raise NormalizeError(
                    f"expected one value to add to rows as {key}, got {type(value).__name__}"
                )
        return {self._root.node.slot(key).column: value for key, value in added.items()}

    def _read(self, page: Page, *, planned: bool) -> tuple[Elements | None, Rows]:
        if isinstance(page, bytes):
            return self._reader.read(page, planned=planned)
        if isinstance(page, (list, pa.Table)):
            return None, page
        raise NormalizeError(
            f"expected a page as JSON bytes, list of rows or Arrow table, got {type(page).__name__}"
        )


class _Chunk:
    """Rows of consecutive pages, all read by one plan; `ends` are page numbers and row counts.

    `is_parsed` says that they came as rows. `added` are columns beside those of the rows.
    """

    def __init__(self, plan: Elements | None, is_parsed: bool) -> None:
        self.how = plan, is_parsed
        self.rows: Any = []
        self.added: dict[str, list[Any]] = {}
        self.ends: list[tuple[int, int]] = []
        self.size = 0

    def add(self, page: int, rows: Rows, size: int) -> None:
        if isinstance(rows, pa.Table):
            self.rows = rows
        else:
            self.rows.extend(rows)
        self.ends.append((page, len(self.rows)))
        self.size += size

    def carry(self, columns: Mapping[str, Any], count: int) -> None:
        for name in columns.keys() | self.added.keys():
            column = self.added.setdefault(name, [None] * (len(self.rows) - count))
            column.extend([columns.get(name)] * count)

    def is_full(self) -> bool:
        return self.size >= _CHUNK_BYTES or len(self.rows) >= _CHUNK_ROWS

    def pages(self) -> Iterator[tuple[int, Rows, dict[str, list[Any]]]]:
        start = 0
        for page, end in self.ends:
            yield page, *self.cut(start, end)
            start = end

    def parts(self) -> Iterator[_Chunk]:
        # One page may be a whole export.
        if len(self.rows) <= 2 * _CHUNK_ROWS:
            if len(self.rows):
                yield self
            return
        first = 0
        for page, end in self.ends:
            for start in range(first, end, _CHUNK_ROWS):
                stop = min(start + _CHUNK_ROWS, end)
                part = _Chunk(*self.how)
                rows, part.added = self.cut(start, stop)
                part.add(page, rows, self.size * len(rows) // len(self.rows))
                yield part
            first = end

    def cut(self, start: int, stop: int) -> tuple[Any, dict[str, list[Any]]]:
        added = {name: column[start:stop] for name, column in self.added.items()}
        return self.rows[start:stop], added

    def clear(self) -> None:
        self.rows = []


class _Held:
    """Tables waiting to be handed out together, made of `size` bytes of JSON."""

    def __init__(self, root: Table, builder: Builder) -> None:
        self._root = root
        self.builder = builder
        self.size = 0
        self._count = 0
        self._parts: dict[str, list[Part]] = {}

    @property
    def count(self) -> int:
        return self._count + self.builder.rows

    def add(self, tables: dict[str, list[Part]]) -> None:
        for made in (self.builder.take(), tables):
            for name, parts in made.items():
                self._parts.setdefault(name, []).extend(parts)
            self._count += sum(part.rows for part in made.get(self._root.name, ()))

    def take(self) -> dict[str, pa.Table]:
        self.add({})
        parts, self._parts, self._count, self.size = self._parts, {}, 0, 0
        return {name: table(self._root.dialect, name, found) for name, found in parts.items()}


@contextmanager
def _no_collector() -> Iterator[None]:
    """Pause the garbage collector: it would walk rows by the thousand and find no cycle.

    Worth a third of the time at 1,000 rows a chunk (bench/normalize.py).
    """
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()
