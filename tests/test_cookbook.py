"""The cookbook's own pages: the first hour, the index, moving, what language models read."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from blocks.testing import (
    Api,
    Call,
    Server,
    bearer,
    header_key,
    offset,
    serving,
    unwrap,
    wrap,
)
from tests import llms
from tests.oracle import related
from tests.warehouse import Warehouse, same

COOKBOOK = Path(__file__).parent.parent / "cookbook"
RECIPES = {path.name for path in COOKBOOK.glob("*.py")}
GUIDES = {path.name for path in COOKBOOK.glob("*.md")} - {"README.md"}
LINK = re.compile(r"\]\((?!https?:)([\w./-]*)(#[\w-]+)?\)")

Row = dict[str, Any]


def page(name: str) -> str:
    """The text of a page."""
    return (COOKBOOK / name).read_text(encoding="utf-8")


def blocks_of(text: str) -> list[str]:
    """The Python of a page, block by block."""
    return re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def first_hour(tmp_path: Path) -> Path:
    """The directory of a newcomer: the files of the tutorial, and what is typed into a session."""
    session = []
    for block in blocks_of(page("README.md")):
        if found := re.match(r"# (\w+\.py)\n", block):
            (tmp_path / found[1]).write_text(block, encoding="utf-8")
        else:
            session.append(block)
    (tmp_path / "session.py").write_text("\n".join(session), encoding="utf-8")
    return tmp_path


def python(folder: Path, *arguments: str) -> str:
    """What Python prints in `folder`; that it ends well."""
    command = [sys.executable, *arguments]
    child = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=110)
    assert child.returncode == 0, child.stdout + child.stderr
    return child.stdout


def test_the_session_of_the_first_hour(first_hour: Path) -> None:
    """Its snippets run in the order of the page, and what they assert is so."""
    python(first_hour, "session.py")


def test_the_test_of_the_first_hour(first_hour: Path) -> None:
    """The source at its end passes the test at its end, warnings being errors."""
    # A directory of its own: else it ends by removing what earlier runs of ours have left.
    options = ["-q", "-p", "no:cacheprovider", "-W", "error", "--basetemp", "temporary"]
    assert "1 passed" in python(first_hour, "-m", "pytest", *options)


def test_every_recipe_and_guide_is_in_the_index() -> None:
    """And whatever the index names is there, once in a cell, under its own name."""
    _, index = page("README.md").split("## Recipes by need")
    links = re.findall(r"\[([\w./ -]+)\]\(([\w.-]+)\)", index)
    named = {target for _, target in links}
    assert {target for target in named if target.endswith(".py")} == RECIPES
    assert {target for target in named if target.endswith(".md")} == GUIDES
    assert all(f"{text}.py" == target for text, target in links if target.endswith(".py"))
    for line in index.splitlines():
        assert max(Counter(re.findall(r"\]\((\S+)\)", line)).values(), default=1) == 1, line


# What sources need of blocks, by what the recipes call it: each is in a row of the index.
NEEDED = {
    *("Basic", "Bearer", "HeaderKey", "QueryKey", "CredentialPool"),
    *("ClientCredentials", "Grant", "JwtBearer", "RefreshToken"),
    *("LinkHeader", "NextUrl", "NextToken", "Header", "JsonBody", "Keyset", "Offset"),
    *("PageNumber", "TotalPages", "gather", "Older", "Capped", "Relay", "complete"),
    *("cursor", "after", "within", "lookback", "lag", "partitions", "intervals", "windows"),
    *("narrow", "halves", "stale", "Pattern", "Dates", "fan_out", "skip", "batches"),
    *("tombstones", "vanished", "hard_delete", "chunks", "merge", "distinct", "rename"),
    *("Retry", "Judged", "Text", "wait", "Pools", "Limits", "cost", "quotas", "Adaptive"),
    *("InFlight", "Job", "run", "download", "unzip", "gunzip", "ndjson", "csv"),
}


def rows_of_the_index() -> list[tuple[str, set[str], list[str]]]:
    """What each row of the index is about, the names it gives for that, and its recipes."""
    _, index = page("README.md").split("## Recipes by need")
    cells = [line.strip("|").split(" | ") for line in index.splitlines() if ".py)" in line]
    return [
        (row[0].strip(), set(re.findall(r"`(\w+)`", row[1])), re.findall(r"\((\w+\.py)\)", row[2]))
        for row in cells
        if len(row) == 3
    ]


def words(recipe: str) -> set[str]:
    """The words of a recipe's code, without what its docstring tells."""
    _, _, code = page(recipe).split('"""', 2)
    return set(re.findall(r"\w+", code))


def test_recipes_are_in_rows_of_what_they_use() -> None:
    """Each recipe in a row of the index has one of the row's names in its code."""
    found = rows_of_the_index()
    assert {recipe for _, _, recipes in found for recipe in recipes} == RECIPES
    for need, names, recipes in found:
        for recipe in recipes:
            assert names & words(recipe), (need, recipe)


def test_the_recipes_have_all_that_sources_need() -> None:
    """For each block, and each hazard, the index names a recipe."""
    assert set().union(*(names for _, names, _ in rows_of_the_index())) >= NEEDED


# These have tests of the same in other words: lines of a zip, and months that may fail alone.
OTHERWISE = {"amplitude", "zoom"}


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_every_recipe_stands_the_readers_test(recipe: str) -> None:
    """A trial (all rows, changes, a 429, faults), wrong answers, and a token that is refused."""
    name = recipe.removesuffix(".py")
    text = (Path(__file__).parent / "recipes" / f"test_{recipe}").read_text(encoding="utf-8")
    assert (" trial(\n" in text or " trial(server" in text) is (name not in OTHERWISE)
    assert "429" in text or name not in OTHERWISE
    assert "def test_wrong" in text
    if {"auth", "assertions", "grants", "oauth"} & words(recipe):
        assert re.search(r"expire=|\.expire\b|credentials|invalid_client|\brefused\(", text)


