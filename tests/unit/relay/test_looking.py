"""What a look says of the cluster and of the namespace, beside what it finds: on a manual clock."""

from __future__ import annotations

import asyncio
from itertools import repeat

import pytest
from tests.support import eventually
from tests.unit.relay.fakes import OK, PATIENCE, ManualClock, Script
from tests.unit.relay.ways import (
    BY_IDS,
    DENIED,
    NOT_FOUND,
    PLENTY,
    STARTED,
    THROTTLED,
    UNAVAILABLE,
    event,
    mark,
    ways,
)

from completion_relay.decision import Former
from completion_relay.evidence import Decided
from completion_relay.looking import Looking
from completion_relay.verdict import Answer, Sign
from completion_relay.waiting import Waiting
from completion_schemas.dispositions import Disposition

LONG = PATIENCE.retry_maximum
"""Seconds: no backoff is longer."""
DUPLICATE = Decided(Disposition.DUPLICATE, "COMPLETED by this event, from another record")


def looking(script: Script) -> Looking:
    waiting = Waiting(script.means, "orders", mark(), place=None, former=Former())
    return Looking(event(), waiting)


async def test_an_end_that_is_remembered_ends_no_doubt_about_the_cluster() -> None:
    """Temporal was not asked."""
    script = Script(namespaces=repeat(UNAVAILABLE), clock=ManualClock())
    gate = script.means.gate
    script.looks.remembered = DUPLICATE
    for number in range(3):
        gate.noted(number, Sign.FAILING)
    assert gate.is_closed
    assert await asyncio.wait_for(looking(script).once(), PLENTY) == DUPLICATE
    assert gate.is_closed
    gate.close()


async def test_an_end_that_is_remembered_waits_for_no_trial_and_ends_none() -> None:
    script = Script(clock=ManualClock())
    bulkhead = script.means.bulkheads["orders"]
    bulkhead.refused_all("denied", started=0.0)
    script.looks.remembered = DUPLICATE
    assert await asyncio.wait_for(looking(script).once(), PLENTY) == DUPLICATE
    assert bulkhead.is_on_trial


async def test_an_end_that_was_learned_while_the_look_waited_for_its_turn_ends_no_trial() -> None:
    clock = ManualClock()
    script = Script(clock=clock)
    bulkhead = script.means.bulkheads["orders"]
    bulkhead.refused_all("denied", started=0.0)
    look = asyncio.create_task(looking(script).once())
    await eventually(lambda: bulkhead.state[1] == 1, what="the look in the queue")
    script.looks.remembered = DUPLICATE
    clock.advance(1.0)
    assert await asyncio.wait_for(look, PLENTY) == DUPLICATE
    assert bulkhead.is_on_trial
    assert bulkhead.in_flight == 0


async def test_a_trials_look_that_fails_by_weather_puts_the_next_trial_off() -> None:
    """As a call does: or whoever queues would look at once, one after the other."""
    async with ways([OK] * 2, findings=[UNAVAILABLE, *repeat(STARTED, 9)]) as there:
        bulkhead = there.script.means.bulkheads["orders"]
        bulkhead.refused_all("denied", started=0.0)
        for number in range(2):
            there.go(number, activity=BY_IDS)
        await eventually(lambda: bulkhead.state[1] == 2, what="two in the queue")
        there.clock.advance(0.1)
        await eventually(lambda: there.script.happened("retried UNAVAILABLE"))
        assert len(there.script.looks.questions) == 1
        assert not bulkhead.try_enter()
        there.clock.advance(1.0)
        for number in range(2):
            assert (await there.decided(number)).disposition is Disposition.APPLIED


@pytest.mark.parametrize(
    "fails", [DENIED, THROTTLED, UNAVAILABLE], ids=lambda answer: str(answer.status)
)
async def test_a_trial_that_looks_alone_began_and_put_off_a_look_ends(fails: Answer) -> None:
    """No completion was refused: what is over by ids would wait for one that may never come."""
    async with ways([], findings=[DENIED, fails, DUPLICATE], served=["orders"]) as there:
        bulkhead = there.script.means.bulkheads["orders"]
        there.go(activity=BY_IDS)
        while not there.tasks[0].done():
            await there.clock.until_pending(1)
            there.clock.advance(1.0)
            await asyncio.wait(there.tasks, timeout=0)
        assert (await there.decided()).disposition is Disposition.DUPLICATE
        assert not bulkhead.is_on_trial
        assert bulkhead.halted is None


async def test_a_look_with_the_trials_permit_in_hand_that_fails_puts_the_next_trial_off() -> None:
    """It is the trial, and its call is not made."""
    async with ways([OK], findings=[STARTED, UNAVAILABLE, *repeat(STARTED, 9)]) as there:
        bulkhead = there.script.means.bulkheads["orders"]
        bulkhead.refused_all("denied", started=0.0)
        bulkhead.looked(started=0.0, ended=0.0)
        there.go(activity=BY_IDS)
        await eventually(lambda: bulkhead.state[1] == 1, what="the event in the queue of calls")
        there.clock.advance(0.1)
        await eventually(lambda: len(there.script.looks.questions) == 2, what="the second look")
        await eventually(lambda: not bulkhead.in_flight, what="the trial's end")
        assert not bulkhead.try_enter()
        there.clock.advance(LONG)
        assert (await there.decided()).disposition is Disposition.APPLIED


