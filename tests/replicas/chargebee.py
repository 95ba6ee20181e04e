"""A replica of Chargebee, as far as lists of customers and the like go.

https://apidocs.chargebee.com/docs/api/list-ops: `limit` up to 100, `next_offset` on all pages but
the last, to be sent back as `offset` beside the same parameters; `sort_by`; filters with operators,
of which `after` is exclusive.
https://apidocs.chargebee.com/docs/api/customers/list-customers: each record in an object, deleted
ones only with `include_deleted`; without `updated_at` if not touched since 2016.
https://apidocs.chargebee.com/docs/api/error-handling: how errors are worded.
"""

from __future__ import annotations

from typing import Any

from blocks.testing import Allowance, Answer, Api, Call, Refused, basic, offset, unwrap, wrap

Row = dict[str, Any]
CODES = {401: "api_authentication_failed", 429: "api_request_limit_exceeded"}


def chargebee_api(tables: dict[str, list[Row]], key: str = "test_k3y") -> Api:
    """A site whose `tables` hold customers, subscriptions and invoices."""

    def problem(refused: Refused) -> Answer:
        code = CODES.get(refused.status, "param_wrong_value")
        body = {"message": refused.message, "api_error_code": code, "error_code": code}
        return Answer(body, refused.status, refused.headers)

    api = Api(basic(key), Allowance(150, per=60), problem=problem)

    @api.get(
        "/api/v2/{entities}",
        query="limit offset include_deleted sort_by[asc] updated_at[after]",
    )
    def listing(call: Call) -> Row:
        found = [row for row in tables[call.params["entities"]] if _asked(row, call)]
        if "sort_by[asc]" in call.query:
            found.sort(key=lambda row: int(row[call.query["sort_by[asc]"]]))
        size = call.query.whole("limit", 10, least=1, most=100)
        page = offset(found, unwrap(call.query.get("offset"), 0), size)
        following = {"next_offset": wrap(page.next)} if page.more else {}
        entity = call.params["entities"].removesuffix("s")
        rows = [{entity: row, "card": {"status": "valid"}} for row in page.rows]
        return {"list": rows, **following}

    return api


def _asked(row: Row, call: Call) -> bool:
    if row["deleted"] and call.query.get("include_deleted") != "true":
        return False
    after = call.query.get("updated_at[after]")
    return after is None or row.get("updated_at", 0) > int(after)
