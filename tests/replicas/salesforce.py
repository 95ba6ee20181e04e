"""Salesforce's REST and Bulk API 2.0 queries, as https://developer.salesforce.com/docs has them.

Batches of a query end with `done`; the next is at `nextRecordsUrl`, which says query for queryAll,
too (api_rest/resources_queryall_more_results.htm). A query job is polled until JobComplete; its
results are CSV, the next part is named in `Sforce-Locator`, "null" after the last
(api_asynch/query_get_job_results.htm). Compound fields are refused there (api_asynch/queries.htm).
SOQL's times are not quoted and have no fractions. Errors are an array (api_rest/errorcodes.htm).
Tokens come without a lifetime; `Sforce-Limit-Info` counts (api_rest/headers_api_usage.htm).
"""

from __future__ import annotations

import csv
import io
import re
from itertools import count
from typing import Any

from blocks.testing import Answer, Api, Call, Refused, Tokens, offset

Row = dict[str, Any]
ROOT = "/services/data/v66.0"
CODES = {401: "INVALID_SESSION_ID", 403: "REQUEST_LIMIT_EXCEEDED", 404: "NOT_FOUND"}
SOQL = re.compile(
    r"SELECT ([\w, ]+) FROM (\w+) WHERE SystemModstamp >= (\d{4}-\d\d-\d\dT[\d:]{8})Z"
)


class Org:
    """Objects with the types of their fields, their records, and the jobs begun."""

    def __init__(self, fields: dict[str, dict[str, str]], *, batch: int) -> None:
        self.fields, self.batch = fields, batch
        self.records: dict[str, list[Row]] = {name: [] for name in fields}
        self.tokens = Tokens("app", "not-a-secret", lifetime=None)
        self.jobs: dict[str, Row] = {}
        self.fails = False
        self._numbers, self._locators = count(1), dict[str, list[Row]]()
        api = self.api = Api(self.tokens, problem=_problem, finish=_counted)
        api.post("/services/oauth2/token", body=Tokens.FIELDS, guards=())(self.tokens.grant)
        api.get(ROOT + "/sobjects/{name}/describe")(self._describe)
        api.get(ROOT + "/queryAll", query="q")(
            lambda call: self._batch(self._rows(call.query["q"]))
        )
        api.get(ROOT + "/query/{locator}")(self._more)
        api.post(ROOT + "/jobs/query", body="operation query")(self._create)
        api.get(ROOT + "/jobs/query/{id}")(self._poll)
        api.route("PATCH", ROOT + "/jobs/query/{id}", body="state")(self._abort)
        api.get(ROOT + "/jobs/query/{id}/results", query="maxRecords locator")(self._results)

    def _describe(self, call: Call) -> Row:
        fields = self.fields[self._known(call.params["name"])]
        return {"fields": [{"name": name, "type": kind} for name, kind in fields.items()]}

    def _query(self, call: Call) -> Row:
        return self._batch(self._rows(call.query["q"]))

    def _known(self, name: str) -> str:
        if name not in self.fields:
            raise Refused(404, "The requested resource does not exist")
        return name

    def _rows(self, query: str, barred: tuple[str, ...] = ()) -> list[Row]:
        if (found := re.fullmatch(SOQL, query)) is None:
            raise Refused(400, "MALFORMED_QUERY")
        names, fields = found[1].split(", "), self.fields[self._known(found[2])]
        for name in names:
            if name not in fields or fields[name] in barred:
                raise Refused(400, f"No such column {name!r}")
        kept = [row for row in self.records[found[2]] if row["SystemModstamp"][:19] >= found[3]]
        return [{name: row.get(name) for name in names} for row in kept]

    def _batch(self, rows: list[Row]) -> Row:
        head, rest = rows[: self.batch], rows[self.batch :]
        records = [{"attributes": {"type": "x", "url": "/x"}, **row} for row in head]
        answer: Row = {"totalSize": len(rows), "done": not rest, "records": records}
        if rest:
            self._locators[locator := f"01g{next(self._numbers)}-{self.batch}"] = rest
            answer["nextRecordsUrl"] = f"{ROOT}/query/{locator}"
        return answer

    def _more(self, call: Call) -> Row:
        return self._batch(self._locators[call.params["locator"]])

    def _create(self, call: Call) -> Row:
        if call.json["operation"] != "queryAll":
            raise Refused(400, "expected queryAll")
        rows = self._rows(call.json["query"], ("address", "location", "base64"))
        job = {"id": f"750{next(self._numbers)}", "state": "UploadComplete"}
        self.jobs[str(job["id"])] = {**job, "rows": rows}
        return job

    def _poll(self, call: Call) -> Row:
        job = self.jobs[call.params["id"]]
        if job["state"] != "Aborted":
            end = "Failed" if self.fails else "JobComplete"
            job["state"] = {"UploadComplete": "InProgress"}.get(job["state"], end)
        return {"id": job["id"], "state": job["state"]}

    def _abort(self, call: Call) -> Row:
        self.jobs[call.params["id"]]["state"] = call.json["state"]
        return {"id": call.params["id"], "state": call.json["state"]}

    def _results(self, call: Call) -> Answer:
        rows = self.jobs[call.params["id"]]["rows"]
        size = min(call.query.whole("maxRecords", self.batch), self.batch)
        page = offset(rows, int(call.query.get("locator", "MTA0")[3:]), size)
        writer = csv.DictWriter(file := io.StringIO(), [*rows[0]] if rows else [], quoting=1)
        writer.writeheader()
        writer.writerows({name: _text(row[name]) for name in row} for row in page.rows)
        headers = {
            "Content-Type": "text/csv",
            "Sforce-NumberOfRecords": str(len(page.rows)),
            "Sforce-Locator": f"MTA{page.next}" if page.more else "null",
        }
        return Answer(file.getvalue().encode(), headers=headers)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def _problem(refused: Refused) -> Any:
    code = CODES.get(refused.status, "INVALID_FIELD")
    return [{"message": refused.message, "errorCode": code}]


def _counted(_: Call, answer: Answer) -> Answer:
    used = {"Sforce-Limit-Info": "api-usage=18/100000"}
    return Answer(answer.body, answer.status, {**answer.headers, **used}, end=answer.end)
