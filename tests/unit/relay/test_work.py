"""One delivered record on its way to the journal: parked ones, those behind them, and defects of ours."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import repeat
from typing import Any

import pytest
from temporalio.api.failure.v1 import Failure
from tests.unit.relay.fakes import NOW, OK
from tests.unit.relay.ways import BY_IDS, STARTED
from tests.unit.relay.workbench import (
    FAILED,
    HALTED,
    PARTITION,
    PLENTY,
    RELAY,
    TOPICS,
    UNAVAILABLE,
    Bench,
    audit_of,
    event,
    fresh,
    parked,
    topics_of,
)

from completion_relay.copies import fingerprint
from completion_relay.decision import Delivery
from completion_relay.instruction import Hold, Instruction
from completion_relay.parking import PREFIX, read_ticket
from completion_relay.pipeline import Pipeline
from completion_relay.verdict import Answer
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.events import (
    Completed,
    CompletionEvent,
    Failed,
    Heartbeat,
    Outcome,
    UnixNanos,
)
from completion_schemas.record import KafkaRecord


async def test_a_parked_event_is_left_alone_until_its_time() -> None:
    bench = Bench([OK])
    bench.receive(parked(bench, event(), first=7, at=40, seconds=5.0, after=FAILED))
    await bench.clock.until_pending(1)
    assert bench.clock.pending == [5.0]
    bench.clock.advance(5.0)
    await bench.done()
    (entry,) = bench.entries
    assert entry.offset == 40


async def test_a_parked_event_that_nothing_but_its_namespace_kept_is_tried_before_its_time() -> (
    None
):
    """It queues there instead, or a backlog would come back no faster than a window a minute."""
    bench = Bench([OK])
    bench.receive(parked(bench, event(), first=7, at=40, seconds=50.0))
    await bench.done()
    assert audit_of(bench.entries[0]).disposition is Disposition.APPLIED


async def test_one_that_is_behind_a_parked_one_waits_for_its_time_all_the_same() -> None:
    """It would be written again and again."""
    bench = Bench()
    bench.order.park(bench.key(event()), 6)
    bench.receive(parked(bench, event(), first=7, at=40, seconds=5.0))
    await bench.clock.until_pending(1)
    assert bench.clock.pending == [5.0]
    bench.order.decided(bench.key(event()), 6)
    bench.script.sends.answers = iter([OK])
    bench.clock.advance(5.0)
    await bench.done()
    assert audit_of(bench.entries[0]).disposition is Disposition.APPLIED


async def test_a_parked_event_keeps_the_identity_of_its_first_position() -> None:
    """At Temporal and in the audit trail; the tries before count."""
    bench = Bench([OK])
    bench.receive(parked(bench, event(), first=7, at=40, seconds=0.0))
    await bench.done()
    audit = audit_of(bench.entries[0])
    assert (audit.topic, audit.partition, audit.offset) == (TOPICS.completions, PARTITION, 7)
    assert audit.received_at == NOW
    assert audit.tries == HALTED.former.tries + 1
    (call,) = bench.script.sends.calls
    assert call.identity.endswith(f"{TOPICS.completions}/{PARTITION}/7")


async def test_a_parked_event_that_waits_is_let_go_when_the_partitions_are_given_up() -> None:
    bench = Bench()
    bench.receive(parked(bench, event(), first=7, at=40, after=FAILED))
    await bench.clock.until_pending(1)
    assert not await bench.given_up()
    assert bench.entries == []
    assert bench.clock.pending == []


async def test_no_later_event_goes_ahead_of_a_parked_one_that_was_let_go() -> None:
    """Its own time has come, and it is next in the lane."""
    bench = Bench()
    bench.receive(parked(bench, event("e-1"), first=7, at=40, seconds=50.0, after=FAILED))
    bench.receive(parked(bench, event("e-2"), first=8, at=41, seconds=0.0))
    await bench.clock.until_pending(1)
    assert not await bench.given_up()
    assert bench.script.sends.calls == []
    assert bench.entries == []


async def test_no_later_event_goes_ahead_of_one_that_was_let_go_after_a_refusal() -> None:
    """It is left undecided as well: both are delivered again, in their order."""
    bench = Bench([UNAVAILABLE, OK])
    bench.receive(fresh(event("e-1"), 7))
    bench.receive(fresh(event("e-2"), 8))
    await bench.clock.until_pending(1)
    assert not await bench.given_up()
    assert len(bench.script.sends.calls) == 1
    assert bench.entries == []
    assert bench.clock.pending == []


async def test_what_waits_out_a_defect_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench([OK])
    fails_once(bench.pipeline, "decide", monkeypatch)
    bench.receive(fresh(event("e-1"), 1))
    await bench.clock.until_pending(1)
    assert not await bench.given_up()
    assert bench.entries == []
    assert bench.clock.pending == []


async def test_what_waits_for_nothing_is_decided_while_its_partition_is_given_up() -> None:
    """With all that is behind it in its lane."""
    bench = Bench([OK, OK])
    bench.receive(fresh(event("e-1"), 7))
    bench.receive(fresh(event("e-2"), 8))
    assert await bench.given_up()
    assert [entry.offset for entry in bench.entries] == [7, 8]


@pytest.mark.parametrize(
    ("outcome", "parked_with"),
    [
        pytest.param(Failed(Failure(message="no")), ["yes"], id="a failure, which may be retried"),
        pytest.param(Completed(), [], id="a completion, which may land twice"),
    ],
)
async def test_a_call_by_ids_that_the_end_of_a_drain_cuts_short_is_told_of(
    outcome: Outcome, parked_with: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has the partition next would look once, find it pending, and burn a second attempt."""
    bench = Bench(findings=repeat(STARTED))
    is_sent = never_answered(bench, monkeypatch)
    for offset in (7, 8):
        one = replace(event(f"e-{offset}"), activity=BY_IDS, outcome=outcome)
        bench.receive(fresh(one, offset))
    async with asyncio.timeout(PLENTY):
        await is_sent.wait()
        for place in bench.places:
            place.closing.set()
        assert not await bench.lanes.drain(0.0)
    may_land = [dict(copy.headers)[PREFIX + "may-land"] for copy in copies(bench)]
    assert may_land == [text.encode() for text in parked_with]
    assert [entry.offset for entry in bench.entries] == [7] * len(parked_with)
    assert bench.script.means.bulkheads["orders"].in_flight == 0


