"""Waiting for one thing unless another comes first."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from completion_relay.first_of import heed_cancellation, to_its_end


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


async def test_what_is_done_last_is_done_to_its_end_however_often_it_is_told_to_end() -> None:
    is_begun, may_end, is_done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def last() -> None:
        is_begun.set()
        await may_end.wait()
        is_done.set()

    async def fails() -> None:
        try:
            int("the reason")
        except BaseException:
            await to_its_end(last())
            raise

    task = asyncio.create_task(fails())
    await is_begun.wait()
    for _ in range(2):
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=0)
        assert not done
    may_end.set()
    with pytest.raises(ValueError, match="the reason"):
        await task
    assert is_done.is_set()
