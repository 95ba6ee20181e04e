"""A replica of Shopify's Admin GraphQL API, as far as products and their variants go.

https://shopify.dev/docs/apps/build/apis/graphql-admin/rate-limits: the cost in `extensions`, what a
connection costs, THROTTLED with status 200. It answers the queries that it knows by their names of
fields, and refuses others, as it cannot read the language.
"""

from __future__ import annotations

import re
from typing import Any

from blocks.testing import Answer, Api, Call, Refused, connection, header_key

Row = dict[str, Any]
GRAPHQL = "/admin/api/2026-07/graphql.json"


def cost(asked: float, left: float) -> Row:
    """What an answer says of its cost."""
    status = {"maximumAvailable": 2000.0, "currentlyAvailable": left, "restoreRate": 100.0}
    return {"cost": {"requestedQueryCost": asked, "throttleStatus": status}}


def throttled(asked: float, left: float) -> Answer:
    """The answer to a query that there are too few points for."""
    error = {"message": "Throttled", "extensions": {"code": "THROTTLED"}}
    return Answer({"errors": [error], "extensions": cost(asked, left)})


def shopify_api(products: list[Row]) -> Api:
    """The API over `products`, for an app with the token "shpat_x"."""
    token = header_key("X-Shopify-Access-Token", "shpat_x")
    api = Api(token, problem=lambda refused: {"errors": refused.message})

    def variants(product: Row, first: int, after: str | None) -> Row:
        return connection(product["variants"], first, after)

    @api.post(GRAPHQL, body="query variables")
    def graphql(call: Call) -> Row:
        document, given = call.json["query"], call.json["variables"]
        sizes = [int(size) for size in re.findall(r"first: (\d+)", document)]
        after = given.get("after")
        if max(sizes) > 250:
            raise Refused(400, "first: expected at most 250")
        if "product(id: $id)" in document:
            (product,) = [row for row in products if row["id"] == given["id"]]
            data: Row = {"product": {"variants": variants(product, sizes[0], after)}}
        elif "sortKey: UPDATED_AT, query: $since" in document:
            since = re.fullmatch(r"updated_at:>='(.*)'", given["since"])
            assert since is not None, "expected a filter by time"
            found = [row for row in products if row["updatedAt"] >= since[1]]
            page = connection(sorted(found, key=lambda row: row["updatedAt"]), sizes[0], after)
            nodes = [row | {"variants": variants(row, sizes[1], None)} for row in page["nodes"]]
            data = {"products": {**page, "nodes": nodes}}
        else:
            page = connection(products, sizes[0], after)
            data = {"products": {**page, "nodes": [{"id": row["id"]} for row in page["nodes"]]}}
        asked = 2 + sizes[0] * (1 + sum(2 + size for size in sizes[1:]))
        return {"data": data, "extensions": cost(asked, left=1900)}

    return api
