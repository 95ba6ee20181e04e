"""Hugging Face: an owner's datasets, and the first rows of one as the dataset viewer shows them.

Loads `datasets`, which come newest first, until they are older than what is known; those that are
gone are not told of, and stay. And `examples`, the first rows of a split, with long cells cut off,
as `truncated_cells` tells; they are replaced when there is a new commit of the dataset's Parquet,
and else cost one request. All rows of a dataset: huggingface_parquet.py.

`token` reads what you may read (https://huggingface.co/settings/tokens). A free user has 1,000
requests in 5 minutes; headers tell what is left. Change: `dataset` ("owner/name"), `subset`,
`split`, EXAMPLES; or which to run, by `huggingface(...).with_resources("datasets")`.

https://huggingface.co/docs/hub/api
https://huggingface.co/docs/hub/rate-limits
https://huggingface.co/docs/dataset-viewer/rows
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dlt
import httpx

from blocks.auth import Bearer
from blocks.client import client
from blocks.dlt import cursor, load
from blocks.errors import BodyError
from blocks.fetch import pages
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.paginators import LinkHeader, Offset, SinglePage
from blocks.places import read, records, whole
from blocks.quotas import RateLimit
from blocks.requests import path
from blocks.stops import Older, Until

EXAMPLES = 500


@dlt.source
def huggingface(
    dataset: str,
    subset: str = "default",
    split: str = "train",
    base_url: str = "https://huggingface.co",
    viewer_url: str = "https://datasets-server.huggingface.co",
    token: str = dlt.secrets.value,
) -> Any:
    auth, (owner, name) = Bearer(token), dataset.split("/")
    hub = client(base_url, auth=auth, limit=Rate(900, per=300, burst=100, quotas=RateLimit()))
    viewer = client(viewer_url, auth=auth, limit=Rate(900, per=300, burst=100))

    @dlt.resource(primary_key="id", write_disposition="merge")
    def datasets() -> Iterator[Any]:
        seen = cursor("last_modified", start="2018-01-01T00:00:00Z")
        query = {"author": owner, "full": "true", "sort": "lastModified", "direction": "-1"}
        first = hub.build_request("GET", "/api/datasets", params={**query, "limit": "100"})
        newer = Until(LinkHeader(), Older("lastModified", records="", than=seen.since))
        yield from load(prefetch(pages(hub, first, newer)), seen, where=seen.within)

    @dlt.resource(
        merge_key=["hub_dataset", "hub_config", "hub_split"],
        write_disposition="merge",
        columns={"row": {"data_type": "json"}, "truncated_cells": {"data_type": "json"}},
    )
    def examples() -> Iterator[Any]:
        of = {"dataset": dataset, "config": subset, "split": split}
        revision = path("/api/datasets/{}/{}/revision/{}", owner, name, "refs/convert/parquet")
        (page,) = prefetch(pages(hub, hub.build_request("GET", revision), SinglePage()))
        if not isinstance(commit := read(page, "sha"), str):
            raise BodyError("expected a commit at 'sha', got none", page)
        if commit != (state := dlt.current.resource_state()).get(str(of)):
            first = viewer.build_request("GET", "/rows", params={**of, "offset": 0, "length": 100})
            steps = Until(Offset(100, limit_param="length", records="rows"), enough)
            # By names that datasets do not have.
            added = {f"hub_{key}": value for key, value in of.items()}
            found = prefetch(pages(viewer, first, steps))
            yield from load(((page, added) for page in found), path="rows")
            state[str(of)] = commit

    return datasets, examples


def enough(page: httpx.Response) -> bool:
    shown = int(page.url.params["offset"]) + records(page, "rows")[0]
    return shown >= min(EXAMPLES, whole(page, "num_rows_total"))