async def test_a_lane_that_is_cancelled_while_nobody_gives_its_partition_up_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The process ends: nobody would write it any more."""
    bench = Bench(findings=repeat(STARTED))
    is_sent = never_answered(bench, monkeypatch)
    failed = Failed(Failure(message="no"))
    bench.receive(fresh(replace(event(), activity=BY_IDS, outcome=failed), 7))
    async with asyncio.timeout(PLENTY):
        await is_sent.wait()
        assert not await bench.lanes.drain(0.0)
    assert bench.entries == []


def never_answered(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Have Temporal answer no completion call; return what is set by one."""
    is_sent = asyncio.Event()

    async def send(*_: object) -> Answer:
        is_sent.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(bench.script.sends, "send", send)
    return is_sent


def copies(bench: Bench) -> list[KafkaRecord]:
    """Return what was parked."""
    records = [record for entry in bench.entries for record in entry.records]
    return [record for topic, record in records if topic == TOPICS.parked]


async def test_a_time_that_no_relay_writes_holds_nobody_up_for_longer_than_one_would() -> None:
    bench = Bench([OK])
    bench.receive(
        parked(bench, event(), first=7, at=40, seconds=200 * 365 * 86_400.0, after=FAILED)
    )
    await bench.clock.until_pending(1)
    assert bench.clock.pending == [RELAY.park_maximum]
    assert not await bench.given_up()


async def test_a_wall_clock_that_is_set_back_holds_up_no_parked_event_that_waits() -> None:
    bench = Bench([OK])
    bench.receive(parked(bench, event(), first=7, at=40, seconds=50.0, after=FAILED))
    await bench.clock.until_pending(1)
    bench.clock.set_back = 3_600.0
    bench.clock.advance(RELAY.park_maximum)
    await bench.done()
    assert audit_of(bench.entries[0]).disposition is Disposition.APPLIED


async def test_a_parked_heartbeat_holds_up_no_later_event_of_its_activity() -> None:
    """Of heartbeats only the last says something; its completion waited for a minute behind one."""
    bench = Bench([OK])
    bench.receive(parked(bench, heartbeat(), first=7, at=40, seconds=50.0, after=FAILED))
    await bench.clock.until_pending(1)
    bench.receive(parked(bench, event("e-2"), first=8, at=41, seconds=50.0))
    await bench.done()
    ends = [(entry.offset, audit_of(entry).disposition) for entry in bench.entries]
    assert ends == [(40, Disposition.COALESCED), (41, Disposition.APPLIED)]
    assert audit_of(bench.entries[0]).tries == FAILED.former.tries
    assert bench.clock.monotonic() == 0.0


