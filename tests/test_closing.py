"""What was begun in a task is ended there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from blocks.closing import closing


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_generator_is_closed_with_its_block(anyio_backend: str) -> None:
    """At once and in the same task, so that it leaves what it has entered."""
    tasks = [anyio.get_current_task().id]

    async def items() -> AsyncIterator[int]:
        with anyio.CancelScope():
            try:
                yield 1
            finally:
                tasks.append(anyio.get_current_task().id)

    async with closing(items()) as each:
        async for item in each:
            assert item == 1
            break
    first, last = tasks
    assert first == last


@pytest.mark.anyio
async def test_other_iterables_are_left_as_they_are() -> None:
    """There is nothing to close: who comes later goes on."""

    class Numbers:
        def __init__(self) -> None:
            self.last = 0

        def __aiter__(self) -> Numbers:
            return self

        async def __anext__(self) -> int:
            self.last += 1
            return self.last

    numbers = Numbers()
    async with closing(numbers) as each:
        assert await anext(each) == 1
    async with closing(numbers) as each:
        assert await anext(each) == 2
