"""Secrets: text that is checked when it is given, and never printed, quoted or pickled."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import NoReturn
from urllib.parse import quote, quote_plus

from blocks.errors import ConfigError

__all__ = ["Secret", "mentions", "named", "printable", "visible"]

# Surrogates are what UTF-8 cannot hold.
_CONTROL = r"\x00-\x1f\x7f\ud800-\udfff"


class Secret:
    """What holds credentials: refuses to be pickled or copied.

    Whoever derives from it keeps them in slots with an underscore, which `vars` does not list, and
    has a `__repr__` without them.

    >>> import copy
    >>> copy.copy(Secret())
    Traceback (most recent call last):
    TypeError: Secret is not pickled or copied: build it where it is used
    """

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} is not pickled or copied: build it where it is used"
        )


def visible(name: str, text: str, *, spaces: bool = False) -> str:
    """`text`, fit for a header: visible ASCII, with `spaces` also blanks inside.

    >>> visible("token", "t0ken ")
    Traceback (most recent call last):
    blocks.errors.ConfigError: token: expected visible ASCII, got another character at position 5
    """
    # Before httpx does: its errors for a bad header value print the value. A token read from a file
    # with its line end, or a secret that is missing (None), is refused here.
    if not _text(name, text):
        raise ConfigError(f"{name}: expected text, got an empty string")
    refused = re.compile(r"[^ -~]|^ | $" if spaces else r"[^!-~]").search(text)
    if refused:
        raise ConfigError(
            f"{name}: expected visible ASCII, got another character at position {refused.start()}"
        )
    return text


def printable(name: str, text: str, *, colons: bool = True) -> str:
    """`text`, fit for a form or for Basic: no control characters; empty is fine.

    >>> printable("user", "me:you", colons=False)
    Traceback (most recent call last):
    blocks.errors.ConfigError: user: expected text without control characters or colons, got one \
at position 2
    """
    if found := re.compile(f"[{_CONTROL}{'' if colons else ':'}]").search(_text(name, text)):
        raise ConfigError(
            f"{name}: expected text without control characters{'' if colons else ' or colons'},"
            f" got one at position {found.start()}"
        )
    return text


def mentions(text: str, secrets: Iterable[str]) -> bool:
    """Whether any of `secrets` stands in `text`, plain, percent-encoded or in base64.

    >>> mentions("bad secret: a%26b", ["a&b"])
    True
    """
    for secret in filter(None, secrets):
        # base64 of three letters is three quarters of it wherever it starts: the middle is enough.
        encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
        forms = {secret, quote(secret, safe=""), quote_plus(secret, safe=""), encoded}
        if any(form in text for form in forms):
            return True
    return False


def named(function: object) -> str:
    """What a function is called, for a repr: that of a `partial` shows what is bound to it.

    >>> import functools
    >>> named(len), named(functools.partial(print, "s3cret"))
    ('len', 'partial')
    """
    if isinstance(function, Secret):
        return repr(function)
    return str(getattr(function, "__name__", type(function).__name__))


def _text(name: str, text: str) -> str:
    if not isinstance(text, str):
        raise ConfigError(f"{name}: expected text, got {type(text).__name__}")
    return text
