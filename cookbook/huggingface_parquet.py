"""Hugging Face: all rows of a dataset, from the Parquet of its viewer straight to Arrow.

Loads `rows`, all splits of a subset, with the columns and types of the Parquet. They are replaced
when there is a new commit of it, and else cost one request.

Files go from their storage to disk and from there to Arrow, batch by batch. The Hub answers with a
link to storage that is a credential itself, and is fetched without any other; a lost connection
gets another link. Of large datasets the viewer makes Parquet of the first 5 GB, and it takes a
while: what is partial, pending or failed is an error.

`token` reads what you may read (https://huggingface.co/settings/tokens). A free user has 1,000
requests in 5 minutes; headers tell what is left. Change: `dataset` ("owner/name"), `subset`. For a
mirror whose storage is in a network of your own give `files=storage(transport=Connections())`.

https://huggingface.co/docs/dataset-viewer/parquet
https://huggingface.co/docs/hub/rate-limits
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
from blocks.dlt import load
from blocks.downloads import download, storage
from blocks.errors import BodyError, StatusError
from blocks.fetch import pages
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.paginators import SinglePage
from blocks.places import read, values
from blocks.quotas import RateLimit
from blocks.requests import path


@dlt.source
def huggingface_parquet(
    dataset: str,
    subset: str = "default",
    base_url: str = "https://huggingface.co",
    viewer_url: str = "https://datasets-server.huggingface.co",
    token: str = dlt.secrets.value,
    files: httpx.AsyncClient | None = None,
) -> Any:
    auth, links = Bearer(token), files or storage()
    hub = client(base_url, auth=auth, limit=Rate(900, per=300, burst=100, quotas=RateLimit()))
    viewer = client(viewer_url, auth=auth, limit=Rate(900, per=300, burst=100))

    def tables(url: str) -> Iterator[pa.Table]:
        async def link() -> httpx.Request:
            answer = await hub.send(hub.build_request("HEAD", url))
            if not answer.has_redirect_location:
                raise StatusError("expected a link to storage", answer)
            return links.build_request("GET", answer.url.join(answer.headers["Location"]))

        with TemporaryFile() as file:
            for chunk in prefetch(download(links, link)):
                file.write(chunk)
            for batch in pq.ParquetFile(file).iter_batches(5000):
                yield pa.Table.from_batches([batch])

    @dlt.resource(merge_key=["hub_dataset", "hub_config"], write_disposition="merge")
    def rows() -> Iterator[Any]:
        of = {"dataset": dataset, "config": subset}
        revision = path(
            "/api/datasets/{}/{}/revision/{}", *dataset.split("/"), "refs/convert/parquet"
        )
        (page,) = prefetch(pages(hub, hub.build_request("GET", revision), SinglePage()))
        if not isinstance(commit := read(page, "sha"), str):
            raise BodyError("expected a commit at 'sha', got none", page)
        if commit != (state := dlt.current.resource_state()).get(str(of)):
            listed = viewer.build_request("GET", "/parquet", params=of)
            (page,) = prefetch(pages(viewer, listed, SinglePage()))
            if any(read(page, key) not in (False, []) for key in ("partial", "pending", "failed")):
                raise BodyError("expected all of the subset as Parquet, got a part of it", page)
            for file in values(page, "parquet_files", ""):
                # By names that datasets do not have.
                added = {
                    f"hub_{key}": value for key, value in {**of, "split": file["split"]}.items()
                }
                yield from load((table, added) for table in tables(file["url"]))
            state[str(of)] = commit

    return rows
