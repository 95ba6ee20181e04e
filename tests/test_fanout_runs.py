"""Children in real pipelines: the tables dlt would make, every level's keys, all or nothing."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import dlt
import pyarrow as pa
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.client import client
from blocks.dlt import cursor, load
from blocks.errors import ConfigError, StatusError
from blocks.fanout import fan_out, parents
from blocks.fetch import pages
from blocks.network import prefetch
from blocks.paginators import LinkHeader
from blocks.requests import path
from tests.loopback import JSON, Answer, Loopback, answer, serving
from tests.oracle import related
from tests.test_dlt import caused_by
from tests.warehouse import Warehouse

GUIDE = Path(__file__).parent.parent / "cookbook" / "children.md"
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)

Row: TypeAlias = dict[str, Any]
Script: TypeAlias = dict[str, Sequence[Answer | bytes]]
MERGE: Row = {"primary_key": "id", "write_disposition": "merge"}
APPEND: Row = {"write_disposition": "append"}
NOT_FOUND = answer(b"{}", "404 Not Found")


def listing(place: str, rows: Sequence[Row], size: int = 2) -> Script:
    """The pages of a listing, `size` rows each, linked as LinkHeader has it."""
    found: Script = {}
    for start in range(0, max(1, len(rows)), size):
        headers = JSON
        if start + size < len(rows):
            headers = (*JSON, ("Link", f'<{place}/{start + size}>; rel="next"'))  # type: ignore[assignment]
        body = json.dumps(rows[start : start + size]).encode()
        found[f"{place}/{start}" if start else place] = [answer(body, headers=headers)]
    return found


class World:
    """Owners with repositories, with issues, with comments; each row has a list of its own."""

    def __init__(self, owners: int = 2, repos: int = 3, issues: int = 3, comments: int = 3) -> None:
        self.owners = [self.row(number) for number in range(1, owners + 1)]
        self.repos = {each["id"]: self.below(each["id"], repos) for each in self.owners}
        self.issues = {each["id"]: self.below(each["id"], issues) for each in self.all(self.repos)}
        self.comments = {
            each["id"]: self.below(each["id"], comments) for each in self.all(self.issues)
        }

    @staticmethod
    def row(number: int) -> Row:
        """One row, with a nested list and an object."""
        return {"id": number, "name": f"n/{number}", "tags": [number, {"a": 1}], "at": {"v": 0}}

    def below(self, number: int, count: int) -> list[Row]:
        """Rows whose ids begin as their parent's; of every third parent there are none."""
        return [self.row(number * 10 + each) for each in range(1, count + 1 if number % 3 else 1)]

    @staticmethod
    def all(children: Mapping[int, list[Row]]) -> list[Row]:
        """The rows of all parents, in order."""
        return [row for rows in children.values() for row in rows]

    def script(self) -> Script:
        """What an API with these says."""
        found = listing("/owners", self.owners)
        for owner in self.owners:
            name = path("{}", owner["name"])
            found |= listing(f"/owners/{name}/repos", self.repos[owner["id"]])
        for parent, rows in self.issues.items():
            found |= listing(f"/repos/{parent}/issues", rows)
        for parent, rows in self.comments.items():
            found |= listing(f"/issues/{parent}/comments", rows)
        return found


