"""Room `topics`, reading: the records of topics between two places. Touches aiokafka's consumer.

Writes and commits nothing. In no consumer group, `read_committed`, and never by creating a topic that is not there.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, TypeAlias

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaTimeoutError
from aiokafka.structs import ConsumerRecord

from completion_relay.fetch_pause import pause_after_empty_fetches
from completion_relay.membership import check_member, end_member
from completion_relay.odd_headers import read_odd_headers
from completion_relay.topic_admin import TopicAdmin

Offsets = Mapping[TopicPartition, int]
"""A place in topics: the next offset of each partition."""
Record: TypeAlias = ConsumerRecord[bytes | None, bytes | None]

_POLL_MS: Final = 500
_BATCH_RECORDS: Final = 1_000
"""Of one poll: what it costs is shared by many, and what is decoded of them stays in a core's cache."""
_FETCH_BYTES: Final = 64 * 2**20
"""Of all partitions together: what aiokafka holds that was not handed over yet."""
_PARTITION_FETCH_BYTES: Final = (1 * 2**20, 8 * 2**20)
"""Of one partition, least and most: aiokafka's own 1 MiB is 3,000 audit records, and a round trip."""
_SILENCE_SECONDS: Final = 30.0
"""Without a step forward, where there is something to read: aiokafka brings nothing, and no error, when
Kafka is away."""


@dataclass(slots=True)
class Progress:
    """How far a reading has come."""

    offsets: int = 0
    """What there is to read, in offsets: a little more than there are records."""
    done: int = 0
    """Of these."""
    records: int = 0
    """Read so far."""


class Advance:
    """Counts how far a reading has come between two places.

    Args:
        begin: Where it begins.
        end: Where it ends; None: nobody knows.
        told: Told at the beginning, and with each batch.
    """

    def __init__(
        self, begin: Offsets, end: Offsets | None, told: Callable[[Progress], object]
    ) -> None:
        self._reached = dict(begin)
        self._told = told
        self._far = Progress(sum(max(0, to - begin[at]) for at, to in (end or {}).items()))
        told(self._far)

    def by(self, at: TopicPartition, records: list[Record]) -> None:
        """Count a batch of a partition."""
        self._far.records += len(records)
        self._far.done += records[-1].offset + 1 - self._reached[at]
        self._reached[at] = records[-1].offset + 1
        self._told(self._far)


