"""Room `status`: how far the group has decided each partition, by Kafka alone. Touches aiokafka."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from aiokafka.errors import KafkaTimeoutError, for_code
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from completion_relay.assigned import start_of
from completion_relay.kafka_probe import KafkaProbe
from completion_relay.settings import Settings
from completion_relay.silence import End, NoAnswer, NoLeader
from completion_relay.status.members import Group, group_of
from completion_relay.topic_admin import TopicAdmin
from completion_relay.topic_reader import TopicReader
from completion_relay.undecided.record import Undecided, undecided_record
from completion_relay.undecided.spans import Span, Spans, committed_by, first_undecided

_ANSWER_SECONDS: Final = 5.0
_FETCH_BYTES: Final = 64 * 1024
"""Of one partition: one record is wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """How far one partition is decided."""

    topic: str
    partition: int
    committed: int | None
    """The group's offset: all before it is decided. None: the group has none."""
    end: int | None
    """Of what is committed there (`read_committed`); None: not known."""
    settled_ahead: int
    """Offsets beyond the committed one that are decided."""
    undecided: int | None
    """Records that are not decided, at most: transactions' markers count as well. None: not known."""
    problem: str = ""
    """Why something is not known."""


@dataclass(frozen=True, slots=True)
class KafkaView:
    """What Kafka says of the relay."""

    group: Group
    counts: Mapping[str, int]
    """The number of partitions of the two topics."""
    partitions: tuple[Partition, ...]
    """Of the events' topic, then of the parked one."""
    first: Mapping[TopicPartition, Undecided]
    """The first undecided event of those that have one, as far as it could be read."""


class Kafka:
    """Asks, and reads single records as long as it is open."""

    def __init__(self, settings: Settings, options: Mapping[str, Any]) -> None:
        """Connect to nothing yet.

        Args:
            settings: Group and topics.
            options: What `connections.kafka_options` returns.
        """
        self._settings = settings
        self._options = dict(options)
        self._topics = (settings.topics.completions, settings.topics.parked)

    async def look(self, reader: TopicReader) -> KafkaView:
        """Return what Kafka says now.

        Raises:
            TopicError: one of the two topics is not there.
            KafkaError: Kafka cannot be reached, or refuses.
        """
        # The offsets first: what is decided meanwhile is told as undecided, and not the other way round.
        group, committed = await self._group()
        counts, ends, begins = await self._ends()
        partitions, spans = [], {}
        for at in ends:
            found, span = how_far(at, committed.get(at), end=ends[at], begin=begins[at])
            partitions.append(found)
            if span is not None:
                spans[at] = span
        first = await first_of(reader, spans, parked_of=self._topics[0], within=_ANSWER_SECONDS)
        return KafkaView(
            group,
            counts,
            tuple(_looked_at(found, first) for found in partitions),
            {at: event for at, event in first.items() if event is not None},
        )

    @contextlib.asynccontextmanager
    async def reader(self) -> AsyncGenerator[TopicReader, None]:
        """Connect for reading records, for the length of the context.

        Raises:
            TopicError: one of the two topics is not there.
            KafkaError: Kafka cannot be reached, or refuses.
        """
        async with TopicReader.open(
            self._options, *self._topics, partition_fetch_bytes=_FETCH_BYTES
        ) as reader:
            yield reader

    async def _group(self) -> tuple[Group, dict[TopicPartition, OffsetAndMetadata]]:
        name = self._settings.kafka.group_id
        async with TopicAdmin.connected(self._options) as admin:
            (answer,) = await admin.client.describe_consumer_groups([name])
            (described,) = answer.groups
            if described[0]:
                raise for_code(described[0])(f"group {name}")
            return group_of(described), await committed_by(admin, name)

    async def _ends(
        self,
    ) -> tuple[dict[str, int], dict[TopicPartition, End], dict[TopicPartition, End]]:
        probe = KafkaProbe(self._options)
        try:
            there = await probe.topics(within=_ANSWER_SECONDS)
            if there is None:
                raise KafkaTimeoutError("no answer in time")
            partitions = [
                TopicPartition(topic, number)
                for topic in self._topics
                for number in range(there.get(topic, 0))
            ]
            ends = await probe.ends(partitions, within=_ANSWER_SECONDS)
            begins = await probe.beginnings(partitions, within=_ANSWER_SECONDS)
        finally:
            await probe.stop()
        unknown = NoAnswer("its broker says nothing of it")
        return (
            {topic: there.get(topic, 0) for topic in self._topics},
            {at: ends.get(at, unknown) for at in partitions},
            {at: begins.get(at, unknown) for at in partitions},
        )


