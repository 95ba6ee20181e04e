"""Secrets are in nothing that a failed run leaves behind."""

from __future__ import annotations

import os
from pathlib import Path

from tests.hostile.canaries import errors, runs, shown
from tests.hostile.origins import KINDS
from tests.test_leaks import SECRET, found

FEW = ["query", "refresh", "login-cookie"]


def test_errors_and_logs_show_nothing() -> None:
    """Each kind of credential, each fault: also where variables of all frames are shown."""
    line = errors()
    assert line.leaks == []
    assert line.cells > 1500


def test_runs_of_dlt_show_nothing(tmp_path: Path) -> None:
    """Trace, state, tables of dlt's own and all files, of runs that failed and of a good one."""
    line = runs(tmp_path, [*KINDS] if os.environ.get("BLOCKS_THOROUGH") else FEW)
    assert line.leaks == []
    assert line.cells > 100


def test_the_search_sees_what_is_shown() -> None:
    """Else all the rest here means nothing."""
    sinks = shown(ValueError(SECRET))
    assert all(found(sinks[sink]) for sink in ("text", "traceback"))
