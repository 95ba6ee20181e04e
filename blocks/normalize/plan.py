"""Plans: msgspec types that decode pages of a known shape into structs.

Each object path gets a struct, so that one C call turns a page into rows whose fields sit at
fixed places. Anything the shape has not seen, a new key or another type, is an error from the
decoder, never a value dropped: structs forbid unknown fields.
"""

from __future__ import annotations

import re
from functools import reduce
from operator import or_
from typing import Any

import msgspec

from blocks.normalize.shape import (
    BOOL,
    FLOAT,
    INT,
    LIST,
    NULL,
    OBJECT,
    OTHER,
    SCALAR,
    STR,
    Shape,
)
from blocks.normalize.tree import Node, Slot, Table

__all__ = ["Elements", "Field", "Layout", "is_nameable"]

_SCALARS = ((NULL, None), (BOOL, bool), (INT, int), (FLOAT, float), (STR, str))

# msgspec cannot name a field with these.
_UNNAMEABLE = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')


def is_nameable(key: str) -> bool:
    """Whether a struct can have a field of this name."""
    return not _UNNAMEABLE.search(key)


class Layout:
    """The struct for the objects of one node; `fields` are in the order of `astuple`."""

    __slots__ = ("empty", "fields", "struct")

    def __init__(self, shape: Shape, node: Node) -> None:
        self.fields = [Field(field, node.slot(key)) for key, field in shape.fields.items()]
        names = [f"f{index}" for index in range(len(self.fields))]
        self.struct: type[msgspec.Struct] = msgspec.defstruct(
            "Row",
            [
                (name, field.type, field.default)
                for name, field in zip(names, self.fields, strict=True)
            ],
            rename=dict(zip(names, shape.fields, strict=True)),
            forbid_unknown_fields=True,
            eq=False,
            # A shared default must be immutable.
            frozen=True,
            # Rows are trees that die together: tracking them would only slow the collector.
            gc=False,
        )
        self.empty = self.struct()


class Field:
    """What one key of a struct may hold, and the plans for what is below it.

    `scalar` are the kinds of its values if they make a column and nothing else, 0 otherwise.
    """

    __slots__ = ("default", "elements", "kinds", "layout", "scalar", "slot", "type")

    def __init__(self, shape: Shape, slot: Slot) -> None:
        self.slot = slot
        self.kinds = _widened(shape.kinds)
        self.scalar = 0
        self.layout: Layout | None = None
        self.elements: Elements | None = None
        self.default: Any = None
        if shape.kinds & OTHER or (slot.is_json and shape.kinds & ~NULL):
            # Not where all was null: the first value makes a column, and its row says where.
            self.type: Any = Any
            return
        self.layout = _layout(shape, slot.node) if shape.kinds & OBJECT else None
        self.elements = Elements(shape.items, slot.items) if shape.items else None
        if self.layout and self.kinds == OBJECT:
            # Absent objects share one empty row and null does not fit, so that columns below
            # need no test for None.
            self.default = self.layout.empty
        elif self.kinds == LIST:
            # So with lists: a first null is to be noticed.
            self.default = ()
        else:
            self.kinds |= NULL
        if not self.kinds & (OBJECT | LIST):
            self.scalar = self.kinds & SCALAR
        self.type = _type(self.kinds, self.layout, self.elements)


class Elements:
    """What the rows of one table may be: objects, lists and values."""

    __slots__ = ("kinds", "layout", "lists", "type")

    def __init__(self, shape: Shape, table: Table) -> None:
        # Only null fits a list that was always empty: msgspec has no type that nothing fits.
        self.kinds = _widened(shape.kinds) or NULL
        self.layout: Layout | None = None
        self.lists: Elements | None = None
        if shape.kinds & OTHER or (shape.kinds & LIST and table.lists.is_json):
            self.type: Any = Any
            return
        self.layout = _layout(shape, table.node) if shape.kinds & OBJECT else None
        self.lists = Elements(shape.items, table.lists.items) if shape.items else None
        self.type = _type(self.kinds, self.layout, self.lists)


def _widened(kinds: int) -> int:
    # A bare float type would take integers, and round them.
    return kinds | INT if kinds & FLOAT else kinds


def _layout(shape: Shape, node: Node) -> Layout | None:
    if shape.is_sparse or not all(map(is_nameable, shape.fields)):
        return None
    return Layout(shape, node)


def _type(kinds: int, layout: Layout | None, elements: Elements | None) -> Any:
    """The union of all `kinds`; objects without a layout decode to dicts."""
    types: list[Any] = [type_ for kind, type_ in _SCALARS if kinds & kind]
    if layout or kinds & OBJECT:
        types.append(layout.struct if layout else dict[str, Any])
    if elements:
        types.append(list[elements.type])  # type: ignore[name-defined]
    return reduce(or_, types)
