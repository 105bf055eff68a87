"""Room `pipeline`: waiting for one thing unless another comes first. Touches asyncio and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, TypeVar

_END_SECONDS = 10.0

Result = TypeVar("Result")


async def first_of(end: Awaitable[Any], work: Awaitable[Result]) -> Result | None:
    """Return what `work` comes to, or None when `end` came first and `work` was cancelled."""
    working, ending = asyncio.ensure_future(work), asyncio.ensure_future(end)
    try:
        await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, ending):
            task.cancel()
        # A task that is cancelled runs on until it has let go of what it holds.
        await asyncio.wait({working, ending}, timeout=1.0)


def heed_cancellation() -> None:
    """Raise the cancellation that a library has kept for itself, as aiokafka's start and stop may.

    Raises:
        CancelledError: the current task was told to end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Return when `work` has ended, though the current task be told to end meanwhile: for what it does last.

    Args:
        work: Bounded in time by itself.
    """
    doing = asyncio.ensure_future(work)
    while not doing.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({doing})
    doing.result()


async def unless_ended(
    work: Coroutine[Any, Any, Result], *ends: Coroutine[Any, Any, None]
) -> Result:
    """Return what `work` returns, unless one of `ends` raises first.

    Raises:
        ServerFailedError: what `work` needs has ended by itself.
    """
    doing = asyncio.ensure_future(work)
    others: list[asyncio.Future[Any]] = [asyncio.ensure_future(end) for end in ends]
    try:
        await asyncio.wait({doing, *others}, return_when=asyncio.FIRST_COMPLETED)
        for other in others:
            if other.done():
                other.result()
        return await doing
    finally:
        await end_all([doing, *others])


async def end_all(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Cancel tasks and wait for them, in a bounded time."""
    for task in tasks:
        task.cancel()
    # A Kafka client may wait for ever for a broker that is gone.
    done, _ = await asyncio.wait(tasks, timeout=_END_SECONDS)
    await asyncio.gather(*done, return_exceptions=True)
