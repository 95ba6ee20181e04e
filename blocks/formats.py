"""Formats: bodies that are not one JSON document, cut into pages as they stream in.

Each takes the chunks of a body, of any size, and makes pages for `blocks.dlt.load` or a
`Normalizer` in bounded memory:

    load(ndjson(gunzip(prefetch(chunks(api, request)))))
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from io import BufferedReader, RawIOBase
from itertools import chain
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, cast

from zlib_ng import zlib_ng

from blocks.errors import NormalizeError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Gunzip", "csv", "gunzip", "ndjson", "unzip"]

# As much as the normalizer turns on its side at once; beyond it pages gain nothing.
_PAGE_BYTES = 1 << 20
# A line: more than any warehouse takes as a row, and little enough to be held.
_LINE_BYTES = 32 << 20
# What one step of inflating may make: a chunk of zeros grows a thousandfold.
_STEP_BYTES = 1 << 20
_Damaged = cast("type[Exception]", zlib_ng.error)  # its stub has an instance there
# What a zip archive may make: text compresses 5 to 30 times, deflate can reach 1032, and members
# that overlap far more.
_RATIO = 100
_HARMLESS_BYTES = 1 << 30


class Gunzip:
    """A gzip file (RFC 1952, any number of members) read piece by piece; see `gunzip`."""

    def __init__(self) -> None:
        self._member: Any = None
        self._read = 0

    def parts(self, chunk: bytes) -> Iterator[bytes]:
        """The content that `chunk` adds, in pieces of 1 MiB at most."""
        data = chunk
        while data:
            self._member = self._member or zlib_ng.decompressobj(wbits=31)
            try:
                piece = self._member.decompress(data, _STEP_BYTES)
            except _Damaged as error:
                place = f"expected gzip at byte {self._read} of the body"
                raise NormalizeError(f"{place}, got something else: {error}") from error
            if piece:
                yield piece
            data = self._member.unconsumed_tail or self._member.unused_data
            if self._member.eof:
                self._member = None
        self._read += len(chunk)

    def end(self) -> None:
        """Raise `NormalizeError` if a member has not come to its end."""
        if self._member is not None:
            message = f"expected the end of a gzip file, got only its first {self._read} bytes"
            raise NormalizeError(message)


def gunzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The content of a gzip file (RFC 1952, any number of members), in pieces of 1 MiB at most.

    Raises `NormalizeError` if it is no gzip, is damaged, or ends before its end.

    >>> import gzip
    >>> file = gzip.compress(b"a" * 5) + gzip.compress(b"b" * 5)
    >>> b"".join(gunzip([file[:7], file[7:]]))
    b'aaaaabbbbb'
    """
    file = Gunzip()
    for chunk in chunks:
        yield from file.parts(chunk)
    file.end()


def unzip(
    chunks: Iterable[bytes], *, largest: int | None = None
) -> Iterator[tuple[str, Iterator[bytes]]]:
    r"""Name and content of each file in a zip archive, in the archive's order.

    The archive goes to a temporary file on disk first, because its directory, the one place that
    says what is in it, stands at its end: so one that was cut makes no row. A content comes in
    pieces of 1 MiB at most, and is to be read before the next file is asked for. Names are texts
    from whoever made the archive, never paths here.

    Raises `NormalizeError` for what is no whole archive, is damaged, encrypted, or packed other
    than by deflate, and before the first file if all together are to make more than `largest`
    bytes: unless given, 1 GiB, or 100 times the archive where that is more.

    >>> import io
    >>> with zipfile.ZipFile(file := io.BytesIO(), "w") as archive:
    ...     archive.writestr("a.csv", "id\n1\n")
    >>> [(name, b"".join(content)) for name, content in unzip([file.getvalue()])]
    [('a.csv', b'id\n1\n')]
    """
    with TemporaryFile() as file:
        for chunk in chunks:
            file.write(chunk)
        size = file.tell()
        archive, members = _directory(file, size)
        with archive:
            allowed = max(_HARMLESS_BYTES, _RATIO * size) if largest is None else largest
            if (total := sum(member.file_size for member in members)) > allowed:
                got = f"got one of {size} that is to make {total}"
                raise NormalizeError(f"expected a zip archive of at most {allowed} bytes, {got}")
            for member in members:
                yield member.filename, _content(archive, member)


