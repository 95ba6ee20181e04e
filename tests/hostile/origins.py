"""Credentials and origins: what another host gets to see, whatever a server says and how.

A cell is a kind of credential, a way to another host and a form of its URL. Both servers run in one
virtual loop, whose stub of a resolver leads every name to loopback.
"""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import httpx

from blocks.client import client
from blocks.connections import Connections
from blocks.downloads import download, storage
from blocks.errors import BlocksError
from blocks.fetch import pages
from blocks.jobs import Codes, Job, Patience, run
from blocks.paginators import LinkHeader, NextUrl, Paginator
from blocks.places import Header
from blocks.redirects import RedirectsTo
from tests.authority import Received
from tests.faults.clock import run as run_virtually
from tests.faults.server import Reply, Server, serving
from tests.hostile.table import Line
from tests.loopback import JSON, answer
from tests.test_leaks import ISSUED, RENEWED, SECRET, found
from tests.test_leaks import KINDS as AUTHS

__all__ = ["FORMS", "KINDS", "WAYS", "matrix"]

KINDS: dict[str, Callable[[str], dict[str, Any]]] = {
    **AUTHS,
    "headers": lambda url: {"headers": {"X-Token": SECRET, "Cookie": f"sid={SECRET}"}},
}

# {home} and {away} are host and port of the API and of another server, {port} the latter's.
FORMS = {
    "port": "http://{away}/x",
    "scheme": "https://{home}/x",
    "no scheme": "//{away}/x",
    "upper case": "HTTP://LOCALHOST:{port}/x",
    "name": "http://localhost:{port}/x",
    "trailing dot": "http://localhost.:{port}/x",
    "home with a dot": "http://127.0.0.1.:{port}/x",
    "idn": "http://bücher.test:{port}/x",
    "punycode": "http://xn--bcher-kva.test:{port}/x",
    "ideographic dots": "http://127。0。0。1:{port}/x",
    "wide digits": "http://\uff11\uff12\uff17.0.0.1:{port}/x",
    "user": "http://{home}@{away}/x",
    "user and path": "http://{home}%2Fx@{away}/x",
    "user at home": "http://me:key@{home}/x",
    "fragment": "http://{away}#@{home}/x",
    "encoded slash": "http://{home}%2F@{away}/x",
    "backslashes": "\\\\{away}\\x",
    "slash, backslash": "/\\{away}/x",
    "scheme, backslashes": "http:\\\\{away}/x",
    "backslash at the user": "http://{away}\\@{home}/x",
    "one slash": "http:/{away}/x",
    "no slash": "http:{away}/x",
    "three slashes": "http:///{away}/x",
    "tab before": "\thttp://{away}/x",
    "tab inside": "ht\ttp://{away}/x",
    "tab between slashes": "/\t/{away}/x",
    "space before": " http://{away}/x",
    "line break": "/\n/{away}/x",
    "decimal": "http://2130706433:{port}/x",
    "hex": "http://0x7f000001:{port}/x",
    "hex parts": "http://0x7f.0.0.1:{port}/x",
    "octal": "http://0177.0.0.1:{port}/x",
    "short": "http://127.1:{port}/x",
    "zero": "http://0:{port}/x",
    "zeros": "http://0.0.0.0:{port}/x",
    "another loopback": "http://127.0.0.2:{port}/x",
    "v6": "http://[::1]:{port}/x",
    "v6 any": "http://[::]:{port}/x",
    "v6 mapped": "http://[::ffff:127.0.0.1]:{port}/x",
    "v6 mapped, hex": "http://[::ffff:7f00:1]:{port}/x",
    "v6 translated": "http://[64:ff9b::7f00:1]:{port}/x",
    "metadata": "http://169.254.169.254/latest/meta-data/",
    "metadata by name": "http://metadata.google.internal:{port}/x",
    "metadata, v6": "http://[fd00:ec2::254]/latest/meta-data/",
    "rebinding": "http://rebinding.test:{port}/x",
    "no port": "http://{home}:/x",
    "bad port": "http://{home}99999/x",
    "file": "file:///etc/passwd",
    "ftp": "ftp://{away}/x",
    "gopher": "gopher://{away}/x",
    "data": "data:application/json,[]",
    "script": "javascript:alert(1)",
}

