"""What ends the pages, over any paginator, and never too early."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import BodyError, ConfigError, CursorError, PagingError
from blocks.kinds import Epoch
from blocks.paginators import Keyset, LinkHeader, NextToken, Offset, PageNumber, Paginator
from blocks.places import Header, OrNull
from blocks.stops import Empty, Flag, Older, TotalPages, TotalRows, Until
from tests.walks import URL, number, page, walk

ALL = [
    Until(NextToken("cursor", "cursor"), Empty("items")),
    Until(Keyset("data", "id", "after"), Flag("has_more")),
    Until(PageNumber(records=None), Flag(Header("X-Last"), last=True)),
    Until(PageNumber(), TotalPages("meta.pages")),
    Until(PageNumber(records=OrNull("data")), TotalPages(Header("X-Total"), size=50)),
    Until(Offset(100), TotalRows(["@odata.count"])),
    Until(LinkHeader(), Older("at", records="", than="2024-01-01")),
]


@pytest.mark.parametrize("paginator", ALL, ids=repr)
def test_stops_are_values(paginator: Paginator) -> None:
    """What is printed makes an equal paginator, and so does pickling."""
    assert eval(repr(paginator)) == paginator
    assert pickle.loads(pickle.dumps(paginator)) == paginator


def test_an_empty_page_ends_tokens() -> None:
    """For APIs that always send a token."""
    paginator = Until(NextToken("cursor", "cursor"), Empty("items"))
    assert paginator(page({"items": [], "cursor": "c2"})) is None
    assert paginator(page({"items": [1], "cursor": "c2"})) is not None
    with pytest.raises(BodyError, match="expected an array of records at 'items'"):
        paginator(page({"cursor": "c2"}))


@pytest.mark.parametrize("more", [True, "true", 1])
def test_a_flag_ends_keysets(more: Any) -> None:
    """As it is written, or turned round."""
    paginator = Until(Keyset("data", "id", "after"), Flag("has_more"))
    assert paginator(page({"data": [{"id": 1}], "has_more": more})) is not None
    assert paginator(page({"data": [{"id": 1}], "has_more": not more})) is None
    paginator = Until(Keyset("data", "id", "after"), Flag("is_last", last=True))
    assert paginator(page({"data": [{"id": 1}], "is_last": more})) is None
    with pytest.raises(BodyError, match="expected true or false at 'is_last', got nothing"):
        paginator(page({"data": [{"id": 1}]}))


def test_an_empty_page_is_no_end_where_the_flag_says_more() -> None:
    """A numbered paginator that leaves the end to the flag goes on; others cannot, and say so."""
    body = {"data": [], "has_more": True}
    following = Until(PageNumber(records=None), Flag("has_more"))(page(body))
    assert following is not None
    assert following.url.query == b"page=2"
    for paginator in (PageNumber(records="data"), Keyset("data", "id", "after")):
        with pytest.raises(PagingError, match=r"expected a next page, as .* is not reached"):
            Until(paginator, Flag("has_more"))(page(body))


def test_a_stop_may_be_a_function() -> None:
    """Whatever says whether a page was the last."""
    paginator = Until(PageNumber(), lambda response: "X-Last" in response.headers)
    assert paginator(page([1], headers={"X-Last": "yes"})) is None
    assert paginator(page([1])) is not None


@given(st.integers(0, 40), st.integers(1, 9), st.integers(0, 2), st.booleans(), st.booleans())
def test_pages_up_to_a_total_are_each_visited_once(
    rows: int, size: int, start: int, in_rows: bool, as_text: bool
) -> None:
    """None after the last, whether the API counts pages or rows, as a number or as text."""
    pages = -(-rows // size)
    told = rows if in_rows else pages

    def answer(request: httpx.Request) -> Any:
        at = (number(request, "p", start) - start) * size
        return {"data": [*range(rows)][at : at + size], "n": str(told) if as_text else told}

    stop = TotalPages("n", size=size if in_rows else None)
    paginator = Until(PageNumber("p", start=start, records="data"), stop)
    seen = [*walk(answer, paginator)]
    assert [row for _, body in seen for row in body["data"]] == [*range(rows)]
    asked = [number(request, "p", start) for request, _ in seen]
    assert asked == [*range(start, start + max(1, pages))]
    first = httpx.Response(200, json=seen[0][1], request=seen[0][0])
    assert [str(each.url) for each in paginator.rest(first)] == [
        str(request.url) for request, _ in seen[1:]
    ]
    assert paginator.total(first) == told


@given(
    st.integers(0, 60),
    st.integers(1, 20),
    st.lists(st.integers(1, 20), min_size=1, max_size=5),
    st.integers(0, 10),
    st.booleans(),
)
def test_offsets_up_to_a_total_tile_all_rows(
    total: int, limit: int, caps: list[int], first: int, as_text: bool
) -> None:
    """The windows [offset, offset + rows) tile [first, total), with no request after the last."""
    turns = 0

    def answer(request: httpx.Request) -> Any:
        nonlocal turns
        turns += 1
        at = number(request, "offset", 0)
        most = min(number(request, "limit", 7), caps[turns % len(caps)])
        return {"data": [*range(total)][at : at + most], "n": str(total) if as_text else total}

    paginator = Until(Offset(limit, records="data"), TotalRows("n"))
    seen = [*walk(answer, paginator, f"{URL}?offset={first}")]
    rows = [body["data"] for _, body in seen]
    assert [row for window in rows for row in window] == [*range(first, total)]
    offsets = [number(request, "offset", 0) for request, _ in seen]
    assert offsets == [first + sum(map(len, rows[:i])) for i in range(len(rows))]
    assert sum(not window for window in rows) == (0 if first < total else 1)


@given(st.integers(0, 200), st.integers(1, 50), st.integers(1, 50), st.integers(0, 1))
def test_windows_known_beforehand_tile_all_rows(
    total: int, limit: int, cap: int, start: int
) -> None:
    """From the first page all windows are known, each as long as a capped page is."""
    step = min(limit, cap)
    body = {"data": [*range(min(step, total))], "n": total}
    paginator = Until(Offset(limit, records="data", start=start), TotalRows("n"))
    windows = [number(each, "offset", -1) - start for each in paginator.rest(page(body))]
    assert [0, *windows] == [*range(0, max(1, total), step)]


def test_an_empty_page_before_the_last_is_passed() -> None:
    """Where the number of pages is known, a page emptied by the API's own filter is no end."""
    pages = [[1], [], [], [2]]
    paginator = Until(PageNumber(records="rows"), TotalPages("pages"))
    seen = walk(lambda r: {"rows": pages[number(r, "page", 1) - 1], "pages": 4}, paginator)
    assert [body["rows"] for _, body in seen] == pages


