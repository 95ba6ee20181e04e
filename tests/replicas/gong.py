"""A replica of Gong's API, as far as calls and users go.

https://help.gong.io/apidocs/introduction-2: Basic with key and secret, 3 calls a second and 10,000
a day, 429 with Retry-After; a cursor where there is more.
https://help.gong.io/apidocs/retrieve-call-data-by-date-range-v2calls-2: the lower bound of the
range is in it, the upper is not; ids are texts of up to 20 digits.
That no calls are a 404 with "No calls found corresponding to the provided filters" is in none of
these, but in what others met: https://github.com/estuary/connectors/pull/4314.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from blocks.testing import Allowance, Answer, Api, Call, Refused, basic, offset, unwrap, wrap

Row = dict[str, Any]


def gong_api(calls: list[Row], users: list[Row], *, size: int, per_second: int = 3) -> Api:
    """The API over these, with `size` rows on a page."""

    def problem(refused: Refused) -> Row:
        return {"requestId": "4al018gzaztcr8nbukw", "errors": [refused.message]}

    day = Allowance(10_000, per=86400)
    api = Api(basic("key", "s3cret"), Allowance(per_second), day, problem=problem)

    def listing(name: str, rows: list[Row], token: str | None) -> Row:
        page = offset(rows, unwrap(token, 0), size)
        more = {"cursor": wrap(page.next)} if page.more else {}
        records = {"totalRecords": page.total, "currentPageSize": len(page.rows), **more}
        return {"requestId": "4al018gzaztcr8nbukw", "records": records, name: page.rows}

    @api.post("/v2/calls/extensive", body="filter contentSelector cursor")
    def list_calls(call: Call) -> Row:
        bounds, exposed = call.json["filter"], call.json["contentSelector"]["exposedFields"]
        if set(bounds) != {"fromDateTime", "toDateTime"}:
            raise Refused(400, "filter: unknown fields")
        since, until = (datetime.fromisoformat(bounds[name]) for name in sorted(bounds))
        found = [row for row in calls if since <= _began(row) < until]
        if not found:
            raise Refused(404, "No calls found corresponding to the provided filters")
        shown = [
            {name: row[name] for name in row if name == "metaData" or exposed.get(name)}
            for row in sorted(found, key=_began)
        ]
        return listing("calls", shown, call.json.get("cursor"))

    @api.get("/v2/users", query="cursor includeAvatars")
    def list_users(call: Call) -> Answer:
        return Answer(listing("users", users, call.query.get("cursor")))

    return api


def _began(row: Row) -> datetime:
    return datetime.fromisoformat(row["metaData"]["started"])
