"""An API in a function, and the way a paginator takes through it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from blocks.paginators import Paginator

__all__ = ["URL", "number", "page", "walk"]

URL = "https://api.example.com/v1/items"


def page(body: Any = None, *, url: str = URL, **options: Any) -> httpx.Response:
    """The response to a GET of `url`; `body` is JSON unless it is bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(200, content=content, request=httpx.Request("GET", url), **options)


def walk(
    answer: Callable[[httpx.Request], Any], paginator: Paginator, url: str = URL
) -> Iterator[tuple[httpx.Request, Any]]:
    """All requests made of an API, with the JSON each was answered; 1,000 at most."""
    request: httpx.Request | None = httpx.Request("GET", url)
    for _ in range(1000):
        assert request is not None
        body = answer(request)
        yield request, body
        request = paginator(httpx.Response(200, json=body, request=request))
        if request is None:
            return
    raise AssertionError("no end")


def number(request: httpx.Request, name: str, default: int) -> int:
    """A parameter as the API reads it."""
    return int(request.url.params.get(name, default))