def anchor(heading: str) -> str:
    """What a heading is linked by."""
    return "#" + re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("name", ["README.md", "moving.md", "production.md"])
def test_links_lead_somewhere(name: str) -> None:
    """To files that exist, and headings in them."""
    for target, place in LINK.findall(page(name)):
        file = COOKBOOK / (target or name)
        assert file.exists(), target
        if place:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert place in map(anchor, headings)


def shop_api(orders: list[Row]) -> Api:
    """Orders by the time of change, and the events of each."""
    api = Api(bearer("t0ken"))

    def cut(call: Call, rows: list[Row], size: int) -> Row:
        page = offset(rows, unwrap(call.query.get("cursor"), 0), size)
        return {"data": page.rows, "next": wrap(page.next)}

    @api.get("/v1/orders", query="limit cursor updated_since")
    def listed(call: Call) -> Row:
        since = call.query["updated_since"]
        rows = [order for order in orders if order["updated"] >= since]
        return cut(call, rows, call.query.whole("limit", 10))

    @api.get("/v1/orders/{id}/events", query="cursor")
    def events(call: Call) -> Row:
        number = call.params["id"]
        return cut(call, [{"id": f"{number}-{each}", "step": each} for each in range(3)], 2)

    return api


def search_api() -> Api:
    """A search by POST, with an offset in the body."""
    tickets = [{"id": n, "state": "open", "tags": ["b", "a"], "n": n / 2} for n in range(60)]
    api = Api(header_key("X-API-Key", "k3y"))

    @api.post("/v1/tickets/search", body="state limit offset")
    def search(call: Call) -> Row:
        page = offset(tickets, call.json["offset"], call.json["limit"])
        return {"hits": page.rows, "total": page.total}

    return api


@pytest.fixture
def moving(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that the page about moving defines."""
    module = ModuleType("moving")  # dlt looks a source's module up
    monkeypatch.setitem(sys.modules, "moving", module)
    for snippet in blocks_of(page("moving.md")):
        exec(compile(snippet, "moving.md", "exec"), vars(module))
    return vars(module)


@pytest.fixture
def orders() -> list[Row]:
    """Three pages of orders with lines."""
    return [
        {
            "id": number,
            "updated": f"2024-05-{1 + number // 3:02}T10:00:00Z",
            "customer": {"id": number % 7, "name": None if number % 5 else f"c{number}"},
            "lines": [{"sku": f"s{each}", "price": each / 4} for each in range(number % 3)],
        }
        for number in range(45)
    ]


@pytest.fixture
def shop(orders: list[Row]) -> Iterator[Server]:
    """The shop, served."""
    with serving(shop_api(orders)) as server:
        yield server


EVENTS = "SELECT id, step, _orders_id FROM events ORDER BY id"


def family(warehouse: Warehouse) -> list[str]:
    """The orders with their lines."""
    return sorted(related({k: v for k, v in warehouse.rows().items() if k != "events"}, "orders"))


def hints(warehouse: Warehouse) -> dict[str, Any]:
    """What the schema says of each column but that it is the one of an incremental of dlt."""
    found = warehouse.schema()
    for table in found.values():
        for column in table["columns"].values():
            column.pop("incremental", None)
    return found


def test_the_same_tables_as_rest_api(
    moving: dict[str, Any], shop: Server, orders: list[Row], tmp_path: Path
) -> None:
    """As configured, in one line, or composed: two runs make the same tables."""
    ways: list[Callable[[], Any]] = [
        lambda: moving["configured"](shop.url, "t0ken"),
        lambda: moving["faster"](moving["configured"](shop.url, "t0ken")),
        lambda: moving["composed"](shop.url, "t0ken"),
    ]
    theirs, faster, ours = (Warehouse(tmp_path, name) for name in ("theirs", "faster", "ours"))
    for _ in range(2):
        for warehouse, way in zip((theirs, faster, ours), ways, strict=True):
            warehouse.run(way())
        orders[4] |= {"updated": "2024-06-01T00:00:00Z", "lines": [{"sku": "new", "price": 2.5}]}
        orders.append({**orders[5], "id": 99, "updated": "2024-06-02T00:00:00Z"})
    assert theirs.tables() == ["events", "orders", "orders__lines"]
    for warehouse in (faster, ours):
        assert warehouse.columns() == theirs.columns()
        assert family(warehouse) == family(theirs)
        assert hints(warehouse) == hints(theirs)
        assert warehouse.query(EVENTS) == theirs.query(EVENTS)
    assert len(theirs.query(EVENTS)) == 46 * 3


def test_the_same_tables_as_rest_client(moving: dict[str, Any], tmp_path: Path) -> None:
    """A search by POST, before and after."""
    theirs, ours = Warehouse(tmp_path, "theirs"), Warehouse(tmp_path, "ours")
    with serving(search_api()) as server:
        theirs.run(moving["searched"](server.url, "k3y"))
        asked = [call.json for call in server.requests]
        server.requests.clear()
        ours.run(moving["found_by_search"](server.url, "k3y"))
        assert [call.json for call in server.requests] == asked
    same(ours, theirs, "tickets")
    assert ours.query("SELECT count(*) FROM tickets") == [(60,)]


def test_the_page_for_language_models() -> None:
    """It is what the code says now, and short enough to be read whole.

    `python -m tests.llms` writes it anew.
    """
    assert page("llms.txt").splitlines() == llms.text().splitlines()
    assert len(page("llms.txt").split()) < 6000
