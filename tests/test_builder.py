"""Builders: the rows that need no look of their own, beside dlt and beside the other way."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from dlt.common.schema import Schema
from hypothesis import given
from hypothesis import strategies as st

from blocks.normalize.builder import Builder
from blocks.normalize.compiled import compiled
from blocks.normalize.dialect import Dialect
from blocks.normalize.reader import Reader
from blocks.normalize.tables import Part, table, tables
from blocks.normalize.tree import Table
from tests.oracle import EXAMPLES, compare, merging, related, schemas, with_level
from tests.oracle import table as hinted
from tests.test_parity_any import PAGES, TIMES, TYPES

pytestmark = pytest.mark.skipif(compiled is None, reason="no C compiler where this was installed")

Rows = list[dict[str, Any]]


class Taught:
    """The tree, reader and builder of a table `items` that has seen some rows."""

    def __init__(self, rows: Rows, schema: Schema | None = None) -> None:
        self.dialect = Dialect(schema or Schema("test"), "load")
        self.root = Table(self.dialect, ("items",), self.dialect.nesting("items"), None)
        self.reader = Reader(self.root)
        self.builder = Builder(self.root)
        self.made = self.learned(rows)

    def learned(self, rows: Rows) -> dict[str, Any]:
        """The rows of all tables, made the other way."""
        plan, found = self.reader.read(json.dumps(rows).encode())
        return self.named(tables(self.root, found, plan, {}))

    def append(self, rows: Rows, *, parsed: bool = False, added: Any = None) -> bool:
        """Whether the builder takes the rows, as a body or parsed."""
        if parsed:
            return self.builder.append(rows, added or {})
        return self.builder.read(json.dumps(rows).encode(), (), added or {})

    def taken(self) -> dict[str, Any]:
        """The rows of all tables that the builder has taken."""
        return self.named(self.builder.take())

    def named(self, parts: dict[str, list[Part]]) -> dict[str, Any]:
        """The rows of all tables."""
        made = {name: table(self.dialect, name, found) for name, found in parts.items()}
        for each in made.values():
            each.validate(full=True)
        return {name: each.to_pylist() for name, each in made.items()}


@given(pages=PAGES, parsed=st.booleans(), rows=st.sampled_from([1, 4, 5000]))
@EXAMPLES
def test_documents_seen_before(pages: Any, parsed: bool, rows: int) -> None:
    """Pages like those before them become the tables that dlt makes of them."""
    compare([[*pages, *pages, *pages]], parsed=parsed, rows=rows, apart=True)


@given(pages=PAGES, others=PAGES, parsed=st.booleans(), rows=st.sampled_from([1, 5000]))
@EXAMPLES
def test_documents_after_those_seen_before(
    pages: Any, others: Any, parsed: bool, rows: int
) -> None:
    """Others after them as well, of which single rows teach what is new."""
    seen = [*pages, *pages, *pages]
    compare([[*seen, *others, *others, *pages]], parsed=parsed, rows=rows, apart=True)
    compare([[*seen, *others, *seen], [*others, *pages]], parsed=parsed, rows=rows)


@given(pages=PAGES, level=st.integers(0, 3))
@EXAMPLES
def test_levels(pages: Any, level: int) -> None:
    """The same at any limit of nesting."""
    if '"list"' not in json.dumps(pages):  # see test_parity_any
        compare([[*pages, *pages]], schemas(with_level(level)), apart=True)


@given(
    pages=PAGES,
    hints=st.dictionaries(st.sampled_from(["id", "a", "b", "value"]), TYPES | st.just("json")),
)
@EXAMPLES
def test_hints(pages: Any, hints: dict[str, str]) -> None:
    """The same under any hints of types."""
    known = {key: {"data_type": type_} for key, type_ in hints.items()}
    compare([[*pages, *pages]], schemas(hinted(known)), apart=True)


@given(pages=PAGES, strategy=st.sampled_from(["delete-insert", "upsert", "scd2"]))
@EXAMPLES
def test_merging(pages: Any, strategy: str) -> None:
    """The same where rows below carry the id of their root, or ids follow from values."""
    pages = [[row for row in page if isinstance(row, dict)] for page in pages]
    numbered = [
        [{**row, "key": f"{number}-{index}"} for index, row in enumerate(page)]
        for number, page in enumerate([*pages, *pages])
    ]
    key = {"data_type": "text", "primary_key": True, "nullable": False}
    hints = {"write_disposition": "merge", "x-merge-strategy": strategy}
    with merging():
        compare([numbered], schemas(hinted({"key": key}, **hints)), apart=True)


ISSUES: Rows = [
    {
        "id": index,
        "title": "é" * index,
        "score": index / 2,
        "open": index % 2 == 0,
        "at": f"2024-02-{index + 1:02}T00:00:0{index}.5Z",
        "user": {"login": f"u{index}", "plan": None if index else {"name": "x"}},
        "labels": [{"name": f"l{each}", "in": [each]} for each in range(index)],
        "tags": ["a", "b"][:index],
        "gone": None,
    }
    for index in range(4)
]


@pytest.mark.parametrize("parsed", [False, True])
def test_what_it_takes(parsed: bool) -> None:
    """Rows like those seen are taken, and are the rows the other way makes of them."""
    taught = Taught(ISSUES)
    assert taught.append(ISSUES, parsed=parsed)
    assert taught.append(ISSUES[::-1], parsed=parsed)
    assert taught.builder.rows == 8
    taken = taught.taken()
    assert related(taken, "items") == [
        *related(taught.made, "items"),
        *related(taught.made, "items")[::-1],
    ]
    assert taught.builder.rows == 0
    assert taught.taken() == {}
    assert taught.append(ISSUES[:1], parsed=parsed)
    assert related(taught.taken(), "items") == related(taught.made, "items")[:1]


MISFITS = {
    "another type": {"id": "1"},
    "a float": {"id": 1.0},
    "an integer beyond 64 bits": {"id": 2**63},
    "an integer no float holds": {"score": 2**53 + 1},
    "a text that is no time": {"at": "soon"},
    "an unknown key": {"other": 1},
    "an unknown null": {"other": None},
    "a key deep inside": {"user": {"plan": {"price": 1}}},
    "a scalar for an object": {"user": 1},
    "an object for a scalar": {"id": {}},
    "a list for a scalar": {"id": []},
    "an object for a list": {"labels": {}},
    "a value among objects": {"labels": [1]},
    "an object among values": {"tags": [{"x": 1}]},
    "a value deep inside": {"labels": [{"in": ["1"]}]},
    "a value for null": {"gone": 0},
    "a first null for a list": {"labels": None},
    "a first null for an object": {"user": None},
    "a first null deep inside": {"labels": [{"in": None}]},
    "a first null among elements": {"labels": [None]},
}


@pytest.mark.parametrize("parsed", [False, True])
@pytest.mark.parametrize("misfit", MISFITS.values(), ids=list(MISFITS))
def test_all_or_nothing(misfit: dict[str, Any], parsed: bool) -> None:
    """A value that needs a look refuses all rows it came with, and none that came before."""
    taught = Taught(ISSUES)
    assert taught.append(ISSUES, parsed=parsed)
    rows = [*ISSUES, {**ISSUES[3], **misfit}, *ISSUES]
    assert not taught.append(rows, parsed=True)
    assert not taught.append([{**ISSUES[0], "labels": [], **misfit}], parsed=True)
    assert taught.append(ISSUES, parsed=parsed)
    assert related(taught.taken(), "items") == related(taught.made, "items") * 2


@pytest.mark.parametrize(
    "row",
    [1, None, "a", [], [1], {1: 1}, {"id": float("nan")}, {"title": "\ud800"}, {"score": 1e999}],
    ids=repr,
)
def test_rows_that_are_not_for_it(row: Any) -> None:
    """Rows that are no objects, keys that are no texts, what JSON has no word for: refused."""
    taught = Taught(ISSUES)
    assert not taught.append([row], parsed=True)
    assert taught.builder.rows == 0


def test_two_keys_for_one_column() -> None:
    """Where names clash the order of keys decides, which is not for a builder."""
    assert not Taught([{"userId": 1, "user_id": 2}]).append([{"userId": 1}])


MICROSECONDS = st.integers(-(10**17), 3 * 10**17).map(
    lambda number: (
        datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=number)
        if -62 * 10**15 < number < 253 * 10**15
        else datetime(1970, 1, 1, tzinfo=UTC)
    )
)
OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59)


@given(moment=MICROSECONDS, minutes=OFFSETS, digits=st.integers(0, 6), zulu=st.booleans())
@EXAMPLES
def test_times(moment: datetime, minutes: int, digits: int, zulu: bool) -> None:
    """A time in the form of RFC 3339 becomes the instant that Python reads in it."""
    text = moment.replace(tzinfo=None).isoformat(timespec="microseconds")
    text = text[:19] if digits == 0 else text[: 20 + digits]
    sign = "-" if minutes < 0 else "+"
    text += "Z" if zulu else f"{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    taught = Taught([{"at": "2024-01-01T00:00:00Z"}])
    try:
        expected = datetime.fromisoformat(text).astimezone(UTC)
    except OverflowError:
        assert not taught.append([{"at": text}])
    else:
        assert taught.append([{"at": text}])
        assert taught.taken()["items"][0]["at"] == expected


@given(
    text=TIMES
    | st.from_regex(r"\A2[0-9]{3}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]\Z")
)
@EXAMPLES
def test_texts_beside_arrow(text: str) -> None:
    """Whatever text is taken for a time is that time for Arrow too."""
    taught = Taught([{"at": "2024-01-01T00:00:00Z"}])
    if taught.append([{"at": text}]):
        zone = text.endswith("Z") or "+" in text or text.count("-") == 3
        cast = pa.scalar(text if zone else text + "Z").cast(pa.timestamp("us", "UTC")).as_py()
        assert taught.taken()["items"][0]["at"] == cast


def test_columns_to_add() -> None:
    """Columns beside those of the rows stand where their rows stand, null elsewhere."""
    taught = Taught([{"id": 1, "parent": 1}])
    root = Taught([{"id": 1}], taught.dialect.schema)
    assert root.append([{"id": 1}])
    assert root.append([{"id": 2}, {"id": 3}], added={"parent": [7, None]}, parsed=True)
    assert root.append([{"id": 4}, {"id": 4}], added={"parent": 9})
    assert root.append([{"id": 5}])
    assert [row["parent"] for row in root.taken()["items"]] == [None, 7, None, 9, 9, None]
    assert not root.append([{"id": 6}], added={"parent": "x"})
    assert not root.append([{"id": 6}], added={"new": 1})
    assert root.builder.rows == 0


@pytest.mark.parametrize("parsed", [False, True])
def test_columns_to_add_that_rows_have(parsed: bool) -> None:
    """Rows with a value of their own where one is to be added are not for a builder."""
    taught = Taught([{"id": 1, "parent": 1}])
    assert taught.append([{"id": 6}], added={"parent": [3] if parsed else 3}, parsed=parsed)
    for own in (1, None):
        rows: Rows = [{"id": 6}, {"id": 6, "parent": own}]
        assert not taught.append(rows, added={"parent": [3, 3] if parsed else 3}, parsed=parsed)
    assert taught.append([{"id": 7, "parent": 1}], parsed=parsed)
    assert [row["parent"] for row in taught.taken()["items"]] == [3, 1]


@pytest.mark.parametrize("parsed", [False, True])
def test_what_single_rows_teach(parsed: bool) -> None:
    """Only the rows that bring something are learned from, each as often as it needs."""
    taught = Taught(ISSUES)
    assert taught.append(ISSUES, parsed=parsed)
    rows = [*ISSUES, {"id": 7, "new": 1}, {"id": 8, "labels": [{"new": [1]}]}, *ISSUES]
    asked: Rows = []

    def teach(some: Rows, added: Any) -> None:
        assert added == {}
        asked.extend(some)
        tables(taught.root, some, None, {})

    if parsed:
        assert taught.builder.append(rows, {}, teach)
    else:
        assert taught.builder.read(json.dumps(rows).encode(), (), {}, teach)
    assert asked == rows[4:6]
    assert taught.builder.rows == 14
    made = taught.taken()
    other = taught.named(tables(taught.root, [*ISSUES, *rows], None, {}))
    assert related(made, "items") == related(other, "items")
    assert list(made) == list(other)


@pytest.mark.parametrize("parsed", [False, True])
def test_what_rows_teach_after_pages_that_were_refused(parsed: bool) -> None:
    """One page that is taken after some that were not, and the next is learned from row by row."""
    taught = Taught(ISSUES)

    def takes(rows: Rows) -> bool:
        def teach(some: Rows, added: Any) -> None:
            tables(taught.root, some, None, added)

        if parsed:
            return taught.builder.append(rows, {}, teach)
        return taught.builder.read(json.dumps(rows).encode(), (), {}, teach)

    for turn in range(3):
        assert not any(takes([{"id": "a text"}]) for _ in range(3))
        assert takes(ISSUES)
        assert takes([{"id": 1}, {"id": 2, f"new_{turn}": 1}])


def test_rows_that_teach_nothing() -> None:
    """A row that is refused for what it is, not for what is new, is looked at once."""
    taught = Taught(ISSUES)
    assert taught.append(ISSUES)
    asked: list[Any] = []
    bodies = [b'[{"id": -0}]', b'[{"id": 1}, {"id": 1e999}, 1]', b'[{"new": 1}', b'[{"id": 1}, 2]']
    for body in bodies:
        taught.builder.read(b"[]", (), {})
        assert not taught.builder.read(body, (), {}, lambda rows, _: asked.append(rows))
    assert asked == [[{"id": 0}]]


@pytest.mark.parametrize("parsed", [False, True])
def test_new_keys_again_and_again(parsed: bool) -> None:
    """A feed that teaches something each time waits ever longer for a new program, not for ever."""
    taught = Taught([{"id": 1}])
    for number in range(12):
        rows = [{"id": number, f"key_{number}": 1}]
        assert not taught.append(rows, parsed=parsed)
        taught.learned(rows)
    tries = [taught.append([{"id": 1}], parsed=parsed) for _ in range(40)]
    assert not tries[0]
    assert tries[-1]
    assert tries == sorted(tries)


def test_bodies_refused_again_and_again() -> None:
    """Ever fewer bodies are tried while they are refused, all again once one is taken."""
    taught = Taught([{"id": 1}])

    def tried(rows: Rows, bodies: int) -> int:
        count = 0
        for _ in range(bodies):
            if taught.builder.may_read():
                count += 1
                taught.append(rows)
        return count

    assert tried([{"other": 1}], 1000) < 20
    assert tried([{"id": 2}], 1100) > 50
    assert tried([{"id": 2}], 100) == 100


SPEC: tuple[Any, ...] = (
    [("t", 0)],
    [(0, -1, -1, True), (-1, 0, -1, False)],
    [{"a": 0}],
    [1],
)


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (0, [("x", 0)]),
        (0, [("t", 1)]),
        (0, [("t", -1)]),
        (1, [(1, -1, -1, True), (-1, 0, -1, False)]),
        (1, [(0, 1, -1, True), (-1, 0, -1, False)]),
        (1, [(0, -1, 1, True), (-1, 0, -1, False)]),
        (1, [(0, -1, -2, True), (-1, 0, -1, False)]),
        (2, [{"a": 2}]),
        (2, [{"a": -1}]),
        (2, [{"a": "b"}]),
        (2, [{1: 0}]),
        (2, [[]]),
        (3, []),
        (3, [2]),
        (3, [-1]),
    ],
)
def test_numbers_out_of_bounds(place: int, wrong: list[Any]) -> None:
    """A program that refers to what is not there is refused, not run."""
    assert compiled.Builder(*SPEC).append([{"a": "x"}])
    with pytest.raises((ValueError, TypeError)):
        compiled.Builder(*SPEC[:place], wrong, *SPEC[place + 1 :])


WIDER: tuple[Any, ...] = (
    [("i", 0), ("t", 0)],
    [(0, -1, -1, True), (1, -1, -1, True), (-1, 0, -1, False)],
    [{"b": 0, "a": 1}],
    [2],
)


def test_heirs() -> None:
    """A builder that knows more goes on with the rows of another one, which is of no use then."""
    old, heir = compiled.Builder(*SPEC), compiled.Builder(*WIDER)
    assert old.append([{"a": "x"}, {}])
    heir.inherit(old, [-1, 0], [0])
    assert heir.append([{"b": 1, "a": "yz"}])
    assert heir.rows == 3
    columns, [(rows, _)] = heir.finish(pa.allocate_buffer)
    (nulls, bits, _, data), (_, valid, ends, text) = columns
    assert rows == 3
    assert nulls == 2
    assert pa.Array.from_buffers(pa.int64(), 3, [bits, data], 2).to_pylist() == [None, None, 1]
    made = pa.Array.from_buffers(pa.string(), 3, [valid, ends, text], 1)
    assert made.to_pylist() == ["x", None, "yz"]
    with pytest.raises(RuntimeError):
        old.append([{}])
    with pytest.raises(RuntimeError):
        compiled.Builder(*WIDER).inherit(old, [-1, 0], [0])


@pytest.mark.parametrize(
    ("columns", "tables"),
    [
        ([-1, 1], [0]),
        ([-2, 0], [0]),
        ([0, -1], [0]),
        ([-1, 0], [1]),
        ([-1, 0], [-1]),
        ([0], [0]),
        ([-1, 0], []),
        ([-1, "a"], [0]),
        ([-1, 2**40], [0]),
    ],
)
def test_wrong_heirs(columns: list[Any], tables: list[Any]) -> None:
    """Numbers of what is not there, or of another kind, are refused, and nothing moves."""
    old, heir = compiled.Builder(*SPEC), compiled.Builder(*WIDER)
    assert old.append([{"a": "x"}])
    with pytest.raises((ValueError, TypeError)):
        heir.inherit(old, columns, tables)
    with pytest.raises(ValueError, match="another builder"):
        old.inherit(old, [0], [0])
    assert (old.rows, heir.rows) == (1, 0)
    heir.inherit(old, [-1, 0], [0])
    assert heir.rows == 1


def test_what_it_is_given() -> None:
    """Rows must be a list, and memory for the arrays as large as was asked for."""
    made = compiled.Builder(*SPEC)
    assert made.append([{"a": "x"}])
    with pytest.raises(TypeError, match="list of rows"):
        made.append(({"a": "x"},))
    with pytest.raises(TypeError):
        made.read("[]", ())
    with pytest.raises(TypeError):
        made.read(b"{}", (1,))
    with pytest.raises(ValueError, match="size asked for"):
        made.finish(lambda size: bytearray(0))