def source(server: Loopback, hints: Row, *, ordered: bool = True, skip: Sequence[int] = ()) -> Any:
    """Four levels, each a transformer on the one above, through `load`."""
    api = client(server.url)
    options: Row = {"at_once": 3, "ordered": ordered, "skip": skip}

    def listed(place: str) -> Any:
        return pages(api, api.build_request("GET", place), LinkHeader())

    @dlt.resource(**hints)
    def owners() -> Iterator[Any]:
        # A few rows a table: the transformers are called several times.
        yield from load(prefetch(listed("/owners")), cursor("id", start=0), rows=1)

    @dlt.transformer(data_from=owners, **hints)
    def repos(table: pa.Table) -> Iterator[Any]:
        found = fan_out(
            parents(table, "id", "name"),
            lambda owner: listed(path("/owners/{}/repos", owner["name"])),
            **options,
        )
        yield from load((page, {"owner_id": owner["id"]}) for owner, page in prefetch(found))

    @dlt.transformer(data_from=repos, **hints)
    def issues(table: pa.Table) -> Iterator[Any]:
        found = fan_out(
            parents(table, "id"), lambda repo: listed(path("/repos/{}/issues", repo)), **options
        )
        yield from load(((page, {"repo_id": repo}) for repo, page in prefetch(found)), rows=4)

    @dlt.transformer(data_from=issues, **hints)
    def comments(table: pa.Table) -> Iterator[Any]:
        found = fan_out(
            parents(table, "id", "repo_id"),
            lambda issue: listed(path("/issues/{}/comments", issue["id"])),
            **options,
        )
        yield from load(
            (page, {"issue_id": issue["id"], "repo_id": issue["repo_id"]})
            for issue, page in prefetch(found)
        )

    return [owners, repos, issues, comments]


def plain(world: World, hints: Row) -> Any:
    """The same rows through plain dlt resources."""

    def level(name: str, rows: list[Row]) -> Any:
        return dlt.resource([rows], name=name, **hints)

    repos = {row["id"]: owner for owner, rows in world.repos.items() for row in rows}
    issues = {row["id"]: repo for repo, rows in world.issues.items() for row in rows}
    return [
        level("owners", world.owners),
        level("repos", [{**row, "owner_id": repos[row["id"]]} for row in world.all(world.repos)]),
        level("issues", [{**row, "repo_id": issues[row["id"]]} for row in world.all(world.issues)]),
        level(
            "comments",
            [
                {**row, "issue_id": issue, "repo_id": issues[issue]}
                for issue, rows in world.comments.items()
                for row in rows
            ],
        ),
    ]


def levels(warehouse: Warehouse) -> dict[str, list[str]]:
    """The rows of each root table with those nested below them."""
    rows = warehouse.rows()
    return {
        root: sorted(
            related({name: rows[name] for name in rows if name.split("__")[0] == root}, root)
        )
        for root in ("owners", "repos", "issues", "comments")
    }


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("hints", [MERGE, APPEND], ids=["merge", "append"])
def test_three_levels_below_load_what_dlt_loads(hints: Row, ordered: bool, tmp_path: Path) -> None:
    """In two runs, tables, types, hints, keys and rows of every level are those dlt would make."""
    ours, theirs = Warehouse(tmp_path / "ours"), Warehouse(tmp_path / "theirs")
    first, second = World(), World()
    for row in (*second.owners, *second.all(second.issues)):
        row["name"] += " renamed"
        row["tags"] = [{"a": 2}]
    second.comments[111] = [*second.comments[111][:1], second.row(1119)]
    for world in (first, second):
        with serving(world.script()) as server:
            ours.run(source(server, hints, ordered=ordered))
        theirs.run(plain(world, hints))
        assert ours.columns() == theirs.columns()
        assert ours.schema() == theirs.schema()
        assert levels(ours) == levels(theirs)
    assert ours.tables() == theirs.tables()


def resources(warehouse: Warehouse) -> str:
    """The state of the resources, cursors included; there is some."""
    (found,) = warehouse.pipeline().state["sources"].values()
    assert found["resources"]["owners"]
    return json.dumps(found, sort_keys=True)


