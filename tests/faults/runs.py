"""Runs: one case driven to its end, and the verdict.

"A": every record is there exactly once. "B": a clear error of a known type, state and destination
as they were, and the next run, without faults, gives A. Anything else has failed.
"""

from __future__ import annotations

import copy
import io
import json
import logging
import pickle
import tempfile
import time
import traceback
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote, quote_plus

import httpx

from blocks import events
from blocks.errors import BlocksError
from tests.faults.cases import CANARY, ECHO, Case
from tests.faults.drivers import Child, Dlt, Driver, Outcome, Thread, Virtual, name_of
from tests.faults.kinds import KINDS
from tests.faults.world import Difference, Row, different

__all__ = ["Result", "trial"]


@dataclass
class Result:
    """What came of one run."""

    kind: int
    seed: int
    verdict: str  # "A", "B", "failed"
    why: str = ""
    what: str = ""
    way: str = ""
    error: str = ""
    requests: int = 0
    seconds: float = 0.0
    lost: int = 0
    doubled: int = 0
    leaked: int = 0

    def __str__(self) -> str:
        again = f"python -m tests.faults --kind {self.kind} --seed {self.seed}"
        return f"{again}: {self.verdict}: {self.why or self.error} ({self.way}; {self.what})"


def trial(kind: int, seed: int, *, peer: bool = False) -> Result | None:
    """Run seed `seed` of kind `kind`; with `peer` by dlt's `rest_api`, `None` if it cannot be."""
    rng = Random(f"{kind}/{seed}")
    case = KINDS[kind](rng)
    drive = _drive(case, kind, seed)
    if peer:
        from tests.faults.peer import Peer

        drive = Peer
        if not Peer.able(case):
            return None
    began = time.monotonic()
    with _watched() as shown, tempfile.TemporaryDirectory() as folder, case.around():
        judge = _Judge(case, drive(case, Path(folder), (kind, seed)))
        why = judge.hear()
        for outcome in judge.outcomes:
            _show(outcome, shown)
    leaks, what = _leaks(shown.getvalue())
    why = why or what
    faulty = judge.faulty or judge.outcomes[-1]
    return Result(
        kind,
        seed,
        "failed" if why else judge.verdict,
        why,
        f"{case.world}; {case.what}",
        drive.__name__.lower(),
        name_of(faulty.error),
        faulty.api.requests,
        time.monotonic() - began,
        judge.difference.lost,
        judge.difference.doubled,
        leaks,
    )


def _leaks(text: str) -> tuple[int, str]:
    leaks = [form for secret in (CANARY, ECHO) for form in _forms(secret) if form in text]
    if leaks:
        line = next(line for line in text.splitlines() if leaks[0] in line)
        return len(leaks), f"a secret was shown: {line[:300]}"
    _, found, complaint = text.partition("asyncio ERROR")
    return 0, f"asyncio complained: {complaint[:300]}" if found else ""


def _drive(case: Case, kind: int, seed: int) -> type[Driver]:
    if case.limited:
        return Child
    if case.interrupt:
        return Thread
    if case.virtual or case.read:
        return Virtual
    # Real time and dlt take as long as ten other runs.
    return {0: Dlt, 1: Thread, 9: Thread}.get((seed + kind) % 16, Virtual)


