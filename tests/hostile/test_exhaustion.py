"""What is to use up memory, stack or time is an error within bounds."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import pytest

from blocks.errors import NormalizeError
from blocks.formats import ndjson
from blocks.json import check_depth
from blocks.normalize import Normalizer
from tests.hostile.bombs import bombs, depth
from tests.hostile.exhaustion import cuts, numbers, waits
from tests.hostile.table import Line
from tests.oracle import actual, schemas, with_level

KEYS = 10**6 if os.environ.get("BLOCKS_THOROUGH") else 10**5


@pytest.mark.parametrize("run", [bombs, depth, cuts, lambda: numbers(KEYS), waits])
def test_nothing_is_used_up(run: Callable[[], Line]) -> None:
    """Bombs, depth, cut bodies, numbers and waits that nobody can mean."""
    line = run()
    assert line.leaks == []
    assert line.cells > 5


def test_a_line_is_bounded() -> None:
    """One of 32 MiB is read; one that does not end is not held."""
    piece = b"0" * 2**20
    assert [len(page) for page in ndjson([piece] * 32)] == [2**25 + 2]
    with pytest.raises(NormalizeError, match="33554432 bytes"):
        list(ndjson([b"1\n", *[piece] * 33]))
    # What counts is the line, not the chunk that it ends in.
    assert len([*ndjson([piece, b"\n"] * 40)]) == 40


def test_keys_that_are_data_are_no_columns() -> None:
    """Ten thousand are many columns; of more the error names the table."""
    Normalizer("wide")(b"{" + b",".join(b'"k%d":1' % key for key in range(9000)) + b"}")
    normalizer = Normalizer("wide")
    first, second = (
        ",".join(f'"k{key}":1' for key in range(start, start + 9000)) for start in (0, 9000)
    )
    normalizer(f"{{{first}}}".encode())
    with pytest.raises(NormalizeError, match="expected at most 10000 columns of table wide"):
        normalizer(f"{{{second}}}".encode())


def test_lists_in_lists_are_not_tables_without_end() -> None:
    """Two hundred below each other are many; a kilobyte that asks for more is refused at once."""
    assert len(Normalizer("deep")(b"[" * 201 + b"1" + b"]" * 201)) == 201
    for body in (b"[" * 202 + b"1" + b"]" * 202, b'{"a": [' * 400 + b"]}" * 400):
        with pytest.raises(NormalizeError, match="page 1: expected at most 200 tables below"):
            Normalizer("deep")(body)
    schema = schemas(with_level(3))()
    assert len(actual(schema, "items", [b"[" * 400 + b"1" + b"]" * 400])) == 3


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the stack of C has a limit of its own")
def test_depth_is_looked_at_where_the_interpreter_does_not() -> None:
    """Once its limit was raised; brackets in texts are none."""
    before = sys.getrecursionlimit()
    check_depth(b"[" * 4000)
    sys.setrecursionlimit(5000)
    try:
        check_depth(b"[" * 3000)
        check_depth(b"[[]]" * 4000)
        check_depth(b'["%s", "\\""]' % (b"[" * 4000))
        with pytest.raises(RecursionError, match="more than 3000 deep"):
            check_depth(b'{"a":[' * 1501)
    finally:
        sys.setrecursionlimit(before)