@pytest.mark.parametrize("hints", [MERGE, APPEND], ids=["merge", "append"])
def test_an_error_below_undoes_all_above(hints: Row, tmp_path: Path) -> None:
    """No row of any level, and no cursor: the load before stands, and the next run is right."""
    warehouse = Warehouse(tmp_path)
    world = World(owners=1)
    with serving(world.script()) as server:
        warehouse.run(source(server, hints))
    before, state = levels(warehouse), resources(warehouse)
    grown = World(owners=2)
    broken = grown.script()
    broken["/issues/221/comments/2"] = [answer(b"{}", "418 I'm a teapot")]
    with serving(broken) as server:
        with pytest.raises(PipelineStepFailed) as failure:
            warehouse.run(source(server, hints))
        assert caused_by(failure.value, StatusError)
        place = server.url.removeprefix("http://")
        assert f"GET {place}/issues/221/comments/2, status 418" in str(failure.value)
    assert levels(warehouse) == before
    assert resources(warehouse) == state
    assert not warehouse.pipeline().has_pending_data
    if hints is MERGE:
        theirs = Warehouse(tmp_path, "theirs")
        theirs.run(plain(grown, hints))
        with serving(grown.script()) as server:
            warehouse.run(source(server, hints))
        assert levels(warehouse) == levels(theirs)


def test_ids_that_no_path_can_hold_fail_the_load(tmp_path: Path) -> None:
    """Rather than ask for something else."""
    world = World(owners=1)
    world.owners[0]["name"] = ".."
    found = listing("/owners", world.owners)
    with serving(found) as server:
        with pytest.raises(PipelineStepFailed, match="got one of dots") as failure:
            Warehouse(tmp_path).run(source(server, MERGE))
        assert caused_by(failure.value, ConfigError)
        assert [sent.split(b" ")[1] for sent in server.requests] == [b"/owners"]


def metrics(pipeline: dlt.Pipeline) -> dict[str, Any]:
    """The custom metrics of each resource in the last run."""
    trace: Any = pipeline.last_trace
    (steps,) = trace.last_extract_info.metrics.values()
    return {name: found.custom_metrics for name, found in steps[0]["resource_metrics"].items()}


def test_skips_are_in_the_trace(tmp_path: Path) -> None:
    """Each with its status, at the level it was skipped at; what is below it does not come."""
    world = World(owners=1)
    script = world.script() | {
        "/repos/11/issues": [NOT_FOUND],
        "/repos/12/issues": [NOT_FOUND],
        "/issues/131/comments": [answer(b"{}", "403 Forbidden")],
    }
    warehouse = Warehouse(tmp_path)
    with serving(script) as server:
        counted = metrics(warehouse.run(source(server, MERGE, skip=[403, 404])))
    assert "skips" not in counted["repos"]
    assert (counted["issues"]["skips"], counted["issues"]["skips: 404"]) == (2, 2)
    assert (counted["comments"]["skips"], counted["comments"]["skips: 403"]) == (1, 1)
    assert warehouse.query("SELECT DISTINCT repo_id FROM issues") == [(13,)]
    kept = [(row["id"],) for row in world.comments[133]]
    assert warehouse.query("SELECT id FROM comments ORDER BY 1") == kept


