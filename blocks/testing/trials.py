"""Trials: what any source has to stand, tried with a replica of its API."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from blocks.testing import faults
from blocks.testing.calls import Call
from blocks.testing.server import Server

if TYPE_CHECKING:
    import dlt

__all__ = ["Trial", "pick"]

Rows: TypeAlias = Iterable[Mapping[str, Any]]


class Trial:
    """Puts sources on trial, in pipelines that `new_pipeline` makes and `rows` reads.

    It is what the fixture `trial` of `blocks.testing.fixtures` gives.
    """

    def __init__(
        self,
        new_pipeline: Callable[[], dlt.Pipeline],
        rows: Callable[[dlt.Pipeline, str], Rows],
    ) -> None:
        self._new_pipeline = new_pipeline
        self._rows = rows

    def __call__(
        self,
        server: Server,
        source: Callable[[], Any],
        expected: Callable[[], Mapping[str, Rows]],
        change: Callable[[], object],
        *,
        expire: Callable[[], object] | None = None,
    ) -> list[Call]:
        """The calls of a second run, if the source does all that it must; else `AssertionError`.

        `source` makes the source anew for each run, `expected` says which rows the tables must hold
        by then, in any order; only columns it names are compared (`pick` takes some). It must

        1. load all rows;
        2. after `change`, which changes records of the replica, load them in a second run;
        3. in a new pipeline, fail when pages turn into HTML halfway,
        4. and then load all rows, although halfway a body is cut off, the next request gets a 429
           and the one after it, where there is `expire`, comes with a token that has expired.
        """
        pipeline = self._new_pipeline()
        server.requests.clear()
        _load(pipeline, source)
        self._compare(pipeline, expected(), "the first run")
        halfway = len(server.requests) // 2 + 1
        change()
        server.requests.clear()
        _load(pipeline, source)
        self._compare(pipeline, expected(), "the run after the change")
        again = list(server.requests)
        pipeline = self._new_pipeline()
        server.fail(faults.html, at=halfway, times=10**9)
        try:
            _load(pipeline, source)
        except Exception:  # noqa: BLE001 - any error will do
            server.mend()
        else:
            raise AssertionError(f"expected an error, as request {halfway} was answered with HTML")
        # All on one request, so that they come to it however few there are; and not on one for a
        # token: an answer cut off may be the only one with the next refresh token.
        server.fail(faults.cut, at=halfway)
        server.fail(429, at=halfway + 1)
        if expire is not None:
            server.before(halfway + 2, expire)
        _load(pipeline, source)
        server.mend()
        self._compare(pipeline, expected(), "the run after a failed one, with faults")
        return again

    def _compare(self, pipeline: dlt.Pipeline, expected: Mapping[str, Rows], when: str) -> None:
        for table, wanted in expected.items():
            missing = [dict(row) for row in wanted]
            columns = dict.fromkeys(column for row in missing for column in row)
            found = pick(self._rows(pipeline, table), *columns)
            count = f"expected {len(missing)} rows in {table}, got {len(found)}"
            for row in list(found):
                if row in missing:
                    missing.remove(row)
                    found.remove(row)
            if missing or found:
                detail = f"missing {missing[:3]}, unexpected {found[:3]}"
                raise AssertionError(f"after {when}: {count}; {detail}")


def pick(rows: Rows, *columns: str) -> list[dict[str, Any]]:
    """Each of `rows` with these columns alone; `None` where one has no such.

    >>> pick([{"id": 1, "user": {"id": 2}}], "id", "name")
    [{'id': 1, 'name': None}]
    """
    return [{column: row.get(column) for column in columns} for row in rows]


def _load(pipeline: dlt.Pipeline, source: Callable[[], Any]) -> None:
    pipeline.run(source(), loader_file_format="parquet")
