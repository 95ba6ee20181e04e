"""A replica of HubSpot's CRM, as far as contacts, their properties and companies go.

https://developers.hubspot.com/docs/api-reference/2026-03/crm/search-the-crm: one sort, at most
200 a page and 10,000 of a search, then 400; no archived contacts; bodies of 3,000 characters.
https://developers.hubspot.com/docs/api-reference/latest/crm/associations/associate-records/batch/get-associations:
1,000 inputs, `paging` for each that has more, 207 with an error for those without any.
https://developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines: headers of limits,
none of searches; the words of a 429.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from blocks.testing import Allowance, Answer, Api, Call, Refused, bearer, offset

Row = dict[str, Any]
CONTACTS = "/crm/objects/2026-03/contacts"
DEFAULTS = ["hs_object_id", "createdate", "lastmodifieddate"]


def contact(number: int, changed: str, **properties: str | None) -> Row:
    """A contact; some have a company, one has three."""
    fixed = {"hs_object_id": str(number), "createdate": "2024-01-01T00:00:00Z"}
    return {
        "id": str(number),
        "properties": {**fixed, "lastmodifieddate": changed, **properties},
        "archived": False,
        "companies": [7, 8, 9] if number == 100 else [7][: number % 2],
    }


def _problem(refused: Refused) -> Row:
    category = {401: "INVALID_AUTHENTICATION", 429: "RATE_LIMITS"}.get(
        refused.status, "VALIDATION_ERROR"
    )
    return {"status": "error", "message": refused.message, "category": category}


def _batch(results: list[Row], missing: list[str]) -> Answer:
    body: Row = {"status": "COMPLETE", "results": results}
    if missing:
        error = {"status": "error", "category": "OBJECT_NOT_FOUND", "context": {"ids": missing}}
        body |= {"numErrors": 1, "errors": [error]}
    return Answer(body, 207 if missing else 200)


def _inputs(call: Call, most: int) -> list[Row]:
    inputs: list[Row] = call.json["inputs"]
    if not 0 < len(inputs) <= most:
        raise Refused(400, f"expected 1 to {most} inputs")
    return inputs


def hubspot_api(contacts: list[Row], names: list[str], *, most: int = 10_000) -> Api:
    """The API over `contacts` with properties `names`; a search shows `most` rows."""
    allowance = Allowance(100, per=10)

    def told(call: Call, answer: Answer) -> Answer:
        if call.path.endswith("/search"):
            return answer
        left = {"Max": "100", "Remaining": allowance.left(), "Interval-Milliseconds": 10000}
        headers = {f"X-HubSpot-RateLimit-{name}": str(value) for name, value in left.items()}
        return Answer(answer.body, answer.status, {**answer.headers, **headers})

    token = bearer("t0ken")
    api = Api(token, allowance, problem=_problem, finish=told)

    @api.get("/crm/properties/2026-03/contacts")
    def properties(call: Call) -> Row:
        return {"results": [{"name": name, "type": "string"} for name in [*DEFAULTS, *names]]}

    @api.post(
        f"{CONTACTS}/search",
        body="filterGroups sorts limit after properties",
        guards=[token, Allowance(20)],
    )
    def search(call: Call) -> Row:
        (group,), (sort,) = call.json["filterGroups"], call.json["sorts"]
        changed, known = (each["value"] for each in group["filters"])
        size, start = call.json.get("limit", 10), int(call.json.get("after", 0))
        if size > 200 or len(call.content) > 3000 or start + size > most:
            raise Refused(400, "a page, a body or a search that is too large")
        if (sort["propertyName"], sort["direction"]) != ("hs_object_id", "ASCENDING"):
            raise Refused(400, "not in this replica")
        live = [each for each in contacts if not each["archived"] and int(each["id"]) > int(known)]
        found = [each for each in live if _millis(each) >= int(changed)]
        page = offset(sorted(found, key=lambda each: int(each["id"])), start, size)
        paging = {"paging": {"next": {"after": str(page.next)}}} if page.more else {}
        results = [_shown(each, DEFAULTS) for each in page.rows]
        return {"total": page.total, "results": results, **paging}

    @api.post(f"{CONTACTS}/batch/read", body="inputs properties")
    def read(call: Call) -> Answer:
        ids = [each["id"] for each in _inputs(call, 100)]
        live = {each["id"]: each for each in contacts if not each["archived"]}
        asked = [*DEFAULTS, *call.json["properties"]]
        found = [_shown(live[each], asked) for each in reversed(ids) if each in live]
        return _batch(found, [each for each in ids if each not in live])

    @api.post("/crm/associations/2026-03/contacts/companies/batch/read", body="inputs")
    def associations(call: Call) -> Answer:
        results, missing = [], []
        known = {each["id"]: each["companies"] for each in contacts}
        kinds = [{"category": "HUBSPOT_DEFINED", "typeId": 279, "label": None}]
        for each in _inputs(call, 1000):
            links = [{"toObjectId": one, "associationTypes": kinds} for one in known[each["id"]]]
            page = offset(links, int(each.get("after", 0)), 2)
            paging = {"paging": {"next": {"after": str(page.next)}}} if page.more else {}
            if links:
                results.append({"from": {"id": each["id"]}, "to": page.rows, **paging})
            else:
                missing.append(each["id"])
        return _batch(results, missing)

    @api.get(CONTACTS, query="archived limit after")
    def listed(call: Call) -> Row:
        found = [
            each for each in contacts if each["archived"] is (call.query["archived"] == "true")
        ]
        size = call.query.whole("limit", 10, most=100)
        page = offset(found, call.query.whole("after", 0), size)
        paging = {"paging": {"next": {"after": str(page.next)}}} if page.more else {}
        return {"results": [_shown(each, DEFAULTS) for each in page.rows], **paging}

    return api


def _millis(contact: Row) -> int:
    changed = datetime.fromisoformat(contact["properties"]["lastmodifieddate"])
    return int(changed.timestamp() * 1000)


def _shown(contact: Row, asked: list[str]) -> Row:
    properties = {name: contact["properties"].get(name) for name in asked}
    return {"id": contact["id"], "properties": properties, "archived": contact["archived"]}