async def test_a_parked_heartbeat_gives_way_to_no_earlier_event_that_is_parked_anew() -> None:
    """Which is behind it on the parked topic alone."""
    bench = Bench()
    bench.order.park(bench.key(event()), 6)
    bench.receive(parked(bench, heartbeat(), first=7, at=40, seconds=5.0))
    await bench.clock.until_pending(1)
    bench.receive(parked(bench, event("e-0"), first=6, at=41, seconds=50.0, after=FAILED))
    bench.clock.advance(5.0)
    await bench.journals.until(1)
    assert (bench.entries[0].offset, topics_of(bench.entries[0])) == (40, [TOPICS.parked])
    assert not await bench.given_up()


async def test_a_heartbeat_that_an_operator_has_parked_stays_so_whatever_follows_it() -> None:
    bench = Bench()
    hold = Hold(by="anna", why="mended at noon", until=UnixNanos(NOW + 3_600 * 10**9))
    bench.receive(parked(bench, heartbeat(), first=7, at=40, seconds=5.0, hold=hold))
    await bench.clock.until_pending(1)
    bench.receive(parked(bench, event("e-2"), first=8, at=41, seconds=50.0))
    bench.clock.advance(5.0)
    await bench.journals.until(1)
    assert (bench.entries[0].offset, topics_of(bench.entries[0])) == (40, [TOPICS.parked])
    assert not await bench.given_up()


def heartbeat() -> CompletionEvent:
    return replace(event(), outcome=Heartbeat())


async def test_a_later_event_follows_a_parked_one_of_its_activity() -> None:
    bench = Bench()
    bench.order.park(bench.key(event()), 7)
    bench.receive(fresh(event("e-2"), 8))
    await bench.done()
    (entry,) = bench.entries
    assert topics_of(entry) == [TOPICS.parked]
    ticket = read_ticket(entry.records[0][1].headers, of=TOPICS.completions)
    assert (ticket.offset, ticket.key, ticket.times) == (8, bench.key(event()), 1)
    assert bench.script.sends.calls == []


async def test_a_later_event_does_not_wait_in_the_window_for_a_parked_one() -> None:
    """It would fill the window of events that other namespaces need, and no crowd would end that."""
    bench = Bench()
    bench.receive(parked(bench, event("e-1"), first=7, at=40, seconds=50.0, after=FAILED))
    bench.receive(fresh(event("e-2"), 8))
    await bench.journals.until(1)
    assert topics_of(bench.entries[0]) == [TOPICS.parked]
    assert not await bench.given_up()


async def test_an_event_of_another_activity_does_not_follow() -> None:
    bench = Bench([OK])
    bench.order.park(bench.key(event()), 7)
    bench.receive(fresh(event("e-2", token=b"another task token"), 8))
    await bench.done()
    assert audit_of(bench.entries[0]).disposition is Disposition.APPLIED


async def test_an_earlier_event_does_not_follow_a_later_one_that_is_parked() -> None:
    bench = Bench([OK])
    bench.order.park(bench.key(event()), 9)
    bench.receive(fresh(event("e-2"), 8))
    await bench.done()
    assert audit_of(bench.entries[0]).disposition is Disposition.APPLIED


async def test_a_parked_event_that_another_member_parked_is_not_overtaken() -> None:
    """The takeover has not seen it: it was not there yet."""
    bench = Bench()
    bench.receive(parked(bench, event("e-1"), first=7, at=40, seconds=50.0, after=FAILED))
    assert bench.order.before(bench.key(event()), 8) == 7
    assert not await bench.given_up()


async def test_when_a_parked_event_is_decided_later_ones_go_on() -> None:
    bench = Bench([OK, OK])
    bench.receive(parked(bench, event("e-1"), first=7, at=40, seconds=0.0))
    await bench.done()
    bench.receive(fresh(event("e-2"), 8))
    await bench.done()
    dispositions = [audit_of(entry).disposition for entry in bench.entries]
    assert dispositions == [Disposition.APPLIED, Disposition.APPLIED]
    assert len(bench.order) == 0