# What a client may raise: ours, and httpx's of a URL that it cannot read.
TYPED = (BlocksError, httpx.HTTPError, httpx.InvalidURL)


@dataclass
class World:
    """An API, another server, and the URL that the first says."""

    url: str = ""
    token_status: int = 0

    def home(self, received: Received) -> Reply:
        """The API, which says the URL in every way it can."""
        path, location = received.path, ("Location", header(self.url))
        if path in {"/token", "/login"} and not self.token_status:
            return Reply((token(),))
        body, status, headers = b'{"next": null}', "200 OK", [*JSON]
        if path in {"/token", "/login"}:
            status, headers = f"{self.token_status} Away", [*JSON, location]
        elif path.startswith("/redirect/"):
            status, headers = f"{path[10:]} Away", [*JSON, location]
        elif path == "/job":
            status, headers = "202 Accepted", [*JSON, location]
        elif path == "/body":
            body = json.dumps({"next": self.url}).encode()
        elif path == "/link":
            headers.append(("Link", f'<{header(self.url)}>; rel="next"'))
        return Reply((answer(body, status, headers),))


def header(url: str) -> str:
    """A URL as a header may have it."""
    return url.replace("\n", "\t").encode().decode("latin-1")


def token() -> bytes:
    """What any token or login endpoint would say."""
    body = {"access_token": ISSUED, "token_type": "bearer", "expires_in": 3600}
    text = json.dumps({**body, "refresh_token": RENEWED, "token": ISSUED}).encode()
    return answer(text, headers=[*JSON, ("Set-Cookie", f"sid={ISSUED}")])


def names(host: str) -> str:
    """Every name is one of this machine; what is a number is left to the system."""
    try:
        socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
    except OSError:
        return "127.0.0.1"
    return host


def named(url: str) -> list[str]:
    """The origin of a URL, where it has one: as if whoever wrote the source had meant that."""
    try:
        found = httpx.URL(header(url)).copy_with(userinfo=b"", raw_path=b"/", fragment=None)
        RedirectsTo(Connections(), [str(found)])
    except (httpx.InvalidURL, BlocksError):
        return []
    return [str(found)]


Way: TypeAlias = Callable[[httpx.AsyncClient, World], Awaitable[None]]


async def read(api: httpx.AsyncClient, path: str, paginator: Paginator) -> None:
    """All pages from `path` on."""
    async for _ in pages(api, api.build_request("GET", path), paginator, at_most=3):
        pass


def redirect(status: int, *, follow: bool, method: str = "GET") -> Way:
    """A redirect, of what has a body where the method has one."""

    async def way(api: httpx.AsyncClient, world: World) -> None:
        path = f"/redirect/{status}"
        content = SECRET.encode() if method == "POST" else None
        await api.request(method, path, content=content, follow_redirects=follow)

    return way


async def job(api: httpx.AsyncClient, world: World) -> None:
    """A job that says where it is to be asked about."""
    created = api.build_request("POST", "/job", json={"key": SECRET})
    task = Job(
        created,
        id=Header("Location"),
        poll=lambda url: api.build_request("GET", url),
        status=Codes([202]),
        cancel=lambda url: api.build_request("DELETE", url),
    )
    async for _ in run(api, [task], at_once=1, patience=Patience(total=10)):
        pass


async def file(api: httpx.AsyncClient, world: World) -> None:
    """A file at a URL out of an answer, or out of the state of an earlier run."""
    async for _ in download(api, api.build_request("GET", world.url), attempts=2):
        pass


