"""Paging from the other side: which rows are on a page, and what leads to the next.

All are functions of rows and of what the call says, so that a route puts the envelope together:

| the API has | a route says |
|---|---|
| page numbers | `numbered(rows, call.query.whole("page", 1), size)` |
| offsets | `offset(rows, call.query.whole("offset", 0), size)` |
| keysets, `has_more` | `keyed(rows, call.query.get("starting_after"), size)`, then `page.more` |
| tokens | `offset(rows, unwrap(call.query.get("cursor"), 0), size)`, then `wrap(page.next)` |
| next links in the body | `page.more and call.link({"offset": page.next})` |
| next links in a header | `Answer(page.rows, headers=linked(call, page))` |
| GraphQL connections | `connection(rows, first, after)` |
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from blocks.testing.calls import Call, Refused

__all__ = ["Page", "connection", "keyed", "linked", "numbered", "offset", "unwrap", "wrap"]

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """Some of `total` rows, and what asks for those after them: `None` on the last page."""

    rows: list[Row]
    next: Any
    total: int

    @property
    def more(self) -> bool:
        """Whether there is a page after this."""
        return self.next is not None


def numbered(rows: Sequence[Row], number: int, size: int, *, first: int = 1) -> Page:
    """Page `number` of `rows`, `size` on each; `next` is a page number."""
    page = offset(rows, (number - first) * size, size)
    return Page(page.rows, number + 1 if page.more else None, page.total)


def offset(rows: Sequence[Row], start: int, size: int) -> Page:
    """The `size` rows after the first `start`; `next` is where the rows after them start.

    >>> offset([{"id": 1}, {"id": 2}, {"id": 3}], 1, 1)
    Page(rows=[{'id': 2}], next=2, total=3)
    """
    end = start + size
    return Page(list(rows[start:end]), end if end < len(rows) else None, len(rows))


def keyed(rows: Sequence[Row], after: Any, size: int, *, key: str = "id") -> Page:
    """The `size` rows after the one whose `key` is `after`, or the first; `next` is the last's.

    A key that no row has is refused (400).

    >>> keyed([{"id": "a"}, {"id": "b"}, {"id": "c"}], "a", 1)
    Page(rows=[{'id': 'b'}], next='b', total=3)
    """
    start = 0
    if after is not None:
        at = [index for index, row in enumerate(rows) if row[key] == after]
        if not at:
            raise Refused(400, f"no such {key!r} to begin after")
        start = at[0] + 1
    page = offset(rows, start, size)
    return Page(page.rows, page.rows[-1][key] if page.more else None, page.total)


def linked(call: Call, page: Page, parameter: str = "page") -> dict[str, str]:
    """The `Link` header (RFC 8288) that leads from `call` to the page after `page`, if any."""
    if not page.more:
        return {}
    return {"Link": f'<{call.link({parameter: page.next})}>; rel="next"'}


def wrap(value: Any) -> str | None:
    """`value` as a token that says nothing to a client; `None` as it is.

    >>> wrap(100)
    'MTAw'
    """
    return None if value is None else base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def unwrap(token: str | None, default: Any = None) -> Any:
    """What `wrap` made `token` of, `default` if there is none; others are refused (400)."""
    if token is None:
        return default
    try:
        return json.loads(base64.b64decode(token, b"-_", validate=True))
    except ValueError:
        raise Refused(400, "invalid page token") from None


def connection(
    rows: Sequence[Row], first: int, after: str | None = None, *, key: str = "id"
) -> dict[str, Any]:
    """A connection as GraphQL's relay has it, with both `nodes` and `edges`.

    See https://relay.dev/graphql/connections.htm; a cursor stands for the `key` of its row.

    >>> connection([{"id": 1}, {"id": 2}], first=1)["pageInfo"]
    {'hasNextPage': True, 'endCursor': 'MQ=='}
    """
    page = keyed(rows, unwrap(after), first, key=key)
    edges = [{"cursor": wrap(row[key]), "node": row} for row in page.rows]
    end = edges[-1]["cursor"] if edges else None
    info = {"hasNextPage": page.more, "endCursor": end}
    return {"nodes": page.rows, "edges": edges, "pageInfo": info}
