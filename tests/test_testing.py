"""Replicas of three vendors, and of something peculiar, as a user of `blocks.testing` has them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import dlt
import httpx
import pytest

from blocks.auth import Basic, Bearer
from blocks.client import client
from blocks.connections import Connections
from blocks.demo.run import recipe
from blocks.dlt import cursor, load
from blocks.errors import AuthError
from blocks.fetch import pages
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.oauth import ClientCredentials
from blocks.paginators import Keyset, LinkHeader, NextToken
from blocks.places import FormBody
from blocks.retries import Retry
from blocks.rules import Judged, Value
from blocks.stops import Flag, Until
from blocks.testing import (
    Allowance,
    Answer,
    Api,
    Call,
    Refused,
    Tokens,
    basic,
    bearer,
    keyed,
    linked,
    numbered,
    offset,
    serving,
    unwrap,
    wrap,
)
from blocks.testing.trials import Trial, pick

pytest_plugins = ["blocks.testing.fixtures"]

Row = dict[str, Any]


def github(issues: list[Row], token: str = "t0ken") -> Api:
    """List repository issues: https://docs.github.com/en/rest/issues/issues."""
    hourly = Allowance(5000, per=3600)

    def problem(refused: Refused) -> Row:
        message = "Bad credentials" if refused.status == 401 else refused.message
        return {"message": message, "documentation_url": "https://docs.github.com/rest"}

    def finish(call: Call, answer: Answer) -> Answer:
        left = {"X-RateLimit-Remaining": str(hourly.left())}
        return Answer(answer.body, answer.status, {**answer.headers, **left})

    api = Api(bearer(token), hourly, problem=problem, finish=finish)

    @api.get(
        "/repos/{owner}/{name}/issues", query="state since sort direction per_page page labels"
    )
    def list_issues(call: Call) -> Answer:
        if (call.params["owner"], call.params["name"]) != ("duckdb", "duckdb"):
            raise Refused(404, "Not Found")
        by = {"created": "created_at", "updated": "updated_at"}[call.query.get("sort", "created")]
        since, state = call.query.get("since", ""), call.query.get("state", "open")
        found = [
            row for row in issues if row["updated_at"] >= since and state in {row["state"], "all"}
        ]
        found.sort(key=lambda row: row[by], reverse=call.query.get("direction") != "asc")
        size = min(call.query.whole("per_page", 30), 100)
        page = numbered(found, call.query.whole("page", 1), size)
        return Answer(page.rows, headers=linked(call, page))

    return api


def issue(number: int, updated: str) -> Row:
    """An issue with what the replica looks at."""
    times = {"created_at": "2024-01-01T00:00:00Z", "updated_at": updated}
    return {"id": 1000 + number, "number": number, "state": "open", **times}


def test_github(trial: Trial) -> None:
    """The recipe for GitHub's issues stands its trial; the second run asks for changes alone."""
    issues = [issue(number, f"2024-03-01T00:{number % 60:02}:00Z") for number in range(250)]

    def change() -> None:
        issues[7] |= {"state": "closed", "updated_at": "2024-04-01T00:00:00Z"}
        issues.append(issue(250, "2024-04-01T00:00:00Z"))

    with serving(github(issues)) as server:
        again = trial(
            server,
            lambda: recipe()("duckdb/duckdb", base_url=server.url, token="t0ken"),
            lambda: {"issues": pick(issues, "id", "state")},
            change,
        )
        assert [call.query["since"] for call in again] == ["2024-03-01T00:59:00Z"]


def stripe(charges: list[Row], key: str = "sk_test") -> Api:
    """List all charges: https://docs.stripe.com/api/charges/list, newest first."""

    def problem(refused: Refused) -> Row:
        kind = "api_error" if refused.status >= 500 else "invalid_request_error"
        return {"error": {"type": kind, "message": refused.message}}

    # 25 reads a second in a sandbox: https://docs.stripe.com/rate-limits.
    api = Api(basic(key), Allowance(25), problem=problem)

    @api.get("/v1/charges", query="limit starting_after created[gte]")
    def list_charges(call: Call) -> Row:
        since = call.query.whole("created[gte]", 0)
        found = [row for row in reversed(charges) if row["created"] >= since]
        size = call.query.whole("limit", 10, least=1, most=100)
        page = keyed(found, call.query.get("starting_after"), size)
        return {"object": "list", "url": call.path, "has_more": page.more, "data": page.rows}

    return api


