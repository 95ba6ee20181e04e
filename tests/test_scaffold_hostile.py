"""Hostile APIs: whatever they answer, nothing of it is run, printed whole, or sent elsewhere."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.__main__ import main
from blocks.errors import ConfigError
from blocks.kinds import Epoch, Kind, Times
from blocks.paginators import Keyset, NextToken, NextUrl, Offset, PageNumber, Paginator
from blocks.scaffold.blueprint import Allowance, Auth, Blueprint, Endpoint, Mark, Rows
from blocks.scaffold.expressions import called, expression, tidy
from blocks.scaffold.source import source
from blocks.scaffold.trial import trial
from blocks.stops import Flag, TotalPages, Until
from blocks.testing import Answer, Api, Call, linked, numbered, serving

EVIL = '"""\n\'; raise SystemExit(7) #\\{0}%s\u202e'


@pytest.fixture
def probe(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """The command, in a directory of its own: what it prints."""
    monkeypatch.chdir(tmp_path)

    def run(url: str, *options: str, status: int = 0) -> str:
        assert main(["probe", url, *options]) == status
        said = capsys.readouterr()
        return said.out + said.err

    return run


def shape(text: str) -> str:
    """Code without its literals."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            node.value = type(node.value).__name__
    return ast.dump(tree)


def plan(texts: list[str], paginator: Callable[[list[str]], Paginator], kind: Kind) -> Blueprint:
    """A source with names from outside wherever there may be one."""
    one, two, three, four, five, six, seven = texts
    return Blueprint(
        "orders_of_theirs",
        Endpoint("https://api.example.com", "/orders", ((one, two),), {three: four}),
        paginator([five, six]),
        Auth("query-key", seven),
        Rows([f"rows{five}"], f"key{six}", Mark([f"at{one}"], "2024-01-01T00:00:00Z", kind)),
        Allowance(5),
    )


PAGINATORS: list[Callable[[list[str]], Paginator]] = [
    lambda texts: NextUrl([f"next{texts[0]}"]),
    lambda texts: NextToken([f"next{texts[0]}"], texts[1]),
    lambda texts: Until(Keyset([texts[0]], ["x" + texts[1]], texts[1]), Flag([f"more{texts[1]}"])),
    lambda texts: Until(PageNumber(texts[1], records=[]), TotalPages([f"total{texts[0]}"])),
    lambda texts: Offset(5, offset_param=texts[0], limit_param=texts[1], start=1),
]
PLAIN = ["a", "b", "c", "d", "e", "f", "g"]


@settings(max_examples=60)
@given(
    texts=st.lists(st.text(min_size=1, max_size=30), min_size=7, max_size=7, unique=True),
    paginator=st.sampled_from(PAGINATORS),
    kind=st.sampled_from([Times(), Epoch("s")]),
)
def test_names_change_literals_alone(
    texts: list[str], paginator: Callable[[list[str]], Paginator], kind: Kind
) -> None:
    """With any names at all the code is that of plain names, but for what literals say."""
    theirs, ours = plan(texts, paginator, kind), plan(PLAIN, paginator, kind)
    assert shape(source(theirs)) == shape(source(ours))
    assert shape(trial(theirs)) == shape(trial(ours))


@given(st.recursive(st.text() | st.integers() | st.none() | st.booleans(), st.lists))
def test_expressions_are_literals(value: Any) -> None:
    """What is written for plain values is a literal that is equal."""
    assert ast.literal_eval(expression(value)) == value


@given(st.text())
def test_tidy_ends_no_docstring(text: str) -> None:
    """What is left of a text for a docstring is on its line, and ends neither it nor the string."""
    kept = tidy(text)
    assert ast.literal_eval(f'"""{kept}."""') == f"{kept}."
    assert "\n" not in kept


def test_expressions_of_others_are_refused() -> None:
    """Nothing is written but plain values and blocks; mappings are as they were."""
    with pytest.raises(ConfigError, match="got object"):
        expression(object())
    assert ast.literal_eval(expression({"a": {"b": 'c"'}})) == {"a": {"b": 'c"'}}
    assert called(0, "run(", []) == "run()"


def test_a_paging_without_a_replica_is_refused() -> None:
    """A paginator that no replica can be made for is an error, not a source without a test."""
    with pytest.raises(ConfigError, match="one of a GET with a query"):
        trial(plan(PLAIN, lambda _: lambda response: None, Times()))


def test_a_cursor_is_a_column() -> None:
    """A cursor without a name is an error."""
    with pytest.raises(ConfigError, match="the name of a column, got none"):
        Blueprint("a_b", Endpoint("", ""), PageNumber(), rows=Rows("", "id", Mark("", 0, Times())))


def test_names_of_an_api_are_never_run(probe: Callable[..., str], tmp_path: Path) -> None:
    """Keys with quotes, line ends and code in them are literals in all that is written."""
    rows = [{f"{EVIL}_id": n, f"updated{EVIL}": "2024-01-01T00:00:00Z"} for n in range(20)]

    def route(call: Call) -> Any:
        page = numbered(rows, call.query.whole("page", 1), 10)
        following = call.link({"page": page.next}) if page.more else None
        return {f"{EVIL}data": page.rows, f"next{EVIL}": following}

    api = Api()
    api.get("/items", query="*")(route)
    with serving(api) as server:
        said = probe(f"{server.url}/items", "--write", "evil_items")
    report = said[: said.index("from blocks")]
    assert "\u202e" not in said
    assert all("raise SystemExit" not in line or "\\n" in line for line in report.splitlines())
    for name in ("evil_items.py", "test_evil_items.py"):
        tree = ast.parse((tmp_path / name).read_text(encoding="utf-8"))
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Raise)]


def test_names_do_not_move_a_terminal(probe: Callable[..., str]) -> None:
    """A name like one that is looked for, but with control characters in it, is passed by."""
    body = {"data": [{"id": 1}, {"id": 2}], "pa\x1bge": 1, "off\nset": 0, "\x1b[2Jtotal": 9}
    with serving(answered(body)) as server:
        said = probe(f"{server.url}/items")
        assert said.replace("\n", "").isprintable()
        assert "\npaging   not sure\n" in said


def answered(answer: Any) -> Api:
    """An API that answers the same to all."""
    api = Api()
    api.get("/items", query="*")(lambda call: answer)
    return api


DEEP = b"[" * 200_000
ROW_DEEP = b'[{"a":' + b"[" * 900 + b"]" * 900 + b'},{"a":1}]'


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (DEEP, "expected JSON, got other text"),
        (b'{"data": [{"id": 1', "expected JSON, got other text"),
        (b'["\xff"]', "expected JSON, got other text"),
        (b"[" + b" " * 2**24 + b"]", "at most 16777216 bytes"),
        pytest.param(
            b'[{"a":' + b"[" * 1015 + b"]" * 1015 + b'},{"a":1}]',
            "expected JSON of some depth",
            marks=pytest.mark.skipif(sys.version_info >= (3, 12), reason="which is read there"),
        ),
        (b"<html>", "expected JSON, got HTML or XML"),
    ],
    ids=["deep", "cut", "not UTF-8", "huge", "deep row", "HTML"],
)
def test_bodies_that_are_none(probe: Callable[..., str], body: bytes, said: str) -> None:
    """A first answer that cannot be read is an error that says so."""
    with serving(answered(Answer(body))) as server:
        assert said in probe(f"{server.url}/items", status=2)


@pytest.mark.parametrize(
    "body",
    [
        ROW_DEEP,
        json.dumps({f"k{n}": {"x": n} for n in range(20_000)}).encode(),
        json.dumps({"data": [{"x" * 5000: 1}, {"": 2}], "next_" + "x" * 500: "/items"}).encode(),
        json.dumps({"data": [{f"k{n}": n for n in range(9_000)}] * 2}).encode(),
        json.dumps([{"id": 2**70}, {"id": -1}]).encode(),
        b'[{"id": 1}, {"id": 2}, 3]',
        b"null",
    ],
    ids=["deep row", "many members", "long names", "many columns", "digits", "mixed", "null"],
)
def test_bodies_that_are_much(probe: Callable[..., str], body: bytes) -> None:
    """What is large, deep or odd is looked at within bounds, and no paging is made up for it."""
    with serving(answered(Answer(body))) as server:
        said = probe(f"{server.url}/items")
        assert "\npaging   not sure\n" in said
        assert len(said) < 5_000


@pytest.mark.parametrize(
    "headers",
    [
        {"Link": '<http://localhost:1/items>; rel="next"'},
        {"Link": '<http://127.0.0.1:1/items>; rel="next"'},
        {"Link": '<//127.0.0.1:1/items>; rel="next"'},
        {"Link": '<http://me:s3cret@127.0.0.1/items>; rel="next"'},
        {"Link": '<ftp://127.0.0.1/items>; rel="next"'},
    ],
)
def test_other_origins_are_not_asked(probe: Callable[..., str], headers: dict[str, str]) -> None:
    """A next page elsewhere is not fetched, and no paging is proposed."""
    with serving(answered(Answer([{"id": 1}, {"id": 2}], headers=headers))) as server:
        said = probe(f"{server.url}/items")
        assert "\npaging   not sure\n" in said
        assert len(server.requests) == 1
        assert "s3cret" not in said


@pytest.mark.parametrize("location", ["http://127.0.0.1:1/?key=s3cret", "javascript:s3cret", "/x"])
def test_redirects_are_not_followed(probe: Callable[..., str], location: str) -> None:
    """A redirect, wherever to, is told by its origin, and no other request is made."""
    with serving(answered(Answer(None, 302, {"Location": location}))) as server:
        said = probe(f"{server.url}/items", status=2)
        assert "redirect to" in said
        assert len(server.requests) == 1
        assert "s3cret" not in said


def test_credentials_that_come_back_are_not_shown(
    probe: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An API that makes names of what it was sent has none of them printed or written."""
    monkeypatch.setenv("CANARY", "canary-token")
    rows = [{"id": 1}, {"id": 2}, {"id": 3}, {"id": 4}]

    def route(call: Call) -> Any:
        page = numbered(rows, call.query.whole("page", 1), 2)
        name = call.headers["authorization"].removeprefix("Bearer ")
        return Answer({name: page.rows}, headers=linked(call, page))

    api = Api()
    api.get("/items", query="*")(route)
    with serving(api) as server:
        options = ["--token-env", "CANARY", "--write", "echoed_items"]
        said = probe(f"{server.url}/items", *options, status=2)
    assert "canary-token" not in said
    assert [*tmp_path.iterdir()] == []
