"""Room `tests/bench`: so many a second, whatever becomes of the ones before. Touches asyncio's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tests.bench.errors import TooSlowError

_LATE_SECONDS = 0.5


async def paced(
    count: int, per_second: float, start: Callable[[int], Coroutine[Any, Any, None]]
) -> None:
    """Start `start(number)` at even times and wait for all of them.

    An open loop: a slow answer does not delay the next call, or the slow
    moments would be measured less often than the quick ones.

    Raises:
        TooSlowError: a start was late by more than half a second.
    """
    loop = asyncio.get_running_loop()
    begin = loop.time()
    started = 0
    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            due = begin + number / per_second
            late = loop.time() - due
            if late < 0:
                await asyncio.sleep(-late)
            elif late > _LATE_SECONDS:
                break
            tasks.create_task(start(number))
            started = number + 1
    if started < count:
        raise TooSlowError(
            f"call {started + 1} of {count} was {_LATE_SECONDS:g} s late for {per_second:g} a "
            "second: give the bench a machine with less to do"
        )
