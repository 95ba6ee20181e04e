"""Faults of the wire: cut, reset, stalled, wrongly measured, wrongly packed (kinds 1 to 8)."""

from __future__ import annotations

import gzip
import json
import zlib
from random import Random
from typing import Any

from blocks.fetch import pages
from blocks.formats import ndjson
from blocks.limits import Rate
from blocks.normalize import Normalizer
from blocks.paginators import SinglePage
from tests.faults.cases import Asked, Case, Fault
from tests.faults.server import Reply
from tests.faults.source import rows
from tests.faults.world import World
from tests.loopback import answer

__all__ = ["KINDS", "flaky", "lasting"]

# How often blocks.retries.Retry tries, unless told otherwise.
ATTEMPTS = 5


def flaky(rng: Random, make: Fault, *, most: int = 6, what: str = "", **options: Any) -> Case:
    """A case in which one to three pages fail by `make`, up to `most` times each, then are well.

    Right is A up to four times, and B beyond, as a fifth attempt is the last.
    """
    world = World(rng)
    warm = rng.random() < 0.5
    counts = {page: rng.choice([1, 1, 2, 3, rng.randint(1, most)]) for page in _some(rng, world)}
    worst = max(counts.values())
    return Case(
        rng,
        world,
        what=f"{what} on pages {counts}".strip(),
        expected="A" if worst < ATTEMPTS else "B",
        faults={page: [make] * count for page, count in counts.items()},
        warm=warm,
        **options,
    )


