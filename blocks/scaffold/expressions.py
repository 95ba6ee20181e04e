"""Expressions: values as the Python that makes them.

Texts become literals, whatever is in them, and nothing but literals and calls of this package's own
classes is ever written: what a server says may stand in code, but is never code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from blocks.errors import ConfigError

__all__ = ["called", "expression", "imports", "tidy"]

_WIDTH = 88


def expression(value: Any) -> str:
    r"""Python that makes an equal value: of plain values, and of dataclasses of blocks.

    Fields that have their defaults are left out. Raises `ConfigError` for anything else.

    >>> from blocks.paginators import PageNumber
    >>> expression(PageNumber("p", records="it's"))
    'PageNumber("p", records="it\'s")'
    """
    if isinstance(value, str):
        text = repr(value)
        # As formatters have it.
        text = f'"{text[1:-1]}"' if re.fullmatch(r"'[^'\"]*'", text) else text
    elif value is None or isinstance(value, bool | int):
        text = repr(value)
    elif isinstance(value, Mapping):
        inner = (f"{expression(key)}: {expression(value[key])}" for key in value)
        text = f"{{{', '.join(inner)}}}"
    elif isinstance(value, list):
        text = f"[{', '.join(expression(each) for each in value)}]"
    elif _ours(value):
        text = f"{type(value).__name__}({', '.join(_arguments(value))})"
    else:
        raise ConfigError(f"expected plain values and blocks, got {type(value).__name__}")
    return text


def imports(values: Iterable[Any]) -> dict[str, set[str]]:
    """The modules of the classes that `expression` names for `values`, with their names.

    >>> from blocks.paginators import LinkHeader
    >>> imports([LinkHeader(), "text"])
    {'blocks.paginators': {'LinkHeader'}}
    """
    found: dict[str, set[str]] = {}
    left = list(values)
    while left:
        value = left.pop()
        if _ours(value):
            # The public name of a package, such as blocks.kinds, for a module in it.
            module = ".".join(type(value).__module__.split(".")[:2])
            found.setdefault(module, set()).add(type(value).__name__)
            left += [getattr(value, field.name) for field in fields(value) if _given(value, field)]
    return found


def called(
    indent: int, head: str, arguments: Iterable[str], tail: str = ")", *, comma: str = ","
) -> str:
    """`head`, the arguments and `tail` on one line, or an argument a line where that is too long.

    `comma` ends the last of those lines; a comprehension must have none.

    >>> print(called(4, "run(", ["first", "second=2"]))
        run(first, second=2)
    """
    blank, given = " " * indent, list(arguments)
    line = f"{blank}{head}{', '.join(given)}{tail}"
    if len(line) <= _WIDTH or not given:
        return line
    inner = ",\n".join(f"{blank}    {each}" for each in given)
    return f"{blank}{head}\n{inner}{comma}\n{blank}{tail}"


def tidy(text: str) -> str:
    r"""What of `text` is harmless in a comment or docstring: some ASCII on one line, cut at 60.

    >>> tidy('api.example.com\n\"\"\"; import os')
    'api.example.com import os'
    """
    return " ".join(re.sub(r"[^A-Za-z0-9_.:/-]", " ", text).split())[:60]


def _ours(value: Any) -> bool:
    return is_dataclass(value) and type(value).__module__.startswith("blocks.")


def _arguments(value: Any) -> list[str]:
    written, named = [], False
    for field in fields(value):
        if not _given(value, field):
            named = True
            continue
        named = named or bool(field.kw_only)
        text = expression(getattr(value, field.name))
        written.append(f"{field.name}={text}" if named else text)
    return written


def _given(value: Any, field: Field[Any]) -> bool:
    if field.default is MISSING:
        return True
    different: bool = getattr(value, field.name) != field.default
    return different
