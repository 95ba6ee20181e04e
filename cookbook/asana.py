"""Asana projects and their tasks: what changed by modified_since, what is gone by events.

Loads `projects` of a workspace, archived ones too, and `tasks` with their memberships, tags and
custom fields. A task in two projects is in `tasks` twice: its key is the project with the task.
Subtasks are not among them, unless they are in a project as well. Tasks of a project that was
deleted stay; `projects` has it no more.

Each project has a cursor, so that one added later is read from the start, and a sync token, good
for 24 hours: run more often, and each run asks for changes alone, two requests a project. Where a
token is refused, the project is read anew and compared with what was loaded; the run fails if more
than the share `most` of such tasks is gone. An offset that expires (400) begins the list again.

Authenticates with a personal access token. Allowed are 150 requests a minute (free) or 1,500;
costly ones may be refused sooner. Change: the workspace; the start; `per_minute`, by plan; FIELDS.

https://developers.asana.com/docs/pagination
https://developers.asana.com/docs/rate-limits
https://developers.asana.com/reference/gettasks
https://developers.asana.com/reference/events
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeAlias

import dlt
import httpx
import pyarrow as pa
import pyarrow.compute as pc

from blocks.auth import Bearer
from blocks.client import client
from blocks.connections import Connections
from blocks.deletes import Keys, flag, vanished
from blocks.dlt import known, load, partitions
from blocks.fanout import fan_out, parents
from blocks.fetch import pages
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.paginators import NextToken
from blocks.places import read, values
from blocks.restarts import restart
from blocks.rules import Judged, Status
from blocks.stops import Until

Row: TypeAlias = dict[str, Any]
KEY = ("project_gid", "gid")
GONE = {"deleted", "removed"}
PROJECT = "name,archived,completed,created_at,modified_at,due_on,owner.name,team.name"
FIELDS = (
    "name,resource_subtype,notes,completed,completed_at,created_at,modified_at,start_on,due_on,"
    "due_at,assignee.name,parent,num_subtasks,permalink_url,memberships.project,"
    "memberships.section.name,tags.name,custom_fields.name,custom_fields.display_value"
)


@dlt.source
def asana(
    workspace: str,
    start: str = "2008-01-01T00:00:00Z",
    per_minute: int = 150,
    most: float = 0.2,
    base_url: str = "https://app.asana.com",
    token: str = dlt.secrets.value,
) -> Any:
    burst = per_minute // 10
    api = client(
        f"{base_url}/api/1.0",
        auth=Bearer(token),
        limit=Rate(per_minute - burst, per=60, burst=burst),
        # What a sync token that is none, or none any more, is answered: there is a new one in it.
        transport=Judged(Connections(), Status(412, "ok")),
    )

    @dlt.resource(primary_key="gid", write_disposition="replace")
    def projects() -> Iterator[Any]:
        asked = {"workspace": workspace, "opt_fields": PROJECT}
        yield from load(prefetch(listing(api, "/projects", asked)), path="data")

    @dlt.transformer(data_from=projects, primary_key=KEY, write_disposition="merge", columns=flag())
    def tasks(table: Any) -> Iterator[Any]:
        modified = partitions("modified_at", start=start, key="project_gid")
        tokens = dlt.current.resource_state().setdefault("sync", {})
        listed, anew, gone = Keys(*KEY), list[str](), list[Row]()

        async def changed(project: str) -> AsyncIterator[httpx.Response]:
            tokens[project], actions = await events(api, project, tokens.get(project))
            since = start if actions is None else modified.of(project).since
            asked = {"project": project, "opt_fields": FIELDS, "modified_since": since}
            seen = set[str]()
            async for page in listing(api, "/tasks", asked):
                seen.update(values(page, "data", "gid"))
                yield page
            if actions is None:
                anew.append(project)
                listed.add((project, gid) for gid in seen)
            else:
                left = [gid for gid, last in actions.items() if last in GONE and gid not in seen]
                gone.extend({"project_gid": project, "gid": gid, "deleted": True} for gid in left)

        found = prefetch(fan_out(parents(table, "gid"), changed, skip={404}))
        several = ((page, {"project_gid": project}) for project, page in found)
        yield from load(several, modified, path="data")
        yield from load([gone])
        there = known(*KEY).cast(pa.schema([(name, pa.string()) for name in KEY]))
        compared = there.filter(pc.is_in(there["project_gid"], pa.array(anew, pa.string())))
        yield from load([(vanished(compared, listed.table, most=most), {"deleted": True})])

    return projects, tasks


def listing(
    api: httpx.AsyncClient, path: str, asked: dict[str, str]
) -> AsyncIterator[httpx.Response]:
    def anew() -> AsyncIterator[httpx.Response]:
        first = api.build_request("GET", path, params={"limit": "100", **asked})
        return pages(api, first, NextToken("next_page.offset", "offset"))

    return restart(anew, lambda answer: answer.status_code == 400)


async def events(
    api: httpx.AsyncClient, project: str, sync: str | None
) -> tuple[str, dict[str, str] | None]:
    """The next sync token, and what was done last to each task; `None` if all is to be read."""
    asked = {"resource": project} | ({"sync": sync} if sync else {})
    first = api.build_request("GET", "/events", params=asked)
    rest = Until(NextToken("sync", "sync"), lambda answer: not read(answer, "has_more"))
    answers = [answer.json() async for answer in pages(api, first, rest)]
    actions: dict[str, str] = {}
    for event in (each for answer in answers for each in answer.get("data", [])):
        above = event["parent"] or {}  # a section, maybe
        about = event["action"] in {"deleted", "undeleted"} or above.get("gid") == project
        if event["type"] == "task" and about:
            actions[event["resource"]["gid"]] = event["action"]
    # One that was taken back may not count as modified.
    whole = all("data" in answer for answer in answers) and "undeleted" not in actions.values()
    return answers[-1]["sync"], actions if whole else None
