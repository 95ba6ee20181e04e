"""Search Console's searchAnalytics.query, as https://developers.google.com/webmaster-tools says.

Rows have their values in `keys`, in the order of the dimensions, and come by clicks. A page is
`rowLimit` rows from `startRow`, 25,000 at most (v1/searchanalytics/query); after the last there are
none (v1/how-tos/all-your-data), and the key is left out. Both ends of the range are included. Days
become final after two to three. A quota that is exceeded is a 403 with a reason (v1/errors).
"""

from __future__ import annotations

from typing import Any

from blocks.testing import Answer, Call, Refused, offset
from tests.replicas.google import google, problem

Row = dict[str, Any]
SITE = "sc-domain:example.com"
FIELDS = "startDate endDate dimensions type dataState rowLimit startRow"
METRICS = ("clicks", "impressions", "ctr", "position")


class Console:
    """The rows of one site, `most` to a page, and how often the quota is still exceeded."""

    def __init__(self, *, most: int) -> None:
        self.most = most
        self.exceeded = 0
        self.rows: list[Row] = []
        self.api, self.tokens = google("https://www.googleapis.com/auth/webmasters.readonly")
        self.api.post("/webmasters/v3/sites/{site}/searchAnalytics/query", body=FIELDS)(self._query)

    def add(self, day: str, page: str, clicks: int) -> Row:
        """A new row."""
        row = {"date": day, "page": page, "query": "blocks", "country": "deu", "device": "MOBILE"}
        self.rows.append({**row, "clicks": clicks, "impressions": 9, "ctr": 0.5, "position": 1.5})
        return self.rows[-1]

    def _query(self, call: Call) -> Any:
        if self.exceeded:
            self.exceeded -= 1
            refused = problem(Refused(403, "Search Analytics load quota exceeded."))
            reason = {"domain": "usageLimits", "reason": "quotaExceeded"}
            return Answer({"error": {**refused["error"], "errors": [reason]}}, 403)
        asked = call.json
        if call.params["site"] != SITE:
            raise Refused(403, "User does not have sufficient permission for this site.")
        if asked["dataState"] != "final" or not 0 < asked["rowLimit"] <= 25_000:
            raise Refused(400, "expected final data, and 1 to 25000 as rowLimit")
        found = [row for row in self.rows if asked["startDate"] <= row["date"] <= asked["endDate"]]
        found.sort(key=lambda row: -row["clicks"])
        page = offset(found, asked.get("startRow", 0), min(asked["rowLimit"], self.most))
        rows = [
            {"keys": [row[name] for name in asked["dimensions"]]}
            | {name: row[name] for name in METRICS}
            for row in page.rows
        ]
        return {"responseAggregationType": "byPage"} | ({"rows": rows} if rows else {})
