"""The other side: an API in a time of its own, whose rows come, change and go while it is read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Literal, TypeAlias
from zoneinfo import ZoneInfo

from blocks.testing import Api, Call, Refused, unwrap, wrap

__all__ = ["BEGIN", "CAP", "FRESH", "START", "WRITINGS", "Row", "World", "Writing"]

Row: TypeAlias = dict[str, Any]
Changes: TypeAlias = Literal["never", "moving", "staying"]

START = datetime(2024, 10, 26, tzinfo=UTC)
"""Where sources begin. In Berlin, clocks go back in the night after."""
BEGIN = START + timedelta(hours=23)

CAP = 30
"""Rows of a window, at most, where the API has such a cap."""
FRESH = timedelta(hours=3)
"""How long rows change that keep their time."""

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")


@dataclass(frozen=True, slots=True)
class Writing:
    """How times are written, and what the API makes of a parameter, to compare it.

    It has nothing of `blocks.kinds`, which is on trial.
    """

    write: Callable[[datetime], str | int]
    order: Callable[[str], Any]


def _seconds(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


WRITINGS = {
    "seconds": Writing(_seconds, datetime.fromisoformat),
    "minutes": Writing(lambda time: f"{time:%Y-%m-%dT%H:%M:00Z}", datetime.fromisoformat),
    "micros": Writing(datetime.isoformat, datetime.fromisoformat),
    "berlin": Writing(lambda time: f"{time.astimezone(BERLIN):%Y-%m-%d %H:%M}", str),
    "days": Writing(lambda time: f"{time.astimezone(NEW_YORK):%Y-%m-%d}", str),
    "epoch": Writing(lambda time: int(time.timestamp()), int),
}


class World:
    """Rows of parents, listed by the time they bear, "changed", and by id.

    A row appears up to `late` after that time. `changes` says whether rows change, and whether they
    bear the time of it then; `history` has every version of each. Pages begin after the last row of
    the page before, so they hold while rows move. A request takes three seconds.
    """

    def __init__(
        self, writing: Writing, changes: Changes, *, late: timedelta, newest: bool, size: int
    ) -> None:
        self.now = BEGIN
        self.writing = writing
        self.rows: dict[int, Row] = {}
        self.history: list[Row] = []
        self.gone: list[int] = []
        self.parents = [1]
        self.suspended: set[int] = set()
        self.broken: dict[Any, int] = {}
        self.cap: int | None = None
        self._changes = changes
        self._late = late
        self._newest = newest
        self._size = size
        self._coming: list[tuple[datetime, Row]] = []
        self._times: dict[int, datetime] = {}
        self._versions: dict[int, int] = {}
        # A run that failed or was killed may have left a request behind.
        self.lock = threading.RLock()

    # What happens to rows.

    def happen(self, random: Random, *ways: str) -> None:
        """One of the ways in which rows, or parents, come, change and go."""
        way = random.choice(ways)
        with self.lock:
            if way in {"found", "suspend", "interrupt"}:
                getattr(self, way)(random)
            else:
                getattr(self, way)(random, random.randint(1, 4))

    def pass_by(self, time: timedelta) -> None:
        """Let time go by, and what is due appear."""
        self.now += time
        due = [each for each in self._coming if each[0] <= self.now]
        self._coming = [each for each in self._coming if each[0] > self.now]
        for _, row in due:
            there = self.rows.get(row["id"])
            if there is None or there["version"] < row["version"]:
                self.rows[row["id"]] = row

    def begin(self, random: Random, count: int) -> None:
        """The history of the first parent."""
        for _ in range(count):
            self.insert(random, 1, 1, random.random() * (self.now - START))

    def insert(
        self, random: Random, count: int, parent: int | None = None, age: timedelta | None = None
    ) -> None:
        """New rows that share a time, of one parent or of any; with an `age` they are there."""
        for _ in range(count):
            number = len(self._versions) + 1
            owner = parent or random.choice(self.parents)
            self._put(random, number, owner, self.now - (age or timedelta()), late=age is None)

    def update(self, random: Random, count: int) -> None:
        """Change rows, if they do change."""
        for row in self._some(random, count):
            time = self.now if self._changes == "moving" else self._times[row["id"]]
            if self._changes == "moving" or self.now - time <= FRESH:
                self._put(random, row["id"], row["parent"], time, deleted=row["deleted"])

    def flag(self, random: Random, count: int) -> None:
        """Mark rows as deleted, or no longer."""
        for row in self._some(random, count):
            self._put(random, row["id"], row["parent"], self.now, deleted=not row["deleted"])

    def delete(self, random: Random, count: int) -> None:
        """Delete rows for good; one always stays."""
        for row in self._some(random, count):
            if len(self.rows) > 1:
                del self.rows[row["id"]]
                self._coming = [each for each in self._coming if each[1]["id"] != row["id"]]
                self.gone.append(row["id"])

    def found(self, random: Random) -> None:
        """A new parent, with rows older than those of others that were read already."""
        self.parents.append(len(self.parents) + 1)
        for _ in range(random.randint(0, 3)):
            age = timedelta(hours=random.choice([0, 3, 10]))
            self.insert(random, random.randint(1, 3), self.parents[-1], age)

    def suspend(self, random: Random) -> None:
        """Answer for some parents that they are not there."""
        self.suspended = set(random.sample(self.parents, random.randint(0, len(self.parents))))

    def interrupt(self, random: Random) -> None:
        """Let windows fail that have some times in them."""
        rows = random.sample([*self.rows.values()], random.randint(1, min(3, len(self.rows))))
        self.broken = {row["changed"]: random.choice([500, 503, 404, 403]) for row in rows}

    def heal(self) -> None:
        """End suspensions and interruptions."""
        self.suspended, self.broken = set(), {}

    def _some(self, random: Random, count: int) -> list[Row]:
        rows = [*self.rows.values()] if self._changes != "never" else []
        return random.sample(rows, min(count, len(rows)))

    def _put(
        self,
        random: Random,
        number: int,
        parent: int,
        time: datetime,
        *,
        late: bool = True,
        deleted: bool = False,
    ) -> None:
        version = self._versions[number] = self._versions.get(number, 0) + 1
        self._times[number] = time
        tags = [{"n": version * 10 + each} for each in range((number + version) % 3)]
        row = {"id": number, "parent": parent, "version": version, "tags": tags}
        row |= {"changed": self.writing.write(time), "deleted": deleted}
        wait = random.choice([0.0, random.random()]) * self._late if late else timedelta()
        self._coming.append((self.now + wait, row))
        self.history.append(row)
        self.pass_by(timedelta())

    # What is asked.

    def key(self, row: Row) -> Any:
        """What rows are compared by."""
        return self.writing.order(str(row["changed"]))

    def listed(self, query: Mapping[str, str], parent: int | None = None) -> dict[str, Any]:
        """A page of the rows in the bounds."""
        test = self._bounds(query)
        for broken, status in self.broken.items():
            if test(self.writing.order(str(broken))):
                raise Refused(status, "a fault")
        rows = [row for row in self.rows.values() if parent in {None, row["parent"]}]
        found = [row for row in rows if test(self.key(row))]
        ordered = sorted(found, key=self._place, reverse=self._newest)
        page = self._page(ordered, query, lambda row: [str(row["changed"]), row["id"]])
        return {**page, "total": len(found)}

    def api(self) -> Api:
        """The API of it."""
        api = Api()
        bounds = "since after until through cursor"

        def route(place: str, query: str, answer: Callable[[Call], Any]) -> None:
            def handler(call: Call) -> Any:
                with self.lock:
                    self.pass_by(timedelta(seconds=3))
                    return answer(call)

            api.get(place, query=query)(handler)

        def children(call: Call) -> Any:
            parent = int(call.params["parent"])
            if parent in self.suspended:
                raise Refused(404, "suspended")
            return self.listed(call.query, parent)

        def ids(numbers: Iterable[int], call: Call) -> Any:
            rows = [{"id": number} for number in sorted(numbers)]
            return self._page(rows, call.query, lambda row: row["id"])

        route("/rows", bounds, lambda call: self.listed(call.query))
        route("/parents/{parent}/rows", bounds, children)
        route("/parents", "cursor", lambda call: ids(self.parents, call))
        route("/deleted", "cursor", lambda call: ids(self.gone, call))
        route("/ids", "cursor", lambda call: ids(self.rows, call))
        return api

    def versions(self) -> Iterator[Row]:
        """The rows that are there and live."""
        return (row for row in self.rows.values() if not row["deleted"])

    def _bounds(self, query: Mapping[str, str]) -> Callable[[Any], bool]:
        order = self.writing.order
        tests: dict[str, Callable[[Any, Any], bool]] = {
            "since": lambda key, bound: key >= bound,
            "after": lambda key, bound: key > bound,
            "until": lambda key, bound: key < bound,
            "through": lambda key, bound: key <= bound,
        }
        asked = [(tests[name], order(query[name])) for name in tests if name in query]
        return lambda key: all(test(key, bound) for test, bound in asked)

    def _place(self, row: Row) -> tuple[Any, int]:
        return self.key(row), row["id"]

    def _page(
        self, rows: list[Row], query: Mapping[str, str], mark: Callable[[Row], Any]
    ) -> dict[str, Any]:
        last = unwrap(query.get("cursor"))
        if last is not None:
            rows = [row for row in rows if self._follows(mark(row), last)]
        page = rows[: self._size]
        body = {"rows": page}
        return body if len(page) < self._size else {**body, "next": wrap(mark(page[-1]))}

    def _follows(self, mark: Any, last: Any) -> bool:
        if not isinstance(mark, list):
            return bool(mark > last)
        order = self.writing.order
        ours, theirs = (order(mark[0]), mark[1]), (order(last[0]), last[1])
        return ours < theirs if self._newest else ours > theirs
