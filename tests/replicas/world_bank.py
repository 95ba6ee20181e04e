"""A replica of the World Bank's indicators, of which each has a day of update.

https://datahelpdesk.worldbank.org/knowledgebase/articles/898581-api-basic-call-structures: `page`
from 1, `per_page` 50 unless told otherwise, `date` as a range of years, XML unless JSON is asked
for; an answer is a pair of what is said about the page and its rows, null where there are none.
https://datahelpdesk.worldbank.org/knowledgebase/articles/898620-api-error-codes: an error says 200.
"""

from __future__ import annotations

from typing import Any

from blocks.testing import Answer, Api, Call, numbered

Row = dict[str, Any]


class WorldBank:
    """Rows and the day of update by the code of an indicator; at most `most` on a page."""

    def __init__(self, most: int = 32_500) -> None:
        self._most = most
        self.rows: dict[str, list[Row]] = {}
        self.updated: dict[str, str] = {}
        self.api = Api()
        query = "format date page per_page"
        self.api.get("/v2/country/all/indicator/{code}", query=query)(self._list)

    def add(self, code: str, country: str, year: int, value: float | None) -> None:
        """An observation."""
        names = {"indicator": {"id": code, "value": code}, "country": {"id": country, "value": "c"}}
        self.rows.setdefault(code, []).append({**names, "date": str(year), "value": value})
        self.updated.setdefault(code, "2024-05-30")

    def _list(self, call: Call) -> Any:
        code = call.params["code"]
        if call.query.get("format") != "json":
            return Answer(b'<?xml version="1.0"?>', headers={"Content-Type": "text/xml"})
        if code not in self.rows:
            said = {"id": "120", "key": "Invalid value", "value": "The provided value is not valid"}
            return Answer([{"message": [said]}])
        first, _, last = call.query["date"].partition(":")
        rows = [row for row in self.rows[code] if int(first) <= int(row["date"]) <= int(last)]
        size = min(self._most, call.query.whole("per_page", 50, least=1))
        page = numbered(rows, call.query.whole("page", 1, least=1), size)
        about = {
            "page": call.query.whole("page", 1),
            "pages": -(-len(rows) // size),
            "per_page": str(size),
        }
        about |= {"total": len(rows), "sourceid": "2", "lastupdated": self.updated[code]}
        return Answer([about, page.rows or None])
