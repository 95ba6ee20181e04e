"""HubSpot contacts with all their properties and companies: CRM search, batches, archived sweep.

Loads `contacts` and `contacts__companies`; contacts that are archived are deleted. Authenticates
with the access token of a private app (scopes crm.objects.contacts.read, crm.objects.companies.read
and crm.schemas.contacts.read).

A search shows 10,000 rows at most, no archived ones, and changes some moments late: hence a search
for each page, the sweep, the lookback. Contacts deleted for good (GDPR) are listed nowhere, and
stay. Allowed are 5 searches a second for all apps of an account, and 100 other calls in 10 seconds
for an app (more in paid plans). Change: the start, for contacts modified since then alone;
`searches`, if other apps search, too; companies, for other associations.

https://developers.hubspot.com/docs/api-reference/2026-03/crm/search-the-crm
https://developers.hubspot.com/docs/api-reference/latest/crm/objects/objects/batch/get-objects
https://developers.hubspot.com/docs/api-reference/latest/crm/associations/associate-records/batch/get-associations
https://developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from functools import partial
from typing import Any, TypeAlias

import dlt
import httpx

from blocks.auth import Bearer
from blocks.batches import batches
from blocks.caps import Capped
from blocks.client import client
from blocks.connections import Connections
from blocks.deletes import flag, tombstones
from blocks.dlt import cursor, load
from blocks.errors import NormalizeError
from blocks.fanout import fan_out
from blocks.fetch import pages
from blocks.fields import chunks, merge
from blocks.kinds import Epoch, Integers
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.outcomes import Outcome
from blocks.paginators import NextToken, Paginator, SinglePage
from blocks.places import JsonBody, values
from blocks.pools import Pools
from blocks.quotas import HubSpot
from blocks.retries import Retry
from blocks.rules import Judged

CONTACTS = "/crm/objects/2026-03/contacts"
COMPANIES = "/crm/associations/2026-03/contacts/companies/batch/read"
PROPERTIES = "/crm/properties/2026-03/contacts"
Row: TypeAlias = dict[str, Any]


def failed(response: httpx.Response) -> Outcome | None:
    """Whether a batch (207) had errors other than contacts that are gone or have no company."""
    errors = response.json().get("errors", []) if response.status_code == 207 else []
    return "fail" if {error["category"] for error in errors} - {"OBJECT_NOT_FOUND"} else None


async def post(api: httpx.AsyncClient, path: str, body: Row, rest: Paginator) -> list[Row]:
    found = pages(api, api.build_request("POST", path, json=body), rest)
    return [row async for page in found for row in values(page, "results", "")]


async def whole(
    api: httpx.AsyncClient, ids: list[Row], names: list[list[str]], again: int = 3
) -> list[Row]:
    """Contacts with all properties, read again when one has changed between two parts."""
    bodies = [{"inputs": ids, "properties": part} for part in names]
    parts = [await post(api, f"{CONTACTS}/batch/read", body, SinglePage()) for body in bodies]
    try:
        return merge(parts, "id")
    except NormalizeError:
        if not again:
            raise
        return await whole(api, ids, names, again - 1)


async def companies(api: httpx.AsyncClient, ids: list[Row]) -> dict[str, list[Row]]:
    def more(page: httpx.Response) -> httpx.Request | None:
        left = [row for row in page.json()["results"] if "paging" in row]
        inputs = [{"id": r["from"]["id"], "after": r["paging"]["next"]["after"]} for r in left]
        return api.build_request("POST", COMPANIES, json={"inputs": inputs}) if left else None

    found: dict[str, list[Row]] = {each["id"]: [] for each in ids}
    for row in await post(api, COMPANIES, {"inputs": ids}, more):
        found[row["from"]["id"]] += row["to"]
    return found


@dlt.source
def hubspot(
    start: str = "2006-01-01T00:00:00Z",
    searches: float = 5,
    base_url: str = "https://api.hubapi.com",
    token: str = dlt.secrets.value,
) -> Any:
    # Of 100 calls in 10 seconds 10 at once, the others evenly.
    limit = Rate(90, per=10, burst=10, quotas=HubSpot())
    api = client(
        base_url,
        auth=Bearer(token),
        limit=Pools({"POST */search": Rate(searches)}, default=limit),
        retry=partial(Retry, reads=lambda _: True),
        transport=Judged(Connections(), failed),
    )

    @dlt.resource(primary_key="id", write_disposition="merge", columns=flag())
    def contacts() -> Iterator[Any]:
        column, lookback = "properties__lastmodifieddate", timedelta(minutes=10)
        changed = cursor(column, start=start, kind=Epoch("ms"), lookback=lookback)
        (page,) = prefetch(pages(api, api.build_request("GET", PROPERTIES), SinglePage()))
        names = [*chunks(values(page, "results", "name"), most=250)]

        def search(after: str | int) -> httpx.Request:
            since = {"propertyName": "lastmodifieddate", "operator": "GTE", "value": changed.since}
            rest = {"propertyName": "hs_object_id", "operator": "GT", "value": after}
            order = {"propertyName": "hs_object_id", "direction": "ASCENDING"}
            body = {"filterGroups": [{"filters": [since, rest]}], "sorts": [order], "limit": 200}
            return api.build_request("POST", f"{CONTACTS}/search", json=body)

        async def read(page: httpx.Response) -> AsyncIterator[list[Row]]:
            for some in batches(values(page, "results", "id"), 100):
                ids = [{"id": each} for each in some]
                linked = await companies(api, ids)
                yield [{**r, "companies": linked[r["id"]]} for r in await whole(api, ids, names)]

        # Anew after each page, not after 10,000 rows: contacts archived meanwhile would pull others
        # past the next page.
        following = NextToken("paging.next.after", JsonBody("after"))
        rest = Capped(following, search, key="id", records="results", at=200, order=Integers())
        found = fan_out(pages(api, search(0), rest), read, at_once=4)
        yield from load((page for _, page in prefetch(found)), changed)
        first = api.build_request("GET", CONTACTS, params={"archived": "true", "limit": 100})
        archived = prefetch(pages(api, first, NextToken("paging.next.after", "after")))
        yield from load(tombstones(archived, records="results"))

    return contacts
