"""A world: records with ties and a known truth, and the API that lists them, in a style of many."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode

from blocks.json import Path
from blocks.paginators import (
    Keyset,
    LinkHeader,
    NextToken,
    NextUrl,
    Offset,
    PageNumber,
    Paginator,
)
from blocks.places import JsonBody
from blocks.stops import Flag, TotalPages, TotalRows, Until
from tests.authority import Received

__all__ = [
    "START",
    "STYLES",
    "Difference",
    "Row",
    "Style",
    "World",
    "different",
    "nanoseconds",
    "record",
    "row",
]

START = "2024-01-01T00:00:00Z"
_BEGIN = datetime(2024, 1, 1, 0, 0, 1, tzinfo=UTC)
# What careless cutting, decoding or splitting would trip over.
_NAMES = ["plain", "é ü", "]}", '"quoted"', "a\nb", "\\", "漢字", "{[", "", "HTTP/1.1 200 OK"]

Row: TypeAlias = tuple[Any, ...]
"""A record as it has to arrive: id, instant, name, amount, reference, tags."""


@dataclass(frozen=True)
class Style:
    """How an API pages: where records are, and what reads its pages."""

    path: Path
    paginator: Callable[[int], Paginator]
    method: str = "GET"
    at_once: int = 0  # more than 0: read by `gather`


STYLES: Mapping[str, Style] = {
    "link": Style("", lambda _: LinkHeader()),
    "url": Style("data", lambda _: NextUrl("next")),
    "token": Style("data", lambda _: NextToken("meta.next", "cursor")),
    "page": Style("data", lambda _: PageNumber(records="data")),
    "pages": Style("data", lambda _: Until(PageNumber(records="data"), TotalPages("meta.pages"))),
    "gather": Style(
        "data", lambda _: Until(PageNumber(records="data"), TotalPages("meta.pages")), at_once=3
    ),
    "offset": Style(
        "data", lambda size: Until(Offset(size, records="data"), TotalRows("meta.total"))
    ),
    "keyset": Style("data", lambda _: Until(Keyset("data", "id", "after"), Flag("meta.more"))),
    "post": Style("data", lambda _: NextToken("meta.next", JsonBody("cursor")), method="POST"),
}


class World:
    """Records and the API that lists them, all drawn from `rng`; `records` may change meanwhile."""

    def __init__(self, rng: Random, styles: Iterable[str] = STYLES) -> None:
        self.style_name = rng.choice(sorted(styles))
        self.style = STYLES[self.style_name]
        count = rng.choice([97, 97, 199, 199, 307, 499, 997])
        self.size = math.ceil(count / rng.randint(4, 8))
        ties = rng.randint(1, 5)
        self.records = {key: record(rng, key, key // ties) for key in range(1, count + 1)}
        self.cap = 0  # more than 0: as many records on a page, whatever is asked for
        # What is listed when it is asked for since when, and in which order.
        self.wanted: Callable[[dict[str, Any], Any], bool] = _since
        self.order: Callable[[dict[str, Any]], Any] = _by_time

    def __str__(self) -> str:
        return f"{len(self.records)} records by {self.style_name} in pages of {self.size}"

    @property
    def paginator(self) -> Paginator:
        """What reads the pages of this API."""
        return self.style.paginator(self.size)

    @property
    def pages(self) -> int:
        """How many requests a whole reading takes."""
        full = math.ceil(len(self.records) / self.size)
        return full + 1 if self.style_name == "page" else full

    def truth(self) -> dict[int, Row]:
        """All records as they have to arrive."""
        return {key: row(each) for key, each in self.records.items()}

    def request(self, since: str | int) -> dict[str, Any]:
        """Arguments of the first request, for what was updated at `since` or later."""
        if self.style.method == "POST":
            return {"method": "POST", "url": "/items", "json": {"since": since, "n": self.size}}
        return {"method": "GET", "url": "/items", "params": {"since": since, "n": self.size}}

    def page(self, request: Received) -> tuple[dict[str, Any], int, list[tuple[str, str]]]:
        """The page that is asked for: envelope, index of the first record, headers."""
        query: dict[str, Any] = dict(parse_qsl(request.target.partition("?")[2]))
        if request.method == "POST":
            query |= json.loads(request.body)
        since, size = query.get("since", START), int(query.get("n", self.size))
        size = min(size, self.cap or size)
        listed = [one for one in self.records.values() if self.wanted(one, since)]
        listed.sort(key=self.order)
        if self.style_name == "keyset":
            listed.sort(key=lambda one: one["id"])
            after = int(query.get("after", 0))
            start = sum(one["id"] <= after for one in listed)
        elif "page" in query:
            start = (int(query["page"]) - 1) * size
        else:
            start = int(query.get("offset") or query.get("cursor", "o0")[1:])
        end = start + size
        more = end < len(listed)
        turned = urlencode({**query, "cursor": f"o{end}"})
        envelope = {
            "data": listed[start:end],
            "next": f"/items?{turned}" if more else None,
            "meta": {
                "next": f"o{end}" if more else None,
                "more": more,
                "total": len(listed),
                "pages": math.ceil(len(listed) / size),
            },
        }
        link = [("Link", f'</items?{turned}>; rel="next"')] if more else []
        return envelope, start, link

    def write(self, envelope: Mapping[str, Any]) -> bytes:
        """The body of a page, as this API writes it."""
        said = envelope["data"] if self.style_name == "link" else envelope
        return json.dumps(said, ensure_ascii=False).encode()


def _since(one: Mapping[str, Any], since: Any) -> bool:
    return nanoseconds(one["updated_at"]) >= nanoseconds(since)


def _by_time(one: Mapping[str, Any]) -> tuple[float, int]:
    return nanoseconds(one["updated_at"]), one["id"]


def nanoseconds(text: str | None) -> float:
    """The instant of an RFC 3339 text, since 1970; no text is later than all."""
    if text is None:
        return math.inf
    whole, fraction = text, ""
    if found := re.search(r"\.([0-9]+)", text):
        whole, fraction = text.replace(found[0], ""), found[1]
    return int(datetime.fromisoformat(whole).timestamp()) * 10**9 + int(f"{fraction:0<9}"[:9])


def row(found: Mapping[str, Any]) -> Row:
    """A record as it has to arrive: of an instant the microseconds, never rounded up."""
    instant = nanoseconds(found["updated_at"])
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    when = None if instant == math.inf else epoch + timedelta(microseconds=instant // 1000)
    kept = found["id"], when, found["name"], found["amount"], found["reference"]
    return *kept, tuple(found["tags"])


def record(rng: Random, key: int, tick: int) -> dict[str, Any]:
    """A record of the `tick`-th second."""
    when = _BEGIN + timedelta(seconds=tick)
    return {
        "id": key,
        "updated_at": when.isoformat().replace("+00:00", "Z"),
        "name": f"{key} {rng.choice(_NAMES)}",
        "amount": rng.randrange(4000) / 4 + 0.25,
        "reference": 2**53 + 1 + rng.randrange(2**60),
        "tags": rng.sample(["a", "b", "]", "}", "ü"], rng.randint(0, 3)),
    }


@dataclass(frozen=True)
class Difference:
    """How many records of the truth are not there, there more than once, or there with others."""

    lost: int
    doubled: int
    changed: int

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled or self.changed)

    def __str__(self) -> str:
        return f"{self.lost} lost, {self.doubled} doubled, {self.changed} changed"


def different(
    found: Iterable[Row], truth: Mapping[int, Row], allowed: Mapping[int, Row] | None = None
) -> Difference:
    """How `found` differs from `truth`; rows of `allowed` may be there as well."""
    seen: dict[int, Row] = {}
    doubled = changed = 0
    kept = allowed or {}
    for each in found:
        key = each[0]
        doubled += key in seen
        changed += each not in (truth.get(key), kept.get(key))
        seen[key] = each
    return Difference(len(truth.keys() - seen.keys()), doubled, changed)
