"""The module in C, or `None` where there was no C compiler or no headers of Python for it.

All that it does is done without it too, slower.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["compiled"]

compiled: Any
try:
    compiled = import_module("blocks.normalize._builder")
except ImportError:
    compiled = None
