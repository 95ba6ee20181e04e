"""The normalizer makes exactly the tables that dlt makes."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from dlt.common.schema import Schema
from dlt.common.schema.exceptions import CannotCoerceColumnException
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import NormalizeError
from tests.oracle import actual, columns, expected, related

KEYS = st.sampled_from(["id", "a", "b", "camelCase", "with space", "ä", "value", "x" * 70])
TEXTS = st.one_of(
    st.text(max_size=5),
    st.sampled_from(
        [
            "2024-01-02T03:04:05Z",
            "2024-01-02T03:04:05.678901+02:00",
            "2024-01-02 03:04",
            "2024-01-02",
        ]
    ),
    st.sampled_from(["1", "1.5", "true", "0x10", "2024", "null", "[1]"]),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 3),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXTS,
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)
RECORDS = st.dictionaries(KEYS, VALUES, max_size=5)
RUNS = st.lists(st.lists(st.lists(RECORDS, max_size=4), max_size=4), min_size=1, max_size=3)


def compare(runs: list[list[list[Any]]], rows: int = 5000) -> None:
    """Both normalizers agree on every run, or both refuse the first that dlt refuses."""
    ours, theirs = Schema("test"), Schema("test")
    for pages in runs:
        bodies = [json.dumps(page).encode() for page in pages]
        try:
            want = expected(theirs, "items", [json.loads(body) for body in bodies])
        except (CannotCoerceColumnException, pa.ArrowInvalid, OverflowError):
            with pytest.raises(NormalizeError):
                actual(ours, "items", bodies, rows)
            return
        got = actual(ours, "items", bodies, rows)
        assert related(got, "items") == related(want, "items")
        assert columns(ours) == columns(theirs)


@given(runs=RUNS, rows=st.sampled_from([1, 3, 5000]))
def test_any_documents(runs: list[list[list[Any]]], rows: int) -> None:
    """Over any runs of any pages: same tables, columns, types, values and relations."""
    compare(runs, rows)
