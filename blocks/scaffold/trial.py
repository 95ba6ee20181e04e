"""The trial: a test of the source, on a replica of its API, that passes as it is written."""

from __future__ import annotations

from blocks.json import keys
from blocks.kinds import Dates, Epoch, Kind
from blocks.scaffold.blueprint import Blueprint
from blocks.scaffold.expressions import called, expression
from blocks.scaffold.replica import reach, replica
from blocks.scaffold.source import column, imported

__all__ = ["trial"]


def trial(plan: Blueprint) -> str:
    """The text of the module `test_<plan.name>`."""
    made = replica(plan)
    testing = {"blocks.testing": {*made.names, "serving"}, "blocks.testing.trials": {"Trial"}}
    if plan.allowance is not None:
        testing["blocks.limits"] = {"Rate"}
    return "\n".join(
        [
            f'"""`{plan.name}` on trial: a replica of its API in the place of the API."""',
            "",
            "from __future__ import annotations",
            "",
            "from typing import Any",
            "",
            *(["import pytest"] if plan.allowance is not None else []),
            *imported(testing),
            "",
            f"from {plan.name} import {plan.name}",
            "",
            'pytest_plugins = ["blocks.testing.fixtures"]',
            "",
            "",
            *made.lines,
            "",
            "",
            *_row(plan),
            "",
            "",
            *_test(plan),
            "",
        ]
    )


def _row(plan: Blueprint) -> list[str]:
    """A function that makes record `number` as it is at a time, which is a number as well."""
    key, mark = plan.rows.key, plan.rows.mark
    single = _single(plan)
    members: dict[str, str] = {}
    if key is not None and not single:
        members[key] = 'f"id-{number}"'
    nested = ""
    if mark is not None:
        top, *more = (str(step) for step in keys(mark.path))
        nested = "number + 1" if single else _at(mark.kind)
        for step in reversed(more):
            nested = f"{{{expression(step)}: {nested}}}"
        members[top] = nested
    members[_note(plan)] = "at"
    written = [f"{expression(name)}: {code}" for name, code in members.items()]
    return [
        "def row(number: int, at: int) -> dict[str, Any]:",
        '    """Record `number` as of `at`, with what the source looks at."""',
        called(4, "return {", written, "}"),
    ]


def _test(plan: Blueprint) -> list[str]:
    name, note = plan.name, _note(plan)
    key, mark, auth = plan.rows.key, plan.rows.mark, plan.auth.kind
    limited = plan.allowance is not None
    given = ["trial: Trial", *(["monkeypatch: pytest.MonkeyPatch"] if limited else [])]
    compared = [(column([each]), each) for each in ([key, note] if key else [note])]
    cells = ", ".join(f"{expression(c)}: row[{expression(each)}]" for c, each in compared)
    arguments = {
        "bearer": ['token="t0ken"'],
        "basic": ['user="user"', 'password="passw0rd"'],
        "header-key": ['api_key="k3y"'],
        "query-key": ['api_key="k3y"'],
        "client-credentials": [
            'token_url=f"{server.url}/oauth/token"',
            'client_id="client"',
            'client_secret="s3cret"',
        ],
        "none": [],
    }[auth]
    token = auth == "client-credentials"
    served = ["rows", *(["tokens"] if token else [])]
    on_trial = ["server", "source", "expected", "change"]
    on_trial += ["expire=tokens.expire"] if token else []
    asks = mark is not None and bool(mark.param)
    changed = [] if _single(plan) else ["        rows[7] = row(7, at=25)"]
    lines = [
        called(0, f"def test_{name}(", given, ") -> None:"),
        '    """All is loaded, then what changed; errors are raised, faults survived."""',
        *([f'    monkeypatch.setattr("{name}.LIMIT", Rate(1000))'] if limited else []),
        "    rows = [row(number, at=number) for number in range(25)]",
        *(['    tokens = Tokens("client", "s3cret")'] if token else []),
        "",
        "    def source() -> Any:",
        called(8, f"return {name}(", ["server.url", *arguments]),
        "",
        "    def expected() -> dict[str, Any]:",
        called(8, "kept = [", [f"{{{cells}}} for row in rows"], "]", comma=""),
        f"        return {{{expression(plan.table)}: kept}}",
        "",
        "    def change() -> None:",
        *changed,
        "        rows.append(row(25, at=26))",
        "",
        f"    with serving(replica({', '.join(served)})) as server:",
        called(8, f"{'again = ' if asks else ''}trial(", on_trial),
    ]
    if asks and mark is not None:
        latest = f"row(24, at=24){reach(mark.path)}"
        param = expression(mark.param)
        lines.append(f"    asked = {{call.query.get({param}) for call in again}}")
        lines.append(f"    assert asked - {{None}} == {{str({latest})}}")
    return lines


def _single(plan: Blueprint) -> bool:
    """Whether the cursor is the key, so that records never change."""
    mark = plan.rows.mark
    return mark is not None and keys(mark.path) == (plan.rows.key,)


def _note(plan: Blueprint) -> str:
    """A column of no meaning, called as no other is."""
    mark = plan.rows.mark
    taken = {plan.rows.key, None if mark is None else keys(mark.path)[0]}
    return next(name for name in ("note", "remark", "comment") if name not in taken)


def _at(kind: Kind) -> str:
    """The code of a value that the API would have for the time `at`, 0 to 26."""
    if isinstance(kind, Dates):
        return 'f"2024-03-{at + 1:02}"'
    if isinstance(kind, Epoch):
        zeros = {"s": "", "ms": "_000", "us": "_000_000"}[kind.unit]
        return f"1_709_251_200{zeros} + at" + (f" * 1{zeros}" if zeros else "")
    if isinstance(kind.step, int):
        return "at"
    return 'f"2024-03-01T00:00:{at:02}Z"'
