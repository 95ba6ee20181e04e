"""The lines of the table: so many cells of a kind, and what went wrong in them."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Line"]


@dataclass
class Line:
    """A kind of cell: how many there were, and what leaked, was lost or was let pass."""

    kind: str
    cells: int = 0
    leaks: list[str] = field(default_factory=list)
    said: str = ""  # figures beside

    def leak(self, what: str) -> None:
        """Note what must not be."""
        self.leaks.append(what)
