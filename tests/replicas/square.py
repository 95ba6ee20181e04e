"""A replica of Square's API, as far as catalog, locations and orders go.

https://developer.squareup.com/reference/square/catalog-api/search-catalog-objects: `begin_time` is
exclusive, and what was deleted since then is listed, with `is_deleted`; limits are advisory.
https://developer.squareup.com/reference/square/orders-api/search-orders: 1 to 10 locations, the
sort of the filter, the same query with a cursor.
https://developer.squareup.com/docs/build-basics/common-api-patterns/pagination: the last page has
no cursor. Fields that would be empty are left out.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from blocks.testing import Api, Call, Refused, bearer, offset, unwrap, wrap

Row = dict[str, Any]


def _problem(refused: Refused) -> Row:
    codes = {401: "UNAUTHORIZED", 429: "RATE_LIMITED", 404: "NOT_FOUND"}
    code = codes.get(refused.status, "BAD_REQUEST")
    return {"errors": [{"category": "API_ERROR", "code": code, "detail": refused.message}]}


def square_api(catalog: list[Row], orders: list[Row], locations: list[str], *, size: int) -> Api:
    """The API over these, with at most `size` rows a page."""

    def dated(call: Call) -> None:
        datetime.strptime(call.headers["square-version"], "%Y-%m-%d")  # noqa: DTZ007

    api = Api(bearer("t0ken"), dated, problem=_problem)

    def page(call: Call, name: str, rows: list[Row]) -> Row:
        said = {key: value for key, value in call.json.items() if key != "cursor"}
        token = unwrap(call.json.get("cursor"), {"at": 0, "body": said})
        if token["body"] != said:
            raise Refused(400, "the query must be that of the first page")
        rows = sorted(rows, key=lambda row: _time(row["updated_at"]))
        shown = offset(rows, token["at"], min(size, said.get("limit", 500)))
        cursor = {"cursor": wrap({"at": shown.next, "body": said})} if shown.more else {}
        return {**({name: shown.rows} if shown.rows else {}), **cursor}

    @api.get("/v2/locations")
    def list_locations(call: Call) -> Row:
        return {"locations": [{"id": each, "name": each.title()} for each in locations]}

    @api.post("/v2/catalog/search", body="begin_time include_deleted_objects limit cursor")
    def search_catalog(call: Call) -> Row:
        after = _time(call.json["begin_time"])
        found = [row for row in catalog if _time(row["updated_at"]) > after]
        return page(call, "objects", found) | {"latest_time": "2024-07-01T00:00:00Z"}

    @api.post("/v2/orders/search", body="location_ids query limit cursor")
    def search_orders(call: Call) -> Row:
        places, query = call.json["location_ids"], call.json["query"]
        if not 0 < len(places) <= 10 or query["sort"]["sort_field"] != "UPDATED_AT":
            raise Refused(400, "invalid locations or sort")
        since = _time(query["filter"]["date_time_filter"]["updated_at"]["start_at"])
        mine = [row for row in orders if row["location_id"] in places]
        return page(call, "orders", [row for row in mine if _time(row["updated_at"]) >= since])

    return api


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
