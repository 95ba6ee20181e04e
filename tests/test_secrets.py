"""Secrets are checked where they are given, and found wherever they are repeated."""

from __future__ import annotations

import base64
import copy
import functools
import pickle
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import ConfigError
from blocks.secrets import Secret, mentions, named, printable, visible

SECRET = "c4n4ry"


class Held(Secret):
    """Something with a secret."""

    __slots__ = ("_text",)

    def __init__(self) -> None:
        self._text = SECRET

    def __repr__(self) -> str:
        return "Held('***')"


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_secrets_are_not_duplicated(duplicate: Callable[[object], object]) -> None:
    """Neither pickled nor copied, and the error does not say them."""
    with pytest.raises(TypeError, match="Held is not pickled or copied") as caught:
        duplicate(Held())
    assert SECRET not in str(caught.value)


@given(st.text())
def test_visible_text_is_what_a_header_can_hold(text: str) -> None:
    """Anything else raises, and is not quoted."""
    fits = text != "" and all("!" <= letter <= "~" for letter in text)
    if fits:
        assert visible("token", text) == text
    else:
        with pytest.raises(ConfigError):
            visible("token", text)


def test_spaces_inside_are_a_choice() -> None:
    """For schemes of an API's own; outer ones are mistakes."""
    assert visible("key", "Token abc", spaces=True) == "Token abc"
    for text in (" abc", "abc ", "a\tb"):
        with pytest.raises(ConfigError, match="visible ASCII"):
            visible("key", text, spaces=True)


@pytest.mark.parametrize("check", [visible, printable])
@pytest.mark.parametrize("value", [None, 7, b"bytes"])
def test_only_text_is_text(check: Callable[[str, object], str], value: object) -> None:
    """A secret that is missing is said to be."""
    with pytest.raises(ConfigError, match=f"key: expected text, got {type(value).__name__}"):
        check("key", value)


def test_printable_text_may_be_anything_else() -> None:
    """Any letters, none at all; no line ends, and colons where they are no separators."""
    assert printable("user", "ü: ñ") == "ü: ñ"
    assert printable("user", "") == ""
    for text in (f"{SECRET}\n", f"{SECRET}\x7f", f"{SECRET}\ud800"):
        with pytest.raises(ConfigError, match="position 6") as caught:
            printable("user", text)
        assert SECRET not in str(caught.value)
    with pytest.raises(ConfigError, match="or colons, got one at position 1"):
        printable("user", "a:b", colons=False)


@given(st.text(min_size=1), st.text(), st.text())
def test_a_secret_is_found_in_every_form(secret: str, before: str, after: str) -> None:
    """Plain, encoded as in a URL or a form, and in base64 as a text of its own."""
    secret = secret.encode(errors="replace").decode()
    encoded = base64.b64encode(secret.encode()).decode()
    for form in (secret, quote(secret, safe=""), quote_plus(secret), encoded):
        assert mentions(before + form + after, ["", secret])


def test_nothing_is_found_where_nothing_is() -> None:
    """No secret, and an empty one, are in no text."""
    assert not mentions("invalid_grant", [SECRET, ""])
    assert not mentions("", [])


def test_functions_are_named_without_what_they_hold() -> None:
    """Their names, what they are, or, for what keeps secrets itself, how it shows itself."""
    assert named(print) == "print"
    assert named(functools.partial(print, SECRET)) == "partial"
    assert named(Held()) == "Held('***')"
