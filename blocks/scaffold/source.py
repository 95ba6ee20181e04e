"""The source: a module of Python made of a blueprint, in the form of the recipes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from blocks.json import Path, keys
from blocks.kinds import kind_for
from blocks.paginators import Paginator
from blocks.scaffold.blueprint import Allowance, Blueprint, Mark
from blocks.scaffold.expressions import called, expression, imports, tidy

__all__ = [
    "column",
    "cursor_arguments",
    "imported",
    "imports_of",
    "parameters",
    "rate_arguments",
    "secrets",
    "source",
]


def source(plan: Blueprint) -> str:
    """The text of the module `plan.name`, with a source of the same name in it."""
    host = tidy(plan.endpoint.base_url.partition("://")[2])
    told = ", ".join(f"`sources.{plan.name}.{name}`" for name in secrets(plan))
    lines = [
        f'"""Loads `{plan.table}` from {host}.' + ("" if told else '"""'),
        *(["", f"dlt's secrets: {told}.", '"""'] if told else []),
        "",
        "from __future__ import annotations",
        "",
        "from collections.abc import Iterator",
        "from typing import Any",
        "",
        "import dlt",
        *imported(_imports(plan)),
        "",
    ]
    if plan.allowance is not None:
        lines += [
            "# One for the process: all who use the credentials share it.",
            called(0, "LIMIT = Rate(", rate_arguments(plan.allowance)),
            "",
        ]
    lines += ["", "@dlt.source", called(0, f"def {plan.name}(", parameters(plan), ") -> Any:")]
    lines += [_client(plan), "", *_resource(plan), "", f"    return {plan.table}", ""]
    return "\n".join(lines)


def secrets(plan: Blueprint) -> list[str]:
    """The parameters of the source that dlt takes from its secrets."""
    return {
        "bearer": ["token"],
        "basic": ["user", "password"],
        "header-key": ["api_key"],
        "query-key": ["api_key"],
        "client-credentials": ["client_id", "client_secret"],
        "none": [],
    }[plan.auth.kind]


def parameters(plan: Blueprint) -> list[str]:
    """The parameters of the source, with their defaults."""
    given = [f"base_url: str = {expression(plan.endpoint.base_url)}"]
    if plan.auth.kind == "client-credentials":
        given.append(f"token_url: str = {expression(plan.auth.token_url)}")
    return given + [f"{name}: str = dlt.secrets.value" for name in secrets(plan)]


def column(path: Path) -> str:
    """What dlt's tables call the value at `path` of a record.

    >>> column("updated_at"), column("fields.lastUpdated")
    ('updated_at', 'fields__last_updated')
    """
    steps = [str(step) for step in keys(path)]
    if all(re.fullmatch(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*", step) for step in steps):
        return "__".join(steps)
    from dlt.common.normalizers.naming.snake_case import NamingConvention  # a second, rarely

    naming = NamingConvention()
    return str(naming.make_path(*map(naming.normalize_identifier, steps)))


def imported(names: Mapping[str, Iterable[str]]) -> list[str]:
    """Import statements, sorted as linters want them."""
    found = []
    for module in sorted(names):
        ordered = sorted(names[module], key=lambda name: (name[0].islower(), name))
        head = f"from {module} import "
        line = called(0, head, ordered, "")
        found.append(line if "\n" not in line else called(0, f"{head}(", ordered))
    return found


def imports_of(
    paginator: Paginator | None, mark: Mark | None, allowance: Allowance | None
) -> dict[str, set[str]]:
    """What the code of these names, by its module."""
    kind = None if mark is None or mark.kind == kind_for(mark.start) else mark.kind
    names = imports([paginator, kind, None if allowance is None else allowance.quotas])
    if mark is not None:
        names.setdefault("blocks.dlt", set()).add("cursor")
    if allowance is not None:
        names.setdefault("blocks.limits", set()).add("Rate")
    return names


def cursor_arguments(mark: Mark) -> list[str]:
    """The arguments of `blocks.dlt.cursor`."""
    kind = [] if mark.kind == kind_for(mark.start) else [f"kind={expression(mark.kind)}"]
    return [expression(column(mark.path)), f"start={expression(mark.start)}", *kind]


def rate_arguments(allowance: Allowance) -> list[str]:
    """The arguments of `blocks.limits.Rate`."""
    per = int(allowance.per) if allowance.per == int(allowance.per) else allowance.per
    quotas = [] if allowance.quotas is None else [f"quotas={expression(allowance.quotas)}"]
    return [expression(allowance.count), f"per={per}", *quotas]


_AUTHS = {
    "bearer": ("blocks.auth", "Bearer"),
    "basic": ("blocks.auth", "Basic"),
    "header-key": ("blocks.auth", "HeaderKey"),
    "query-key": ("blocks.auth", "QueryKey"),
    "client-credentials": ("blocks.oauth", "ClientCredentials"),
}


def _imports(plan: Blueprint) -> dict[str, set[str]]:
    names = imports_of(plan.paginator, plan.rows.mark, plan.allowance)
    for module, name in (
        ("blocks.client", "client"),
        ("blocks.dlt", "load"),
        ("blocks.fetch", "pages"),
        ("blocks.network", "prefetch"),
        *([_AUTHS[plan.auth.kind]] if plan.auth.kind in _AUTHS else []),
    ):
        names.setdefault(module, set()).add(name)
    return names


def _client(plan: Blueprint) -> str:
    arguments = ["base_url"]
    if plan.auth.kind in _AUTHS:
        given = secrets(plan)
        if plan.auth.kind == "client-credentials":
            given = ["token_url", *given]
        if plan.auth.name:
            given = [*given, f"name={expression(plan.auth.name)}"]
        arguments.append(f"auth={_AUTHS[plan.auth.kind][1]}({', '.join(given)})")
    if plan.allowance is not None:
        arguments.append("limit=LIMIT")
    if plan.endpoint.headers:
        arguments.append(f"headers={expression(plan.endpoint.headers)}")
    return called(4, "api = client(", arguments)


def _resource(plan: Blueprint) -> list[str]:
    mark, key = plan.rows.mark, plan.rows.key
    keyed = [f"primary_key={expression(column([key]))}"] if key else []
    written = [*keyed, f'write_disposition="{"merge" if key else "replace"}"']
    lines = [
        called(4, "@dlt.resource(", written),
        f"    def {plan.table}() -> Iterator[Any]:",
    ]
    since = "" if mark is None else mark.param
    asked = [
        (expression(name), expression(value))
        for name, value in plan.endpoint.params
        if name != since
    ]
    taken = ["found"]
    if mark is not None:
        lines.append(called(8, "updated = cursor(", cursor_arguments(mark)))
        taken.append("updated")
    if since:
        asked.append((expression(since), "updated.since"))
    if plan.rows.path:
        taken.append(f"path={expression(plan.rows.path)}")
    if mark is not None and not since:
        taken.append("where=updated.within")
    request = ['"GET"', expression(plan.endpoint.path)]
    if asked:
        lines.append(_params(asked))
        request.append("params=params")
    return [
        *lines,
        called(8, "first = api.build_request(", request),
        called(8, "found = prefetch(", [f"pages(api, first, {expression(plan.paginator)})"]),
        called(8, "yield from load(", taken),
    ]


def _params(asked: list[tuple[str, str]]) -> str:
    if len({name for name, _ in asked}) == len(asked):
        return called(8, "params = {", [f"{name}: {value}" for name, value in asked], "}")
    return called(
        8, "params: list[tuple[str, Any]] = [", [f"({name}, {value})" for name, value in asked], "]"
    )
