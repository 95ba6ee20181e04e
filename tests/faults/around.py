"""Faults around the exchange: names, clocks, cancellation, machine, TLS (16, 17, 22, 24, 25)."""

from __future__ import annotations

import asyncio
import socket
import ssl
import warnings
import zlib
from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random
from typing import Any

import httpx

from blocks.slots import InFlight
from tests.faults.answers import failing, limited
from tests.faults.cases import Api, Asked, Case
from tests.faults.server import Reply
from tests.faults.source import read as read_all
from tests.faults.world import World, different

__all__ = ["KINDS"]


def names(rng: Random) -> Case:
    """A resolver that fails now and then, for good, or says where nobody listens."""
    how = rng.choice(["flapping", "flapping", "gone", "moved"])
    world = World(rng)
    failures = rng.randint(1, 6) if how == "flapping" else 10**6
    asked: list[str] = []

    def resolve(host: str) -> str:
        asked.append(host)
        if not case.faulty:
            return "127.0.0.1"
        if how == "moved":
            return "127.0.0.9" if len(asked) <= 1 else "127.0.0.1"
        if len(asked) <= failures:
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return "127.0.0.1"

    def close(asked: Asked) -> Reply:
        return Reply((asked.say(),), "close")

    case = Case(
        rng,
        world,
        what=f"{how} {failures if how == 'flapping' else ''}",
        # An address is kept for ten seconds, as aiohttp does; httpx looks up each time.
        expected={"gone": "B", "moved": "AB"}.get(how, "A" if failures < 5 else "B"),
        faults={page: [close] for page in range(world.pages)},
        extra=4,
        virtual=True,
        named="api.test",
        names=resolve,
        begin=asked.clear,
    )
    return case


def clocks(rng: Random) -> Case:
    """A wall clock that jumps amid a run: hours, days, back and forth; a second 60."""
    import time_machine

    jumps = [3600, -3600, 2 * 86400, -2 * 86400, 90, -1, 365 * 86400]
    case = (limited if rng.random() < 0.6 else failing)(rng)
    traveller = time_machine.travel(datetime(2031, 3, 30, 0, 59, 57, tzinfo=UTC), tick=True)
    drawn = {number: rng.choice(jumps) for number in rng.sample(range(1, 8), 3)}

    def jump(by: int) -> Any:
        return lambda _: case.notes["clock"].shift(timedelta(seconds=by))

    class Around:
        def __enter__(self) -> None:
            case.notes["clock"] = traveller.start()

        def __exit__(self, *_: object) -> None:
            traveller.stop()

    case.around = Around
    case.changes = {number: jump(by) for number, by in drawn.items()}
    case.what = f"{case.what}; clock jumps {drawn}"
    return case


def cancelled(rng: Random) -> Case:
    """The task is cancelled at any await, or Ctrl-C comes; what was held is free again."""
    world = World(rng)
    number, turns = rng.randint(1, world.pages), rng.randrange(25)
    if rng.random() < 0.25:
        return Case(
            rng,
            world,
            what=f"Ctrl-C at request {number}",
            expected="B",
            most=9,
            warm=False,
            interrupt=min(number, world.pages - 1),
            errors=(KeyboardInterrupt,),
        )
    shared: dict[str, Any] = {}

    def limit(clock: Any) -> Any:
        shared["limit"] = shared.get("limit") or InFlight(2)
        return shared["limit"]

    async def read(run: Any) -> None:
        loop = asyncio.get_running_loop()
        if run.played.clean:
            run.rows.extend(await read_all(case, run.api, run.state))
            return
        task = loop.create_task(read_all(case, run.api, dict(run.state)))

        def soon(left: int) -> None:
            if left:
                loop.call_soon(soon, left - 1)
            else:
                task.cancel()

        case.changes = {number: lambda _: soon(turns)}
        try:
            run.rows.extend(await task)
        except asyncio.CancelledError:
            # The same client, the same limit: all there is to have again.
            left = [each for each in asyncio.all_tasks() if "blocks" in str(each.get_coro())]
            assert not left, f"left behind: {left}"
            again = await read_all(case, run.api, {})
            wrong = different(again, world.truth())
            assert not wrong, f"after the cancellation: {wrong}"
            raise

    case = Case(
        rng,
        world,
        what=f"cancelled {turns} turns after request {number}",
        expected="AB",
        extra=2 * world.pages + 3,
        warm=False,
        virtual=True,
        limit=limit if rng.random() < 0.5 else None,
        read=read,
        errors=(asyncio.CancelledError,),
        sockets=True,
    )
    return case


