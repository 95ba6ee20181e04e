"""dlt: what binds the blocks to a dlt resource, cursors to its state and pages to its tables.

This package and `blocks.normalize.dialect` use parts of dlt that are not public; the tested
versions are pinned in `pyproject.toml`.
"""

from __future__ import annotations

from blocks.dlt.keys import known
from blocks.dlt.loading import Observer, counted, load
from blocks.dlt.state import cursor, intervals, partitions, raise_on_gaps

__all__ = [
    "Observer",
    "counted",
    "cursor",
    "intervals",
    "known",
    "load",
    "partitions",
    "raise_on_gaps",
]
