"""Each parent has its cursor, no row of any is missed, and the state stays small."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dlt
import httpx
import pyarrow as pa
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from hypothesis import given
from hypothesis import strategies as st

from blocks.client import client
from blocks.dlt import load, partitions
from blocks.errors import ConfigError, CursorError
from blocks.fetch import pages
from blocks.kinds import Epoch, Integers, Texts
from blocks.network import prefetch
from blocks.paginators import SinglePage
from blocks.partitions import Partitions
from tests.authority import Received, answering, said
from tests.test_dlt import caused_by
from tests.warehouse import Warehouse


def rows(*found: tuple[Any, Any]) -> pa.Table:
    """Rows of parents, with their values."""
    keys, values = zip(*found, strict=True)
    return pa.table({"repo": [*keys], "at": [*values]})


def kept(state: dict[str, Any]) -> dict[str, Any]:
    """The state, as it comes back from where it was kept."""
    found: dict[str, Any] = json.loads(json.dumps(state, sort_keys=True))
    return found


# A run: of some parents, what is new of each, and whether its cursor is told to be complete.
RUNS = st.lists(
    st.lists(
        st.tuples(st.integers(0, 60), st.lists(st.integers(0, 3), max_size=2), st.booleans()),
        max_size=20,
    ),
    max_size=6,
)


@given(RUNS, st.integers(1, 4), st.booleans())
def test_no_row_is_missed(runs: list[list[Any]], most: int, together: bool) -> None:
    """Whichever parents a run reads, new ones with a history included, and however few have marks.

    A row is never older than the newest that its parent had when it was read before.
    """
    state: dict[str, Any] = {}
    have: dict[int, list[int]] = {}
    read: dict[int, set[int]] = {}
    for number, run in enumerate(runs):
        until = (number + 1) * 10
        parents = Partitions(
            "at", start=0, state=state, until=until, key="repo", most=most, kind=Integers()
        )
        batch = []
        for key, news, complete in {each[0]: each for each in run}.values():
            # What a parent never read has may be of any time before.
            floor = number * 10 if key in read else 0
            values = have.setdefault(key, [])
            values.extend(floor + value for value in news)
            cursor = parents.of(key)
            found = [at for at in range(len(values)) if values[at] >= cursor.since]
            read.setdefault(key, set()).update(found)
            assert read[key] == {*range(len(values))}
            batch += [(key, values[at]) for at in found]
            if found and not together:
                cursor.observe(rows(*batch[-len(found) :]))
            if complete and not together:
                cursor.complete()
        if batch and together:
            parents.observe(rows(*batch))
        assert len(state["partitions"]["at"]["marks"]) <= most
        assert len(json.dumps(state)) <= 200 + most * 20 + 16 * most * 11 + 16 * 12
        state = kept(state)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 99)), min_size=1, max_size=40))
def test_rows_in_any_order_move_the_cursors_of_their_parents(found: list[tuple[int, int]]) -> None:
    """As each parent's own cursor would have been moved by its own rows."""
    state: dict[str, Any] = {}
    parents = Partitions("at", start=0, state=state, key="repo")
    parents.observe(rows(*found))
    for key in range(10):
        values = [at for repo, at in found if repo == key]
        assert parents.of(key).mark == max(values, default=None)
        assert Partitions("at", start=0, state=kept(state)).of(key).since == max(values, default=0)


def test_an_evicted_parent_begins_at_or_before_its_mark_and_a_new_one_at_the_start() -> None:
    """Those that share read little again, where their marks are near."""
    state: dict[str, Any] = {}
    parents = Partitions("at", start=0, state=state, most=10)
    for key in range(150):
        parents.of(key).observe(1000 + key)
    again = Partitions("at", start=0, state=kept(state), most=10)
    since = [again.of(key).since for key in range(150)]
    assert all(1000 <= mark <= 1000 + key for key, mark in enumerate(since))
    assert all(mark > 1000 + key - 15 for key, mark in enumerate(since[90:], 90))
    assert again.of(150).since == 0


def test_sharing_costs_nothing_where_all_are_complete() -> None:
    """They then have one mark, and go on together."""
    state: dict[str, Any] = {}
    for until in (10, 20, 30):
        parents = Partitions("at", start=0, state=state, until=until, most=4)
        for key in range(50):
            assert parents.of(key).since == until - 10
            parents.of(key).complete()
        state = kept(state)
    assert len(state["partitions"]["at"]["shared"]) == 1


def test_a_cursor_does_not_go_back_in_its_run() -> None:
    """Nor does the state, if two cursors of a parent disagree."""
    state: dict[str, Any] = {}
    parents = Partitions("at", start=0, state=state, most=1)
    first, second = parents.of("a"), parents.of("a")
    first.observe(9)
    second.observe(5)
    assert (first.since, second.since, parents.of("a").since) == (0, 0, 9)


