"""GitHub's GraphQL API: pull requests of one repository with their labels and reviews.

Connections want `first`, from 1 to 100. A query costs a hundredth of the connections it may open,
rounded, 1 at least; when the points of the hour are used up, the answer is 200 with an error, and
`x-ratelimit-remaining: 0` (https://docs.github.com/en/graphql/overview/
rate-limits-and-query-limits-for-the-graphql-api). Pull requests are ordered by the time of their
update on demand, and not filtered by it (https://docs.github.com/en/graphql/reference/objects).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from blocks.testing import Answer, Api, Call, Refused, bearer, connection
from tests.replicas.graphql import Field, Invalid, execute, parse

Row = dict[str, Any]


class GitHub:
    """The pull requests of me/app; `left` are the points of this hour, `costs` those of queries."""

    def __init__(self, token: str) -> None:
        self.pulls: list[Row] = []
        self.left = 5000
        self.costs: list[int] = []
        self.asked: list[Row] = []
        self.api = Api(bearer(token), problem=_problem, finish=self._tell)
        self.api.post("/graphql", body="query variables")(self._answer)

    def pull(self, number: int, updated: str, labels: int = 1, reviews: int = 1) -> Row:
        """A new pull request."""
        row: Row = {"id": f"PR_{number}", "number": number, "title": "t", "state": "OPEN"}
        row |= {"isDraft": False, "createdAt": updated, "updatedAt": updated, "author": None}
        row |= {"closedAt": None, "mergedAt": None}
        row["labels"] = [{"id": f"LA_{n}", "name": f"l{n}"} for n in range(labels)]
        review = {"state": "APPROVED", "submittedAt": updated, "author": {"login": "me"}}
        row["reviews"] = [{"id": f"PRR_{number}_{n}", **review} for n in range(reviews)]
        self.pulls.append(row)
        return row

    def _answer(self, call: Call) -> Row:
        variables = call.json.get("variables", {})
        self.asked.append(variables)
        root = {"repository": self._repository, "node": self._node}
        try:
            fields = parse(call.json["query"], variables)
            cost = max(1, round(_opened(fields, 1) / 100))
            if cost > self.left:
                said = {"type": "RATE_LIMITED", "message": "API rate limit exceeded"}
                self.left = 0
                return {"errors": [said]}
            self.left -= cost
            self.costs.append(cost)
            data = execute(fields, root)
        except Invalid as error:
            return {"errors": [{"message": str(error)}]}
        if None in data.values():
            said = {"type": "NOT_FOUND", "message": "Could not resolve to a Repository or node"}
            return {"data": data, "errors": [said]}
        return {"data": data}

    def _repository(self, owner: str, name: str) -> Row | None:
        def pull_requests(
            first: int,
            after: str | None = None,
            orderBy: Row | None = None,  # noqa: N803
        ) -> Row:
            rows = [*self.pulls]
            if orderBy:
                rows.sort(key=lambda row: row["updatedAt"], reverse=orderBy["direction"] == "DESC")
            return _connection(list(map(_shown, rows)), first, after)

        return {"pullRequests": pull_requests} if (owner, name) == ("me", "app") else None

    def _node(self, id: str) -> Row | None:  # noqa: A002 - as the API has it
        return next((_shown(row) for row in self.pulls if row["id"] == id), None)

    def _tell(self, _: Call, answer: Answer) -> Answer:
        now = int(time.time())
        left = {"X-RateLimit-Remaining": str(self.left), "X-RateLimit-Reset": str(now + 1)}
        return Answer(answer.body, answer.status, {**answer.headers, **left})


def _shown(pull: Row) -> Row:
    def some(field: str) -> Any:
        return lambda first, after=None: _connection(pull[field], first, after)

    return pull | {field: some(field) for field in ("labels", "reviews")}


def _connection(rows: list[Row], first: int, after: str | None) -> Row:
    if not 1 <= first <= 100:
        raise Invalid("first must be within 1-100")
    return connection(rows, first, after)


def _opened(fields: Mapping[str, Field], times: int) -> int:
    """How many connections are opened, each with as many records as were asked for."""
    return sum(
        times + _opened(field.fields, times * field.arguments["first"])
        if "first" in field.arguments
        else _opened(field.fields, times)
        for field in fields.values()
    )


def _problem(refused: Refused) -> Row:
    return {"message": "Bad credentials" if refused.status == 401 else refused.message}
