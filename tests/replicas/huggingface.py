"""A replica of the Hugging Face Hub and its dataset viewer, and of the storage that files are in.

https://huggingface.co/docs/hub/api: datasets by Link header, revisions with their commit, and files
at /resolve/, which are links to storage: 302, as of all that is in LFS.
https://huggingface.co/docs/hub/rate-limits: what is left, in the RateLimit header.
https://huggingface.co/docs/dataset-viewer/rows: at most 100 rows, by offset and length.
https://huggingface.co/docs/dataset-viewer/parquet: the files of a dataset, by split.
Storage takes the signature in the link, and refuses an Authorization beside it, as S3 does.
"""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from blocks.testing import Answer, Api, Call, Refused, bearer, linked, offset

Row = dict[str, Any]


def word(number: int) -> Row:
    """A row of the dataset; a column of its own is called split."""
    return {"word": f"w{number}", "count": number, "split": "-", "tags": [f"t{number % 3}"]}


class Hub:
    """Hub and viewer (`api`) and `storage`, over datasets of ann, and splits of ann/words."""

    def __init__(self, *, size: int) -> None:
        self.datasets: list[Row] = []
        self.splits: dict[str, list[Row]] = {}
        self.commit = "c0"
        self.partial = False
        self.storage_url = ""
        self._size = size
        self.api = Api(bearer("hf_t0ken"), problem=_problem, finish=_left)
        self.storage = Api(_signed)
        query = "author full sort direction limit cursor"
        self.api.get("/api/datasets", query=query)(self._list)
        self.api.get("/api/datasets/ann/words/revision/refs%2Fconvert%2Fparquet")(self._revision)
        self.api.route("HEAD", "/datasets/ann/words/resolve/{revision}/{split}.parquet")(self._link)
        self.api.get("/rows", query="dataset config split offset length")(self._rows)
        self.api.get("/parquet", query="dataset config split")(self._parquet)
        self.storage.get("/blobs/{split}", query="X-Signature")(self._file)

    def _list(self, call: Call) -> Answer:
        if (call.query["sort"], call.query["direction"]) != ("lastModified", "-1"):
            raise Refused(400, "unsupported sort")
        mine = [row for row in self.datasets if row["author"] == call.query["author"]]
        found = sorted(mine, key=lambda row: str(row["lastModified"]), reverse=True)
        page = offset(found, call.query.whole("cursor", 0), self._size)
        return Answer(page.rows, headers=linked(call, page, "cursor"))

    def _revision(self, call: Call) -> Row:
        return {"id": "ann/words", "sha": self.commit, "path": call.path}

    def _link(self, call: Call) -> Answer:
        link = f"{self.storage_url}/blobs/{call.params['split']}?X-Signature=s1gned"
        return Answer(None, 302, {"Location": link, "X-Repo-Commit": self.commit})

    def _rows(self, call: Call) -> Row:
        rows = self._of(call)[call.query["split"]]
        length = call.query.whole("length", 100, most=100)
        start = call.query.whole("offset", 0)
        page = offset(rows, start, length)
        shown = [
            {"row_idx": start + number, "row": row, "truncated_cells": []}
            for number, row in enumerate(page.rows)
        ]
        return {"features": [], "rows": shown, "num_rows_total": len(rows), "partial": False}

    def _parquet(self, call: Call) -> Row:
        at = f"http://{call.headers['host']}/datasets/ann/words/resolve/refs%2Fconvert%2Fparquet"
        of = {"dataset": "ann/words", "config": "default"}
        files = [{**of, "split": name, "url": f"{at}/{name}.parquet"} for name in self._of(call)]
        return {"parquet_files": files, "pending": [], "failed": [], "partial": self.partial}

    def _of(self, call: Call) -> dict[str, list[Row]]:
        if (call.query["dataset"], call.query["config"]) != ("ann/words", "default"):
            raise Refused(404, "The dataset does not exist.")
        return self.splits

    def _file(self, call: Call) -> Answer:
        pq.write_table(
            pa.Table.from_pylist(self.splits[call.params["split"]]), file := io.BytesIO()
        )
        return Answer(file.getvalue(), headers={"Content-Type": "binary/octet-stream"})


def _signed(call: Call) -> None:
    if "authorization" in call.headers:
        raise Refused(400, "Only one auth mechanism allowed")
    if call.query.get("X-Signature") != "s1gned":
        raise Refused(403, "SignatureDoesNotMatch")


def _left(_: Call, answer: Answer) -> Answer:
    return replace(answer, headers={**answer.headers, "RateLimit": '"api";r=900;t=120'})


def _problem(refused: Refused) -> Row:
    return {"error": refused.message}
