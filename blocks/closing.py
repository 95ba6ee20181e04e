"""Closing: an asynchronous iterable, ended where it was begun.

Left to the garbage collector, a generator is closed in another task, where it cannot leave its task
groups and cancel scopes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from typing import TypeVar

__all__ = ["closing"]

T = TypeVar("T")


def closing(items: AsyncIterable[T]) -> AbstractAsyncContextManager[AsyncIterator[T]]:
    """The iterator over `items` for a block, closed after it if it is a generator.

    >>> import asyncio
    >>> async def letters():
    ...     try:
    ...         yield "a"
    ...     finally:
    ...         print("closed")
    >>> async def main():
    ...     async with closing(letters()) as each:
    ...         async for letter in each:
    ...             return letter
    >>> asyncio.run(main())
    closed
    'a'
    """
    each = aiter(items)
    return aclosing(each) if isinstance(each, AsyncGenerator) else nullcontext(each)