def ndjson(chunks: Iterable[bytes]) -> Iterator[bytes]:
    r"""Pages of about 1 MiB, as JSON arrays, of a body with one JSON value a line.

    Empty lines are passed over. What ends in the middle of a line is a page that cannot be read:
    the normalizer says so. A line of more than 32 MiB raises `NormalizeError`.

    >>> list(ndjson([b'{"id": 1}\n{"i', b'd": 2}\n']))
    [b'[{"id": 1},{"id": 2}]']
    """
    held: list[bytes] = []
    size = length = 0
    begun: list[bytes] = []  # the parts of a line whose end has not come
    for chunk in chain(chunks, [b"\n"]):
        first, *lines = chunk.split(b"\n")
        begun.append(first)
        if not lines:
            if (length := length + len(first)) > _LINE_BYTES:
                raise NormalizeError(f"expected lines of at most {_LINE_BYTES} bytes, got more")
            continue
        *whole, rest = b"".join(begun), *lines
        begun, length = [rest], len(rest)
        held += filter(None, map(bytes.strip, whole))
        size += sum(map(len, whole))
        if size >= _PAGE_BYTES:
            yield _array(held)
            held, size = [], 0
    if held:
        yield _array(held)


def csv(
    chunks: Iterable[bytes], delimiter: str = ",", *, types: Mapping[str, pa.DataType] | None = None
) -> Iterator[pa.Table]:
    r"""Tables of about 1 MiB of a CSV body (RFC 4180) whose first line names the columns.

    Types are those of `types`, by the column's name, else what Arrow finds in the first megabyte:
    of codes that are written in digits it makes numbers, without their leading zeros. Empty fields
    are null. A later value that does not fit raises `NormalizeError`.

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
            # Arrow's own list has NA, null, NaN and more: country codes and names, as they are.
            convert_options=reader.ConvertOptions(
                null_values=[""], strings_can_be_null=True, column_types=dict(types or {})
            ),
        ) as batches:
            for batch in batches:
                yield pa.Table.from_batches([batch])
    except pa.ArrowInvalid as error:
        raise NormalizeError(f"expected CSV of one shape, got: {error}") from error


def _directory(file: IO[bytes], size: int) -> tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]:
    try:
        archive = zipfile.ZipFile(file)
        members = sorted(archive.infolist(), key=lambda member: member.header_offset)
        file.seek(max(0, size - 22 - len(archive.comment)))
        signature, count = struct.unpack("<4s6xH", file.read(12))
    except _BAD_ZIP as error:
        message = f"expected a zip archive, got {size} bytes without the directory of one: {error}"
        raise NormalizeError(message) from error
    # Python reads an archive with bytes before or after it: so does an outer one that was cut pass
    # for the one within, if that was stored last.
    if signature != b"PK\x05\x06" or (members and members[0].header_offset):
        raise NormalizeError(f"expected a zip archive, got {size} bytes of which a part is one")
    if len(members) != count != 0xFFFF:  # which says that there are more (zip64)
        got = f"got {len(members)} in its directory"
        raise NormalizeError(f"expected a zip archive of {count} files, {got}")
    for member in members:
        if member.flag_bits & 1:
            raise NormalizeError(
                f"expected a zip archive that is open, got {member.filename!r} encrypted"
            )
        if member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            # The others may make any size of any input in one step.
            got = f"got {member.filename!r} by method {member.compress_type}"
            raise NormalizeError(f"expected files packed by deflate, {got}")
    # An entry for a folder is one by its name; with content it is a file all the same.
    files = [each for each in members if each.file_size or not each.filename.endswith("/")]
    return archive, files


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    left = member.file_size
    try:
        with archive.open(member) as content:
            while piece := content.read(_STEP_BYTES):
                left -= len(piece)
                yield piece
    except _BAD_ZIP as error:
        message = f"expected {member.filename!r} whole in the zip archive, got: {error!r}"
        raise NormalizeError(message) from error
    if left:
        message = f"expected {member.file_size} bytes of {member.filename!r} in the zip archive"
        raise NormalizeError(f"{message}, got {member.file_size - left}")


# All that `zipfile` is known to raise for archives that are none.
_BAD_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    ValueError,
)


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
