"""New sources: written once, tested as they are, loading what their replicas serve."""

from __future__ import annotations

import ast
import importlib.util
import io
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import blocks
from blocks.__main__ import main
from blocks.scaffold.names import free
from blocks.testing import Api, Call, Tokens, numbered, serving, wrap
from tests.warehouse import Warehouse

New = Callable[..., str]

URL = "https://api.example.com/v2/orders"
# One of each kind of credentials and paging, of cursors and keys; each pair of options somewhere.
SOURCES = {
    "linked_orders": (
        *("--url", f"{URL}?per_page=50&since=x", "--paging", "link", "--records", "data"),
        *("--cursor", "updated_at", "--since", "since", "--limit", "100/60"),
    ),
    "next_orders": (
        *("--url", URL, "--auth", "basic", "--paging", "next-url"),
        *("--next", "links[rel=next].href", "--records", "data.items"),
        *("--cursor", "fields.updatedAt", "--since", "updated[gte]"),
    ),
    "token_orders": (
        *("--url", f"{URL}?fields=a&fields=b", "--auth", "header-key", "--paging", "token"),
        *("--next", "meta.next_cursor", "--records", "items", "--cursor", "created"),
        *("--start", "2024-01-01", "--header", "Api-Version: 2"),
    ),
    "paged_orders": (
        *("--url", f"{URL}?page=0", "--auth", "query-key", "--key", "orderId", "--limit", "5/2.5"),
        *("--records", "data", "--cursor", "created", "--start", "0", "--since", "from"),
    ),
    "offset_orders": (
        *("--url", URL, "--auth", "client-credentials", "--paging", "offset", "--limit", "5"),
        *("--cursor", "updated_at", "--since", "updated since"),
    ),
    "keyset_orders": (
        *("--url", URL, "--auth", "none", "--paging", "keyset", "--records", "data"),
        *("--cursor", "id", "--start", "0", "--since", "since_id"),
    ),
    "note": (
        *("--url", f"{URL}?limit=20", "--auth", "none", "--paging", "keyset", "--key", "note"),
    ),
    "single_orders": ("--url", "http://localhost:8000/my-orders", "--paging", "none", "--key", ""),
    "sized_orders": ("--url", f"{URL}?limit=20", "--paging", "offset", "--auth", "none"),
}


