"""Room `audit_report`: the oldest record that nobody has decided. Touches `topic_reader`, and offsets."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from completion_relay.offset_map import MetadataError, decode
from completion_relay.settings import Settings
from completion_relay.topic_admin import TopicAdmin
from completion_relay.topic_reader import TopicReader


@dataclass(frozen=True, slots=True)
class Waiting:
    """A record that is not decided."""

    topic: str
    """Of the events, or of those that are parked."""
    partition: int
    offset: int
    timestamp_ms: int
    """When it was written there, milliseconds since the epoch, by the broker's or the producer's clock."""


async def oldest_undecided(options: Mapping[str, Any], settings: Settings) -> Waiting | None:
    """Return the oldest record that the group's offsets do not cover; None: all is decided.

    What is settled ahead of a committed offset stands in the commit's metadata, and
    is not taken for waiting. A commit that is a second old is the relay's habit
    (`relay.commit_interval`), so a busy relay always has something of that age.

    Raises:
        TopicError: a topic is not there.
        KafkaError: Kafka cannot be reached, or refuses.
    """
    async with TopicAdmin.connected(options) as admin:
        committed = await admin.client.list_consumer_group_offsets(settings.kafka.group_id)
    found = [
        waiting
        for topic in (settings.topics.completions, settings.topics.parked)
        if (waiting := await _oldest(options, topic, committed))
    ]
    return min(found, key=lambda waiting: waiting.timestamp_ms, default=None)


async def _oldest(
    options: Mapping[str, Any], topic: str, committed: Mapping[TopicPartition, OffsetAndMetadata]
) -> Waiting | None:
    found: dict[TopicPartition, Waiting] = {}
    async with TopicReader.open(options, topic) as reader:
        beginning, end = await reader.beginning(), dict(await reader.end())
        starts, ahead = {}, {}
        for at in reader.partitions:
            starts[at], ahead[at] = _begin(committed.get(at), beginning[at])
        async with contextlib.aclosing(reader.batches(starts, end)) as batches:
            async for at, records in batches:
                for record in records:
                    if not any(record.offset in settled for settled in ahead[at]):
                        found[at] = Waiting(topic, at.partition, record.offset, record.timestamp)
                        # The first is the oldest of its partition; the others go on.
                        end[at] = record.offset
                        break
    return min(found.values(), key=lambda waiting: waiting.timestamp_ms, default=None)


def _begin(committed: OffsetAndMetadata | None, beginning: int) -> tuple[int, list[range]]:
    """Return where to look from, and what is settled behind that."""
    if committed is None or committed.offset < 0:
        return beginning, []
    try:
        ahead = decode(committed.offset, committed.metadata)
    except MetadataError:
        # As the relay takes it: for nothing settled ahead.
        ahead = []
    return max(beginning, committed.offset), ahead