def test_rows_beyond_the_last_page_are_an_error() -> None:
    """A number of pages smaller than the rows show is not believed."""
    paginator = Until(PageNumber(records="rows"), TotalPages("pages"))
    with pytest.raises(PagingError, match="expected rows on 0 pages, got some after"):
        paginator(page({"rows": [1], "pages": 0}))
    assert paginator(page({"rows": [], "pages": 0})) is None
    assert Until(PageNumber(records=None), TotalPages("n"))(page({"rows": [1], "n": 0})) is None


@pytest.mark.parametrize("rows", [0, 49, 51, 100])
def test_pages_of_another_size_are_an_error(rows: int) -> None:
    """A server that sends fewer rows than asked for has more pages than the total was taken for."""
    paginator = Until(PageNumber(records="rows"), TotalPages("n", size=50))
    with pytest.raises(PagingError, match=f"expected 50 rows on page 1 of 3, got {rows}"):
        paginator(page({"rows": [1] * rows, "n": 120}))
    with pytest.raises(PagingError, match=f"expected 20 rows on page 3 of 3, got {rows}"):
        paginator(page({"rows": [1] * rows, "n": 120}, url=f"{URL}?page=3"))


def test_an_empty_page_before_the_total_is_an_error() -> None:
    """Rows the API counts but does not send are missed aloud."""
    paginator = Until(Offset(50, records="rows"), TotalRows("n"))
    with pytest.raises(PagingError, match="expected 250 rows, got none after 200"):
        paginator(page({"rows": [], "n": 250}, url=f"{URL}?offset=200"))


def test_more_rows_than_the_total_are_an_error() -> None:
    """A total that is capped, as search engines do, hides rows."""
    paginator = Until(Offset(50, records="rows"), TotalRows("n"))
    with pytest.raises(PagingError, match="expected 120 rows, got 150"):
        paginator(page({"rows": [1] * 50, "n": 120}, url=f"{URL}?offset=100"))


@pytest.mark.parametrize("value", [None, True, -1, 2.5, "many"])
@pytest.mark.parametrize(
    "paginator",
    [
        Until(Offset(9, records="rows"), TotalRows("n")),
        Until(PageNumber(records="rows"), TotalPages("n")),
    ],
)
def test_a_total_that_is_no_number_is_an_error(paginator: Paginator, value: Any) -> None:
    """It is not guessed at."""
    with pytest.raises(BodyError, match="expected a whole number at 'n', got"):
        paginator(page({"rows": [1], "n": value}))


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Until(Offset(9), TotalPages("n")), "TotalPages: expected a PageNumber, got Offs"),
        (lambda: Until(PageNumber(), TotalRows("n")), "TotalRows: expected an Offset, got PageN"),
        (lambda: Until(NextToken("a", "b"), TotalRows("n")), "expected an Offset, got NextToken"),
        (lambda: Until(PageNumber(records=None), TotalPages("n", size=9)), "needs to know its rec"),
        (lambda: TotalPages("n", size=0), "expected at least 1 row on a page, got 0"),
    ],
)
def test_what_cannot_work_is_refused(make: Callable[[], object], problem: str) -> None:
    """A total is compared with where a paginator stands, so it must know that."""
    with pytest.raises(ConfigError, match=problem):
        make()


