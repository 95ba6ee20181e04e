"""Any documents: what examples do not think of, generated."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from blocks.errors import NormalizeError
from tests.oracle import (
    EXAMPLES,
    actual,
    columns,
    compare,
    merging,
    related,
    schemas,
    table,
    with_level,
)

# No two of them share a name after naming, at any depth.
NAMES = [
    "id",
    "a",
    "b",
    "camelCase",
    "with space",
    "ä",
    "value",
    "list",
    "list",
    "x" * 70,
    'q"',
    "_p",
]
KEYS = st.sampled_from(NAMES)
TIMES = st.sampled_from(
    [
        "2024-01-02T03:04:05Z", "2024-01-02T03:04:05.678901+02:00", "2024-01-02 03:04",
        "2024-01-02", "2024-01-02T03:04:05", "2024-01-02T03:04:05.1Z", "1969-12-31T23:59:59-05:30",
        "2024-01-02T24:00:00Z", "2024-01-02T03:04:60Z", "2024-01-02t03:04:05z", "0000-01-01",
        "2024-01-02T03:04:05.1234567Z", "2024-1-2", " 2024-01-02 ", "2024-01-02T03:04:05+25:00",
        "2024-01-02T03Z", "20240102T030405Z", "2024-01", "2024", "2024-01-02T03:04:05,5Z",
    ]
)  # fmt: skip
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs", "Co"]), max_size=5),
    TIMES,
    st.sampled_from(["1", "1.5", "true", "0x10", "null", "[1]", '{"a": 1}']),
)
# A float that is integral is left to test_parity_open, and so are integers no clock has.
FLOATS = st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: x % 1 or abs(x) > 1e18)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**31), 2**31), st.integers(0, 3), FLOATS, TEXTS
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)
RECORDS = st.one_of(
    st.dictionaries(KEYS, VALUES, max_size=5),
    st.dictionaries(KEYS, VALUES, max_size=5),
    st.dictionaries(KEYS, VALUES, max_size=5),
    VALUES,
)
PAGES = st.lists(st.lists(RECORDS, max_size=5), max_size=4)
RUNS = st.lists(PAGES, min_size=1, max_size=3)
SIZES = st.sampled_from([1, 3, 5000])

TYPES = st.sampled_from(
    ["text", "bigint", "double", "decimal", "wei", "date", "time", "timestamp", "binary", "bool"]
)


@given(runs=RUNS, rows=SIZES, parsed=st.booleans())
@EXAMPLES
def test_documents(runs: Any, rows: int, parsed: bool) -> None:
    """Over any runs of any pages: same tables, columns, types, values and relations."""
    compare(runs, rows=rows, parsed=parsed)


@given(runs=RUNS, level=st.integers(0, 3), at_table=st.booleans())
@EXAMPLES
def test_levels(runs: Any, level: int, at_table: bool) -> None:
    """The same at any limit of nesting.

    Where nesting ends, a list in a list is JSON in the column `list`; a key of that name beside it
    is then JSON as well, from the first such row on.
    """
    limit = {"max_nesting": level}
    make = schemas(with_level(level)) if at_table else schemas(config=limit)
    compare(runs, make)


@given(
    runs=RUNS,
    names=st.sampled_from(["snake_case", "direct", "sql_ci_v1"]),
    longest=st.sampled_from([None, 20, 30]),
)
@EXAMPLES
def test_naming(runs: Any, names: str, longest: int | None) -> None:
    """The same under any naming convention and length of names."""
    compare(runs, schemas(names=names, longest=longest))


@given(
    runs=RUNS,
    hints=st.dictionaries(
        st.sampled_from(["id", "a", "b", "value", "a__b"]), TYPES | st.just("json")
    ),
)
@EXAMPLES
def test_hints(runs: Any, hints: dict[str, str]) -> None:
    """The same under any hints of types."""
    known = {key: {"data_type": type_} for key, type_ in hints.items()}
    compare(runs, schemas(table(known)))


@given(pages=PAGES, strategy=st.sampled_from(["delete-insert", "upsert", "insert-only"]))
@EXAMPLES
def test_keys(pages: Any, strategy: str) -> None:
    """The same where rows below carry the id of their root."""
    assume(all(isinstance(row, dict) for page in pages for row in page))
    numbered = [
        [{**row, "key": f"{number}-{index}"} for index, row in enumerate(page)]
        for number, page in enumerate(pages)
    ]
    key = {"data_type": "text", "primary_key": True, "nullable": False}
    hints = {"write_disposition": "merge", "x-merge-strategy": strategy}
    with merging():
        compare([numbered, numbered], schemas(table({"key": key}, **hints)))


@given(rows=st.lists(RECORDS, max_size=12), cuts=st.lists(st.integers(0, 12)), size=SIZES)
@EXAMPLES
def test_borders(rows: list[Any], cuts: list[int], size: int) -> None:
    """Where pages and chunks end, and whether a plan reads them, does not change the tables."""
    edges = [0, *sorted(cut for cut in cuts if cut < len(rows)), len(rows)]
    pages = [rows[start:end] for start, end in pairwise(edges)]
    found: list[Any] = []
    for bodies, count in (
        ([json.dumps(rows).encode()], 5000),
        ([json.dumps(page).encode() for page in pages], size),
        ([json.dumps(page).encode() for page in (rows[:0], *pages)], size),
        ([json.loads(json.dumps(rows))], size),
    ):
        schema = schemas()()
        try:
            got = actual(schema, "items", bodies, count)
        except NormalizeError:
            found.append(None)
        else:
            found.append((related(got, "items"), columns(schema)))
    assert all(one == found[0] for one in found)
