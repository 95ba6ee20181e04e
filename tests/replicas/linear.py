"""Linear's GraphQL API: issues with their labels.

Lists are connections, of 50 unless `first` says otherwise, those changed last at the top when
ordered by `updatedAt`; archived issues come on demand (https://linear.app/developers/pagination,
https://linear.app/developers/filtering). A query costs 0.1 for a property and 1 for an object,
times the size of the connections around it, rounded up, 10,000 at most. Points come back all the
time; what is left is in headers, resets in milliseconds. Too much is 400 with code RATELIMITED
(https://linear.app/developers/rate-limiting). The key is sent without a scheme
(https://linear.app/developers/graphql).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from blocks.testing import Answer, Api, Call, connection, header_key
from tests.replicas.graphql import Field, Invalid, execute, parse

Row = dict[str, Any]
LIMIT = 3_000_000
EMPTY = {
    *("description", "estimate", "dueDate", "startedAt", "completedAt", "canceledAt"),
    *("archivedAt", "trashed", "project", "cycle", "assignee", "creator", "parent"),
}


class Linear:
    """A workspace; `left` are its points of complexity, `costs` those of the queries so far."""

    def __init__(self, key: str) -> None:
        self.issues: list[Row] = []
        self.left = float(LIMIT)
        self._asked = time.monotonic()
        self.costs: list[int] = []
        self.api = Api(header_key("Authorization", key), finish=self._tell)
        self.api.post("/graphql", body="query variables")(self._answer)

    def issue(self, number: int, updated: str, labels: int = 1) -> Row:
        """A new issue."""
        row: Row = {"id": f"uuid-{number}", "identifier": f"APP-{number}", "title": "t", "url": "u"}
        row |= dict.fromkeys(EMPTY) | {"createdAt": updated, "updatedAt": updated}
        row |= {"priority": 0, "state": {"id": "s", "name": "Todo", "type": "unstarted"}}
        row |= {"team": {"id": "t", "key": "APP"}}
        row["labels"] = [{"id": f"l{n}", "name": f"label {n}"} for n in range(labels)]
        self.issues.append(row)
        return row

    def _answer(self, call: Call) -> Answer:
        root = {"issues": self._issues, "issue": self._issue}
        try:
            fields = parse(call.json["query"], call.json.get("variables", {}))
            cost = _complexity(fields)
            self._refill()
            if cost > self.left:
                said = {"message": "Rate limit exceeded", "extensions": {"code": "RATELIMITED"}}
                return Answer({"errors": [said]}, 400)
            self.left -= cost
            self.costs.append(cost)
            return Answer({"data": execute(fields, root)}, headers={"X-Complexity": str(cost)})
        except Invalid as error:
            code = {"code": "GRAPHQL_VALIDATION_FAILED"}
            return Answer({"errors": [{"message": str(error), "extensions": code}]}, 400)

    def _issues(
        self,
        first: int = 50,
        after: str | None = None,
        orderBy: str = "createdAt",  # noqa: N803 - as the API has it
        includeArchived: bool = False,  # noqa: N803
        filter: Row | None = None,  # noqa: A002
    ) -> Row:
        since = (filter or {"updatedAt": {"gte": ""}})["updatedAt"]["gte"]
        rows = [row for row in self.issues if includeArchived or not row["archivedAt"]]
        rows = [_shown(row) for row in rows if row["updatedAt"] >= since]
        rows.sort(key=lambda row: row[orderBy], reverse=True)
        return connection(rows, first, after)

    def _issue(self, id: str) -> Row:  # noqa: A002
        return next(_shown(row) for row in self.issues if row["id"] == id)

    def _refill(self) -> None:
        now = time.monotonic()
        self.left = min(LIMIT, self.left + (now - self._asked) * LIMIT / 3600)
        self._asked = now

    def _tell(self, _: Call, answer: Answer) -> Answer:
        reset = str(int(time.time() * 1000) + 3_600_000)
        headers = {"Requests-Limit": "2500", "Requests-Remaining": "2400", "Requests-Reset": reset}
        headers |= {"Complexity-Limit": str(LIMIT), "Complexity-Remaining": str(int(self.left))}
        told = {f"X-RateLimit-{name}": text for name, text in headers.items()}
        told["X-RateLimit-Complexity-Reset"] = reset
        return Answer(answer.body, answer.status, {**answer.headers, **told})


def _shown(issue: Row) -> Row:
    return issue | {
        "labels": lambda first=50, after=None: connection(issue["labels"], first, after)
    }


def _complexity(fields: Mapping[str, Field]) -> int:
    cost = math.ceil(_points(fields))
    if cost > 10_000:
        raise Invalid("Query too complex")
    return cost


def _points(fields: Mapping[str, Field]) -> float:
    """The complexity of what was asked for."""
    found = 0.0
    for field in fields.values():
        inside = _points(field.fields)
        if field.name in {"nodes", "pageInfo"}:
            found += inside
        elif "nodes" in field.fields:
            found += inside * field.arguments.get("first", 50)
        else:
            found += 1 + inside if field.fields else 0.1
    return found
