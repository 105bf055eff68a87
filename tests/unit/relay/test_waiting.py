"""How an event waits, when it gives its place away, and when it is given up: on a manual clock."""

from __future__ import annotations

import asyncio
import dataclasses
from itertools import repeat

import pytest
from tests.support import eventually
from tests.unit.relay.fakes import NOW, OK, PATIENCE, Script
from tests.unit.relay.ways import (
    BY_IDS,
    DENIED,
    NOT_FOUND,
    PLENTY,
    STARTED,
    THROTTLED,
    UNAVAILABLE,
    Ways,
    mark,
    ways,
)

from completion_relay.bulkhead import Bulkhead
from completion_relay.decision import Decision, Former, Park
from completion_relay.evidence import Decided, Finding, NotScheduled, Pending, Undetermined
from completion_relay.lanes import Lane, Lanes
from completion_relay.verdict import Answer, Sign, Status
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.events import UnixNanos

LATE = Answer(Status.DEADLINE_EXCEEDED, "context deadline exceeded")
LONG = PATIENCE.retry_maximum
"""Seconds: no backoff is longer."""


async def test_an_event_that_is_refused_waits_here_while_there_is_room() -> None:
    async with ways([UNAVAILABLE, UNAVAILABLE, OK]) as there:
        await there.waits()
        there.clock.advance(0.1)
        await there.clock.until_pending(1)
        there.clock.advance(0.2)
        assert (await there.decided()).disposition is Disposition.APPLIED


async def test_a_waiting_event_gives_in_the_moment_its_partition_is_crowded() -> None:
    async with ways(repeat(UNAVAILABLE)) as there:
        await there.waits(former=Former(tries=20))
        there.clock.advance(2.0)
        there.place.crowded.set()
        park = await there.parked()
        assert park == Park(
            reason="UNAVAILABLE: shard unavailable, please backoff and retry",
            former=Former(tries=21, first_failed_at=NOW, may_land=True, failed_itself=True),
            status=Status.UNAVAILABLE,
        )


async def test_a_call_that_fails_once_is_no_reason_to_park_although_it_is_crowded() -> None:
    """With a backlog every window is full, always."""
    async with ways([UNAVAILABLE, OK]) as there:
        there.place.crowded.set()
        await there.waits()
        there.clock.advance(0.1)
        assert (await there.decided()).disposition is Disposition.APPLIED


async def test_in_a_crowd_an_event_gives_in_after_a_second_of_trouble() -> None:
    async with ways(repeat(UNAVAILABLE)) as there:
        there.place.crowded.set()
        await there.waits(former=Former(tries=20))
        assert there.clock.pending == [1.0]
        there.clock.advance(1.0)
        await there.parked()


async def test_in_a_crowd_one_that_was_parked_for_its_namespace_keeps_its_place_for_longer() -> (
    None
):
    """Or a window of them would be written anew each second."""
    async with ways(repeat(DENIED)) as there:
        there.place.crowded.set()
        await there.waits(former=Former(tries=2, keeps_place=40.0))
        while not there.tasks[0].done():
            there.clock.advance(min(there.clock.pending) - there.clock.monotonic())
            await _a_timer_or(there)
        assert "is halted" in (await there.parked()).reason
        assert there.clock.monotonic() == pytest.approx(40.0)


async def test_and_where_nobody_needs_it_for_no_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """`relay.park_after` may be the shorter of the two."""
    async with ways(repeat(DENIED)) as there:
        brief = dataclasses.replace(there.script.means.patience, park_after=5.0)
        object.__setattr__(there.script.means, "patience", brief)
        await there.waits(former=Former(tries=2, keeps_place=40.0))
        while not there.tasks[0].done():
            there.clock.advance(min(there.clock.pending) - there.clock.monotonic())
            await _a_timer_or(there)
        await there.parked()
        assert there.clock.monotonic() == pytest.approx(40.0)


