"""An event that an operator speaks of: it heeds that wherever it waits, and the instruction is settled after it."""

from __future__ import annotations

import asyncio
from itertools import chain, cycle, repeat
from types import SimpleNamespace
from typing import cast

import pytest
from aiokafka.structs import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st
from tests.support import eventually
from tests.unit.relay.fakes import NOW, OK
from tests.unit.relay.test_letting_go import a_timer_or_the_end, held_back
from tests.unit.relay.ways import (
    BY_IDS,
    BY_TOKEN,
    DENIED,
    NOT_FOUND,
    PLENTY,
    STARTED,
    THROTTLED,
    UNAVAILABLE,
    ways,
)
from tests.unit.relay.workbench import (
    FAILED,
    HALTED,
    PARTITION,
    RELAY,
    TOPICS,
    Bench,
    audit_of,
    event,
    fresh,
    parked,
    topics_of,
)

from completion_relay.decision import Decision, Delivery, Park
from completion_relay.entry import Entry
from completion_relay.evidence import Finding, Undetermined
from completion_relay.instruction import Hold, Instruction, instruction_record
from completion_relay.ledger import PartitionLedger
from completion_relay.parking import Ticket, read_ticket
from completion_relay.place import ToldError
from completion_relay.verdict import Answer
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.events import UnixNanos
from completion_schemas.record import KafkaRecord

HOUR = 3_600 * 10**9
BY_ANN = "by ann: ticket 7"


def instruction(offset: int = 7, *, hours: float | None = None, event_id: str = "e-1") -> Delivery:
    """Return an instruction as it is read from the parked topic: to skip, or to park for so long."""
    record = instruction_record(
        Instruction(
            topic=TOPICS.completions,
            partition=PARTITION,
            offset=offset,
            event_id=event_id,
            by="ann",
            why="ticket 7",
            at=NOW,
            until=None if hours is None else UnixNanos(NOW + round(hours * HOUR)),
        )
    )
    return Delivery(TOPICS.parked, PARTITION, 90, 0, record, NOW)


def received(bench: Bench, delivery: Delivery) -> None:
    """Receive a record as a member does, who knows that it is undecided."""
    bench.ledger(delivery.topic).receive(delivery.offset, size=1, at=0.0)
    bench.receive(delivery)


def written(bench: Bench, entry: Entry) -> None:
    """Have what a record leaves behind become durable."""
    topic = TOPICS.parked if entry.offset in (40, 41, 90) else TOPICS.completions
    bench.ledger(topic).settle(entry.offset)
    entry.on_durable()


def ticket_of(entry: Entry) -> Ticket:
    (record,) = [record for topic, record in entry.records if topic == TOPICS.parked]
    return read_ticket(record.headers, of=TOPICS.completions)


async def test_an_event_in_backoff_is_skipped_and_the_next_of_its_activity_goes_on() -> None:
    bench = Bench([UNAVAILABLE, OK])
    received(bench, fresh(event("e-1"), 7))
    received(bench, fresh(event("e-2"), 8))
    await bench.clock.until_pending(1)
    received(bench, instruction())
    await bench.journals.until(2)
    skipped, applied = (audit_of(entry) for entry in bench.entries)
    assert (skipped.disposition, skipped.detail) == (Disposition.SKIPPED, BY_ANN)
    assert (skipped.tries, skipped.rpc_status) == (1, "UNAVAILABLE")
    assert [call.status for call in skipped.calls] == ["UNAVAILABLE"]
    assert applied.disposition is Disposition.APPLIED
    await bench.given_up()


async def test_an_instruction_is_settled_once_what_it_asked_for_is_durable() -> None:
    bench = Bench([UNAVAILABLE])
    received(bench, fresh(event("e-1"), 7))
    await bench.clock.until_pending(1)
    received(bench, instruction())
    await bench.journals.until(1)
    await bench.clock.until_pending(1)
    assert len(bench.entries) == 1
    written(bench, bench.entries[0])
    await bench.done()
    settled = bench.entries[1]
    assert (settled.offset, settled.records) == (90, ())
    assert len(bench.instructions) == 0


async def test_an_instruction_that_comes_first_is_heeded_when_its_event_does() -> None:
    """No call is made."""
    bench = Bench()
    bench.ledger(TOPICS.completions)
    received(bench, instruction())
    await bench.clock.until_pending(1)
    received(bench, fresh(event("e-1"), 7))
    await bench.journals.until(1)
    assert audit_of(bench.entries[0]).disposition is Disposition.SKIPPED
    assert bench.script.sends.calls == []
    await bench.given_up()


