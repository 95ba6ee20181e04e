"""Files: a source, its test and its project, written where nothing is."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from blocks.errors import ConfigError
from blocks.scaffold.blueprint import Blueprint
from blocks.scaffold.names import check
from blocks.scaffold.source import secrets, source
from blocks.scaffold.trial import trial

__all__ = ["project", "vacant", "write"]


def write(plan: Blueprint, folder: Path) -> str:
    """Write `plan` into `folder`; return what there is now, and what to do with it.

    A `pyproject.toml` is written where there is none; else what belongs into it is told. Raises
    `ConfigError` before anything is written if a file is there already, or the name is taken.
    """
    vacant(plan.name, folder)
    files = {f"{plan.name}.py": source(plan), f"test_{plan.name}.py": trial(plan)}
    for name, text in files.items():
        _compiled(text, name)
    has_project = (folder / "pyproject.toml").exists()
    if not has_project:
        files["pyproject.toml"] = project(plan)
    for name, text in files.items():
        with (folder / name).open("x", encoding="utf-8") as file:
            file.write(text)
    told = [f"Wrote {', '.join(files)}."]
    if has_project:
        told += ["", "For the pyproject.toml that is there:", "", _indented(project(plan))]
    told += ["", f"Try it:   pytest test_{plan.name}.py"]
    for name in secrets(plan):
        place = f"SOURCES__{plan.name}__{name}".upper()
        told.append(
            f"Secret:   {name} below [sources.{plan.name}] in .dlt/secrets.toml, or {place}"
        )
    run = f'dlt.pipeline("{plan.name}", destination="duckdb").run({plan.name}())'
    told.append(f"Load:     {run}")
    return "\n".join(told)


def vacant(name: str, folder: Path) -> None:
    """Raise `ConfigError` if `name` will not do, or a module or file of that name is there."""
    check(name)
    for file in (f"{name}.py", f"test_{name}.py"):
        if (folder / file).exists():
            raise ConfigError(f"name: expected one that is free, got {file}, which is there")
    if importlib.util.find_spec(name) is not None:
        raise ConfigError(f"name: expected one that is free, got that of a module, {name!r}")


def _compiled(text: str, name: str) -> None:
    """Raise `ConfigError` unless `text` is Python. It is not run."""
    try:
        compile(text, name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):  # pragma: no cover - not known how
        raise ConfigError(f"{name}: expected Python, got other text; nothing was written") from None


def project(plan: Blueprint) -> str:
    """What belongs into `pyproject.toml`."""
    return f"""\
[project]
name = "{plan.name}"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["dlt-blocks"]

[project.optional-dependencies]
test = ["pytest>=8"]

[tool.setuptools]
py-modules = ["{plan.name}"]

[tool.pytest.ini_options]
pythonpath = ["."]
"""


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines())
