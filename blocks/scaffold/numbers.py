"""Numbers: pages and offsets that a source counts itself, proved by asking.

A guess that skips rows would do so in silence, so where counting starts is asked too: page 1 must
be what comes unasked, and an offset must begin with the very record that it leads to.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from blocks.paginators import Offset, PageNumber, Paginator
from blocks.requests import turn
from blocks.scaffold.bodies import Page, bare, called_one_of, shown
from blocks.scaffold.candidates import TOTALS, Refuted, asked, differs, followed
from blocks.scaffold.expressions import expression
from blocks.scaffold.visits import Visits
from blocks.stops import TotalPages, TotalRows, Until

__all__ = ["Proof", "by_offset", "by_page", "offset_names", "page_names"]

# Numbers of pages that are told so, but asked for as `page`: Laravel and Spring.
_TOLD = {"currentpage", "number"}
_PAGES = {"page", "pageindex", "pageno", "pagenumber", "pagenum", *_TOLD}
_OFFSETS = {"offset", "pageoffset", "skip", "start", "startat", "startindex"}
_SIZES = {"limit", "maxresults", "pagelimit", "pagesize", "perpage", "size", "take", "top"}
_PAGE_COUNTS = {"lastpage", "numpages", "pagecount", "pages", "totalpage", "totalpages"}


@dataclass(frozen=True, slots=True)
class Proof:
    """A paginator that stood its test, what was seen of it, and the page it led to."""

    paginator: Paginator
    seen: str
    second: Page | None = None


def page_names(page: Page) -> list[str]:
    """Parameters by which pages may be numbered, as the URL or the answer has them."""
    found = ("page" if bare(name) in _TOLD else name for name in _spoken(page, _PAGES))
    return list(dict.fromkeys(found))


def offset_names(page: Page) -> list[str]:
    """Parameters by which rows may be skipped, as the URL or the answer has them."""
    return _spoken(page, _OFFSETS)


async def by_page(visits: Visits, page: Page, name: str, key: str | None) -> Proof:
    """That `name` takes the number of a page; or `Refuted`."""
    spoken = {bare(name), *_TOLD}
    told = [value for _, value in called_one_of(page, spoken) if _whole(value)]
    given = page.response.request.url.params.get(name)
    if given is not None:
        start, why = _number(given), f"the URL of page 1 has {given[:9]} as {expression(name)}"
    elif told:
        start, why = told[0], f"page 1 says that it is number {told[0]}"
    else:
        one = await asked(visits, page, turn(page.response.request, {name: 1}))
        wrong = differs(page, one, key)
        if not wrong:
            # What comes unasked is number 0 then.
            paginator = PageNumber(name, start=0, records=page.path)
            seen = f"{name}=1 has {len(one.rows)} records, none of those that come without it"
            return Proof(_until_pages(paginator, page, one), seen, one)
        if one.marks(key) != page.marks(key):
            raise Refuted(f"{name}=1 {wrong}")
        start, why = 1, f"{name}=1 has the records that come without it"
    if start not in {0, 1}:
        raise Refuted(f"{why}: only the first page shows where numbers start")
    paginator = PageNumber(name, start=start, records=page.path)
    second, seen = await followed(visits, page, paginator, key)
    again = [value for _, value in called_one_of(second, spoken)]
    if told[:1] == [start] and start + 1 not in again:
        raise Refuted(f"{why}, but page 2 does not say {start + 1}")
    return Proof(_until_pages(paginator, page, second), f"{why}; {seen}", second)


async def by_offset(visits: Visits, page: Page, name: str, key: str | None) -> Proof:
    """That `name` takes a number of rows to skip, or that of the first row; or `Refuted`."""
    count, request = len(page.rows), page.response.request
    size = next(iter(_spoken(page, _SIZES)), "limit")
    limit = _number(request.url.params.get(size, "")) or count
    if request.url.params.get(name, "0") not in {"0", "1"}:
        raise Refuted(f"the URL has another {name} than that of the first page")
    if count < 2:
        raise Refuted("a page of one record does not show how offsets count")
    over = await asked(visits, page, turn(request, {name: count - 1, size: limit}))
    first, found = page.marks(key), over.marks(key)
    places = [start for start in (0, 1) if found[:1] == first[count - 1 - start :][:1]]
    if not places:
        raise Refuted(f"{name}={count - 1} does not begin with one of the last records of page 1")
    start = places[0]
    paginator = Offset(limit, offset_param=name, limit_param=size, start=start, records=page.path)
    seen = f"{name}={count - 1} begins with record {count - start} of page 1"
    if visits.left:
        second, more = await followed(visits, page, paginator, key)
        return Proof(_until_rows(paginator, page, second), f"{seen}; {more}", second)
    rest = found[1 + start :]
    if not rest or set(rest) & set(first):
        raise Refuted(f"{seen}, but goes on with none that is new")
    return Proof(paginator, f"{seen} and goes on with {len(rest)} new ones")


def _until_pages(paginator: PageNumber, page: Page, second: Page) -> Paginator:
    """With the number of pages as the end, where it fits that of all rows on both pages."""
    for steps, pages in called_one_of(page, _PAGE_COUNTS):
        rows = [value for _, value in called_one_of(page, TOTALS) if _whole(value)]
        fits = any(_whole(pages) and pages == -(-total // len(page.rows)) > 1 for total in rows)
        if fits and (steps, pages) in called_one_of(second, _PAGE_COUNTS):
            return Until(paginator, TotalPages(shown(steps)))
    return paginator


def _until_rows(paginator: Offset, page: Page, second: Page) -> Paginator:
    """With the number of rows as the end, where both pages say the same, and not too few."""
    seen = len(page.rows) + len(second.rows)
    for steps, total in called_one_of(page, TOTALS):
        if _whole(total) and total >= seen and (steps, total) in called_one_of(second, TOTALS):
            return Until(paginator, TotalRows(shown(steps)))
    return paginator


def _spoken(page: Page, names: Collection[str]) -> list[str]:
    url = [name for name in page.response.request.url.params if bare(name) in names]
    told = [str(steps[-1]) for steps, value in called_one_of(page, names) if _whole(value)]
    # Of an answer's name that reads like one of these, but holds what moves a terminal, nothing.
    return [name for name in dict.fromkeys([*url, *told]) if re.fullmatch(r"[\w.$\[\]-]+", name)]


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,6}", text) else None


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9