def lasting(rng: Random, make: Fault, *, first: int = 0, **options: Any) -> Case:
    """A case in which one page, `first` or a later one, is never well."""
    world = World(rng)
    page = rng.randrange(first, world.pages // 2)
    return Case(rng, world, faults={page: [make] * 40}, **options)


def _some(rng: Random, world: World) -> list[int]:
    # In a second run about half of the pages are asked for.
    return rng.sample(range(world.pages // 2), rng.randint(1, min(3, world.pages // 2)))


def resets(rng: Random) -> Case:
    """RST before the headers, in them, or in the body."""

    def cut(asked: Asked) -> Reply:
        whole = asked.say()
        head = whole.index(b"\r\n\r\n")
        at = asked.rng.choice([0, asked.rng.randrange(head), asked.rng.randrange(head, len(whole))])
        return Reply((whole[:at],), "reset")

    return flaky(rng, cut)


def cut_short(rng: Random) -> Case:
    """Fewer bytes than Content-Length says, then the end of the connection."""

    def cut(asked: Asked) -> Reply:
        whole = asked.say()
        return Reply((whole[: -asked.rng.randint(1, len(asked.body))],), "close")

    return flaky(rng, cut)


def too_long(rng: Random) -> Case:
    """More bytes than Content-Length says: a page cut, or a second response nobody asked for."""
    stowaway = rng.random() < 0.4
    late = rng.random() < 0.5

    def cut(asked: Asked) -> Reply:
        at = asked.rng.randrange(1, len(asked.body))
        whole = asked.say(asked.body, length=at)
        end = len(whole) - len(asked.body) + at
        return Reply((whole[:end], 0.01, whole[end:]) if late else (whole,))

    def smuggle(asked: Asked) -> Reply:
        false = [{**record, "id": -record["id"]} for record in asked.envelope["data"]]
        over = {"next": None, "meta": {"next": None, "more": False, "total": 1, "pages": 1}}
        world = asked.api.case.world
        second = answer(world.write({**over, "data": false}))
        return Reply((asked.say(), 0.01, second) if late else (asked.say() + second,))

    if not stowaway:
        case = lasting(rng, cut, expected="B", most=ATTEMPTS, what="Content-Length too small")
    elif late:
        # To an idle connection: come after the next request, nobody could tell it from an answer.
        paced = {"virtual": True, "limit": lambda clock: Rate(1, clock=clock)}
        case = flaky(rng, smuggle, most=1, what="another response after the page", **paced)
    else:
        case = flaky(rng, smuggle, most=1, what="another response behind the page")
    # httpx's own transport takes it for an answer, and quotes what came in errors.
    case.plain = False
    return case


def chunks(rng: Random) -> Case:
    """Chunked bodies that end early, or have sizes that are none."""

    def cut(asked: Asked) -> Reply:
        body = asked.body
        step = max(1, len(body) // asked.rng.randint(1, 7))
        pieces = [body[at : at + step] for at in range(0, len(body), step)]
        sent = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]
        at = asked.rng.randrange(len(sent))
        how = asked.rng.choice(["cut", "in", "size", "large", "huge", "last"])
        end = {
            "cut": b"",
            "in": sent[at][: asked.rng.randrange(len(sent[at]))],
            "size": b"zz\r\n" + pieces[at],
            "large": b"%x\r\n%b" % (len(pieces[at]) + 9, pieces[at]),
            "huge": b"f" * 40 + b"\r\n" + pieces[at],
            "last": b"".join(sent[at:]) + b"0",
        }[how]
        coded = b"".join(sent[:at]) + end
        whole = asked.say(coded, headers=[("Transfer-Encoding", "chunked")], length=None)
        return Reply((whole,), asked.rng.choice(["close", "reset"]))

    return flaky(rng, cut)


def no_length(rng: Random) -> Case:
    """JSON that only the end of the connection ends, and ends too early."""

    def cut(asked: Asked) -> Reply:
        body = asked.body
        at = asked.rng.randrange(len(body))
        if asked.rng.random() < 0.3:  # where a record ends, a tag, or a bracket in a text
            ends = [place + 1 for place in range(len(body) - 1) if body[place] in b"]}"]
            at = asked.rng.choice(ends)
        return Reply((asked.say(body[:at], length=None),), "close")

    return flaky(rng, cut)


def lines(rng: Random) -> Case:
    """NDJSON cut where a line ends: only a length, a last chunk or a checksum would tell."""
    world = World(rng, ["link"])
    world.size = len(world.records)
    framing = rng.choice(["close", "close", "length", "chunked", "gzip"])
    kind = rng.choice(["application/x-ndjson", "application/jsonl", "application/json-lines"])

    def export(asked: Asked, share: float = 1.0) -> Reply:
        records = asked.envelope["data"]
        kept = records[: max(1, int(len(records) * share))]
        body = b"".join(json.dumps(record).encode() + b"\n" for record in records)
        part = b"".join(json.dumps(record).encode() + b"\n" for record in kept)
        headers = [("Content-Type", kind)]
        length: int | None = len(body)
        if framing == "chunked":
            last = b"0\r\n\r\n" if share == 1 else b""
            part = b"%x\r\n%b\r\n" % (len(part), part) + last
            headers.append(("Transfer-Encoding", "chunked"))
            length = None
        if framing == "gzip":
            packing = zlib.compressobj(wbits=31)
            part = packing.compress(part) + packing.flush(
                zlib.Z_FINISH if share == 1 else zlib.Z_SYNC_FLUSH
            )
            headers.append(("Content-Encoding", "gzip"))
            length = len(part)
        if framing == "close" and not asked.api.clean:
            length = None
        return Reply((asked.say(part, headers=headers, length=length),), "close")

    async def read(run: Any) -> None:
        first = run.api.build_request("GET", "/items", params={"n": world.size})
        bodies = [page.content async for page in pages(run.api, first, SinglePage())]
        for tables in Normalizer("items").stream(ndjson(bodies)):
            run.rows.extend(rows(tables))

    count = 8 if framing == "close" else rng.randint(1, 3)
    return Case(
        rng,
        world,
        what=f"{kind} ended by {framing}",
        expected="B" if framing == "close" else "A",
        faults={0: [lambda asked: export(asked, asked.rng.uniform(0.1, 0.9))] * count + [export]},
        most=1 if framing == "close" else count + 1,
        warm=False,
        virtual=True,
        route=lambda received, api: export(api.ask(received)) if api.clean else None,
        read=read,
    )


def gzips(rng: Random) -> Case:
    """Gzip that is cut, damaged, not gzip, or followed by junk."""
    how = rng.choice(["cut", "cut", "sum", "flip", "none", "junk", "claimed"])

    def pack(asked: Asked) -> Reply:
        packed = gzip.compress(asked.body)
        if how == "cut":
            packed = packed[: asked.rng.randrange(len(packed))]
        elif how == "sum":
            packed = packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:]
        elif how == "flip":
            at = asked.rng.randrange(10, len(packed) - 8)
            packed = (
                packed[:at] + bytes([packed[at] ^ (1 << asked.rng.randrange(8))]) + packed[at + 1 :]
            )
        elif how == "none":
            packed = asked.body
        elif how == "junk":
            packed += asked.rng.randbytes(asked.rng.randint(1, 40))
        headers = [("Content-Encoding", "deflate" if how == "claimed" else "gzip")]
        return Reply((asked.say(packed, headers=headers),))

    return flaky(rng, pack)


def slow(rng: Random) -> Case:
    """Silence before the headers or in the body, for ever or broken by a byte now and then."""
    how = rng.choice(["never", "stall", "drip", "late"])

    def stall(asked: Asked) -> Reply:
        whole = asked.say()
        at = asked.rng.randrange(len(whole))
        if how == "never":
            return Reply((), "hang")
        if how == "stall":
            return Reply((whole[:at],), "hang")
        if how == "late":
            return Reply((asked.rng.uniform(61, 500), whole))
        pause = asked.rng.uniform(20, 59)
        return Reply(
            (
                whole[:at],
                *(part for i in range(50) for part in (pause, whole[at + i : at + i + 1])),
            ),
            "hang",
        )

    return flaky(rng, stall, virtual=True, what=how)


KINDS = {
    1: resets,
    2: cut_short,
    3: too_long,
    4: chunks,
    5: no_length,
    6: lines,
    7: gzips,
    8: slow,
}
