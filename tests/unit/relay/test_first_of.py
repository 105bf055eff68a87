"""Waiting for one thing unless another comes first."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from completion_relay.first_of import heed_cancellation


async def test_a_cancellation_that_a_library_kept_for_itself_is_heeded() -> None:
    is_begun = asyncio.Event()

    async def keeps_it() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            is_begun.set()
            await asyncio.Event().wait()
        heed_cancellation()

    task = asyncio.create_task(keeps_it())
    await is_begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_task_that_nobody_cancelled_goes_on() -> None:
    heed_cancellation()