def test_without_a_total_the_rest_is_not_known() -> None:
    """A flag tells nothing of the pages after the next."""
    paginator = Until(PageNumber(), Flag("more"))
    for ask in (paginator.rest, paginator.total, lambda it: paginator.follows(it, None)):
        with pytest.raises(ConfigError, match="expected a total, by which the rest is known"):
            ask(page([1]))


@given(st.integers(0, 9), st.integers(1, 9), st.integers(1, 10))
def test_what_follows_is_the_next_page_or_the_end(pages: int, at: int, to: int) -> None:
    """Nothing else, and the end only after the last page."""
    paginator = Until(PageNumber(records="data"), TotalPages("n"))
    response = page({"data": [], "n": pages}, url=f"{URL}?page={at}")
    request = httpx.Request("GET", f"{URL}?page={to}")
    assert paginator.follows(response, request) == (to == at + 1 <= pages)
    assert paginator.follows(response, None) == (at >= pages)


def test_rows_show_what_repeats() -> None:
    """The records of a numbered page, none of others."""
    body = b'{"data": [1, 2], "cursor": "x"}'
    assert Until(PageNumber(records="data"), Flag("m")).rows(page(body)) == b"[1, 2]"
    assert Until(NextToken("cursor", "c"), Empty("data")).rows(page(body)) is None


@pytest.mark.parametrize(
    ("times", "last"),
    [
        (["2024-05-01T09:59:59Z"], True),
        (["2024-05-01T10:00:00Z"], False),
        (["2024-05-01T10:00:00.000Z", "2024-05-01T09:59:59.9Z"], False),
        (["2024-05-01T09:59:59.999999Z", "2024-05-01T11:59:59+02:00"], True),
        (["2024-05-01T05:30:00-04:30", "2024-04-30"], False),
        (["2024-04-30T09:00:00Z", "2024-05-01T10:00:00.001Z", "2024-04-30T08:00:00Z"], False),
        (["2024-04-30T09:00:00Z", None], False),
        ([None], False),
        ([], False),
    ],
)
def test_a_page_of_older_records_alone_is_the_last(times: list[str | None], last: bool) -> None:
    """As instants, not as texts; a newer record, one without a value or none at all go on."""
    stop = Older("meta.at", records="items", than="2024-05-01T12:00:00+02:00")
    assert stop(page({"items": [{"meta": {"at": at}} for at in times]})) is last


def test_older_reads_what_its_kind_says() -> None:
    """Where `than` alone does not tell what the values are; others are errors."""
    stop = Older("at", records="", than=1714557600, kind=Epoch("s"))
    assert stop(page([{"at": 1714557599}])) is True
    assert stop(page([{"at": "1714557599.5"}, {"at": 1714557600}])) is False
    with pytest.raises(CursorError, match="yesterday"):
        stop(page([{"at": "yesterday"}]))


@given(
    st.lists(st.integers(0, 50), max_size=40),
    st.integers(0, 50),
    st.integers(1, 7),
    st.integers(0, 6),
)
def test_newest_first_finds_all_that_is_new(
    ids: list[int], than: int, size: int, shift: int
) -> None:
    """And little more, though records lie out of order by up to a page."""
    rows = sorted(ids, reverse=True)
    swapped = min(shift, size - 1)
    rows = [row for at in range(0, len(rows), size) for row in moved(rows[at : at + size], swapped)]

    def answer(request: httpx.Request) -> Any:
        at = number(request, "page", 1) - 1
        return {"data": [{"id": row} for row in rows[at * size : (at + 1) * size]]}

    paginator = Until(PageNumber(records="data"), Older("id", records="data", than=than))
    seen = [row["id"] for _, body in walk(answer, paginator) for row in body["data"]]
    assert [row for row in seen if row >= than] == [row for row in rows if row >= than]
    assert sum(row < than for row in seen) < 2 * size


def moved(rows: list[int], by: int) -> list[int]:
    """The rows, begun elsewhere."""
    return rows[by:] + rows[:by]


def test_newest_first_ends_where_the_list_does() -> None:
    """In a first run nothing is old; the end that the list itself tells is one."""
    paginator = Until(NextToken("next", "cursor"), Older("id", records="data", than=0))
    assert paginator(page({"data": [{"id": 7}], "next": "c2"})) is not None
    assert paginator(page({"data": [{"id": 7}], "next": None})) is None
    inner = Until(PageNumber(records=None), Flag("more"))
    paginator = Until(inner, Older("id", records="data", than=5))
    assert paginator(page({"data": [{"id": 7}], "more": True})) is not None
    assert paginator(page({"data": [{"id": 4}], "more": True})) is None
    assert paginator(page({"data": [{"id": 7}], "more": False})) is None
