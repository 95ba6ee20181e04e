"""Plans decode exactly the shape they were made of."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from dlt.common.schema import Schema
from hypothesis import given
from hypothesis import strategies as st

from blocks.normalize.dialect import Dialect
from blocks.normalize.plan import Elements, is_nameable
from blocks.normalize.shape import Shape
from blocks.normalize.tree import Table

VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.just(1.5), st.text(max_size=2)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=10,
)


def plan(*rows: Any) -> msgspec.json.Decoder[Any]:
    """What decodes an array of rows of the shape of `rows`."""
    table = Table(Dialect(Schema("test")), ("items",), 1000, None)
    elements = Elements(Shape.of(*rows), table)
    return msgspec.json.Decoder(list[elements.type])  # type: ignore[name-defined]


@given(rows=st.lists(VALUES.filter(lambda value: "\\ud" not in json.dumps(value)), max_size=5))
def test_its_own_rows_fit(rows: list[Any]) -> None:
    """Every row a shape has seen is decoded by its plan."""
    assert len(plan(*rows).decode(json.dumps(rows).encode())) == len(rows)


@pytest.mark.parametrize(
    "body",
    [b'[{"b": 1}]', b'[{"a": "x"}]', b'[{"a": 1.5}]', b'[{"a": {}}]', b"[[]]", b"[1]", b"[null]"],
)
def test_other_rows_do_not_fit(body: bytes) -> None:
    """A new key or another kind is refused, never dropped or converted."""
    with pytest.raises(msgspec.ValidationError):
        plan({"a": 1}).decode(body)


@pytest.mark.parametrize("key", ['a"', "a\\", "\n", "\ud800"])
def test_keys_a_struct_cannot_have(key: str) -> None:
    """Objects with such a key are decoded to dicts."""
    assert not is_nameable(key)
    assert plan({"b": {'q"': 1}}).decode(b'[{"b": {"z": 2}}]')[0].f0 == {"z": 2}
