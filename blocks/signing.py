"""Signing: requests that prove who sent them, made anew for every attempt.

A signature has a time in it, and often a number used once: an auth flow, which runs once while
`blocks.retries.Retry` sends again below it, would repeat both. So signing is a transport, right
above the connections. A signer is any callable that is given the request as it will be sent, with
its `content`, and adds to its headers or its URL:

>>> def signed(request: httpx.Request) -> None:
...     request.headers["X-Signature"] = "..."
>>> api = httpx.AsyncClient(transport=Signed(httpx.AsyncHTTPTransport(), signed))
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Literal, Protocol
from urllib.parse import quote, unquote_to_bytes

import httpx

from blocks.auth import HeaderKey
from blocks.errors import ConfigError
from blocks.secrets import Secret, named, printable

__all__ = ["Hmac", "SigV4", "Signed"]


class Signed(httpx.AsyncBaseTransport):
    """A transport that has `sign` sign each request, attempt by attempt.

    Below the limiter and the retries, so that what it signs is what goes out, then: with the
    ready-made client, `client(url, transport=Signed(Connections(), sign))`. The signature is on a
    copy; the request that pages and errors carry is without.
    """

    def __init__(
        self, transport: httpx.AsyncBaseTransport, sign: Callable[[httpx.Request], object]
    ) -> None:
        self._transport = transport
        self._sign = sign

    def __repr__(self) -> str:
        return f"Signed({self._transport!r}, {named(self._sign)})"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The response to the signed request."""
        content = await request.aread()
        url = request.url
        signed = httpx.Request(
            request.method,
            url if url.query else url.copy_with(query=None),  # transports differ in a bare "?"
            headers=request.headers,
            stream=httpx.ByteStream(content),
            extensions=request.extensions,
        )
        signed.read()
        self._sign(signed)
        response = await self._transport.handle_async_request(signed)
        response.request = request
        return response

    async def aclose(self) -> None:
        """Close the transport within."""
        await self._transport.aclose()


class Hmac(Secret):
    """Signs with an HMAC (RFC 2104): sets `header` to `prefix` and the code of `message(request)`.

    `message` says what is signed, and adds to the request whatever else the API wants there, such
    as a time or a number used once. Of what is sent there are `request.method`,
    `request.url.raw_path` (path and query), `request.headers` and `request.content`.

    >>> def message(request: httpx.Request) -> bytes:
    ...     request.headers["X-Time"] = "1700000000"
    ...     return b" ".join([request.method.encode(), request.url.raw_path, b"1700000000"])
    >>> request = httpx.Request("GET", "https://api.example.com/items?page=1")
    >>> sign = Hmac("s3cret", message)
    >>> sign(request)
    >>> request.headers["X-Signature"]
    '57c971e9ba0b355f04b7b7faa227a83eea5bc5e56b3b3e96d4918b92fd8d026a'
    """

    __slots__ = ("_digest", "_encoding", "_header", "_key", "_message", "_prefix")

    def __init__(
        self,
        key: str | bytes,
        message: Callable[[httpx.Request], bytes],
        *,
        header: str = "X-Signature",
        prefix: str = "",
        digest: Literal["sha256", "sha1", "sha512"] = "sha256",
        encoding: Literal["hex", "base64"] = "hex",
    ) -> None:
        self._key = key if isinstance(key, bytes) else printable("key", key).encode()
        if not self._key:
            raise ConfigError("key: expected text or bytes, got none")
        if digest not in {"sha256", "sha1", "sha512"}:
            raise ConfigError(f"digest: expected sha256, sha1 or sha512, got {digest!r}")
        if encoding not in {"hex", "base64"}:
            raise ConfigError(f"encoding: expected 'hex' or 'base64', got {encoding!r}")
        HeaderKey(f"{prefix}code", name=header)
        self._message = message
        self._header = header
        self._prefix = prefix
        self._digest = digest
        self._encoding = encoding

    def __repr__(self) -> str:
        options = f"header={self._header!r}, digest={self._digest!r}, encoding={self._encoding!r}"
        return f"Hmac('***', {named(self._message)}, {options})"

    def __call__(self, request: httpx.Request) -> None:
        """Sign `request` in place."""
        code = hmac.new(self._key, self._message(request), getattr(hashlib, self._digest)).digest()
        text = code.hex() if self._encoding == "hex" else base64.b64encode(code).decode()
        request.headers[self._header] = f"{self._prefix}{text}"


