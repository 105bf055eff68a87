"""What is shown of a test that hangs."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator

from tests.waits import print_waits


@contextlib.asynccontextmanager
async def _context(reached: asyncio.Event) -> AsyncIterator[None]:
    await _innermost(reached)
    yield


async def _innermost(reached: asyncio.Event) -> None:
    reached.set()
    await asyncio.Event().wait()


async def test_a_task_is_shown_from_its_outermost_await_to_the_innermost() -> None:
    """Through an async generator too: a fixture is one, and so is a context."""

    async def outermost() -> None:
        async with _context(reached):
            pass

    reached = asyncio.Event()
    task = asyncio.create_task(outermost())
    await reached.wait()
    shown = io.StringIO()
    print_waits([task], file=shown)
    task.cancel()

    places = [line.rpartition(" in ")[2] for line in shown.getvalue().splitlines()[1:]]
    assert [place.rpartition(".")[2] for place in places] == [
        "outermost",
        "__aenter__",
        "_context",
        "_innermost",
        "wait",
    ]
