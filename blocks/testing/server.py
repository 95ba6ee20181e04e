"""Serving: a replica at an address, what it was asked, and what is to go wrong.

Calls are acted upon one at a time, so that routes, guards and hooks need no locks; the answers
are sent side by side.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Generic, TypeVar

from blocks.testing.api import Api
from blocks.testing.calls import Answer, Call, Refused
from blocks.testing.faults import Fault
from blocks.testing.wire import Listener

__all__ = ["Server", "serving"]

_T = TypeVar("_T")


@contextmanager
def serving(api: Api) -> Iterator[Server]:
    """`api` on a free port of loopback, while the block runs.

    An error of a route or guard answers 501, which is not worth asking again, and is raised at the
    end of the block; beside an error of the block it is a note. Refusals are logged as warnings,
    which pytest shows of tests that fail.

    >>> import httpx
    >>> api = Api()
    >>> @api.get("/items")
    ... def items(call):
    ...     return [{"id": 1}]
    >>> with serving(api) as server:
    ...     httpx.get(f"{server.url}/items").json()
    ...     server.requests
    [{'id': 1}]
    [<GET /items -> 200>]
    """
    server = Server(api)
    listener = Listener(server.answer)
    server.url = listener.url
    try:
        yield server
    except BaseException as error:
        for mistake in server.mistakes:
            error.add_note(f"The replica raised {mistake!r}")
        raise
    finally:
        listener.close()
    if server.mistakes:
        raise server.mistakes[0]


class Server:
    """A replica that is served: its `url`, and in `requests` all calls so far.

    Paths are compared as they were sent, with wildcards: "/repos/*". Clear `requests` between runs
    to see those of one. `mistakes` are errors of routes, guards and hooks.
    """

    def __init__(self, api: Api) -> None:
        self.url = ""
        self.requests: list[Call] = []
        self.mistakes: list[Exception] = []
        self._api = api
        self._lock = threading.Lock()
        self._hooks: list[_Turn[Callable[[], object]]] = []
        self._faults: list[_Turn[Fault]] = []

    def __repr__(self) -> str:
        return f"<Server at {self.url}, {len(self.requests)} requests>"

    def count(self, path: str = "*", *, status: int | None = None) -> int:
        """How many requests for `path` came, of those answered with `status` if given."""
        return sum(
            fnmatchcase(call.path, path) and status in {None, call.status} for call in self.requests
        )

    @property
    def statuses(self) -> Counter[int]:
        """How often each status was answered; 0 for calls that are not yet."""
        return Counter(call.status for call in self.requests)

    def before(self, number: int, do: Callable[[], object], *, path: str = "*") -> None:
        """Call `do` before request `number` from now (1 is the next), of those for `path`.

        To change records while they are read, or to let tokens expire.
        """
        with self._lock:
            self._hooks.append(_Turn(do, path, number, number))

    def fail(self, fault: int | Fault, *, at: int = 1, times: int = 1, path: str = "*") -> None:
        """Let the next request fail, or request `at` from now, and those after it, `times` in all.

        `fault` is one of `blocks.testing.faults`, or a status in the words of the API; 429 then
        says `Retry-After: 0`. Of several faults due together the one set first counts.
        """
        made = self._status(fault) if isinstance(fault, int) else fault
        with self._lock:
            self._faults.append(_Turn(made, path, at, at + times - 1))

    def mend(self) -> None:
        """Let nothing more of `fail` and `before` come."""
        with self._lock:
            self._hooks.clear()
            self._faults.clear()

    def answer(self, call: Call) -> Answer:
        """What `call` gets."""
        with self._lock:
            self.requests.append(call)
            try:
                for do in _due(self._hooks, call):
                    do()
                faults = _due(self._faults, call)
                act = partial(self._api.handle, call)
                answer = faults[0](act) if faults else act()
                answer.encoded()  # what is no JSON is a mistake, too
            except Exception as mistake:  # noqa: BLE001 - raised where the test sees it
                self.mistakes.append(mistake)
                answer = Answer({"error": f"the replica raised {mistake!r}"}, 501)
            call.status = answer.status
        return answer

    def _status(self, status: int) -> Fault:
        headers = {"Retry-After": "0"} if status == 429 else {}
        refused = Refused(status, "a fault", headers)
        return lambda _: self._api.refuse(refused)


@dataclass(slots=True)
class _Turn(Generic[_T]):
    """What is due from call `first` to call `last` for paths like `path`."""

    what: _T
    path: str
    first: int
    last: int
    calls: int = 0

    def due(self, call: Call) -> bool:
        """Whether it is at `call`, which is counted."""
        fits = fnmatchcase(call.path, self.path)
        self.calls += fits
        return fits and self.first <= self.calls <= self.last


def _due(turns: list[_Turn[_T]], call: Call) -> list[_T]:
    return [turn.what for turn in turns if turn.due(call)]