class _Credentials(Protocol):
    """botocore's credentials, such as `botocore.credentials.Credentials` or a session's."""

    def get_frozen_credentials(self) -> Any:
        """Key, secret and token of one moment."""


class SigV4(Secret):
    """Signs with AWS Signature Version 4, by botocore: `pip install dlt-blocks[aws]`.

    `credentials` are botocore's: `Credentials(key, secret, token)` of `botocore.credentials`, or
    what `botocore.session.Session().get_credentials()` finds (profiles, roles), which renew
    themselves. `service` is the name that the service signs with, such as `s3`, `es`, `aps` or
    `execute-api`. Query parameters are sent in AWS's own encoding, as it signs no other
    (https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html).

    >>> from botocore.credentials import Credentials
    >>> SigV4(Credentials("AKIDEXAMPLE", "s3cret"), region="eu-west-1", service="es")
    SigV4('***', region='eu-west-1', service='es')
    """

    __slots__ = ("_credentials", "_region", "_service", "_types")

    def __init__(self, credentials: _Credentials, *, region: str, service: str) -> None:
        try:
            from botocore.auth import (  # type: ignore[import-untyped]
                S3SigV4Auth,
                SigV4Auth,
            )
            from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
        except ModuleNotFoundError as error:
            raise ConfigError("needs botocore: pip install dlt-blocks[aws]") from error
        if not hasattr(credentials, "get_frozen_credentials"):
            kind = type(credentials).__name__
            raise ConfigError(f"credentials: expected botocore's, got {kind}")
        if not (region and service):
            raise ConfigError("region and service: expected names, got an empty string")
        self._credentials = credentials
        self._region = region
        self._service = service
        # S3 alone takes a path as it is, and wants the hash of the body in a header.
        self._types = (S3SigV4Auth if service == "s3" else SigV4Auth, AWSRequest)
        logging.getLogger("botocore.auth").addFilter(_say_nothing)

    def __repr__(self) -> str:
        return f"SigV4('***', region={self._region!r}, service={self._service!r})"

    def __call__(self, request: httpx.Request) -> None:
        """Sign `request` in place."""
        auth_type, request_type = self._types
        request.url = request.url.copy_with(query=_canonical(request.url.query) or None)
        # Of the headers those that no proxy changes.
        signed = {
            name: value
            for name, value in request.headers.items()
            if name in {"host", "content-type"} or name.startswith("x-amz-")
        }
        twin = request_type(request.method, str(request.url), headers=signed, data=request.content)
        frozen = self._credentials.get_frozen_credentials()
        quiet = _signing.set(True)
        try:
            auth_type(frozen, self._service, self._region).add_auth(twin)
        finally:
            _signing.reset(quiet)
        for name, value in twin.headers.items():
            request.headers[name] = value


def _canonical(query: bytes) -> bytes:
    # As the server has it when it computes the signature, from the decoded parameters: botocore
    # takes a query as it comes.
    pairs = []
    for pair in filter(None, query.split(b"&")):
        name, _, value = pair.replace(b"+", b" ").partition(b"=")
        parts = [quote(unquote_to_bytes(part), safe="-_.~") for part in (name, value)]
        pairs.append("=".join(parts))
    return "&".join(pairs).encode("ascii")


_signing: ContextVar[bool] = ContextVar("_signing", default=False)


def _say_nothing(record: logging.LogRecord) -> bool:  # noqa: ARG001
    # botocore logs what it signs at DEBUG, the session token included.
    return not _signing.get()