def guide(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that the guide's snippets define."""
    module = ModuleType("children")  # dlt looks a resource's module up
    monkeypatch.setitem(sys.modules, "children", module)
    names = vars(module)
    for snippet in SNIPPETS:
        exec(compile(snippet, str(GUIDE), "exec"), names)
    return names


def test_the_guide_loads_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three levels by its snippets: each row knows its parents, what is gone is passed over."""
    names = guide(monkeypatch)
    repos = [{"id": 1, "name": "a/../b?x=1"}, {"id": 2, "name": "gone"}]
    script = (
        listing("/users/me%20too/repos", repos)
        | listing("/repos/me%20too/a%2F..%2Fb%3Fx%3D1/issues", [{"id": 7}, {"id": 8}, {"id": 9}])
        | {"/repos/me%20too/gone/issues": [NOT_FOUND]}
        | listing("/issues/7/comments", [{"id": 70}])
        | listing("/issues/8/comments", [])
        | listing("/issues/9/comments", [{"id": 90}, {"id": 91}, {"id": 92}])
    )
    warehouse = Warehouse(tmp_path)
    with serving(script) as server:
        api = client(server.url)
        counted = metrics(warehouse.run(list(names["with_comments"](api, "me too"))))
    assert counted["issues"]["skips: 404"] == 1
    assert warehouse.query("SELECT id, repo_id FROM issues ORDER BY 1") == [(7, 1), (8, 1), (9, 1)]
    assert warehouse.query("SELECT id, issue_id, repo_id FROM comments ORDER BY 1") == [
        (70, 7, 1),
        (90, 9, 1),
        (91, 9, 1),
        (92, 9, 1),
    ]


def test_the_guide_keeps_a_mark_for_each_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A parent that is new, or was skipped, begins at the start, the others at their marks."""
    names = guide(monkeypatch)
    warehouse = Warehouse(tmp_path)

    def issues(number: int, *updated: str) -> list[Row]:
        return [
            {"id": 10 * number + each, "updated_at": f"2024-{at}T00:00:00Z"}
            for each, at in enumerate(updated)
        ]

    def run(*repos: list[Row] | None) -> list[str]:
        rows = [{"id": number, "name": f"r{number}"} for number in range(len(repos))]
        script = listing("/users/me/repos", rows)
        for number, found in enumerate(repos):
            place = f"/repos/me/r{number}/issues"
            script |= {place: [NOT_FOUND]} if found is None else listing(place, found)
        with serving(script) as server:
            warehouse.run(list(names["changed_issues"](client(server.url), "me")))
            asked = [sent.split(b" ")[1].decode() for sent in server.requests]
        return sorted(each.partition("since=")[2] for each in asked if "since=" in each)

    start = "2024-01-01T00%3A00%3A00Z"
    assert run(issues(0, "05-02", "05-01"), None) == [start, start]
    again = issues(0, "05-02", "06-01")
    assert run(again, issues(1, "03-01"), issues(2, "02-01")) == [
        start,
        start,
        start.replace("01-01", "05-02"),
    ]
    assert run([], [], []) == [start.replace("01-01", day) for day in ("02-01", "03-01", "06-01")]
    found = warehouse.query("SELECT id, repo_id FROM issues ORDER BY 1")
    assert found == [(0, 0), (1, 0), (10, 1), (20, 2)]


def test_the_guide_asks_for_many_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that spoil a batch and those that are missing are in a table of their own."""
    names = guide(monkeypatch)
    everybody = json.dumps([{"id": 1}, {"id": 4}]).encode()
    first, second = json.dumps([{"id": 1}]).encode(), json.dumps([{"id": 4}]).encode()
    refusals = [answer(b"{}", "400 Bad Request")] * 2
    script = {"/users": [refusals[0], answer(first), refusals[0], refusals[1], answer(second)]}
    warehouse = Warehouse(tmp_path)
    with serving(script) as server:
        lost: dict[int, str] = {}
        pipeline = warehouse.run(names["members"](client(server.url), [1, 2, 3, 4], lost))
        asked = [sent.split(b" ")[1].decode().partition("=")[2] for sent in server.requests]
    assert asked == ["1%2C2%2C3%2C4", "1%2C2", "3%2C4", "3", "4"]
    assert warehouse.query("SELECT id FROM members ORDER BY 1") == [(1,), (4,)]
    assert warehouse.query("SELECT id, reason FROM members_lost ORDER BY 1") == [
        (2, "missing"),
        (3, "400"),
    ]
    assert metrics(pipeline)["members"]["skips"] == 2
    with serving({"/users": [answer(everybody)]}) as server:
        warehouse.run(names["members"](client(server.url), [1, 4], {}))
    assert warehouse.query("SELECT count(*) FROM members") == [(2,)]


@pytest.mark.anyio
async def test_the_guide_closes_what_it_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator around a fan-out, left early, under prefetch."""
    names = guide(monkeypatch)
    with serving({f"/{number}": [answer(b"[1, 2]")] for number in range(9)}) as server:
        api = client(server.url)

        def fetch(number: int) -> Any:
            return pages(api, api.build_request("GET", f"/{number}"), LinkHeader())

        for page in prefetch(names["large"](api, range(9), fetch), ahead=1):
            assert page.json() == [1, 2]
            break
