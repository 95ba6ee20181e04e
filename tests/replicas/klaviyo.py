"""A replica of Klaviyo's API, as far as profiles, events and metrics go.

https://developers.klaviyo.com/en/docs/rate_limits_and_error_handling: burst and steady limits by
endpoint, headers of the steady one, `Retry-After` and none of them with 429, errors as JSON:API has
them. https://developers.klaviyo.com/en/reference/get_profiles and get_events: what may be filtered
how (profiles by greater-than only), sorted, and how much there is on a page.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import Any

from blocks.testing import Allowance, Answer, Api, Call, Refused, header_key, offset, unwrap, wrap

Row = dict[str, Any]


def _problem(refused: Refused) -> Row:
    error = {"status": refused.status, "code": "invalid", "detail": refused.message}
    return {"errors": [error]}


class Tier:
    """A guard for the limits of an endpoint."""

    def __init__(self, burst: int, steady: int) -> None:
        self.burst, self.steady = Allowance(burst), Allowance(steady, per=60)
        self.limit = steady

    def __call__(self, call: Call) -> None:
        """Let a call pass, or refuse it."""
        self.burst(call)
        self.steady(call)


def klaviyo_api(profiles: list[Row], events: list[Row], metrics: list[Row]) -> Api:
    """The API over these, for an account with the key "pk_x"."""
    tiers = {"profiles": Tier(75, 700), "events": Tier(350, 3500), "metrics": Tier(10, 150)}
    key = header_key("Authorization", "Klaviyo-API-Key pk_x")

    def revision(call: Call) -> None:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", call.headers["revision"]):
            raise Refused(400, "revision")

    def told(call: Call, answer: Answer) -> Answer:
        tier = tiers.get(call.path.rpartition("/")[2])
        if tier is None or answer.status == 429:
            return answer
        left = {"Limit": tier.limit, "Remaining": tier.steady.left(), "Reset": 60}
        headers = {f"RateLimit-{name}": str(value) for name, value in left.items()}
        kind = {"Content-Type": "application/vnd.api+json"}
        return replace(answer, headers={**kind, **answer.headers, **headers})

    api = Api(key, revision, problem=_problem, finish=told)

    def listing(name: str, rows: list[Row], field: str, operators: str, most: int) -> None:
        at = "filter sort" if field else ""

        @api.get(
            f"/api/{name}",
            query=f"{at} page[size] page[cursor]",
            guards=[key, revision, tiers[name]],
        )
        def page(call: Call) -> Row:
            found = rows
            if field:
                asked = re.fullmatch(rf"({operators})\({field},([^)]*)\)", call.query["filter"])
                if asked is None or call.query["sort"] != field:
                    raise Refused(400, "invalid filter")
                since = datetime.fromisoformat(asked[2])
                found = [row for row in rows if _time(row, field) > since]
                if asked[1] == "greater-or-equal":
                    found = [row for row in rows if _time(row, field) >= since]
                found = sorted(found, key=lambda row: _time(row, field))
            size = call.query.whole("page[size]", min(most, 20), least=1, most=most)
            shown = offset(found, unwrap(call.query.get("page[cursor]"), 0), size)
            following = call.link({"page[cursor]": wrap(shown.next)}) if shown.more else None
            return {"data": shown.rows, "links": {"self": call.link({}), "next": following}}

    listing("profiles", profiles, "updated", "greater-than|less-than", 100)
    listing("events", events, "datetime", "greater-or-equal|greater-than", 200)
    listing("metrics", metrics, "", "", 200)
    return api


def _time(row: Row, field: str) -> datetime:
    return datetime.fromisoformat(row["attributes"][field])
