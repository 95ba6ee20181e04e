"""A replica of Intercom's API, as far as conversations and their parts go.

https://developers.intercom.com/docs/references/rest-api/api.intercom.io/conversations/searchconversations:
20 a page, at most 150; parts only with a conversation of its own, the 500 newest.
https://developers.intercom.com/docs/build-an-integration/learn-more/rest-apis/pagination: the token
in the body, within `pagination`; `pages.next` is absent on the last page.
https://developers.intercom.com/docs/references/rest-api/errors/rate-limiting: periods of 10
seconds, X-RateLimit headers with an epoch, no Retry-After.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from blocks.testing import Allowance, Answer, Api, Call, Refused, bearer, offset, unwrap, wrap

Row = dict[str, Any]


def _problem(refused: Refused) -> Answer:
    codes = {401: "unauthorized", 404: "not_found", 429: "rate_limit_exceeded"}
    error = {"code": codes.get(refused.status, "parameter_invalid"), "message": refused.message}
    return Answer({"type": "error.list", "errors": [error]}, refused.status)


def intercom_api(conversations: list[Row], parts: dict[str, list[Row]]) -> Api:
    """The API over `conversations`, and the `parts` of each by its id."""
    allowance = Allowance(1666, per=10)

    def told(_: Call, answer: Answer) -> Answer:
        reset = int(time.time()) + 1
        left = {"Limit": 1666, "Remaining": allowance.left(), "Reset": reset}
        headers = {f"X-RateLimit-{name}": str(value) for name, value in left.items()}
        return replace(answer, headers={**headers, **answer.headers})

    api = Api(bearer("t0ken"), allowance, problem=_problem, finish=told)

    @api.post("/conversations/search", body="query pagination sort")
    def search(call: Call) -> Row:
        query, sort, paging = (call.json[name] for name in ("query", "sort", "pagination"))
        if (query["field"], query["operator"], sort["field"]) != (
            *("updated_at", ">"),
            "updated_at",
        ):
            raise Refused(400, "not in this replica")
        if not isinstance(query["value"], int) or not 0 < paging.get("per_page", 20) <= 150:
            raise Refused(400, "invalid value")
        found = [row for row in conversations if row["updated_at"] > query["value"]]
        found.sort(key=lambda row: row["updated_at"], reverse=sort["order"] == "descending")
        page = offset(found, unwrap(paging.get("starting_after"), 0), paging.get("per_page", 20))
        pages: Row = {"type": "pages", "per_page": paging.get("per_page", 20)}
        if page.more:
            pages["next"] = {"page": 2, "starting_after": wrap(page.next)}
        kind = {"type": "conversation.list", "total_count": page.total}
        return {**kind, "conversations": page.rows, "pages": pages}

    @api.get("/conversations/{id}", query="display_as")
    def conversation(call: Call) -> Row:
        for row in conversations:
            if row["id"] == call.params["id"]:
                several = parts[row["id"]][-500:]
                listed = {"type": "conversation_part.list", "conversation_parts": several}
                return row | {"conversation_parts": listed | {"total_count": len(several)}}
        raise Refused(404, "no such conversation")

    return api