@pytest.fixture
def new(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> New:
    """The command, in a directory of its own, without a terminal: what it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    def run(*options: str, status: int = 0) -> str:
        assert main(["new", *options]) == status
        said = capsys.readouterr()
        return said.out + said.err

    return run


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """A function that imports what was written."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, tmp_path / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        made = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, made)
        spec.loader.exec_module(made)
        return made

    return load


@pytest.mark.parametrize("name", SOURCES)
def test_sources_load_what_their_replicas_serve(
    new: New, module: Callable[[str], ModuleType], tmp_path: Path, name: str
) -> None:
    """Each kind of source loads all records of the API that its own test describes."""
    new(name, *SOURCES[name])
    source, trial = module(name), module(f"test_{name}")
    if hasattr(source, "LIMIT"):
        source.LIMIT = None  # type: ignore[attr-defined]
    records = [trial.row(number, number) for number in range(25)]
    given: dict[str, Any] = {
        "--auth": {"token": "t0ken"},
        "basic": {"user": "user", "password": "passw0rd"},
        "header-key": {"api_key": "k3y"},
        "query-key": {"api_key": "k3y"},
        "client-credentials": {"client_id": "client", "client_secret": "s3cret"},
        "none": {},
    }
    options = SOURCES[name]
    kind = options[options.index("--auth") + 1] if "--auth" in options else "--auth"
    tokens = [Tokens("client", "s3cret")] if kind == "client-credentials" else []
    with serving(trial.replica(records, *tokens)) as server:
        secrets = given[kind]
        if tokens:
            secrets = {**secrets, "token_url": f"{server.url}/oauth/token"}
        warehouse = Warehouse(tmp_path)
        warehouse.run(getattr(source, name)(server.url, **secrets))
    (table,) = warehouse.tables()
    assert table == ("my_orders" if name == "single_orders" else "orders")
    columns = set(warehouse.columns()[table])
    note = "remark" if name == "note" else "note"
    assert warehouse.query(f"SELECT {note} FROM {table} ORDER BY 1") == [(n,) for n in range(25)]
    assert {"order_id", "note"} <= columns if name == "paged_orders" else note in columns


def test_generated_tests_pass_as_they_are(new: New, tmp_path: Path) -> None:
    """pytest passes in the directory as it was written, by a probe and by answers."""
    new("offset_orders", *SOURCES["offset_orders"])

    def route(call: Call) -> dict[str, Any]:
        page = numbered([{"id": n, "updated": 1714557600 + n} for n in range(9)], 1, 5)
        if "after" in call.query:
            page = numbered([{"id": 9, "updated": 1714557600}], 1, 5)
        return {"rows": page.rows, "next": {"after": wrap(page.next)}}

    api = Api()
    api.get("/items", query="after")(route)
    with serving(api) as server:
        assert main(["probe", f"{server.url}/items", "--write", "token_items"]) == 0
    assert 'NextToken("next.after", "after")' in (tmp_path / "token_items.py").read_text()
    options = ["-q", "-p", "no:cacheprovider", "--basetemp", "temporary"]
    command = [sys.executable, "-m", "pytest", *options]
    environment = {**os.environ, "PYTHONPATH": str(Path(blocks.__file__).parent.parent)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_secrets_are_dlts(
    new: New,
    module: Callable[[str], ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The place that is told for a secret is the one where dlt finds it."""
    said = new("secret_orders", "--url", URL, "--paging", "none")
    place = "SOURCES__SECRET_ORDERS__TOKEN"
    assert f"token below [sources.secret_orders] in .dlt/secrets.toml, or {place}" in said
    source, trial = module("secret_orders"), module("test_secret_orders")
    monkeypatch.setenv(place, "t0ken")
    with serving(trial.replica([trial.row(1, 1)])) as server:
        Warehouse(tmp_path).run(source.secret_orders(server.url))
        assert server.statuses == {200: 1}


def test_what_is_written_is_formatted(new: New, tmp_path: Path) -> None:
    """Sources and tests are as ruff would format them, and it has nothing against them."""
    for name, options in SOURCES.items():
        new(name, *options)
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["format", "--diff"], ["check", "--select", "E,F,I,B,UP,SIM"]):
        done = subprocess.run(
            [*ruff, *command, "--isolated", "--no-cache", "."],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_names_of_the_code_are_reserved(new: New, tmp_path: Path) -> None:
    """A source cannot be called as anything that the code binds, so that it hides nothing."""
    bound = set()
    for name, options in SOURCES.items():
        new(name, *options)
        for file in (tmp_path / f"{name}.py", tmp_path / f"test_{name}.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Name):
                    bound.add(node.id)
                elif isinstance(node, ast.arg):
                    bound.add(node.arg)
                elif isinstance(node, ast.alias | ast.FunctionDef):
                    bound.add(node.name.split(".")[0])
    tables = {"orders", "my_orders"}
    allowed = {*SOURCES, *tables}
    assert {name for name in bound if free(name)} <= allowed


def test_the_project(new: New, tmp_path: Path) -> None:
    """A project is written once; where there is one, what belongs into it is told."""
    said = new("first_orders", "--url", URL)
    assert said.startswith("Wrote first_orders.py, test_first_orders.py, pyproject.toml.\n")
    text = (tmp_path / "pyproject.toml").read_text()
    project = tomllib.loads(text)
    assert project["project"]["name"] == "first_orders"
    assert project["tool"]["pytest"]["ini_options"]["pythonpath"] == ["."]
    said = new("second_orders", "--url", URL)
    assert said.startswith("Wrote second_orders.py, test_second_orders.py.\n")
    assert '    name = "second_orders"\n' in said
    assert (tmp_path / "pyproject.toml").read_text() == text


@pytest.mark.parametrize("file", ["orders.py", "test_orders.py"])
def test_no_file_is_written_over(new: New, tmp_path: Path, file: str) -> None:
    """A file that is there stays as it is, and nothing is written beside it."""
    (tmp_path / file).write_text("mine")
    assert f"got {file}, which is there" in new("orders", "--url", URL, status=2)
    assert [each.name for each in tmp_path.iterdir()] == [file]
    assert (tmp_path / file).read_text() == "mine"


@pytest.mark.parametrize(
    "name",
    [
        *("", "2x", "a-b", "a.b", "../x", "Orders", "a__b", "_a", "a_", "class", "match", "json"),
        *("dlt", "pytest", "list", "load", "rows", "ﬁ", "os.path", "test_x", "a\nb", "httpcore"),
    ],
)
def test_names(new: New, tmp_path: Path, name: str) -> None:
    """A name is an identifier that is free, as a module, in the code and as a table."""
    assert "name: expected" in new(name, "--url", URL, status=2)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "url: expected one such as https://api.example.com/items"),
        (["--url", f"{URL}?apikey=x"], "got a parameter 'apikey'"),
        (["--url", URL, "--limit", "many"], "limit: expected calls and seconds such as 100/60"),
        (["--url", URL, "--limit", "5/0"], "limit: expected calls and seconds such as 100/60"),
        (["--url", URL, "--records", "data[0]"], "records: expected keys of objects"),
        (["--url", URL, "--records", "data..x"], "records: expected keys of objects"),
        (["--url", URL, "--records", "data["], "path: expected keys"),
        (["--url", URL, "--cursor", "at", "--key", ""], "cursor: expected a key too"),
        (["--url", URL, "--cursor", "a[0]"], "cursor: expected keys of objects"),
        (["--url", URL, "--cursor", "at", "--start", ""], "expected some text"),
        (["--url", URL, "--paging", "keyset", "--key", ""], "got no key"),
        (["--url", URL, "--paging", "next-url"], "expected room for a value at 'next'"),
        (
            ["--url", URL, "--paging", "token", "--records", "a", "--next", "a.b"],
            "expected room for a value at 'a.b'",
        ),
        (
            ["--url", URL, "--paging", "token", "--records", "a.b", "--next", "a"],
            "expected room for a value at 'a'",
        ),
        (
            ["--url", URL, "--paging", "next-url", "--records", "a", "--next", "a[rel=next].b"],
            "expected room for a value at 'a[rel=next].b'",
        ),
        (
            ["--url", URL, "--paging", "next-url", "--records", "a", "--next", "b[0]"],
            "expected room for a value at 'b[0]'",
        ),
        (["--url", URL, "--paging", "page", "--param", ""], "expected some text"),
        (["--url", URL, "--auth", "header-key", "--auth-name", "a b"], "name of a header"),
        (
            ["--url", URL, "--auth", "client-credentials", "--token-url", f"{URL}?a=b"],
            "token_url: expected one without parameters",
        ),
    ],
)
def test_what_cannot_work_is_refused(
    new: New, tmp_path: Path, options: list[str], said: str
) -> None:
    """Options that cannot work are refused, and nothing is written."""
    assert said in new("orders", *options, status=2)
    assert [*tmp_path.iterdir()] == []


class Terminal(io.StringIO):
    """What somebody types."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def test_questions(new: New, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal what no flag says is asked, again after an answer that will not do."""
    answers = [
        "x",
        URL,
        "by post",
        "header-key",
        "X-Token",
        "",
        "",
        "data",
        "",
        "updated_at",
        "",
        "since",
    ]
    answers += ["100/60"]
    monkeypatch.setattr(sys, "stdin", Terminal("\n".join([*answers, ""])))
    said = new("asked_orders", "--paging", "token")
    assert "URL of the first page: " in said
    assert "url: expected one such as" in said
    assert "Credentials (bearer, basic, header-key" in said
    text = (tmp_path / "asked_orders.py").read_text()
    assert 'HeaderKey(api_key, name="X-Token")' in text
    assert "LIMIT = Rate(100, per=60)" in text


@pytest.mark.parametrize("typed", ["", "x\n"])
def test_no_more_answers(
    new: New, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    """Whoever stops answering has nothing written."""
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    assert "Interrupted" in new("orders", status=130)
    assert [*tmp_path.iterdir()] == []
