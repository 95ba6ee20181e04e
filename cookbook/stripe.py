"""Stripe customers and charges: listed once, then kept up by events, with deletes.

Loads `customers` and `charges`. The first run lists all; later ones ask for the events since the
one before, of which the newest about a record wins, and `customer.deleted` deletes its row. Stripe
keeps events for 30 days: a run after a longer pause warns, lists all again, and deletes what is no
longer there. Events have the shape of the account's own API version, so none is asked for.

`key` is secret or restricted, with read access to both and to events: `sources.stripe.key`. Limits:
25 requests a second. Change: the resources at the end, each with its events (the `types` of
https://docs.stripe.com/api/events/types); a `Stripe-Account` header reads a connected account.

https://docs.stripe.com/api/events/list
https://docs.stripe.com/api/pagination
https://docs.stripe.com/rate-limits
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dlt
import httpx

from blocks.auth import Bearer
from blocks.client import client
from blocks.deletes import Keys, flag, vanished
from blocks.dlt import cursor, known, load
from blocks.fetch import pages
from blocks.kinds import Epoch
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.paginators import Keyset
from blocks.places import values
from blocks.stops import Flag, Until


@dlt.source
def stripe(base_url: str = "https://api.stripe.com", key: str = dlt.secrets.value) -> Any:
    api = client(base_url, auth=Bearer(key), limit=Rate(20, burst=5))
    columns = flag() | {"created": {"data_type": "timestamp"}, "metadata": {"data_type": "json"}}

    def listing(name: str, **params: Any) -> Iterator[httpx.Response]:
        first = api.build_request("GET", f"/v1/{name}", params={"limit": 100, **params})
        return prefetch(
            pages(api, first, Until(Keyset("data", "id", "starting_after"), Flag("has_more")))
        )

    def kept_up(name: str, *types: str) -> Any:
        @dlt.resource(name=name, primary_key="id", write_disposition="merge", columns=columns)
        def rows() -> Iterator[Any]:
            seen = cursor("events", start=0, kind=Epoch("s"), lookback=timedelta(minutes=10))
            if seen.stale(timedelta(days=29), datetime.now(UTC)):
                listed = Keys("id")
                yield from load(listing(name), listed, path="data")
                yield from load([(vanished(known("id"), listed.table), {"deleted": True})])
            else:
                bounds = {"created[gte]": seen.since, "created[lt]": seen.until}
                yield from load(newest(listing("events", **bounds, **{"types[]": types})))
            seen.complete()

        return rows

    return (
        kept_up("customers", "customer.created", "customer.updated", "customer.deleted"),
        kept_up(
            "charges",
            *("charge.captured", "charge.expired", "charge.failed", "charge.pending"),
            *("charge.refunded", "charge.succeeded", "charge.updated"),
        ),
    )


def newest(events: Iterable[httpx.Response]) -> Iterator[list[dict[str, Any]]]:
    """What became of each record: events come newest first, even those of one second."""
    met: set[str] = set()
    for page in events:
        found = []
        for event in values(page, "data", ""):
            record = event["data"]["object"]
            if record["id"] not in met:
                met.add(record["id"])
                found.append(record | {"deleted": event["type"].endswith(".deleted")})
        yield found
