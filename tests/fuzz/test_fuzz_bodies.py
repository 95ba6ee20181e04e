"""No body, path, file or URL makes a reader fail untyped, or say what is not there."""

from __future__ import annotations

import csv as python_csv
import gzip
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx
import msgspec
import pytest
import yarl
from hypothesis import example, given
from hypothesis import strategies as st

from blocks import formats, graphql
from blocks import json as blocks_json
from blocks.errors import (
    AuthError,
    BlocksError,
    BodyError,
    ConfigError,
    NormalizeError,
    PagingError,
)
from blocks.graphql import Errors, Relay
from blocks.oauth import RefreshToken
from blocks.places import (
    FormBody,
    Header,
    JsonBody,
    OrNull,
    put,
    read,
    records,
    sent,
    truth,
    values,
    whole,
)
from blocks.quotas import ShopifyCost
from blocks.requests import follow, path, replaced
from blocks.rules import Markup, Present, Text, Value
from blocks.sessions import TokenLogin
from tests.fuzz.test_fuzz_headers import NOW
from tests.fuzz.texts import calls, damaged

COST = (
    b'{"data": null, "errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}],'
    b' "extensions": {"cost": {"requestedQueryCost": 166, "throttleStatus":'
    b' {"maximumAvailable": 1e3, "currentlyAvailable": 66, "restoreRate": 50}}}}'
)
DOCUMENTS = [
    b'{"data": [{"id": 1, "links": [{"rel": ["next"], "href": "/2"}]}, {"id": null}]}',
    b'{"meta": {"next": "c2", "total": "250", "more": true}}',
    b'{"data": {"issues": {"nodes": [], "pageInfo": {"hasNextPage": true, "endCursor": "c2"}}}}',
    COST,
    COST.replace(b"166", b"9" * 400).replace(b"null", b'"\\ud83d\\ude00"'),
    b'\xef\xbb\xbf[1, -2.5e+3, "\\u00e4\\n", true, {}, [], 18446744073709551616, 1e400]',
    b'{"access_token": "t", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "r"}',
    b"<html>",
    b"[" * 3000 + b"]" * 3000,
]
PATHS = [
    "",
    "meta.next",
    "data[-1].id",
    "data[0].links[rel=next].href",
    "meta.total",
    "data",
    "meta.more",
    "[4]",
    "@odata.nextLink",
    "errors",
    "extensions.cost",
    "data.issues",
]
bodies = damaged(DOCUMENTS)
paths = st.sampled_from(PATHS)


