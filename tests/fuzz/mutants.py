"""How many small faults in a module its own tests find.

    python -m tests.fuzz.mutants blocks/turns.py tests/test_turns.py --most 80

Each mutant is the module with one change of its syntax tree. It lives in a forked child alone,
which imports it in place of the file, so that no file is written and what the tests import is
loaded once. Prints those that no test noticed, and the share of those that one did.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import importlib.abc
import importlib.util
import io
import os
import random
import resource
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

_COMPARED: dict[type[ast.cmpop], list[type[ast.cmpop]]] = {
    ast.Lt: [ast.LtE, ast.GtE],
    ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.LtE],
    ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_CALLED = {"min": "max", "max": "min", "any": "all", "all": "any", "append": "remove"}
# Loaded before the children are: what tests import, and none of ours.
_LOADED = (
    *("pytest", "hypothesis.strategies", "time_machine", "trustme"),
    *("httpx", "anyio", "trio", "aiohttp", "yarl"),
    *("msgspec", "orjson", "pyarrow.compute", "pyarrow.dataset", "duckdb"),
)
# For people: no test holds their words, so none need notice.
_WORDS = {
    "__repr__",
    "__str__",
    "Raise",
    "JoinedStr",
    "message",
    "got",
    "reason",
    "place",
    "warning",
}


def changed(node: ast.AST) -> Iterator[ast.AST]:  # noqa: C901, PLR0912 - one case a kind
    """What may stand in place of `node` to make another program."""
    if isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            for other in _COMPARED[type(operator)]:
                made = copy.copy(node)
                made.ops = [*node.ops[:index], other(), *node.ops[index + 1 :]]
                yield made
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        for index in range(len(node.values)):
            rest = [*node.values[:index], *node.values[index + 1 :]]
            yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
    elif isinstance(node, ast.BinOp) and type(node.op) in _COMPUTED:
        yield ast.BinOp(node.left, _COMPUTED[type(node.op)](), node.right)
    elif isinstance(node, ast.AugAssign) and type(node.op) in _COMPUTED:
        yield ast.AugAssign(node.target, _COMPUTED[type(node.op)](), node.value)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield node.operand
    elif isinstance(node, ast.Constant):
        yield from map(ast.Constant, _values(node.value))
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        turned = copy.copy(node)
        turned.test = ast.UnaryOp(ast.Not(), node.test)
        yield turned
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CALLED:
        yield ast.Call(ast.Name(_CALLED[node.func.id], ast.Load()), node.args, node.keywords)
    elif isinstance(node, ast.Return) and ast.unparse(node) not in {"return", "return None"}:
        yield ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Break):
        yield ast.Continue()
    elif isinstance(node, ast.Continue):
        yield ast.Break()
    elif isinstance(node, ast.Expr | ast.Assign | ast.Raise) and not (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant | ast.Yield)
    ):
        yield ast.Pass()


def _values(value: object) -> list[int | float | str | bytes | bool | None]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1]
    if isinstance(value, str):
        return [value + "x"]
    return [value + b"x"] if isinstance(value, bytes) else []


def sites(tree: ast.Module) -> Iterator[tuple[list[tuple[str, int | None]], ast.AST]]:
    """Each node that computes something, with the way to it: fields and places in them."""

    def walk(
        node: ast.AST, way: list[tuple[str, int | None]]
    ) -> Iterator[tuple[list[tuple[str, int | None]], ast.AST]]:
        yield way, node
        for name, field in ast.iter_fields(node):
            if name in {"annotation", "returns", "decorator_list", "bases"}:
                continue
            for index, child in enumerate(field) if isinstance(field, list) else [(None, field)]:
                if isinstance(child, ast.AST) and not _for_people(child):
                    yield from walk(child, [*way, (name, index)])

    for index, statement in enumerate(tree.body):
        typing = isinstance(statement, ast.Import | ast.ImportFrom | ast.AnnAssign) or (
            isinstance(statement, ast.Assign)
            and ast.unparse(statement.value).startswith("TypeVar(")
        )
        if (
            not typing
            and not _for_people(statement)
            and not _named(statement, "__all__", "logger", "TYPE_CHECKING")
        ):
            yield from walk(statement, [("body", index)])


def _named(node: ast.AST, *names: str) -> bool:
    found = node.test if isinstance(node, ast.If) else None
    if isinstance(node, ast.Assign):
        found = node.targets[0]
    return isinstance(found, ast.Name) and found.id in names


def _for_people(node: ast.AST) -> bool:
    if isinstance(node, ast.FunctionDef):
        return node.name in _WORDS
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, ast.Expr) and ast.unparse(node).startswith("logger."):
        return True
    return type(node).__name__ in _WORDS or _named(node, *_WORDS, "__slots__")


def mutants(path: Path) -> list[tuple[str, ast.Module]]:
    """All of them: what was changed, and the changed tree."""
    tree = ast.parse(path.read_text())
    found = []
    for way, node in sites(tree):
        for other in changed(node):
            made = copy.deepcopy(tree)
            holder: ast.AST = made
            for name, index in way[:-1]:
                field = getattr(holder, name)
                holder = field if index is None else field[index]
            name, index = way[-1]
            if index is None:
                setattr(holder, name, copy.deepcopy(other))
            else:
                getattr(holder, name)[index] = copy.deepcopy(other)
            line = getattr(node, "lineno", 0)
            before, after = (ast.unparse(each).split("\n")[0] for each in (node, other))
            found.append((f"{path}:{line}: {before}  ->  {after}", ast.fix_missing_locations(made)))
    return found


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Puts a changed module in place of the one of that name."""

    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        self._name, self._path, self._code = name, path, code

    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        """The changed one, when it is asked for."""
        if name != self._name:
            return None
        return importlib.util.spec_from_file_location(name, self._path, loader=self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """The usual one."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run the changed code in it."""
        exec(self._code, module.__dict__)


def noticed(path: Path, tree: ast.Module | None, tests: Sequence[str], seconds: int) -> bool:
    """Whether any of `tests` fails, or none ends in so many seconds, with `tree` for a module."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        status = 1
        try:
            if tree is not None:
                name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
                sys.meta_path.insert(0, _Finder(name, path, compile(tree, str(path), "exec")))
            status = _tested(tests, seconds)
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return status != 0


def _tested(tests: Sequence[str], seconds: int) -> int:
    import pytest

    silent = open(os.devnull, "w")  # noqa: PTH123, SIM115
    os.dup2(silent.fileno(), 1)
    os.dup2(silent.fileno(), 2)
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        # Loaded before pytest could rewrite their asserts, which are not ours.
        early = "ignore::pytest.PytestAssertRewriteWarning"
        # On the wall, where a machine with other work may be slow: an endless wait, not a loop.
        late = [f"--timeout={6 * seconds}", "--timeout-method=thread"]
        # Those that the tests need: looking for all takes as long as many a test.
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        named = ("no:cacheprovider", "anyio", "timeout", "hypothesispytest")
        options = ["-xq", "-W", early, *(f"-p{name}" for name in named), *late]
        return int(pytest.main([*tests, *options], plugins=[_Quick()]))


class _Quick:
    """Plain tests first, and no search for the smallest example: a failure is all that counts."""

    def pytest_configure(self) -> None:
        """After the tests' own settings."""
        from hypothesis import Phase, settings

        phases = (Phase.explicit, Phase.generate)
        settings.register_profile("mutants", settings(), phases=phases)
        settings.load_profile("mutants")

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Those of many examples last."""
        items.sort(key=lambda item: item.get_closest_marker("hypothesis") is not None)


def main(arguments: Sequence[str] | None = None) -> float:
    """Run, print, and return the share that was noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.mutants")
    parser.add_argument("module", type=Path)
    parser.add_argument("tests", nargs="+")
    parser.add_argument("--most", type=int, default=80)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="text of the mutants to run")
    given = parser.parse_args(arguments)
    for name in _LOADED:
        importlib.import_module(name)
    if noticed(given.module, None, given.tests, given.seconds):
        raise SystemExit(f"expected {given.tests} to pass as things are")
    found = [each for each in mutants(given.module) if given.only in each[0]]
    drawn = random.Random(given.seed).sample(found, min(given.most, len(found)))
    left = []
    for text, tree in drawn:
        if not noticed(given.module, tree, given.tests, given.seconds):
            left.append(text)
            print(text, flush=True)  # noqa: T201
    share = 1 - len(left) / len(drawn) if drawn else 1.0
    noted = f"{len(drawn) - len(left)} of {len(drawn)} noticed, {share:.0%}"
    print(f"{given.module}: {noted} ({len(found)} in all)", flush=True)  # noqa: T201
    return share


if __name__ == "__main__":
    main()
