"""One verdict about a response, for everybody: by a mark, else by its status."""

from __future__ import annotations

import pickle
from typing import Any

import httpx
import pytest

from blocks.errors import AuthError, BlocksError, BodyError, StatusError
from blocks.outcomes import OUTCOMES, Verdict, accept, mark, verdict

REQUEST = httpx.Request("GET", "https://api.example.com/items?key=secret")


@pytest.mark.parametrize("status", range(100, 600))
def test_every_status_has_a_verdict(status: int) -> None:
    """By status alone, without a reason; what redirects or informs is "ok"."""
    found = verdict(httpx.Response(status))
    assert found == Verdict(found.outcome)
    assert found.reason == ""
    assert found.outcome in OUTCOMES
    assert (found.outcome == "ok") == (status < 400)


def test_a_mark_counts_more_than_the_status() -> None:
    """And the last one counts."""
    response = httpx.Response(503)
    mark(response, Verdict("fail", "one"))
    mark(response, Verdict("skip", "another", wait=3.0))
    assert verdict(response) == Verdict("skip", "another", wait=3.0)


def test_only_our_marks_count() -> None:
    """What others put into extensions is theirs."""
    assert verdict(httpx.Response(200, extensions={"blocks.verdict": "fail"})).outcome == "ok"
    assert not accept(httpx.Response(404, extensions={"blocks.verdict": "skip"}))


@pytest.mark.parametrize(("outcome", "status"), [("ok", 404), ("skip", 404), ("skip", 200)])
def test_what_was_marked_as_good_is_accepted(outcome: Any, status: int) -> None:
    """Whatever its status."""
    response = httpx.Response(status, request=REQUEST)
    mark(response, Verdict(outcome, "a rule"))
    assert accept(response)


@pytest.mark.parametrize("status", [200, 404, 429])
def test_what_nobody_marked_is_for_others_to_check(status: int) -> None:
    """Neither accepted nor refused."""
    assert not accept(httpx.Response(status, request=REQUEST))


@pytest.mark.parametrize(
    ("outcome", "status", "kind", "message"),
    [
        ("fail", 200, BodyError, "got a failure by a rule"),
        ("retry", 202, BodyError, "got a passing failure by a rule"),
        ("limited", 200, BodyError, "got a rate limit by a rule"),
        ("limited", 403, StatusError, "got a rate limit by a rule"),
        ("fail", 500, StatusError, "got a failure by a rule"),
        ("reauth", 200, AuthError, "got a refusal of the credentials by a rule"),
        ("reauth", 400, AuthError, "got a refusal of the credentials by a rule"),
    ],
)
def test_what_was_marked_as_bad_is_an_error(
    outcome: Any, status: int, kind: type[BlocksError], message: str
) -> None:
    """With the rule and the response; a rate limit is no matter of credentials, be it a 403."""
    response = httpx.Response(status, request=REQUEST)
    mark(response, Verdict(outcome, "a rule"))
    with pytest.raises(kind, match=message) as caught:
        accept(response)
    assert caught.value.response is response
    assert "secret" not in str(caught.value)
    assert type(pickle.loads(pickle.dumps(caught.value))) is kind


def test_each_status_is_of_one_class() -> None:
    """All there are, without and with a `Retry-After`."""
    found: dict[str, list[int]] = {}
    for status in range(100, 600):
        found.setdefault(verdict(httpx.Response(status)).outcome, []).append(status)
    assert found["ok"] == [*range(100, 400)]
    assert found["limited"] == [429]
    assert found["reauth"] == [401]
    final = {501, 505, 506, 508, 510, 511}
    assert found["retry"] == [
        408,
        421,
        425,
        *(each for each in range(500, 600) if each not in final),
    ]
    told = {"Retry-After": "1"}
    assert [
        status
        for status in range(100, 600)
        if verdict(httpx.Response(status, headers=told)).outcome == "limited"
    ] == [403, 429, 503]
    assert accept(httpx.Response(200)) is False