def strict(text: bytes) -> Any:
    """The document by Python's reader, without what RFC 8259 does not have."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    return json.loads(text.removeprefix(b"\xef\xbb\xbf").decode("utf-8"), parse_constant=refuse)


REFUSED = object()


def tried(reader: Callable[[bytes, str], Any], body: bytes, place: str) -> Any:
    """What `reader` gives, text mended; or that it refuses the body."""
    try:
        found = reader(body, place)
    except msgspec.DecodeError:
        return REFUSED
    return mended(found).decode() if isinstance(found, bytes) else found


def mended(text: bytes) -> bytes:
    """With a character in place of each byte that is not UTF-8."""
    return re.sub("[\udc80-\udcff]", "\ue000", text.decode("utf-8", "surrogateescape")).encode()


def same(one: Any, two: Any) -> bool:
    """Equal, and of equal types all the way down."""
    return json.dumps(one) == json.dumps(two)


@given(text=damaged(PATHS))
def test_a_path_is_steps_or_a_value_error(text: str) -> None:
    """And steps, written as text, are the same steps."""
    try:
        steps = blocks_json.keys(text)
    except ValueError:
        return
    written = ""
    for step in steps:
        if isinstance(step, str):
            written += f".{step}" if written or (step == "" and steps[0] is not step) else step
        elif isinstance(step, int):
            written += f"[{step}]"
        else:
            written += "".join(f"[{name}={value}]" for name, value in step.items())
    with suppress(ValueError):
        assert blocks_json.keys(written) == steps or "" in steps


@given(body=bodies, place=paths)
@example(b'{"\xff": 1, "data": [7]}', "data")
@example(b'{"\xff": 1, "data": [7]}', "")
@example(b'{"data": ["\xff"]}', "data")
def test_a_body_is_json_or_a_decode_error(body: bytes, place: str) -> None:
    """What Python's reader refuses is refused; of what it reads, the same value is read.

    What is not UTF-8 may be passed over, as any other text would be.
    """
    other = mended(body)
    if other != body:
        for reader in (blocks_json.peek, blocks_json.count, blocks_json.raw):
            found = tried(reader, body, place)
            assert found is REFUSED or same(found, tried(reader, other, place))
        with pytest.raises(ValueError):  # noqa: PT011 - all that is promised
            blocks_json.loads(body)
        return
    try:
        expected = strict(body)
    except (ValueError, RecursionError):
        for reader in (blocks_json.peek, blocks_json.count, blocks_json.raw):
            with pytest.raises(msgspec.DecodeError):
                reader(body, place)
        with pytest.raises(ValueError):  # noqa: PT011 - all that is promised
            blocks_json.loads(body)
        return
    with suppress(msgspec.DecodeError):  # 1e400, lone surrogates: no values of ours
        found = blocks_json.peek(body, place)
        if place == "":
            assert same(found, expected)
        length = blocks_json.count(body, place)
        assert length == (len(found) if isinstance(found, list) else None)


@given(body=bodies, place=paths)
@example(b'{"data": [{"id": "\\ud800"}]}', "data")
def test_places_are_read_or_a_body_error(body: bytes, place: str) -> None:
    """Whatever the body is."""
    response = httpx.Response(200, content=body, request=httpx.Request("GET", "https://api/x"))
    readers: list[Callable[[], object]] = [
        lambda: read(response, place),
        lambda: records(response, place),
        lambda: records(response, OrNull(place)),
        lambda: values(response, place, "id"),
        lambda: whole(response, place),
        lambda: truth(response, place),
    ]
    for reader in readers:
        with suppress(BodyError):
            reader()


# No answer has half a character: what reads JSON refuses it, and headers are Latin-1.
tokens = damaged(["c2", "7", "ä b&c=d"]).filter(
    lambda text: re.search("[\ud800-\udfff]", text) is None
)


@given(body=bodies, value=tokens | st.integers())
@example(b"[" * 2000, 0)
@example(b'{"variables": ' + b"[" * 2000 + b"]" * 2000 + b"}", 0)
def test_a_value_is_put_into_a_request_or_a_paging_error(body: bytes, value: str | int) -> None:
    """And what was put is there."""
    form = "application/x-www-form-urlencoded"
    request = httpx.Request("POST", "https://api/x", content=body, headers={"content-type": form})
    for target in ("page", Header("X-Page"), JsonBody("variables.after"), FormBody("page")):
        with suppress(PagingError):
            made = put(request, target, value)
            if isinstance(value, int) and 0 <= value < 10**18:
                assert sent(made, target, -1) == value


@given(body=bodies, status=st.sampled_from([200, 403, 502]))
@example(COST.replace(b"166", b"9" * 400), 200)
@example(b'{"errors": [{}], "data": {"a": 1e400}}', 200)
def test_rules_and_costs_have_an_opinion_or_none(body: bytes, status: int) -> None:
    """Never an error: others say that a body is no JSON."""
    request = httpx.Request("POST", "https://api/x", json={"query": "{a}"})
    response = httpx.Response(status, content=body, request=request)
    for rule in (
        Errors(partial="ok"),
        Present("errors"),
        Value("data", None),
        Markup(),
        Text("Throttled", "limited"),
    ):
        assert rule(response) in {None, "ok", "retry", "limited", "fail"}
    seconds = graphql.wait(response)
    assert seconds is None or seconds >= 0
    for quota in ShopifyCost()(response, NOW):
        assert quota.wait is None or quota.wait >= 0
    with suppress(BodyError, PagingError):
        Relay("data.issues")(response)


@given(
    document=damaged(['query { a(b: "mutation") } # mutation', "mutation M { a }", '"""x"""{a}'])
)
def test_a_graphql_document_reads_or_may_write(document: str) -> None:
    """A mutation outside of texts and comments is never taken for a query."""
    with suppress(UnicodeEncodeError):
        request = httpx.Request("POST", "https://api/x", json={"query": document})
        if document.lstrip().startswith("mutation M"):
            assert not graphql.reads(request)
        else:
            graphql.reads(request)


@given(body=bodies, status=st.sampled_from([200, 201, 302, 400, 401, 500]))
def test_an_answer_to_a_token_request_is_a_token_or_an_auth_error(body: bytes, status: int) -> None:
    """And no error quotes it."""
    saved: list[str] = []
    login = TokenLogin("https://api.example.com/login", {}, path="access_token")
    refresh = RefreshToken("https://api.example.com/token", "me", "", "old", save=saved.append)
    for auth in (login, refresh):
        flow = auth.sync_auth_flow(httpx.Request("GET", "https://api.example.com/items"))
        asked = next(flow)
        try:
            signed = flow.send(httpx.Response(status, content=body, request=asked))
        except AuthError:
            continue
        assert signed.headers["Authorization"].startswith("Bearer ")


@given(ids=st.lists(damaged(["a/../b?x=1#y", "7", "..", "%2e", "ä"]) | st.integers(), max_size=2))
def test_ids_stay_parts_of_a_path_or_there_is_a_config_error(ids: list[str | int]) -> None:
    """What is unquoted is what was given, whoever parses the URL."""
    try:
        made = path("/items" + "/{}" * len(ids), *ids)
    except ConfigError:
        return
    for url in (httpx.URL("https://api" + made).raw_path.decode(), urlsplit(made).path):
        assert [*map(unquote, url.split("/")[2:])] == [*map(str, ids)]


@given(form=damaged([b"a=1&b=2", b"page=7&q=x%2cy+z&page", b"&&=;"]), value=damaged(["1", "ä&=+"]))
def test_a_form_has_what_was_put_and_the_rest_as_it_was(form: bytes, value: str) -> None:
    """By the standard library's reader."""
    try:
        made = replaced(form, {"page": value})
    except UnicodeEncodeError:
        assert not value.isprintable() or "\ud800" in value
        return
    before, after = (parse_qsl(each.decode("latin-1"), True) for each in (form, made))
    assert dict(after)["page"] == value
    assert [each for each in after if each[0] != "page"] == [
        each for each in before if each[0] != "page"
    ]


