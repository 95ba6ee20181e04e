"""A replica of QuickBooks Online, as far as queries and the change data capture go.

https://developer.intuit.com/app/developer/qbo/docs/learn/explore-the-quickbooks-online-api/data-queries:
queries with STARTPOSITION, from 1, and MAXRESULTS, at most 1,000; those not active are left out
unless asked for. An answer without rows has no list.
https://developer.intuit.com/app/developer/qbo/docs/learn/explore-the-quickbooks-online-api/change-data-capture:
the last 30 days, at most 1,000 rows, what was deleted with `status` and little more.
https://blogs.intuit.com/2024/06/03/oauth-token-management-done-the-right-way/: refresh tokens, here
each is good once.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from blocks.testing import Answer, Api, Call, Refused, Tokens

Row = dict[str, Any]
_QUERY = re.compile(
    r"SELECT (\*|COUNT\(\*\)) FROM (\w+) (WHERE Active IN \(true, false\))?"
    r"(?: ORDERBY Id STARTPOSITION (\d+) MAXRESULTS (\d+))?"
)


class Company:
    """A company with `rows["Customer"]` and so on; `most` is how many an answer may have."""

    def __init__(self, most: int) -> None:
        self.rows: dict[str, list[Row]] = {}
        self.tokens = Tokens("app", "s3cret", refresh="first")
        self.most = most
        self.api = Api(self.tokens, problem=_problem)
        self.api.post("/tokens/bearer", body=Tokens.FIELDS, guards=())(self._grant)
        at = "/v3/company/9130"
        self.api.get(f"{at}/query", query="query minorversion")(self._query)
        self.api.get(f"{at}/cdc", query="entities changedSince minorversion")(self._changes)

    def put(self, entity: str, number: int, ago: timedelta, **fields: Any) -> Row:
        """A row that is new, or changed, so long ago."""
        changed = (datetime.now(UTC) - ago).isoformat(timespec="seconds")
        row = {"Id": str(number), **fields, "MetaData": {"LastUpdatedTime": changed}}
        others = [each for each in self.rows.get(entity, []) if each["Id"] != str(number)]
        self.rows[entity] = [*others, row]
        return row

    def _grant(self, call: Call) -> Answer:
        if "authorization" not in call.headers:
            return Answer({"error": "invalid_client"}, 401)
        return self.tokens.grant(call)

    def _query(self, call: Call) -> Row:
        parts = _QUERY.fullmatch(call.query["query"])
        if parts is None or call.query.get("minorversion") != "75":
            raise Refused(400, "Error parsing query")
        what, entity, inactive, start, most = parts.groups()
        found = [row for row in self.rows.get(entity, []) if "status" not in row]
        found = [row for row in found if inactive or row.get("Active", True)]
        if what != "*":
            return {"QueryResponse": {"totalCount": len(found)}, "time": "2024-07-01T00:00:00Z"}
        found = sorted(found, key=lambda row: int(row["Id"]))[int(start) - 1 :]
        return {"QueryResponse": _list(entity, found[: min(int(most), self.most)])}

    def _changes(self, call: Call) -> Row:
        since = datetime.fromisoformat(call.query["changedSince"])
        if datetime.now(UTC) - since > timedelta(days=30):
            raise Refused(400, "changedSince is more than 30 days ago")
        found = [
            {"QueryResponse": [_list(entity, self._since(entity, since)[:1000])]}
            for entity in call.query["entities"].split(",")
        ]
        return {"CDCResponse": found, "time": "2024-07-01T00:00:00Z"}

    def _since(self, entity: str, since: datetime) -> list[Row]:
        rows = self.rows.get(entity, [])
        changed = [datetime.fromisoformat(row["MetaData"]["LastUpdatedTime"]) for row in rows]
        return [row for row, time in zip(rows, changed, strict=True) if time >= since]


def _list(entity: str, rows: list[Row]) -> Row:
    return {entity: rows, "startPosition": 1, "maxResults": len(rows)} if rows else {}


def _problem(refused: Refused) -> Row:
    kind = "AUTHENTICATION" if refused.status == 401 else "ValidationFault"
    return {"Fault": {"Error": [{"Message": refused.message, "code": "4000"}], "type": kind}}
