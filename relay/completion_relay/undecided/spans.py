"""Room `undecided`: where the undecided records are. Touches the opened topics, and the group's offsets."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.structs import OffsetAndMetadata, TopicPartition

from completion_relay.assigned import start_of
from completion_relay.instruction import is_instruction
from completion_relay.settings import Settings
from completion_relay.topic_admin import TopicAdmin, TopicError
from completion_relay.topic_reader import Advance, Progress, Record, TopicReader


@dataclass(frozen=True, slots=True)
class Span:
    """Offsets of a partition among which are the undecided ones."""

    start: int
    end: int
    settled: tuple[range, ...] = ()
    """Those that are decided although the group has not committed them."""

    def is_settled(self, offset: int) -> bool:
        """Whether this one is decided."""
        return any(offset in run for run in self.settled)


Spans = Mapping[TopicPartition, Span]


@contextlib.asynccontextmanager
async def opened(
    settings: Settings, options: Mapping[str, Any], topics: Sequence[str] = ()
) -> AsyncIterator[tuple[TopicReader, Spans]]:
    """Open the events' topic and the parked one, and say where the undecided records are now.

    Args:
        settings: Group and topics.
        options: What `connections.kafka_options` returns.
        topics: Those of the two that are wanted; empty: both.

    Raises:
        TopicError: a topic is not there.
        KafkaError: Kafka cannot be reached, or refuses.
    """
    # The offsets first: what is decided meanwhile is told as undecided, and not the other way round.
    async with TopicAdmin.connected(options) as admin:
        committed = await committed_by(admin, settings.kafka.group_id)
    async with TopicReader.open(options, *(topics or _both(settings))) as reader:
        begin, end = await reader.beginning(), await reader.end()
        spans = {}
        for at in reader.partitions:
            start = start_of(committed.get(at), beginning=begin[at], end=end[at])
            spans[at] = Span(start.offset, end[at], tuple(start.settled_ahead))
        yield reader, spans


async def missing(settings: Settings, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return which of the two topics are not there, or may not be seen.

    Raises:
        KafkaError: Kafka cannot be reached, or refuses.
    """
    found = []
    async with TopicAdmin.connected(options) as admin:
        for topic in _both(settings):
            try:
                await admin.partitions(topic)
            except TopicError:
                found.append(topic)
    return tuple(found)


def _both(settings: Settings) -> tuple[str, str]:
    return (settings.topics.completions, settings.topics.parked)


async def committed_by(admin: TopicAdmin, group: str) -> dict[TopicPartition, OffsetAndMetadata]:
    """Return what a group has committed, where it has."""
    offsets = await admin.client.list_consumer_group_offsets(group)
    return {at: entry for at, entry in offsets.items() if entry.offset >= 0}


async def undecided(
    reader: TopicReader, spans: Spans, progress: Callable[[Progress], None] = lambda _: None
) -> AsyncGenerator[Record, None]:
    """Yield the undecided records of the spans, each partition's in their order.

    Args:
        reader: The opened topics.
        spans: Where to look.
        progress: Told how far it has come, with each batch.

    Raises:
        KafkaError: Kafka cannot be reached any more, or refuses.
    """
    begin = {at: span.start for at, span in spans.items()}
    end = {at: span.end for at, span in spans.items()}
    advance = Advance(begin, end, progress)
    async with contextlib.aclosing(reader.batches(begin, end)) as batches:
        async for at, records in batches:
            advance.by(at, records)
            for record in records:
                if not spans[at].is_settled(record.offset):
                    yield record


async def first_undecided(
    reader: TopicReader,
    spans: Spans,
    *,
    parked_of: str,
    at_end: Callable[[TopicPartition], object] = lambda _: None,
) -> AsyncGenerator[Record, None]:
    """Yield the first undecided record of each span that has one; nothing behind it is read.

    What an operator says of an event is none, and is passed over.

    Args:
        reader: The opened topics.
        spans: Where to look.
        parked_of: The events' topic.
        at_end: Told of each span in which nothing more is looked for.

    Raises:
        KafkaError: Kafka cannot be reached any more, or refuses.
    """
    begin = {at: span.start for at, span in spans.items()}
    end = {at: span.end for at, span in spans.items()}
    async with contextlib.aclosing(reader.batches(begin, end, at_end=at_end)) as batches:
        async for at, records in batches:
            for record in records:
                if not spans[at].is_settled(record.offset) and not is_said(record, parked_of):
                    end[at] = record.offset
                    yield record
                    break


def is_said(record: Record, parked_of: str) -> bool:
    """Whether it is an operator's instruction: only the parked topic has any."""
    return record.topic != parked_of and is_instruction(record.value, record.headers)