@given(
    url=damaged(
        [
            "?page=2",
            "//evil.example/p",
            "https://api.example.com:443/p?q=a#f",
            "/a/../b",
            "https://me:x@api.example.com",
            "http:\\\\api.example.com@evil.example/",
        ]
    )
)
def test_a_next_page_is_at_home_whoever_reads_its_url(url: str) -> None:
    """By httpx, the standard library and yarl, which aiohttp goes by; or there is an error."""
    request = httpx.Request("GET", "https://api.example.com/v1/items?page=1")
    try:
        target = str(follow(httpx.Response(200, request=request), url).url)
    except PagingError:
        return
    assert urlsplit(target).netloc == "api.example.com"
    assert yarl.URL(target, encoded=True).host == "api.example.com"


@st.composite
def cut(draw: st.DrawFn, files: list[bytes]) -> list[bytes]:
    """A damaged file, in chunks."""
    body = draw(damaged(files))
    places = sorted(draw(st.lists(st.integers(0, len(body)), max_size=4)))
    return [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]


def archive(method: int) -> bytes:
    """A zip archive of two files."""
    with zipfile.ZipFile(file := io.BytesIO(), "w", method) as made:
        made.writestr("a.csv", "id\n1\n" * 9)
        made.writestr("b/", "")
    return file.getvalue()


