"""The guide to testing is a promise: its files run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

GUIDE = Path(__file__).parent.parent / "cookbook" / "testing.md"
FILES = r"^```python\n# (\w+\.py)\n(.*?)^```$"


def test_files_run(tmp_path: Path) -> None:
    """What a user writes down from the guide are tests that pass, warnings being errors."""
    guide = GUIDE.read_text(encoding="utf-8")
    files = dict(re.findall(FILES, guide, flags=re.MULTILINE | re.DOTALL))
    assert len(files) == guide.count("```python")
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    options = ["-q", "-p", "no:cacheprovider", "-W", "error", "--basetemp", "temporary"]
    command = [sys.executable, "-m", "pytest", *options]
    child = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert child.returncode == 0, child.stdout
    assert "4 passed" in child.stdout
