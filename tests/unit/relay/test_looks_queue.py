"""The queue of those that look into their activity: bounded, and it hears what ends a wait. On a manual clock."""

from __future__ import annotations

import asyncio
import dataclasses
from itertools import repeat

import pytest
from temporalio.api.failure.v1 import Failure
from tests.support import eventually
from tests.unit.relay.fakes import OK, PATIENCE
from tests.unit.relay.test_heeding import skip_of
from tests.unit.relay.ways import (
    BY_IDS,
    DENIED,
    NOT_FOUND,
    STARTED,
    UNAVAILABLE,
    Ways,
    event,
    mark,
    ways,
)

from completion_relay.decide import decide
from completion_relay.decision import Former, Park
from completion_relay.evidence import Decided, Finding, NotScheduled, Question, Undetermined
from completion_relay.permits import Permits
from completion_relay.place import LetGoError, ToldError
from completion_relay.verdict import Answer, Sign
from completion_schemas.dispositions import Disposition
from completion_schemas.events import Failed

AT_ONCE = 16
"""Looks, by the script's setting."""
LONG = PATIENCE.retry_maximum
"""Seconds: no backoff is longer."""
DUPLICATE = Decided(Disposition.DUPLICATE, "COMPLETED by this event, from another record")


def looks_of(there: Ways) -> Permits:
    return there.script.means.bulkheads["orders"].looks


def take_all(there: Ways) -> Permits:
    """Have the permits of all looks be somebody else's."""
    looks = looks_of(there)
    while looks.try_enter():
        pass
    return looks


async def queue_up(there: Ways, count: int = 1) -> Permits:
    """Have so many events by ids wait for their look; return whose permits these are."""
    looks = take_all(there)
    for number in range(count):
        there.go(number, activity=BY_IDS)
    await eventually(lambda: looks.queued == count, what="all of them in the looks' queue")
    return looks


def test_a_permit_that_is_given_back_is_the_next_ones() -> None:
    permits = Permits(1)
    assert permits.try_enter()
    first, second = permits.queue(), permits.queue()
    permits.leave()
    assert (first.is_admitted, second.is_admitted) == (True, False)
    assert not permits.try_enter()
    permits.withdraw(first)
    assert second.is_admitted
    permits.leave()
    assert (permits.in_flight, permits.queued) == (0, 0)


def test_who_gives_up_its_place_takes_no_permit() -> None:
    permits = Permits(1)
    assert permits.try_enter()
    first, second = permits.queue(), permits.queue()
    permits.withdraw(first)
    permits.leave()
    assert (first.is_admitted, second.is_admitted) == (False, True)
    assert permits.in_flight == 1


async def test_so_many_looks_are_under_way_at_once_and_the_others_have_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with ways([OK] * 50, findings=repeat(STARTED)) as there:
        under_way: list[int] = []
        answered, find = asyncio.Event(), there.script.looks.find

        async def slow(namespace: str, question: Question) -> Finding | Answer:
            under_way.append(1)
            await answered.wait()
            under_way.pop()
            return await find(namespace, question)

        monkeypatch.setattr(there.script.looks, "find", slow)
        for number in range(50):
            there.go(number, activity=BY_IDS)
        await eventually(lambda: looks_of(there).queued == 50 - AT_ONCE, what="the rest to queue")
        assert len(under_way) == AT_ONCE
        answered.set()
        for number in range(50):
            assert (await there.decided(number)).disposition is Disposition.APPLIED
        assert looks_of(there).in_flight == 0


async def test_who_looks_again_with_a_permit_in_hand_waits_for_none_of_the_looks() -> None:
    """Completions would wait behind a wave of looks."""
    async with ways([OK], findings=[STARTED, STARTED]) as there:
        bulkhead = there.script.means.bulkheads["orders"]
        while bulkhead.try_enter():
            pass
        there.go(activity=BY_IDS)
        await eventually(lambda: bulkhead.state[1] == 1, what="the event in the queue of calls")
        take_all(there)
        bulkhead.leave()
        assert (await there.decided()).disposition is Disposition.APPLIED


async def test_a_look_that_queues_is_let_go_at_once() -> None:
    """48,000 of them once held up a stop for a quarter of a minute."""
    async with ways([], findings=[]) as there:
        looks = await queue_up(there, 100)
        now = there.clock.monotonic()
        there.place.closing.set()
        for number in range(100):
            with pytest.raises(LetGoError):
                await there.result(number)
        assert there.clock.monotonic() == now
        assert (looks.queued, looks.in_flight) == (0, AT_ONCE)


async def test_a_failure_by_ids_that_is_let_go_in_the_queue_of_looks_says_that_its_call_may_land() -> (
    None
):
    """Whoever has the partition next would look once, call again, and burn a second attempt."""
    async with ways([], findings=[]) as there:
        looks = take_all(there)
        failed = dataclasses.replace(event(activity=BY_IDS), outcome=Failed(Failure(message="no")))
        going = decide(
            there.script.means,
            failed,
            "orders",
            mark(),
            place=there.place,
            former=Former(tries=1, may_land=True),
        )
        there.tasks.append(asyncio.create_task(going))
        await eventually(lambda: looks.queued == 1, what="the event in the looks' queue")
        there.place.closing.set()
        assert (await there.parked()).former.may_land


async def test_a_look_that_queues_heeds_an_operator() -> None:
    async with ways([], findings=[]) as there:
        looks = await queue_up(there, 3)
        there.place.instructions.tell(skip_of(1))
        with pytest.raises(ToldError):
            await there.result(1)
        assert looks.queued == 2


