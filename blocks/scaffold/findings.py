"""Findings: what a probe knows, by which evidence; or between what it cannot decide."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["Finding", "report"]


@dataclass(frozen=True, slots=True)
class Finding:
    """About `topic`: that it is `value`, as `why` says; or not `sure`, and what to do.

    `code` is the value as Python, `options` are what else it could be. Names of an answer may be
    in it, as literals, but nothing of its records.
    """

    topic: str
    value: Any = None
    why: tuple[str, ...] = ()
    code: str = ""
    sure: bool = True
    options: tuple[str, ...] = ()
    advice: str = ""


def report(findings: Iterable[Finding]) -> str:
    """A paragraph for each finding."""
    paragraphs = []
    for found in findings:
        lines = [f"{found.topic:<9}{found.code if found.sure else 'not sure'}"]
        lines += [*found.why, *(f"could be {each}" for each in found.options)]
        lines += [f"try {found.advice}"] if found.advice else []
        paragraphs.append("\n         ".join(lines))
    return "\n\n".join(paragraphs)
