"""Records whose nested lists were cut off get the rest, each once."""

from __future__ import annotations

import json
from typing import Any

import anyio
import httpx
import pytest

from blocks.errors import BodyError, ConfigError, StatusError
from blocks.graphql import Relay, query
from blocks.nested import complete, more
from blocks.paginators import NextUrl

URL = "https://api.example.com/graphql"


def connection(elements: list[int], at: int, size: int) -> dict[str, Any]:
    """The `size` elements from `at`, as Relay has them."""
    end = at + size
    info = {"hasNextPage": end < len(elements), "endCursor": str(end)}
    return {"nodes": elements[at:end], "pageInfo": info}


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.parametrize("at_once", [1, 3])
async def test_nested_connections_are_completed(at_once: int, anyio_backend: str) -> None:
    """In the order of their elements, no more than `at_once` at a time; whole ones cost nothing."""
    labels = {number: [*range(number * 100, number * 100 + number)] for number in range(12)}
    issues = [{"id": number, "labels": connection(labels[number], 0, 3)} for number in labels]
    asked: list[int] = []
    flying = most = 0

    async def api(request: httpx.Request) -> httpx.Response:
        nonlocal flying, most
        variables = json.loads(request.content)["variables"]
        asked.append(variables["id"])
        flying += 1
        most = max(most, flying)
        await anyio.lowlevel.checkpoint()
        flying -= 1
        found = connection(labels[variables["id"]], int(variables["after"]), 2)
        return httpx.Response(200, json={"data": {"node": {"labels": found}}})

    def rest(issue: dict[str, Any]) -> httpx.Request | None:
        cursor = more(issue["labels"])
        return query(client, URL, "{ x }", {"id": issue["id"], "after": cursor}) if cursor else None

    async with httpx.AsyncClient(transport=httpx.MockTransport(api)) as client:
        await complete(
            client,
            issues,
            rest,
            Relay("data.node.labels"),
            nested="labels.nodes",
            source="data.node.labels.nodes",
            at_once=at_once,
        )
    for issue in issues:
        assert issue["labels"]["nodes"] == labels[issue["id"]]  # type: ignore[index]
    assert sorted(asked) == [n for n in labels for _ in range(-(-max(0, n - 3) // 2))]
    assert most == at_once


@pytest.mark.anyio
async def test_an_error_is_raised_as_it_is() -> None:
    """Not in a group, and what others still do is given up."""

    def api(request: httpx.Request) -> httpx.Response:
        return httpx.Response(500 if request.url.path == "/2" else 200, json={"rows": [1]})

    records = [{"id": number, "rows": [0]} for number in range(5)]
    async with httpx.AsyncClient(transport=httpx.MockTransport(api)) as client:
        with pytest.raises(StatusError, match=r"GET api\.example\.com/2, status 500"):
            await complete(
                client,
                records,
                lambda record: httpx.Request("GET", f"https://api.example.com/{record['id']}"),
                NextUrl("next"),
                nested="rows",
                source="rows",
            )


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("record", "body", "problem"),
    [
        ({}, {"rows": []}, "expected a list at 'rows.all' of a record, got nothing"),
        ({"rows": [1]}, {"rows": []}, "expected a list at 'rows.all' of a record, got nothing"),
        ({"rows": {"all": {}}}, {"rows": []}, "got dict"),
        ({"rows": {"all": []}}, {"rows": None}, "expected an array at 'rows', got nothing"),
        ({"rows": {"all": []}}, {"rows": {}}, "expected an array at 'rows', got dict"),
    ],
)
async def test_lists_that_are_not_there_are_an_error(
    record: dict[str, Any], body: Any, problem: str
) -> None:
    """Neither in a record nor in a page is anything else taken for one."""
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=body))
    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(BodyError, match=problem):
            await complete(
                client,
                [record],
                lambda record: httpx.Request("GET", URL),
                NextUrl("next"),
                nested="rows.all",
                source="rows",
            )


@pytest.mark.anyio
async def test_at_once_is_at_least_one() -> None:
    """Else nothing would be done, in silence."""
    async with httpx.AsyncClient() as client:
        with pytest.raises(ConfigError, match="at_once >= 1, got 0"):
            await complete(
                client, [], lambda _: None, NextUrl("n"), nested="a", source="b", at_once=0
            )


@pytest.mark.parametrize(
    "connection",
    [
        None,
        [],
        {},
        {"pageInfo": None},
        {"pageInfo": {"hasNextPage": "yes"}},
        {"pageInfo": {"hasNextPage": True}},
        {"pageInfo": {"hasNextPage": True, "endCursor": ""}},
    ],
)
def test_what_is_no_connection_is_an_error(connection: Any) -> None:
    """Nor is it whole."""
    with pytest.raises(BodyError, match="expected"):
        more(connection)


def test_a_whole_connection_has_no_more() -> None:
    """Even with an end cursor."""
    assert more({"pageInfo": {"hasNextPage": False, "endCursor": "c"}}) is None
