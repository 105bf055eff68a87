"""Events of one activity in order, different activities side by side."""

from __future__ import annotations

import asyncio
import contextlib

from completion_relay.lanes import Lane, Lanes, Work
from completion_relay.place import LetGoError

PLENTY = 60.0
"""Seconds that no test needs."""


def note(done: list[str], what: str) -> Work:
    async def work(_: Lane) -> None:
        done.append(what)

    return work


def note_after(gate: asyncio.Event, done: list[str], what: str) -> Work:
    async def work(_: Lane) -> None:
        await gate.wait()
        done.append(what)

    return work


async def test_a_lane_keeps_its_order() -> None:
    lanes, gate, done = Lanes(), asyncio.Event(), list[str]()
    lanes.submit("a", note_after(gate, done, "first"))
    lanes.submit("a", note(done, "second"))
    lanes.submit("a", note(done, "third"))
    gate.set()
    assert await lanes.drain(PLENTY)
    assert done == ["first", "second", "third"]


async def test_a_lane_that_waits_holds_up_its_own_and_no_other() -> None:
    lanes, gate, done = Lanes(), asyncio.Event(), list[str]()
    other_is_done = asyncio.Event()
    lanes.submit("a", note_after(gate, done, "a, first"))
    lanes.submit("a", note(done, "a, second"))

    async def other(_: Lane) -> None:
        done.append("b")
        other_is_done.set()

    lanes.submit("b", other)
    async with asyncio.timeout(PLENTY):
        await other_is_done.wait()
    assert done == ["b"]
    gate.set()
    assert await lanes.drain(PLENTY)
    assert done == ["b", "a, first", "a, second"]


async def test_work_that_comes_while_its_lane_is_at_work_is_last() -> None:
    lanes, done = Lanes(), list[str]()

    async def first(_: Lane) -> None:
        lanes.submit("a", note(done, "second"))
        done.append("first")

    lanes.submit("a", first)
    assert await lanes.drain(PLENTY)
    assert done == ["first", "second"]


async def test_nothing_at_all_is_drained_at_once() -> None:
    assert await Lanes().drain(0.0)


async def test_what_is_late_is_cancelled_and_what_was_behind_it_is_not_begun() -> None:
    lanes, never, done = Lanes(), asyncio.Event(), list[str]()
    is_begun = asyncio.Event()

    async def late(_: Lane) -> None:
        is_begun.set()
        try:
            await never.wait()
        except asyncio.CancelledError:
            done.append("cancelled")
            raise

    lanes.submit("a", late)
    lanes.submit("a", note(done, "behind it"))
    lanes.submit("b", note(done, "in time"))
    async with asyncio.timeout(PLENTY):
        await is_begun.wait()
    async with asyncio.timeout(PLENTY):
        assert not await lanes.drain(0.0)
    assert sorted(done) == ["cancelled", "in time"]
    assert len(lanes) == 0


async def test_what_is_behind_one_that_came_to_an_end_when_it_was_cancelled_is_not_begun() -> None:
    """It said what its call may still do; the next one might wait, and the drain for it."""
    lanes, done, is_begun = Lanes(), list[str](), asyncio.Event()

    async def says_so(_: Lane) -> None:
        is_begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        done.append("said")

    lanes.submit("a", says_so)
    lanes.submit("a", note_after(asyncio.Event(), done, "behind it"))
    async with asyncio.timeout(PLENTY):
        await is_begun.wait()
        assert not await lanes.drain(0.0)
    assert done == ["said"]
    assert len(lanes) == 0


async def test_what_is_behind_one_that_was_let_go_is_not_begun_and_the_drain_says_so() -> None:
    lanes, gate, done = Lanes(), asyncio.Event(), list[str]()

    async def let_go(_: Lane) -> None:
        await gate.wait()
        raise LetGoError

    lanes.submit("a", note(done, "before it"))
    lanes.submit("a", let_go)
    lanes.submit("a", note(done, "behind it"))
    lanes.submit("b", note_after(gate, done, "in another lane"))
    gate.set()
    assert not await lanes.drain(PLENTY)
    assert done == ["before it", "in another lane"]
    lanes.submit("a", note(done, "delivered again"))
    assert await lanes.drain(PLENTY)
    assert done[2:] == ["delivered again"]


async def test_a_lane_goes_away_when_it_is_empty() -> None:
    """There is one for every activity that ever was; they must not pile up."""
    lanes, gate, done = Lanes(), asyncio.Event(), list[str]()
    for number in range(3):
        lanes.submit(number, note_after(gate, done, "done"))
    assert len(lanes) == 3
    gate.set()
    assert await lanes.drain(PLENTY)
    assert len(lanes) == 0


async def test_a_lane_that_went_away_takes_work_again() -> None:
    lanes, done = Lanes(), list[str]()
    lanes.submit("a", note(done, "before"))
    assert await lanes.drain(PLENTY)
    lanes.submit("a", note(done, "after"))
    assert await lanes.drain(PLENTY)
    assert done == ["before", "after"]


async def test_lanes_that_were_cancelled_take_work_again() -> None:
    """A rebalance drains them, and the next assignment goes on with them."""
    lanes, never, done = Lanes(), asyncio.Event(), list[str]()
    lanes.submit("a", note_after(never, done, "late"))
    async with asyncio.timeout(PLENTY):
        assert not await lanes.drain(0.0)
    lanes.submit("a", note(done, "again"))
    assert await lanes.drain(PLENTY)
    assert done == ["again"]


async def test_work_is_told_what_waits_behind_it() -> None:
    lanes, gate, seen = Lanes(), asyncio.Event(), list[int]()

    async def look(lane: Lane) -> None:
        await gate.wait()
        seen.append(len(lane))

    for _ in range(3):
        lanes.submit("a", look)
    gate.set()
    assert await lanes.drain(PLENTY)
    assert seen == [2, 1, 0]