async def test_one_that_was_throttled_did_not_fail_itself() -> None:
    """It would be left alone for its time, although its namespace takes calls again."""
    async with ways(repeat(THROTTLED)) as there:
        there.place.crowded.set()
        await there.waits(former=Former(tries=20))
        there.clock.advance(1.0)
        assert not (await there.parked()).former.failed_itself


@pytest.mark.parametrize("answer", [THROTTLED, LATE], ids=["refused", "no answer in time"])
async def test_what_throttles_a_call_leaves_its_namespace_fewer_at_once(answer: Answer) -> None:
    async with ways([answer]) as there:
        bulkhead = there.script.means.bulkheads["orders"]
        (before, _), (others, _) = bulkhead.state, there.script.means.bulkheads["billing"].state
        await there.waits()
        assert bulkhead.state[0] < before
        assert there.script.means.bulkheads["billing"].state[0] == others


async def test_one_that_then_fails_itself_does_not() -> None:
    async with ways(repeat(UNAVAILABLE)) as there:
        there.place.crowded.set()
        await there.waits(former=Former(tries=20, keeps_place=40.0))
        assert there.clock.pending == [1.0]
        there.clock.advance(1.0)
        await there.parked()


async def test_an_event_that_waits_for_long_gives_in_although_there_is_room() -> None:
    async with ways(repeat(UNAVAILABLE)) as there:
        await there.waits(former=Former(tries=20))
        while not there.tasks[0].done():
            there.clock.advance(min(there.clock.pending) - there.clock.monotonic())
            await _a_timer_or(there)
        await there.parked()
        assert there.clock.monotonic() == pytest.approx(PATIENCE.park_after)


