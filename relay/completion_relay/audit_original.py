"""Room `audit_story`: an event's own records on its topics, by position. Touches `topic_reader`.

Of a record it is told when it was written, how large and of what type it is;
never what is in it (promise 4).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from aiokafka import TopicPartition

from completion_relay.parking import PREFIX, ParkedRecordError, read_ticket
from completion_relay.settings import Settings
from completion_relay.topic_admin import TopicAdmin, TopicError
from completion_relay.topic_reader import Offsets, Record, TopicReader
from completion_schemas.cloudevents import decode_record
from completion_schemas.errors import CompletionError
from completion_schemas.times import UnixNanos

MOST_RECORDS: Final = 100_000
"""How many undecided records are looked through for an event, in each topic."""
_LOOK_SECONDS: Final = 15.0
_SHOWN_OF_A_TYPE: Final = 100

Position = tuple[str, int, int]
"""Topic, partition and offset."""


@dataclass(frozen=True, slots=True)
class Original:
    """An event's own record, seen from outside."""

    timestamp_ms: int
    """When it was written, milliseconds since the epoch, as Kafka keeps it."""
    size: int
    """Key, value and headers, bytes."""
    content_type: str
    """Empty where it says none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    """A record of an event that no relay has decided yet."""

    topic: str
    """Where it waits: parked, or where it was written."""
    partition: int
    offset: int
    timestamp_ms: int
    """When it was written there, milliseconds since the epoch."""
    not_before: UnixNanos | None = None
    """Of a parked one: when it is tried again."""
    reason: str = ""
    """Of a parked one: what it waits for."""


async def originals(
    options: Mapping[str, Any], positions: Iterable[Position]
) -> dict[Position, Original | None]:
    """Return the records at these positions; None for one that is not there any more.

    Raises:
        KafkaError: Kafka cannot be reached, or refuses.
    """
    found: dict[Position, Original | None] = dict.fromkeys(positions)
    for topic in {topic for topic, _, _ in found}:
        with contextlib.suppress(TopicError, TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS), TopicReader.open(options, topic) as reader:
                for position in [position for position in found if position[0] == topic]:
                    found[position] = await _original(
                        reader, TopicPartition(*position[:2]), position[2]
                    )
    return found


async def _original(reader: TopicReader, at: TopicPartition, offset: int) -> Original | None:
    end, begin = await reader.end(), await reader.beginning()
    if at not in end or not begin[at] <= offset < end[at]:
        return None
    places = dict.fromkeys(reader.partitions, 0) | {at: offset}
    ends = dict.fromkeys(reader.partitions, 0) | {at: offset + 1}
    async with contextlib.aclosing(reader.batches(places, ends)) as batches:
        async for _, records in batches:
            return _seen(records[0])
    return None


def _seen(record: Record) -> Original:
    headers = [(name, value or b"") for name, value in record.headers]
    said = next((value for name, value in headers if name.lower() == "content-type"), b"")
    return Original(
        record.timestamp,
        len(record.key or b"")
        + len(record.value or b"")
        + sum(len(name.encode()) + len(value) for name, value in headers),
        said.decode("utf-8", "replace")[:_SHOWN_OF_A_TYPE],
    )


async def undecided(
    options: Mapping[str, Any], settings: Settings, event_id: str
) -> tuple[list[Undecided], bool]:
    """Look for an event among what the group has not committed, and what of it is parked; bounded.

    Returns:
        Its records, and whether all that is not committed was looked through.

    Raises:
        KafkaError: Kafka cannot be reached, or refuses.
    """
    found: dict[Position, Undecided] = {}
    is_all = True
    async with TopicAdmin.connected(options) as admin:
        offsets = await admin.client.list_consumer_group_offsets(settings.kafka.group_id)
    committed = {at: entry.offset for at, entry in offsets.items() if entry.offset >= 0}
    # The parked one last: it takes the place of the record that it is a copy of.
    for topic in (settings.topics.completions, settings.topics.parked):
        try:
            async with asyncio.timeout(_LOOK_SECONDS), TopicReader.open(options, topic) as reader:
                async for record in _uncommitted(reader, committed):
                    if _is_of(record, event_id):
                        first, waits = _waits(record, settings)
                        found[first] = waits
                is_all &= await _fits(reader, committed)
        except TopicError:
            continue
        except TimeoutError:
            is_all = False
    return list(found.values()), is_all


async def _uncommitted(
    reader: TopicReader, committed: Mapping[TopicPartition, int]
) -> AsyncGenerator[Record, None]:
    start, end = await _span(reader, committed)
    share = MOST_RECORDS // len(reader.partitions)
    until = {at: min(end[at], start[at] + share) for at in reader.partitions}
    async with contextlib.aclosing(reader.batches(start, until)) as batches:
        async for _, records in batches:
            for record in records:
                yield record


async def _fits(reader: TopicReader, committed: Mapping[TopicPartition, int]) -> bool:
    start, end = await _span(reader, committed)
    share = MOST_RECORDS // len(reader.partitions)
    return all(end[at] - start[at] <= share for at in reader.partitions)


async def _span(
    reader: TopicReader, committed: Mapping[TopicPartition, int]
) -> tuple[Offsets, Offsets]:
    begin, end = await reader.beginning(), await reader.end()
    return {at: max(begin[at], committed.get(at, 0)) for at in reader.partitions}, end


def _is_of(record: Record, event_id: str) -> bool:
    for name, value in record.headers:
        if name == "ce_id":
            return bool(value == event_id.encode("utf-8", "replace"))
    # Structured mode has its id in the value alone; decoding takes long, and few are that.
    try:
        return decode_record(record.headers, record.value).event_id == event_id
    except CompletionError:
        return False


def _waits(record: Record, settings: Settings) -> tuple[Position, Undecided]:
    """Return where the event was written first, and where it waits."""
    here = Undecided(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
    )
    position = (record.topic, record.partition, record.offset)
    if record.topic != settings.topics.parked:
        return position, here
    try:
        ticket = read_ticket(record.headers, of=settings.topics.completions)
    except ParkedRecordError:  # a relay decides it as a record of that topic
        return position, here
    said = next((value for name, value in record.headers if name == f"{PREFIX}reason"), b"")
    waits = replace(
        here, not_before=ticket.not_before, reason=(said or b"").decode("utf-8", "replace")
    )
    return (ticket.topic, ticket.partition, ticket.offset), waits