async def test_a_parked_event_that_waits_for_its_time_is_skipped() -> None:
    """And those of its activity that came after it go on."""
    bench = Bench([OK])
    bench.receive(parked(bench, event("e-1"), first=7, at=40, seconds=50.0, after=FAILED))
    await bench.clock.until_pending(1)
    bench.receive(instruction())
    await bench.journals.until(1)
    audit = audit_of(bench.entries[0])
    assert (audit.offset, audit.disposition, audit.tries) == (
        7,
        Disposition.SKIPPED,
        HALTED.former.tries,
    )
    bench.receive(fresh(event("e-2"), 8))
    await bench.journals.until(2)
    assert audit_of(bench.entries[1]).disposition is Disposition.APPLIED
    await bench.given_up()


async def test_what_is_no_event_can_be_skipped_too() -> None:
    """By its position alone: it has no id that could be read."""
    bench = Bench()
    bench.ledger(TOPICS.completions)
    bench.receive(instruction(event_id=""))
    await bench.clock.until_pending(1)
    garbage = KafkaRecord(None, b"garbage", ())
    bench.receive(Delivery(TOPICS.completions, PARTITION, 7, 0, garbage, NOW))
    await bench.journals.until(1)
    assert topics_of(bench.entries[0]) == [TOPICS.audit]
    assert audit_of(bench.entries[0]).disposition is Disposition.SKIPPED
    await bench.given_up()


async def test_what_is_no_event_cannot_be_parked() -> None:
    bench = Bench()
    bench.ledger(TOPICS.completions)
    bench.receive(instruction(event_id="", hours=1))
    await bench.clock.until_pending(1)
    garbage = KafkaRecord(None, b"garbage", ())
    bench.receive(Delivery(TOPICS.completions, PARTITION, 7, 0, garbage, NOW))
    await bench.journals.until(1)
    assert audit_of(bench.entries[0]).reason is DeadLetterReason.UNDECODABLE
    await bench.given_up()


async def test_a_call_under_way_is_heard_out_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench([OK])
    async with ways([OK]) as there:
        there.script = bench.script
        is_sent, is_answered = held_back(there, monkeypatch)
        received(bench, fresh(event("e-1"), 7))
        await asyncio.wait_for(is_sent.wait(), 10)
        received(bench, instruction())
        await bench.clock.until_pending(1)
        is_answered.set()
        await bench.journals.until(1)
    assert audit_of(bench.entries[0]).disposition is Disposition.APPLIED
    written(bench, bench.entries[0])
    await bench.done()
    assert (bench.entries[1].offset, bench.entries[1].records) == (90, ())


async def test_a_call_under_way_that_comes_back_undecided_is_the_last_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench([UNAVAILABLE])
    async with ways([OK]) as there:
        there.script = bench.script
        is_sent, is_answered = held_back(there, monkeypatch)
        bench.receive(fresh(event("e-1"), 7))
        await asyncio.wait_for(is_sent.wait(), 10)
        bench.instructions.hear(
            None, instruction().record.headers, of=TOPICS.completions, number=PARTITION
        )
        is_answered.set()
        await bench.done()
    audit = audit_of(bench.entries[0])
    assert (audit.disposition, audit.tries) == (Disposition.SKIPPED, 1)


async def test_an_event_in_a_queue_that_moves_is_skipped() -> None:
    bench = Bench()
    bulkhead = bench.script.means.bulkheads["orders"]
    while bulkhead.try_enter():
        pass
    bench.receive(fresh(event("e-1"), 7))
    await eventually(lambda: bulkhead._queue, what="an event in the queue")
    bench.receive(instruction())
    await bench.journals.until(1)
    assert audit_of(bench.entries[0]).disposition is Disposition.SKIPPED
    assert not bulkhead._queue
    await bench.given_up()


async def test_an_event_that_was_decided_before_is_left_as_it_is() -> None:
    bench = Bench([OK])
    received(bench, fresh(event("e-1"), 7))
    await bench.journals.until(1)
    received(bench, instruction())
    await bench.clock.until_pending(1)
    assert len(bench.entries) == 1, "the decision is not durable yet"
    written(bench, bench.entries[0])
    bench.clock.advance(1.0)
    await bench.done()
    assert [entry.records for entry in bench.entries[1:]] == [()]


async def test_an_event_that_is_not_there_is_not_waited_for() -> None:
    bench = Bench()
    bench.ledger(TOPICS.completions)
    bench.end = 7
    bench.receive(instruction(7))
    await bench.done()
    assert bench.entries[0].records == ()


