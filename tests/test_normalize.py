"""The normalizer: pages in, tables out, in the order and the portions asked for."""

from __future__ import annotations

from typing import Any

import pytest

from blocks.errors import NormalizeError
from blocks.normalize import Normalizer

PAGE = b'[{"id": 1, "l": [1, 2]}, {"id": 2}]'


def test_one_page() -> None:
    """The root comes first, nested tables only if they have rows."""
    tables = Normalizer("items")(PAGE)
    assert {name: table.num_rows for name, table in tables.items()} == {"items": 2, "items__l": 2}
    assert list(Normalizer("items")(b'[{"l": []}]')) == ["items"]
    assert Normalizer("items")(b"[]") == {}


@pytest.mark.parametrize(("rows", "portions"), [(1, [2, 2, 2]), (3, [4, 2]), (5000, [6])])
def test_portions(rows: int, portions: list[int]) -> None:
    """Pages are put together until there are `rows` root rows, and never cut."""
    pages: list[Any] = [PAGE, b"[]", PAGE, [{"id": 3}, {"id": 4}]]
    found = list(Normalizer("items").stream(pages, rows))
    assert [tables["items"].num_rows for tables in found] == portions
    ids = [value for tables in found for value in tables["items"].column("id").to_pylist()]
    assert ids == [1, 2, 1, 2, 3, 4]


@pytest.mark.parametrize("way", ["", '"id": 0, '])  # the second is for no builder
def test_portions_of_large_rows(way: str) -> None:
    """Rows of megabytes are handed out before they are many; a page alone is never cut."""
    page = b'[{%b"id": 1, "text": "%b"}]' % (way.encode(), b"x" * (3 << 20))
    normalizer = Normalizer("items")
    found = [tables["items"].num_rows for tables in normalizer.stream([page] * 25)]
    assert found == [11, 11, 3]
    whole = b"[%b]" % b",".join([page[1:-1]] * 25)
    assert normalizer(whole)["items"].num_rows == 25


def test_portions_of_large_bodies_without_rows() -> None:
    """Bytes that bring no row bring no portion."""
    body = b'{"meta": "%b", "rows": []}' % (b"x" * (33 << 20))
    assert list(Normalizer("items", "rows").stream([body, body])) == []


def test_teaching() -> None:
    """What one page teaches holds for the pages after it, and null stands where it is absent."""
    normalizer = Normalizer("items")
    normalizer(b'[{"a": 1}]')
    table = normalizer(b'[{"b": "x"}, {"a": "y"}]')["items"]
    assert table.select(["a", "b", "a__v_text"]).to_pylist() == [
        {"a": None, "b": "x", "a__v_text": None},
        {"a": None, "b": None, "a__v_text": "y"},
    ]


def test_other_pages() -> None:
    """A page is bytes or a list; anything else is an error that names its type."""
    page: Any = "[]"
    with pytest.raises(NormalizeError, match="got str"):
        Normalizer("items")(page)
