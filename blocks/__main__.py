"""Commands: `demo` goes from a local API to DuckDB; `probe` looks at an API, `new` writes a source.

`python -m blocks COMMAND --help` has their options.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from pathlib import Path

from blocks.errors import BlocksError
from blocks.scaffold.new import add_new
from blocks.scaffold.probe import add_probe

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command that `arguments` name; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m blocks", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    demo = commands.add_parser("demo", help="load a local API into DuckDB, twice, and compare")
    demo.add_argument("--records", type=int, default=20_000, help="issues to serve (20000)")
    demo.add_argument("--seed", type=int, default=1, help="what the issues are generated from (1)")
    demo.add_argument("--keep", type=Path, metavar="DIR", help="leave the DuckDB file there")
    add_new(commands)
    add_probe(commands)
    options = parser.parse_args(arguments)
    if "run" in options:
        return _tell(options)
    if options.records < 1:
        parser.error("--records must be at least 1")
    if options.keep and (options.keep / "demo.duckdb").exists():
        parser.error(f"{options.keep} holds an earlier demo; name another directory")

    # Before dlt is imported. It would warn of four columns that nobody fills in this API.
    os.environ.setdefault("RUNTIME__LOG_LEVEL", "ERROR")
    os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
    try:
        from blocks.demo.run import run  # loads dlt: not for --help
    except ModuleNotFoundError as error:  # pragma: no cover - without the extra
        parser.error(f"{error}; install the extra: pip install 'dlt-blocks[demo]'")
    with contextlib.ExitStack() as stack:
        if options.keep:
            folder = options.keep.resolve()
            folder.mkdir(parents=True, exist_ok=True)
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="blocks-demo-")))
        try:
            passed = run(options.records, options.seed, folder)
        except KeyboardInterrupt:
            print("Interrupted", file=sys.stderr)
            return 130
    if options.keep:
        print(f"The tables are in schema github of {folder / 'demo.duckdb'}")
    return 0 if passed else 1


def _tell(options: argparse.Namespace) -> int:
    try:
        text, status = options.run(options)
    except (BlocksError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (EOFError, KeyboardInterrupt):
        print("Interrupted", file=sys.stderr)
        return 130
    print(text)
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
