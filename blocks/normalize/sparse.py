"""Sparse columns: the values of a key that not all rows have, without the places of the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, TypeAlias, overload

from blocks.normalize.compiled import compiled

__all__ = ["Sparse", "turn"]

Part: TypeAlias = tuple[Sequence[int], Sequence[Any]]
"""Rows, in order, and a value for each."""

# Rows that have the same keys are turned together, if there are as many as that on average.
_ALIKE = 4


class Sparse(Sequence[Any]):
    """A column of `size` rows: `values` at the rows `places`, in order, `None` elsewhere.

    >>> list(Sparse(3, [1], ["x"]))
    [None, 'x', None]
    """

    __slots__ = ("places", "size", "values")

    def __init__(self, size: int, places: Sequence[int], values: Sequence[Any]) -> None:
        self.size = size
        self.places = places
        self.values = values

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Any]:
        column = [None] * self.size
        for place, value in zip(self.places, self.values, strict=True):
            column[place] = value
        return iter(column)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return list(self)[index]


def turn(rows: Sequence[dict[str, Any]]) -> Iterator[tuple[str, Sequence[int], Sequence[Any]]]:
    """For each key, in the order in which they come, the rows that have it and their values.

    >>> list(turn([{"a": 1}, {"a": 2, "b": 3}]))
    [('a', [0, 1], [1, 2]), ('b', [1], [3])]
    """
    if compiled and (found := compiled.turn(rows)) is not None:
        return ((key, *both) for key, both in found.items())
    return _turn(rows)


def _turn(rows: Sequence[dict[str, Any]]) -> Iterator[tuple[str, Sequence[int], Sequence[Any]]]:
    groups: dict[tuple[str, ...], list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(tuple(row), []).append(index)
    if len(groups) * _ALIKE > len(rows):
        yield from _one_by_one(rows)
        return
    found: dict[str, list[Part]] = {}
    for keys, places in groups.items():
        columns = zip(*(rows[place].values() for place in places), strict=True)
        for key, values in zip(keys, columns, strict=True):
            found.setdefault(key, []).append((places, values))
    orders: dict[tuple[int, ...], Part] = {}
    for key, parts in found.items():
        if len(parts) == 1:
            yield key, *parts[0]
            continue
        owners = tuple(id(places) for places, _ in parts)
        if owners not in orders:
            orders[owners] = _merge([places for places, _ in parts])
        merged, order = orders[owners]
        together = list(chain.from_iterable(values for _, values in parts))
        yield key, merged, [together[index] for index in order]


def _one_by_one(rows: Iterable[dict[str, Any]]) -> Iterator[tuple[str, list[int], list[Any]]]:
    keys: dict[str, tuple[list[int], list[Any]]] = {}
    for index, row in enumerate(rows):
        for key, value in row.items():
            try:
                places, values = keys[key]
            except KeyError:
                places, values = keys[key] = [], []
            places.append(index)
            values.append(value)
    return ((key, places, values) for key, (places, values) in keys.items())


def _merge(parts: Sequence[Sequence[int]]) -> Part:
    """The numbers of all `parts` in order, and where each was in the parts one after the other."""
    numbers = list(chain.from_iterable(parts))
    order = sorted(range(len(numbers)), key=numbers.__getitem__)
    return [numbers[index] for index in order], order