class _Judge:
    """One case: a run before, if it is warm, the run with faults, and one after that failed."""

    def __init__(self, case: Case, driver: Driver) -> None:
        self.case = case
        self.driver = driver
        self.verdict = ""
        self.difference = Difference(0, 0, 0)
        self.outcomes: list[Outcome] = []
        self.faulty: Outcome | None = None

    def hear(self) -> str:
        """What is wrong; nothing, and there is a verdict."""
        world = self.case.world
        if self.case.warm:
            everything = world.records
            world.records = {key: everything[key] for key in [*everything][: len(everything) // 2]}
            if wrong := self._clean("the run before"):
                return wrong
            world.records = everything
        before = copy.deepcopy((self.driver.state, sorted(self.driver.rows())))
        outcome = self.faulty = self._run(clean=False)
        self.verdict = "B" if outcome.error else "A"
        wrong = self._discipline(outcome) or self._accept(outcome, before)
        if wrong or not self.driver.strict:
            return wrong
        if self.verdict not in self.case.expected:
            return f"expected {self.case.expected}, got {self.verdict}: {_said(outcome)}"
        return self.case.check(outcome.api) if self.case.check else ""

    def _accept(self, outcome: Outcome, before: tuple[Any, list[Row]]) -> str:
        if outcome.error is None:
            return self._compare("the run")
        if not (self.driver.typed(outcome.error) or isinstance(outcome.error, self.case.errors)):
            return f"an error of no known type: {_said(outcome)}"
        if not self._unmoved(before):
            return "state or rows moved in a run that failed"
        return self._clean("the run after")

    def _unmoved(self, before: tuple[Any, list[Row]]) -> bool:
        # A load that was begun has its state with it: the next run brings both to their end.
        if self.driver.pending:
            return True
        return bool((self.driver.state, sorted(self.driver.rows())) == before)

    def _run(self, *, clean: bool) -> Outcome:
        self.case.faulty = not clean
        if self.case.begin:
            self.case.begin()
        outcome = self.driver.run(clean=clean)
        self.outcomes.append(outcome)
        return outcome

    def _clean(self, which: str) -> str:
        outcome = self._run(clean=True)
        if outcome.error is not None or outcome.stuck:
            return f"{which} failed: {_said(outcome)} {outcome.stuck}"
        return self._compare(which)

    def _compare(self, which: str) -> str:
        case, found = self.case, self.driver.rows()
        truth = case.world.truth()
        late = {key: truth.pop(key) for key in case.optional & truth.keys()}
        self.difference = different(found, truth, case.allowed | late)
        return f"{which}: {self.difference}" if self.difference else ""

    def _discipline(self, outcome: Outcome) -> str:
        api, budget = outcome.api, self.case.budget
        if outcome.stuck:
            return outcome.stuck
        if api.requests > (budget if self.driver.strict else api.endless):
            return f"{api.requests} requests, more than {budget}: {_said(outcome)}"
        if api.early:
            return f"{api.early} requests before the time told"
        if api.foreign:
            return f"another origin was sent {len(api.foreign)} requests"
        return ""


def _said(outcome: Outcome) -> str:
    return f"{name_of(outcome.error)}: {outcome.error}"


@contextmanager
def _watched() -> Iterator[io.StringIO]:
    """All that is logged and published meanwhile."""
    shown = io.StringIO()
    handler = logging.StreamHandler(shown)
    handler.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    stop = events.listen(lambda event: print(repr(event), file=shown))
    try:
        yield shown
    finally:
        stop()
        root.removeHandler(handler)
        root.setLevel(level)


def _show(outcome: Outcome, shown: io.StringIO) -> None:
    print(json.dumps(outcome.state, default=str), file=shown)
    if (error := outcome.error) is None:
        return
    print(str(error), repr(error), error.args, file=shown)
    shown.writelines(traceback.format_exception(error))
    if isinstance(error, BlocksError):
        again = pickle.loads(pickle.dumps(error))  # with the body, which is the API's to answer for
        response = again.response or httpx.Response(200)
        print(again, response.headers.raw, response.extensions, file=shown)
        print(getattr(response, "_request", None) and response.request.__dict__, file=shown)


def _forms(secret: str) -> Iterator[str]:
    """How a secret may look: plain, backwards, as in URLs, in hex, in base64 at any offset."""
    raw = secret.encode()
    yield from (secret, secret[::-1], quote(secret, safe=""), quote_plus(secret), raw.hex())
    for offset in range(3):
        encoded = b64encode(b"\0" * offset + raw).decode()
        yield encoded[4 if offset else 0 : len(encoded) // 4 * 4 - 4]