@dlt.source
def stripe_source(base_url: str, key: str = dlt.secrets.value) -> Any:
    """Charges by their time of creation."""
    api = client(base_url, auth=Basic(key, ""), limit=Rate(25, burst=5))

    @dlt.resource(primary_key="id", write_disposition="merge")
    def charges() -> Iterator[Any]:
        created = cursor("created", start=0)
        params = {"limit": "20", "created[gte]": str(created.since)}
        first = api.build_request("GET", "/v1/charges", params=params)
        paginator = Until(Keyset("data", "id", "starting_after"), Flag("has_more"))
        yield from load(prefetch(pages(api, first, paginator)), created, path="data")

    return charges


def test_stripe(trial: Trial) -> None:
    """A source of Stripe's charges stands its trial."""
    charges = [{"id": f"ch_{number}", "created": number // 3} for number in range(70)]
    with serving(stripe(charges)) as server:
        again = trial(
            server,
            lambda: stripe_source(server.url, key="sk_test"),
            lambda: {"charges": charges},
            lambda: charges.append({"id": "ch_new", "created": 99}),
        )
        assert [call.query["created[gte]"] for call in again] == ["23"]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"limit": "101"}, "expected 1 to 100 as 'limit'"),
        ({"limt": "10"}, "unknown parameter 'limt'"),
        ({"starting_after": "ch_gone"}, "no such 'id' to begin after"),
    ],
)
def test_stripe_refuses(params: dict[str, str], said: str) -> None:
    """What the vendor would not take is refused in the vendor's words."""
    with serving(stripe([{"id": "ch_1", "created": 1}])) as server:
        answer = httpx.get(f"{server.url}/v1/charges", params=params, auth=("sk_test", ""))
        problem = {"type": "invalid_request_error", "message": said}
        assert (answer.status_code, answer.json()) == (400, {"error": problem})


def slack(channels: dict[str, list[Row]], tokens: Tokens, tier_3: Allowance) -> Api:
    """Fetch a conversation's messages: https://docs.slack.dev/reference/methods/conversations.history.

    Errors have status 200, but for limits (https://docs.slack.dev/apis/web-api/rate-limits).
    """
    words = {400: "invalid_arguments", 401: "invalid_auth", 404: "unknown_method"}

    def problem(refused: Refused) -> Answer:
        if refused.status == 429:
            return Answer({"ok": False, "error": "ratelimited"}, 429, refused.headers)
        return Answer({"ok": False, "error": words.get(refused.status, refused.message)})

    api = Api(tokens, problem=problem)
    api.post("/oauth.v2.access", body=Tokens.FIELDS, guards=())(tokens.grant)

    @api.post("/conversations.history", body="channel cursor limit oldest", guards=(tokens, tier_3))
    def history(call: Call) -> Row:
        if call.form["channel"] not in channels:
            raise Refused(200, "channel_not_found")
        start = unwrap(call.form.get("cursor"), 0)
        size = call.form.whole("limit", 100, least=1, most=999)
        page = offset(channels[call.form["channel"]], start, size)
        metadata = {"next_cursor": wrap(page.next) or ""}
        return {"ok": True, "messages": page.rows, "response_metadata": metadata}

    return api


@dlt.source
def slack_source(base_url: str, channel: str = "C1", secret: str = dlt.secrets.value) -> Any:
    """Messages of one channel, all of them each time."""
    api = client(
        base_url,
        auth=ClientCredentials(f"{base_url}/oauth.v2.access", "app", secret),
        retry=partial(Retry, reads=lambda request: True),
        transport=Judged(
            Connections(), Value("error", "invalid_auth", "reauth"), Value("ok", False)
        ),
    )

    @dlt.resource(primary_key="ts", write_disposition="replace")
    def messages() -> Iterator[Any]:
        form = {"channel": channel, "limit": "10"}
        first = api.build_request("POST", "/conversations.history", data=form)
        token = NextToken("response_metadata.next_cursor", FormBody("cursor"))
        yield from load(prefetch(pages(api, first, token)), path="messages")

    return messages


