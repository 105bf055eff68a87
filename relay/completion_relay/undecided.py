"""Room `undecided`: finds one event among those that are not decided. Touches aiokafka; writes and commits nothing.

Undecided is what the group has not committed, on the events' topic and on the
parked one, but for what its metadata says is settled ahead. A relay commits a
moment after it has decided: so what is found here may just have been decided.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, OffsetAndMetadata, TopicPartition

from completion_relay.assigned import Start, start_of
from completion_relay.audit_trail import AuditEntry, AuditTrail
from completion_relay.instruction import (
    Instruction,
    InstructionError,
    is_instruction,
    read_instruction,
)
from completion_relay.parking import ParkedRecordError, Ticket, read_ticket, without_ticket
from completion_relay.settings import Settings
from completion_relay.topic_admin import TopicAdmin
from completion_schemas.audit import AuditRecord
from completion_schemas.cloudevents import claim, decode_record
from completion_schemas.errors import DecodeError
from completion_schemas.events import CompletionEvent
from completion_schemas.record import Headers

_POLL_MS: Final = 500
_POSITION = re.compile(r"(\d{1,10})/(\d{1,19})")

Place = tuple[int, int]
"""Partition and offset at which an event was first."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which event is meant: by its id, or by where it was first."""

    text: str

    @property
    def place(self) -> Place | None:
        """Where it was first; None: it is meant by its id."""
        found = _POSITION.fullmatch(self.text)
        return None if found is None else (int(found[1]), int(found[2]))

    def is_meant(self, place: Place, headers: Headers, value: bytes | None) -> bool:
        """Whether it is this record."""
        if self.place is not None:
            return place == self.place
        for name, raw in headers:
            if name == "ce_id":
                return raw == self.text.encode()
        return claim(headers, value).event_id == self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    """An event that is not decided."""

    place: Place
    timestamp_ms: int
    """The record's own time, milliseconds since the epoch."""
    event_id: str
    type: str
    event: CompletionEvent | None
    """None: the record holds none."""
    ticket: Ticket | None
    """What it says of itself if it is parked."""
    told: Instruction | None = None
    """What an operator has said of it already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is known of the event that is meant."""

    undecided: tuple[Undecided, ...]
    """The same id may have been sent several times."""
    decided: tuple[AuditRecord, ...] = ()
    """Only looked for where nothing is undecided."""


async def find(settings: Settings, options: Mapping[str, Any], wanted: Wanted) -> Found:
    """Return what is known of an event.

    Args:
        settings: Group and topics.
        options: What aiokafka takes to connect.
        wanted: Which event is meant.

    Raises:
        TopicError: a topic is not there.
        KafkaError: Kafka cannot be reached, or refuses.
    """
    async with _Topics.open(settings, options) as topics:
        undecided = await topics.undecided(wanted)
        event_id = wanted.text if wanted.place is None else await topics.id_at(wanted.place)
    if undecided:
        return Found(undecided=undecided)
    events = settings.topics.completions
    async with (
        AuditTrail.open(options, settings.topics.audit) as trail,
        contextlib.aclosing(trail.read(event_id=event_id)) as entries,
    ):
        # One that shows no id is looked for among all there are: none but its own is kept.
        decided = [
            entry.record
            async for entry in entries
            if isinstance(entry, AuditEntry)
            and (
                wanted.place is None
                or (entry.record.topic, entry.record.partition, entry.record.offset)
                == (events, *wanted.place)
            )
        ]
    return Found(undecided=(), decided=tuple(decided))


