"""Caps: searches that show their first so many rows only, and how to get at all of them.

| API | shows | source |
|---|---:|---|
| HubSpot search | 10,000 | developers.hubspot.com/docs/api-reference/2026-03/crm/search-the-crm |
| Elasticsearch, `from` | 10,000 | `index.max_result_window`, www.elastic.co/guide |
| Salesforce, `OFFSET` | 2,000 | developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta |
| GitHub search | 1,000 | docs.github.com/en/rest/search/search |

Where rows have a unique key to sort and filter by, `blocks.paginators.Keyset` makes every page a
search of its own and meets no cap. `Capped` is for the other keys, such as times of change.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

import httpx

from blocks.errors import ConfigError, Overflow, PagingError, where
from blocks.json import Path
from blocks.kinds import Kind, kind_for
from blocks.paginators import Paginator
from blocks.places import Records, kind, size, values

__all__ = ["Capped"]

logger = logging.getLogger(__name__)

_SEARCH = "blocks.caps"


@dataclass(frozen=True, slots=True)
class Capped:
    """The pages of `paginator`, and when `at` rows are shown those of another search, further on.

    `restart` makes the first request of a search, of the value at `key` of the last row shown. The
    API must sort by `key` and begin with the rows that have this very value (>=): those of them
    that were shown already come again, for merge. Only where no two rows share a value may it begin
    after it (>).

    `at` is a multiple of the page size, as APIs refuse a page that reaches beyond their cap.
    Where rows would be missed, it raises: `Overflow` if a whole search ends at the value it began
    with, as more rows share that than are shown, `PagingError` if those on the page at the cap are
    not sorted, up or down. Values are compared as `order` reads them, or as what they look like:
    text that holds numbers needs `Integers()`.

    >>> api = httpx.Client(base_url="https://api.example.com")
    >>> def since(time):
    ...     return api.build_request("GET", "/search", params={"q": f"updated:>={time}"})
    >>> from blocks.paginators import PageNumber
    >>> paginator = Capped(PageNumber(records="items"), since, key="at", records="items", at=2)
    >>> rows = [{"at": "2024-05-01T00:00:00Z"}, {"at": "2024-05-02T00:00:00Z"}]
    >>> page = httpx.Response(200, json={"items": rows}, request=since("2024-01-01T00:00:00Z"))
    >>> paginator(page).url.params["q"]
    'updated:>=2024-05-02T00:00:00Z'
    """

    paginator: Paginator
    restart: Callable[[str | int], httpx.Request]
    _: KW_ONLY
    key: Path
    records: Records
    at: int
    order: Kind | None = None

    def __post_init__(self) -> None:
        if self.at < 1:
            raise ConfigError(f"at: expected at least 1 row, got {self.at}")

    def __call__(self, response: httpx.Response) -> httpx.Request | None:
        """The request of the next page."""
        # What is known of a search travels with its requests, so this keeps no state.
        before, since = response.request.extensions.get(_SEARCH, (0, None))
        shown = before + size(response, self.records)
        if shown < self.at:
            following = self.paginator(response)
        else:
            since = self._last(response, since)
            logger.info("%s: begins anew after %d rows, its cap", where(response), shown)
            following, shown = self.restart(since), 0
        if following is not None:
            following.extensions = {**following.extensions, _SEARCH: (shown, since)}
        return following

    def _last(self, response: httpx.Response, since: str | int | None) -> str | int:
        line = values(response, self.records, self.key)
        for each in line:
            if isinstance(each, bool) or not isinstance(each, str | int):
                message = f"expected text or a whole number at {self.key!r} of each record"
                raise PagingError(f"{message}, got {kind(each)}", response)
        last: str | int = line[-1]
        if since is not None:
            line.insert(0, since)
        order = self.order or kind_for(last)
        points = [order.read(each) for each in line]
        if since is not None and points[0] == points[-1]:
            message = f"expected the value at {self.key!r} to move within {self.at} rows"
            raise Overflow(f"{message}: more rows share it than a search shows", response)
        if points != sorted(points) and points != sorted(points, reverse=True):
            raise PagingError(f"expected rows sorted by their value at {self.key!r}", response)
        return last
