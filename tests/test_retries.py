"""Another attempt where it may help, none where it may harm, and never before the time told."""

from __future__ import annotations

import gzip
import itertools
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from blocks import events
from blocks.errors import BodyError, ConfigError, RetryError
from blocks.outcomes import Verdict, mark
from blocks.retries import Retry, classify, delay, reads

URL = "https://api.example.com/items?key=secret"
Outcome = httpx.Response | Exception


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """trio with virtual time: waiting an hour takes no time."""
    return "trio", {"clock": MockClock(autojump_threshold=0)}


def untrusted() -> httpx.ConnectError:
    """A certificate failure as transports report it: a connect error, the reason below it."""
    error = httpx.ConnectError("TLS")
    error.__cause__ = OSError("connecting")
    error.__cause__.__context__ = ssl.SSLCertVerificationError("self-signed")
    return error


def without_tls(reason: str) -> httpx.ConnectError:
    """A handshake that failed for `reason`, in OpenSSL's words."""
    error = httpx.ConnectError("TLS")
    error.__cause__ = ssl.SSLError(1, f"[SSL: {reason}]")
    error.__cause__.reason = reason
    return error


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        *((httpx.Response(status), "ok") for status in (200, 204, 206, 301, 304)),
        *((httpx.Response(status), "retry") for status in (408, 421, 425)),
        *((httpx.Response(status), "retry") for status in (500, 502, 503, 504, 507, 520, 529)),
        *((httpx.Response(status), "fail") for status in (400, 403, 404, 409, 410, 422)),
        (httpx.Response(401), "reauth"),
        *((httpx.Response(status), "fail") for status in (501, 505, 511)),
        (httpx.Response(429), "limited"),
        *((httpx.Response(s, headers={"Retry-After": "1"}), "limited") for s in (403, 429, 503)),
        (httpx.Response(404, headers={"Retry-After": "1"}), "fail"),
        (httpx.ConnectError("down"), "retry"),
        (httpx.ConnectTimeout("late"), "retry"),
        (httpx.ReadTimeout("late"), "retry"),
        (httpx.WriteTimeout("late"), "retry"),
        (httpx.PoolTimeout("late"), "retry"),
        (httpx.ReadError("reset"), "retry"),
        (httpx.RemoteProtocolError("cut"), "retry"),
        (httpx.DecodingError("cut"), "retry"),
        (httpx.UnsupportedProtocol("gopher"), "fail"),
        (httpx.LocalProtocolError("header"), "fail"),
        (untrusted(), "fail"),
        *(
            (without_tls(reason), "fail")
            for reason in (
                *("NO_PROTOCOLS_AVAILABLE", "TLSV1_ALERT_PROTOCOL_VERSION"),
                *("UNSUPPORTED_PROTOCOL", "WRONG_VERSION_NUMBER"),
            )
        ),
        (without_tls("UNEXPECTED_EOF_WHILE_READING"), "retry"),
        (BodyError("too large"), "fail"),
        (ValueError("ours"), "fail"),
    ],
)
def test_classify(outcome: Outcome, verdict: str) -> None:
    """The moment's fault is tried again, the request's or the certificate's is not."""
    assert classify(outcome) == verdict


@given(attempt=st.integers(1, 10_000), chance=st.floats(0, 1, exclude_max=True))
def test_delay_is_spread_from_zero_to_a_doubling_cap(attempt: int, chance: float) -> None:
    """Full jitter: any wait below 1, 2, 4 ... 60 seconds is as likely as another."""
    assert delay(attempt, 0.0) == 0.0
    assert 0 <= delay(attempt, chance) <= min(60, 2 ** min(attempt - 1, 10))
    assert delay(attempt, chance) <= delay(attempt + 1, chance)


class Api:
    """Plays outcomes one after another, the last ever after; keeps when and what it was asked."""

    def __init__(self, outcomes: Iterable[Outcome]) -> None:
        self.outcomes = list(outcomes)
        self.moments: list[float] = []
        self.bodies: list[bytes] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """The next outcome."""
        self.moments.append(anyio.current_time())
        self.bodies.append(request.content)
        outcome = self.outcomes[min(len(self.moments), len(self.outcomes)) - 1]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    @property
    def waits(self) -> list[float]:
        """Seconds between the attempts."""
        return [round(later - earlier, 3) for earlier, later in itertools.pairwise(self.moments)]


def client(
    *outcomes: Outcome,
    chance: float = 0.5,
    attempts: int = 5,
    total: float = 300.0,
    reads: Callable[[httpx.Request], bool] = reads,
) -> tuple[httpx.AsyncClient, Api]:
    """A retrying client of an API that plays `outcomes`."""
    api = Api(outcomes)
    transport = Retry(httpx.MockTransport(api), attempts, total, reads=reads, chance=lambda: chance)
    return httpx.AsyncClient(transport=transport), api


def told(wait: str, status: int = 429) -> httpx.Response:
    """A refusal with Retry-After."""
    return httpx.Response(status, headers={"Retry-After": wait})


FINE = httpx.Response(200, json={})