class TopicReader:
    """Topics, opened for reading."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        partitions: tuple[TopicPartition, ...],
        *,
        cluster: str = "",
    ) -> None:
        """Take a started consumer; `open` makes one."""
        self._consumer = consumer
        self.partitions = partitions
        self.cluster = cluster
        """The id that Kafka gives itself; empty where it gives none."""

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        options: Mapping[str, Any],
        *topics: str,
        empty_fetch_pause_ms: int = 0,
        partition_fetch_bytes: int | None = None,
        when_gone: Literal["earliest", "none"] = "earliest",
    ) -> AsyncIterator[Self]:
        """Open topics for the length of the context.

        Args:
            options: What `connections.kafka_options` returns.
            topics: Their names.
            empty_fetch_pause_ms: The setting `kafka.empty_fetch_pause_ms`, for who follows them.
            partition_fetch_bytes: Of one partition at a time, where less than the usual is wanted, or
                more: a record that is larger comes all the same (KIP-74).
            when_gone: What retention takes away while it is read is left out, or is an error.

        Raises:
            TopicError: one of the topics is not there.
            KafkaError: Kafka cannot be reached, or refuses.
        """
        async with TopicAdmin.connected(options) as admin:
            cluster, _ = await admin.cluster()
            partitions = tuple(
                [
                    TopicPartition(topic, number)
                    for topic in topics
                    for number in range(await admin.partitions(topic))
                ]
            )
        least, most = _PARTITION_FETCH_BYTES
        read_odd_headers()
        consumer = AIOKafkaConsumer(
            **options,
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset=when_gone,
            max_partition_fetch_bytes=partition_fetch_bytes
            or min(most, max(least, _FETCH_BYTES // len(partitions))),
            fetch_max_bytes=_FETCH_BYTES,
        )
        if empty_fetch_pause_ms:
            pause_after_empty_fetches(consumer, empty_fetch_pause_ms / 1_000)
        try:
            await consumer.start()
            yield cls(consumer, partitions, cluster=cluster)
        finally:
            await end_member(consumer)

    async def end(self) -> Offsets:
        """Return where each partition ends now: an open transaction is not counted in."""
        ends: Offsets = await self._consumer.end_offsets(self.partitions)
        return ends

    async def beginning(self) -> Offsets:
        """Return where each partition begins now."""
        begin: Offsets = await self._consumer.beginning_offsets(self.partitions)
        return begin

    async def written_since(self, when_ms: int, end: Offsets) -> Offsets:
        """Return the first record of each partition that was written at a time or later.

        By the broker's time index, which reads no record.

        Args:
            when_ms: Milliseconds since the epoch, by the broker's clock.
            end: Where a partition begins that has none.
        """
        stamps = dict.fromkeys(self.partitions, max(0, when_ms))
        found = await self._consumer.offsets_for_times(stamps)
        return {
            partition: found[partition].offset if found.get(partition) else end[partition]
            for partition in self.partitions
        }

    async def record_at(self, at: TopicPartition, offset: int) -> Record | None:
        """Return the record at an offset; None: there is none, not any more, or not of a committed transaction.

        Raises:
            KafkaError: Kafka cannot be reached any more, or refuses.
        """
        begin, end = await self.beginning(), await self.end()
        if at not in end or not begin[at] <= offset < end[at]:
            return None
        async with contextlib.aclosing(self.batches({at: offset}, {at: offset + 1})) as batches:
            async for _, records in batches:
                return records[0]
        return None

    async def batches(
        self,
        begin: Offsets,
        end: dict[TopicPartition, int] | None,
        *,
        at_end: Callable[[TopicPartition], object] = lambda _: None,
    ) -> AsyncGenerator[tuple[TopicPartition, list[Record]], None]:
        """Yield the records between two places, some of one partition at a time, each in its order.

        Args:
            begin: Where to begin, in the partitions that are to be read.
            end: Where to end; the caller may lower a partition's meanwhile. None: never.
            at_end: Told of each partition when it is read to its end.

        Raises:
            KafkaError: Kafka refuses, or says nothing although there is something to read, or what
                works behind aiokafka's consumer does no more.
        """
        if not begin:
            return
        # In one go: a partition without a position would be looked up.
        self._consumer.assign(list(begin))
        for partition, offset in begin.items():
            self._consumer.seek(partition, offset)
        left = dict(begin)
        stepped = time.monotonic()
        while left:
            if end is not None:
                if await self._step(left, end, at_end):
                    stepped = time.monotonic()
                if not left:
                    return
                if time.monotonic() - stepped > _SILENCE_SECONDS:
                    names = ", ".join(sorted(f"{at.topic}/{at.partition}" for at in left))
                    raise KafkaTimeoutError(f"nothing of {names} for {_SILENCE_SECONDS:g} s")
            check_member(self._consumer)
            found = await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=_BATCH_RECORDS)
            for partition, records in found.items():
                until = None if end is None else end[partition]
                if until is not None and records[-1].offset >= until:
                    records = [record for record in records if record.offset < until]  # noqa: PLW2901
                if records:
                    yield partition, records
            # getmany() does not wait while it has something, and then nothing is fetched meanwhile.
            await asyncio.sleep(0)

    async def _step(
        self,
        left: dict[TopicPartition, int],
        end: Offsets,
        at_end: Callable[[TopicPartition], object],
    ) -> bool:
        """Look how far reading has come, and let go what is at its end; True if it is further.

        By the position, not the last record's offset: a transaction's markers and the
        records of an aborted one take up offsets too.
        """
        is_further = False
        for partition in list(left):
            position = await self._consumer.position(partition)
            is_further |= position != left[partition]
            left[partition] = position
            if position >= end[partition]:
                del left[partition]
                at_end(partition)
                # Naming the other partitions in getmany() instead slows every
                # fetch from their node by 100 ms (facts C).
                self._consumer.pause(partition)
        return is_further
