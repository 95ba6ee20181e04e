"""A table of Airtable: some of its fields, under names of yours, what changed and what is gone.

Loads one table, named `name`, with `id`, `created_time` and a column for each of `fields`, which
maps ids of fields to names of columns: the ids stay when somebody renames a field. Airtable leaves
out fields that are empty; here they are null. Lists, such as linked records, are nested tables.

Asked for are records that people changed since the last run, by LAST_MODIFIED_TIME(). Formulas,
lookups and rollups do not count as changed when what they are made of changes: a table that needs
them fresh is read anew each time, without the filter. Of deleted records nothing is told, so all
ids are listed and compared; `sweep=False` leaves that out, in runs that come often.

Authenticates with a personal access token (scope data.records:read, with access to the base).
Allowed are 5 requests a second for each base; after one too many Airtable refuses all for 30 s. A
list that is read too slowly loses its place (422), and is begun again.

Change: `base`, `table` and the keys of `fields` are as in the URL of the table and in its API
documentation, "appXXX", "tblXXX", "fldXXX". For several tables call the source several times.

https://airtable.com/developers/web/api/list-records
https://airtable.com/developers/web/api/rate-limits
https://support.airtable.com/docs/formula-field-reference
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import timedelta
from typing import Any

import dlt
import httpx

from blocks.auth import Bearer
from blocks.client import client
from blocks.connections import Connections
from blocks.deletes import Keys, flag, vanished
from blocks.dlt import cursor, known, load
from blocks.fetch import pages
from blocks.kinds import Times
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.paginators import NextToken
from blocks.places import values
from blocks.requests import path
from blocks.restarts import restart
from blocks.rules import Judged, Status

# Airtable's penalty, which its answer does not tell.
BUSY = Status(429, "limited", wait=30)


@dlt.source
def airtable(
    base: str,
    table: str,
    fields: Mapping[str, str],
    name: str = "records",
    sweep: bool = True,
    base_url: str = "https://api.airtable.com",
    token: str = dlt.secrets.value,
) -> Any:
    # Four evenly, so that no second ever holds more than five.
    transport = Judged(Connections(), BUSY)
    api = client(f"{base_url}/v0", auth=Bearer(token), limit=Rate(4), transport=transport)

    def listing(params: dict[str, str | list[str]]) -> AsyncIterator[httpx.Response]:
        def anew() -> AsyncIterator[httpx.Response]:
            first = api.build_request("GET", path("/{}/{}", base, table), params=params)
            return pages(api, first, NextToken("offset", "offset"))

        return restart(anew, lambda answer: answer.status_code == 422)

    def rows(page: httpx.Response) -> list[dict[str, Any]]:
        return [
            {"id": record["id"], "created_time": record["createdTime"]}
            | {column: record["fields"].get(key) for key, column in fields.items()}
            for record in values(page, "records", "")
        ]

    @dlt.resource(name=name, primary_key="id", write_disposition="merge", columns=flag())
    def changed() -> Iterator[Any]:
        second, lookback = Times(timedelta(seconds=1)), timedelta(minutes=10)
        modified = cursor("last_modified", start="2012-01-01", kind=second, lookback=lookback)
        wanted: dict[str, Any] = {"fields[]": [*fields], "returnFieldsByFieldId": "true"}
        if modified.mark is not None:
            since = f"DATETIME_PARSE('{modified.after}')"
            wanted["filterByFormula"] = f"IS_AFTER(LAST_MODIFIED_TIME(), {since})"
        yield from load(rows(page) for page in prefetch(listing(wanted)))
        modified.complete()  # the time itself is in no record
        if sweep:
            listed = Keys("id")
            for page in prefetch(listing({"fields[]": [next(iter(fields))]})):
                listed.add(values(page, "records", "id"))
            yield from load([(vanished(known("id"), listed.table), {"deleted": True})])

    return changed
