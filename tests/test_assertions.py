"""Assertions are verified with the public key, by other means than those they were signed with."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
import time
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from blocks.assertions import ClientAssertion, JwtBearer, JwtKey
from blocks.errors import AuthError, ConfigError
from blocks.tokens import Token, TokenFrom
from tests.authority import Authority, Received, answering

SECRET = "c4n4ry-0123456789abcdef0123456789"
URL = "https://login.example.com/token"

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())


def pem(key: Any, passphrase: str = "") -> str:
    """The key as text."""
    encryption: Any = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase.encode())
    return str(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        ).decode()
    )


def unpacked(part: str) -> bytes:
    """base64url without its padding."""
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def verified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, once the signature has been checked (RFC 7515, RFC 7518)."""
    head, body, tail = token.split(".")
    header = json.loads(unpacked(head))
    signed, signature = f"{head}.{body}".encode(), unpacked(tail)
    match header["alg"]:
        case "RS256":
            RSA.public_key().verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        case "ES256":
            assert len(signature) == 64
            numbers = [int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")]
            EC.public_key().verify(
                encode_dss_signature(*numbers), signed, ec.ECDSA(hashes.SHA256())
            )
        case "HS256":
            assert hmac.digest(SECRET.encode(), signed, hashlib.sha256) == signature
        case other:
            raise AssertionError(other)
    return header, json.loads(unpacked(body))


@pytest.mark.parametrize(
    "key",
    [
        JwtKey(pem(RSA), key_id="k1"),
        JwtKey(pem(RSA, "open"), key_id="k1", passphrase="open"),
        JwtKey(pem(EC), algorithm="ES256", key_id="k1"),
        JwtKey(SECRET, algorithm="HS256", key_id="k1"),
    ],
)
def test_signatures_and_times(key: JwtKey) -> None:
    """Each algorithm; from a minute ago for as long as asked, and no two alike."""
    before = time.time()
    header, claims = verified(key.sign({"iss": "me", "exp": 1}, lifetime=600))
    assert header == {"alg": header["alg"], "typ": "JWT", "kid": "k1"}
    assert before - 61 <= claims["iat"] <= time.time() - 60
    assert claims["exp"] == claims["iat"] + 600
    assert claims["iss"] == "me"
    assert verified(key.sign({}))[1]["jti"] != claims["jti"]
    assert "kid" not in verified(JwtKey(SECRET, algorithm="HS256").sign({}))[0]


def test_the_jwt_bearer_grant() -> None:
    """RFC 7523, section 2.1: an assertion for each request for a token, and nothing of a client."""
    key = JwtKey(pem(RSA))
    authority = Authority(uses=1)
    with answering(authority) as server:
        url = f"{server.url}/token"
        claims = {"iss": "me", "scope": "read"}
        auth = JwtBearer(url, key, claims=claims, fields={"x": "y"}, lifetime=3600)
        with httpx.Client(base_url=server.url, auth=auth) as api:
            api.get("/items")
            api.get("/items")
        sent = [request for request in server.seen if request.path == "/token"]
    assertions = []
    for request in sent:
        form = request.form
        _, found = verified(form.pop("assertion"))
        assert form == {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "x": "y"}
        assert found.pop("exp") == found.pop("iat") + 3600
        assertions.append(found.pop("jti"))
        assert found == {"iss": "me", "scope": "read", "aud": url}
    assert len({*assertions}) == 2


def test_an_audience_of_its_own() -> None:
    """Where the assertion is for somebody else than the endpoint."""
    with answering(Authority()) as server:
        claims = {"iss": "me", "sub": "ann", "aud": "https://a"}
        auth = JwtBearer(f"{server.url}/token", JwtKey(pem(RSA)), claims=claims)
        with httpx.Client(auth=auth) as api:
            api.get(f"{server.url}/items")
        assert verified(server.seen[0].form["assertion"])[1]["aud"] == "https://a"


def test_a_client_assertion() -> None:
    """RFC 7523, section 2.2, and OpenID Connect's claims for it: who, for whom, until when."""
    with answering(Authority()) as server:
        url = f"{server.url}/token"
        key = JwtKey(pem(EC), algorithm="ES256")
        auth = ClientAssertion(url, "me", key, scope="read", fields={"resource": "r"})
        with httpx.Client(auth=auth) as api:
            api.get(f"{server.url}/items")
        form = server.seen[0].form
    _, claims = verified(form.pop("client_assertion"))
    assert {*claims} == {"iss", "sub", "aud", "iat", "exp", "jti"}
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("me", "me", url)
    assert form == {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_id": "me",
        "scope": "read",
        "resource": "r",
    }


def test_an_assertion_as_the_token_itself() -> None:
    """For APIs that take it without a grant."""
    key = JwtKey(SECRET, algorithm="HS256")
    seen: list[Received] = []
    auth = TokenFrom(lambda: Token(key.sign({"iss": "me"}, lifetime=600), lifetime=540))

    def handle(request: Received) -> bytes:
        seen.append(request)
        return Authority()(request)

    refused = pytest.raises(AuthError, match="with a new token, got a refusal")
    with answering(handle) as server, httpx.Client(auth=auth) as api, refused:
        api.get(f"{server.url}/items")
    tokens = [request.headers["authorization"].removeprefix("Bearer ") for request in seen]
    assert [verified(token)[1]["iss"] for token in tokens] == ["me", "me"]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: JwtKey(pem(RSA), algorithm="none"), "algorithm: expected .* got 'none'"),  # type: ignore[arg-type]
        (lambda: JwtKey("c4n4ry"), "a private key in PEM, not encrypted, got "),
        (lambda: JwtKey(pem(RSA)[:200] + "c4n4ry"), "a private key in PEM, not encrypted, got"),
        (lambda: JwtKey(pem(RSA, "c4n4ry")), "a private key in PEM, not encrypted, got TypeError"),
        (lambda: JwtKey(pem(RSA, "open"), passphrase="c4n4ry"), "a passphrase that fits, got"),
        (lambda: JwtKey(pem(RSA), passphrase="c4n4ry"), "a passphrase that fits, got TypeError"),
        (lambda: JwtKey(None), "a private key in PEM, not encrypted, got AttributeError"),  # type: ignore[arg-type]
        (lambda: JwtKey(pem(EC)), "expected RSA, 2048 bits or more for RS256, got another kind"),
        (lambda: JwtKey(pem(rsa.generate_private_key(65537, 1024))), "2048 bits or more"),
        (lambda: JwtKey(pem(RSA), algorithm="ES256"), "EC on P-256 for ES256, got another kind"),
        (
            lambda: JwtKey(pem(ec.generate_private_key(ec.SECP384R1())), algorithm="ES256"),
            "EC on P-256 for ES256, got another kind",
        ),
        (lambda: JwtKey(pem(ed25519.Ed25519PrivateKey.generate())), "got another kind"),
        (lambda: JwtKey("c4n4ry", algorithm="HS256"), "key: expected 32 bytes or more, got 6"),
        (lambda: JwtKey(f"{SECRET}\n", algorithm="HS256"), "key: .* control characters"),
        (
            lambda: JwtKey("-----BEGIN PUBLIC KEY----- c4n4ry", algorithm="HS256"),
            "expected a shared secret for HS256, got a key of a pair",
        ),
        (lambda: JwtBearer(URL, JwtKey(pem(RSA)), claims={"sub": "me"}), "claims: expected iss"),
        (
            lambda: JwtBearer(URL, JwtKey(pem(RSA)), claims={"iss": "me"}, lifetime=3601),
            "lifetime: expected 60 to 3600 s, got 3601",
        ),
        (lambda: ClientAssertion(URL, "", JwtKey(pem(RSA))), "client_id: expected text"),
    ],
)
def test_arguments_that_cannot_work(build: Any, message: str) -> None:
    """Said at construction, the secret not in the text."""
    with pytest.raises(ConfigError, match=message) as caught:
        build()
    assert "c4n4ry" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(ConfigError, match=r"pip install dlt-blocks\[jwt\]"):
        JwtKey(SECRET, algorithm="HS256")


def test_repr_is_the_expression_without_the_secret() -> None:
    """Claims are no secrets; keys and fields are."""
    key = JwtKey(SECRET, algorithm="HS256")
    shown = "JwtKey('***', algorithm='HS256')"
    assert repr(JwtKey(SECRET, algorithm="HS256", key_id="k")) == f"{shown[:-1]}, key_id='k')"
    assert repr(JwtBearer(URL, key, claims={"iss": "me"}, fields={"a": SECRET})) == (
        f"JwtBearer('{URL}', {shown}, claims={{'iss': 'me'}}, fields={{'a': '***'}})"
    )
    assert repr(ClientAssertion(URL, "me", key, scope="a", fields={"b": SECRET})) == (
        f"ClientAssertion('{URL}', 'me', {shown}, scope='a', fields={{'b': '***'}})"
    )