@pytest.mark.anyio
@pytest.mark.parametrize(
    "failure", [httpx.Response(502), httpx.Response(429), httpx.ReadError("reset")]
)
async def test_a_failure_is_tried_again(failure: Outcome) -> None:
    """Until it goes well, with growing waits."""
    http, api = client(failure, failure, failure, FINE)
    async with http:
        assert (await http.get(URL)).status_code == 200
    assert api.waits == [0.5, 1.0, 2.0]


@pytest.mark.anyio
async def test_a_body_cut_midway_is_tried_again() -> None:
    """An attempt is over when the body is, decoded; httpx alone would take the stump."""
    cut = gzip.compress(b'{"id": 1}')[:-9]
    headers = {"Content-Encoding": "gzip"}
    http, api = client(
        httpx.Response(200, headers=headers, stream=httpx.ByteStream(cut)),
        httpx.Response(200, headers=headers, stream=httpx.ByteStream(gzip.compress(b"[]"))),
    )
    async with http:
        assert (await http.get(URL)).json() == []
    assert len(api.moments) == 2


@pytest.mark.anyio
async def test_a_told_wait_is_kept_and_spread() -> None:
    """Never early, and up to half (at least a second) late, so that a herd disperses."""
    for chance, expected in ((0.0, [40, 2, 0]), (0.8, [56, 2.8, 0.8])):
        http, api = client(told("40"), told("1.5", 503), told("0", 403), FINE, chance=chance)
        async with http:
            await http.get(URL)
        assert api.waits == expected


