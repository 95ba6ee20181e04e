"""Hugging Face: an owner's datasets, and the rows of one: a look by API, or all of its Parquet.

Loads `datasets`; `examples`, the first rows of a split as the dataset viewer shows them; and
`rows`, all of a subset with the columns and types of its Parquet. `datasets` come newest first,
until they are older than what is known; those that are gone are not told of, and stay. The others
are replaced when there is a new commit of the dataset's Parquet, and else cost one request.

Files go from their storage to disk and from there to Arrow, batch by batch. The Hub answers with a
link to storage that is a credential itself, and is fetched without any other. Of large datasets the
viewer makes Parquet of the first 5 GB, and it takes a while: what is partial, pending or failed is
an error. `examples` have long cells cut off, as `truncated_cells` tells.

`token` reads what you may read (https://huggingface.co/settings/tokens). A free user has 1,000
requests in 5 minutes; headers tell what is left. Change: `dataset` ("owner/name"), `subset`,
`split`, EXAMPLES; or which to run, by `huggingface(...).with_resources("rows")`. For a mirror whose
storage is in a network of your own give `files=storage(transport=Connections())`.

https://huggingface.co/docs/hub/api
https://huggingface.co/docs/hub/rate-limits
https://huggingface.co/docs/dataset-viewer/rows
https://huggingface.co/docs/dataset-viewer/parquet
"""

from __future__ import annotations

from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import Any

import dlt
import httpx
import pyarrow as pa
import pyarrow.parquet as pq

from blocks.auth import Bearer
from blocks.client import client
from blocks.dlt import cursor, load
from blocks.downloads import download, storage
from blocks.errors import BodyError, StatusError
from blocks.fetch import pages
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.paginators import LinkHeader, Offset, SinglePage
from blocks.places import read, records, values, whole
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
    files: httpx.AsyncClient | None = None,
) -> Any:
    auth, files = Bearer(token), files or storage()
    hub = client(base_url, auth=auth, limit=Rate(900, per=300, burst=100, quotas=RateLimit()))
    viewer = client(viewer_url, auth=auth, limit=Rate(900, per=300, burst=100))
    of = {"dataset": dataset, "config": subset}

    @dlt.resource(primary_key="id", write_disposition="merge")
    def datasets() -> Iterator[Any]:
        seen = cursor("last_modified", start="2018-01-01T00:00:00Z")
        owner, _, _ = dataset.partition("/")
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
        if commit := new_commit(hub, dataset, f"{of} {split}"):
            params = {**of, "split": split, "offset": "0", "length": "100"}
            first = viewer.build_request("GET", "/rows", params=params)
            steps = Offset(100, limit_param="length", records="rows")
            found = prefetch(pages(viewer, first, Until(steps, enough)))
            yield from load(((page, named(**of, split=split)) for page in found), path="rows")
            dlt.current.resource_state()[f"{of} {split}"] = commit

    @dlt.resource(merge_key=["hub_dataset", "hub_config"], write_disposition="merge")
    def rows() -> Iterator[Any]:
        if commit := new_commit(hub, dataset, f"{of} {split}"):
            listed = viewer.build_request("GET", "/parquet", params=of)
            (page,) = prefetch(pages(viewer, listed, SinglePage()))
            if any(read(page, key) not in (False, []) for key in ("partial", "pending", "failed")):
                raise BodyError("expected all of the subset as Parquet, got a part of it", page)
            for file in values(page, "parquet_files", ""):
                added = named(**of, split=file["split"])
                yield from load((table, added) for table in tables(hub, files, file["url"]))
            dlt.current.resource_state()[f"{of} {split}"] = commit

    return datasets, examples, rows


def new_commit(hub: httpx.AsyncClient, dataset: str, of: str) -> str | None:
    """The last commit of the dataset's Parquet, unless it is the one that was loaded."""
    owner, name = dataset.split("/")
    revision = path("/api/datasets/{}/{}/revision/{}", owner, name, "refs/convert/parquet")
    (page,) = prefetch(pages(hub, hub.build_request("GET", revision), SinglePage()))
    if not isinstance(commit := read(page, "sha"), str):
        raise BodyError("expected a commit at 'sha', got none", page)
    return commit if commit != dlt.current.resource_state().get(of) else None


def tables(hub: httpx.AsyncClient, files: httpx.AsyncClient, url: str) -> Iterator[pa.Table]:
    """A Parquet file, in batches."""

    async def link() -> httpx.Request:
        answer = await hub.send(hub.build_request("HEAD", url))
        if not answer.has_redirect_location:
            raise StatusError("expected a link to storage", answer)
        return files.build_request("GET", answer.url.join(answer.headers["Location"]))

    with TemporaryFile() as file:
        for chunk in prefetch(download(files, link)):
            file.write(chunk)
        for batch in pq.ParquetFile(file).iter_batches(5000):
            yield pa.Table.from_batches([batch])


def named(**of: str) -> dict[str, str]:
    """Columns that say where a row is from, by names that datasets do not have."""
    return {f"hub_{name}": value for name, value in of.items()}


def enough(page: httpx.Response) -> bool:
    shown = int(page.url.params["offset"]) + records(page, "rows")[0]
    return shown >= min(EXAMPLES, whole(page, "num_rows_total"))
