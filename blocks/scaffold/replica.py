"""The replica: a small API in code that serves what a blueprint expects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from blocks.errors import ConfigError
from blocks.json import Path, keys
from blocks.kinds import bound
from blocks.paginators import (
    Keyset,
    LinkHeader,
    NextToken,
    NextUrl,
    Offset,
    PageNumber,
    Paginator,
    SinglePage,
)
from blocks.scaffold.blueprint import Auth, Blueprint
from blocks.scaffold.expressions import called, expression
from blocks.stops import Flag, TotalPages, TotalRows, Until

__all__ = ["Written", "guard", "reach", "replica"]


@dataclass(frozen=True, slots=True)
class Written:
    """Lines of code, and which names of `blocks.testing` they use."""

    lines: list[str]
    names: set[str]


@dataclass(frozen=True, slots=True)
class _Served:
    """The helper that cuts a page and its arguments, what in the body leads on, and parameters.

    `names` are other helpers, `following` is the code of what is called so.
    """

    cut: str
    arguments: tuple[str, ...] = ()
    leads: tuple[tuple[Path, str], ...] = ()
    params: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    headers: str = ""
    following: str = ""


def replica(plan: Blueprint) -> Written:
    """A function `replica(rows)` that returns the API; `tokens` is a second parameter for OAuth."""
    served = _served(plan.paginator, plan)
    check, made = guard(plan.auth)
    token = plan.auth.kind == "client-credentials"
    given = "rows: list[dict[str, Any]]" + (", tokens: Tokens" if token else "")
    body = _body([(plan.rows.path, "page.rows" if served.cut else "found"), *served.leads])
    whole = isinstance(body, dict)
    headed = ["body" if whole else str(body)]
    headed += [f"headers={served.headers}"] if served.headers else []
    members = [f"{expression(name)}: {_document(body[name])}" for name in body if whole]
    grant = 'api.post("/oauth/token", body=Tokens.FIELDS, guards=())(tokens.grant)'
    lines = [
        f"def replica({given}) -> Api:",
        '    """The API as its documentation has it, in small: to be changed with the source."""',
        f"    api = Api({made})",
        *([f"    {grant}"] if token else []),
        "",
        called(4, "@api.get(", [expression(plan.endpoint.path), *_declared(plan, served.params)]),
        "    def listing(call: Call) -> Answer:",
        *_since(plan),
        *([called(8, f"page = {served.cut}(", ["found", *served.arguments])] if served.cut else []),
        *([f"        following = {served.following}"] if served.following else []),
        *([called(8, "body = {", members, "}")] if whole else []),
        called(8, "return Answer(", headed),
        "",
        "    return api",
    ]
    return Written(lines, {"Answer", "Api", "Call", *check, served.cut, *served.names} - {""})


def guard(auth: Auth) -> tuple[set[str], str]:
    """The helpers that make the guard, and the code that does."""
    name = expression(auth.name)
    return {
        "bearer": ({"bearer"}, 'bearer("t0ken")'),
        "basic": ({"basic"}, 'basic("user", "passw0rd")'),
        "header-key": ({"header_key"}, f'header_key({name}, "k3y")'),
        "query-key": ({"query_key"}, f'query_key({name}, "k3y")'),
        "client-credentials": ({"Tokens"}, "tokens"),
        "none": (set(), ""),
    }[auth.kind]


def reach(path: Path) -> str:
    """The subscripts that lead to `path` in a record.

    >>> reach("fields.updated")
    '["fields"]["updated"]'
    """
    return "".join(f"[{expression(step)}]" for step in keys(path))


def _declared(plan: Blueprint, paging: tuple[str, ...]) -> list[str]:
    names = [name for name, _ in plan.endpoint.params]
    several = {f"{name}+" for name in names if names.count(name) > 1}
    if plan.rows.mark is not None and plan.rows.mark.param:
        names.append(plan.rows.mark.param)
    names = [f"{name}+" if f"{name}+" in several else name for name in [*names, *paging]]
    # A name that says something else in a declaration, with spaces or a star: any will do.
    odd = any(not name.removesuffix("+").isprintable() or set(name) & set(" *") for name in names)
    declared = "*" if odd else " ".join(dict.fromkeys(names))
    return [f"query={expression(declared)}"] if declared else []


def _since(plan: Blueprint) -> list[str]:
    mark = plan.rows.mark
    if mark is None or not mark.param:
        return ["        found = rows"]
    name = expression(mark.param)
    whole = not isinstance(mark.kind.write(bound(mark.start, mark.kind)), str)
    read = f"call.query.whole({name}, 0)" if whole else f'call.query.get({name}, "")'
    chosen = f"row for row in rows if row{reach(mark.path)} >= since"
    return [f"        since = {read}", called(8, "found = [", [chosen], "]", comma="")]


def _served(paginator: Paginator, plan: Blueprint) -> _Served:
    """What the paginator needs to find."""
    leads: tuple[tuple[Path, str], ...] = ()
    match paginator:
        case Until(inner, Flag(str() | list() as source, last=last)):
            paginator, leads = inner, ((source, "not page.more" if last else "page.more"),)
        case Until(inner, TotalPages(str() | list() as source, size=None)):
            paginator, leads = inner, ((source, "-(-page.total // 10)"),)
        case Until(inner, TotalRows(str() | list() as source)):
            paginator, leads = inner, ((source, "page.total"),)
    served = _told(paginator) or _counted(paginator, plan)
    if served is None:
        raise ConfigError(f"paging: expected one of a GET with a query, got {paginator!r}")
    return replace(served, leads=(*served.leads, *leads))


def _told(paginator: Paginator) -> _Served | None:
    """Where the answer says what is next."""
    match paginator:
        case SinglePage():
            return _Served("")
        case LinkHeader():
            return _Served(*_BY_NUMBER, (), ("page",), ("linked",), "linked(call, page)")
        case NextUrl(str() | list() as source):
            following = 'call.link({"page": page.next}) if page.more else None'
            return _Served(*_BY_NUMBER, ((source, "following"),), ("page",), following=following)
        case NextToken(str() | list() as source, str(name)):
            start = f"unwrap(call.query.get({expression(name)}), 0)"
            leads = ((source, "wrap(page.next)"),)
            return _Served("offset", (start, "10"), leads, (name,), ("unwrap", "wrap"))
    return None


def _counted(paginator: Paginator, plan: Blueprint) -> _Served | None:
    """Where the source counts by itself."""
    match paginator:
        case Keyset(_, key, str(name)):
            (column,) = keys(key)
            after = f"call.query.get({expression(name)})"
            if plan.rows.mark is not None and keys(plan.rows.mark.path) == (column,):
                after = f"call.query.whole({expression(name)}, 0) or None"
            keyed = () if column == "id" else (f"key={expression(column)}",)
            return _Served("keyed", (after, "10", *keyed), (), (name,))
        case PageNumber(str(name), start=start):
            first = () if start == 1 else (f"first={start}",)
            number = f"call.query.whole({expression(name)}, {start})"
            return _Served("numbered", (number, "10", *first), (), (name,))
        case Offset(_, offset_param=str(name), limit_param=str(limit), start=start):
            number = f"call.query.whole({expression(name)}, {start})"
            before = f" - {start}" if start else ""
            return _Served("offset", (f"{number}{before}", "10"), (), (name, limit))
    return None


_BY_NUMBER = ("numbered", ('call.query.whole("page", 1)', "10"))


def _body(members: list[tuple[Path, str]]) -> Any:
    """A document that has the code of each value at its path; or one such code alone."""
    root: Any = None
    for path, code in members:
        root = _placed(root, keys(path), code, path)
    return root


def _placed(inside: Any, steps: tuple[Any, ...], code: str, path: Path) -> Any:
    if not steps:
        if inside is not None:
            raise ConfigError(f"expected room for a value at {path!r}, got one above or below it")
        return code
    step, *more = steps
    if isinstance(step, Mapping):
        if inside is not None:
            raise ConfigError(f"expected room for a value at {path!r}, got one above it")
        members = {name: expression(value) for name, value in step.items()}
        return [_placed(members, tuple(more), code, path)]
    if not isinstance(step, str) or not (inside is None or isinstance(inside, dict)):
        raise ConfigError(f"expected room for a value at {path!r}, got one above it")
    return {**(inside or {}), step: _placed((inside or {}).get(step), tuple(more), code, path)}


def _document(value: Any) -> str:
    if isinstance(value, dict):
        inner = (f"{expression(name)}: {_document(value[name])}" for name in value)
        return f"{{{', '.join(inner)}}}"
    return f"[{_document(value[0])}]" if isinstance(value, list) else str(value)
