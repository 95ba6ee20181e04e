"""What bodies say reaches everybody who has to act on it."""

from __future__ import annotations

import gzip
import time
from typing import Any

import anyio
import httpx
import pytest

from blocks import events
from blocks.errors import BodyError, ConfigError
from blocks.fetch import check, pages
from blocks.limits import Limited, Rate
from blocks.outcomes import Outcome, Verdict, verdict
from blocks.paginators import PageNumber
from blocks.retries import Retry
from blocks.rules import Judged, Markup, Present, Rule, Status, Text, Value

URL = "https://api.example.com/items?key=secret"


def answer(body: Any = None, status: int = 200) -> httpx.Response:
    """JSON."""
    return httpx.Response(status, json=body)


THROTTLED = answer({"errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]})
HTML = httpx.Response(200, html="\n<html>Back soon</html>")


@pytest.mark.parametrize(
    ("rule", "response", "outcome"),
    [
        (Status(404, "skip"), answer(status=404), "skip"),
        (Status(404, "skip"), answer(status=410), None),
        (Status(202, "retry"), answer(status=202), "retry"),
        (Status(429, "limited", wait=30), answer(status=429), Verdict("limited", wait=30)),
        (Status(429, "limited", wait=30), answer(status=200), None),
        (Value("ok", False), answer({"ok": False}), "fail"),
        (Value("ok", False), answer({"ok": True}), None),
        (Value("ok", False), answer({"ok": 0}), None),
        (Value("ok", False), answer({}), None),
        (Value("ok", False), answer([]), None),
        (Value("ok", False), HTML, None),
        (Value("ok", None), answer({"ok": None}), "fail"),
        (Value("code", 1), answer({"code": 1}), "fail"),
        (Value("code", 1), answer({"code": True}), None),
        (Value("code", 1), answer({"code": "1"}), None),
        (Value("code", 1.5), answer({"code": 1.5}), "fail"),
        (Value("error.code", 17, "limited"), answer({"error": {"code": 17}}, 400), "limited"),
        (Value(["errors", 0, "extensions", "code"], "THROTTLED", "limited"), THROTTLED, "limited"),
        (Value([0, "errorCode"], "X", "skip"), answer([{"errorCode": "X"}], 403), "skip"),
        (Value("ok", False), answer({"ok": False}, 503), None),
        (Value("ok", False), answer({"ok": False}, 429), None),
        (Value("ok", False), answer({"ok": False}, 401), None),
        (Value("ok", False), answer({"ok": False}, 404), "fail"),
        (Value("ok", False, "retry"), answer({"ok": False}, 429), "retry"),
        (Present("errors"), THROTTLED, "fail"),
        (Present("errors"), answer({"errors": []}), None),
        (Present("errors"), answer({"errors": None}), None),
        (Present("errors"), answer({"data": []}), None),
        (Present("errors"), answer({"errors": ["busy"]}, 503), None),
        (Present("error", "retry"), answer({"error": "busy"}), "retry"),
        (Present("error"), answer({"error": 0}), None),
        (Present("errors"), HTML, None),
        (Text("secondary", "limited"), answer({"message": "a secondary limit"}, 403), "limited"),
        (
            Text("secondary", "limited", wait=60),
            answer({"message": "a secondary limit"}, 403),
            Verdict("limited", wait=60),
        ),
        (Text("secondary", "limited"), answer({"message": "a secondary limit"}), None),
        (Text("secondary", "limited"), answer({"message": "no permission"}, 403), None),
        (Markup(), HTML, "retry"),
        (Markup("fail"), HTML, "fail"),
        (Markup(), httpx.Response(200, content=b"\xef\xbb\xbf <?xml?>"), "retry"),
        (Markup(), httpx.Response(502, html="<h1>no</h1>"), None),
        (Markup(), answer({"text": "<"}), None),
        (Markup(), httpx.Response(204), None),
    ],
)
def test_rules(rule: Rule, response: httpx.Response, outcome: Outcome | None) -> None:
    """An outcome where they fit, no opinion where not."""
    assert rule(response) == outcome


@pytest.mark.parametrize("outcome", ["", "error", "OK"])
def test_a_rule_says_one_of_six_words(outcome: Any) -> None:
    """Said at construction."""
    for make in (
        lambda: Status(404, outcome),
        lambda: Value("ok", False, outcome),
        lambda: Present("errors", outcome),
        lambda: Text("busy", outcome),
        lambda: Markup(outcome),
    ):
        with pytest.raises(ConfigError, match=r"\(ok, retry, limited, reauth, skip, fail\), got"):
            make()


def judged(response: httpx.Response, *rules: Rule, empty: bytes = b"[]") -> httpx.AsyncClient:
    """A client of an API that always says so."""
    return httpx.AsyncClient(
        transport=Judged(httpx.MockTransport(lambda _: response), *rules, empty=empty)
    )


def opinion(response: httpx.Response) -> Outcome | None:
    """A rule of the user's own."""
    return "reauth" if response.json()["error"] == "token_expired" else None


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_the_first_opinion_counts(anyio_backend: str) -> None:
    """In the order of the rules; the reason is the rule."""
    said = {"ok": False, "error": "token_expired"}
    async with judged(answer(said), Status(404, "skip"), opinion, Value("ok", False)) as api:
        response = await api.get(URL)
        assert verdict(response) == Verdict("reauth", "opinion")
        assert response.json()["ok"] is False
    async with judged(answer(said), Value("ok", False), opinion) as api:
        rule = "Value(path='ok', value=False, outcome='fail')"
        assert verdict(await api.get(URL)) == Verdict("fail", rule)
    async with judged(answer(said), Value("ok", True)) as api:
        assert verdict(await api.get(URL)) == Verdict("ok")


@pytest.mark.anyio
async def test_a_rule_may_know_how_long() -> None:
    """A wait in a body or a header of the API's own: paused and waited for like Retry-After."""

    def busy(response: httpx.Response) -> Verdict | None:
        wait = response.json().get("retry_in")
        return Verdict("limited", wait=wait) if wait else None

    answers = iter([answer({"retry_in": 0.2}), answer({})])
    rate = Rate(1000)
    judged = Judged(httpx.MockTransport(lambda _: next(answers)), busy)
    retry = Retry(Limited(judged, rate), chance=lambda: 0.0)
    async with httpx.AsyncClient(transport=retry) as api:
        began = time.monotonic()
        assert (await api.get(URL)).json() == {}
    assert 0.2 <= time.monotonic() - began < 0.9
    assert rate.statistics().pauses == 1
    async with httpx.AsyncClient(transport=Judged(httpx.MockTransport(long), told)) as api:
        assert verdict(await api.get(URL)) == Verdict("limited", "its own words", wait=7200.0)


def long(request: httpx.Request) -> httpx.Response:
    """Busy for two hours."""
    return answer({"hours": 2}, 400)


def told(response: httpx.Response) -> Verdict:
    """With a reason of its own."""
    return Verdict("limited", "its own words", wait=response.json()["hours"] * 3600.0)


@pytest.mark.anyio
async def test_bodies_are_decoded_first() -> None:
    """A rule sees what the caller will see."""
    wire = httpx.ByteStream(gzip.compress(b'{"ok": false}'))
    response = httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=wire)
    async with judged(response, Value("ok", False)) as api:
        found = await api.get(URL)
        assert verdict(found).outcome == "fail"
        assert found.json() == {"ok": False}
        assert found.elapsed.total_seconds() >= 0


@pytest.mark.anyio
async def test_a_skip_is_an_empty_page_said_aloud(caplog: pytest.LogCaptureFixture) -> None:
    """Logged, published, with a body the paginator understands, and its status for who asks."""
    caplog.set_level("INFO", "blocks")
    seen = list[events.Event]()
    stop = events.listen(seen.append)
    gone = httpx.Response(404, html="<h1>Not found</h1>")
    async with judged(gone, Status(404, "skip"), empty=b'{"data": []}') as api:
        response = await api.get(URL)
    stop()
    check(response)
    assert (response.status_code, response.json()) == (404, {"data": []})
    assert response.headers["content-length"] == "12"
    assert PageNumber(records="data")(response) is None
    place, rule = "GET api.example.com/items", "Status(status=404, outcome='skip', wait=None)"
    assert seen == [events.Skipped(place, rule)]
    assert caplog.messages == [f"skipping {place}: status 404 is {rule}"]


@pytest.mark.anyio
async def test_a_paginator_that_needs_no_body_goes_on_after_a_skip() -> None:
    """A week without data is an empty page; the next is asked for all the same."""

    def api(request: httpx.Request) -> httpx.Response:
        week = int(request.url.params["week"])
        return answer({"message": "none"}, 404) if week == 2 else answer([week])

    def weekly(page: httpx.Response) -> httpx.Request | None:
        week = int(page.url.params["week"])
        return httpx.Request("GET", f"{URL}&week={week + 1}") if week < 3 else None

    transport = Judged(httpx.MockTransport(api), Status(404, "skip"))
    async with httpx.AsyncClient(transport=transport) as client:
        first = httpx.Request("GET", f"{URL}&week=1")
        found = [page.json() async for page in pages(client, first, weekly)]
    assert found == [[1], [], [3]]


@pytest.mark.anyio
async def test_an_empty_page_of_the_wrong_kind_is_an_error() -> None:
    """Not an early, quiet end."""
    async with judged(answer(status=404), Status(404, "skip"), empty=b"{}") as api:
        response = await api.get(URL)
    with pytest.raises(BodyError, match="records at 'data'"):
        PageNumber(records="data")(response)


@pytest.mark.anyio
async def test_a_rule_of_ones_own_is_held_to_the_words() -> None:
    """What nobody acts on is an error, not a shrug."""
    async with judged(answer(), lambda _: "oops") as api:  # type: ignore[arg-type, return-value]
        with pytest.raises(ConfigError, match="got 'oops'"):
            await api.get(URL)


def test_rules_are_needed() -> None:
    """Said at construction."""
    with pytest.raises(ConfigError, match="needs rules, got none"):
        judged(answer())


def test_repr_is_the_expression() -> None:
    """What is printed shows the rules."""
    transport = httpx.MockTransport(lambda _: answer())
    shown = repr(Judged(transport, Markup(), empty=b"{}"))
    assert shown == f"Judged({transport!r}, Markup(outcome='retry'), empty=b'{{}}')"


@pytest.mark.anyio
async def test_the_whole_chain_acts_on_it() -> None:
    """Throttled with 200: everybody pauses, this request is repeated, and then it is a page."""
    answers = iter([THROTTLED, HTML, answer([1])])
    transport = Judged(
        httpx.MockTransport(lambda _: next(answers)),
        Value(["errors", 0, "extensions", "code"], "THROTTLED", "limited"),
        Markup(),
    )
    rate, counts = Rate(1000), events.Counts()
    stop = events.listen(counts)
    retry = Retry(Limited(transport, rate), chance=lambda: 0.0)
    async with httpx.AsyncClient(transport=retry) as api:
        with anyio.fail_after(10):
            response = await api.get(URL)
    stop()
    assert response.json() == [1]
    check(response)
    assert rate.statistics().pauses == 1
    assert rate.statistics().waited >= 0.9
    assert counts.read()["retries"] == 2
