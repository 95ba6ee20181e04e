"""A replica of Airtable's Web API, as far as lists of records go.

https://airtable.com/developers/web/api/list-records: `pageSize` up to 100, an `offset` on all pages
but the last; what iterates over it may be gone (422); empty fields are left out; `fields[]` takes
names or ids, and with `returnFieldsByFieldId` the answer has ids.
https://airtable.com/developers/web/api/rate-limits: 5 requests a second for a base.
https://airtable.com/developers/web/api/errors: how errors are worded.
"""

from __future__ import annotations

import itertools
import re
from datetime import datetime
from typing import Any

from blocks.testing import Allowance, Api, Call, Refused, bearer, offset, unwrap, wrap

Row = dict[str, Any]
SINCE = re.compile(r"IS_AFTER\(LAST_MODIFIED_TIME\(\), DATETIME_PARSE\('([^']+)'\)\)")
QUERY = "fields[]+ returnFieldsByFieldId filterByFormula offset pageSize"


class Base:
    """A base with one table, whose `records` have when they were `modified`."""

    def __init__(self, names: dict[str, str], records: list[Row]) -> None:
        self.records = records
        self._names = names
        self._lists: dict[int, list[Row]] = {}
        self._numbers = itertools.count()
        self.api = Api(bearer("pat.t0ken"), Allowance(5), problem=_problem)
        self.api.get("/v0/app1/tbl1", query=QUERY)(self.listing)

    def expire(self) -> None:
        """Forget where clients stand in their lists."""
        self._lists.clear()

    def listing(self, call: Call) -> Row:
        """A page of the records that there were when the list was begun."""
        ids = {**dict.fromkeys(self._names), **{name: key for key, name in self._names.items()}}
        for field in call.query.several("fields[]"):
            if field not in ids:
                raise Refused(422, f'Unknown field name: "{field}"')
        number, start = unwrap(call.query.get("offset"), (None, 0))
        if number is None:
            number = next(self._numbers)
            self._lists[number] = [row for row in self.records if _asked(row, call)]
        elif number not in self._lists:
            raise Refused(422, "LIST_RECORDS_ITERATOR_NOT_AVAILABLE")
        size = call.query.whole("pageSize", 100, least=1, most=100)
        page = offset(self._lists[number], start, size)
        following = {"offset": wrap([number, page.next])} if page.more else {}
        return {"records": [self._shown(row, call) for row in page.rows], **following}

    def _shown(self, row: Row, call: Call) -> Row:
        asked, by_id = call.query.several("fields[]"), "returnFieldsByFieldId" in call.query
        fields = {
            key if by_id else self._names[key]: value
            for key, value in row["fields"].items()
            if value not in (None, "", [], False) and {key, self._names[key]} & {*asked}
        }
        return {"id": row["id"], "createdTime": row["created"], "fields": fields}


def _asked(row: Row, call: Call) -> bool:
    formula = call.query.get("filterByFormula")
    if formula is None:
        return True
    if (found := SINCE.fullmatch(formula)) is None:
        raise Refused(422, "The formula for filtering records is invalid")
    return datetime.fromisoformat(row["modified"]) > datetime.fromisoformat(found[1])


def _problem(refused: Refused) -> Row:
    codes = {401: "AUTHENTICATION_REQUIRED", 422: "INVALID_REQUEST", 429: "RATE_LIMIT_REACHED"}
    return {"error": {"type": codes.get(refused.status, "NOT_FOUND"), "message": refused.message}}