def test_too_many_parents_are_forgotten_aloud(caplog: pytest.LogCaptureFixture) -> None:
    """Read from the start again, and so not missed."""
    state: dict[str, Any] = {}
    parents = Partitions("at", start=0, state=state, most=2)
    for key in range(80):
        parents.of(key).observe(100 + key)
    assert "are forgotten, to be read from the start" in caplog.text
    since = [parents.of(key).since for key in range(80)]
    assert since[0] == 100
    assert 20 < since.count(0) < 60
    assert all(mark <= 100 + key for key, mark in enumerate(since))


def test_times_are_compared_as_instants_when_they_are_shared() -> None:
    """Not as texts, by which half a second is less than none."""
    state: dict[str, Any] = {}
    start = "2024-01-01T00:00:00Z"
    parents = Partitions("at", start=start, state=state, key="repo", most=3)
    instant = datetime(2024, 5, 1, tzinfo=UTC)
    times = [instant + timedelta(milliseconds=number * 500) for number in range(4)]
    parents.observe(rows(*zip("abcd", times, strict=True)))
    assert [parents.of(key).since for key in "abcde"] == [
        *("2024-05-01T00:00:00Z", "2024-05-01T00:00:00.500000Z", "2024-05-01T00:00:01Z"),
        *("2024-05-01T00:00:01Z", start),
    ]


def test_cursors_are_those_of_the_options() -> None:
    """Kind, upper bound, lookback and unique values are each cursor's."""
    state: dict[str, Any] = {}
    options: dict[str, Any] = {"kind": Epoch("s"), "lookback": timedelta(minutes=1)}
    parents = Partitions("at", start=0, state=state, until=1000, key="repo", **options)
    parents.observe(rows(("a", 500), ("a", 2000), ("b", 3000)))
    again = Partitions("at", start=0, state=kept(state), until=2000, **options)
    assert [again.of(key).since for key in "ab"] == [440, 0]
    assert again.of("a").until == 2000
    ids = Partitions("id", start=0, state=state, kind=Integers(unique=True))
    ids.of("a").observe(7)
    assert ids.of("a").since == 8
    texts = Partitions("ulid", start="", state=state, kind=Texts())
    texts.of("a").observe("01H")
    assert texts.of("a").since == "01H"
    assert sorted(state["partitions"]) == ["at", "id", "ulid"]


def test_parents_may_be_texts_and_integers() -> None:
    """A number is the same key as its digits; anything else is none."""
    parents = Partitions("at", start=0, state={}, key="repo")
    parents.observe(rows((7, 3)))
    assert parents.of("7").since == 3
    parents.of("\ud800/é").observe(4)
    assert parents.of("\ud800/é").since == 4
    for key in (None, True, 1.5):
        with pytest.raises(CursorError, match="expected text or an integer as a parent's key, got"):
            parents.of(key)  # type: ignore[arg-type]
    with pytest.raises(CursorError, match="as a parent's key, got None"):
        parents.observe(rows(("a", 1), (None, 2)))


def test_columns_that_are_not_there(caplog: pytest.LogCaptureFixture) -> None:
    """Without the parent's key no row can be told; a value is as a cursor's `missing` says."""
    parents = Partitions("at", start=0, state={}, key="repo")
    with pytest.raises(CursorError, match="expected column repo with parents' keys, got columns a"):
        parents.observe(pa.table({"a": [1]}))
    with pytest.raises(CursorError, match="expected column at for the cursor"):
        parents.observe(pa.table({"repo": ["a"]}))
    with pytest.raises(ConfigError, match="expected `key`"):
        Partitions("at", start=0, state={}).observe(rows(("a", 1)))
    with pytest.raises(ConfigError, match="most: expected at least 1 parent, got 0"):
        Partitions("at", start=0, state={}, most=0)
    state: dict[str, Any] = {}
    parents = Partitions("at", start=0, state=state, key="repo")
    parents.observe(rows(("a", 1), ("b", None), ("c", None)))
    assert caplog.text.count("without a value") == 1
    later = Partitions("at", start=0, state=kept(state), key="repo")
    later.observe(pa.table({"repo": ["a"]}))
    assert later.of("a").since == 1
    strict = Partitions("at", start=0, state={}, key="repo", missing="raise")
    with pytest.raises(CursorError, match="expected a value in each row"):
        strict.observe(rows(("a", 1), ("b", None)))


def test_it_says_what_it_is() -> None:
    """Without its parents, whose keys may be names of people."""
    parents = Partitions("at", start=0, state={})
    parents.of("ann@example.com").observe(3)
    assert repr(parents) == "<Partitions at, 1 with marks of their own>"


