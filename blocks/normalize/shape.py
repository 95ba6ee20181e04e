"""Shapes: what has been seen at each place of a stream of JSON values.

A shape holds the kinds of value seen, the shapes of an object's keys and the shape of a
list's elements. It only ever grows, and neither the order of values nor their repetition
matters to where it ends.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "BOOL",
    "FLOAT",
    "INT",
    "LIST",
    "NULL",
    "OBJECT",
    "OTHER",
    "SCALAR",
    "STR",
    "Shape",
    "kind_of",
    "kinds_of",
]

NULL, BOOL, INT, FLOAT, STR, OBJECT, LIST, OTHER = (1 << bit for bit in range(8))
SCALAR = BOOL | INT | FLOAT | STR | OTHER
"""Kinds that become a column. `OTHER` is any Python value JSON does not know, such as a date."""

# From when on a column for each key is looked at less often than each value is (600 keys, 30 of
# them in an object: four times the speed, bench/normalize.py).
_MANY = 64
_FEW = 8

_KINDS: dict[type, int] = {
    type(None): NULL,
    bool: BOOL,
    int: INT,
    float: FLOAT,
    str: STR,
    dict: OBJECT,
    list: LIST,
}


def kind_of(type_: type) -> int:
    """The kind of values of exactly this Python type.

    >>> kind_of(str) == STR, kind_of(bytes) == OTHER
    (True, True)
    """
    return _KINDS.get(type_, OTHER)


def kinds_of(values: Any) -> int:
    """All kinds among `values`, as a bit mask."""
    kinds = 0
    for type_ in set(map(type, values)):
        kinds |= _KINDS.get(type_, OTHER)
    return kinds


class Shape:
    """Kinds seen at one place, with the shapes below it.

    >>> issue = Shape.of({"id": 1, "labels": ["bug"]})
    >>> issue.fit({"id": 2, "labels": []})
    False
    >>> issue.fit({"id": "x2"})
    True
    >>> issue.fields["id"].kinds == INT | STR
    True
    """

    __slots__ = ("_filled", "_objects", "fields", "items", "kinds")

    def __init__(self) -> None:
        self._objects = self._filled = 0
        self.kinds = 0
        self.fields: dict[str, Shape] = {}
        self.items: Shape | None = None

    @classmethod
    def of(cls, *values: Any) -> Shape:
        """The least shape that fits all `values`."""
        shape = cls()
        for value in values:
            shape.fit(value)
        return shape

    @property
    def is_sparse(self) -> bool:
        """Whether the objects have many keys together, and each of them few."""
        many = len(self.fields)
        return many > _MANY and self._filled * _FEW < self._objects * many

    def fit(self, value: Any) -> bool:
        """Widen to fit `value`; return whether that changed anything."""
        kind = _KINDS.get(type(value), OTHER)
        grown = not self.kinds & kind
        self.kinds |= kind
        if kind == OBJECT:
            fields = self.fields
            self._objects += 1
            self._filled += len(value)
            for key, item in value.items():
                field = fields.get(key)
                if field is None:
                    field = fields[key] = Shape()
                    grown = True
                # A known scalar is by far the commonest case: no call for it.
                elif field.kinds & _KINDS.get(type(item), OTHER) & (SCALAR | NULL):
                    continue
                grown |= field.fit(item)
        elif kind == LIST:
            if self.items is None:
                self.items = Shape()
            for item in value:
                grown |= self.items.fit(item)
        return grown

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Shape):
            return NotImplemented
        mine = (self.kinds, self.fields, self.items)
        return mine == (other.kinds, other.fields, other.items)

    __hash__ = None  # type: ignore[assignment]  # a shape grows
