"""Google's tokens for service accounts, and how its APIs word errors.

The grant is that of https://developers.google.com/identity/protocols/oauth2/service-account: a JWT
by RS256 with iss, scope, aud (the token's URL), iat and exp, at most an hour apart. Errors have a
code, a message and a status (https://google.aip.dev/193).
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from blocks.testing import Answer, Api, Call, Refused, Tokens

EMAIL = "robot@example.iam.gserviceaccount.com"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
STATUSES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED"}
STATUSES |= {404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}


@cache
def _key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


def pem() -> str:
    """The account's private key, made for this run of the tests."""
    return _key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def google(scope: str) -> tuple[Api, Tokens]:
    """An API for which `POST /token` grants tokens to whom signs for `scope`."""
    tokens = Tokens("", "")
    api = Api(tokens, problem=problem)

    @api.post("/token", body="grant_type assertion", guards=())
    def token(call: Call) -> Any:
        url = f"http://{call.headers['host']}/token"
        said: dict[str, Any] = {}
        with suppress(jwt.InvalidTokenError):
            said = jwt.decode(
                call.form["assertion"], _key().public_key(), algorithms=["RS256"], audience=url
            )
        who = (call.form["grant_type"], said.get("iss"), said.get("scope"))
        if who != (GRANT, EMAIL, scope) or said["exp"] - said["iat"] > 3600:
            return Answer({"error": "invalid_grant", "error_description": "Invalid JWT."}, 400)
        return tokens.issue()

    return api, tokens


def problem(refused: Refused) -> dict[str, Any]:
    """A refusal in Google's words."""
    status = STATUSES.get(refused.status, "UNKNOWN")
    return {"error": {"code": refused.status, "message": refused.message, "status": status}}
