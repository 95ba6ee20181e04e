"""A replica of Asana, as far as projects, their tasks and their events go.

https://developers.asana.com/docs/pagination: `limit` up to 100, `next_page.offset`, null on the
last page; an offset expires after some time.
https://developers.asana.com/docs/input-output-options: what is not in `opt_fields` is left out, but
for the gid.
https://developers.asana.com/reference/gettasks: tasks of a project, `modified_since` is inclusive
here, at worst a task comes twice.
https://developers.asana.com/reference/events: 412 without a sync token, or with one that expired
(24 hours), and a new one in its body; 100 events each time, `has_more`.
https://developers.asana.com/docs/rate-limits: 150 a minute.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from blocks.testing import Allowance, Answer, Api, Call, Refused, bearer, offset, unwrap, wrap

Row = dict[str, Any]
LIST = "limit offset opt_fields"


class Asana:
    """A workspace "ws1"; `tasks` by the gid of their project. Of changes `tell` it."""

    def __init__(self, most: int = 100) -> None:
        self.projects: list[Row] = []
        self.tasks: dict[str, list[Row]] = {}
        self._most = most
        self._events: dict[str, list[Row]] = {}
        self._valid = 0
        self.api = Api(bearer("t0ken"), Allowance(150, per=60), problem=_problem)
        self.api.get("/api/1.0/projects", query=f"workspace archived {LIST}")(self._list_projects)
        self.api.get("/api/1.0/tasks", query=f"project modified_since {LIST}")(self._list_tasks)
        self.api.get("/api/1.0/events", query="resource sync opt_fields")(self._list_events)

    def add(self, project: str, *tasks: Row) -> None:
        """Make a project."""
        self.projects.append({"gid": project, "name": f"Project {project}", "archived": False})
        self.tasks[project], self._events[project] = [*tasks], []

    def tell(self, project: str, gid: str, action: str, parent: str | None = None) -> None:
        """Let something have been done to a task."""
        task = {"gid": gid, "resource_type": "task"}
        above = None if parent is None else {"gid": parent, "resource_type": "project"}
        event = {"action": action, "type": "task", "resource": task, "parent": above}
        self._events[project].append(event)

    def expire(self) -> None:
        """Let a day pass: no offset and no sync token is good any longer."""
        self._valid += 1

    def _list_projects(self, call: Call) -> Row:
        if call.query["workspace"] != "ws1":
            raise Refused(404, "workspace: Unknown object")
        return self._page(call, self.projects)

    def _list_tasks(self, call: Call) -> Row:
        since = datetime.fromisoformat(call.query.get("modified_since", "1970-01-01T00:00:00Z"))
        found = [
            task
            for task in self.tasks[call.query["project"]]
            if datetime.fromisoformat(task["modified_at"]) >= since
        ]
        return self._page(call, found)

    def _page(self, call: Call, rows: list[Row]) -> Row:
        age, start = unwrap(call.query.get("offset"), (self._valid, 0))
        if age != self._valid:
            raise Refused(400, "offset: Your pagination token has expired.")
        size = min(self._most, call.query.whole("limit", 20, least=1, most=100))
        page = offset(rows, start, size)
        wanted = {"gid"} | {name.split(".")[0] for name in call.query["opt_fields"].split(",")}
        shown = [{key: row[key] for key in row if key in wanted} for row in page.rows]
        following = {"offset": wrap([age, page.next]), "path": "...", "uri": "..."}
        return {"data": shown, "next_page": following if page.more else None}

    def _list_events(self, call: Call) -> Any:
        told = self._events.get(call.query["resource"])
        if told is None:
            raise Refused(404, "resource: Unknown object")
        age, start = unwrap(call.query.get("sync"), (-1, 0))
        if age != self._valid:
            errors = [{"message": "Sync token invalid or too old."}]
            return Answer({"errors": errors, "sync": wrap([self._valid, len(told)])}, 412)
        page = offset(told, start, min(self._most, 100))
        end = start + len(page.rows)
        return {"data": page.rows, "sync": wrap([age, end]), "has_more": page.more}


def _problem(refused: Refused) -> Row:
    return {"errors": [{"message": refused.message, "help": "https://developers.asana.com"}]}