async def first_of(
    reader: TopicReader, spans: Spans, *, parked_of: str, within: float
) -> dict[TopicPartition, Undecided | None]:
    """Return the first undecided event of each span; None: there is none.

    What a span counts may be the markers of transactions alone, which are no records,
    or what operators say of events.

    Args:
        reader: The opened topics.
        spans: Where to look.
        parked_of: The topic that records are parked of.
        within: Seconds; what is not known by then is left out.

    Raises:
        KafkaError: Kafka cannot be reached any more, or refuses.
    """
    found: dict[TopicPartition, Undecided | None] = {}

    def none_in(at: TopicPartition) -> None:
        found.setdefault(at, None)

    with contextlib.suppress(TimeoutError):
        async with (
            asyncio.timeout(within),
            contextlib.aclosing(
                first_undecided(reader, spans, parked_of=parked_of, at_end=none_in)
            ) as records,
        ):
            async for record in records:
                at = TopicPartition(record.topic, record.partition)
                found[at] = undecided_record(record, parked_of=parked_of)
    return found


def how_far(
    at: TopicPartition, committed: OffsetAndMetadata | None, *, end: End, begin: End
) -> tuple[Partition, Span | None]:
    """Return how far a partition is decided, and where its oldest undecided record is.

    Args:
        at: Which one.
        committed: What the group has committed; None: nothing.
        end: Where it ends for a reader of committed records.
        begin: Where it begins.

    Returns:
        The span is None where nothing is undecided, or it is not known.
    """
    offset = None if committed is None else committed.offset
    for told in (end, begin):
        if not isinstance(told, int):
            return _unknown(at, offset, told), None
    assert isinstance(end, int) and isinstance(begin, int)  # noqa: S101, PT018 - narrows the types
    start = start_of(committed, beginning=begin, end=end)
    ahead = _count(start.settled_ahead, start.offset, end)
    undecided = end - start.offset - ahead
    found = Partition(
        topic=at.topic,
        partition=at.partition,
        committed=offset,
        end=end,
        settled_ahead=ahead,
        undecided=undecided,
        problem=start.problem or "",
    )
    return found, Span(start.offset, end, tuple(start.settled_ahead)) if undecided else None


def _unknown(at: TopicPartition, committed: int | None, why: End) -> Partition:
    return Partition(
        topic=at.topic,
        partition=at.partition,
        committed=committed,
        end=None,
        settled_ahead=0,
        undecided=None,
        problem="no broker leads it" if isinstance(why, NoLeader) else getattr(why, "why", ""),
    )


def _count(settled: Iterable[range], start: int, end: int) -> int:
    return sum(max(0, min(run.stop, end) - max(run.start, start)) for run in settled)


def _looked_at(found: Partition, first: Mapping[TopicPartition, Undecided | None]) -> Partition:
    """Return the partition by what was read of it: from its oldest undecided record on, if there is one."""
    at = TopicPartition(found.topic, found.partition)
    if at in first and first[at] is None:
        return replace(found, undecided=0)
    if at not in first and found.undecided:
        return replace(
            found, problem=found.problem or "its oldest undecided record was not read in time"
        )
    return found
