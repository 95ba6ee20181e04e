"""Meta's asynchronous Insights, as https://developers.facebook.com documents the Marketing API.

A POST to insights begins a report, asked about by its id until `async_status` is Job Completed,
which comes after 100 percent; its rows then are at its own insights, a page at a time, and the last
page has cursors, but no `next` (docs/marketing-api/insights/best-practices). Numbers are texts.
Errors have a code: 190 is the token, 17 a limit, which says in a header how many minutes it lasts,
all with status 400 (docs/graph-api/overview/rate-limiting, .../error-handling). Too much data is
100 with the subcode 1487534, or a report that ends as Job Failed.
"""

from __future__ import annotations

import json
import re
from datetime import date
from itertools import count
from typing import Any

from blocks.testing import Answer, Api, Call, Refused, keyed

Row = dict[str, Any]
TOKEN = "not-a-token"
STATES = ("Job Not Started", "Job Running", "Job Completed")


class Ads:
    """The rows of account 42 by day, and what is refused: codes in turn, ranges that are long."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.codes: list[int] = []
        self.longest, self.most = 7, 7  # days that can be made, and asked for
        self.reports: dict[str, Row] = {}
        self._numbers = count(1)
        api = self.api = Api(self._guard, problem=_problem, finish=_usage)
        body = "level time_increment time_range fields"
        api.post("/v25.0/act_{account}/insights", body=body)(self._begin)
        api.get("/v25.0/{id}")(self._ask)
        api.get("/v25.0/{id}/insights", query="limit after")(self._read)

    def add(self, day: str, ad: str, clicks: int) -> Row:
        """A new row."""
        row: Row = {"account_id": "42", "ad_id": ad, "ad_name": f"ad {ad}", "spend": "1.25"}
        row |= {"campaign_id": "7", "adset_id": "8", "clicks": str(clicks), "impressions": "100"}
        row |= {"actions": [{"action_type": "link_click", "value": str(clicks)}]}
        self.rows.append({**row, "date_start": day, "date_stop": day})
        return self.rows[-1]

    def _guard(self, call: Call) -> None:
        if call.headers.get("authorization") != f"Bearer {TOKEN}":
            raise Refused(400, "(#190) Error validating access token: Session has expired")
        if self.codes:
            raise Refused(400, f"(#{self.codes.pop(0)}) Please wait and try again")

    def _begin(self, call: Call) -> Row:
        bounds = json.loads(call.form["time_range"])
        days = [date.fromisoformat(bounds[key]).toordinal() for key in ("since", "until")]
        length = days[1] - days[0] + 1
        if call.params["account"] != "42" or call.form["time_increment"] != "1":
            raise Refused(400, "(#100) Unsupported post request")
        if length > self.most:
            raise Refused(400, "(#100) Please reduce the amount of data, subcode 1487534")
        names = [*call.form["fields"].split(","), "date_start", "date_stop"]
        rows = [
            {"id": f"{row['date_start']}-{row['ad_id']}", **{name: row[name] for name in names}}
            for row in self.rows
            if bounds["since"] <= row["date_start"] <= bounds["until"]
        ]
        report = f"60{next(self._numbers)}"
        self.reports[report] = {"asked": 0, "rows": rows, "fails": length > self.longest}
        return {"report_run_id": report}

    def _ask(self, call: Call) -> Row:
        report = self.reports[call.params["id"]]
        state = STATES[min(report["asked"], 2)]
        report["asked"] += 1
        if report["fails"] and state == "Job Completed":
            state = "Job Failed"
        return {"id": call.params["id"], "async_status": state, "async_percent_completion": 100}

    def _read(self, call: Call) -> Row:
        report = self.reports[call.params["id"]]
        if report["asked"] < len(STATES):
            raise Refused(400, "(#2601) Error accessing adreport job.")
        page = keyed(report["rows"], call.query.get("after"), min(5, call.query.whole("limit", 25)))
        if not page.rows:
            return {"data": []}
        paging: Row = {"cursors": {"before": "x", "after": page.rows[-1]["id"]}}
        if page.more:
            paging["next"] = call.link({"after": page.next, "access_token": TOKEN})
        return {
            "data": [{k: row[k] for k in row if k != "id"} for row in page.rows],
            "paging": paging,
        }


def _problem(refused: Refused) -> Row:
    code, subcode = (re.search(by, refused.message) for by in (r"#(\d+)", r"subcode (\d+)"))
    error: Row = {"message": refused.message, "type": "OAuthException"}
    error |= {"code": int(code[1]) if code else 1, "fbtrace_id": "x"}
    return {"error": error | ({"error_subcode": int(subcode[1])} if subcode else {})}


def _usage(_: Call, answer: Answer) -> Answer:
    usage = {"type": "ads_insights", "call_count": 1, "estimated_time_to_regain_access": 0}
    headers = {**answer.headers, "X-Business-Use-Case-Usage": json.dumps({"9": [usage]})}
    return Answer(answer.body, answer.status, headers)
