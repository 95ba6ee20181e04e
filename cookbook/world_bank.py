"""World Bank indicators: numbered pages, read in parallel as their number is known, where updated.

Loads `observations`: a row for each indicator, country or region, and year, without a value where
there is none. Each answer says when the World Bank updated the data; what is as it was costs one
request of a single row, and what is not takes the place of what was loaded before.

No auth, and no limit that is published: the rate is low here to be no burden. Errors say 200, with
a `message`. Change: INDICATORS, by their codes at https://data.worldbank.org/indicator; `years`, as
in "2000:2024"; `country`, for one or more in the place of all, as in "br;in;zaf".

https://datahelpdesk.worldbank.org/knowledgebase/articles/898581-api-basic-call-structures
https://datahelpdesk.worldbank.org/knowledgebase/articles/898599-indicator-api-queries
https://datahelpdesk.worldbank.org/knowledgebase/articles/898620-api-error-codes
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dlt

from blocks.client import client
from blocks.connections import Connections
from blocks.dlt import load
from blocks.fetch import gather, pages
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.paginators import PageNumber, SinglePage
from blocks.places import OrNull, read, values
from blocks.requests import path
from blocks.rules import Judged, Present
from blocks.stops import TotalPages, Until

ROWS = OrNull([1])  # null where there are none
INDICATORS = ["SP.POP.TOTL", "NY.GDP.MKTP.CD", "SP.DYN.LE00.IN"]


@dlt.source
def world_bank(
    years: str = "1960:2100",
    country: str = "all",
    base_url: str = "https://api.worldbank.org/v2",
) -> Any:
    transport = Judged(Connections(), Present([0, "message"]))
    api = client(base_url, limit=Rate(5, burst=5), transport=transport)

    @dlt.resource(
        primary_key=["indicator__id", "country__id", "date"],
        merge_key="indicator__id",
        write_disposition="merge",
        columns={"date": {"data_type": "bigint"}, "value": {"data_type": "double"}},
    )
    def observations() -> Iterator[Any]:
        state = dlt.current.resource_state()
        for indicator in INDICATORS:
            url = path("/country/{}/indicator/{}", country, indicator)
            asked = {"format": "json", "date": years}
            one = api.build_request("GET", url, params={**asked, "per_page": 1})
            (answer,) = prefetch(pages(api, one, SinglePage()))
            updated, known_as = read(answer, [0, "lastupdated"]), f"{url} {years}"
            if updated is None or updated != state.get(known_as):
                first = api.build_request("GET", url, params={**asked, "page": 1, "per_page": 1000})
                rest = Until(PageNumber(records=ROWS), TotalPages([0, "pages"]))
                found = prefetch(gather(api, first, rest, at_once=4))
                yield from load(values(page, ROWS, "") for page in found)
                # As it was before the pages: an update meanwhile is read in the next run.
                state[known_as] = updated

    return observations
