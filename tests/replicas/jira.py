"""Jira Cloud's search, as developer.atlassian.com/cloud/jira/platform/rest/v3 documents it.

`/search/jql` (api-group-issue-search) pages by `nextPageToken`, which the last page lacks; one that
it did not give is refused with 400. A query must be bounded, and without `fields` there are ids
only. Times in JQL are minutes on the clock of the account (https://jira.atlassian.com/browse/
JRACLOUD-74279), those of issues have milliseconds and an offset without a colon. Errors are
`errorMessages` and `errors`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from blocks.testing import Api, Call, Refused, basic, offset, unwrap, wrap

Row = dict[str, Any]
JQL = re.compile(r'(?:\(project = (\w+)\) AND )?updated >= "(.{16})" ORDER BY updated ASC')
FIELDS = [
    {"id": "summary", "key": "summary", "name": "Summary", "custom": False},
    {"id": "updated", "key": "updated", "name": "Updated", "custom": False},
    {"id": "customfield_10001", "name": "Story Points", "custom": True},
    {"id": "customfield_10002", "name": "Region", "custom": True},
    {"id": "customfield_10003", "name": "region", "custom": True},
    {"id": "customfield_10004", "name": "Updated", "custom": True},
]


def jira_api(issues: list[Row], *, zone: str, most: int = 100) -> Api:
    """A site with these issues and an account in `zone`; pages have `most` issues at most."""
    api = Api(basic("me@example.com", "t0ken"), problem=_problem)

    @api.get("/rest/api/3/myself")
    def myself(call: Call) -> Row:
        return {"accountId": "a1", "emailAddress": "me@example.com", "timeZone": zone}

    @api.get("/rest/api/3/field")
    def fields(call: Call) -> list[Row]:
        return FIELDS

    @api.get("/rest/api/3/search/jql", query="jql nextPageToken maxResults fields expand")
    def search(call: Call) -> Row:
        query = JQL.fullmatch(call.query["jql"])
        if query is None:
            raise Refused(400, "Unbounded JQL queries are not allowed here.")
        since = datetime.strptime(query[2], "%Y-%m-%d %H:%M").replace(tzinfo=ZoneInfo(zone))
        project = query[1] or ""
        found = sorted(
            (
                issue
                for issue in issues
                if updated(issue) >= since and issue["key"].startswith(project)
            ),
            key=updated,
        )
        start = unwrap(call.query.get("nextPageToken"), 0)
        page = offset(found, start, min(most, call.query.whole("maxResults", 50, most=5000)))
        asked = call.query.get("fields", "id").split(",")
        body: Row = {"issues": [_shown(issue, asked) for issue in page.rows]}
        if page.more:
            body["nextPageToken"] = wrap(page.next)
        return body | {"isLast": not page.more}

    return api


def updated(issue: Row) -> datetime:
    """When it was updated."""
    return datetime.fromisoformat(issue["fields"]["updated"])


def _shown(issue: Row, asked: Iterable[str]) -> Row:
    if "*all" not in asked:
        return {"id": issue["id"]}
    return issue | {"fields": {k: v for k, v in issue["fields"].items() if f"-{k}" not in asked}}


def _problem(refused: Refused) -> Row:
    message = refused.message
    if message == "invalid page token":
        message = "The provided next page token is invalid or expired."
    return {"errorMessages": [message], "errors": {}}
