"""Faults of answers: refusals, failures, things that are no pages, redirects (9 to 12, and 15)."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random
from typing import Any

import anyio
import httpx

from blocks.fetch import check
from blocks.limits import Rate
from blocks.normalize import Normalizer
from blocks.rules import Markup, Present, Text, Value
from tests.authority import Received
from tests.faults.cases import ECHO, Api, Asked, Case, Fault
from tests.faults.server import Reply
from tests.faults.source import connect, rows
from tests.faults.wire import flaky, lasting
from tests.faults.world import World

__all__ = ["KINDS"]

_NOW = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
_DATE = (("Date", format_datetime(_NOW, usegmt=True)),)
_HTML = (("Content-Type", "text/html"),)
_ECHO = f'{{"message": "no, {ECHO}"}}'.encode()


def limited(rng: Random) -> Case:
    """Refusals with the time to wait said in every way, or not at all; twenty at once."""
    if rng.random() < 0.25:
        return _storm(rng)
    how = rng.choice(["seconds", "seconds", "decimal", "zero", "date", "two", "none", "huge"])
    status = rng.choice(["429 Too Many Requests", "503 Busy", "403 Forbidden"])
    if how == "none":
        status = "429 Too Many Requests"

    def refuse(asked: Asked) -> Reply:
        wait = math.ceil(asked.rng.uniform(1, 450)) / 10
        if how == "huge":
            wait = asked.rng.choice([301.0, 3600.0, 86400.0, 1e22])
        elif how == "zero":
            wait = 0.0
        elif how != "decimal":
            wait = float(math.ceil(wait))
        if how != "none":
            asked.tell(wait)
        return Reply((asked.say(_ECHO, status, [*_DATE, *_wait(how, wait)]),))

    pace = (lambda clock: Rate(100, burst=10, clock=clock)) if rng.random() < 0.5 else None
    options: dict[str, Any] = {"virtual": True, "limit": pace, "what": f"{how} with {status}"}
    if how == "huge":
        return lasting(rng, refuse, expected="B", most=1, **options)
    return flaky(rng, refuse, most=4, **options)


def _wait(how: str, wait: float) -> list[tuple[str, str]]:
    """The header lines that tell to wait."""
    if how == "none":
        return []
    if how == "date":
        return [("Retry-After", format_datetime(_NOW + timedelta(seconds=wait), usegmt=True))]
    told = [("Retry-After", f"{wait:.1f}" if how == "decimal" else f"{wait:.0f}")]
    return [*told, ("Retry-After", "1")] if how == "two" else told


def _storm(rng: Random) -> Case:
    world = World(rng, ["page"])
    world.size = math.ceil(len(world.records) / 20)
    wait = float(rng.randint(20, 240))
    shared = Rate(1000, burst=20) if rng.random() < 0.5 else None

    def refuse(received: Received, api: Api) -> Reply | None:
        left = math.ceil(wait - api.clock())
        if api.clean or left <= 0:
            return None
        told = api.notes.setdefault("told", set())
        api.early += received.target in told  # the others had not been told
        told.add(received.target)
        return Reply((api.ask(received).say(_ECHO, "429 Slow", [("Retry-After", str(left))]),))

    async def read(run: Any) -> None:
        found: list[Any] = []
        clock = run.clock
        if shared is not None:
            shared.clock = clock

        async def worker(page: int) -> None:
            async with connect(case, run.url, clock, limit=shared) as http:
                query = {"page": page, "n": world.size}
                response = await http.get("/items", params=query)
                check(response)
                found.append(response.content)

        async with anyio.create_task_group() as tasks:
            for page in range(1, 21):
                tasks.start_soon(worker, page)
        for tables in map(Normalizer("items", path="data"), found):
            run.rows.extend(rows(tables))

    def spread(api: Api) -> str:
        back = [moment for moment in api.arrivals if moment >= wait]
        # Half of the wait is made use of, or a minute, or what is left of 300 s of waiting: of
        # that twenty at random take 90 % on average, and half nearly always.
        if max(back) - min(back) < min(wait / 2, 60.0, 300.0 - wait) / 2:
            return f"all came back within {max(back) - min(back):.1f} s after {wait:.0f} s"
        return ""

    case = Case(
        rng,
        world,
        what=f"20 at once told to wait {wait:.0f} s, {'one limit' if shared else 'no limit'}",
        extra=20,
        warm=False,
        virtual=True,
        route=refuse,
        read=read,
        check=spread,
    )
    return case


def disguised(rng: Random) -> Case:
    """Limits and errors that say 403 or 200, with a rule for them and without."""
    how = rng.choice(["secondary", "text", "throttled", "error", "busy"])
    ruled = rng.random() < 0.6
    bodies: dict[str, dict[str, Any]] = {
        "secondary": {"message": "You have exceeded a secondary rate limit."},
        "text": {"message": f"You have exceeded a secondary rate limit. {ECHO}"},
        "throttled": {"data": None, "errors": [{"extensions": {"code": "THROTTLED"}}]},
        "error": {"error": f"invalid request {ECHO}"},
        "busy": {"error": "try again"},
    }
    said = bodies[how]
    status = "403 Forbidden" if how in {"secondary", "text"} else "200 OK"

    def refuse(asked: Asked) -> Reply:
        headers = [("Retry-After", "7")] if how == "secondary" else []
        if headers:
            asked.tell(7)
        asked.links = []
        return Reply((asked.say(json.dumps(said).encode(), status, headers),))

    what = f"{how} {'with' if ruled else 'without'} a rule"
    if how == "secondary":
        return flaky(rng, refuse, most=4, virtual=True, what=what)
    if not ruled:
        # As the first page of an API whose pages are arrays, an object may be a record.
        return lasting(rng, refuse, first=1, expected="B", most=1, what=what)
    if how == "error":
        return lasting(rng, refuse, expected="B", most=1, rules=(Present("error"),), what=what)
    rule = {
        "text": Text("secondary rate limit", "limited"),
        "throttled": Value("errors[0].extensions.code", "THROTTLED", "limited"),
        "busy": Present("error", "retry"),
    }[how]
    return flaky(rng, refuse, rules=(rule,), virtual=True, what=what)


def failing(rng: Random) -> Case:
    """Statuses about the moment, one to six in a row, and statuses about the request."""
    final = rng.random() < 0.25
    statuses = [501, 505, 510, 511, 400, 404, 405, 409, 410, 422, 451] if final else None
    statuses = statuses or [500, 502, 503, 504, 507, 520, 529, 408, 421, 425]
    drawn = rng.sample(statuses, 3)

    def fail(asked: Asked) -> Reply:
        kind = asked.rng.choice([_HTML, ()])
        body = b"<h1>" + ECHO.encode() + b"</h1>" if kind else _ECHO
        return Reply((asked.say(body, f"{asked.rng.choice(drawn)} Sorry", kind),))

    if final:
        return lasting(rng, fail, expected="B", most=1, what=f"one of {drawn}")
    return flaky(rng, fail, what=f"some of {drawn}")


def no_pages(rng: Random) -> Case:
    """HTML, nothing, other types, and statuses of success that bring no page."""
    how = rng.choice(
        ["html", "markup", "xml", "empty", "204", "304", "206", "text", "mark", "bare"]
    )

    def send(asked: Asked) -> Reply:
        page = f"<!doctype html><title>{ECHO}</title>".encode()
        said = {
            "html": asked.say(page, headers=_HTML),
            "markup": asked.say(b"\n " + page),
            "xml": asked.say(b"<?xml version='1.0'?><e/>", headers=_XML),
            "empty": asked.say(b""),
            "204": asked.say(b"", "204 No Content", length=None),
            "304": asked.say(b"", "304 Not Modified", length=None),
            "206": asked.say(asked.body, "206 Partial Content"),
            "text": asked.say(headers=[("Content-Type", "text/plain")]),
            "mark": asked.say(b"\xef\xbb\xbf" + asked.body),
            "bare": asked.say(headers=[("Content-Type", "")]),
        }
        return Reply((said[how],))

    ruled = how in {"html", "markup", "xml"} and rng.random() < 0.6
    if ruled:
        return flaky(rng, send, rules=(Markup(),), what=f"{how} with a rule")
    if how in {"mark", "bare"}:
        return flaky(rng, send, most=1, what=how)
    return lasting(rng, send, expected="B", most=1, what=how)


_XML = (("Content-Type", "application/xml"),)


def redirected(rng: Random) -> Case:
    """Redirects: round in circles, elsewhere, to other schemes, to a relative path, to nowhere."""
    status = rng.choice([301, 302, 303, 307, 308])
    how = rng.choice(
        ["foreign", "foreign", "port", "self", "relative", "file", "script", "https", "none", "bad"]
    )
    follows = rng.random() < 0.4

    def send(asked: Asked) -> Reply:
        url = asked.api.url
        where = {
            "foreign": url.replace("127.0.0.1", "localhost") + "/stolen",
            "port": "http://127.0.0.1:1/stolen",
            "self": asked.received.target,
            "relative": asked.received.target + "&again=1",
            "file": "file:///etc/passwd",
            "script": "javascript:alert(1)",
            "https": url.replace("http:", "https:") + "/stolen",
            "none": None,
            "bad": "http://[::1",
        }[how]
        headers = [("Location", where)] if where else []
        return Reply((asked.say(_ECHO, f"{status} See There", headers),))

    def follow(http: httpx.AsyncClient) -> None:
        http.follow_redirects = follows

    make: Fault = send
    case = lasting(rng, make, expected="B", most=21 if follows else 1, tune=follow)
    case.what = f"{status} to {how}, {'followed' if follows else 'not followed'}"
    if how == "relative" and (case.world.style.method == "GET" or status in {307, 308}):
        # The page is at the other URL, which has no faults.
        case.expected = "A"
    return case


KINDS = {9: limited, 10: disguised, 11: failing, 12: no_pages, 15: redirected}