class Repositories:
    """An API of repositories with issues, each asked for since a time."""

    def __init__(self) -> None:
        self.issues: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[tuple[str, str]] = []

    def add(self, repo: str, number: int, at: str) -> None:
        """A new issue."""
        self.issues.setdefault(repo, []).append({"id": f"{repo}-{number}", "updated_at": at})

    def __call__(self, request: Received) -> bytes:
        """The issues of a repository."""
        url = httpx.URL(f"http://api{request.target}")
        repo, since = url.path.split("/")[2], url.params["since"]
        self.asked.append((repo, since))
        if repo == "broken":
            return said({}, "500 Broken")
        return said([each for each in self.issues.get(repo, []) if each["updated_at"] >= since])

    def source(self, url: str, repos: list[str], **options: Any) -> Any:
        """Their issues, each repository's since its own mark."""

        @dlt.resource(primary_key="id", write_disposition="merge")
        def issues() -> Iterator[Any]:
            api = client(url, retry=lambda transport: transport)
            start = "2024-01-01T00:00:00Z"
            updated = partitions("updated_at", start=start, key="repo", **options)
            for repo in repos:
                since = {"since": updated.of(repo).since}
                first = api.build_request("GET", f"/repos/{repo}", params=since)
                found = prefetch(pages(api, first, SinglePage()))
                yield from load(((page, {"repo": repo}) for page in found), updated)

        return issues


def test_a_source_of_many_parents(tmp_path: Path) -> None:
    """Real pages into DuckDB: a parent with a history that comes late is read from the start."""
    api = Repositories()
    api.add("a", 1, "2024-02-01T00:00:00Z")
    api.add("b", 1, "2024-03-01T00:00:00Z")
    api.add("late", 1, "2024-01-15T00:00:00Z")
    warehouse = Warehouse(tmp_path)
    with answering(api) as server:
        warehouse.run(api.source(server.url, ["a", "b"]))
        api.add("a", 2, "2024-02-02T00:00:00Z")
        warehouse.run(api.source(server.url, ["a", "b", "late"]))
        assert api.asked[2:] == [
            ("a", "2024-02-01T00:00:00Z"),
            ("b", "2024-03-01T00:00:00Z"),
            ("late", "2024-01-01T00:00:00Z"),
        ]
        api.add("late", 2, "2024-04-01T00:00:00Z")
        with pytest.raises(PipelineStepFailed):
            warehouse.run(api.source(server.url, ["late", "broken"]))
        assert warehouse.query("SELECT count(*) FROM issues") == [(4,)]
        warehouse.run(api.source(server.url, ["late"]))
        assert api.asked[-1] == ("late", "2024-01-15T00:00:00Z")
    assert warehouse.query("SELECT id, repo FROM issues ORDER BY id") == [
        *(("a-1", "a"), ("a-2", "a"), ("b-1", "b"), ("late-1", "late"), ("late-2", "late")),
    ]


def test_more_parents_than_marks_in_a_source(tmp_path: Path) -> None:
    """The state travels through the destination, and no issue is missed."""
    api = Repositories()
    names = [f"r{number:02}" for number in range(30)]
    for number, name in enumerate(names):
        api.add(name, 1, f"2024-02-{number % 28 + 1:02}T00:00:00Z")
    with answering(api) as server:
        Warehouse(tmp_path).run(api.source(server.url, names, most=5))
        for name in names:
            api.add(name, 2, "2024-03-01T00:00:00Z")
        api.add("new", 1, "2024-01-02T00:00:00Z")
        Warehouse(tmp_path).run(api.source(server.url, [*names, "new"], most=5))
    assert Warehouse(tmp_path).query("SELECT count(*) FROM issues") == [(61,)]
    second = [since for _, since in api.asked[30:]]
    assert sum(since > "2024-02" for since in second) == 30


def test_backfills_leave_the_state_alone(tmp_path: Path) -> None:
    """With an `end` the range is given; a lag is for times."""
    api = Repositories()
    api.add("a", 1, "2024-02-01T00:00:00Z")
    warehouse = Warehouse(tmp_path)
    with answering(api) as server:
        warehouse.run(api.source(server.url, ["a"]))
        warehouse.run(api.source(server.url, ["a"], end="2024-02-02T00:00:00Z"))
        warehouse.run(api.source(server.url, ["a"], lag=timedelta(hours=1)))
        assert [since for _, since in api.asked] == [
            *("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z"),
        ]
        with pytest.raises(PipelineStepFailed) as failure:
            warehouse.run(api.source(server.url, ["a"], lag=timedelta(1), kind=Texts()))
    assert caused_by(failure.value, ConfigError)
