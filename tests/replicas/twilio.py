"""A replica of Twilio's API, as far as accounts, messages, calls and daily usage go.

https://www.twilio.com/docs/api/rest/data-types: lists by name in an envelope whose next_page_uri is
relative to the host, with a PageToken, and null at the end; at most 1,000 on a page.
https://www.twilio.com/docs/messaging/api/message-resource: newest first; DateSent> is a day of UTC,
and includes it. So are StartTime> of calls and StartDate of usage.
https://www.twilio.com/docs/iam/api/account: times as in RFC 2822; a subaccount's record has its
token. https://www.twilio.com/docs/usage/api/usage-record: with subaccounts unless told otherwise.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

from blocks.testing import Api, Call, Refused, basic, offset, unwrap, wrap

Row = dict[str, Any]
LISTS = {"Messages": "messages", "Calls": "calls", "Usage/Records/Daily": "usage_records"}


class Twilio:
    """The API over `rows["Messages"]` and so on, each of an account; `size` is that of pages."""

    def __init__(self, *accounts: str, size: int) -> None:
        self.accounts = [*accounts]
        self.rows: dict[str, list[Row]] = {place: [] for place in LISTS}
        self._size = size
        self.api = Api(basic(accounts[0], "t0ken"), problem=_problem)
        params = "PageSize Page PageToken"
        self.api.get("/2010-04-01/Accounts.json", query=params)(self._accounts)
        for place, more in zip(
            LISTS, ("DateSent>", "StartTime>", "StartDate IncludeSubaccounts"), strict=True
        ):
            at = f"/2010-04-01/Accounts/{{sid}}/{place}.json"
            self.api.get(at, query=f"{params} {more}")(self._listing(place, more.split()[0]))

    def _accounts(self, call: Call) -> Row:
        made = format_datetime(datetime(2024, 1, 1, tzinfo=UTC))
        found = [
            {"sid": sid, "status": "active", "auth_token": f"secret of {sid}", "date_created": made}
            for sid in self.accounts
        ]
        return self._page(call, "accounts", found)

    def _listing(self, place: str, bound: str) -> Any:
        def listing(call: Call) -> Row:
            sid, since = call.params["sid"], date.fromisoformat(call.query[bound])
            if sid not in self.accounts:
                raise Refused(404, f"The requested resource {call.path} was not found")
            mine = [row for row in self.rows[place] if row["account_sid"] == sid]
            if "Usage" in place and call.query.get("IncludeSubaccounts") != "false":
                total = sum(int(row["count"]) for row in self.rows[place])
                mine = [{**row, "count": str(total)} for row in mine]
            found = [row for row in mine if _day(row) is not None and _day(row) >= since]
            return self._page(call, LISTS[place], sorted(found, key=_day, reverse=True))

        return listing

    def _page(self, call: Call, name: str, rows: list[Row]) -> Row:
        call.query.whole("PageSize", 50, least=1, most=1000)
        page = offset(rows, unwrap(call.query.get("PageToken"), 0), self._size)
        following = None
        if page.more:
            number = call.query.whole("Page", 0) + 1
            url = call.link({"Page": number, "PageToken": wrap(page.next)})
            following = url.removeprefix(f"http://{call.headers['host']}")
        return {name: page.rows, "page_size": self._size, "next_page_uri": following}


def stamp(day: date) -> str:
    """A time of this day, as Twilio writes it."""
    return format_datetime(datetime.combine(day, time(10, 30), UTC))


def _day(row: Row) -> Any:
    if "start_date" in row:
        return date.fromisoformat(row["start_date"])
    text = row.get("date_sent") or row.get("start_time")
    return parsedate_to_datetime(text).date() if text else None


def _problem(refused: Refused) -> Row:
    code = {401: 20003, 404: 20404, 429: 20429}.get(refused.status, 20001)
    return {"code": code, "message": refused.message, "status": refused.status}
