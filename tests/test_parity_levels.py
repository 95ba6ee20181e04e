"""Limits of nesting: where they end in the middle of a column, the order of rows decides."""

from __future__ import annotations

from typing import Any

import pytest

from tests.oracle import compare, schemas, with_level

KEY = {"l": [{"list": [1]}]}
LISTS = {"l": [[5], [[6]]]}
SHARED = [{"a": {"b": [1]}}, {"a__b": [1]}, {"a": {"b": [{"c": 2}]}}]


@pytest.mark.parametrize("level", [0, 1, 2, 3])
@pytest.mark.parametrize(
    "pages",
    [
        [[KEY, LISTS, KEY]],
        [[LISTS, KEY]],
        [[{"l": [{"list": [1]}, [2], {"list": [3]}]}]],
        # By plans, were the key `list` not one that they cannot know.
        [[KEY], [KEY], [KEY, LISTS], [KEY], [KEY]],
        [[KEY], [KEY], [LISTS], [KEY], [KEY]],
        [[LISTS], [LISTS], [KEY], [LISTS], [KEY]],
        [[{"l": [[1], {"list": {"x": 1}}]}], [{"l": [{"list": {"x": 2}}, {"list": 3}]}]],
        [SHARED],
        [SHARED[:1], SHARED[:1], SHARED[1:2], SHARED[2:]],
        [SHARED[1:2], SHARED[1:2], SHARED[:1], SHARED[1:]],
    ],
)
def test_columns_that_two_levels_share(pages: Any, level: int) -> None:
    """A column that one row made JSON is JSON for the rows after it, at every level, in any run."""
    compare([pages, pages], schemas(with_level(level)))


@pytest.mark.parametrize("level", [0, 1])
def test_order_of_columns_where_all_is_json(level: int) -> None:
    """A row says in which order its new columns come, also where any value would be JSON."""
    first = [{"p": None, "o": {"a": 1}, "b": 1}, {"l": None}]
    later = [{"l": "x", "o": {}, "p": True}, {"b": 1}]
    compare([[first, later, [{"l": []}]]], schemas(with_level(level)))
