"""GitHub's issues and comments, as https://docs.github.com/en/rest/issues documents them.

Lists are paged by `Link`, 30 rows on a page, 100 at most; `since` is inclusive and about updates;
an unknown repository is 404. Each token has a quota of its own: used up, the answer is 403 with
`x-ratelimit-remaining: 0` and the reset in seconds of the epoch
(https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api).
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from typing import Any

from blocks.testing import Answer, Api, Call, Refused, bearer, linked, numbered

Row = dict[str, Any]
LABEL = {"id": 1, "name": "bug"}


class GitHub:
    """Issues and comments by repository, and what each token may still ask."""

    def __init__(self, quotas: dict[str, int]) -> None:
        self.issues: dict[str, list[Row]] = {"me/app": [], "me/lib": []}
        self.comments: dict[int, list[Row]] = {}
        self.left = Counter(quotas)
        self._ids = itertools.count(1000)
        self.api = Api(bearer(*quotas), self._spend, problem=_problem, finish=self._tell)
        listing = "per_page page since"
        root = "/repos/{owner}/{name}/issues"
        self.api.get(root, query=f"state sort direction {listing}")(self._list_issues)
        self.api.get(root + "/{number}/comments", query=listing)(self._list_comments)

    def issue(self, repo: str, number: int, updated: str, comments: int = 0) -> Row:
        """A new issue, with so many comments."""
        key = next(self._ids)
        row: Row = {"id": key, "number": number, "state": "open", "labels": [LABEL]}
        row |= {"comments": 0, "updated_at": updated}
        self.issues[repo].append(row)
        self.comments[key] = []
        for _ in range(comments):
            self.comment(row, updated)
        return row

    def comment(self, issue: Row, at: str) -> None:
        """A new comment, which changes its issue."""
        rows = self.comments[issue["id"]]
        rows.append({"id": next(self._ids), "body": f"at {at}", "updated_at": at})
        issue |= {"comments": len(rows), "updated_at": at}

    def _list_issues(self, call: Call) -> Answer:
        since, state = call.query.get("since", ""), call.query.get("state", "open")
        rows = [
            row
            for row in self._repo(call)
            if row["updated_at"] >= since and state in {"all", row["state"]}
        ]
        by = {"created": "id", "updated": "updated_at"}[call.query.get("sort", "created")]
        rows.sort(key=lambda row: row[by], reverse=call.query.get("direction", "desc") == "desc")
        return _paged(call, rows)

    def _list_comments(self, call: Call) -> Answer:
        for row in self._repo(call):
            if str(row["number"]) == call.params["number"]:
                since = call.query.get("since", "")
                found = [each for each in self.comments[row["id"]] if each["updated_at"] >= since]
                return _paged(call, found)
        raise Refused(404, "Not Found")

    def _repo(self, call: Call) -> list[Row]:
        name = f"{call.params['owner']}/{call.params['name']}"
        if name not in self.issues:
            raise Refused(404, "Not Found")
        return self.issues[name]

    def _spend(self, call: Call) -> None:
        if self.left[_token(call)] < 1:
            raise Refused(403, "API rate limit exceeded")
        self.left[_token(call)] -= 1

    def _tell(self, call: Call, answer: Answer) -> Answer:
        left = {"X-RateLimit-Remaining": str(self.left[_token(call)])}
        reset = {"X-RateLimit-Reset": str(int(time.time()) + 3000)}
        return Answer(answer.body, answer.status, {**answer.headers, **left, **reset})


def _paged(call: Call, rows: list[Row]) -> Answer:
    size = min(call.query.whole("per_page", 30), 100)
    page = numbered(rows, call.query.whole("page", 1, least=1), size)
    return Answer(page.rows, headers=linked(call, page))


def _token(call: Call) -> str:
    return call.headers.get("authorization", "").removeprefix("Bearer ")


def _problem(refused: Refused) -> Row:
    message = "Bad credentials" if refused.status == 401 else refused.message
    return {"message": message, "documentation_url": "https://docs.github.com/rest"}
