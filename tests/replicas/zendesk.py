"""Zendesk's ticket export and its users.

https://developer.zendesk.com/api-reference/ticketing/ticket-management/incremental_exports/: by
`generated_timestamp`, from `start_time` on (inclusive, a minute old at least) or from where a
cursor stands; the last minute is left out, deleted tickets are not; every page has `after_cursor`,
the last one too, and `end_of_stream`; 10 requests a minute.
https://developer.zendesk.com/api-reference/introduction/pagination/: `page[size]` up to 100,
`meta.has_more`; `links.next` is there on the last page, too. Limits are those of
https://developer.zendesk.com/api-reference/introduction/rate-limits/.
"""

from __future__ import annotations

import time
from typing import Any

from blocks.testing import Allowance, Api, Call, Refused, basic, keyed, unwrap, wrap

Row = dict[str, Any]


def zendesk_api(tickets: list[Row], users: list[Row], *, size: int, minute: float = 60.0) -> Api:
    """An account; exports have `size` tickets on a page, and limits hold for `minute` seconds."""
    known = basic("me@example.com/token", "t0ken")
    api = Api(known, Allowance(200, per=minute), problem=_problem)

    @api.get(
        "/api/v2/incremental/tickets/cursor.json",
        query="start_time cursor exclude_deleted",
        guards=[known, Allowance(10, per=minute)],
    )
    def export(call: Call) -> Row:
        if "cursor" in call.query:
            since = unwrap(call.query["cursor"])
        else:
            since = [call.query.whole("start_time", 0), 0]
            if since[0] > time.time() - 60:
                raise Refused(400, "start_time must be at least a minute ago")
        line = sorted(
            ([ticket["generated_timestamp"], ticket["id"]], ticket)
            for ticket in tickets
            if ticket["generated_timestamp"] <= time.time() - 60
        )
        left = [(at, ticket) for at, ticket in line if at > since]
        after = wrap(left[:size][-1][0] if left else since)
        return {
            "tickets": [ticket for _, ticket in left[:size]],
            "after_cursor": after,
            "after_url": call.link({"cursor": after, "start_time": None}),
            "before_cursor": None,
            "end_of_stream": len(left) <= size,
        }

    @api.get("/api/v2/users.json", query="page[size] page[after]")
    def list_users(call: Call) -> Row:
        size = call.query.whole("page[size]", 100, least=1, most=100)
        page = keyed(users, unwrap(call.query.get("page[after]")), size)
        after = wrap(page.rows[-1]["id"]) if page.rows else None
        return {
            "users": page.rows,
            "meta": {"has_more": page.more, "after_cursor": after, "before_cursor": None},
            "links": {"next": call.link({"page[after]": after}), "prev": None},
        }

    return api


def _problem(refused: Refused) -> Row:
    if refused.status == 401:
        return {"error": "Couldn't authenticate you"}
    error = "APIRateLimitExceeded" if refused.status == 429 else "InvalidValue"
    return {"error": error, "description": refused.message}
