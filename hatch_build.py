"""Compiles the modules in C when the package is built, if that can be done here.

The package works without it, only slower: no compiler or no headers of Python is a warning.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext

MODULES = {
    "blocks._layouts": "blocks/native/layouts.c",
    "blocks.normalize._builder": "blocks/normalize/native/builder.c",
}


class Hook(BuildHookInterface[Any]):
    """Puts the compiled modules in their places, where an editable install looks for them too."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Compile, and say that the wheel is then one for this platform."""
        extensions = [
            Extension(name, [str(Path(source))], optional=True) for name, source in MODULES.items()
        ]
        command = build_ext(Distribution({"ext_modules": extensions}))
        command.inplace = command.force = True
        with TemporaryDirectory() as folder:
            command.build_temp = command.build_lib = folder
            command.ensure_finalized()
            made = [Path(self.root, command.get_ext_filename(name)) for name in MODULES]
            for each in made:
                each.unlink(missing_ok=True)
            command.run()
        if any(each.exists() for each in made):
            build_data["infer_tag"] = True
            build_data["pure_python"] = False