@pytest.mark.parametrize(("times", "longest"), [(1, 8.0), (2, 16.0), (3, 32.0), (9, 60.0)])
async def test_an_event_that_is_parked_again_waits_longer(times: int, longest: float) -> None:
    bench = Bench()
    bench.order.park(bench.key(event()), 6)
    bench.receive(parked(bench, event(), first=7, at=40, seconds=0.0, times=times))
    await bench.done()
    (entry,) = bench.entries
    assert (entry.offset, topics_of(entry)) == (40, [TOPICS.parked])
    ticket = read_ticket(entry.records[0][1].headers, of=TOPICS.completions)
    assert ticket.times == times + 1
    assert ticket.former.tries == HALTED.former.tries
    assert longest / 2 <= (ticket.not_before - bench.clock.now()) / 1e9 <= longest


async def test_what_could_not_be_parked_is_tried_again_and_its_tries_count() -> None:
    bench = Bench(repeat(UNAVAILABLE))
    bench.receive(fresh(event(), 7))
    await bench.clock.until_pending(1)
    bench.places[0].crowded.set()
    bench.clock.advance(1.0)
    await bench.done()
    (copy,) = bench.entries
    assert topics_of(copy) == [TOPICS.parked]
    bench.script.sends.answers = iter([OK])
    assert copy.again is not None
    copy.again()
    await bench.done()
    audit = audit_of(bench.entries[1])
    assert (audit.disposition, audit.tries) == (Disposition.APPLIED, 3)
    assert bench.entries[1].offset == 7
    assert bench.entries[1].again is None
    assert len(bench.order) == 0


async def test_what_could_not_be_parked_is_not_overtaken_and_overtakes_nobody() -> None:
    """Neither by what comes while it is held, nor when it is tried again."""
    bench = Bench([OK, OK, OK])
    key = bench.key(event())
    bench.order.park(key, 6)
    bench.receive(fresh(event("e-2"), 7))
    bench.receive(fresh(event("e-3"), 8))
    await bench.done()
    for copy in bench.entries[:2]:
        assert copy.again is not None
        copy.again()
    await bench.done()
    assert [topics_of(entry) for entry in bench.entries] == [[TOPICS.parked]] * 4
    bench.order.decided(key, 6)
    bench.receive(fresh(event("e-4"), 9))
    await bench.done()
    assert topics_of(bench.entries[4]) == [TOPICS.parked]
    assert bench.script.sends.calls == []
    for copy in bench.entries[2:5]:
        assert copy.again is not None
        copy.again()
    await bench.done()
    assert [audit_of(entry).offset for entry in bench.entries[5:]] == [7, 8, 9]


async def test_after_a_restart_a_parked_event_waits_for_one_that_was_too_large_to_be_parked() -> (
    None
):
    """Only the one that was parked is known then: they were decided side by side."""
    before = Bench()
    before.order.park(before.key(event()), 7)  # put aside
    before.receive(fresh(event("e-2"), 8))
    await before.done()
    (copy,) = copies(before)

    bench = Bench([OK, OK])
    bench.order.park(bench.key(event()), 8)
    bench.ledger(TOPICS.completions)
    bench.receive(Delivery(TOPICS.parked, PARTITION, 41, 0, copy, NOW))
    await bench.clock.until_pending(1)
    bench.ledger(TOPICS.completions).receive(7, size=1, at=0.0)
    bench.receive(fresh(event("e-1"), 7))
    await bench.journals.until(1)
    bench.ledger(TOPICS.completions).settle(7)
    bench.clock.advance(RELAY.park_maximum)
    await bench.done()
    ends = [(audit_of(entry).offset, audit_of(entry).disposition) for entry in bench.entries]
    assert ends == [(7, Disposition.APPLIED), (8, Disposition.APPLIED)]


async def test_an_event_that_still_waits_for_such_a_one_says_so_again() -> None:
    bench = Bench()
    bench.ledger(TOPICS.completions)
    behind = replace(HALTED, former=replace(HALTED.former, behind=7))
    bench.receive(parked(bench, event("e-2"), first=9, at=41, seconds=0.0, after=behind))
    await bench.done()
    (copy,) = copies(bench)
    assert read_ticket(copy.headers, of=TOPICS.completions).former.behind == 7


async def test_an_event_does_not_wait_for_one_that_its_topic_has_lost() -> None:
    """It was made anew, or lost its end: what is not there is never decided."""
    bench = Bench([OK])
    bench.ledger(TOPICS.completions)
    bench.end = 7
    behind = replace(HALTED, former=replace(HALTED.former, behind=7))
    bench.receive(parked(bench, event("e-2"), first=9, at=41, seconds=50.0, after=behind))
    await bench.done()
    assert audit_of(bench.entries[0]).disposition is Disposition.APPLIED