class _Topics:
    """The two topics, opened for reading."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        settings: Settings,
        starts: Mapping[TopicPartition, Start],
        ends: Mapping[TopicPartition, int],
    ) -> None:
        self._consumer = consumer
        self._events = settings.topics.completions
        self._parked = settings.topics.parked
        self._starts = starts
        self._ends = ends

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, settings: Settings, options: Mapping[str, Any]) -> AsyncIterator[_Topics]:
        async with TopicAdmin.connected(options) as admin:
            partitions = [
                TopicPartition(topic, number)
                for topic in (settings.topics.completions, settings.topics.parked)
                for number in range(await admin.partitions(topic))
            ]
            committed: Mapping[
                TopicPartition, OffsetAndMetadata
            ] = await admin.client.list_consumer_group_offsets(settings.kafka.group_id)
        consumer = AIOKafkaConsumer(
            **options,
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
        )
        try:
            await consumer.start()
            beginnings = await consumer.beginning_offsets(partitions)
            ends = await consumer.end_offsets(partitions)
            starts = {
                tp: start_of(_known(committed.get(tp)), beginning=beginnings[tp], end=ends[tp])
                for tp in partitions
            }
            yield cls(consumer, settings, starts, ends)
        finally:
            await consumer.stop()

    async def undecided(self, wanted: Wanted) -> tuple[Undecided, ...]:
        found: dict[Place, Undecided] = {}
        told: dict[Place, Instruction] = {}
        async for record in self._read(self._of(self._parked)):
            self._note_parked(record, wanted, found, told)
        place = wanted.place
        begin = self._of(self._events)
        if place is not None:  # one record, wherever it is in the backlog
            at = TopicPartition(self._events, place[0])
            begin = {at: place[1]} if begin.get(at, place[1] + 1) <= place[1] else {}
        async with contextlib.aclosing(self._read(begin)) as records:
            async for record in records:
                here = (record.partition, record.offset)
                if wanted.is_meant(here, record.headers, record.value):
                    found[here] = _undecided(
                        here, record.timestamp, record.headers, record.value, None
                    )
                if place is not None:
                    break
        return tuple(replace(found[here], told=told.get(here)) for here in sorted(found))

    async def id_at(self, place: Place) -> str:
        """Return the id of the event that is or was there; empty where that cannot be read any more."""
        at = TopicPartition(self._events, place[0])
        if at not in self._starts or place[1] >= self._ends[at]:
            return ""
        async with contextlib.aclosing(self._read({at: place[1]}, all_of_it=True)) as records:
            async for record in records:
                if record.offset == place[1]:
                    return claim(record.headers, record.value).event_id
                break
        return ""

    def _of(self, topic: str) -> dict[TopicPartition, int]:
        return {tp: start.offset for tp, start in self._starts.items() if tp.topic == topic}

    def _note_parked(
        self,
        record: ConsumerRecord[bytes | None, bytes | None],
        wanted: Wanted,
        found: dict[Place, Undecided],
        told: dict[Place, Instruction],
    ) -> None:
        headers, of, number = record.headers, self._events, record.partition
        try:
            if is_instruction(record.value, headers):
                instruction = read_instruction(headers, of=of, number=number)
                told[(number, instruction.offset)] = instruction
                return
            ticket = read_ticket(headers, of=of)
        except (InstructionError, ParkedRecordError):
            return
        place = (ticket.partition, ticket.offset)
        own = without_ticket(headers)
        if wanted.is_meant(place, own, record.value):
            found[place] = _undecided(place, ticket.timestamp_ms, own, record.value, ticket)

    async def _read(
        self, begin: Mapping[TopicPartition, int], *, all_of_it: bool = False
    ) -> AsyncGenerator[ConsumerRecord[bytes | None, bytes | None], None]:
        """Yield what is undecided from there on; `all_of_it`: also what is decided."""
        reading = {tp for tp, offset in begin.items() if offset < self._ends[tp]}
        if not reading:
            return
        self._consumer.assign(reading)
        for tp in reading:
            self._consumer.seek(tp, begin[tp])
        while reading:
            batches = await self._consumer.getmany(timeout_ms=_POLL_MS)
            for tp, records in batches.items():
                ahead = [] if all_of_it else self._starts[tp].settled_ahead
                for record in records:
                    if record.offset < self._ends[tp] and not any(
                        record.offset in run for run in ahead
                    ):
                        yield record
            for tp in list(reading):
                # The position, not a record's offset: a transaction's markers have offsets too.
                if await self._consumer.position(tp) >= self._ends[tp]:
                    reading.discard(tp)
                    self._consumer.pause(tp)


def _known(committed: OffsetAndMetadata | None) -> OffsetAndMetadata | None:
    return None if committed is None or committed.offset < 0 else committed


def _undecided(
    place: Place, timestamp_ms: int, headers: Headers, value: bytes | None, ticket: Ticket | None
) -> Undecided:
    said, event = claim(headers, value), None
    with contextlib.suppress(DecodeError):
        event = decode_record(headers, value)
    return Undecided(
        place=place,
        timestamp_ms=timestamp_ms,
        event_id=said.event_id if event is None else event.event_id,
        type=said.type if event is None else event.type,
        event=event,
        ticket=ticket,
    )
