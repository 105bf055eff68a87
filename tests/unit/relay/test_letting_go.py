"""An event whose partition is given up: what only waits is let go at once, what is asked is heard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import chain, cycle, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import eventually
from tests.unit.relay.fakes import OK
from tests.unit.relay.ways import (
    BY_IDS,
    BY_TOKEN,
    DENIED,
    NOT_FOUND,
    PLENTY,
    STARTED,
    THROTTLED,
    UNAVAILABLE,
    Ways,
    ways,
)

from completion_relay.decision import Decision, Park
from completion_relay.evidence import Finding, NotScheduled, Undetermined
from completion_relay.place import LetGoError
from completion_relay.verdict import Answer
from completion_schemas.dispositions import Disposition


async def assert_let_go(there: Ways, number: int = 0) -> None:
    """Without any time passing, and with nothing left behind in its namespace."""
    now = there.clock.monotonic()
    with pytest.raises(LetGoError):
        await there.result(number)
    assert there.clock.monotonic() == now
    assert there.script.means.bulkheads["orders"].in_flight == 0


@pytest.mark.parametrize("answer", [UNAVAILABLE, THROTTLED, DENIED])
async def test_an_event_that_waits_after_a_refusal_is_let_go(answer: Answer) -> None:
    """Also one that was throttled, or waits for its namespace that is halted."""
    async with ways(repeat(answer)) as there:
        await there.waits()
        there.place.closing.set()
        await assert_let_go(there)
        assert there.calls == 1


async def test_an_event_that_waits_for_the_cluster_is_let_go() -> None:
    async with ways(repeat(UNAVAILABLE), probes=repeat(UNAVAILABLE)) as there:
        await there.outage()
        there.clock.advance(0.1)  # the waits of two: now all are at the gate
        there.place.closing.set()
        for number in range(3):
            await assert_let_go(there, number)


async def test_an_event_that_queues_in_a_halted_namespace_gives_its_place_in_the_queue_back() -> (
    None
):
    async with ways([OK]) as there:
        bulkhead = there.script.means.bulkheads["orders"]
        bulkhead.refused_all("denied", started=0.0)
        await there.waits()
        there.place.closing.set()
        await assert_let_go(there)
        there.clock.advance(60.0)
        assert bulkhead.try_enter()


@pytest.mark.parametrize("found", [NotScheduled("not yet"), Undetermined("buffered")])
async def test_an_early_event_that_waits_for_its_activity_is_let_go(
    found: NotScheduled | Undetermined,
) -> None:
    async with ways([], findings=repeat(found)) as there:
        there.go(activity=BY_IDS)
        await there.clock.until_pending(1)
        there.place.closing.set()
        await assert_let_go(there)
        assert there.script.happened("send") == []


async def test_an_event_that_waits_for_history_is_let_go() -> None:
    async with ways([NOT_FOUND], findings=repeat(Undetermined("buffered"))) as there:
        await there.waits()
        there.place.closing.set()
        await assert_let_go(there)


async def test_an_event_that_is_refused_while_its_partition_is_given_up_does_not_begin_to_wait() -> (
    None
):
    async with ways(repeat(UNAVAILABLE)) as there:
        there.place.closing.set()
        there.go()
        await assert_let_go(there)
        assert there.calls == 1


async def test_an_event_whose_call_is_under_way_is_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ways([OK]) as there:
        is_sent, is_answered = held_back(there, monkeypatch)
        there.go()
        await is_sent.wait()
        there.place.closing.set()
        is_answered.set()
        assert (await there.decided()).disposition is Disposition.APPLIED


def held_back(there: Ways, monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Event, asyncio.Event]:
    """Have Temporal keep its answers back; return what is set by a call, and what sets them free."""
    is_sent, is_answered = asyncio.Event(), asyncio.Event()
    send = there.script.sends.send

    async def slow(*call: object) -> Answer:
        is_sent.set()
        await is_answered.wait()
        return await send(*call)  # type: ignore[arg-type]

    monkeypatch.setattr(there.script.sends, "send", slow)
    return is_sent, is_answered


async def test_an_event_that_queues_where_calls_come_back_is_decided() -> None:
    async with ways([OK]) as there:
        bulkhead = there.script.means.bulkheads["orders"]
        queues = full(there)
        there.go()
        await eventually(queues, what="an event in the queue")
        there.place.closing.set()
        await asyncio.wait(there.tasks, timeout=0)
        bulkhead.leave()
        assert (await there.decided()).disposition is Disposition.APPLIED


async def test_an_event_that_queues_where_calls_come_back_no_more_is_let_go() -> None:
    """That a namespace is sick is told to those who queue when it has lasted for a second."""
    async with ways([OK]) as there:
        bulkhead = there.script.means.bulkheads["orders"]
        queues = full(there)
        there.go()
        await eventually(queues, what="an event in the queue")
        there.place.closing.set()
        bulkhead.refused_all("denied", started=0.0)
        await there.clock.until_pending(1)
        there.clock.advance(1.0)
        with pytest.raises(LetGoError):
            await there.result()
        assert not queues()


def full(there: Ways) -> Callable[[], int]:
    """Have every permit taken; return what tells how many queue."""
    bulkhead = there.script.means.bulkheads["orders"]
    while bulkhead.try_enter():
        pass
    return lambda: len(bulkhead._queue)


@given(
    answers=st.lists(
        st.sampled_from([UNAVAILABLE, THROTTLED, DENIED, NOT_FOUND, OK]), min_size=1, max_size=8
    ),
    steps=st.integers(0, 8),
    by_ids=st.booleans(),
)
async def test_whatever_came_before_an_event_ends_when_its_place_is_given_up(
    answers: list[Answer],
    steps: int,
    by_ids: bool,  # noqa: FBT001 - a case
) -> None:
    """At once: it is decided, was parked, or is let go; and it holds no permit any more."""
    found: list[Finding | Answer] = [Undetermined("buffered"), STARTED, UNAVAILABLE]
    async with ways(
        chain(answers, repeat(UNAVAILABLE)), findings=cycle(found), probes=repeat(UNAVAILABLE)
    ) as there:
        for number in range(3):
            there.go(number, activity=BY_IDS if by_ids else BY_TOKEN)
        for _ in range(steps):
            await a_timer_or_the_end(there)
            if there.clock.pending:
                there.clock.advance(there.clock.pending[0] - there.clock.monotonic())
        now = there.clock.monotonic()
        there.place.closing.set()
        async with asyncio.timeout(PLENTY):
            ended = await asyncio.gather(*there.tasks, return_exceptions=True)
        assert there.clock.monotonic() == now
        assert all(isinstance(end, Decision | Park | LetGoError) for end in ended), ended
        bulkhead = there.script.means.bulkheads["orders"]
        assert (bulkhead.in_flight, bulkhead.looks.in_flight) == (0, 0)


async def a_timer_or_the_end(there: Ways) -> None:
    timer, ends = asyncio.create_task(there.clock.until_pending(1)), set(there.tasks)
    while not timer.done() and any(not end.done() for end in ends):
        running = {end for end in ends if not end.done()}
        await asyncio.wait({timer, *running}, return_when=asyncio.FIRST_COMPLETED)
    timer.cancel()