def certificates(rng: Random) -> Case:
    """Certificates of strangers, for others, outdated; an old TLS; no TLS; sent down to http."""
    how = rng.choice(["stranger", "other", "expired", "old", "none", "down", "moved"])
    world = World(rng)
    authority = _authority()

    def serve(clean: bool) -> Any:
        if clean or how == "down":
            return _context("good")
        if how == "none":
            return None
        return _context(how)

    def down(asked: Asked) -> Reply:
        url = asked.api.url.replace("https:", "http:") + "/stolen"
        return Reply((asked.say(b"", "307 Go", [("Location", url)]),))

    def follow(http: httpx.AsyncClient) -> None:
        http.follow_redirects = True

    def unseen(api: Api) -> str:
        return f"{api.requests} requests were seen" if api.requests and how != "down" else ""

    refused = how in {"stranger", "other", "expired", "moved"}
    return Case(
        rng,
        world,
        what=how,
        expected="B",
        faults={0: [down] * 9} if how == "down" else {},
        most=1,
        virtual=True,
        tls=serve,
        trust=authority,
        authority=_issuer,
        tune=follow if how == "down" else None,
        check=unseen,
        # Of the others asyncio's server sends no alert: it looks like a lost connection.
        connections=1 if refused else None,
        named="localhost" if how == "moved" else "",
        names=lambda _: "127.0.0.1",
    )


def machines(rng: Random) -> Case:
    """A full disk, a directory that is read-only, too few files, too little memory.

    Not two processes at once: dlt has no lock on a pipeline, and one in forty is stuck afterwards.
    """
    how = rng.choice(["disk", "disk", "read-only", "files", "memory", "bomb"])
    world = World(rng, ["link", "token", "page", "offset"])

    def swell(asked: Asked) -> Reply:
        if how == "bomb":
            headers = [("Content-Encoding", "gzip")]
            return Reply((asked.say(_bomb(), headers=headers),))
        body = asked.body
        return Reply((asked.say(body[:-1] + b" " * (80 * 2**20) + body[-1:]),))

    large = how in {"memory", "bomb"}
    return Case(
        rng,
        world,
        what=how,
        expected={"bomb": "B", "files": "AB", "memory": "B", "read-only": "B"}.get(how, "AB"),
        faults={rng.randrange(2): [swell] * 9} if large else {},
        limited=how,
        warm=rng.random() < 0.5 and not large,
    )


@cache
def _bomb() -> bytes:
    packing = zlib.compressobj(wbits=31)
    zeros = bytes(2**20)
    return b"".join(packing.compress(zeros) for _ in range(512)) + packing.flush()


@cache
def _authority() -> ssl.SSLContext:
    import trustme

    context = ssl.create_default_context()
    ca = _issuer()
    assert isinstance(ca, trustme.CA)
    ca.configure_trust(context)
    return context


@cache
def _issuer() -> Any:
    import trustme

    return trustme.CA()


@cache
def _context(how: str) -> ssl.SSLContext:
    import trustme

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca = trustme.CA() if how == "stranger" else _issuer()
    names = ["127.0.0.1", "localhost"]
    if how in {"other", "moved"}:
        names = ["elsewhere.example"]
    end = datetime(2020, 1, 1, tzinfo=UTC) if how == "expired" else None
    ca.issue_cert(*names, not_after=end).configure_cert(context)
    if how == "old":
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore"):  # old is what they are to be
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


KINDS = {16: names, 17: clocks, 22: cancelled, 24: machines, 25: certificates}