async def test_a_look_that_fails_beside_the_trials_puts_none_off() -> None:
    async with ways([OK], findings=[UNAVAILABLE, *repeat(STARTED, 9)]) as there:
        bulkhead = there.script.means.bulkheads["orders"]
        bulkhead.refused_all("denied", started=0.0)
        bulkhead.looked(started=0.0, ended=0.0)
        there.go(0)
        await eventually(lambda: bulkhead.state[1] == 1, what="a completion in the queue")
        there.clock.advance(0.01)
        there.go(1, activity=BY_IDS)
        await eventually(lambda: there.script.happened("retried UNAVAILABLE"))
        assert bulkhead.tries_looks
        there.clock.advance(0.09)
        assert (await there.decided(0)).disposition is Disposition.APPLIED


async def test_a_look_that_fails_where_no_trial_is_on_makes_nobody_sick() -> None:
    """A look that succeeds would not make it well again."""
    script = Script(findings=[UNAVAILABLE] * 9, namespaces=repeat(OK), clock=ManualClock())
    bulkhead = script.means.bulkheads["orders"]
    for number in range(3):
        waiting = Waiting(script.means, "orders", mark(number), place=None, former=Former())
        assert await asyncio.wait_for(Looking(event(), waiting).once(), PLENTY) == UNAVAILABLE
    assert not bulkhead.is_sick
    script.means.gate.close()


@pytest.mark.parametrize("events", [1, 5, 20])
async def test_where_one_may_look_and_not_complete_one_event_at_a_time_tries_by_ids_too(
    events: int,
) -> None:
    """A look alone once ended the trial, and all were let in."""
    async with ways(repeat(DENIED), findings=repeat(STARTED), served=["orders"]) as there:
        bulkhead, script = there.script.means.bulkheads["orders"], there.script
        for number in range(events):
            there.go(number, activity=BY_IDS)
        await eventually(lambda: bulkhead.state[1] == events, what="all in the queue")
        began = there.calls
        for _ in range(20):
            there.clock.advance(LONG)
            await eventually(lambda: not bulkhead.in_flight, what="the trial's end")
        assert script.observer.halts == [("orders", "PERMISSION_DENIED: Request unauthorized.")]
        assert not script.happened("resumed")
        assert 1 <= there.calls - began <= 20
        there.let_all_come_through()
        there.clock.advance(LONG)
        for number in range(events):
            assert (await there.decided(number)).disposition is Disposition.APPLIED


async def test_what_needs_no_completion_waits_for_no_trial_that_a_completion_has_to_end() -> None:
    """Of a weekend without a key there may be thousands by ids that are over."""
    async with ways([DENIED], findings=[STARTED, *repeat(DUPLICATE, 200)]) as there:
        bulkhead = there.script.means.bulkheads["orders"]
        there.go(0, activity=BY_IDS)
        await eventually(lambda: bulkhead.state[1] == 1, what="the first in the queue")
        there.clock.advance(LONG)
        await there.decided()
        assert bulkhead.is_on_trial
        now = there.clock.monotonic()
        for number in range(1, 101):
            there.go(number, activity=BY_IDS)
        for number in range(1, 101):
            assert (await there.decided(number)).disposition is Disposition.DUPLICATE
        assert there.clock.monotonic() == now


async def test_where_one_may_complete_and_not_look_the_namespace_is_not_halted_at_each_turn() -> (
    None
):
    """Completions resumed it and looks halted it, nine times a second."""
    async with ways(
        [NOT_FOUND, *repeat(OK, 100)], findings=repeat(DENIED), served=["orders"]
    ) as there:
        there.go(0)
        await eventually(lambda: there.script.observer.halts, what="the first look's refusal")
        for number in range(1, 101):
            going = there.go(number)
            while not going.done():
                await there.clock.until_pending(1)  # the look's backoff, and that of the trials
                there.clock.advance(0.1)
                await asyncio.wait([going], timeout=0)
        # Its backoff is half a minute in the end, less its jitter.
        assert len(there.script.observer.halts) <= 10 + there.clock.monotonic() / (LONG / 2)


async def test_a_trials_look_that_is_refused_waits_for_its_next_turn_and_not_by_itself() -> None:
    """Nothing but its namespace keeps it: it goes on in the moment that is well."""
    async with ways([], findings=[DENIED, DUPLICATE]) as there:
        bulkhead = there.script.means.bulkheads["orders"]
        bulkhead.refused_all("denied", started=0.0)
        there.go(activity=BY_IDS)
        await eventually(lambda: bulkhead.state[1] == 1, what="the look in the queue")
        there.clock.advance(0.1)
        await eventually(lambda: there.script.looks.questions and bulkhead.state[1] == 1)
        assert not there.script.happened("retried PERMISSION_DENIED")
        now = there.clock.monotonic()
        bulkhead.succeeded(started=now, ended=now)
        assert (await there.decided()).disposition is Disposition.DUPLICATE


async def test_those_that_are_looked_into_take_no_room_from_completions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Looks have few permits: behind a wave of duplicates ordinary completions would be begun one a look."""
    async with ways(repeat(NOT_FOUND)) as there:
        means = there.script.means
        room = means.bulkheads.room
        answered = asyncio.Event()

        async def find(*_: object, **__: object) -> Decided:
            await answered.wait()
            return DUPLICATE

        monkeypatch.setattr(means.triage, "find", find)
        for number in range(500):
            there.go(number)
        await eventually(lambda: there.calls == 500, what="each to come to its look")
        assert means.bulkheads.room == room
        answered.set()
        assert (await there.decided(499)).disposition is Disposition.DUPLICATE
