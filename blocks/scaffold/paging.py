"""Paging: which paginator an API needs, proved by following it for a page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from blocks.paginators import LinkHeader
from blocks.scaffold.bodies import Page
from blocks.scaffold.candidates import (
    Candidate,
    Refuted,
    ended,
    followed,
    keysets,
    links,
    tokens,
)
from blocks.scaffold.expressions import expression
from blocks.scaffold.findings import Finding
from blocks.scaffold.numbers import Proof, by_offset, by_page, offset_names, page_names
from blocks.scaffold.visits import MOST, Visits

__all__ = ["paging"]

Try = tuple[str, Callable[[], Awaitable[Proof]]]


async def paging(
    visits: Visits, page: Page, key: str | None, *, counts: bool
) -> tuple[Finding, Page | None]:
    """How to come to the next page, and that page.

    What the answer says of it comes before what can be counted, and counting without any sign
    last, not at all where the answer says that it is the last. `counts` is whether it is sure where
    the records are, without which nothing can be counted.
    """
    if not page.rows:
        advice = "a URL, or --records, with some records on the page"
        return Finding("paging", why=("page 1 has no records",), sure=False, advice=advice), None
    told = links(page)
    if len(told) > 1 and not isinstance(told[0].paginator, LinkHeader):
        why = f"page 1 has {len(told)} URLs, each of which may be the next page's"
        options = tuple(expression(each.paginator) for each in told[:10])
        return Finding("paging", why=(why,), sure=False, options=options), None
    tries = [_follow(visits, page, each, key) for each in told[:1] or tokens(page)]
    if not tries and counts:
        tries = _spoken(visits, page, key)
    end = ended(page)
    if not tries and end:
        advice = "a URL that asks for fewer records, as with limit=2, to see how it goes on"
        return Finding("paging", why=(f"{end}: this may be all",), sure=False, advice=advice), None
    if not tries and counts:
        tries = [
            _count("page numbers", by_page, visits, page, ("page", key)),
            _count("offsets", by_offset, visits, page, ("offset", key)),
        ]
    return await _first(visits, tries)


def _spoken(visits: Visits, page: Page, key: str | None) -> list[Try]:
    """By numbers or keys that the URL or the answer speak of."""
    pages = [_count("page numbers", by_page, visits, page, (n, key)) for n in page_names(page)]
    rows = [_count("offsets", by_offset, visits, page, (n, key)) for n in offset_names(page)]
    after = [_follow(visits, page, each, key) for each in keysets(page, key)]
    if after:
        # A flag goes with page numbers, too: they come before a second name for the key.
        after.insert(1, _count("page numbers", by_page, visits, page, ("page", key)))
    return [*pages, *rows, *after]


def _count(
    what: str,
    prove: Callable[[Visits, Page, str, str | None], Awaitable[Proof]],
    visits: Visits,
    page: Page,
    by: tuple[str, str | None],
) -> Try:
    return f"{what} in {expression(by[0])}", lambda: prove(visits, page, *by)


def _follow(visits: Visits, page: Page, each: Candidate, key: str | None) -> Try:
    async def prove() -> Proof:
        second, seen = await followed(visits, page, each.paginator, key)
        return Proof(each.paginator, f"{each.sign}; {seen}", second)

    return expression(each.paginator), prove


async def _first(visits: Visits, tries: Iterable[Try]) -> tuple[Finding, Page | None]:
    """The first that is proved."""
    against = []
    for code, prove in tries:
        if not visits.left:
            against.append(f"{code}: not tried, as {MOST} requests were made")
            continue
        try:
            proof = await prove()
        except Refuted as refuted:
            against.append(f"{code}: {refuted}")
            continue
        found = Finding("paging", proof.paginator, (proof.seen,), expression(proof.paginator))
        return found, proof.second
    if not against:
        why = "nothing on page 1 says how to come to the next"
        return Finding("paging", why=(why,), sure=False, advice="the API's guide"), None
    advice = "--paging of `new`, by the API's guide; or a URL that asks for fewer records"
    return Finding("paging", why=tuple(against), sure=False, advice=advice), None
