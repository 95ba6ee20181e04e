"""Fields asked for in parts make the rows that asking for all at once would have made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import ConfigError, NormalizeError
from blocks.fields import chunks, distinct, merge, rename

NAMES = st.lists(st.text(min_size=1, max_size=8), max_size=20)


@given(names=NAMES, always=st.lists(st.sampled_from(["id", "at"]), unique=True), more=st.data())
def test_chunks_cover_every_name_within_their_bounds(
    names: list[str], always: list[str], more: st.DataObject
) -> None:
    """All names once and in order, `always` before each part, none longer than a URL allows."""
    most = more.draw(st.none() | st.integers(len(always) + 1, 9))
    length = more.draw(st.integers(120, 300) if most is None else st.none() | st.integers(120, 300))
    parts = list(chunks(names, most=most, length=length, always=always))
    wanted = [name for name in dict.fromkeys(names) if name not in always]
    assert [name for part in parts for name in part[len(always) :]] == wanted
    for part in parts:
        assert part[: len(always)] == always
        assert most is None or len(part) <= most
        url = httpx.URL("https://x/", params={"f": ",".join(part)})
        assert length is None or len(url.query) - len("f=") <= length
    assert bool(parts) == bool(names or always)


@pytest.mark.parametrize(
    "make",
    [
        lambda: list(chunks(["a"])),
        lambda: list(chunks(["a"], most=1, always=["id"])),
        lambda: list(chunks(["a" * 20], length=10)),
        lambda: merge([], "id"),
        lambda: merge([[{"id": 1}]], []),
    ],
)
def test_what_cannot_work_is_refused(make: Callable[[], object]) -> None:
    """No bound, no room for a name, nothing to merge."""
    with pytest.raises(ConfigError):
        make()


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.integers(0, 99),
            "region": st.sampled_from("ab"),
            **{f"f{n}": st.integers() | st.none() for n in range(5)},
        }
    ),
    unique_by=lambda row: (row["id"], row["region"]),
    max_size=8,
)


@given(rows=ROWS, most=st.integers(3, 5), shuffled=st.randoms(use_true_random=False))
@pytest.mark.parametrize("arrow", [False, True])
def test_parts_make_the_whole(rows: list[Any], most: int, shuffled: Any, arrow: bool) -> None:
    """Whatever the parts and the order of their rows: the rows as if asked for at once."""
    names = ["id", "region", *(f"f{n}" for n in range(5))]
    schema = pa.schema([(name, pa.string() if name == "region" else pa.int64()) for name in names])
    rows = [{**row, "f0": row["id"]} for row in rows] if arrow else rows
    if arrow:  # Arrow's integers have 64 bits
        rows = [
            {n: v if v is None or n == "region" else v % 2**40 for n, v in row.items()}
            for row in rows
        ]
    parts: list[Any] = []
    for part in chunks(names, most=most, always=["id", "region"]):
        some = [{name: row[name] for name in part} for row in rows]
        if parts:
            shuffled.shuffle(some)
        parts.append(
            pa.Table.from_pylist(some, schema=pa.schema([schema.field(name) for name in part]))
            if arrow
            else some
        )
    merged = merge(parts, ["id", "region"])
    assert (merged.to_pylist() if arrow else merged) == rows


def as_tables(parts: list[list[dict[str, Any]]]) -> list[pa.Table]:
    """Rows as Arrow tables."""
    return [pa.Table.from_pylist(part) for part in parts]


@pytest.mark.parametrize("form", [list, as_tables])
@pytest.mark.parametrize(
    ("parts", "match"),
    [
        ([[{"id": 1}, {"id": 2}], [{"id": 1}]], "part 2 lacks 1 and has 0 others, such as 2"),
        ([[{"id": 1}], [{"id": 1}, {"id": 2}]], "part 2 lacks 0 and has 1 others, such as 2"),
        ([[{"id": 1}, {"id": 1}]], "expected each id once, got 1 twice in part 1"),
        ([[{"id": 1}], [{"id": 1}, {"id": 1}]], "expected each id once, got 1 twice in part 2"),
        ([[{"id": 1, "a": 2}], [{"id": 1, "a": 3}]], "one value of 'a' for 1, got several"),
        ([[{"key": 1}]], "expected .*'id' in each (row|part), got .*key"),
    ],
)
def test_parts_that_do_not_fit(form: Callable[[Any], Any], parts: Any, match: str) -> None:
    """Rows lost, added or changed between the requests are errors, never nulls."""
    with pytest.raises(NormalizeError, match=match):
        merge(form(parts), "id")


def test_objects_are_merged_in_turn() -> None:
    """HubSpot has its fields one level down."""
    parts = [
        [{"id": "7", "properties": {"at": 1, "a": 2}}],
        [{"id": "7", "properties": {"at": 1, "b": 3}}],
    ]
    assert merge(parts, "id") == [{"id": "7", "properties": {"at": 1, "a": 2, "b": 3}}]
    parts[1][0]["properties"] = {"at": 2, "b": 3}
    with pytest.raises(NormalizeError, match="one value of 'at' for '7'"):
        merge(parts, "id")


def test_merging_leaves_the_parts_as_they_are() -> None:
    """The rows are new."""
    parts = [[{"id": 1, "in": {"a": 1}}], [{"id": 1, "in": {"b": 2}}]]
    merge(parts, "id")
    assert parts == [[{"id": 1, "in": {"a": 1}}], [{"id": 1, "in": {"b": 2}}]]


def test_columns_of_any_type_are_merged() -> None:
    """Nested ones, too; a column both have may be of another type if its values are the same."""
    left = pa.table({"id": [1, 2], "at": pa.array([None, None], pa.null())})
    right = pa.table({"id": [2, 1], "at": pa.array([None, None], pa.string()), "tags": [["b"], []]})
    assert merge([left, right], "id").to_pylist() == [
        {"id": 1, "at": None, "tags": []},
        {"id": 2, "at": None, "tags": ["b"]},
    ]
    nothing = left.slice(0, 0)
    assert merge([nothing, nothing], "id").num_rows == 0


def test_renaming_keeps_order_and_what_is_unknown() -> None:
    """Only known keys change; two that change places do no harm."""
    row = {"a": 1, "new": 2, "b": 3}
    assert list(rename(row, {"a": "b", "b": "a", "gone": "x"}).items()) == [
        ("b", 1),
        ("new", 2),
        ("a", 3),
    ]


def test_two_keys_of_one_name_are_refused() -> None:
    """A value would be lost; the error names the keys."""
    with pytest.raises(NormalizeError, match="expected a name for each of id, f1, got 'id' twice"):
        rename({"id": 1, "f1": 2}, {"f1": "id"})


@given(
    names=st.dictionaries(
        st.text("abcdef0123456789", min_size=4, max_size=4), st.text("aB _é", max_size=3)
    )
)
def test_distinct_names_are(names: dict[str, str]) -> None:
    """No two are one to a warehouse; those that nobody shares stay as they are."""
    taken = ["id", "B"]
    found = distinct(names, taken)
    letters = ["".join(filter(str.isalnum, name.casefold())) for name in found.values()]
    assert len({*letters, "id", "b"}) == len(names) + 2
    assert "" not in letters
    assert {**rename(dict.fromkeys(names, 0), found)} == dict.fromkeys(found.values(), 0)
