"""GraphQL, as much of it as a replica needs: one query, its variables, aliases, inline fragments.

Objects are dicts, and a value that is callable takes the arguments of its field. What a schema
would refuse is refused here: fields and arguments there are none of, variables not declared, and
fields without a selection where they need one (https://spec.graphql.org/October2021/).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Field", "Invalid", "execute", "parse"]


class Invalid(Exception):  # noqa: N818 - says what happened
    """A query that the schema does not allow."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field that was asked for, with its arguments and those asked for in it."""

    name: str
    arguments: Mapping[str, Any]
    fields: Mapping[str, Field]


def parse(document: str, variables: Mapping[str, Any]) -> dict[str, Field]:
    """What `document` asks for, with the values of `variables` in place."""
    tokens = re.findall(r'"[^"]*"|\.\.\.|[$\w.-]+|[{}()\[\]:!=]', re.sub(r"#.*", "", document))
    tokens.reverse()
    if tokens.pop() != "query":
        raise Invalid("expected a query")
    if tokens[-1] not in "({":
        tokens.pop()
    declared: set[str] = set()
    if tokens[-1] == "(":
        while (token := tokens.pop()) != ")":
            if token.startswith("$"):
                declared.add(token[1:])
                if _required(tokens) and variables.get(token[1:]) is None:
                    raise Invalid(f"variable {token} is required")
    if set(variables) - declared:
        raise Invalid(f"undeclared variables {sorted(set(variables) - declared)}")
    found = _selection(tokens, {name: variables.get(name) for name in declared})
    if tokens:
        raise Invalid("expected one operation")
    return found


def execute(fields: Mapping[str, Field], value: Any) -> Any:
    """The part of `value` that `fields` ask for."""
    if isinstance(value, list):
        return [execute(fields, each) for each in value]
    if value is None or not isinstance(value, dict):
        if fields and value is not None:
            raise Invalid(f"no fields in a {type(value).__name__}")
        return value
    if not fields:
        raise Invalid(f"expected a selection of {', '.join(value)}")
    return {
        alias: execute(field.fields, _resolved(field, value)) for alias, field in fields.items()
    }


def _resolved(field: Field, value: dict[str, Any]) -> Any:
    if field.name not in value:
        raise Invalid(f"no field {field.name!r}")
    found = value[field.name]
    resolver: Callable[..., Any] = found if callable(found) else lambda: found
    given = {name: each for name, each in field.arguments.items() if each is not None}
    try:
        inspect.signature(resolver).bind(**given)
    except TypeError as error:
        raise Invalid(f"{field.name}: {error}") from None
    return resolver(**given)


def _required(tokens: list[str]) -> bool:
    """Whether the type that follows a variable, up to the next one, ends with `!`."""
    rest = tokens[::-1]
    end = next(at for at, token in enumerate(rest) if token == ")" or token.startswith("$"))
    return "=" not in rest[:end] and rest[end - 1] == "!"


def _selection(tokens: list[str], variables: Mapping[str, Any]) -> dict[str, Field]:
    found: dict[str, Field] = {}
    if tokens.pop() != "{":
        raise Invalid("expected a selection")
    while (name := tokens.pop()) != "}":
        if name == "...":
            del tokens[-2:]  # on Type
            found |= _selection(tokens, variables)
            continue
        alias = name
        if tokens[-1] == ":":
            tokens.pop()
            name = tokens.pop()
        arguments = _object(tokens, "(", ")", variables) if tokens[-1] == "(" else {}
        fields = _selection(tokens, variables) if tokens[-1] == "{" else {}
        found[alias] = Field(name, arguments, fields)
    return found


def _object(
    tokens: list[str], opening: str, closing: str, variables: Mapping[str, Any]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if tokens.pop() != opening:
        raise Invalid(f"expected {opening}")
    while (name := tokens.pop()) != closing:
        if tokens.pop() != ":":
            raise Invalid(f"expected a value of {name}")
        found[name] = _value(tokens, variables)
    return found


def _value(tokens: list[str], variables: Mapping[str, Any]) -> Any:
    if tokens[-1] == "{":
        return _object(tokens, "{", "}", variables)
    token = tokens.pop()
    if token.startswith("$"):
        if token[1:] not in variables:
            raise Invalid(f"variable {token} is not declared")
        return variables[token[1:]]
    constants = {"true": True, "false": False, "null": None}
    return constants.get(token, int(token) if token.isdigit() else token.strip('"'))
