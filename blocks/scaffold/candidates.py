"""Candidates: paginators that an answer speaks for, and how one stands being followed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from blocks.errors import BlocksError
from blocks.links import parse
from blocks.paginators import Keyset, LinkHeader, NextToken, NextUrl, Paginator
from blocks.scaffold.bodies import Page, Steps, bare, called_one_of, members, shown
from blocks.scaffold.expressions import expression
from blocks.scaffold.visits import Visits, reason
from blocks.stops import Flag, Until

__all__ = [
    "TOTALS",
    "Candidate",
    "Refuted",
    "asked",
    "differs",
    "ended",
    "flags",
    "followed",
    "keysets",
    "links",
    "tokens",
]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A paginator, and what of the answer speaks for it."""

    paginator: Paginator
    sign: str


class Refuted(Exception):  # noqa: N818 - says what happened
    """What speaks against a candidate."""


async def followed(
    visits: Visits, page: Page, paginator: Paginator, key: str | None
) -> tuple[Page, str]:
    """The page after `page`, and what is to be said of it; or `Refuted`.

    It must have records, none of those of `page`, and lead somewhere else or nowhere.
    """
    try:
        request = paginator(page.response)
        if request is None:  # pragma: no cover - what is a candidate leads on
            raise Refuted("leads nowhere from page 1")
        found = await asked(visits, page, request)
        if wrong := differs(page, found, key):
            raise Refuted(f"page 2, so asked for, {wrong}")
        paginator(found.response)
    except BlocksError as error:
        raise Refuted(reason(error)) from error
    return found, f"page 2, so asked for, has {len(found.rows)} records, none of page 1"


async def asked(visits: Visits, page: Page, request: httpx.Request) -> Page:
    """The answer to `request`, with its records where `page` has them; or `Refuted`."""
    try:
        return Page(await visits.get(request), page.path)
    except (BlocksError, httpx.HTTPError) as error:
        raise Refuted(reason(error)) from error


def differs(page: Page, other: Page, key: str | None) -> str:
    """Why `other` cannot be the page after `page`; nothing if it can."""
    if not other.rows:
        return "has no records"
    known = set(page.marks(key))
    again = sum(mark in known for mark in other.marks(key))
    if again == len(other.rows):
        return "has nothing but records of page 1"
    return f"has {again} of the records of page 1 again" if again else ""


def links(page: Page) -> list[Candidate]:
    """Paginators for URLs that the answer has."""
    found = []
    try:
        headers = parse(page.response.headers.get_list("link"))
    except ValueError:
        headers = []
    if any("next" in link.rels and link.anchor is None for link in headers):
        found.append(Candidate(LinkHeader(), "`next` in the Link header of page 1"))
    seen = set()
    for steps, value in members(page):
        if _next(steps) and isinstance(value, str) and _URL.match(value) and value not in seen:
            seen.add(value)
            sign = f"a URL at {expression(shown(steps))} of page 1"
            found.append(Candidate(NextUrl(shown(steps)), sign))
    return found


def tokens(page: Page) -> list[Candidate]:
    """Paginators for tokens, each with the parameters that may take it, the likelier first."""
    found = []
    # Of a cursor of this page and one of the next, the latter.
    for steps, value in sorted(members(page), key=lambda each: not _next(each[0])):
        name = str(steps[-1])
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            continue
        if isinstance(value, str) and (_URL.match(value) or len(value) > 4096):
            continue
        if _next(steps) or (isinstance(value, str) and bare(name) in _TOKENS):
            sign = f"a token at {expression(shown(steps))} of page 1"
            given = [each for each in page.response.request.url.params if bare(each) == bare(name)]
            names = dict.fromkeys([*given, *_parameters(name)])
            found += [Candidate(NextToken(shown(steps), each), sign) for each in names]
    return found


def keysets(page: Page, key: str | None) -> list[Candidate]:
    """Paginators that go on after the last record, where a flag says that there are more."""
    if key is None:
        return []
    found = []
    for parameter in ("starting_after", "after"):
        for steps, last in flags(page):
            keyset = Keyset(page.path, shown((key,)), parameter)
            more = Until(keyset, Flag(shown(steps), last=last))
            found.append(Candidate(more, f"{expression(shown(steps))} says there are more"))
    return found


def flags(page: Page) -> Iterator[tuple[Steps, bool]]:
    """Where the page says that there are more, and what would say that there are none."""
    for steps, value in called_one_of(page, {*_MORE, *_LAST}):
        last = bare(steps[-1]) in _LAST
        if isinstance(value, bool) and value is not last:
            yield steps, last


def ended(page: Page) -> str:
    """What says that the page is the last, if anything does."""
    for steps, value in members(page):
        name = expression(shown(steps))
        if _next(steps) and (value is None or value is False or value == ""):
            return f"{name} is empty"
        last = bare(steps[-1]) in _LAST
        if isinstance(value, bool) and value is last and (last or bare(steps[-1]) in _MORE):
            return f"{name} says there are no more"
        total = bare(steps[-1]) in TOTALS - {"count"}  # which is often that of the page
        if total and value == len(page.rows) and not isinstance(value, bool):
            return f"{name} is the number of records on page 1"
    return ""


def _next(steps: Steps) -> bool:
    holder, name = ["", *(bare(step) for step in steps if isinstance(step, str))][-2:]
    by_rel = any(not isinstance(step, str) for step in steps)
    within = name in {"href", "url", "uri", "link", "cursor", "token"} and "next" in holder
    return by_rel or "next" in name or within


def _parameters(name: str) -> list[str]:
    """Parameters that may take the token called `name`: page_token that of nextPageToken."""
    rest = re.sub(r"^[\W_]*next[_-]?", "", name, flags=re.IGNORECASE)
    rest = rest[:1].lower() + rest[1:] if not rest.isupper() else rest
    general = {"": "cursor", "endcursor": "after", "token": "token"}
    return [each for each in (general.get(bare(rest), rest), name) if each.isprintable()]


_URL = re.compile(r"https?://|/|\?")
_TOKENS = {
    *("after", "bookmark", "continuation", "continuationtoken", "cursor", "cursormark"),
    *("endcursor", "lastevaluatedkey", "marker", "offset", "pagetoken", "scrollid"),
}
_MORE = {
    *("hasmore", "hasmoreitems", "hasmorepages", "hasnext", "hasnextpage", "more"),
    "moreavailable",
}
_LAST = {"islast", "islastpage", "last", "lastpage"}
TOTALS = {
    *("count", "recordcount", "total", "totalcount", "totalelements", "totalitems"),
    *("totalrecords", "totalresults", "totalrows"),
}
