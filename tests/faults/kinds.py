"""The kinds of faults, by number: each draws a case from chance.

Number 23, `kill -9` at every point of a load, has a world of its own: `tests.kills`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from tests.faults import answers, around, contents, listings, marks, tokens, wire
from tests.faults.cases import Case

__all__ = ["KINDS"]

_MODULES = (wire, answers, contents, tokens, listings, marks, around)
_FOUND = {number: draw for module in _MODULES for number, draw in module.KINDS.items()}

KINDS: Mapping[int, Callable[[Random], Case]] = dict(sorted(_FOUND.items()))
