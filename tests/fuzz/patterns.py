"""The regular expressions of this package, for a tool that looks for slow ones.

    python -m tests.fuzz.patterns blocks

Asks `regexploit` about each text given to a function of `re`, and about each text that one is put
together of; exits 1 if any can be made to backtrack. Possessive quantifiers, which it cannot read,
are given to it as greedy ones: what cannot be exploited so cannot be exploited either way.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

_ASKED = {"compile", "search", "match", "fullmatch", "sub", "split", "findall", "finditer"}


def patterns(folder: Path) -> Iterator[tuple[str, str]]:
    """Where each stands, and its text; what is put in by a format is a letter."""
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "re"
                and node.func.attr in _ASKED
            ):
                text = _text(node.args[0])
                if text is not None:
                    yield f"{file}:{node.lineno}", text


def _text(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant):
        value = node.value
        return value.decode("latin-1") if isinstance(value, bytes) else str(value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(each) or "x" for each in node.values)
    return None


def main(folder: str) -> int:
    """Print what was found; the exit status."""
    from regexploit.ast.sre import SreOpParser  # type: ignore[import-not-found,unused-ignore]
    from regexploit.redos import find  # type: ignore[import-not-found,unused-ignore]

    found = asked = 0
    for place, text in patterns(Path(folder)):
        greedy = re.sub(r"(?<!\\)([*+?}])\+", r"\1", text)
        asked += 1
        for danger in find(SreOpParser().parse_sre(greedy, 0)):
            if danger.starriness > 2:
                found += 1
                print(f"{place}: {text}\n{danger}")  # noqa: T201
    print(f"{asked} patterns, {found} that can be made to backtrack")  # noqa: T201
    return min(found, 1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
