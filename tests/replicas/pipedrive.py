"""A replica of Pipedrive's API v2, as far as deals and their fields go.

https://developers.pipedrive.com/docs/api/v1/Deals#getDeals: `updated_since` is inclusive; deleted
deals only with `status=deleted`, for 30 days; archived ones at /deals/archived only; `limit` up to
500, `additional_data.next_cursor`.
https://pipedrive.readme.io/docs/pipedrive-api-v2-migration-guide: custom fields in an object of
their own, by hash, all of them, null where there is no value; unknown parameters are refused.
https://pipedrive.readme.io/docs/core-api-concepts-rate-limiting: requests in 2 seconds, headers.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from blocks.testing import Allowance, Answer, Api, Call, Refused, header_key, offset, unwrap, wrap

Row = dict[str, Any]


def pipedrive_api(deals: list[Row], fields: list[Row], most: int = 500) -> Api:
    """A company; pages have `most` rows at most."""
    allowed = Allowance(20, per=2)

    def told(_: Call, answer: Answer) -> Answer:
        left = {"x-ratelimit-limit": "20", "x-ratelimit-remaining": str(allowed.left())}
        return replace(answer, headers={**answer.headers, **left, "x-ratelimit-reset": "2"})

    def problem(refused: Refused) -> Row:
        return {"success": False, "error": refused.message, "code": "ERR_SCHEMA_VALIDATION_FAILED"}

    api = Api(header_key("x-api-token", "t0ken"), allowed, problem=problem, finish=told)

    def page(call: Call, rows: list[Row]) -> Row:
        size = min(most, call.query.whole("limit", 100, least=1, most=500))
        page = offset(rows, unwrap(call.query.get("cursor"), 0), size)
        additional = {"next_cursor": wrap(page.next)}
        return {"success": True, "data": page.rows, "additional_data": additional}

    @api.get("/api/v2/dealFields", query="limit cursor include_fields")
    def list_fields(call: Call) -> Row:
        return page(call, fields)

    @api.get("/api/v2/deals", query="limit cursor status updated_since")
    def list_deals(call: Call) -> Row:
        return page(call, _asked(deals, call, archived=False))

    @api.get("/api/v2/deals/archived", query="limit cursor status updated_since")
    def list_archived(call: Call) -> Row:
        return page(call, _asked(deals, call, archived=True))

    return api


def _asked(deals: list[Row], call: Call, *, archived: bool) -> list[Row]:
    wanted = call.query.get("status", "open,won,lost").split(",")
    since = datetime.fromisoformat(call.query.get("updated_since", "1970-01-01T00:00:00Z"))
    return [
        deal
        for deal in deals
        if deal["is_archived"] is archived
        and ("deleted" if deal["is_deleted"] else deal["status"]) in wanted
        and datetime.fromisoformat(deal["update_time"]) >= since
    ]
