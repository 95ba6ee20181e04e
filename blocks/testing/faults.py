"""Faults: what goes wrong with an answer, for `blocks.testing.server.Server.fail`.

A fault is any function from what would answer the call to the answer it gets instead: one that
never calls it has kept the replica from acting, as an overloaded server does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from blocks.testing.calls import Answer

__all__ = ["Fault", "cut", "drip", "garbled", "html", "late", "reset"]

Act: TypeAlias = Callable[[], Answer]
Fault: TypeAlias = Callable[[Act], Answer]


def html(act: Act) -> Answer:  # noqa: ARG001
    """A page for people, with status 200, as proxies and login walls send."""
    page = b"<!doctype html><title>Back soon</title><h1>Back soon</h1>"
    return Answer(page, headers={"Content-Type": "text/html"})


def garbled(act: Act) -> Answer:
    """The answer with the second half of its body gone, as if it were all: no valid JSON."""
    answer = act()
    body = answer.encoded()
    return replace(answer, body=body[: len(body) // 2])


def cut(act: Act) -> Answer:
    """The answer until half of its body, then the end of the connection."""
    return replace(act(), end="cut")


def reset(act: Act) -> Answer:
    """The end of the connection in the place of an answer, once the replica has acted."""
    return replace(act(), end="reset")


def late(seconds: float) -> Fault:
    """The answer after so many seconds."""
    return lambda act: replace(act(), delay=seconds)


def drip(seconds: float) -> Fault:
    """The answer in ten parts, so many seconds apart."""
    return lambda act: replace(act(), drip=seconds)
