"""Normalization: from pages of JSON to the tables dlt would make of them, as Arrow.

    page -> reader (shape, plan) -> columns -> settle (dialect) -> tables

`Normalizer` is all that a user needs; the modules below are its steps, each a noun.
"""

from __future__ import annotations

from blocks.normalize.normalizer import Normalizer

__all__ = ["Normalizer"]
