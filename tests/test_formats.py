"""Bodies that stream in, in any chunks, become pages that hold exactly their records."""

from __future__ import annotations

import bz2
import gzip
import json
import struct
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.dlt import load
from blocks.errors import NormalizeError
from blocks.formats import csv, gunzip, ndjson, unzip
from blocks.normalize import Normalizer
from tests.warehouse import Warehouse


def cut(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """`data` in chunks of these sizes, over and over."""
    position = 0
    while position < len(data):
        for size in sizes:
            yield data[position : position + size]
            position += size


CUTS = st.lists(st.integers(1, 50), min_size=1, max_size=5)


@given(members=st.lists(st.binary(max_size=200), max_size=3), cuts=CUTS)
def test_gunzip_gives_the_content(members: list[bytes], cuts: list[int]) -> None:
    """Any number of members, cut anywhere."""
    file = b"".join(map(gzip.compress, members))
    assert b"".join(gunzip(cut(file, cuts))) == b"".join(members)


@given(content=st.binary(min_size=1, max_size=100), data=st.data())
def test_gunzip_never_ends_early_in_silence(content: bytes, data: st.DataObject) -> None:
    """A file that is cut raises, wherever it is cut."""
    file = gzip.compress(content)
    end = data.draw(st.integers(1, len(file) - 1))
    with pytest.raises(NormalizeError, match="expected the end of a gzip file"):
        list(gunzip([file[:end]]))


@pytest.mark.parametrize("file", [b"no gzip", gzip.compress(b"a", mtime=0) + b"junk"])
def test_gunzip_refuses_what_is_no_gzip(file: bytes) -> None:
    """The error says where."""
    with pytest.raises(NormalizeError, match=r"expected gzip at byte 0 of the body"):
        list(gunzip([file]))


def test_gunzip_inflates_a_bomb_in_small_pieces() -> None:
    """A chunk that grows a thousandfold comes in pieces of 1 MiB."""
    pieces = [len(piece) for piece in gunzip([gzip.compress(bytes(20 << 20))])]
    assert sum(pieces) == 20 << 20
    assert max(pieces) <= 1 << 20


def zipped(files: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of these files."""
    with zipfile.ZipFile(made := BytesIO(), "w", method) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return made.getvalue()


def opened(archive: bytes, **options: Any) -> list[tuple[str, bytes]]:
    """Name and content of the files in it."""
    return [(name, b"".join(content)) for name, content in unzip([archive], **options)]


@given(
    files=st.lists(
        st.tuples(st.text("abc/.é", min_size=1, max_size=8), st.binary(max_size=200)),
        max_size=4,
        unique_by=lambda file: file[0],
    ),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    cuts=CUTS,
)
def test_unzip_gives_every_file_in_order(
    files: list[tuple[str, bytes]], method: int, cuts: list[int]
) -> None:
    """Names and contents as they were packed, without the empty entries that stand for folders."""
    archive = zipped(files, method)
    found = [(name, b"".join(content)) for name, content in unzip(cut(archive, cuts))]
    assert found == [(name, content) for name, content in files if content or name[-1] != "/"]


@given(data=st.data())
def test_an_archive_that_was_cut_makes_nothing(data: st.DataObject) -> None:
    """Wherever it was cut, the error comes before the first file."""
    archive = zipped([("a.json", b"[1]" * 50), ("b.zip", zipped([("inner", b"x")]))], 0)
    end = data.draw(st.integers(0, len(archive) - 1))
    with pytest.raises(NormalizeError, match="expected a zip archive"):
        next(unzip([archive[:end]]))


def test_the_archive_within_a_cut_one_is_not_taken_for_it() -> None:
    """An archive stored last in another, which ends where that was cut, is refused."""
    inner = zipped([("inner", b"x")])
    outer = zipped([("a.json", b"[1]"), ("b.zip", inner)], zipfile.ZIP_STORED)
    end = outer.index(inner) + len(inner)
    with pytest.raises(NormalizeError, match="of which a part is one"):
        next(unzip([outer[:end]]))
    with pytest.raises(NormalizeError, match="of which a part is one"):
        next(unzip([outer, b"junk"]))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("change", [1, 4, 0x34, 0x80, 0xFF])
def test_a_damaged_archive_is_no_other_content(method: int, change: int) -> None:
    """Wherever one byte is another: an error of ours, or the very content, never less of it."""
    contents = [b"[1, 2, 3]" * 9, b"[4]"]
    whole = zipped([("a.json", contents[0]), ("b.json", contents[1])], method)
    for place in range(len(whole)):
        archive = bytearray(whole)
        archive[place] ^= change
        with suppress(NormalizeError):
            assert [content for _, content in opened(bytes(archive))] == contents


def test_a_file_shorter_than_its_entry_says() -> None:
    """A size in the directory that the content does not come to is an error."""
    archive = bytearray(zipped([("a", b"12345")]))
    place = archive.index(b"PK\1\2") + 24
    archive[place : place + 4] = struct.pack("<I", 9)
    with pytest.raises(NormalizeError, match="expected 9 bytes of 'a' in the zip archive, got 5"):
        opened(bytes(archive))


def test_an_encrypted_archive_is_said_to_be_one() -> None:
    """Not damaged: encrypted."""
    archive = bytearray(zipped([("a", b"12345")]))
    archive[archive.index(b"PK\1\2") + 8] |= 1
    with pytest.raises(NormalizeError, match="got 'a' encrypted"):
        opened(bytes(archive))


def test_only_deflate_is_unpacked() -> None:
    """Of bzip2 a few bytes may make any size at once; no API was seen to send it."""
    assert bz2.compress(b"")
    with pytest.raises(NormalizeError, match="packed by deflate, got 'a' by method 12"):
        opened(zipped([("a", b"12345")], zipfile.ZIP_BZIP2))


def test_a_zip_bomb_is_refused_before_its_first_file() -> None:
    """What all files together are to make is bounded; a file comes in pieces of 1 MiB at most."""
    bomb = zipped([("a", bytes(3 << 20)), ("b", bytes(2 << 20))])
    with pytest.raises(NormalizeError, match=r"at most 5000000 bytes, got one of \d+ that is to"):
        next(unzip([bomb], largest=5_000_000))
    pieces = [len(piece) for _, content in unzip([bomb]) for piece in content]
    assert (sum(pieces), max(pieces)) == (5 << 20, 1 << 20)


def test_an_export_of_gzipped_files_in_an_archive() -> None:
    """Archive, gzip and lines one within the other, as Amplitude sends them."""
    files = [(f"{hour}.json.gz", gzip.compress(b'{"hour": %d}\n' % hour)) for hour in range(3)]
    chunks = cut(zipped(files, zipfile.ZIP_STORED), [100])
    pages = [page for _, content in unzip(chunks) for page in ndjson(gunzip(content))]
    assert pages == [b'[{"hour": 0}]', b'[{"hour": 1}]', b'[{"hour": 2}]']


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(
    records=st.lists(VALUES, max_size=20), cuts=CUTS, end=st.sampled_from(["\n", "\r\n", "\n\n"])
)
def test_ndjson_keeps_every_record(records: list[Any], cuts: list[int], end: str) -> None:
    """The pages hold all lines in order, whatever the chunks and the line ends."""
    body = end.join(map(json.dumps, records)).encode()
    pages = [json.loads(page) for page in ndjson(cut(body, cuts))]
    assert [record for page in pages for record in page] == records


def test_ndjson_makes_pages_of_a_megabyte() -> None:
    """A long body is handed on while it comes."""
    line = json.dumps({"text": "x" * 1000}).encode() + b"\n"
    pages = [len(page) for page in ndjson([line * 1000] * 5)]
    assert len(pages) >= 3
    assert max(pages) < 3 << 20


def test_ndjson_that_ends_within_a_line() -> None:
    """A cut last line is an error of its page, after the rows before it."""
    with pytest.raises(NormalizeError, match="page 1: expected JSON"):
        list(Normalizer("items").stream(ndjson([b'{"id": 1}\n{"id": '])))


def test_csv_types_and_nulls() -> None:
    """Types are found in the first block, empty fields are null, quoted newlines are kept."""
    body = b'id,price,name,at\n1,1.5,"a\nb",2024-01-02T03:04:05Z\n2,,,\n'
    (table,) = csv(cut(body, [7]))
    first, second = table.to_pylist()
    assert (first["id"], first["price"], first["name"]) == (1, 1.5, "a\nb")
    assert (second["id"], second["price"], second["name"], second["at"]) == (2, None, None, None)
    assert [t.to_pylist() for t in csv([b"a;b\n1;2\n"], delimiter=";")] == [[{"a": 1, "b": 2}]]


def test_csv_columns_of_a_given_type() -> None:
    """Codes written in digits keep their zeros; other columns are found as ever."""
    (table,) = csv([b"zip,count\n01234,7\n"], types={"zip": pa.string()})
    assert table.to_pylist() == [{"zip": "01234", "count": 7}]


def test_csv_names_that_look_like_nothing() -> None:
    """Only an empty field is null: the country code of Namibia and a family name are texts."""
    [table] = csv([b"code,name\nNA,Null\n,None\n"])
    assert table.to_pylist() == [{"code": "NA", "name": "Null"}, {"code": None, "name": "None"}]


def test_csv_that_changes_its_mind() -> None:
    """A value that does not fit the type of its column so far is an error, not a null."""
    body = b"id\n" + b"1\n" * 900_000 + b"x\n"
    with pytest.raises(NormalizeError, match="expected CSV of one shape"):
        for _ in csv([body]):
            pass


def test_export_into_a_pipeline(tmp_path: Path) -> None:
    """A gzipped NDJSON export and a CSV file load like pages, nested tables included."""
    lines = b"".join(json.dumps({"id": n, "tags": [n]}).encode() + b"\n" for n in range(3000))

    @dlt.resource(name="lines")
    def from_lines() -> Iterator[Any]:
        yield from load(ndjson(gunzip(cut(gzip.compress(lines), [1000]))))

    @dlt.resource(name="sheet")
    def from_csv() -> Iterator[Any]:
        yield from load(csv([b"orderId,total\n1,2.5\n2,\n"]))

    warehouse = Warehouse(tmp_path)
    warehouse.run([from_lines, from_csv])
    assert warehouse.query("SELECT count(*), sum(id) FROM lines") == [(3000, sum(range(3000)))]
    assert warehouse.query("SELECT count(*) FROM lines__tags") == [(3000,)]
    assert warehouse.query("SELECT order_id, total FROM sheet ORDER BY 1") == [(1, 2.5), (2, None)]
    assert warehouse.columns()["sheet"]["order_id"] == ("BIGINT", "YES")


def test_arrow_table_as_a_page() -> None:
    """Nested Arrow columns become nested tables."""
    page = pa.table({"id": [1, 2], "tags": [["a"], []], "user": [{"name": "x"}, None]})
    tables = Normalizer("items")(page)
    assert tables["items"].column("user__name").to_pylist() == ["x", None]
    assert tables["items__tags"].column("value").to_pylist() == ["a"]
