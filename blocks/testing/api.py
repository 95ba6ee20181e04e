"""Apis: replicas of what a source reads, made of routes that are plain functions.

A *route* is a function from a call to what it is answered: anything that is JSON, or an `Answer`.
A *guard* is one that raises `Refused` for calls that the vendor would turn down: credentials
(`blocks.testing.auth`), limits (`blocks.testing.limits`), or whatever is peculiar.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar
from urllib.parse import unquote

from blocks.errors import ConfigError
from blocks.testing.calls import Answer, Call, Refused, undeclared

__all__ = ["Api", "Guard", "Handler"]

Handler: TypeAlias = Callable[[Call], Any]
Guard: TypeAlias = Callable[[Call], object]

_H = TypeVar("_H", bound=Handler)

logger = logging.getLogger(__name__)


def _error(refused: Refused) -> Any:
    return {"error": refused.message}


def _unchanged(_: Call, answer: Answer) -> Answer:
    return answer


class Api:
    """A replica of an API.

    Each call passes the `guards` in their order and is then compared with its route: unknown paths
    (404), methods (405), parameters, bodies and fields in them (400) are refused, as what a vendor
    would ignore is a mistake of the source all the same. `problem` makes of a refusal the body
    that says so, or an `Answer` where the status is another one; `finish` may change any answer
    before it is sent, to add headers.

    >>> api = Api()
    >>> @api.get("/items/{id}", query="fields")
    ... def item(call):
    ...     return {"id": call.params["id"]}
    >>> from blocks.testing.calls import Given
    >>> api.handle(Call("GET", "/items/7", Given(), Given())).body
    {'id': '7'}
    >>> refused = api.handle(Call("GET", "/items/7", Given([("field", "id")]), Given()))
    >>> refused.status, refused.body
    (400, {'error': "unknown parameter 'field'"})
    """

    def __init__(
        self,
        *guards: Guard,
        problem: Callable[[Refused], Any] = _error,
        finish: Callable[[Call, Answer], Answer] = _unchanged,
    ) -> None:
        self._guards = guards
        self._problem = problem
        self._finish = finish
        self._routes: list[_Route] = []

    def get(
        self, path: str, *, query: str = "", guards: Iterable[Guard] | None = None
    ) -> Callable[[_H], _H]:
        """A decorator for what answers GET at `path`; the rest is as for `route`."""
        return self.route("GET", path, query=query, guards=guards)

    def post(
        self, path: str, *, body: str = "", query: str = "", guards: Iterable[Guard] | None = None
    ) -> Callable[[_H], _H]:
        """A decorator for what answers POST at `path`; the rest is as for `route`."""
        return self.route("POST", path, body=body, query=query, guards=guards)

    def route(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        body: str = "",
        guards: Iterable[Guard] | None = None,
    ) -> Callable[[_H], _H]:
        """A decorator for what answers `method` at `path`, as in "/repos/{owner}/{name}/issues".

        A `{name}` stands for any text without a slash. `query` and `body` declare the parameters
        there are, and the fields of the form or JSON object (see `blocks.testing.calls`); without
        `body` a call must have none. `guards` are in the place of the API's own. Of several routes
        that fit, the first counts.
        """
        if not path.startswith("/") or "?" in path:
            raise ConfigError(f"path: expected it to begin with a slash, no query, got {path!r}")
        parts = re.split(r"\{(\w+)\}", path)
        pattern = "".join(
            f"(?P<{part}>[^/]+)" if index % 2 else re.escape(part)
            for index, part in enumerate(parts)
        )
        checks = self._guards if guards is None else tuple(guards)

        def add(handler: _H) -> _H:
            self._routes.append(_Route(method, re.compile(pattern), handler, checks, query, body))
            return handler

        return add

    def handle(self, call: Call) -> Answer:
        """What is answered to `call`. Errors of guards and routes are raised as they are."""
        try:
            answer = self._routed(call)
        except Refused as refused:
            logger.warning("%r refused: %s", call, refused.message)
            answer = self.refuse(refused)
        return self._finish(call, answer)

    def refuse(self, refused: Refused) -> Answer:
        """The refusal as this API words it."""
        made = self._problem(refused)
        if isinstance(made, Answer):
            return made
        return Answer(made, refused.status, refused.headers)

    def _routed(self, call: Call) -> Answer:
        at_path = [
            (route, found)
            for route in self._routes
            if (found := route.pattern.fullmatch(call.path)) is not None
        ]
        for route, found in at_path:
            if route.method == call.method:
                call.params = {name: unquote(text) for name, text in found.groupdict().items()}
                call.declared = route.query
                made = route.answer(call)
                return made if isinstance(made, Answer) else Answer(made)
        for guard in self._guards:
            guard(call)
        if not at_path:
            raise Refused(404, "no such path")
        allowed = ", ".join(sorted({route.method for route, _ in at_path}))
        raise Refused(405, f"expected {allowed}", {"Allow": allowed})


@dataclass(frozen=True, slots=True)
class _Route:
    method: str
    pattern: re.Pattern[str]
    handler: Handler
    guards: tuple[Guard, ...]
    query: str
    body: str

    def answer(self, call: Call) -> Any:
        """What the handler returns, once nothing speaks against the call."""
        for guard in self.guards:
            guard(call)
        if unknown := undeclared(call.query, self.query):
            raise Refused(400, f"unknown parameter {unknown[0]!r}")
        if call.content:
            self._check_body(call)
        return self.handler(call)

    def _check_body(self, call: Call) -> None:
        if not self.body:
            raise Refused(400, "expected no body")
        fields = call.form if "form" in call.headers.get("content-type", "") else call.json
        if self.body == "*":
            return
        if not isinstance(fields, dict):
            raise Refused(400, "expected a JSON object")
        if unknown := undeclared(fields, self.body):
            raise Refused(400, f"unknown field {unknown[0]!r}")
