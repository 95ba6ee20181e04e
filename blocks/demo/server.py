"""The API the demo loads from: issues over HTTP on loopback, in a process of its own.

`serving()` starts it and gives its address and tokens. It does what a source must cope with: a
bearer token, `Link` paging, `since`, `state`, `sort` and `direction` as GitHub documents them
(https://docs.github.com/en/rest/issues/issues#list-repository-issues), gzip, and a rate limit
that answers 429 with `Retry-After` (RFC 6585, RFC 9110). Beside the API, under a token of its
own, `/admin/counts` tells what was served and `/admin/changes` edits the records.

Its CPU stays out of the measured process, and pages are rendered and compressed once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import secrets
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
import orjson

from blocks.demo.records import REPOSITORY, Changes, change, generate

__all__ = ["Api", "Server", "Settings", "serving"]

PAGE = 100
"""The most records in a page, as GitHub has it; pages of this size are compressed at the start."""

_STATES = {"open": ("open",), "closed": ("closed",), "all": ("open", "closed")}
_SORTS = {"created": "created_at", "updated": "updated_at", "comments": "comments"}
_DIRECTIONS = {"asc": False, "desc": True}

Answer = tuple[int, dict[str, str], bytes]


@dataclass(frozen=True, slots=True)
class Settings:
    """What is served, to whom, and how fast: `burst` requests at once, then `rate` a second."""

    records: int = 20_000
    seed: int = 1
    burst: int = 60
    rate: float = 30.0
    token: str = field(default_factory=secrets.token_urlsafe, repr=False)
    admin_token: str = field(default_factory=secrets.token_urlsafe, repr=False)


@dataclass(slots=True)
class Counts:
    """What was served so far: pages by outcome, bytes as sent and as JSON, seconds told to wait."""

    pages: int = 0
    refused: int = 0
    unauthorized: int = 0
    sent_bytes: int = 0
    json_bytes: int = 0
    told_seconds: int = 0


class Api:
    """The issues as an ASGI application; `clock` gives monotonic seconds."""

    def __init__(
        self, settings: Settings, url: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.counts = Counts()
        self._settings = settings
        self._url = url
        self._clock = clock
        self._allowance = float(settings.burst)
        self._counted_at = clock()
        self._issues = generate(settings.records, settings.seed)
        self._render()

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Answer one HTTP request."""
        while (await receive()).get("more_body"):
            pass
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        query = dict(parse_qsl(scope["query_string"].decode()))
        status, fields, body = self._answer(scope["method"], scope["path"], query, headers)
        fields = {"content-type": "application/json; charset=utf-8", **fields}
        fields["content-length"] = str(len(body))
        raw = [(name.encode(), value.encode()) for name, value in fields.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})

    def _answer(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> Answer:
        admin = path.startswith("/admin/")
        token = self._settings.admin_token if admin else self._settings.token
        given = headers.get("authorization", "").encode()
        if not secrets.compare_digest(given, f"Bearer {token}".encode()):
            self.counts.unauthorized += not admin
            return _problem(401, "Bad credentials")
        match method, path:
            case "GET", "/admin/counts":
                return 200, {}, orjson.dumps(self._summary())
            case "POST", "/admin/changes":
                changes = change(self._issues, self._settings.seed + 1)
                self._render()
                return 200, {}, orjson.dumps(changes)
            case "GET", p if p == f"/repos/{REPOSITORY}/issues":
                wait = self._claim()
                if wait:
                    self.counts.refused += 1
                    self.counts.told_seconds += wait
                    return _problem(429, "Rate limit exceeded", {"retry-after": str(wait)})
                return self._list(query, "gzip" in headers.get("accept-encoding", ""))
            case _:
                return _problem(404, "Not Found")

    def _claim(self) -> int:
        """Take one request from the allowance, or tell the whole seconds until there is one."""
        now = self._clock()
        earned = (now - self._counted_at) * self._settings.rate
        self._allowance = min(float(self._settings.burst), self._allowance + earned)
        self._counted_at = now
        if self._allowance >= 1:
            self._allowance -= 1
            return 0
        return math.ceil((1 - self._allowance) / self._settings.rate)

    def _list(self, query: Mapping[str, str], gzip: bool) -> Answer:
        try:
            size = min(int(query.get("per_page", 30)), PAGE)
            number = int(query.get("page", 1))
            since = datetime.fromisoformat(query.get("since", "1970-01-01T00:00:00Z"))
            state = _STATES[query.get("state", "open")]
            sort = _SORTS[query.get("sort", "created")]
            newest_first = _DIRECTIONS[query.get("direction", "desc")]
        except (KeyError, ValueError):
            return _problem(422, "Validation Failed")
        if size < 1 or number < 1 or since.tzinfo is None:
            return _problem(422, "Validation Failed")
        after = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        found = self._found(after, state, sort, newest_first)
        page = tuple(found[(number - 1) * size : number * size])
        plain_size, packed = self._page(page)
        body = packed if gzip else self._plain(page)
        self.counts.pages += 1
        self.counts.json_bytes += plain_size
        self.counts.sent_bytes += len(body)
        fields = {"vary": "accept-encoding"} | ({"content-encoding": "gzip"} if gzip else {})
        link = self._link(query, number, last=max(1, math.ceil(len(found) / size)))
        return 200, fields | ({"link": link} if link else {}), body

    def _link(self, query: Mapping[str, str], number: int, last: int) -> str:
        """RFC 8288 links to the pages around page `number`, in GitHub's order."""
        targets = {"prev": number - 1, "next": number + 1, "last": last, "first": 1}
        wanted = ["prev", "first"] if number > 1 else []
        wanted += ["next", "last"] if number < last else []
        base = f"{self._url}/repos/{REPOSITORY}/issues"
        return ", ".join(
            f'<{base}?{urlencode({**query, "page": page})}>; rel="{rel}"'
            for rel, page in targets.items()
            if rel in wanted
        )

    def _render(self) -> None:
        """Render all issues anew, and the pages that a load of everything will ask for."""
        self._bodies = [orjson.dumps(issue) for issue in self._issues]
        self._lists: dict[tuple[str, tuple[str, ...], str, bool], list[int]] = {}
        self._pages: dict[tuple[int, ...], tuple[int, bytes]] = {}
        ordered = self._found("", _STATES["all"], "updated_at", newest_first=False)
        for start in range(0, len(ordered), PAGE):
            self._page(tuple(ordered[start : start + PAGE]))

    def _found(self, after: str, state: tuple[str, ...], key: str, newest_first: bool) -> list[int]:
        """Positions of the issues in any of `state`, not older than `after`, ordered by `key`."""
        query = after, state, key, newest_first
        if query not in self._lists:
            positions = [
                position
                for position, issue in enumerate(self._issues)
                if issue["updated_at"] >= after and issue["state"] in state
            ]
            positions.sort(key=lambda position: self._issues[position][key], reverse=newest_first)
            self._lists[query] = positions
        return self._lists[query]

    def _plain(self, page: tuple[int, ...]) -> bytes:
        return b"[" + b",".join(self._bodies[position] for position in page) + b"]"

    def _page(self, page: tuple[int, ...]) -> tuple[int, bytes]:
        """The length of a page and its gzip form; level 1, as web servers in a hurry do."""
        if page not in self._pages:
            plain = self._plain(page)
            packer = zlib.compressobj(1, zlib.DEFLATED, 31)
            self._pages[page] = len(plain), packer.compress(plain) + packer.flush()
        return self._pages[page]

    def _summary(self) -> dict[str, int]:
        rows = {
            "issues": len(self._issues),
            "issues__labels": sum(len(issue["labels"]) for issue in self._issues),
            "issues__assignees": sum(len(issue["assignees"]) for issue in self._issues),
        }
        return dataclasses.asdict(self.counts) | rows


@dataclass(frozen=True, slots=True)
class Server:
    """A running API: where it is and how to get in. `repository` is the one it knows."""

    url: str
    token: str = field(repr=False)
    admin_token: str = field(repr=False)
    repository: str = REPOSITORY

    def counts(self) -> dict[str, int]:
        """What was served so far, and how many rows each table has at the server."""
        counts: dict[str, int] = self._admin("GET", "/admin/counts")
        return counts

    def change(self) -> Changes:
        """Edit, empty and add records; return which."""
        return Changes(**self._admin("POST", "/admin/changes"))

    def _admin(self, method: str, path: str) -> Any:
        headers = {"Authorization": f"Bearer {self.admin_token}"}
        with httpx.Client(base_url=self.url, trust_env=False, timeout=60) as client:
            return client.request(method, path, headers=headers).raise_for_status().json()


@contextlib.contextmanager
def serving(settings: Settings) -> Iterator[Server]:
    """Serve in a child process on a free loopback port until the block ends.

    The child ends by itself when this process dies: it reads its standard input to the end.
    """
    command = [sys.executable, "-m", "blocks.demo.server"]
    pipe = subprocess.PIPE
    # A session of its own: Ctrl-C in the terminal is for this process to act upon.
    with subprocess.Popen(
        command, bufsize=0, stdin=pipe, stdout=pipe, start_new_session=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        # The settings go through the pipe and not as arguments, which everyone on the machine sees.
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(orjson.dumps(settings) + b"\n")
        url = child.stdout.readline().decode().strip()
        if not url:
            raise RuntimeError("the demo's server did not start; it says why on standard error")
        yield Server(url, settings.token, settings.admin_token)


def _problem(status: int, message: str, fields: Mapping[str, str] | None = None) -> Answer:
    return status, dict(fields or {}), orjson.dumps({"message": message})


def main() -> None:
    """Serve as the settings on standard input say; write the address to standard output."""
    import uvicorn  # only the child needs it

    settings = Settings(**orjson.loads(sys.stdin.buffer.readline()))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        app = Api(settings, url)
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
        server = uvicorn.Server(config)

        def leave_with_parent() -> None:
            sys.stdin.buffer.read()
            server.should_exit = True

        threading.Thread(target=leave_with_parent, daemon=True).start()
        print(url, flush=True)  # The listener already queues connections: no one comes too early.
        server.run(sockets=[listener])


if __name__ == "__main__":
    main()
