"""A signature is on the bytes that arrive, and made anew for each attempt."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import itertools
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import quote, unquote_to_bytes

import botocore.auth  # type: ignore[import-untyped]
import httpx
import pytest
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from blocks.client import client
from blocks.connections import Connections
from blocks.errors import ConfigError
from blocks.fetch import pages
from blocks.limits import Rate
from blocks.paginators import NextUrl
from blocks.retries import Retry
from blocks.signing import Hmac, Signed, SigV4
from tests.authority import Received, answering, said
from tests.loopback import answer

SECRET = "c4n4ry"
KEY = Credentials("AKIDEXAMPLE", SECRET, "t0ken/+=")

at_once = functools.partial(Retry, chance=lambda: 0.0)


def numbered() -> Callable[[httpx.Request], bytes]:
    """A message of all that is sent, with a number used once."""
    numbers = itertools.count(1)

    def message(request: httpx.Request) -> bytes:
        request.headers["X-Nonce"] = str(next(numbers))
        parts = (request.method.encode(), request.url.raw_path, request.content)
        return b"\n".join([*parts, request.headers["X-Nonce"].encode()])

    return message


def plain(request: httpx.Request) -> bytes:
    """A message of the body alone."""
    return request.content


class Verifying:
    """An API that checks a signature, and fails the first attempts for other reasons."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.nonces: list[str] = []

    def __call__(self, request: Received) -> bytes:
        """The answer, once the signature has been checked on what was received."""
        nonce = request.headers["x-nonce"]
        parts = (request.method.encode(), request.target.encode(), request.body, nonce.encode())
        expected = hmac.digest(SECRET.encode(), b"\n".join(parts), hashlib.sha256).hex()
        if request.headers["x-signature"] != expected or nonce in self.nonces:
            return said({}, "401 Unauthorized")
        self.nonces.append(nonce)
        if self.failures:
            self.failures -= 1
            return answer(b"", "503 Busy", (("Retry-After", "0"),))
        return said({"next": None if "page=2" in request.target else "/items?page=2"})


@pytest.mark.anyio
async def test_each_attempt_is_signed_anew() -> None:
    """Through retries and limit, each with a number of its own, page after page."""
    api_of = Verifying(failures=2)
    with answering(api_of) as server:
        signed = Signed(Connections(), Hmac(SECRET, numbered()))
        async with client(server.url, transport=signed, limit=Rate(1000), retry=at_once) as api:
            first = api.build_request("GET", "/items", params={"q": "a b/c,d%"})
            found = [page async for page in pages(api, first, NextUrl("next"))]
    assert [page.status_code for page in found] == [200, 200]
    assert api_of.nonces == ["1", "2", "3", "4"]
    assert all("x-signature" not in page.request.headers for page in found)


@pytest.mark.anyio
async def test_an_auth_flow_would_repeat_itself() -> None:
    """Why this is a transport: a flow runs once for all attempts, and the number is not new."""
    sign = Hmac(SECRET, numbered())

    class Once(httpx.Auth):
        def auth_flow(self, request: httpx.Request) -> Any:
            request.read()
            sign(request)
            yield request

    with answering(Verifying(failures=1)) as server:
        async with client(server.url, auth=Once(), retry=at_once) as api:
            assert (await api.get("/items")).status_code == 401


@pytest.mark.anyio
async def test_what_is_signed_is_what_is_sent() -> None:
    """Method, path, query and body, byte for byte."""
    with answering(Verifying()) as server:
        signed = Signed(Connections(), Hmac(SECRET, numbered()))
        async with client(server.url, transport=signed) as api:
            for url in ("/a%2Fb/../c?x=%2f&x=1+2", "/ü?ä=ö", "//a//b?", "/?a&&b="):
                for body in (b"", b"\0\xff\r\n\r\n", "ä".encode()):
                    assert (await api.put(url, content=body)).status_code == 200

            async def content() -> Any:
                yield b"str"
                yield b"eam"

            assert (await api.post("/items", content=content())).status_code == 200


