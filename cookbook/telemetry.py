"""OpenTelemetry: a span for each attempt of each request, by its own httpx instrumentation.

Change: the API and its paging. Where spans go is set up outside, as ever; URLs go without their
queries. Needs `pip install opentelemetry-instrumentation-httpx`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dlt
import httpx
from opentelemetry.instrumentation.httpx import AsyncOpenTelemetryTransport, RequestInfo
from opentelemetry.trace import Span

from blocks.auth import QueryKey
from blocks.client import client
from blocks.connections import Connections
from blocks.dlt import load
from blocks.fetch import pages
from blocks.network import prefetch
from blocks.paginators import LinkHeader


async def without_query(span: Span, request: RequestInfo) -> None:
    url = str(httpx.URL(str(request.url)).copy_with(query=None))
    span.set_attributes({"http.url": url, "url.full": url})  # the name hangs on its settings


@dlt.source
def items(base_url: str = "https://api.example.com", key: str = dlt.secrets.value) -> Any:
    traced = AsyncOpenTelemetryTransport(Connections(), request_hook=without_query)
    api = client(base_url, auth=QueryKey(key), transport=traced)

    @dlt.resource(name="items", write_disposition="replace")
    def all_items() -> Iterator[Any]:
        yield from load(prefetch(pages(api, api.build_request("GET", "/items"), LinkHeader())))

    return all_items
