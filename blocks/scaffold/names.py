"""Names: which are free for a module and a function in it, and which belong to secrets."""

from __future__ import annotations

import builtins
import keyword
import re
import sys

from blocks.errors import ConfigError

__all__ = ["check", "credential", "free"]


def check(name: str) -> None:
    """Raise `ConfigError` unless `name` is free."""
    if not free(name):
        message = "expected a free name in small letters, digits and single underscores"
        raise ConfigError(f"name: {message}, got {name!r}")


def free(name: str) -> bool:
    """Whether a module, a function and a table may be called `name`.

    Small letters, digits and single underscores, as dlt would call others differently in tables;
    nothing that Python, pytest or the code to be written has a meaning for.

    >>> free("github_issues"), free("GitHub"), free("json"), free("load")
    (True, False, False, False)
    """
    shaped = re.fullmatch(r"(?!test_)[a-z][a-z0-9]*(?:_[a-z0-9]+)*", name) is not None
    return shaped and name not in _TAKEN


def credential(name: str) -> bool:
    """Whether a parameter or header of this name is likely to hold a secret.

    >>> credential("api_key"), credential("X-Auth-Token"), credential("pageToken")
    (True, True, False)
    """
    words = [word.lower() for word in _WORD.findall(name)]
    before = words[-2] if len(words) > 1 else ""
    return bool(words) and words[-1] in _SECRETS and before not in _HARMLESS


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRETS = {
    *("accesstoken", "apikey", "auth", "authorization", "cookie", "credential", "credentials"),
    *("jwt", "key", "passwd", "password", "pwd", "secret", "session", "sessionid", "sig"),
    *("signature", "token"),
}
_HARMLESS = {
    *("continuation", "cursor", "group", "next", "order", "page", "partition", "sort", "sync"),
}

# What the code uses under its own name, or would hide if it were the name of a module.
_USED = {
    *("aiohttp", "anyio", "blocks", "conftest", "dlt", "duckdb", "httpx", "pyarrow", "pytest"),
    *("again", "annotations", "api", "api_key", "asked", "at", "base_url", "basic", "bearer"),
    *("body", "call", "change", "client", "client_id", "client_secret", "cursor", "expected"),
    *("first", "following", "found", "header_key", "kept", "keyed", "linked", "listing", "load"),
    *("monkeypatch", "number", "numbered", "offset", "page", "pages", "params", "password"),
    *("prefetch", "pytest_plugins", "query_key", "replica", "row", "rows", "server", "serving"),
    *("since", "source", "test", "tests", "token", "token_url", "tokens", "trial", "unwrap"),
    *("updated", "user", "wrap"),
}
_TAKEN = frozenset(
    {*_USED, *dir(builtins), *keyword.kwlist, *keyword.softkwlist, *sys.stdlib_module_names}
)
