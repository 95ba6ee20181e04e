"""Freshdesk's list of tickets, as https://developers.freshdesk.com/api/#list_all_tickets has it.

Numbered pages, 30 tickets on each and 100 at most, a `Link` where there is a next one, 300 pages at
most (then 400); without `updated_since` the last 30 days. Deleted tickets and spam are in lists of
their own, by `filter`. Description, requester and stats come if included, for 2 credits each.
https://developers.freshdesk.com/api/#ratelimit: `X-RateLimit-Total`, `-Remaining` and
`-Used-CurrentRequest`, of a minute; 429 with `Retry-After`. Errors have a `description` and
`errors`, or a `code` and a `message`.
"""

from __future__ import annotations

from typing import Any

from blocks.testing import Answer, Api, Call, Refused, basic, linked, numbered

Row = dict[str, Any]
QUERY = "updated_since order_by order_type per_page page include filter"
EXTRA = {"description", "requester", "stats"}


class Freshdesk:
    """An account with 10,000 credits, for a minute that is never over; a list has `most` pages."""

    def __init__(self, tickets: list[Row], *, most: int = 300) -> None:
        self.tickets = tickets
        self.left = 10_000
        self._most = most
        self.api = Api(basic("k3y", "X"), problem=_problem)
        self.api.get("/api/v2/tickets", query=QUERY)(self._list)

    def _list(self, call: Call) -> Answer:
        number = call.query.whole("page", 1, least=1)
        if number > self._most:
            raise Refused(400, "You cannot access tickets beyond the 300th page.")
        included = {*filter(None, call.query.get("include", "").split(","))}
        if not included <= EXTRA:
            raise Refused(400, "include: expected description, requester, stats")
        used = 1 + 2 * len(included)
        if used > self.left:
            raise Refused(429, "too many requests", {"Retry-After": "60"})
        self.left -= used
        since, kind = call.query["updated_since"], call.query.get("filter", "")
        rows = sorted(
            (
                row
                for row in self.tickets
                if row["updated_at"] >= since and kind == row.get("gone", "")
            ),
            key=lambda row: (row[call.query["order_by"]], row["id"]),
            reverse=call.query.get("order_type", "desc") == "desc",
        )
        page = numbered(rows, number, call.query.whole("per_page", 30, least=1, most=100))
        hidden = {"gone", *(EXTRA - included)}
        shown = [{key: row[key] for key in row.keys() - hidden} for row in page.rows]
        left = {"X-RateLimit-Total": "10000", "X-RateLimit-Remaining": str(self.left)}
        spent = {"X-RateLimit-Used-CurrentRequest": str(used)}
        return Answer(shown, headers={**linked(call, page), **left, **spent})


def _problem(refused: Refused) -> Row:
    if refused.status in {401, 429}:
        return {"code": "invalid_credentials", "message": refused.message}
    error = {"field": "page", "message": refused.message, "code": "invalid_value"}
    return {"description": "Validation failed", "errors": [error]}
