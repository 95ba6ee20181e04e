"""Fast: the tables of a dlt resource that exists already, made by our normalizer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import wraps
from typing import Any, TypeVar

import dlt
from dlt.extract import DltResource, DltSource
from dlt.extract.items import TableNameMeta
from dlt.extract.items_transform import ItemTransform
from dlt.extract.pipe import ForkPipe

from blocks.dlt import load

__all__ = ["fast"]

Source = TypeVar("Source", bound=DltSource | DltResource)


def fast(source: Source) -> Source:
    """Let the normalizer of blocks make the tables of a dlt resource, or of all of a source.

    One line for sources that exist, `rest_api` ones included: `pipeline.run(fast(source))`. The
    tables, hints and incrementals are the same; rows are put together a thousand at a time and
    go to Arrow after all other steps of the resource. Left to dlt are items that are not dicts
    or lists of dicts, tables with hints that depend on the row, and rows that also feed a
    transformer. Changes `source` and returns it.
    """
    resources = [source] if isinstance(source, DltResource) else source.resources.values()
    for resource in resources:
        pipe = resource._pipe
        if pipe.find(_ToArrow) < 0:
            if not resource.is_transformer:
                pipe.replace_gen(_in_batches(pipe.gen))
            resource.add_step(_ToArrow())
    return source


class _ToArrow(ItemTransform[Any, dict[str, Any]]):
    """The step that turns rows into Arrow tables, after all others."""

    placement_affinity = 1.5  # behind incremental (1) and metrics (1.1)

    def __init__(self) -> None:
        super().__init__(lambda item: item)

    def __call__(self, item: Any, meta: Any = None) -> Any:
        rows = [item] if isinstance(item, dict) else item
        resource = dlt.current.resource()
        if (
            type(rows) is not list
            or not all(isinstance(row, dict) for row in rows)
            or not isinstance(meta, TableNameMeta | None)
            or resource.has_dynamic_table_name
            or resource.has_other_dynamic_hints
            or _feeds_others(dlt.current.pipe())
        ):
            return item
        return load([rows], table=meta.table_name if meta else None)


def _feeds_others(pipe: Any) -> bool:
    return any(isinstance(step, ForkPipe) for step in pipe.steps)


def _in_batches(made: Any) -> Any:
    """What makes the items of a resource, so that its rows come a thousand at a time."""
    if callable(made):

        @wraps(made)
        def make(*args: Any, **kwargs: Any) -> Any:
            items = made(*args, **kwargs)
            return _batches(items) if isinstance(items, Iterable) else items

        return make
    return _batches(made) if isinstance(made, Iterable) else made


def _batches(items: Iterable[Any], rows: int = 1000) -> Iterator[Any]:
    batch: list[Any] = []
    for item in items:
        are_rows = type(item) is list or isinstance(item, dict)
        if are_rows:
            batch.extend(item if isinstance(item, list) else [item])
        if batch and (not are_rows or len(batch) >= rows):
            yield batch
            batch = []
        if not are_rows:
            yield item
    if batch:
        yield batch
