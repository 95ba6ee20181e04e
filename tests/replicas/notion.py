"""A replica of Notion, as far as querying a data source and reading blocks goes.

https://developers.notion.com/reference/query-a-data-source: a POST with `start_cursor`,
`page_size` up to 100 (a page may be shorter), `sorts` and `filter` in its body; pages in the trash
are left out.
https://developers.notion.com/guides/data-apis/query-large-data-sources: what a query shows at most,
`has_more` false and `request_status` after that.
https://developers.notion.com/changelog/last-edited-time-is-now-rounded-to-the-nearest-minute: down.
https://developers.notion.com/reference/get-block-children: one level, `start_cursor` in the query.
https://developers.notion.com/reference/status-codes: errors; without a version there is none.
"""

from __future__ import annotations

from typing import Any

from blocks.testing import Allowance, Api, Call, Refused, bearer, offset, unwrap, wrap

Row = dict[str, Any]
CODES = {
    400: "validation_error",
    401: "unauthorized",
    404: "object_not_found",
    429: "rate_limited",
}
FILTERS = {"on_or_after"}


class Notion:
    """A data source "ds1"; `blocks` by the id of the page or block around them."""

    def __init__(self, pages: list[Row], blocks: dict[str, list[Row]], most: int) -> None:
        self.pages = pages
        self.blocks = blocks
        self._most = most
        self.api = Api(bearer("ntn_t0ken"), _versioned, Allowance(300, per=60), problem=_problem)
        self.api.post(
            "/v1/data_sources/{id}/query",
            query="filter_properties+",
            body="filter sorts start_cursor page_size result_type",
        )(self._query)
        self.api.get("/v1/blocks/{id}/children", query="start_cursor page_size")(self._children)

    def _query(self, call: Call) -> Row:
        if call.params["id"] != "ds1":
            raise Refused(404, "Could not find data source")
        (sort,) = call.json["sorts"]
        found = [page for page in self.pages if not page["in_trash"]]
        for each in call.json["filter"]["and"]:
            ((how, bound),) = each[each["timestamp"]].items()
            if how not in FILTERS:
                raise Refused(400, f"body failed validation: {how}")
            # Both are RFC 3339 in UTC, with or without a fraction.
            found = [page for page in found if page[each["timestamp"]][:16] >= bound[:16]]
        found.sort(key=lambda page: page[sort["timestamp"]])
        shown = found[: self._most]
        answer = self._page(shown, call.json.get("page_size", 100), call.json.get("start_cursor"))
        if len(found) > self._most and not answer["has_more"]:
            reason = {"incomplete_reason": "query_result_limit_reached"}
            answer["request_status"] = {"type": "incomplete", **reason}
        if call.query.several("filter_properties") == ["title"]:
            answer["results"] = [page | {"properties": {}} for page in answer["results"]]
        return answer

    def _children(self, call: Call) -> Row:
        if call.params["id"] not in self.blocks:
            raise Refused(404, "Could not find block")
        size = call.query.whole("page_size", 100, least=1, most=100)
        return self._page(self.blocks[call.params["id"]], size, call.query.get("start_cursor"))

    def _page(self, rows: list[Row], size: int, cursor: str | None) -> Row:
        page = offset(rows, unwrap(cursor, 0), min(size, 4))
        return {
            "object": "list",
            "results": page.rows,
            "next_cursor": wrap(page.next),
            "has_more": page.more,
        }


def _versioned(call: Call) -> None:
    if call.headers.get("notion-version") != "2026-03-11":
        raise Refused(400, "Notion-Version header should be defined")


def _problem(refused: Refused) -> Row:
    code = CODES.get(refused.status, "internal_server_error")
    return {"object": "error", "status": refused.status, "code": code, "message": refused.message}
