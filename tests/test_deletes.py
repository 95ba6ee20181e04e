"""What is gone at the API becomes tombstones, and a broken listing does not."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.deletes import Keys, flag, tombstones, vanished
from blocks.errors import BodyError, ConfigError, CursorError, ResponseError


def page(body: Any) -> httpx.Response:
    """The response to a GET."""
    request = httpx.Request("GET", "https://api.example.com/deleted")
    return httpx.Response(200, json=body, request=request)


def test_tombstones_have_a_key_and_a_flag() -> None:
    """Page by page, whatever else the records have; an empty page has none."""
    pages = [page({"rows": [{"id": 1, "by": "ann"}, {"id": 2}]}), page({"rows": []})]
    assert [*tombstones(pages, records="rows", flag="gone")] == [
        [{"id": 1, "gone": True}, {"id": 2, "gone": True}],
        [],
    ]


def test_keys_may_be_deep_and_of_several_columns() -> None:
    """As events hold them, or tables with a compound key."""
    pages = [page([{"org": {"id": 7}, "object": {"id": "a"}}])]
    key = {"org_id": "org.id", "id": "object.id"}
    assert [*tombstones(pages, key)] == [[{"org_id": 7, "id": "a", "deleted": True}]]


def test_a_deleted_record_without_its_key_is_an_error() -> None:
    """A tombstone for nobody would delete nothing, in silence."""
    with pytest.raises(
        BodyError, match=r"expected a key at 'id' of each record, got nothing \(GET"
    ):
        [*tombstones([page([{"id": 1}, {"uuid": 2}])])]


def test_the_flag_deletes_and_wins() -> None:
    """Its hints are those of dlt."""
    assert flag("gone") == {
        "gone": {"data_type": "bool", "hard_delete": True, "dedup_sort": "desc"},
    }


def test_keys_are_kept_of_each_table() -> None:
    """Whatever the types that pages teach; of no table, none."""
    listed = Keys("id", "org")
    assert listed.table.to_pydict() == {"id": [], "org": []}
    listed.observe(pa.table({"org": pa.nulls(1), "id": [1], "name": ["a"]}))
    listed.observe(pa.table({"org": ["x"], "id": [2]}))
    assert listed.table.to_pydict() == {"id": [1, 2], "org": [None, "x"]}
    with pytest.raises(CursorError, match="expected columns org for keys, got id"):
        listed.observe(pa.table({"id": [1]}))
    with pytest.raises(ConfigError, match="expected at least one column"):
        Keys()


KEYS = st.sets(st.integers(0, 40))


@given(KEYS, KEYS.filter(bool))
def test_what_vanished_is_what_was_known_and_is_not_listed(
    known: set[int], listed: set[int]
) -> None:
    """Each once; what is new is of no matter."""
    gone = vanished(pa.table({"id": [*known]}), pa.table({"id": [*listed, *listed]}), most=1)
    assert sorted(gone["id"].to_pylist()) == sorted(known - listed)


@given(st.integers(1, 200), st.integers(0, 200), st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_more_than_the_given_share_is_refused(known: int, left: int, most: float) -> None:
    """Whatever is deleted was allowed to be."""
    ours, theirs = pa.table({"id": [*range(known)]}), pa.table({"id": [*range(left)]})
    lost = max(0, known - left)
    if left and lost <= most * known:
        assert vanished(ours, theirs, most=most).num_rows == lost
    else:
        with pytest.raises(ResponseError, match="known keys"):
            vanished(ours, theirs, most=most)


def test_refusals_say_why() -> None:
    """In numbers."""
    known = pa.table({"id": [1, 2, 3, 4]})
    with pytest.raises(ResponseError, match="expected some of 4 known keys, got an empty listing"):
        vanished(known, Keys("id").table, most=1)
    message = "expected at most 20% of 4 known keys to be gone, got 3: the listing may be cut short"
    with pytest.raises(ResponseError, match=message):
        vanished(known, pa.table({"id": [4]}))
    with pytest.raises(CursorError, match="expected keys of columns id, got id, org"):
        vanished(known, pa.table({"id": [1], "org": [2]}))
    with pytest.raises(CursorError, match="expected listed keys that can be int64: "):
        vanished(known, pa.table({"id": ["a"]}))
    with pytest.raises(CursorError, match="expected listed keys that can be int64: "):
        vanished(known, pa.table({"id": [[1]]}))


def test_nothing_known_is_nothing_gone() -> None:
    """As in a first run, before there is a table, even of an empty listing."""
    nothing = pa.table({"id": pa.nulls(0)})
    assert vanished(nothing, pa.table({"id": [1]})).num_rows == 0
    assert vanished(nothing, nothing).num_rows == 0


AT = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("known", "listed"),
    [
        (["1", "2"], [1]),
        ([Decimal(1), Decimal(2)], [1, 10**18]),
        ([AT, AT.replace(year=2025)], pa.array([AT], pa.timestamp("ms", "Europe/Berlin"))),
        (pa.array(["a", "b"], pa.large_string()), ["a"]),
    ],
)
def test_keys_are_compared_as_the_destination_has_them(known: Any, listed: Any) -> None:
    """Which may keep them in another type than pages do."""
    gone = vanished(pa.table({"id": known}), pa.table({"id": listed}), most=0.5)
    assert gone.num_rows == 1
    assert gone.schema == pa.table({"id": known}).schema


def test_compound_keys_in_any_order_of_columns() -> None:
    """A row is gone when no listed row has all of its values."""
    known = pa.table({"org": ["x", "x", "y"], "id": [1, 2, 1]})
    listed = pa.table({"id": [1, 2], "org": ["x", "x"]})
    assert vanished(known, listed, most=0.5).to_pylist() == [{"org": "y", "id": 1}]