async def test_in_an_outage_no_look_is_made_whenever_it_began_to_queue() -> None:
    """Two thousand once were, each for as long as a call may take."""
    async with ways([OK] * 20, findings=repeat(STARTED), probes=repeat(UNAVAILABLE)) as there:
        looks = await queue_up(there, 20)
        gate = there.script.means.gate
        for number in range(3):
            gate.noted(number, Sign.FAILING)
        assert gate.is_closed
        for _ in range(AT_ONCE):
            looks.leave()
        await eventually(lambda: not looks.queued and not looks.in_flight, what="all at the gate")
        assert there.script.looks.questions == []
        gate.answered()
        for number in range(20):
            assert (await there.decided(number)).disposition is Disposition.APPLIED


@pytest.mark.parametrize("found", [NotScheduled("not yet"), Undetermined("buffered")])
async def test_the_queue_takes_nothing_of_the_time_for_which_is_looked(
    found: NotScheduled | Undetermined,
) -> None:
    """12,000 early events were `unknown` after hardly more than one look each."""
    async with ways([OK], findings=[found, STARTED]) as there:
        looks = await queue_up(there)
        there.clock.advance(PATIENCE.early_timeout + 1)
        looks.leave()
        await eventually(lambda: there.script.looks.questions)
        take_all(there)
        there.clock.advance(1.0)
        await eventually(lambda: looks.queued == 1, what="the second look in the queue")
        there.clock.advance(PATIENCE.early_timeout + 1)
        looks.leave()
        assert (await there.decided()).disposition is Disposition.APPLIED


async def test_what_was_learned_while_the_look_queued_needs_none() -> None:
    async with ways([], findings=[]) as there:
        looks = await queue_up(there, 5)
        there.script.looks.remembered = DUPLICATE
        looks.leave()
        for number in range(5):
            assert (await there.decided(number)).disposition is Disposition.DUPLICATE


async def test_a_look_that_queued_before_its_namespace_was_halted_is_a_trial_like_any_other() -> (
    None
):
    async with ways([OK] * 5, findings=[DENIED, *repeat(STARTED, 10)]) as there:
        looks = await queue_up(there, 5)
        bulkhead = there.script.means.bulkheads["orders"]
        bulkhead.refused_all("denied", started=0.0)
        looks.leave()
        await eventually(lambda: bulkhead.state[1] == 5, what="all of them in the queue of calls")
        assert there.script.looks.questions == []
        there.clock.advance(1.0)
        await eventually(lambda: not bulkhead.in_flight, what="the trial's end")
        assert len(there.script.looks.questions) == 1


async def test_a_look_that_queues_in_a_sick_namespace_gives_its_place_away_in_a_crowd() -> None:
    """As a call does: each look of those before it may take as long as a call may."""
    async with ways([], findings=[]) as there:
        looks = await queue_up(there)
        bulkhead = there.script.means.bulkheads["orders"]
        for number in range(3):
            bulkhead.failed(number, started=0.0)
        assert bulkhead.is_sick
        there.place.crowded.set()
        there.clock.advance(1.0)  # it is told
        await there.clock.until_pending(1)
        there.clock.advance(1.0)
        park = await there.parked()
        assert not park.former.failed_itself
        assert looks.queued == 0


async def test_looks_that_queue_for_a_trial_go_on_once_one_of_them_is_answered() -> None:
    """They waited behind each refused completion's trial: five minutes, for what no completion decides."""
    async with ways(repeat(DENIED), findings=repeat(DUPLICATE)) as there:
        bulkhead = there.script.means.bulkheads["orders"]
        bulkhead.refused_all("denied", started=0.0)
        there.go(0, activity=BY_IDS)
        await eventually(lambda: bulkhead.state[1] == 1, what="the first look in the queue")
        for number in range(1, 11):
            there.go(number)
        for number in range(11, 60):
            there.go(number, activity=BY_IDS)
        await eventually(lambda: bulkhead.state[1] == 60, what="all in the queue")
        there.clock.advance(LONG)
        for number in [0, *range(11, 60)]:
            assert (await there.decided(number)).disposition is Disposition.DUPLICATE
        assert there.clock.monotonic() == LONG
        assert bulkhead.is_on_trial
        assert there.calls <= 1


async def test_looks_that_queue_for_a_trial_wait_for_no_call_once_it_is_over() -> None:
    """A wave of completions may be let in before them, of a namespace that is slow still."""
    async with ways([], findings=repeat(DUPLICATE)) as there:
        bulkhead = there.script.means.bulkheads["orders"]
        there.put_on_trial()
        tickets = [bulkhead.queue() for _ in range(1000)]
        there.go(activity=BY_IDS)
        await eventually(lambda: bulkhead.state[1] == 1001, what="the look in the queue")
        there.clock.advance(1.0)
        assert tickets[0].is_admitted
        now = there.clock.monotonic()
        bulkhead.succeeded(started=now, ended=now)
        assert bulkhead.is_sick
        assert (await there.decided()).disposition is Disposition.DUPLICATE
        assert not tickets[-1].is_admitted


async def test_what_is_looked_into_after_its_call_waits_in_the_same_queue() -> None:
    async with ways([NOT_FOUND], findings=[DUPLICATE]) as there:
        looks = take_all(there)
        there.go()
        await eventually(lambda: looks.queued == 1, what="the event in the looks' queue")
        looks.leave()
        decision = await there.result()
        assert not isinstance(decision, Park)
        assert decision.disposition is Disposition.DUPLICATE