def to_skip(event_id: str) -> Instruction:
    return Instruction(
        topic=TOPICS.completions,
        partition=PARTITION,
        offset=7,
        event_id=event_id,
        by="ann",
        why="by mistake",
        at=NOW,
        until=None,
    )


def found_again(
    bench: Bench, one: CompletionEvent, *copies: Delivery, first: int, is_to_come: bool = True
) -> None:
    """Have a takeover find an event's copies although its first record is to come: the offsets were set back."""
    bench.ledger(TOPICS.completions)
    record = fresh(one, first).record
    for copy in copies:
        bench.order.park(bench.key(one), first)
        what = fingerprint(record.key, record.value, record.headers)
        bench.order.copies.note(first, at=copy.offset, what=what, is_to_come=is_to_come)


async def test_of_an_event_that_is_there_more_than_once_the_last_copy_counts() -> None:
    """Each of them was decided: one that an operator had skipped by one was applied by another."""
    bench = Bench([OK])
    earlier, last = (parked(bench, event(), first=7, at=at, seconds=0.0) for at in (41, 42))
    found_again(bench, event(), earlier, last, first=7)
    bench.ledger(TOPICS.completions).receive(7, size=1, at=0.0)
    bench.receive(fresh(event(), 7))
    bench.receive(earlier)
    await bench.journals.until(2)
    assert [(entry.offset, entry.records) for entry in bench.entries] == [(7, ()), (41, ())]
    bench.ledger(TOPICS.completions).settle(7)
    bench.receive(last)
    await bench.done()
    audit = audit_of(bench.entries[2])
    assert (audit.topic, audit.offset, audit.disposition) == (
        TOPICS.completions,
        7,
        Disposition.APPLIED,
    )
    assert bench.entries[2].offset == 42


async def test_a_copy_does_not_wait_for_a_first_record_that_its_topic_has_lost() -> None:
    """It was made anew, or lost its end; one that was parked twice waited for ever, and could not be skipped."""
    bench = Bench([OK])
    earlier, last = (parked(bench, event(), first=7, at=at, seconds=0.0) for at in (41, 42))
    found_again(bench, event(), earlier, last, first=7, is_to_come=False)
    bench.receive(earlier)
    bench.receive(last)
    await bench.done()
    assert bench.entries[0].records == ()
    assert audit_of(bench.entries[1]).disposition is Disposition.APPLIED


async def test_a_copy_that_is_behind_another_event_still_says_so_while_it_waits_for_its_first_record() -> (
    None
):
    bench = Bench()
    behind = replace(HALTED, former=replace(HALTED.former, behind=5))
    copy = parked(bench, event(), first=7, at=41, seconds=0.0, after=behind)
    found_again(bench, event(), copy, first=7)
    bench.receive(copy)
    await bench.done()
    (again,) = copies(bench)
    assert read_ticket(again.headers, of=TOPICS.completions).former.behind == 5


async def test_an_instruction_for_another_event_at_the_place_of_a_parked_one_is_kept_for_that() -> (
    None
):
    """The topic was made anew: the old copy ended it as refused, and the event was applied."""
    bench = Bench()
    copy = parked(bench, event("e-before"), first=7, at=41, seconds=0.0)
    found_again(bench, event("e-before"), copy, first=7)
    bench.instructions.tell(to_skip("e-anew"))
    bench.receive(copy)
    await bench.done()
    bench.ledger(TOPICS.completions).receive(7, size=1, at=0.0)
    bench.receive(fresh(event("e-anew"), 7))
    await bench.done()
    audit = audit_of(bench.entries[1])
    assert (audit.event_id, audit.disposition) == ("e-anew", Disposition.SKIPPED)


async def test_another_record_at_the_place_of_a_parked_one_is_decided_and_so_is_that() -> None:
    """The topic was made anew: neither may be lost for the other."""
    bench = Bench([OK, OK])
    copy = parked(bench, event("e-before"), first=7, at=41, seconds=0.0)
    found_again(bench, event("e-before"), copy, first=7)
    bench.ledger(TOPICS.completions).receive(7, size=1, at=0.0)
    bench.receive(fresh(event("e-anew"), 7))
    await bench.journals.until(1)
    bench.ledger(TOPICS.completions).settle(7)
    bench.receive(copy)
    await bench.done()
    assert [audit_of(entry).event_id for entry in bench.entries] == ["e-anew", "e-before"]


