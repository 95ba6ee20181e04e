"""Zoom: server-to-server OAuth, the account's cloud recordings, the daily usage report.

https://developers.zoom.us/docs/rooms/s2s-oauth/: the grant `account_credentials`, the
client with Basic; tokens of an hour.
https://marketplace.zoom.us/docs/api-reference/zoom-api/: recordings of at most a month, days of
UTC, `next_page_token` "" on the last page; one that is not good any longer is 400 with code 300.
The report is of a month, all its days.
https://developers.zoom.us/docs/api/errors/: `code` and `message`; 124 for an expired access token.
"""

from __future__ import annotations

import calendar
from datetime import date, timedelta
from typing import Any

from blocks.testing import Answer, Api, Call, Refused, Tokens, basic, offset, wrap

Row = dict[str, Any]
CODES = {401: 124, 429: 429}


class Zoom:
    """An account with these meetings recorded; pages have `size` of them at most."""

    def __init__(self, meetings: list[Row], *, size: int = 300) -> None:
        self.meetings = meetings
        self.minutes: dict[str, int] = {}
        self.tokens = Tokens("app", "")
        self._size = size
        self._pages: dict[str, int] = {}
        self.api = Api(self.tokens, problem=_problem)
        app, form = [basic("app", "s3cret")], "grant_type account_id"
        self.api.post("/oauth/token", body=form, guards=app)(self._grant)
        get, listing = self.api.get, "from to page_size next_page_token"
        get("/v2/accounts/me/recordings", query=listing)(self._recordings)
        get("/v2/report/daily", query="year month")(self._daily)

    def expire_pages(self) -> None:
        """Let fifteen minutes pass for the tokens of next pages."""
        self._pages.clear()

    def _grant(self, call: Call) -> Answer:
        if call.form["grant_type"] != "account_credentials" or call.form["account_id"] != "acc":
            return Answer({"reason": "Bad request", "error": "invalid_request"}, 400)
        return Answer(self.tokens.issue())

    def _recordings(self, call: Call) -> Row:
        first, last = (date.fromisoformat(call.query[name]) for name in ("from", "to"))
        if last - first > timedelta(days=31):
            raise Refused(400, "The date range is more than a month.")
        token = call.query.get("next_page_token", "")
        if token and token not in self._pages:
            raise Refused(400, "The next page token is invalid or expired.")
        found = [
            row
            for row in self.meetings
            if first <= date.fromisoformat(row["start_time"][:10]) <= last
        ]
        size = min(self._size, call.query.whole("page_size", 30, most=300))
        page = offset(found, self._pages.get(token, 0), size)
        following = (wrap([str(first), str(last), page.next]) or "") if page.more else ""
        if following:
            self._pages[following] = page.next
        span = {"from": str(first), "to": str(last), "total_records": page.total}
        return {**span, "next_page_token": following, "meetings": page.rows}

    def _daily(self, call: Call) -> Row:
        year, month = call.query.whole("year", 0), call.query.whole("month", 0)
        count = calendar.monthrange(year, month)[1]
        days = [str(date(year, month, day)) for day in range(1, count + 1)]
        dates = [{"date": day, "meeting_minutes": self.minutes.get(day, 0)} for day in days]
        return {"year": year, "month": month, "dates": dates}


def _problem(refused: Refused) -> Row:
    return {"code": CODES.get(refused.status, 300), "message": refused.message}
