"""The guide to `new` and `probe`: its commands say what it says they do."""

from __future__ import annotations

import io
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from blocks.__main__ import main
from blocks.testing import Answer, Api, Call, bearer, keyed, serving

GUIDE = Path(__file__).parent.parent / "cookbook" / "scaffold.md"
ADDRESS = "127.0.0.1:8000"


def shop() -> Api:
    """What the guide looks at: keysets with a flag, and a rate that is half told."""
    rows = [{"id": f"o{n}", "updated_at": f"2024-03-01T00:00:{n}Z"} for n in range(10, 35)]
    api = Api(bearer("t0ken"))

    @api.get("/v1/orders", query="limit starting_after")
    def orders(call: Call) -> Answer:
        size = call.query.whole("limit", 100, least=1, most=100)
        page = keyed(rows, call.query.get("starting_after"), size)
        told = {"X-RateLimit-Limit": "600", "X-RateLimit-Reset": "30"}
        return Answer({"has_more": page.more, "data": page.rows}, headers=told)

    return api


def test_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each prints what stands below it, and the source shown is the one that is written."""
    text = GUIDE.read_text(encoding="utf-8")
    (written,) = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    shown = re.compile(r"^```console\n\$ (.*?)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
    sessions = shown.findall(text)
    assert len(sessions) == 2
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("API_TOKEN", "t0ken")
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with serving(shop()) as server:
        here = server.url.removeprefix("http://")
        for command, expected in sessions:
            python, option, module, *arguments = shlex.split(command.replace(ADDRESS, here))
            assert (python, option, module) == ("python", "-m", "blocks")
            assert main(arguments) == 0
            assert capsys.readouterr().out.replace(here, ADDRESS) == expected
    found: Any = (tmp_path / "shop.py").read_text(encoding="utf-8")
    assert found.replace(here, ADDRESS) == written


def test_links_lead_somewhere() -> None:
    """Files that the guide points to exist."""
    for name in re.findall(r"\]\(([\w./]+)\)", GUIDE.read_text(encoding="utf-8")):
        assert (GUIDE.parent / name).exists()
