"""Stripe: customers, charges and events.

Lists come newest first, 10 on a page, 100 at most, and go on after the id in `starting_after`,
which must be one of the list (https://docs.stripe.com/api/pagination). Deleted customers are in
none. Events are kept for 30 days, and are filtered by up to 20 `types[]` and by `created`
(https://docs.stripe.com/api/events/list). Errors: https://docs.stripe.com/api/errors. A sandbox
takes 25 requests a second (https://docs.stripe.com/rate-limits).
"""

from __future__ import annotations

import time
from typing import Any

from blocks.testing import Allowance, Api, Call, Refused, bearer, keyed

Row = dict[str, Any]
PAGING = "limit starting_after created[gte] created[lt]"


class Stripe:
    """An account; what happens in it leaves events, `ago` seconds old."""

    def __init__(self, key: str) -> None:
        self.customers: list[Row] = []
        self.charges: list[Row] = []
        self.events: list[Row] = []
        self._numbers = 0
        self.api = Api(bearer(key), Allowance(25), problem=_problem)
        for name in ("customers", "charges"):
            self.api.get(f"/v1/{name}", query=PAGING)(lambda call: _page(call, self._rows(call)))
        self.api.get("/v1/events", query=f"{PAGING} types[]+")(self._list_events)

    def create(self, kind: str, ago: float = 60, **fields: Any) -> Row:
        """A new customer or charge."""
        self._numbers += 1
        row = {"id": f"{kind[:2]}_{self._numbers:04}", "object": kind, "created": _at(ago)}
        row |= {"metadata": {f"key {self._numbers}": "v"}, **fields}
        getattr(self, f"{kind}s").append(row)
        self._tell(f"{kind}.{'created' if kind == 'customer' else 'succeeded'}", row, ago)
        return row

    def update(self, row: Row, ago: float = 0, **fields: Any) -> None:
        """A change of a row."""
        row |= fields
        self._tell(f"{row['object']}.updated", row, ago)

    def delete(self, row: Row, ago: float = 0) -> None:
        """The end of a customer."""
        self.customers.remove(row)
        self._tell("customer.deleted", row, ago)

    def _tell(self, type: str, row: Row, ago: float) -> None:  # noqa: A002 - as the API has it
        self._numbers += 1
        event = {"id": f"evt_{self._numbers:04}", "object": "event", "created": _at(ago)}
        self.events.append(event | {"type": type, "data": {"object": dict(row)}})

    def _rows(self, call: Call) -> list[Row]:
        rows: list[Row] = getattr(self, call.path.rpartition("/")[2])
        return rows

    def _list_events(self, call: Call) -> Row:
        types = call.query.several("types[]")
        if len(types) > 20:
            raise Refused(400, "Invalid array: too many types")
        kept = [event for event in self.events if event["created"] > _at(30 * 86400)]
        return _page(call, [event for event in kept if not types or event["type"] in types])


def _page(call: Call, rows: list[Row]) -> Row:
    since, until = call.query.whole("created[gte]", 0), call.query.whole("created[lt]", 2**40)
    found = [row for row in reversed(rows) if since <= row["created"] < until]
    found.sort(key=lambda row: row["created"], reverse=True)  # stable: the newest of a second first
    size = call.query.whole("limit", 10, least=1, most=100)
    page = keyed(found, call.query.get("starting_after"), size)
    return {"object": "list", "url": call.path, "has_more": page.more, "data": page.rows}


def _at(ago: float) -> int:
    return int(time.time() - ago)


def _problem(refused: Refused) -> Row:
    kinds = {429: "rate_limit_error", 500: "api_error"}
    kind = kinds.get(refused.status, "invalid_request_error")
    return {"error": {"type": kind, "message": refused.message}}
