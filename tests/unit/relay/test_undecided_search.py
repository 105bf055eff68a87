"""Which event is found among the undecided."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
from aiokafka.structs import TopicPartition
from temporalio.api.common.v1 import Payloads
from tests.unit.relay.in_memory import InMemory, record

from completion_relay.decision import Delivery, Park
from completion_relay.instruction import Instruction, instruction_record
from completion_relay.parking import parked_record
from completion_relay.settings import Settings
from completion_relay.undecided import search as searching
from completion_relay.undecided.search import Found, Wanted, _narrowed, _search, find
from completion_relay.undecided.spans import Span, Spans
from completion_schemas.cloudevents import encode_record
from completion_schemas.events import ActivityReference, Completed, CompletionEvent, UnixNanos
from completion_schemas.record import KafkaRecord

EVENTS, PARKED = "completions", "completions.parked"
SPANS = {TopicPartition(topic, 3): Span(0, 100) for topic in (EVENTS, PARKED)}


def sent(event_id: str) -> KafkaRecord:
    return encode_record(
        CompletionEvent(
            event_id=event_id,
            occurred_at=UnixNanos(1),
            activity=ActivityReference(namespace="n", workflow_id="w", run_id="r", activity_id="1"),
            outcome=Completed(Payloads()),
        ),
        content_type="application/protobuf",
    )


def parked(event_id: str, *, offset: int) -> KafkaRecord:
    """Return the copy of an event that was at this offset of partition 3."""
    return parked_record(
        Delivery(EVENTS, 3, offset, 5_000, sent(event_id), UnixNanos(0)),
        Park(reason="halted", tries=2, first_failed_at=None, status=None),
        key="key",
        times=1,
        not_before=UnixNanos(7),
        relay_id="here",
    )


async def search(reader: InMemory, wanted: str) -> Found:
    found, meant = Found(), Wanted.parse(wanted)
    await _search(reader, _narrowed(SPANS, meant, EVENTS), meant, EVENTS, found)
    return found


async def test_an_event_is_found_by_its_id_where_it_was_written() -> None:
    reader = InMemory(record(EVENTS, 3, 8, sent("x")), record(EVENTS, 3, 9, sent("y")))
    assert list((await search(reader, "x")).undecided) == [(3, 8)]


async def test_a_parked_event_is_found_by_where_it_was_first() -> None:
    reader = InMemory(record(PARKED, 3, 40, parked("x", offset=8)))
    (event,) = (await search(reader, "x")).undecided.values()
    assert (event.place, event.topic, event.offset) == ((3, 8), PARKED, 40)


async def test_a_parked_copy_is_told_of_and_not_the_record_that_it_is_of() -> None:
    reader = InMemory(record(PARKED, 3, 40, parked("x", offset=8)), record(EVENTS, 3, 8, sent("x")))
    (event,) = (await search(reader, "x")).undecided.values()
    assert event.topic == PARKED


async def test_what_no_relay_has_parked_is_not_taken_for_the_event_at_the_same_place() -> None:
    """Who skips it by its id would have skipped the other one, at 3/8 of the events' topic."""
    reader = InMemory(record(PARKED, 3, 8, sent("x")), record(EVENTS, 3, 8, sent("innocent")))
    assert (await search(reader, "x")).undecided == {}


async def test_what_no_relay_has_parked_does_not_hide_the_event_at_the_same_place() -> None:
    reader = InMemory(record(EVENTS, 3, 8, sent("meant")), record(PARKED, 3, 8, sent("stranger")))
    (event,) = (await search(reader, "3/8")).undecided.values()
    assert (event.topic, event.event_id) == (EVENTS, "meant")


async def test_what_operators_have_said_is_noted_and_is_no_event() -> None:
    said = Instruction(
        topic=EVENTS, partition=3, offset=8, event_id="x", by="ann", why="ticket 7", at=UnixNanos(1)
    )
    found = await search(InMemory(record(PARKED, 3, 41, instruction_record(said))), "x")
    assert (found.undecided, found.told) == ({}, {(3, 8): said})


def test_who_is_meant_by_its_place_is_one_record_or_parked() -> None:
    assert _narrowed(SPANS, Wanted.parse("3/8"), EVENTS) == {
        TopicPartition(EVENTS, 3): Span(8, 9),
        TopicPartition(PARKED, 3): Span(0, 100),
    }


def test_what_is_decided_is_not_read_by_its_place() -> None:
    spans = {at: Span(9, 100) for at in SPANS}
    assert list(_narrowed(spans, Wanted.parse("3/8"), EVENTS)) == [TopicPartition(PARKED, 3)]


async def test_an_event_that_is_found_by_its_place_is_read_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`InMemory` connects to nothing: it could not look at the record by itself."""

    @contextlib.asynccontextmanager
    async def opened(*_: object) -> AsyncIterator[tuple[InMemory, Spans]]:
        yield InMemory(record(EVENTS, 3, 8, sent("x"))), SPANS

    monkeypatch.setattr(searching, "opened", opened)
    assert list((await find(Settings(), {}, Wanted.parse("3/8"))).undecided) == [(3, 8)]
