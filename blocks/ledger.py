"""Ledger: which jobs are under way at an API, for the run that comes after a kill.

What dlt keeps of a run that failed is nothing, its state included, so that a job has to be noted
elsewhere: in any mapping that outlives the process, such as a `StateFile` in the pipeline's folder.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import TracebackType
from typing import Any, Self

import httpx

from blocks.errors import ConfigError, JobError, where

__all__ = ["Ledger", "StateFile", "fingerprint"]

logger = logging.getLogger(__name__)


class Ledger:
    """The jobs that a `with` block has begun and not yet come to the end of, kept in `state`.

    A block that ends well is done with its jobs and forgets them. One that is left by an error or
    an early exit, or dies with its process, leaves them: the next one that asks for the very same
    job within `keep` seconds has it, instead of another. What it then reads is as old as the job.

    `state` holds ids and times, plain values, under keys of its own; never a request. Give each
    account its own, where the requests of several are alike.

    >>> kept = {}
    >>> try:
    ...     with Ledger(kept) as ledger:
    ...         ledger.add("orders of may", 7)
    ...         raise ConnectionError
    ... except ConnectionError:
    ...     with Ledger(kept) as ledger:
    ...         print(ledger.find("orders of may"))
    7
    >>> kept
    {}
    """

    def __init__(
        self,
        state: MutableMapping[str, Any],
        *,
        keep: float = 86400.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not keep > 0:
            raise ConfigError(f"a ledger keeps jobs for more than 0 seconds, got {keep!r}")
        self._state = state
        self._keep = keep
        self._clock = clock
        self._mine: set[str] | None = None

    def __repr__(self) -> str:
        return f"Ledger(keep={self._keep})"

    def __enter__(self) -> Self:
        if self._mine is not None:
            raise ConfigError("this ledger is in use: make one for each block")
        self._mine = set()
        for key in [key for key in self._state if self._is_old(key)]:
            logger.info("job begun more than %g s ago, forgotten", self._keep)
            del self._state[key]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        mine, self._mine = self._jobs(), None
        if kind is None:
            for key in mine:
                self._state.pop(key, None)

    def find(self, job: str) -> str | int | None:
        """The id of `job` (any text that tells it from others), if one is under way."""
        key = _KEY + job
        mine = self._jobs()
        if key not in self._state or self._is_old(key):
            return None
        mine.add(key)
        found: str | int = self._state[key]["id"]
        return found

    def add(self, job: str, job_id: str | int) -> None:
        """Note that `job` is under way.

        Raises `JobError` for an id with a query or a user in it: a URL with those may be a
        credential.
        """
        if isinstance(job_id, str) and ("?" in job_id or ("://" in job_id and "@" in job_id)):
            raise JobError("expected a job's id that may be kept, got a URL with a query or a user")
        self._jobs().add(_KEY + job)
        self._state[_KEY + job] = {"id": job_id, "begun": self._clock()}

    def drop(self, job: str) -> None:
        """Forget `job`."""
        self._jobs().discard(_KEY + job)
        self._state.pop(_KEY + job, None)

    def _jobs(self) -> set[str]:
        if self._mine is None:
            # Outside of a block nobody would ever forget a job: the next run would read it again.
            raise ConfigError("a ledger is used in a `with` block, around all that reads the jobs")
        return self._mine

    def _is_old(self, key: str) -> bool:
        return key.startswith(_KEY) and self._clock() - self._state[key]["begun"] > self._keep


_KEY = "job "
# Jobs are noted in the network thread and forgotten in the consumer's.
_lock = threading.Lock()


class StateFile(MutableMapping[str, Any]):
    """A mapping of JSON values in the file at `path`, read and written anew at each use.

    A change is there for whoever comes after, also after a kill or a power cut: the file is
    replaced as a whole, once it is on disk. Its owner alone may read it, so that it is a place for
    a refresh token, too. For one process at a time.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     StateFile(Path(folder, "jobs.json"))["a"] = 1
    ...     dict(StateFile(Path(folder, "jobs.json")))
    {'a': 1}
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def __repr__(self) -> str:
        return f"StateFile({str(self._path)!r})"

    def __getitem__(self, key: str) -> Any:
        return self._read()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        with _lock:
            self._write({**self._read(), key: value})

    def __delitem__(self, key: str) -> None:
        with _lock:
            found = self._read()
            del found[key]
            self._write(found)

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise ConfigError(f"expected JSON in {self._path}, got: {error}") from error
        if not isinstance(found, dict):
            raise ConfigError(f"expected a JSON object in {self._path}, got {type(found).__name__}")
        return found

    def _write(self, content: dict[str, Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Beside it, as only a rename within one file system leaves either the old or the new.
        with NamedTemporaryFile("w", dir=self._path.parent, suffix=".new", delete=False) as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(self._path)


def fingerprint(request: httpx.Request) -> str:
    """Text that is the same for requests of equal method, URL and body, and tells none of them.

    Take it before the request is sent: an auth flow may add its key to the URL.

    >>> jobs = [httpx.Request("POST", "https://api/jobs", json={"day": day}) for day in (1, 1, 2)]
    >>> len(set(map(fingerprint, jobs)))
    2
    """
    try:
        parts = [request.method.encode(), str(request.url).encode(), request.content]
    except httpx.RequestNotRead:
        message = f"expected a request with a body that was read, got a stream: {where(request)}"
        raise ConfigError(message) from None
    return sha256(b"\n".join(parts)).hexdigest()