async def _a_timer_or(there: Ways) -> None:
    waiting = asyncio.create_task(there.clock.until_pending(1))
    await asyncio.wait({waiting, there.tasks[0]}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


async def test_what_a_parked_record_brings_along_counts() -> None:
    async with ways(repeat(UNAVAILABLE)) as there:
        first = UnixNanos(NOW - 10**12)
        await there.waits(former=Former(tries=7, first_failed_at=first))
        there.clock.advance(2.0)
        there.place.crowded.set()
        park = await there.parked()
        assert (park.former.tries, park.former.first_failed_at) == (8, first)


async def test_an_event_waits_for_a_halted_namespace_and_gives_in_when_crowded() -> None:
    async with ways(repeat(DENIED)) as there:
        await there.waits()
        await there.clock.until_pending(2)  # its own patience, and the namespace's next trial
        there.clock.advance(0.01)
        there.place.crowded.set()
        await there.clock.until_pending(2)
        there.clock.advance(2.0)
        park = await there.parked()
        assert "namespace orders is halted: PERMISSION_DENIED" in park.reason
        assert (park.former.first_failed_at, park.former.failed_itself) == (None, False)


async def test_who_may_not_give_in_while_the_cluster_is_in_doubt_does_when_it_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not one by one as the halted namespace lets them try: that may take half a minute each."""
    async with ways(repeat(DENIED)) as there:

        async def probe(*_: object) -> Answer:
            await there.clock.sleep(10.0)
            return OK

        gate, bulkhead = there.script.means.gate, there.script.means.bulkheads["orders"]
        monkeypatch.setattr(gate, "_probe", probe)
        await there.waits(0)
        await there.waits(1)
        for _ in range(10):
            bulkhead.refused_all("denied", started=there.clock.monotonic())
        there.place.crowded.set()
        for number in range(3):
            gate.noted(mark(10 + number), Sign.FAILING)
        await there.clock.until_pending(4)  # two patiences, the next trial, the probe
        there.clock.advance(2.0)
        await asyncio.wait(there.tasks, timeout=0)
        assert gate.is_closed
        assert not gate.is_away
        there.clock.advance(10.0)
        assert "is halted" in (await there.parked(0)).reason
        assert "is halted" in (await there.parked(1)).reason


async def test_nobody_gives_in_where_nobody_would_gain() -> None:
    """Both namespaces refuse everything: the records behind could not be decided either."""
    async with ways(repeat(DENIED)) as there:
        billing = there.script.means.bulkheads["billing"]
        billing.refused_all("denied", started=0.0)
        there.place.crowded.set()
        there.go()
        for _ in range(20):
            await there.clock.until_pending(1)
            there.clock.advance(LONG)
        assert not there.tasks[0].done()
        billing.succeeded(started=there.clock.monotonic(), ended=there.clock.monotonic())
        assert "halted" in (await there.parked()).reason


async def test_nobody_gives_in_while_the_cluster_is_away() -> None:
    async with ways(repeat(UNAVAILABLE), probes=repeat(UNAVAILABLE)) as there:
        await there.outage()
        there.place.crowded.set()
        await there.clock.until_pending(1)  # the probe's: whoever waited waits for the gate now
        there.clock.advance(LONG)
        await there.clock.until_pending(1)
        there.clock.advance(2 * PATIENCE.park_after)
        await there.clock.until_pending(1)
        assert not any(task.done() for task in there.tasks)


async def test_an_event_of_a_cluster_that_is_away_gives_in_where_another_cluster_gains() -> None:
    """It brings none of its refusals along: nobody can tell later how much of an hour was the outage's."""
    async with ways(repeat(UNAVAILABLE), probes=repeat(UNAVAILABLE)) as there:
        there.script.means.bulkheads.neighbours.add(lambda: True)
        await there.outage()
        there.place.crowded.set()
        await there.clock.until_pending(4)
        there.clock.advance(LONG)
        park = await there.parked(2)
        assert park.reason == "the cluster is away"
        assert park.former == Former(tries=1, may_land=True)


async def test_who_waits_gives_in_when_a_doubt_about_another_cluster_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was the only one whose events would gain, and nobody knew whether they would.

    Not only when a cluster comes back from being away: this one never was.
    """
    async with ways(repeat(DENIED)) as there:
        means = there.script.means
        neighbours = means.bulkheads.neighbours
        west = Script(neighbours=neighbours, clock=there.clock).means
        for bulkheads in (means.bulkheads, west.bulkheads):
            bulkheads["billing"].refused_all("denied", started=0.0)
        monkeypatch.setattr(west.gate, "_probe", asyncio.Event().wait)
        for number in range(3):
            west.gate.noted(mark(10 + number), Sign.FAILING)
        there.place.crowded.set()
        await there.waits()
        await there.clock.until_pending(5)  # three sick namespaces, the next trial, its patience
        there.clock.advance(2.0)
        await asyncio.wait(there.tasks, timeout=0)
        assert west.gate.is_closed
        assert not west.gate.is_away
        assert not neighbours.anybody_is_well
        now = there.clock.monotonic()
        west.gate.answered()
        assert "is halted" in (await there.parked()).reason
        assert there.clock.monotonic() == now


async def test_in_an_outage_no_event_makes_a_call() -> None:
    async with ways(repeat(UNAVAILABLE), probes=repeat(UNAVAILABLE)) as there:
        await there.outage()
        made = there.calls
        for number in range(3, 50):
            there.go(number)
        for _ in range(20):
            there.clock.advance(LONG)
            await there.clock.until_pending(1)
        assert there.calls == made == 3


async def test_when_the_cluster_is_back_all_go_on_at_once() -> None:
    async with ways(repeat(UNAVAILABLE), probes=[UNAVAILABLE, OK]) as there:
        await there.outage()
        for number in range(3, 50):
            there.go(number)
        there.let_all_come_through()
        there.clock.advance(0.1)  # the second probe's time, and of no wait of theirs
        decisions = [await there.decided(number) for number in range(50)]
        assert {decision.disposition for decision in decisions} == {Disposition.APPLIED}
        assert max(decision.tries for decision in decisions) == 2
        assert there.clock.monotonic() == pytest.approx(0.1)


async def test_a_poison_token_does_not_hold_the_others_back() -> None:
    async with ways(repeat(UNAVAILABLE)) as there:
        await there.waits()
        for _ in range(5):
            there.clock.advance(LONG)
            await there.clock.until_pending(1)
        assert there.calls > 5
        there.let_all_come_through()
        there.go(1)
        assert (await there.decided(1)).tries == 1


async def test_throttling_that_ends_ends_the_wait_for_it() -> None:
    async with ways([THROTTLED, OK]) as there:
        await there.waits(former=Former(tries=20))
        bulkhead = there.script.means.bulkheads["orders"]
        bulkhead.refused_all("meanwhile halted", started=0.0)
        bulkhead.succeeded(started=0.0, ended=0.0)
        assert (await there.decided()).disposition is Disposition.APPLIED
        assert there.clock.monotonic() == 0.0


async def test_a_cancelled_event_leaves_no_permit_behind() -> None:
    async with ways(repeat(DENIED)) as there:
        await there.waits()
        there.tasks[0].cancel()
        await asyncio.wait(there.tasks)
        bulkhead = there.script.means.bulkheads["orders"]
        assert bulkhead.in_flight == 0
        there.clock.advance(LONG)
        assert bulkhead.try_enter()


async def let_another_through(there: Ways) -> None:
    """Have a completion of the namespace answered OK: the next answer has to be."""
    there.go(1)
    assert (await there.decided(len(there.tasks) - 1)).disposition is Disposition.APPLIED


SPENT = Former(tries=100, first_failed_at=UnixNanos(NOW - round(PATIENCE.retry_budget * 1e9)))


async def exhausted_or_waiting(there: Ways, *, tries: int) -> None:
    """Have the event tried so often, as long as it is neither decided nor parked."""
    for _ in range(tries):
        await _a_timer_or(there)
        if there.tasks[0].done():
            return
        there.clock.advance(LONG)


async def test_an_event_is_given_up_after_its_budget_and_looks_that_find_it_pending() -> None:
    answers = [UNAVAILABLE, OK, *repeat(UNAVAILABLE, 9)]
    async with ways(answers, findings=repeat(STARTED)) as there:
        await there.waits(former=SPENT)
        there.clock.advance(0.001)
        await let_another_through(there)
        await exhausted_or_waiting(there, tries=5)
        decision = await there.decided()
        assert (decision.disposition, decision.reason, decision.tries) == (
            Disposition.DEAD_LETTERED,
            DeadLetterReason.EXHAUSTED,
            103,
        )
        assert "shard unavailable" in decision.detail
        # The last of the calls may land for a while.
        happened = there.script.happened("send", "look")
        assert happened[:7] == ["send", "look", "send", *["send", "look"] * 2]  # one is the other's
        assert set(happened[7:]) == {"look"}


async def test_an_event_is_not_given_up_whose_last_call_lands() -> None:
    landed = Decided(Disposition.APPLIED, "COMPLETED by us")
    findings: list[Finding | Answer] = [*repeat(STARTED, 4), landed]
    async with ways([UNAVAILABLE, OK, *repeat(UNAVAILABLE, 9)], findings=findings) as there:
        await there.waits(former=SPENT)
        there.clock.advance(0.001)
        await let_another_through(there)
        await exhausted_or_waiting(there, tries=5)
        decision = await there.decided()
        assert (decision.disposition, decision.tries) == (Disposition.APPLIED, 103)


async def test_an_event_is_not_given_up_while_no_other_gets_through() -> None:
    """A server may describe for as long as it can write nothing; and what was before says nothing of it."""
    async with ways([OK, *repeat(UNAVAILABLE, 99)], findings=repeat(STARTED)) as there:
        await let_another_through(there)
        there.tasks.clear()
        there.go(former=SPENT)
        await exhausted_or_waiting(there, tries=9)
        assert "look" in there.script.happened("send", "look")
        assert not there.tasks[0].done() or not isinstance(await there.result(), Decision)


async def test_within_its_budget_an_event_costs_no_look() -> None:
    fresh = dataclasses.replace(SPENT, first_failed_at=None)
    async with ways(repeat(UNAVAILABLE)) as there:
        there.go(former=fresh)
        await exhausted_or_waiting(there, tries=5)
        assert not there.tasks[0].done()
        assert there.script.looks.questions == []


@pytest.mark.parametrize(
    "found", [UNAVAILABLE, Undetermined("buffered")], ids=["cannot be described", "not pending"]
)
async def test_an_event_is_not_given_up_while_the_look_does_not_find_it_pending(
    found: Finding | Answer,
) -> None:
    """The shard of its workflow may be away, however long the others have been there."""
    async with ways(repeat(UNAVAILABLE), findings=[STARTED, STARTED, *repeat(found, 4)]) as there:
        there.go(former=SPENT)
        await exhausted_or_waiting(there, tries=6)
        assert not there.tasks[0].done()


async def test_a_look_in_doubt_that_tells_decides() -> None:
    """The lost answer was a success."""
    done = Decided(Disposition.APPLIED, "COMPLETED by us")
    async with ways([UNAVAILABLE], findings=[done]) as there:
        there.go(former=SPENT)
        decision = await there.decided()
        assert (decision.disposition, decision.tries) == (Disposition.APPLIED, 101)


async def test_nobody_is_given_up_while_several_fail_and_none_gets_through() -> None:
    """A database that can be read and not written must not drain the topic."""
    async with ways(repeat(UNAVAILABLE), findings=repeat(STARTED), probes=repeat(OK)) as there:
        for number in range(4):
            there.go(number, SPENT)
        await there.clock.until_pending(4)
        for _ in range(8):
            there.clock.advance(LONG)
            await there.clock.until_pending(4)
        assert not any(task.done() for task in there.tasks)


async def test_the_refusals_before_an_outage_are_the_outages() -> None:
    """They take nothing of the event's budget."""
    async with ways(repeat(UNAVAILABLE), probes=[UNAVAILABLE, *repeat(OK, 20)]) as there:
        there.go(former=Former(tries=2, first_failed_at=UnixNanos(NOW - 10**12)))
        for number in (1, 2):
            there.go(number)
        await there.clock.until_pending(3)
        there.clock.advance(0.1)  # the second probe's time
        await there.clock.until_pending(3)
        there.clock.advance(2.0)
        there.place.crowded.set()
        park = await there.parked()
        assert park.former.first_failed_at is not None
        assert park.former.first_failed_at > NOW


async def test_what_was_parked_before_an_outage_begins_its_budget_anew() -> None:
    """It would be given up for an hour of refusals that were a night without a cluster."""
    async with ways(repeat(UNAVAILABLE), probes=[UNAVAILABLE, *repeat(OK, 20)]) as there:
        await there.outage()
        there.let_all_come_through()
        there.clock.advance(10.0)
        for number in range(3):
            await there.decided(number)
        there.script.sends.answers = repeat(UNAVAILABLE)
        await there.waits(3, former=SPENT)
        there.clock.advance(2.0)
        there.place.crowded.set()
        park = await there.parked(3)
        assert park.former.first_failed_at is not None
        assert park.former.first_failed_at > NOW


NOT_YET = NotScheduled("not scheduled")


async def test_an_event_that_is_early_gives_its_place_away_where_others_need_it() -> None:
    """One a minute for an activity that never comes would hold its partition up for good."""
    async with ways([], findings=repeat(NOT_YET)) as there:
        there.place.crowded.set()
        there.go(0, activity=BY_IDS)
        for _ in range(10):
            await eventually(lambda: bool(there.clock.pending) or there.tasks[0].done())
            there.clock.advance(1.0)
        park = await there.parked()
        assert park.reason == "not scheduled"
        assert park.former.failed_itself
        assert 1.0 <= park.former.early_for <= 3.0


async def test_an_early_event_keeps_its_place_where_nobody_needs_it() -> None:
    async with ways([OK], findings=[*repeat(NOT_YET, 20), STARTED]) as there:
        there.go(0, activity=BY_IDS)
        for _ in range(20):
            await eventually(lambda: bool(there.clock.pending) or there.tasks[0].done())
            there.clock.advance(1.0)
        assert (await there.decided()).disposition is Disposition.APPLIED


async def looks_until_decided(there: Ways, number: int = 0) -> None:
    """Let time pass, a second at a time, until an event is decided."""
    for _ in range(200):
        await eventually(lambda: bool(there.clock.pending) or there.tasks[number].done())
        if there.tasks[number].done():
            return
        there.clock.advance(1.0)


async def test_how_long_an_early_event_was_looked_for_counts_from_before_its_parking() -> None:
    async with ways([], findings=repeat(NOT_YET)) as there:
        there.go(0, Former(failed_itself=True, early_for=50.0), activity=BY_IDS)
        await looks_until_decided(there)
        decision = await there.decided()
        assert (decision.disposition, decision.detail) == (
            Disposition.UNKNOWN,
            "not scheduled, after 60 s",
        )
        assert 9.0 <= there.clock.monotonic() <= 12.0


async def test_an_early_event_is_looked_for_anew_after_an_outage() -> None:
    """The workflow that was to schedule its activity had no Temporal either."""
    findings: list[Finding | Answer]
    findings = [*repeat(NOT_YET, 50), UNAVAILABLE, *repeat(NOT_YET, 50), STARTED]
    async with ways(
        [*[UNAVAILABLE] * 2, OK], findings=findings, probes=repeat(UNAVAILABLE)
    ) as there:
        there.go(0, activity=BY_IDS)
        while len(there.script.looks.questions) < 50:
            await eventually(lambda: bool(there.clock.pending))
            there.clock.advance(1.0)
        for number in (1, 2):
            there.go(number)
        gate = there.script.means.gate
        while not gate.is_away:
            await eventually(lambda: bool(there.clock.pending) or gate.is_away)
            there.clock.advance(0.2)
        there.let_all_come_through()
        gate.answered()
        await looks_until_decided(there)
        assert (await there.decided()).disposition is Disposition.APPLIED


async def test_an_activity_that_was_there_once_is_looked_for_anew_when_it_is_not() -> None:
    """After a refused call its next attempt may wait for a worker."""
    not_started = Pending(attempt=1, is_started=False)
    findings = [*repeat(not_started, 40), STARTED, *repeat(not_started, 40), STARTED]
    async with ways([UNAVAILABLE, OK], findings=findings) as there:
        there.go(0, Former(early_for=15.0), activity=BY_IDS)
        await looks_until_decided(there)
        assert (await there.decided()).disposition is Disposition.APPLIED


async def test_a_look_waits_for_the_cluster_too() -> None:
    async with ways(
        repeat(UNAVAILABLE),
        findings=[Decided(Disposition.CLOSED, "")],
        probes=[UNAVAILABLE, OK],
    ) as there:
        await there.outage()
        there.script.sends.answers = iter([NOT_FOUND, OK, OK])
        there.clock.advance(0.1)
        results = [(await there.decided(number)).disposition for number in range(3)]
        assert sorted(results) == [Disposition.APPLIED, Disposition.APPLIED, Disposition.CLOSED]


async def test_by_ids_a_halted_namespace_is_looked_into_by_one_event_at_a_time() -> None:
    async with ways([OK] * 5, findings=[DENIED, DENIED, *repeat(STARTED, 10)]) as there:
        means = there.script.means
        for number in range(5):
            there.go(number, activity=BY_IDS)
        means.bulkheads["orders"].refused_all("denied", started=0.0)
        means.gate.noted("other", Sign.HALTED)
        looks = []
        for _ in range(3):
            await there.clock.until_pending(6)
            looks.append(len(there.script.looks.questions))
            there.clock.advance(1.0)
        for number in range(5):
            assert (await there.decided(number)).disposition is Disposition.APPLIED
        assert looks == [0, 1, 2]


async def test_a_window_full_of_events_that_fail_gives_one_place_away_although_nobody_is_well() -> (
    None
):
    """Poison alone calls then, and no success could ever say that it is not the namespace."""
    async with ways(repeat(UNAVAILABLE), probes=repeat(OK), served=["orders"]) as there:
        for number in range(3):
            await there.waits(number, Former(tries=20))
        there.clock.advance(2.0)
        there.place.crowded.set()
        done, waiting = await asyncio.wait(
            there.tasks, timeout=PLENTY, return_when=asyncio.FIRST_COMPLETED
        )
        assert [isinstance(task.result(), Park) for task in done] == [True]
        # Who got its place gets through: now everybody knows.
        there.let_all_come_through()
        there.go(3)
        assert (await there.decided(3)).disposition is Disposition.APPLIED
        await asyncio.wait(waiting, timeout=PLENTY)
        assert {type(await task) for task in waiting} == {Park}


async def test_what_takes_no_completions_at_all_gives_places_away_ever_more_seldom() -> None:
    """A database that reads and cannot write must not drain the topic."""
    async with ways(repeat(UNAVAILABLE), probes=repeat(OK), served=["orders"]) as there:
        for number in range(40):
            await there.waits(number, Former(tries=20))
        there.place.crowded.set()
        while there.clock.monotonic() < 600.0:
            there.clock.advance(min(there.clock.pending) - there.clock.monotonic())
            await _a_timer_or(there)
        parked = sum(task.done() for task in there.tasks)
        assert 5 <= parked <= 40
        assert parked < 600.0 / (PATIENCE.retry_maximum / 2)


async def full(there: Ways) -> Bulkhead:
    """Return the bulkhead, each of its permits taken, with the one event waiting for its turn."""
    bulkhead = there.script.means.bulkheads["orders"]
    await eventually(lambda: bulkhead.state[1] == 1, what="the event in the queue")
    return bulkhead


def take_all(there: Ways) -> None:
    while there.script.means.bulkheads["orders"].try_enter():
        pass


async def test_by_ids_who_waited_for_a_permit_looks_again_before_the_call() -> None:
    async with ways([OK], findings=[STARTED, STARTED]) as there:
        take_all(there)
        there.go(activity=BY_IDS)
        (await full(there)).leave()
        assert (await there.decided()).disposition is Disposition.APPLIED
        assert there.script.happened("look", "send") == ["look", "look", "send"]


@pytest.mark.parametrize(
    "meanwhile",
    [
        pytest.param(Pending(attempt=2, is_started=False), id="the next attempt"),
        pytest.param(Decided(Disposition.EXPIRED, ""), id="ended"),
        pytest.param(UNAVAILABLE, id="nobody knows"),
    ],
)
async def test_by_ids_what_changed_while_it_waited_for_a_permit_is_not_called(
    meanwhile: Finding | Answer,
) -> None:
    """The attempt timed out, and the call would complete the one after it."""
    superseded = Decided(Disposition.SUPERSEDED, "at attempt 2")
    async with ways([], findings=[STARTED, meanwhile, superseded]) as there:
        take_all(there)
        there.go(activity=BY_IDS)
        bulkhead = await full(there)
        permits = bulkhead.in_flight
        bulkhead.leave()
        decision = await there.decided()
        assert (decision.disposition, decision.tries) == (Disposition.SUPERSEDED, 0)
        assert bulkhead.in_flight == permits - 1


async def test_by_token_who_waited_for_a_permit_looks_at_nothing() -> None:
    """Temporal itself checks the attempt."""
    async with ways([OK]) as there:
        take_all(there)
        there.go()
        (await full(there)).leave()
        assert (await there.decided()).disposition is Disposition.APPLIED
        assert there.script.looks.questions == []


async def test_by_ids_a_namespace_that_throttles_one_call_is_looked_into_by_one_at_a_time() -> None:
    """Else the looks of thousands would be refused, and each would put off the trial of the others."""
    async with ways([OK] * 3, findings=[THROTTLED, THROTTLED, *repeat(STARTED, 9)]) as there:
        bulkhead = there.script.means.bulkheads["orders"]
        there.put_on_trial()
        for number in range(3):
            there.go(number, activity=BY_IDS)
        await eventually(lambda: bulkhead.state[1] == 3, what="three in the queue")
        questions = there.script.looks.questions
        assert questions == []
        there.clock.advance(1.0)
        await eventually(lambda: there.script.happened("retried RESOURCE_EXHAUSTED"))
        assert len(questions) == 1


async def test_a_look_that_one_had_to_wait_for_takes_nothing_of_an_early_events_time() -> None:
    async with ways([OK], findings=[NotScheduled("not yet"), STARTED]) as there:
        bulkhead = there.script.means.bulkheads["orders"]
        bulkhead.refused_all("denied", started=0.0)
        assert bulkhead.is_on_trial
        there.clock.advance(1.0)
        take_all(there)  # the trial is somebody else's
        there.go(activity=BY_IDS)
        await full(there)
        there.clock.advance(PATIENCE.early_timeout + 1)
        bulkhead.leave()
        await eventually(lambda: there.script.looks.questions)
        there.clock.advance(1.0)
        assert (await there.decided()).disposition is Disposition.APPLIED


async def test_a_trial_that_has_no_answer_counts_as_one_failed_trial() -> None:
    async with ways(repeat(Answer(Status.DEADLINE_EXCEEDED, ""))) as there:
        bulkhead = there.script.means.bulkheads["orders"]
        bulkhead.refused_all("denied", started=0.0)
        assert bulkhead._failed_trials == 1
        there.go()
        await there.clock.until_pending(1)
        while not there.calls:
            there.clock.advance(min(there.clock.pending) - there.clock.monotonic())
            await _a_timer_or(there)
        assert bulkhead._failed_trials == 2
        there.let_all_come_through()


async def _nothing(_: Lane) -> None:
    pass


async def test_a_heartbeat_that_waits_ends_once_a_later_event_is_here() -> None:
    """The end of its activity would wait behind its tries."""
    async with ways(repeat(UNAVAILABLE)) as there:

        async def beat(lane: Lane) -> None:
            await there.go(lane=lane)

        lanes = Lanes()
        lanes.submit("its activity's", beat)
        await there.clock.until_pending(1)
        lanes.submit("its activity's", _nothing)
        decision = await there.decided()
        assert (decision.disposition, decision.tries) == (Disposition.COALESCED, 1)
        assert await lanes.drain(PLENTY)


async def test_a_heartbeat_that_queued_is_not_sent_once_a_later_event_is_here() -> None:
    async with ways([OK]) as there:
        bulkhead = there.script.means.bulkheads["orders"]
        while bulkhead.try_enter():
            pass

        async def beat(lane: Lane) -> None:
            await there.go(lane=lane)

        lanes = Lanes()
        lanes.submit("its activity's", beat)
        await eventually(lambda: bulkhead.state[1], what="a heartbeat in the queue")
        lanes.submit("its activity's", _nothing)
        bulkhead.leave()
        assert (await there.decided()).disposition is Disposition.COALESCED
        assert there.calls == 0
        assert await lanes.drain(PLENTY)
