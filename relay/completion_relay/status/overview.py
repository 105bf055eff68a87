"""Room `status`: asks everybody and puts it together. Touches what `kafka` and `ask` touch."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiokafka.structs import TopicPartition

from completion_relay.settings import Settings
from completion_relay.status.ask import Replica, ask
from completion_relay.status.judge import Overview, oldest_of
from completion_relay.status.kafka import Kafka, first_of
from completion_relay.topic_reader import TopicReader
from completion_relay.undecided.record import Undecided
from completion_relay.undecided.spans import Span
from completion_schemas.times import UnixNanos

_OLDEST: Final = 10
_READ_SECONDS: Final = 3.0
_ROUNDS: Final = 5
"""Of reading one record of each partition: a replica names so many of its oldest."""

Position = tuple[str, int, int]


async def overview(settings: Settings, options: Mapping[str, Any]) -> Overview:
    """Return how the relay is now.

    Args:
        settings: Group, topics, and from when on an event is stuck.
        options: What `connections.kafka_options` returns.

    Raises:
        TopicError: one of the two topics is not there.
        KafkaError: Kafka cannot be reached, or refuses.
    """
    kafka, events_topic = Kafka(settings, options), settings.topics.completions
    async with kafka.reader() as reader:
        view = await kafka.look(reader)
        replicas, others = await ask(view.group.members)
        events = {
            (event.topic, event.partition, event.offset): event for event in view.first.values()
        }
        events |= await _read(reader, _named(replicas), events, parked_of=events_topic)
    now = UnixNanos(time.time_ns())
    oldest = oldest_of(
        events,
        tuple(replicas),
        now=now,
        stuck_after=settings.relay.stuck_after,
        most=_OLDEST,
    )
    return Overview(
        group=settings.kafka.group_id,
        topics=settings.topics,
        kafka=view,
        replicas=tuple(replicas),
        others=tuple(others),
        oldest=oldest,
        now=now,
    )


def _named(replicas: Iterable[Replica]) -> list[Position]:
    """Return the records that the replicas name as their oldest, the oldest one first."""
    waits = [wait for replica in replicas if replica.state for wait in replica.state.oldest]
    waits.sort(key=lambda wait: -wait.age_seconds)
    return [(wait.topic, wait.partition, wait.offset) for wait in waits[:_OLDEST]]


async def _read(
    reader: TopicReader,
    wanted: list[Position],
    known: Mapping[Position, Undecided],
    *,
    parked_of: str,
) -> dict[Position, Undecided]:
    """Return what the records say of themselves, as far as they are there and read in time."""
    left = [position for position in wanted if position not in known]
    found: dict[Position, Undecided] = {}
    for _ in range(_ROUNDS):
        if not left:
            break
        spans: dict[TopicPartition, Span] = {}
        for topic, partition, offset in left:
            spans.setdefault(TopicPartition(topic, partition), Span(offset, offset + 1))
        first = await first_of(reader, spans, parked_of=parked_of, within=_READ_SECONDS)
        for at, event in first.items():
            if event is not None:
                found[(at.topic, at.partition, event.offset)] = event
        left = [
            position
            for position in left
            if spans[TopicPartition(*position[:2])].start != position[2]
        ]
    return found