@pytest.mark.parametrize(
    ("options", "header", "value"),
    [
        ({}, "x-signature", hmac.digest(b"key", b"m", hashlib.sha256).hex()),
        (
            {
                "digest": "sha1",
                "encoding": "base64",
                "header": "Authorization",
                "prefix": "HMAC a:",
            },
            "authorization",
            "HMAC a:" + base64.b64encode(hmac.digest(b"key", b"m", hashlib.sha1)).decode(),
        ),
        ({"digest": "sha512"}, "x-signature", hmac.digest(b"key", b"m", hashlib.sha512).hex()),
    ],
)
@pytest.mark.parametrize("key", ["key", b"key"])
def test_codes_as_apis_want_them(
    options: dict[str, Any], header: str, value: str, key: str | bytes
) -> None:
    """Digest, encoding, header and what stands before."""
    request = httpx.Request("GET", "https://api.example.com")
    Hmac(key, lambda request: b"m", **options)(request)
    assert request.headers[header] == value


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Hmac("", plain), "key: expected text or bytes, got none"),
        (lambda: Hmac(b"", plain), "key: expected text or bytes, got none"),
        (lambda: Hmac(f"{SECRET}\n", plain), "key: .* control characters"),
        (lambda: Hmac(SECRET, plain, digest=cast("Any", "md5")), "digest: .* got 'md5'"),
        (lambda: Hmac(SECRET, plain, encoding=cast("Any", "rot13")), "encoding: .* got 'rot13'"),
        (lambda: Hmac(SECRET, plain, header="a b"), "name of a header"),
        (lambda: SigV4(cast("Any", SECRET), region="r", service="s"), "botocore's, got str"),
        (lambda: SigV4(KEY, region="", service="s"), "got an empty string"),
    ],
)
def test_arguments_that_cannot_work(build: Any, message: str) -> None:
    """Said at construction, the secret not in the text."""
    with pytest.raises(ConfigError, match=message) as caught:
        build()
    assert SECRET not in str(caught.value)


def test_repr_is_the_expression_without_the_secret() -> None:
    """Functions by their names."""
    sign = Hmac(SECRET, plain)
    shown = "Hmac('***', plain, header='X-Signature', digest='sha256', encoding='hex')"
    assert repr(sign) == shown
    assert repr(Signed(Connections(), sign)) == f"Signed(Connections(100), {shown})"
    assert repr(Signed(Connections(), functools.partial(print, SECRET))).endswith(", partial)")
    assert repr(SigV4(KEY, region="r", service="s")) == "SigV4('***', region='r', service='s')"