LINES = [b'{"id": 1}\n\n {"id": 2}\r\n[3]', b"1\n2\n", b"\n"]
TABLES = [b'id,name\n1,a\n2,"b\n""c"""\n', b"id\n1\nx\n", b"a,a\n1,2\n", b"\xef\xbb\xbfid\r\n\r\n"]
GZIPS = [gzip.compress(b"abc" * 99, mtime=0), gzip.compress(b"", mtime=0) * 2]
ZIPS = [archive(zipfile.ZIP_DEFLATED), archive(zipfile.ZIP_STORED)]


@given(chunks=cut(LINES))
def test_lines_are_the_same_however_they_come(chunks: list[bytes]) -> None:
    """Every line that is not empty, in order, once."""
    pages = [*formats.ndjson(chunks)]
    lines = [line.strip() for line in b"".join(chunks).split(b"\n") if line.strip()]
    assert pages == ([b"[" + b",".join(lines) + b"]"] if lines else [])


@given(chunks=cut(TABLES))
def test_csv_is_tables_or_a_normalize_error(chunks: list[bytes]) -> None:
    """And as many rows as Python's reader has, where that has the same columns in all."""
    try:
        tables = [*formats.csv(chunks)]
    except NormalizeError:
        return
    text = b"".join(chunks).removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    rows = [row for row in python_csv.reader(io.StringIO(text, newline="")) if row]
    if "\x00" not in text and '"' not in text:
        assert sum(table.num_rows for table in tables) == max(0, len(rows) - 1)


@given(chunks=cut(GZIPS))
def test_gzip_is_its_content_or_a_normalize_error(chunks: list[bytes]) -> None:
    """By Python's own reader; it lets zeros pass after the end."""
    try:
        found = b"".join(formats.gunzip(chunks))
    except NormalizeError:
        return
    assert found == gzip.decompress(b"".join(chunks))


@given(chunks=cut(ZIPS))
def test_a_zip_archive_is_its_files_or_a_normalize_error(chunks: list[bytes]) -> None:
    """By Python's own reader."""
    try:
        found = {name: b"".join(content) for name, content in formats.unzip(chunks)}
    except NormalizeError:
        return
    with zipfile.ZipFile(io.BytesIO(b"".join(chunks))) as made:
        assert all(made.read(name) == content for name, content in found.items())


def _ndjson(size: int) -> Iterator[bytes]:
    return formats.ndjson([b"1\n2"] * size)


@pytest.mark.parametrize(
    "work",
    [
        lambda size: list(_ndjson(size)),
        lambda size: list(formats.ndjson([b" "] * size)),
        lambda size: list(formats.gunzip([gzip.compress(b"", mtime=0)] * size)),
        lambda size: blocks_json.keys("a." * size + "b"),
        lambda size: blocks_json.keys("[1]" * size),
        lambda size: path("/{}" * size, *["a/b"] * size),
        lambda size: replaced(b"a=1&" * size, {"b": 2}),
        lambda size: parse_qsl("a=1&" * size),
    ],
)
def test_twice_as_much_costs_twice_the_calls(work: Callable[[int], object]) -> None:
    """Counted, so that a busy machine makes no difference."""
    work(3)
    assert calls(lambda: work(400)) <= 2 * calls(lambda: work(200)) + 40


@pytest.mark.parametrize(
    "pump",
    ["a", "a.", "[", "[1]", "[a=", "]", "@odata.", "mutation ", '"', '"""', "\\", "#", "\n", "{"],
)
def test_a_long_text_is_read_in_time(pump: str) -> None:
    """256 KiB, where quadratic time would be an hour."""
    text = pump * (2**18 // len(pump))
    for each in (text, text + "!", "[" + text, '{a(b: "' + text):
        with suppress(ValueError):
            blocks_json.keys(each)
        graphql.reads(httpx.Request("POST", "https://api/x", json={"query": each}))
        with suppress(BlocksError, UnicodeError):
            follow(httpx.Response(200, request=httpx.Request("GET", "https://api/x")), each)
        with suppress(ConfigError):
            path("/{}", each)