@pytest.mark.anyio
@pytest.mark.parametrize("wait", ["301", "3600", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_a_wait_told_too_long_is_an_error_at_once(wait: str) -> None:
    """Before sleeping, naming the number; not an early retry."""
    http, api = client(told(wait), FINE)
    async with http:
        with pytest.raises(RetryError, match=r"told to wait .* left of total=300") as caught:
            await http.get(URL)
    assert len(api.moments) == 1
    assert caught.value.response is not None
    assert caught.value.response.status_code == 429
    assert "secret" not in str(caught.value)


@pytest.mark.anyio
async def test_told_waits_add_up_to_total() -> None:
    """The second of two that fit alone is refused when they do not fit together."""
    http, api = client(told("200"), told("200"), FINE, chance=0.9)
    async with http:
        with pytest.raises(RetryError, match="told to wait 200 s, more than the 46 s left"):
            await http.get(URL)
    assert api.waits == [254]


@pytest.mark.anyio
async def test_a_long_told_wait_costs_at_most_a_minute_more() -> None:
    """Half an hour on top of an hour would help no server."""
    http, api = client(told("3600"), FINE, chance=0.9, total=7200)
    async with http:
        await http.get(URL)
    assert api.waits == [3654]


@pytest.mark.anyio
@pytest.mark.parametrize(("wait", "waited"), [("300", 300), ("280", 298), ("200", 254)])
async def test_spreading_stays_within_total(wait: str, waited: float) -> None:
    """A wait that fits is waited for, and spread over what is left of the total."""
    http, api = client(told(wait), FINE, chance=0.9)
    async with http:
        await http.get(URL)
    assert api.waits == [waited]


@pytest.mark.anyio
@pytest.mark.parametrize("options", [{"attempts": 3}, {"total": 2.0}])
async def test_the_last_response_is_returned(options: dict[str, float]) -> None:
    """Out of attempts or of time, a response speaks for itself."""
    http, api = client(httpx.Response(502), chance=0.99, **options)  # type: ignore[arg-type]
    async with http:
        assert (await http.get(URL)).status_code == 502
    assert len(api.moments) == 3 if "attempts" in options else 2


@pytest.mark.anyio
async def test_the_last_exception_is_the_cause() -> None:
    """What was tried, how long, where; httpx's error chained."""
    failure = httpx.ReadTimeout("60 s")
    http, _ = client(failure, attempts=3)
    async with http:
        with pytest.raises(RetryError) as caught:
            await http.get(URL)
    expected = "gave up after 3 of 3 attempts and 2 s of waiting: GET api.example.com/items"
    assert str(caught.value) == expected
    assert caught.value.__cause__ is failure
    assert caught.value.response is None


@pytest.mark.anyio
@pytest.mark.parametrize(
    "failure", [untrusted(), httpx.UnsupportedProtocol("gopher"), BodyError("large"), OSError()]
)
async def test_what_no_attempt_can_mend_fails_at_once(failure: Exception) -> None:
    """The error as it was, after one attempt."""
    http, api = client(failure, FINE)
    async with http:
        with pytest.raises(type(failure)) as caught:
            await http.get(URL)
    assert caught.value is failure
    assert len(api.moments) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("failure", [httpx.Response(503), httpx.ReadError("reset")])
async def test_what_may_change_something_is_sent_once(method: str, failure: Outcome) -> None:
    """Also when it failed: it may have been done."""
    http, api = client(failure, FINE)
    async with http:
        if isinstance(failure, Exception):
            with pytest.raises(httpx.ReadError):
                await http.request(method, URL)
        else:
            assert (await http.request(method, URL)).status_code == 503
    assert len(api.moments) == 1


@pytest.mark.anyio
async def test_a_post_that_reads_is_tried_again_with_the_same_body() -> None:
    """Where the source says so; a body from a generator included."""

    async def parts() -> AsyncIterator[bytes]:
        yield b'{"query":'
        yield b'"..."}'

    http, api = client(httpx.Response(503), FINE, reads=lambda request: True)
    async with http:
        await http.post(URL, content=parts())
    assert api.bodies == [b'{"query":"..."}'] * 2


@pytest.mark.anyio
async def test_each_retry_is_logged_without_the_query(caplog: pytest.LogCaptureFixture) -> None:
    """Reason, attempt, wait, place."""
    caplog.set_level("INFO", "blocks.retries")
    http, _ = client(httpx.Response(502), httpx.ReadError("reset"), FINE)
    async with http:
        await http.get(URL)
    assert caplog.messages == [
        "attempt 1: 502, next in 0.5 s: GET api.example.com/items",
        "attempt 2: ReadError, next in 1.0 s: GET api.example.com/items",
    ]


@pytest.mark.anyio
async def test_waits_that_nobody_told_may_be_others() -> None:
    """A second each time, or whatever the API's manual asks for."""
    api = Api([httpx.Response(502), told("4"), httpx.Response(502), FINE])
    transport = Retry(httpx.MockTransport(api), delay=lambda n, _: n / 2, chance=lambda: 0.0)
    async with httpx.AsyncClient(transport=transport) as http:
        await http.get(URL)
    assert api.waits == [0.5, 4, 1.5]


@pytest.mark.anyio
async def test_each_retry_is_published() -> None:
    """To be counted by its reason: status, exception, or the rule that said so."""
    counts = events.Counts()
    stop = events.listen(counts)
    busy = httpx.Response(200, json={})
    mark(busy, Verdict("retry", "Present('busy')"))
    http, _ = client(httpx.Response(502), httpx.ReadError("reset"), busy, FINE)
    async with http:
        await http.get(URL)
    stop()
    assert counts.read() == {
        "retries": 3,
        "retries: 502": 1,
        "retries: Present('busy')": 1,
        "retries: ReadError": 1,
    }


@pytest.mark.anyio
async def test_what_a_limit_read_is_waited_for_like_retry_after() -> None:
    """The verdict of whoever knows the API's headers; Retry-After itself comes first."""
    limited, both = httpx.Response(403), told("7")
    mark(limited, Verdict("limited", "0 of 5000 left", wait=40.0))
    mark(both, Verdict("limited", "0 of 5000 left", wait=40.0))
    http, api = client(limited, both, FINE, chance=0.0)
    async with http:
        assert (await http.get(URL)).status_code == 200
    assert api.waits == [40, 7]


@pytest.mark.anyio
@pytest.mark.parametrize("outcome", ["ok", "reauth", "skip", "fail"])
async def test_what_is_not_to_be_repeated_is_returned(outcome: Any) -> None:
    """For auth, paginators and callers to act on."""
    answer = httpx.Response(503)
    mark(answer, Verdict(outcome, "a rule"))
    http, api = client(answer)
    async with http:
        assert (await http.get(URL)).status_code == 503
    assert len(api.moments) == 1


@pytest.mark.anyio
async def test_cancellation_ends_the_wait() -> None:
    """It passes through, in the middle of a wait, and nothing is sent any more."""
    http, api = client(told("100"), FINE)
    async with http:
        with anyio.move_on_after(10) as scope:
            await http.get(URL)
    assert scope.cancelled_caught
    assert len(api.moments) == 1


@pytest.mark.parametrize(("attempts", "total"), [(0, 1.0), (1, -1.0), (1, float("nan"))])
def test_a_retry_that_cannot_be_is_refused(attempts: int, total: float) -> None:
    """Said at construction, with what was got."""
    with pytest.raises(ConfigError, match=f"got attempts={attempts}, total={total}"):
        client(FINE, attempts=attempts, total=total)


def test_repr_is_the_expression() -> None:
    """What is printed shows the settings."""
    transport = httpx.MockTransport(lambda _: FINE)
    assert repr(Retry(transport)) == f"Retry({transport!r}, attempts=5, total=300.0)"


def test_what_reads_is_sent_again() -> None:
    """GET, HEAD and OPTIONS by their promise, and requests for tokens though they are POSTs."""
    read = [
        method
        for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
        if reads(httpx.Request(method, "https://api/"))
    ]
    assert read == ["GET", "HEAD", "OPTIONS"]
    token = {"token_url": "https://login/"}
    assert reads(httpx.Request("POST", "https://login/", extensions=token))


def test_the_least_that_a_retry_can_be() -> None:
    """One attempt, and no time at all, are settings; less is none."""
    transport = httpx.AsyncHTTPTransport()
    Retry(transport, attempts=1, total=0)
    for options in ({"attempts": 0}, {"total": -1.0}):
        with pytest.raises(ConfigError, match="a Retry needs"):
            Retry(transport, **options)
