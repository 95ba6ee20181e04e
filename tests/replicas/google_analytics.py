"""Google Analytics' runReport, as its reference documents it (Data API v1beta).

Rows come by `limit` and `offset` of the body, at most so many a request, whatever was asked for;
`rowCount` is that of the whole report (.../rest/v1beta/properties/runReport, RunReportResponse).
All values are texts, beside headers with names and types. Of a report without rows both keys are
left out, as in any JSON of Google's (https://protobuf.dev/programming-guides/json). Both ends of a
range are included; days are written without hyphens.
"""

from __future__ import annotations

from typing import Any

from blocks.testing import Call, Refused, offset
from tests.replicas.google import google

Row = dict[str, Any]
TYPES = {"engagementRate": "TYPE_FLOAT", "totalRevenue": "TYPE_CURRENCY"}
FIELDS = "dateRanges dimensions metrics orderBys limit offset"


class Analytics:
    """The rows of property 77, by day and source, `most` to an answer."""

    def __init__(self, *, most: int) -> None:
        self.most = most
        self.rows: list[Row] = []
        self.api, self.tokens = google("https://www.googleapis.com/auth/analytics.readonly")
        self.api.post("/v1beta/properties/{id}:runReport", body=FIELDS)(self._report)

    def add(self, day: str, source: str, sessions: int) -> Row:
        """A new row."""
        dimensions = {"date": day, "sessionSource": source, "sessionMedium": "organic"}
        metrics = {"sessions": sessions, "totalUsers": 1, "engagementRate": 0.5, "totalRevenue": 2}
        self.rows.append({**dimensions, "deviceCategory": "desktop", **metrics})
        return self.rows[-1]

    def _report(self, call: Call) -> Row:
        if call.params["id"] != "77":
            raise Refused(403, "User does not have sufficient permissions for this property.")
        asked = call.json
        (days,) = asked["dateRanges"]
        by, numbers = ([each["name"] for each in asked[key]] for key in ("dimensions", "metrics"))
        if unknown := {*by, *numbers} - {*self.rows[0]}:
            raise Refused(400, f"Field {unknown} is not a valid field.")
        found = [row for row in self.rows if days["startDate"] <= row["date"] <= days["endDate"]]
        order = [each["dimension"]["dimensionName"] for each in asked["orderBys"]]
        found.sort(key=lambda row: [row[name] for name in order])
        page = offset(found, asked.get("offset", 0), min(asked["limit"], self.most))
        answer: Row = {
            "dimensionHeaders": [{"name": name} for name in by],
            "metricHeaders": [
                {"name": name, "type": TYPES.get(name, "TYPE_INTEGER")} for name in numbers
            ],
            "metadata": {"currencyCode": "USD", "timeZone": "America/New_York"},
            "kind": "analyticsData#runReport",
        }
        if page.rows:
            answer |= {
                "rowCount": page.total,
                "rows": [_row(row, by, numbers) for row in page.rows],
            }
        return answer


def _row(row: Row, by: list[str], numbers: list[str]) -> Row:
    texts = {name: str(row[name]).replace("-", "") if name == "date" else row[name] for name in by}
    return {
        "dimensionValues": [{"value": text} for text in texts.values()],
        "metricValues": [{"value": str(row[name])} for name in numbers],
    }