def test_slack(trial: Trial) -> None:
    """A source of Slack's messages stands its trial, renewing its token on the way."""
    messages = [{"ts": f"17000000{number:02}.000100", "text": str(number)} for number in range(35)]
    tokens, tier_3 = Tokens("app", "s3cret"), Allowance(50, per=60)
    with serving(slack({"C1": messages}, tokens, tier_3)) as server:
        trial(
            server,
            lambda: slack_source(server.url, secret="s3cret"),
            lambda: {"messages": messages},
            lambda: messages.pop(3),
            expire=tokens.expire,
        )
        assert tokens.issued > 4  # one a run, and one for that which expired


def test_slack_tier() -> None:
    """A method's tier answers 429 with `Retry-After`; other errors have status 200."""
    tokens = Tokens("app", "s3cret")
    clock = iter([0.0, 0.0, 59.5]).__next__
    with serving(slack({"C1": []}, tokens, Allowance(2, per=60, clock=clock))) as server:
        headers = {"Authorization": f"Bearer {tokens.issue()['access_token']}"}
        with httpx.Client(base_url=server.url, headers=headers) as api:
            answers = [
                api.post("/conversations.history", data={"channel": channel})
                for channel in ("C1", "C2", "C1")
            ]
            empty = {"next_cursor": ""}
            assert [(answer.status_code, answer.json()) for answer in answers] == [
                (200, {"ok": True, "messages": [], "response_metadata": empty}),
                (200, {"ok": False, "error": "channel_not_found"}),
                (429, {"ok": False, "error": "ratelimited"}),
            ]
            assert answers[2].headers["retry-after"] == "1"
            assert api.post("/chat.postMessage").json()["error"] == "unknown_method"
            del api.headers["Authorization"]
            assert api.post("/chat.postMessage").json()["error"] == "invalid_auth"


def exports(rows: list[Row], polls: int) -> Api:
    """An API that makes an export, says 202 while it does so, and sends NDJSON in a gzip file."""
    api = Api()
    asked: dict[str, int] = {}

    @api.post("/exports", body="from to filter*")
    def create(call: Call) -> Answer:
        number = f"x{len(asked)}"
        asked[number] = 0
        location = {"Location": f"/exports/{number}"}
        return Answer({"from": call.json["from"], "state": "running"}, 202, location)

    @api.get("/exports/{number}")
    def status(call: Call) -> Answer:
        number = call.params["number"]
        if number not in asked:
            raise Refused(404, "no such export")
        asked[number] += 1
        if asked[number] <= polls:
            return Answer({"state": "running"}, 202)
        lines = "\n".join(map(json.dumps, rows))
        return Answer(gzip.compress(lines.encode()), headers={"Content-Type": "application/gzip"})

    return api


def test_peculiar() -> None:
    """What is in no kind of paging is a function with a state of its own."""
    rows = [{"id": 1}, {"id": 2}]
    with serving(exports(rows, polls=2)) as server, httpx.Client(base_url=server.url) as api:
        place = api.post("/exports", json={"from": "2024-01-01", "filter[a]": 1})
        assert place.json() == {"from": "2024-01-01", "state": "running"}
        answers = [api.get(place.headers["location"]) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [202, 202, 200]
        lines = gzip.decompress(answers[2].content).splitlines()
        assert [json.loads(line) for line in lines] == rows
        assert api.get("/exports/y").json() == {"error": "no such export"}


def test_bearer_client() -> None:
    """blocks' own client reads a replica, and is told when its token is not the one."""

    def read(url: str, token: str) -> list[int]:
        api = client(url, auth=Bearer(token))
        first = api.build_request("GET", "/repos/duckdb/duckdb/issues", params={"per_page": "2"})
        found = prefetch(pages(api, first, LinkHeader()))
        return [row["number"] for page in found for row in page.json()]

    rows = [issue(number, f"2024-03-01T00:00:0{number}Z") for number in range(5)]
    with serving(github(rows)) as server:
        assert sorted(read(server.url, "t0ken")) == [0, 1, 2, 3, 4]
        with pytest.raises(AuthError):
            read(server.url, "other")
        assert server.statuses == {200: 3, 401: 1}