class Aws:
    """A service that checks Signature Version 4 as AWS documents it: from decoded parameters."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.dates: list[str] = []

    def __call__(self, request: Received) -> bytes:
        """200 or 403."""
        fields = dict(
            part.strip().split("=", 1)
            for part in request.headers["authorization"].partition(" ")[2].split(",")
        )
        date = request.headers["x-amz-date"]
        self.dates.append(date)
        names = fields["SignedHeaders"].split(";")
        assert {"host", "x-amz-date"} <= {*names}
        digest = hashlib.sha256(request.body).hexdigest()
        assert request.headers.get("x-amz-content-sha256", digest) == digest
        pairs = []
        for pair in filter(None, request.target.partition("?")[2].split("&")):
            name, _, value = pair.partition("=")
            pairs.append([quote(unquote_to_bytes(part), safe="-_.~") for part in (name, value)])
        path = request.path if self.service == "s3" else quote(request.path, safe="/~")
        canonical = "\n".join(
            [
                *(request.method, path, "&".join("=".join(pair) for pair in sorted(pairs))),
                *(f"{name}:{' '.join(request.headers[name].split())}" for name in names),
                *("", ";".join(names), digest),
            ]
        )
        scope = f"{date[:8]}/eu-west-1/{self.service}/aws4_request"
        key = f"AWS4{SECRET}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), hashlib.sha256)
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashed}"
        expected = hmac.digest(key, text.encode(), hashlib.sha256).hex()
        fine = fields["Signature"] == expected
        fine = fine and fields["Credential"] == f"AKIDEXAMPLE/{scope}"
        return said({}, "200 OK" if fine else "403 Forbidden")


URLS = [
    *("/", "/?", "/a/b?b=2&a=1&a=0", "/?a&b=&&c", "/?q=a+b%20c%2Bd,e:f/@", "/?%c3%bc=%C3%BC&x=%ff"),
    *("/a%20b/%2f/c~d", "/?a=b%26c%3Dd", "/-_.~?-_.~=-_.~", "/?Zeta=1&alpha=2&_=3&%41=4"),
]


@pytest.mark.anyio
@pytest.mark.parametrize("service", ["execute-api", "s3"])
async def test_aws_accepts_the_signature(service: str) -> None:
    """As it is verified there, over loopback: any path, query, body and header."""
    with answering(Aws(service)) as server:
        signed = Signed(Connections(), SigV4(KEY, region="eu-west-1", service=service))
        async with client(server.url, transport=signed) as api:
            for url in URLS:
                for body in (b"", b"{}", b"\xff\0"):
                    headers = {"X-Amz-Target": " a  b ", "Content-Type": "application/json"}
                    response = await api.post(url, content=body, headers=headers)
                    assert (url, response.status_code) == (url, 200)
                    assert "authorization" not in response.request.headers
            response = await api.get("/", params={"q": "a b+c", "ü": "/"})
            assert response.status_code == 200
        sent = server.seen[0].headers
    assert sent["x-amz-security-token"] == "t0ken/+="


@given(
    st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=4),
    st.sampled_from(["s3", "es"]),
    st.binary(max_size=9),
)
def test_botocore_signs_the_same(params: list[tuple[str, str]], service: str, body: bytes) -> None:
    """A request built from parameters, as botocore's own clients do, has the same signature."""
    params = [
        (name.encode(errors="replace").decode(), value.encode(errors="replace").decode())
        for name, value in params
    ]
    url = httpx.URL("https://host/path", params=httpx.QueryParams(tuple(params)))
    request = httpx.Request("POST", url, content=body)
    SigV4(KEY, region="eu-west-1", service=service)(request)
    kind = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
    moment = datetime.strptime(request.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)

    class Then(kind):  # type: ignore[misc, valid-type]
        """At the same moment."""

        def add_auth(self, twin: AWSRequest) -> None:
            twin.context["timestamp"] = moment.strftime("%Y%m%dT%H%M%SZ")
            self._modify_request_before_signing(twin)
            text = self.string_to_sign(twin, self.canonical_request(twin))
            self._inject_signature_to_request(twin, self.signature(text, twin))

    twin = AWSRequest("POST", "https://host/path", {"Host": "host"}, body, params)
    Then(KEY.get_frozen_credentials(), service, "eu-west-1").add_auth(twin)
    assert request.headers["Authorization"] == twin.headers["Authorization"]


@pytest.mark.anyio
async def test_a_retry_has_a_signature_of_its_own() -> None:
    """Replaced, not added to."""
    api_of = Aws("es")
    answers = iter([answer(b"", "503 Busy", (("Retry-After", "0"),))] * 2)
    with answering(lambda request: next(answers, None) or api_of(request)) as server:
        signed = Signed(Connections(), SigV4(KEY, region="eu-west-1", service="es"))
        async with client(server.url, transport=signed, retry=at_once) as api:
            assert (await api.get("/items")).status_code == 200
        for request in server.requests:
            assert request.lower().count(b"authorization:") == 1
            assert request.lower().count(b"x-amz-date:") == 1


def test_what_botocore_logs_is_not_for_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """It writes what it signs at DEBUG, the session token included; for others it still may."""
    caplog.set_level("DEBUG")
    request = httpx.Request("GET", "https://api.example.com/items")
    SigV4(KEY, region="eu-west-1", service="es")(request)
    assert caplog.text == ""
    logging.getLogger("botocore.auth").debug("theirs")
    assert "theirs" in caplog.text


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    monkeypatch.setitem(sys.modules, "botocore.auth", None)
    with pytest.raises(ConfigError, match=r"pip install dlt-blocks\[aws\]"):
        SigV4(KEY, region="eu-west-1", service="es")


@pytest.mark.anyio
async def test_closing_closes_what_is_below() -> None:
    """And the connections with it."""
    with answering(Verifying()) as server:
        async with client(
            server.url, transport=Signed(Connections(), Hmac(SECRET, numbered()))
        ) as api:
            await api.get("/items")
        server.closed(1)