async def test_a_copy_waits_until_its_first_record_is_done_with_whatever_an_operator_says() -> None:
    """Who finds the copy decided and that one not, after a crash, would decide it anew."""
    bench = Bench()
    copy = parked(bench, event(), first=7, at=41, seconds=0.0)
    found_again(bench, event(), copy, first=7)
    bench.instructions.tell(to_skip("e-1"))
    bench.receive(copy)
    await bench.done()
    (again,) = copies(bench)
    assert topics_of(bench.entries[0]) == [TOPICS.parked]
    bench.ledger(TOPICS.completions).receive(7, size=1, at=0.0)
    bench.receive(fresh(event(), 7))
    await bench.done()
    bench.ledger(TOPICS.completions).settle(7)
    bench.receive(Delivery(TOPICS.parked, PARTITION, 42, 0, again, NOW))
    await bench.done()
    assert bench.entries[1].records == ()
    assert audit_of(bench.entries[2]).disposition is Disposition.SKIPPED


async def test_what_could_not_be_parked_is_not_tried_again_while_its_partition_is_given_up() -> (
    None
):
    """A lane that is begun during the drain would go on beside whoever has the partition next."""
    bench = Bench([OK])
    bench.order.park(bench.key(event()), 6)
    bench.receive(fresh(event("e-2"), 7))
    await bench.done()
    bench.order.decided(bench.key(event()), 6)
    await bench.given_up()
    (copy,) = bench.entries
    assert copy.again is not None
    copy.again()
    assert len(bench.lanes) == 0
    assert bench.script.sends.calls == []


async def test_what_no_relay_has_parked_is_a_dead_letter_at_its_own_position() -> None:
    bench = Bench()
    good = parked(bench, event(), first=7, at=40).record
    headers = tuple((n, b"x" if n == PREFIX + "offset" else v) for n, v in good.headers)
    forged = KafkaRecord(good.key, good.value, headers)
    bench.receive(Delivery(TOPICS.parked, PARTITION, 40, 0, forged, NOW))
    await bench.done()
    (entry,) = bench.entries
    assert topics_of(entry) == [TOPICS.dead_letter, TOPICS.audit]
    audit = audit_of(entry)
    assert (audit.topic, audit.partition, audit.offset) == (TOPICS.parked, PARTITION, 40)
    assert audit.reason is DeadLetterReason.UNDECODABLE
    assert f"{PREFIX}offset" in audit.detail
    assert bench.script.sends.calls == []


async def test_a_defect_in_planning_holds_up_that_record_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench([OK, OK])
    fails_once(bench.pipeline, "plan", monkeypatch)
    bench.receive(fresh(event("e-1"), 1))
    bench.receive(fresh(event("e-2", token=b"another task token"), 2))
    await bench.done()
    assert [entry.offset for entry in bench.entries] == [1, 2]


async def test_a_parked_event_keeps_its_identity_after_a_defect_in_planning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench([OK])
    delivery = parked(bench, event(), first=7, at=40, seconds=0.0)
    bench.order.park(bench.key(event()), 7)
    fails_once(bench.pipeline, "plan", monkeypatch)
    bench.receive(delivery)
    await bench.done()
    (entry,) = bench.entries
    assert entry.offset == 40
    assert audit_of(entry).offset == 7
    assert len(bench.order) == 0


async def test_a_defect_in_deciding_is_waited_out_and_holds_up_that_record_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench([OK, OK])
    fails_once(bench.pipeline, "decide", monkeypatch)
    bench.receive(fresh(event("e-1"), 1))
    bench.receive(fresh(event("e-2", token=b"another task token"), 2))
    await bench.clock.until_pending(1)
    await bench.journals.until(1)
    assert [entry.offset for entry in bench.entries] == [2]
    bench.clock.advance(RELAY.retry_initial)
    await bench.done()
    assert [entry.offset for entry in bench.entries] == [2, 1]


def fails_once(pipeline: Pipeline, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a step of the pipeline raise at its first call."""
    original = getattr(pipeline, method)
    failed = False

    def fails(*args: Any, **options: Any) -> Any:
        nonlocal failed
        if not failed:
            failed = True
            raise RuntimeError("a defect")
        return original(*args, **options)

    monkeypatch.setattr(pipeline, method, fails)