WAYS: dict[str, Way] = {
    "next in the body": lambda api, world: read(api, "/body", NextUrl("next")),
    "next in Link": lambda api, world: read(api, "/link", LinkHeader()),
    "302": redirect(302, follow=False),
    "302 followed": redirect(302, follow=True),
    "303 followed": redirect(303, follow=True, method="POST"),
    "307 followed": redirect(307, follow=True, method="POST"),
    "308 followed": redirect(308, follow=True),
    "302 by name": redirect(302, follow=False),
    "302 by name, inside": redirect(302, follow=False),
    "307 by name, inside": redirect(307, follow=True, method="POST"),
    "job": job,
    "file": file,
}


# Ways that may reach the other server.
INSIDE = {"storage inside", "302 by name, inside"}


@asynccontextmanager
async def two(world: World) -> AsyncIterator[tuple[Server, Server]]:
    """The API and the other server, which gives tokens and pages to all who come."""
    async with serving(world.home) as home, serving(lambda _: Reply((token(),))) as away:
        yield home, away


def matrix(step: int = 7) -> Iterator[Line]:
    """Each way with its cells: each kind with every `step`th form, in turn."""
    forms = [*FORMS]
    for number, way in enumerate([*WAYS, "token endpoint", "storage", "storage inside"]):
        chosen = [
            (kind, forms[(start + number) % step :: step]) for start, kind in enumerate(_kinds(way))
        ]
        yield run_virtually(partial(_way, way, chosen), names)


def _kinds(way: str) -> list[str]:
    if way == "token endpoint":
        return [kind for kind in KINDS if _asks(kind)]
    return ["none"] * 7 if way.startswith("storage") else [*KINDS]


def _asks(kind: str) -> bool:
    url = "http://api.test"
    auth = KINDS[kind](url).get("auth")
    return auth is not None and hasattr(auth, "obtain") and kind != "function"


async def _way(way: str, chosen: list[tuple[str, list[str]]]) -> Line:
    line = Line(f"origins: {way}")
    world = World()
    async with two(world) as (home, away):
        for kind, forms in chosen:
            for form in forms:
                before = len(home.received)
                await _cell(world, home, away, (kind, way, form), line)
                line.cells += 1
                for request in home.received[before:]:
                    host = Received(request).headers.get("host", "")
                    if host != f"127.0.0.1:{home.port}":
                        line.leak(f"{kind}, {way}, {form}: reached the API as {host}")
    return line


async def _cell(
    world: World, home: Server, away: Server, cell: tuple[str, str, str], line: Line
) -> None:
    kind, way, form = cell
    own, other = (server.url.removeprefix("http://") for server in (home, away))
    world.url = FORMS[form].format(home=own, away=other, port=away.port)
    world.token_status = 307 if way == "token endpoint" else 0
    opened, received = away.opened, len(away.received)
    api = _client(way, kind, home.url, world.url)
    async with api:
        try:
            if way == "token endpoint":
                await api.get("/items", follow_redirects=len(form) % 2 == 0)
            else:
                await WAYS.get(way, file)(api, world)
        except TYPED as error:
            if found(str(error)):
                line.leak(f"{kind}, {way}, {form}: {type(error).__name__} shows it")
        except Exception as error:  # noqa: BLE001 - counted
            line.leak(f"{kind}, {way}, {form}: {type(error).__name__}, of no known type")
    if way in INSIDE:  # as somebody asked for: but without credentials
        if found(b"".join(away.received[received:]).decode("latin-1")):
            line.leak(f"{kind}, {way}, {form}: the other host got a credential")
    elif away.opened > opened:
        line.leak(f"{kind}, {way}, {form}: the other host was connected to")


def _client(way: str, kind: str, url: str, said: str) -> httpx.AsyncClient:
    options = KINDS[kind](url) if kind in KINDS else {}
    if "by name" in way:
        inner = options.pop("transport", None) or Connections()
        through = Connections() if way in INSIDE else None
        options["transport"] = RedirectsTo(inner, named(said), through=through)
    if way == "storage":
        return storage(timeout=5)
    if way == "storage inside":
        return storage(timeout=5, transport=Connections())
    return client(url, timeout=5, **options)
