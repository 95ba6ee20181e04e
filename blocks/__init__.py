"""Small composable async primitives for people who write API sources for dlt.

Each module is one block, usable alone: `from blocks.paginators import LinkHeader`. The package
itself imports none of them, so that a block costs only what it needs.
"""

from __future__ import annotations

__version__ = "0.1.0"
