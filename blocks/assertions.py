"""Assertions: JSON Web Tokens signed with a key of one's own, and the grants that take them.

Needs PyJWT and cryptography: `pip install dlt-blocks[jwt]`.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Mapping
from typing import Any, Literal

from blocks.errors import ConfigError
from blocks.grants import Grant, with_fields
from blocks.secrets import Secret, printable

__all__ = ["ClientAssertion", "JwtBearer", "JwtKey"]

# Of the past, for clocks that go behind ours.
_SKEW = 60
# What authorization servers accept at most, Google's among them.
_LONGEST = 3600
# RFC 7518, sections 3.2 and 3.3.
_SHORTEST_SECRET, _SHORTEST_RSA = 32, 2048


class JwtKey(Secret):
    """A key that signs JSON Web Tokens (RFC 7519) by `algorithm`.

    For RS256 and ES256 `key` is a private key in PEM, which `passphrase` opens if it needs one; for
    HS256 a shared secret. `key_id` goes into the header as `kid`.

    Where an API takes such a token itself, without a grant:
    `TokenFrom(lambda: Token(key.sign({"iss": "me"}, lifetime=600), lifetime=540))`.

    >>> JwtKey("0123456789abcdef0123456789abcdef", algorithm="HS256", key_id="k1")
    JwtKey('***', algorithm='HS256', key_id='k1')
    """

    __slots__ = ("_algorithm", "_jwt", "_key", "_key_id")

    def __init__(
        self,
        key: str,
        *,
        algorithm: Literal["RS256", "ES256", "HS256"] = "RS256",
        key_id: str = "",
        passphrase: str = "",
    ) -> None:
        try:
            import jwt
        except ModuleNotFoundError as error:
            raise ConfigError("needs PyJWT: pip install dlt-blocks[jwt]") from error
        if algorithm not in {"RS256", "ES256", "HS256"}:
            raise ConfigError(f"algorithm: expected RS256, ES256 or HS256, got {algorithm!r}")
        # Not PyJWT, and none of its defaults: an algorithm is never taken from elsewhere.
        self._jwt = jwt.PyJWT()
        self._algorithm = algorithm
        self._key_id = key_id
        self._key = _secret(key) if algorithm == "HS256" else _private(key, algorithm, passphrase)

    def __repr__(self) -> str:
        shown = f", key_id={self._key_id!r}" if self._key_id else ""
        return f"JwtKey('***', algorithm={self._algorithm!r}{shown})"

    def sign(self, claims: Mapping[str, Any], *, lifetime: float = 300) -> str:
        """A token with `claims`, and `iat`, `exp` and `jti` set anew.

        It is good for `lifetime` seconds, counted from a minute ago, for clocks that are behind.
        """
        issued = math.floor(time.time()) - _SKEW
        times = {"iat": issued, "exp": issued + math.floor(lifetime), "jti": uuid.uuid4().hex}
        headers = {"kid": self._key_id} if self._key_id else None
        return self._jwt.encode({**claims, **times}, self._key, self._algorithm, headers)


class JwtBearer(Grant):
    """Auth by the JWT bearer grant (RFC 7523, section 2.1), as Google's service accounts use it.

    `claims` are what the assertion says besides its times: `iss` and `sub` by the standard, for
    Google `iss` and `scope`. `aud` is `token_url` unless given. `fields` go into the form. An
    assertion is made for each request for a token, and good for `lifetime` seconds.

    >>> key = JwtKey("0123456789abcdef0123456789abcdef", algorithm="HS256")
    >>> JwtBearer("https://login.example.com/token", key, claims={"iss": "me", "sub": "me"})
    JwtBearer('https://login.example.com/token', JwtKey('***', algorithm='HS256'), \
claims={'iss': 'me', 'sub': 'me'})
    """

    __slots__ = ("_claims", "_key", "_lifetime", "_options")

    def __init__(
        self,
        token_url: str,
        key: JwtKey,
        *,
        claims: Mapping[str, Any],
        fields: Mapping[str, str] | None = None,
        lifetime: float = 300,
    ) -> None:
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}
        super().__init__(token_url, with_fields(form, fields))
        if not claims.get("iss"):
            raise ConfigError("claims: expected iss, who issues the assertion, got none")
        if not _SKEW < lifetime <= _LONGEST:
            raise ConfigError(f"lifetime: expected {_SKEW} to {_LONGEST} s, got {lifetime!r}")
        self._key = key
        self._claims = {"aud": str(self._url), **claims}
        self._lifetime = lifetime
        self._options = {"claims": dict(claims), "fields": dict.fromkeys(fields or {}, "***")}

    def __repr__(self) -> str:
        return self._shown(repr(self._key), **self._options)

    def fresh(self) -> Mapping[str, str]:
        """The assertion."""
        return {"assertion": self._key.sign(self._claims, lifetime=self._lifetime)}


class ClientAssertion(Grant):
    """Auth by the client credentials grant, with an assertion for a secret (RFC 7523, section 2.2).

    Such as Microsoft's certificate credentials and Okta's `private_key_jwt`. `scope` and `fields`
    are as for `blocks.oauth.ClientCredentials`.

    >>> key = JwtKey("0123456789abcdef0123456789abcdef", algorithm="HS256")
    >>> ClientAssertion("https://login.example.com/token", "me", key)
    ClientAssertion('https://login.example.com/token', 'me', JwtKey('***', algorithm='HS256'))
    """

    __slots__ = ("_claims", "_key", "_options")

    def __init__(
        self,
        token_url: str,
        client_id: str,
        key: JwtKey,
        *,
        scope: str = "",
        fields: Mapping[str, str] | None = None,
    ) -> None:
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        form = {"grant_type": "client_credentials", "client_assertion_type": kind}
        form |= {"scope": scope} if scope else {}
        super().__init__(token_url, with_fields(form, fields), client_id=client_id)
        if not client_id:
            raise ConfigError("client_id: expected text, got an empty string")
        self._key = key
        self._claims = {"iss": client_id, "sub": client_id, "aud": str(self._url)}
        self._options = {"scope": scope, "fields": dict.fromkeys(fields or {}, "***")}

    def __repr__(self) -> str:
        return self._shown(repr(self._id), repr(self._key), **self._options)

    def fresh(self) -> Mapping[str, str]:
        """The assertion."""
        return {"client_assertion": self._key.sign(self._claims)}


def _secret(key: str) -> bytes:
    secret = printable("key", key).encode()
    if len(secret) < _SHORTEST_SECRET:
        raise ConfigError(f"key: expected {_SHORTEST_SECRET} bytes or more, got {len(secret)}")
    if secret.startswith((b"-----BEGIN", b"ssh-")):
        raise ConfigError("key: expected a shared secret for HS256, got a key of a pair")
    return secret


def _private(key: str, algorithm: str, passphrase: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        loaded = load_pem_private_key(key.encode(), passphrase.encode() or None)
    except (AttributeError, TypeError, UnsupportedAlgorithm, ValueError) as error:
        # Its text says what is wrong with the passphrase or the PEM, not what they are.
        reason = "a passphrase that fits" if passphrase else "a private key in PEM, not encrypted"
        raise ConfigError(f"key: expected {reason}, got {type(error).__name__}") from None
    if algorithm == "RS256":
        fits = isinstance(loaded, rsa.RSAPrivateKey) and loaded.key_size >= _SHORTEST_RSA
    else:
        fits = isinstance(loaded, ec.EllipticCurvePrivateKey) and loaded.curve.name == "secp256r1"
    if not fits:
        expected = f"RSA, {_SHORTEST_RSA} bits or more" if algorithm == "RS256" else "EC on P-256"
        raise ConfigError(f"key: expected {expected} for {algorithm}, got another kind")
    return loaded
