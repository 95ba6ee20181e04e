"""A Notion database: its pages with their properties, and the blocks in them, level by level.

Loads `pages`, incremental by last_edited_time, and `blocks` with their text, and as JSON all else:
those of a page that changed take the place of those loaded before. Blocks of pages and databases
inside of a page are theirs, and not loaded. Properties have 25 references at most, `has_more` tells
(`/pages/{id}/properties/{id}` has all).

Of pages in the trash nothing is told, so all are listed (100 in a request) and compared, and their
blocks go with them; `sweep=False` leaves that out, in runs that come often. A query shows 10,000
pages and then says "incomplete": it is begun anew from the time the last one was created.

Authenticates with the token of a connection that has the database and may read content. Allowed are
3 requests a second on average; a page takes one, and one more for each block with others in it.

Change: `data_source` is the id of a data source of the database ("Manage data sources" in Notion,
"Copy data source ID"); the start; `per_minute`, by plan.

https://developers.notion.com/reference/query-a-data-source
https://developers.notion.com/guides/data-apis/query-large-data-sources
https://developers.notion.com/reference/get-block-children
https://developers.notion.com/reference/request-limits
https://developers.notion.com/changelog/last-edited-time-is-now-rounded-to-the-nearest-minute
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from functools import partial
from typing import Any, TypeAlias

import dlt
import httpx

from blocks.auth import Bearer
from blocks.client import client
from blocks.connections import Connections
from blocks.deletes import Keys, flag, vanished
from blocks.dlt import cursor, known, load
from blocks.fanout import fan_out, parents
from blocks.fetch import pages as pages_of
from blocks.kinds import Times
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.paginators import NextToken
from blocks.places import JsonBody, read, values
from blocks.requests import path
from blocks.retries import Retry
from blocks.rules import Judged
from blocks.stops import Flag, Until

Row: TypeAlias = dict[str, Any]
KEY = ("page_id", "parent_id", "id")  # what is synced is in several places
ELSEWHERE = {"child_page", "child_database"}
MORE = Flag("has_more")


@dlt.source
def notion(
    data_source: str,
    start: str = "2016-01-01T00:00:00Z",
    sweep: bool = True,
    per_minute: int = 180,
    base_url: str = "https://api.notion.com",
    token: str = dlt.secrets.value,
) -> Any:
    api = client(
        f"{base_url}/v1",
        auth=Bearer(token),
        limit=Rate(per_minute - 20, per=60, burst=20),
        headers={"Notion-Version": "2026-03-11"},
        retry=partial(Retry, reads=lambda _: True),  # its POSTs only read
        transport=Judged(Connections(), gone, empty=b'{"results": [], "has_more": false}'),
    )

    def query(since: str, **params: str) -> AsyncIterator[httpx.Response]:
        def begin(**bounds: str) -> httpx.Request:
            filters = [{"timestamp": key, key: {"on_or_after": at}} for key, at in bounds.items()]
            # By what stays as it is while pages are edited.
            order = [{"timestamp": "created_time", "direction": "ascending"}]
            body = {"filter": {"and": filters}, "sorts": order, "result_type": "page"}
            url = path("/data_sources/{}/query", data_source)
            return api.build_request("POST", url, params=params, json=body)

        def following(page: httpx.Response) -> httpx.Request | None:
            more = Until(NextToken("next_cursor", JsonBody("start_cursor")), MORE)(page)
            if more or read(page, "request_status.type") != "incomplete":
                return more
            # `pages` raises if that was asked for before, as more than are shown have this time.
            last = values(page, "results", "created_time")[-1]
            return begin(last_edited_time=since, created_time=last)

        return pages_of(api, begin(last_edited_time=since), following)

    async def tree(page: Row) -> AsyncIterator[list[Row]]:
        # What its blocks were before goes, though it has none now.
        yield [dict.fromkeys(KEY, page["id"]) | {"deleted": True}]
        todo = [] if page["deleted"] else [page["id"]]
        while todo:
            parent, position = todo.pop(), 0
            children = path("/blocks/{}/children", parent)
            first = api.build_request("GET", children, params={"page_size": 100})
            rest = Until(NextToken("next_cursor", "start_cursor"), MORE)
            async for answer in pages_of(api, first, rest):
                found = values(answer, "results", "")
                at = {"page_id": page["id"], "parent_id": parent}
                yield [row(block, n) | at for n, block in enumerate(found, position)]
                position += len(found)
                inner = [each for each in found if each["type"] not in ELSEWHERE]
                todo += [each["id"] for each in inner if each["has_children"]]

    @dlt.resource(primary_key="id", write_disposition="merge", columns=flag())
    def pages() -> Iterator[Any]:
        minute, lookback = Times(timedelta(minutes=1)), timedelta(minutes=5)
        edited = cursor("last_edited_time", start=start, kind=minute, lookback=lookback)
        yield from load(prefetch(query(edited.since)), edited, path="results")
        if sweep:
            listed = Keys("id")
            for page in prefetch(query(start, filter_properties="title")):
                listed.add(values(page, "results", "id"))
            yield from load([(vanished(known("id"), listed.table), {"deleted": True})])

    @dlt.transformer(
        data_from=pages,
        primary_key=KEY,
        merge_key="page_id",
        write_disposition="merge",
        columns={**flag(), "content": {"data_type": "json"}},
    )
    def blocks(table: Any) -> Iterator[Any]:
        changed = parents(table, "id", "deleted", missing="keep")
        yield from load(rows for _, rows in prefetch(fan_out(changed, tree)))

    return pages, blocks


def row(block: Row, position: int) -> Row:
    content = block.pop(block["type"])
    text = "".join(part["plain_text"] for part in content.get("rich_text", []))
    return {**block, "position": position, "text": text, "content": content}


def gone(response: httpx.Response) -> Any:
    """Blocks that were deleted since the one around them was read have no blocks."""
    missing = response.status_code == 404 and "/blocks/" in response.url.path
    return "skip" if missing else None
