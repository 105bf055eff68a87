"""What `status` reads of records: the first undecided event of each partition, in bounded time."""

from __future__ import annotations

from typing import Any, cast

from aiokafka.structs import TopicPartition
from tests.unit.relay.in_memory import InMemory, record

from completion_relay.instruction import Instruction, instruction_record
from completion_relay.status.kafka import first_of
from completion_relay.status.overview import _read
from completion_relay.topic_reader import TopicReader
from completion_relay.undecided.spans import Span
from completion_schemas.events import UnixNanos
from completion_schemas.record import KafkaRecord

EVENTS, PARKED = "completions", "completions.parked"
ONE, TWO, THREE = (TopicPartition(EVENTS, number) for number in (1, 2, 3))
PLENTY = 60.0
SOMETHING = KafkaRecord(b"k", b"v", ())
SAID = instruction_record(
    Instruction(
        topic=EVENTS, partition=3, offset=8, event_id="x", by="ann", why="ticket 7", at=UnixNanos(1)
    )
)


async def first(
    reader: TopicReader, *spans: TopicPartition, within: float = PLENTY
) -> dict[TopicPartition, int | None]:
    """Return the offset of the first event of each."""
    found = await first_of(
        reader, {at: Span(0, 100) for at in spans}, parked_of=EVENTS, within=within
    )
    return {at: None if event is None else event.offset for at, event in found.items()}


async def test_the_first_event_of_each_partition_is_read() -> None:
    reader = InMemory(*(record(EVENTS, 1, offset, SOMETHING) for offset in (7, 8)))
    assert await first(reader, ONE, TWO) == {ONE: 7, TWO: None}


async def test_a_partition_that_is_not_read_in_time_is_left_out_and_no_other() -> None:
    """Of the second one it is known that it has none."""
    reader = InMemory(record(EVENTS, 1, 7, SOMETHING), silent=THREE)
    found = await first(reader, ONE, TWO, THREE, within=0)
    assert found == {ONE: 7, TWO: None}


async def test_what_an_operator_says_is_not_the_first_event() -> None:
    at = TopicPartition(PARKED, 3)
    reader = InMemory(record(PARKED, 3, 7, SAID), record(PARKED, 3, 8, SOMETHING))
    assert await first(reader, at) == {at: 8}
    assert await first(InMemory(record(PARKED, 3, 7, SAID)), at) == {at: None}


async def test_an_event_cannot_look_like_what_an_operator_says() -> None:
    """On the events' topic it is a record like any other, which is decided."""
    assert await first(InMemory(record(EVENTS, 3, 7, SAID)), THREE) == {THREE: 7}


async def test_where_there_is_nothing_to_read_the_consumer_is_left_alone() -> None:
    unconnected = TopicReader(cast("Any", None), ())
    assert await first(unconnected) == {}
    assert await _read(unconnected, [], {}, parked_of=EVENTS) == {}
