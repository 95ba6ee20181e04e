"""The reader: by plan or as plain values, every page gives the same rows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from dlt.common.schema import Schema

from blocks.errors import NormalizeError
from blocks.json import OrAbsent, Path
from blocks.normalize import Normalizer
from blocks.normalize.dialect import Dialect
from blocks.normalize.reader import Reader
from blocks.normalize.tree import Table


def reader(path: Path | OrAbsent = "", *, planned: bool = True) -> Reader:
    """A reader for a new table."""
    dialect = Dialect(Schema("test"))
    return Reader(Table(dialect, ("items",), 1000, None), path, planned=planned)


def test_plan_after_the_first_page() -> None:
    """The first page is explored, the next one of its shape is read by a plan."""
    one = reader()
    plan, rows = one.read(b'[{"a": 1}]')
    assert plan is None
    assert rows == [{"a": 1}]
    plan, rows = one.read(b'[{"a": 2}, {}]')
    assert plan is not None
    assert [row.f0 for row in rows] == [2, None]
    assert one.read(b'{"a": 3}')[1][0].f0 == 3


def test_no_plan_when_not_wanted() -> None:
    """Rows whose ids are hashes of all they hold come as they are."""
    one = reader(planned=False)
    assert [one.read(b'[{"a": 1}]') for _ in range(3)] == [(None, [{"a": 1}])] * 3


def test_a_page_that_does_not_fit_widens_the_plan() -> None:
    """A new key or kind is read as plain values once, by the plan from then on."""
    one = reader()
    one.read(b'[{"a": 1}]')
    for body in (b'[{"a": "x"}]', b'[{"b": 1}]', b'[{"a": {"c": [1]}}]', b"[[1], 2, null]"):
        assert one.read(body)[0] is None
        assert one.read(body)[0] is not None


def test_drifting_keys_cost_few_plans() -> None:
    """A feed with a new key on every page is explored more and more often before a plan is made."""
    one = reader()
    for number in range(200):
        row = {f"key{index}": index for index in range(number + 1)}
        plan, rows = one.read(json.dumps([row]).encode())
        assert plan is None
        assert rows == [row]
    known = [one.read(b'[{"key0": 1}]') for _ in range(2)]
    assert known[-1][1]


def test_sparse_objects_need_no_new_plan() -> None:
    """Of objects with few of very many keys any other key fits as well."""
    one = reader()
    one.read(json.dumps([{f"key{number}": 1} for number in range(100)]).encode())
    for number in range(200):
        plan, rows = one.read(json.dumps([{f"new{number}": [number]}]).encode())
        assert plan is not None
        assert rows == [{f"new{number}": [number]}]


@pytest.mark.parametrize(
    ("path", "body", "count"),
    [
        ("data.rows", b'{"x": [1], "data": {"rows": [{"a": 1}], "n": 1}}', 1),
        (["a.b"], b'{"a.b": [{"a": 1}, {"a": 2}]}', 2),
        (["pages", 0, "rows"], b'{"pages": [{"rows": [{"a": 1}]}]}', 1),
        (['q"'], b'{"q\\"": [{"a": 1}]}', 1),
        ("one", b'{"one": {"a": 1}}', 1),
    ],
)
def test_paths(path: Any, body: bytes, count: int) -> None:
    """Records are found at dotted paths, odd keys and places in arrays, by plan as well."""
    one = reader(path)
    assert [len(one.read(body)[1]) for _ in range(3)] == [count] * 3


@pytest.mark.parametrize("body", [b"{}", b'{"rows": null}', b'{"rows": 1}', b"[]", b"3"])
def test_no_records(body: bytes) -> None:
    """A body without records at the path is an error with page and path, never an empty page."""
    one = reader("rows")
    one.read(b'{"rows": [{"a": 1}]}')
    for _ in range(2):
        with pytest.raises(NormalizeError, match=r"^expected .* at rows, got"):
            one.read(body)


def test_a_list_that_may_be_left_out() -> None:
    """Only where the object is there that lacks it, on first pages and on those read by a plan."""
    for before in range(3):
        one = reader(OrAbsent("data.rows", ["total"]))
        for _ in range(before):
            assert len(one.read(b'{"data": {"rows": [{"a": 1}]}}')[1]) == 1
        assert one.read(b'{"data": {"total": 0}}') == (None, [])
        assert len(one.read(b'{"data": {"rows": [{"a": 2}, {"a": 3}]}}')[1]) == 2
        for body in (
            b'{"error": 1}',
            b'{"data": {"error": 1}}',
            b'{"data": {"rows": null}}',
            b'{"data": []}',
            b"[]",
        ):
            with pytest.raises(NormalizeError, match=r"at data\.rows, got"):
                one.read(body)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("data[0].rows", b'{"data": [{"rows": [{"id": 1}]}]}'),
        (
            "lists[name=main].rows",
            b'{"lists": [{"name": "x"}, {"name": "main", "rows": [{"id": 1}]}]}',
        ),
        (["a.b"], b'{"a.b": [{"id": 1}]}'),
        ("", b'[{"id": 1}]'),
    ],
)
def test_paths_are_those_of_the_other_blocks(path: Any, body: bytes) -> None:
    """Positions, filters and keys with dots lead to records, on the first page and later ones."""
    normalizer = Normalizer("items", path)
    for _ in range(3):
        assert normalizer(body)["items"].column("id").to_pylist() == [1]