async def test_an_event_is_waited_for_while_kafka_does_not_say_where_its_partition_ends() -> None:
    bench = Bench()
    bench.ledger(TOPICS.completions)
    bench.end = None
    bench.receive(instruction(7))
    await bench.clock.until_pending(1)
    assert bench.entries == []
    bench.end = 7
    bench.clock.advance(1.0)
    await bench.done()
    assert bench.entries[0].records == ()


async def test_an_instruction_that_waits_for_long_makes_room_for_what_is_parked_behind_it() -> None:
    """It is written anew, as what is parked is, and heeded all the same."""
    bench = Bench()
    bench.ledger(TOPICS.completions)
    first = instruction(7)
    bench.receive(first)
    await passed(bench, RELAY.park_maximum)
    await bench.done()
    (again,) = bench.entries
    assert again.records == ((TOPICS.parked, first.record),)
    assert len(bench.instructions) == 1


async def passed(bench: Bench, seconds: float) -> None:
    """Let time pass in steps of a second, while something waits for each."""
    for _ in range(round(seconds)):
        await bench.clock.until_pending(1)
        bench.clock.advance(1.0)


async def test_a_defect_does_not_lose_an_instruction(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.ledger(TOPICS.completions)
    original, failed = bench.instructions.tell, False

    def fails_once(said: Instruction) -> object:
        nonlocal failed
        if not failed:
            failed = True
            raise RuntimeError("a defect")
        return original(said)

    monkeypatch.setattr(type(bench.instructions), "tell", lambda _, said: fails_once(said))
    bench.end = 7
    bench.receive(instruction(7))
    await bench.clock.until_pending(1)
    bench.clock.advance(RELAY.retry_initial)
    await bench.done()
    assert bench.entries[0].offset == 90


async def test_an_instruction_whose_partitions_are_given_up_is_left_to_the_next_relay() -> None:
    bench = Bench(repeat(UNAVAILABLE))
    bench.ledger(TOPICS.completions)
    bench.receive(instruction())
    await bench.clock.until_pending(1)
    assert not await bench.given_up()
    assert bench.entries == []


async def test_an_event_that_an_operator_parks_is_parked_at_once_and_says_so() -> None:
    bench = Bench([UNAVAILABLE])
    received(bench, fresh(event("e-1"), 7))
    await bench.clock.until_pending(1)
    received(bench, instruction(hours=2))
    await bench.journals.until(1)
    ticket = ticket_of(bench.entries[0])
    assert ticket.hold == Hold(by="ann", why="ticket 7", until=UnixNanos(NOW + 2 * HOUR))
    assert (ticket.offset, ticket.former.tries) == (7, 1)
    assert ticket.not_before == bench.clock.now() + RELAY.park_maximum * 1e9
    written(bench, bench.entries[0])
    await bench.done()
    assert bench.entries[1].records == ()


async def test_an_event_that_an_operator_parked_is_parked_again_and_not_tried_until_its_time() -> (
    None
):
    """At the head of its partition it would fill the window with what was parked behind it."""
    bench = Bench()
    hold = Hold(by="ann", why="ticket 7", until=UnixNanos(NOW + HOUR))
    bench.receive(parked(bench, event(), first=7, at=40, seconds=60.0, hold=hold))
    await bench.clock.until_pending(1)
    bench.clock.advance(60.0)
    await bench.done()
    (entry,) = bench.entries
    assert ticket_of(entry).hold == hold
    assert bench.script.sends.calls == []


async def test_an_event_that_an_operator_parked_is_applied_after_its_time_and_says_so() -> None:
    bench = Bench([OK])
    hold = Hold(by="ann", why="ticket 7", until=UnixNanos(NOW + 60 * 10**9))
    bench.receive(parked(bench, event(), first=7, at=40, seconds=60.0, hold=hold))
    await bench.clock.until_pending(1)
    bench.clock.advance(60.0)
    await bench.done()
    audit = audit_of(bench.entries[0])
    assert (audit.disposition, audit.detail) == (Disposition.APPLIED, f"parked {BY_ANN}")


async def test_an_event_that_could_not_be_parked_for_an_operator_is_not_tried_meanwhile() -> None:
    """The parked topic takes less than the events' topic: it is held, and comes by again."""
    bench = Bench()
    bench.ledger(TOPICS.completions)
    received(bench, instruction(hours=1))
    await bench.clock.until_pending(1)
    received(bench, fresh(event("e-1"), 7))
    await bench.journals.until(1)
    copy = bench.entries[0]
    assert copy.again is not None
    copy.again()
    await bench.journals.until(2)
    assert ticket_of(bench.entries[1]).hold is not None
    assert bench.script.sends.calls == []
    written(bench, bench.entries[1])
    await bench.done()
    assert (bench.entries[2].offset, bench.entries[2].records) == (90, ())


async def test_an_event_that_an_operator_parked_can_be_skipped() -> None:
    bench = Bench()
    hold = Hold(by="bob", why="lunch", until=UnixNanos(NOW + HOUR))
    bench.receive(parked(bench, event(), first=7, at=40, seconds=60.0, hold=hold))
    await bench.clock.until_pending(1)
    bench.receive(instruction())
    await bench.journals.until(1)
    audit = audit_of(bench.entries[0])
    assert audit.disposition is Disposition.SKIPPED
    assert audit.detail == f"{BY_ANN}; parked by bob: lunch"
    await bench.given_up()


async def test_an_instruction_that_says_nothing_clear_is_a_dead_letter_by_the_headers_name() -> (
    None
):
    bench = Bench()
    good = instruction().record
    headers = tuple(header for header in good.headers if not header[0].endswith("-why"))
    bench.receive(Delivery(TOPICS.parked, PARTITION, 90, 0, KafkaRecord(None, None, headers), NOW))
    await bench.done()
    audit = audit_of(bench.entries[0])
    assert audit.reason is DeadLetterReason.UNDECODABLE
    assert "completion-operator-why" in audit.detail


async def test_an_instruction_is_heard_when_it_is_fetched_and_settled_when_it_is_begun() -> None:
    """Where every namespace is sick no record is begun, and an event may well be why."""
    bench = Bench([UNAVAILABLE])
    received(bench, fresh(event("e-1"), 7))
    await bench.clock.until_pending(1)
    record = instruction().record
    fetched = SimpleNamespace(
        value=None, headers=record.headers, partition=PARTITION, offset=90, key=record.key
    )
    bench.held(TOPICS.parked).hear([cast("ConsumerRecord", fetched)], of=TOPICS.completions)
    await bench.journals.until(1)
    assert audit_of(bench.entries[0]).disposition is Disposition.SKIPPED
    written(bench, bench.entries[0])
    received(bench, instruction())
    await bench.done()
    assert (bench.entries[1].offset, bench.entries[1].records) == (90, ())


async def test_an_instruction_that_is_settled_is_not_heard_again() -> None:
    """A former owner had settled it ahead of what is committed, and it is fetched again."""
    bench = Bench()
    ledger = PartitionLedger(
        epoch=1, window=10, window_bytes=10**9, begin=0, settled_ahead=[range(80, 100)]
    )
    bench.ledgers[TOPICS.parked] = ledger
    fetched = SimpleNamespace(
        value=None, headers=instruction().record.headers, partition=PARTITION, offset=90
    )
    bench.held(TOPICS.parked).hear([cast("ConsumerRecord", fetched)], of=TOPICS.completions)
    assert len(bench.instructions) == 0


@given(
    answers=st.lists(
        st.sampled_from([UNAVAILABLE, THROTTLED, DENIED, NOT_FOUND, OK]), min_size=1, max_size=8
    ),
    steps=st.integers(0, 8),
    by_ids=st.booleans(),
)
async def test_whatever_came_before_an_event_that_waits_heeds_an_operator_at_once(
    answers: list[Answer],
    steps: int,
    by_ids: bool,  # noqa: FBT001 - a case
) -> None:
    """It was decided or parked before, or is skipped with its tries; and it holds no permit any more."""
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
        for number in range(3):
            there.place.instructions.tell(skip_of(number))
        async with asyncio.timeout(PLENTY):
            ended = await asyncio.gather(*there.tasks, return_exceptions=True)
        assert there.clock.monotonic() == now
        for number, end in enumerate(ended):
            assert isinstance(end, Decision | Park | ToldError), end
            if isinstance(end, ToldError):
                assert isinstance(end.outcome, Decision)
                made = [
                    call for call in there.script.sends.calls if f"e-{number}@" in call.identity
                ]
                assert end.outcome.tries == len(made)
        bulkhead = there.script.means.bulkheads["orders"]
        assert (bulkhead.in_flight, bulkhead.looks.in_flight) == (0, 0)


def skip_of(number: int) -> Instruction:
    """Return the instruction to skip an event of `ways`."""
    return Instruction(
        topic="completions",
        partition=PARTITION,
        offset=number,
        event_id=f"e-{number}",
        by="ann",
        why="ticket 7",
        at=NOW,
    )
