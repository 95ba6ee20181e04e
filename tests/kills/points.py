"""Points: where in dlt a process can kill itself, in the order in which a run comes to them.

E, N and L are extract, normalize and load; dlt has committed a step, or not yet, around each.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from dlt.common.destination.client import RunnableLoadJob
from dlt.common.storages.load_package import PackageStorage
from dlt.common.storages.load_storage import LoadStorage
from dlt.destinations.job_client_impl import SqlJobClientBase
from dlt.extract.extract import Extract
from dlt.extract.extractors import ArrowExtractor
from dlt.load.load import Load
from dlt.normalize.items_normalizers import ArrowItemsNormalizer
from dlt.normalize.normalize import Normalize
from dlt.pipeline.pipeline import Pipeline

__all__ = ["POINTS", "Point", "arm"]


@dataclass(frozen=True, slots=True)
class Point:
    """A call of `name` of the class `owner`: just before it, or just after."""

    owner: type
    name: str
    after: bool
    about: str


POINTS = {
    "E1": Point(ArrowExtractor, "write_items", False, "a table of the resource is to be written"),
    "E2": Point(Extract, "commit_packages", False, "all is extracted, nothing committed"),
    "E3": Point(Extract, "commit_packages", True, "the package is there, state.json is old"),
    "E4": Point(Pipeline, "extract", True, "state.json is written"),
    "N0": Point(Pipeline, "normalize", False, "nothing is normalized"),
    "N1": Point(ArrowItemsNormalizer, "__call__", False, "a file is to be normalized"),
    "N2": Point(LoadStorage, "commit_new_load_package", False, "all is normalized"),
    "N3": Point(LoadStorage, "commit_new_load_package", True, "both packages are there"),
    "N4": Point(Normalize, "spool_files", True, "the extracted package is gone"),
    "L0": Point(Load, "load_single_package", False, "nothing is loaded"),
    "L1": Point(RunnableLoadJob, "run_managed", False, "a job is started"),
    "L2": Point(PackageStorage, "save_pending_transition", False, "the database has committed it"),
    "L3": Point(PackageStorage, "save_pending_transition", True, "dlt knows that it has"),
    "L4b": Point(Load, "create_followup_jobs", True, "the jobs that follow it are there"),
    "L4": Point(PackageStorage, "complete_job", True, "it is among the completed ones"),
    "L5": Point(SqlJobClientBase, "complete_load", False, "all jobs are done"),
    "L6": Point(SqlJobClientBase, "complete_load", True, "the load is in _dlt_loads"),
    "L7": Point(PackageStorage, "complete_loading_package", True, "the package says so, too"),
    "L8": Point(LoadStorage, "complete_load_package", True, "the package is put away"),
}


def arm(name: str, nth: int) -> None:
    """Let this process kill itself when it comes to the point `name` for the `nth` time."""
    point = POINTS[name]
    original: Callable[..., Any] = getattr(point.owner, point.name)
    times = itertools.count(1)

    def strike() -> None:
        if next(times) == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    @wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not point.after:
            strike()
        result = original(*args, **kwargs)
        if point.after:
            strike()
        return result

    setattr(point.owner, point.name, call)
