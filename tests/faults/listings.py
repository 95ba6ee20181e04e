"""Faults of listings: next pages that lead nowhere, rows that move, pages again (18 to 20)."""

from __future__ import annotations

import dataclasses
from random import Random
from typing import Any

from blocks.paginators import NextToken, NextUrl, Offset, PageNumber, Paginator
from blocks.places import JsonBody
from blocks.stops import Flag, TotalPages, TotalRows, Until
from tests.authority import Received
from tests.faults.cases import Asked, Case, Fault
from tests.faults.server import Reply
from tests.faults.world import World, record, row

__all__ = ["KINDS"]


def next_links(rng: Random) -> Case:
    """Next pages that are this one, an earlier one, elsewhere, no page at all, or never end."""
    ways = ["self", "back", "round", "odd", "foreign", "endless", "nothing", "deaf"]
    how = rng.choice([*ways, "gone", "two", "torn"])
    styles = {
        "two": ["link"],
        "torn": ["link"],
        "foreign": ["link", "url"],
        "odd": ["url", "token", "post"],
        "endless": ["link", "url"],
        "nothing": ["url", "token", "post"],
        "deaf": ["page", "pages"],
    }
    world = World(rng, styles.get(how, ["link", "url", "token", "post"]))
    page = rng.randrange(1, world.pages // 2)
    if how == "nothing":
        # Alone they take it for the end, as it is with many APIs; a flag says better.
        inners: dict[str, Paginator] = {
            "url": NextUrl("next"),
            "token": NextToken("meta.next", "cursor"),
            "post": NextToken("meta.next", JsonBody("cursor")),
        }
        until = Until(inners[world.style_name], Flag("meta.more"))
        world.style = dataclasses.replace(world.style, paginator=lambda _: until)

    def lead(asked: Asked) -> Reply:
        seen: list[tuple[str, str]] = asked.api.notes.setdefault("seen", [])
        seen.append((asked.received.target, f"o{asked.start}"))
        if how == "deaf":
            return Reply((asked.say(world.write(world.page(_first(asked))[0])),))
        if asked.api.requests <= page:
            return Reply((asked.say(),))
        if how in {"self", "back", "round"}:
            return _say(asked, *seen[{"self": -1, "back": -2, "round": 0}[how]])
        if how in {"gone", "two", "torn"}:
            return _spoil(how, asked)
        if how == "endless":
            return _say(asked, f"{asked.received.target}&again={asked.api.requests}", None)
        odd: dict[str, list[Any]] = {
            "odd": [True, 1.5, [], {}, ["o5"]],
            "nothing": ["", None, False],
            "foreign": _elsewhere(asked.api.url),
        }
        value = asked.rng.choice(odd[how])
        return _say(asked, value, value)

    most = 3 * world.pages if how == "endless" else world.pages
    return Case(
        rng,
        world,
        what=f"{how} on page {page}",
        expected="B",
        faults={each: [lead] * 40 for each in range(most)},
        most=most if how == "endless" else 0,
        at_most=most if how == "endless" else None,
        warm=False,
    )


def _spoil(how: str, asked: Asked) -> Reply:
    if how == "gone":  # a page that was there a moment ago
        return Reply((asked.say(b"{}", asked.rng.choice(["404 Not Found", "410 Gone"])),))
    link = '</items?cursor=o5>; rel="next"'
    other = link.replace("o5", "o6")
    torn = [link[1:], link.replace(">", ""), link[:-1], f"{link} x", f"<, {link}"]
    said = [f"{link}, {other}"] if how == "two" else [asked.rng.choice(torn)]
    if how == "two" and asked.rng.random() < 0.5:
        said = [link, other]
    asked.links = [("Link", value) for value in said]
    return Reply((asked.say(),))


def _elsewhere(url: str) -> list[str]:
    port = url.rpartition(":")[2]
    return [
        f"http://localhost:{port}/stolen",
        f"//localhost:{port}/stolen",
        f"http:\\\\localhost:{port}/stolen",
        f"http://me@127.0.0.1:{port}/stolen",
        f"https://127.0.0.1:{port}/stolen",
        "http://127.0.0.1:1/stolen",
        "file:///stolen",
        "http://[::1",
    ]


def _first(asked: Asked) -> Received:
    """The request, for the first page."""
    target = f"/items?n={asked.api.case.world.size}"
    return Received(asked.received.raw.replace(asked.received.target.encode(), target.encode(), 1))


def _say(asked: Asked, url: Any, token: Any) -> Reply:
    asked.envelope["next"] = url
    asked.envelope["meta"] |= {"next": token, "more": True}
    asked.links = [("Link", f'<{url}>; rel="next"')] if isinstance(url, str) else []
    return Reply((asked.say(),))


def shifts(rng: Random) -> Case:
    """Rows that come, go or move while pages are read; pages and totals that say otherwise."""
    how = rng.choice(
        [
            "delete",
            "delete",
            "insert",
            "reorder",
            "cap",
            "hollow",
            "null",
            "absent",
            "total",
            "text",
            "untold",
        ]
    )
    styles = {
        "delete": ["offset", "pages", "gather", "keyset"],
        "insert": ["keyset", "offset"],
        "reorder": ["keyset"],
        "cap": ["offset", "page", "link", "url", "token", "post", "keyset", "pages"],
        "hollow": ["token", "url", "link", "post", "offset"],
        "null": ["url", "token", "page", "pages", "offset", "keyset", "post"],
        "absent": ["url", "token", "page", "pages", "offset", "keyset", "post"],
        "total": ["offset", "pages", "gather"],
        "text": ["offset", "pages", "gather"],
        "untold": ["offset", "pages", "gather"],
    }[how]
    world = World(rng, styles)
    case = Case(rng, world, warm=False, merge=how in {"insert", "reorder"}, what=how)
    name = world.style_name
    if name in {"pages", "gather"}:
        numbered = Until(PageNumber(records="data"), TotalPages("meta.total", size=world.size))
        world.style = dataclasses.replace(world.style, paginator=lambda _: numbered)
    elif name == "offset":
        world.style = dataclasses.replace(
            world.style,
            paginator=lambda size: Until(Offset(size, records="data"), TotalRows("meta.total")),
        )
    page = rng.randint(1, world.pages - 2)
    before = sorted(world.records)[: page * world.size]
    if how in {"delete", "insert", "reorder"}:
        return _moving(case, how, before)
    if how == "cap":
        cap = rng.randint(world.size // 2, world.size - 1)
        case.begin = lambda: setattr(world, "cap", cap if case.faulty else 0)
        case.expected = "B" if name == "pages" else "A"
        case.budget = 4 * world.pages
        return case
    faults: dict[str, Fault] = {
        "hollow": lambda asked: _with(asked, data=[]),
        "null": lambda asked: _with(asked, data=None),
        "absent": _with,
        "total": lambda asked: _total(asked, len(world.records) + rng.choice([-5, -1, 1, 50])),
        "text": lambda asked: _total(asked, str(len(world.records))),
        "untold": lambda asked: _total(asked, asked.rng.choice([None, -1, 1.5, "", "many", []])),
    }
    case.faults = {page: [faults[how]]}
    case.budget += 1
    case.expected = "A" if how == "text" else "B"
    if how == "hollow" and name != "offset":
        return _hollow(case, page)
    return case


def _moving(case: Case, how: str, before: list[int]) -> Case:
    world, rng = case.world, case.rng
    name = world.style_name
    chosen = rng.sample(before, rng.randint(1, min(9, len(before))))

    def change(_: World) -> None:
        for key in chosen:
            if how == "delete":
                case.allowed[key] = row(world.records.pop(key))
            elif how == "insert":
                new = record(rng, 10_000 + key, key // 5)
                world.records[10_000 + key] = new
                case.optional.add(10_000 + key)
            else:
                case.allowed[key] = row(world.records[key])
                world.records[key]["updated_at"] = world.records[max(world.records)]["updated_at"]

    # Before the request of the page after them.
    case.changes = {len(before) // world.size + 1: change}
    case.what = f"{how} {len(chosen)} on pages already read"
    case.extra = 2
    case.budget += 2
    if name != "keyset":
        case.expected = "B" if how == "delete" else "AB"
    return case


def _hollow(case: Case, page: int) -> Case:
    # An empty page amid others, its records on the next: filters that act after cutting do that.

    def hollow(asked: Asked) -> Reply:
        again = f"{asked.received.target}&again=1"
        token = f"o{asked.start:05}"
        asked.envelope["data"] = []
        return _say(asked, again, token)

    case.faults = {page: [hollow]}
    case.expected = "A"
    case.what = f"hollow page {page}"
    return case


def _with(asked: Asked, **data: Any) -> Reply:
    del asked.envelope["data"]
    asked.envelope |= data
    return Reply((asked.say(),))


def _total(asked: Asked, total: Any) -> Reply:
    asked.envelope["meta"]["total"] = total
    return Reply((asked.say(),))


def repeats(rng: Random) -> Case:
    """A page from a cache in the place of the next one, and pages that overlap."""
    overlap = rng.random() < 0.4
    world = World(rng, ["link", "url", "token", "post"] if overlap else sorted({*_ALL}))
    page = rng.randint(1, world.pages - 2)

    def replay(asked: Asked) -> Reply:
        kept = asked.api.notes["kept"]
        return Reply((kept,))

    def keep(asked: Asked) -> Reply:
        whole = asked.say()
        asked.api.notes["kept"] = whole
        return Reply((whole,))

    def overlapping(asked: Asked) -> Reply:
        listed = sorted(world.records)
        more = [world.records[key] for key in listed[max(0, asked.start - 7) : asked.start]]
        asked.envelope["data"] = [*more, *asked.envelope["data"]]
        return Reply((asked.say(),))

    return Case(
        rng,
        world,
        what=f"{'overlap' if overlap else 'replay'} at page {page}",
        expected="A" if overlap else "B",
        faults={page: [overlapping] * 9} if overlap else {page - 1: [keep] * 9, page: [replay] * 9},
        most=2,
        warm=False,
        merge=overlap,
    )


_ALL = {"link", "url", "token", "page", "pages", "offset", "keyset", "post"}

KINDS = {18: next_links, 19: shifts, 20: repeats}
