"""Formats: bodies that are not one JSON document, cut into pages as they stream in.

Each takes the chunks of a body, of any size, and makes pages for `blocks.dlt.load` or a
`Normalizer` in bounded memory:

    load(ndjson(gunzip(prefetch(chunks(api, request)))))
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from io import BufferedReader, RawIOBase
from itertools import chain
from typing import TYPE_CHECKING, Any

from blocks.errors import NormalizeError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["csv", "gunzip", "ndjson"]

# As much as the normalizer turns on its side at once; beyond it pages gain nothing.
_PAGE_BYTES = 1 << 20
# What one step of inflating may make: a chunk of zeros grows a thousandfold.
_STEP_BYTES = 1 << 20


def gunzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The content of a gzip file (RFC 1952, any number of members), in pieces of 1 MiB at most.

    Raises `NormalizeError` if it is no gzip, is damaged, or ends before its end.

    >>> import gzip
    >>> file = gzip.compress(b"a" * 5) + gzip.compress(b"b" * 5)
    >>> b"".join(gunzip([file[:7], file[7:]]))
    b'aaaaabbbbb'
    """
    member: Any = None
    read = 0
    for chunk in chunks:
        data = chunk
        while data:
            member = member or zlib.decompressobj(wbits=31)
            try:
                piece = member.decompress(data, _STEP_BYTES)
            except zlib.error as error:
                message = f"expected gzip at byte {read} of the body, got something else: {error}"
                raise NormalizeError(message) from error
            if piece:
                yield piece
            data = member.unconsumed_tail or member.unused_data
            if member.eof:
                member = None
        read += len(chunk)
    if member is not None:
        raise NormalizeError(f"expected the end of a gzip file, got only its first {read} bytes")


def ndjson(chunks: Iterable[bytes]) -> Iterator[bytes]:
    r"""Pages of about 1 MiB, as JSON arrays, of a body with one JSON value a line.

    Empty lines are passed over. What ends in the middle of a line is a page that cannot be read:
    the normalizer says so.

    >>> list(ndjson([b'{"id": 1}\n{"i', b'd": 2}\n']))
    [b'[{"id": 1},{"id": 2}]']
    """
    held: list[bytes] = []
    size = 0
    begun: list[bytes] = []  # the parts of a line whose end has not come
    for chunk in chain(chunks, [b"\n"]):
        first, *lines = chunk.split(b"\n")
        begun.append(first)
        if not lines:
            continue
        *whole, rest = b"".join(begun), *lines
        begun = [rest]
        held += filter(None, map(bytes.strip, whole))
        size += sum(map(len, whole))
        if size >= _PAGE_BYTES:
            yield _array(held)
            held, size = [], 0
    if held:
        yield _array(held)


def csv(chunks: Iterable[bytes], delimiter: str = ",") -> Iterator[pa.Table]:
    r"""Tables of about 1 MiB of a CSV body (RFC 4180) whose first line names the columns.

    Types are those that Arrow finds in the first megabyte; empty fields are null. A later value
    that does not fit raises `NormalizeError`.

    >>> [table.to_pylist() for table in csv([b"id,name\n1,", b"a\n2,b\n"])]
    [[{'id': 1, 'name': 'a'}, {'id': 2, 'name': 'b'}]]
    """
    import pyarrow as pa  # not on import: a body of JSON lines needs none of it
    from pyarrow import csv as reader

    try:
        with reader.open_csv(
            pa.PythonFile(BufferedReader(_Stream(chunks), _PAGE_BYTES), mode="r"),
            read_options=reader.ReadOptions(block_size=_PAGE_BYTES),
            parse_options=reader.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=reader.ConvertOptions(strings_can_be_null=True),
        ) as batches:
            for batch in batches:
                yield pa.Table.from_batches([batch])
    except pa.ArrowInvalid as error:
        raise NormalizeError(f"expected CSV of one shape, got: {error}") from error


def _array(lines: list[bytes]) -> bytes:
    return b"[" + b",".join(lines) + b"]"


class _Stream(RawIOBase):
    """Chunks as a file that can be read once."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        super().__init__()
        self._chunks = iter(chunks)
        self._held = b""

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` with what is there."""
        while not self._held:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._held = chunk
        taken = self._held[: len(buffer)]
        self._held = self._held[len(taken) :]
        buffer[: len(taken)] = taken
        return len(taken)
