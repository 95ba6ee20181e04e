"""Shapes only grow, and where they end depends on what was seen alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.normalize.shape import (
    BOOL,
    FLOAT,
    INT,
    LIST,
    NULL,
    OBJECT,
    OTHER,
    STR,
    Shape,
    kind_of,
    kinds_of,
)

VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=2)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, NULL),
        (True, BOOL),
        (1, INT),
        (1.5, FLOAT),
        ("x", STR),
        ({}, OBJECT),
        ([], LIST),
        (b"x", OTHER),
        ((1,), OTHER),
    ],
)
def test_kinds(value: Any, kind: int) -> None:
    """Each type of JSON has a kind of its own, all else is other."""
    assert kind_of(type(value)) == kinds_of([value]) == Shape.of(value).kinds == kind


@given(values=st.lists(VALUES, max_size=5))
def test_order_and_repetition_do_not_matter(values: list[Any]) -> None:
    """Merging is associative, commutative and idempotent."""
    shape = Shape.of(*values)
    assert shape == Shape.of(*reversed(values)) == Shape.of(*values, *values)
    assert shape == Shape.of(*values[2:], *values[:2])


@given(values=st.lists(VALUES, min_size=1, max_size=5), last=VALUES)
def test_growth_is_told(values: list[Any], last: Any) -> None:
    """`fit` says exactly whether the shape changed, and what fits once fits again."""
    shape, before = Shape.of(*values), Shape.of(*values)
    assert shape.fit(last) == (shape != before)
    assert not any(shape.fit(value) for value in [*values, last])


@given(value=VALUES)
def test_kinds_of_elements(value: Any) -> None:
    """The shape of a list's elements is that of the elements one by one."""
    assert Shape.of([value, value]).items == Shape.of(value)
    assert Shape.of(json.loads(json.dumps({"a": value}))).fields["a"].kinds == kind_of(type(value))


def test_shapes_are_no_other_things() -> None:
    """A shape equals shapes only, and is no key of a dict: it grows."""
    assert Shape.of(1) != INT
    with pytest.raises(TypeError):
        hash(Shape())
