"""The README is a promise: every Python snippet in it runs."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from blocks.demo.server import Settings, serving
from tests.warehouse import Warehouse

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def test_snippets_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The snippets run in the order of the page, against a real API, and load what they say."""
    with serving(Settings(records=120, burst=1000)) as server:
        url = f"{server.url}/repos/{server.repository}/issues"
        module = ModuleType("readme")  # dlt looks a source's module up
        monkeypatch.setitem(sys.modules, "readme", module)
        names = vars(module) | {"url": url, "token": server.token}
        for snippet in SNIPPETS:
            exec(compile(snippet, "README.md", "exec"), names)
        warehouse = Warehouse(tmp_path)
        source = names["github"](server.repository, base_url=server.url, token=server.token)
        warehouse.run(source)
        assert warehouse.query("SELECT count(*) FROM issues") == [(server.counts()["issues"],)]
        api = names["client"](server.url, auth=names["Bearer"](server.token))
        Warehouse(tmp_path, "second").run(names["open_issues"](api, server.repository))
        assert {"open_issues", "users"} <= set(Warehouse(tmp_path, "second").tables())


@pytest.mark.parametrize("name", re.findall(r"\]\(([\w./]+)\)", README))
def test_links_lead_somewhere(name: str) -> None:
    """Files that the README points to exist."""
    assert (ROOT / name).exists()


def test_make_targets_exist() -> None:
    """The commands the README gives are those of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = re.findall(r"^make (\w+)", README, flags=re.MULTILINE)
    assert commands
    for command in commands:
        assert re.search(rf"^{command}:", makefile, flags=re.MULTILINE)
