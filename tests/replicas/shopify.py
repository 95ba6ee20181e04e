"""A replica of Shopify's Admin REST API, as far as orders and their deletions go.

https://shopify.dev/docs/api/admin-rest/usage/pagination: at most 250 a page, a `Link` with
`page_info` and `limit` alone, the filters within; other parameters beside `page_info` are refused.
https://shopify.dev/docs/api/admin-rest/usage/rate-limits: the bucket and its header; errors.
https://shopify.dev/docs/api/admin-rest/latest/resources/order: `status` is open unless given.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from blocks.testing import Allowance, Answer, Api, Call, Refused, header_key, offset, unwrap, wrap

Row = dict[str, Any]
ADMIN = "/admin/api/2026-07"
FILTERS = "status updated_at_min created_at_min filter verb"


def shopify_api(orders: list[Row], events: list[Row]) -> Api:
    """The API over `orders` and `events`, for an app with the token "shpat_x"."""
    bucket = Allowance(40, per=20)

    def told(_: Call, answer: Answer) -> Answer:
        used = {"X-Shopify-Shop-Api-Call-Limit": f"{40 - bucket.left()}/40"}
        return replace(answer, headers={**answer.headers, **used})

    token = header_key("X-Shopify-Access-Token", "shpat_x")
    api = Api(token, bucket, problem=lambda refused: {"errors": refused.message}, finish=told)

    def page(call: Call, name: str, rows: list[Row], time: str) -> Answer:
        where = unwrap(call.query.get("page_info"), {"at": 0})
        if "page_info" in call.query:
            for beside in call.query.keys() & set(FILTERS.split()):
                raise Refused(400, f"{beside} cannot be passed when page_info is present.")
        else:
            where |= call.query
        since = datetime.fromisoformat(where[f"{time}_min"])
        found = [row for row in rows if datetime.fromisoformat(row[time]) >= since]
        if name == "orders" and where.get("status", "open") == "open":
            found = [row for row in found if row["closed_at"] is None]
        size = call.query.whole("limit", 50, least=1, most=250)
        shown = offset(found, where["at"], size)
        if not shown.more:
            return Answer({name: shown.rows})
        only = dict.fromkeys(call.query) | {"page_info": wrap(where | {"at": shown.next})}
        link = f'<{call.link(only | {"limit": size})}>; rel="next"'
        return Answer({name: shown.rows}, headers={"Link": link})

    @api.get(f"{ADMIN}/orders.json", query="status updated_at_min limit page_info")
    def list_orders(call: Call) -> Answer:
        return page(call, "orders", sorted(orders, key=lambda row: -row["id"]), "updated_at")

    @api.get(f"{ADMIN}/events.json", query="filter verb created_at_min limit page_info")
    def list_events(call: Call) -> Answer:
        if "page_info" not in call.query and call.query["verb"] != "destroy":
            raise Refused(400, "not in this replica")
        return page(call, "events", events, "created_at")

    return api
