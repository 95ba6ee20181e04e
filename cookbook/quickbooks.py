"""QuickBooks Online: customers, invoices and others: queried once, then kept up by what changed.

Loads a table for each of ENTITIES. The first run reads all by queries; later ones ask the change
data capture for what was changed or deleted since. It looks back 30 days and shows 1,000 rows:
after a longer pause, or more changes, all is read again, and what is no longer there is deleted.
Customers and the like are never deleted, but no longer Active.

Authenticates with a refresh token that Intuit renews about every day, and voids the old one. So it
is kept in a file: dlt's secrets are not for writing, and dlt's state is for all to see, and kept
only if a run succeeds. Write `{"refresh_token": "..."}` there first, from Intuit's OAuth playground
with the scope com.quickbooks.accounting. One run at a time; unused for 100 days, the token ends.

Limits: 500 requests a minute for a company. Change: ENTITIES; `kept`, any mapping, for a vault in
the place of the file; `base_url` for the sandbox (https://sandbox-quickbooks.api.intuit.com).

https://developer.intuit.com/app/developer/qbo/docs/learn/explore-the-quickbooks-online-api/data-queries
https://developer.intuit.com/app/developer/qbo/docs/learn/explore-the-quickbooks-online-api/change-data-capture
https://blogs.intuit.com/2025/01/21/changes-to-our-accounting-api-that-may-impact-your-application
https://blogs.intuit.com/2024/06/03/oauth-token-management-done-the-right-way/
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import dlt
import httpx

from blocks.client import client
from blocks.deletes import Keys, flag, vanished
from blocks.dlt import cursor, known, load
from blocks.errors import BodyError
from blocks.fetch import pages
from blocks.kinds import Times
from blocks.ledger import StateFile
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.oauth import RefreshToken
from blocks.paginators import Paginator, SinglePage, turn
from blocks.places import kind, read, whole

ALL = "WHERE Active IN (true, false)"  # else those alone that are active
ENTITIES = {"Account": ALL, "Customer": ALL, "Item": ALL, "Vendor": ALL}
ENTITIES |= dict.fromkeys(["Bill", "Invoice", "Payment"], "")
MOST = 1000


@dlt.source
def quickbooks(
    company: str,
    token_file: str,
    base_url: str = "https://quickbooks.api.intuit.com",
    token_url: str = "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer",
    client_id: str = dlt.secrets.value,
    client_secret: str = dlt.secrets.value,
) -> Any:
    kept = StateFile(token_file)
    token, save = kept["refresh_token"], partial(kept.__setitem__, "refresh_token")
    api = client(
        f"{base_url}/v3/company/{company}",
        auth=RefreshToken(token_url, client_id, client_secret, token, save=save),
        limit=Rate(480, per=60, burst=20),
        headers={"Accept": "application/json"},
    )

    def ask(place: str, paginator: Paginator, **params: str) -> Iterator[httpx.Response]:
        first = api.build_request("GET", place, params={**params, "minorversion": "75"})
        return prefetch(pages(api, first, paginator))

    def table(entity: str, where: str) -> Any:
        @dlt.resource(name=entity, primary_key="Id", write_disposition="merge", columns=flag())
        def records() -> Iterator[Any]:
            ago, second = timedelta(minutes=10), Times(timedelta(seconds=1))
            seen = cursor("changes", start="2000-01-01T00:00:00Z", kind=second, lookback=ago)
            if not seen.stale(timedelta(days=29), datetime.now(UTC)):
                (page,) = ask("/cdc", SinglePage(), entities=entity, changedSince=str(seen.since))
                changed = rows(page, entity, "CDCResponse", 0, "QueryResponse", 0)
                if len(changed) < MOST:
                    for row in changed:
                        row["deleted"] = row.get("status") == "Deleted"
                    yield from load([changed])
                    seen.complete()
                    return
            listed, source = Keys("id"), f"FROM {entity} {where}"
            (count,) = ask("/query", SinglePage(), query=f"SELECT COUNT(*) {source}")
            query = f"SELECT * {source} ORDERBY Id STARTPOSITION 1 MAXRESULTS {MOST}"
            found = ask("/query", partial(following, entity), query=query)
            yield from load((rows(page, entity, "QueryResponse") for page in found), listed)
            # A row deleted meanwhile makes another skip from a page to one that was read before.
            if len({*listed.table["id"].to_pylist()}) < whole(count, "QueryResponse.totalCount"):
                raise BodyError(f"expected each {entity} that was counted, got fewer", count)
            lost = vanished(known("id"), listed.table).rename_columns(["Id"])
            yield from load([(lost, {"deleted": True})])
            seen.complete()

        return records

    return [table(entity, where) for entity, where in ENTITIES.items()]


def rows(page: httpx.Response, entity: str, *place: str | int) -> list[dict[str, Any]]:
    """The rows of an answer, which has no list where there are none."""
    if not isinstance(answer := read(page, place), dict):
        raise BodyError(f"expected an object at {place}, got {kind(answer)}", page)
    found: list[dict[str, Any]] = answer.get(entity, [])
    return found


def following(entity: str, page: httpx.Response) -> httpx.Request | None:
    """The query from the row after those that came; after a page with none there is no other."""
    count = len(rows(page, entity, "QueryResponse"))
    *query, start, maximum, most = page.url.params["query"].split(" ")
    later = " ".join([*query, str(int(start) + count), maximum, most])
    return turn(page.request, {"query": later}) if count else None
