"""Room `topics`, reading one: a topic's records between two places. Touches aiokafka's consumer.

Writes and commits nothing. In no consumer group, `read_committed`, and never by creating a topic that is not there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Final, Self, TypeAlias

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from completion_relay.fetch_pause import pause_after_empty_fetches
from completion_relay.membership import check_member, end_member
from completion_relay.topic_admin import TopicAdmin

Offsets = Mapping[TopicPartition, int]
"""A place in the topic: the next offset of each partition."""
Record: TypeAlias = ConsumerRecord[bytes | None, bytes | None]

_POLL_MS: Final = 500
_BATCH_RECORDS: Final = 1_000
"""Of one poll: what it costs is shared by many, and what is decoded of them stays in a core's cache."""
_FETCH_BYTES: Final = 64 * 2**20
"""Of all partitions together: what aiokafka holds that was not handed over yet."""
_PARTITION_FETCH_BYTES: Final = (1 * 2**20, 8 * 2**20)
"""Of one partition, least and most: aiokafka's own 1 MiB is 3,000 audit records, and a round trip."""


class TopicReader:
    """A topic, opened for reading."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: tuple[TopicPartition, ...]) -> None:
        """Take a started consumer; `open` makes one."""
        self._consumer = consumer
        self.partitions = partitions

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, options: Mapping[str, Any], topic: str, *, empty_fetch_pause_ms: int = 0
    ) -> AsyncIterator[Self]:
        """Open the topic for the length of the context.

        Args:
            options: What `connections.kafka_options` returns.
            topic: Its name.
            empty_fetch_pause_ms: The setting `kafka.empty_fetch_pause_ms`, for who follows it.

        Raises:
            TopicError: there is no such topic.
            KafkaError: Kafka cannot be reached, or refuses.
        """
        async with TopicAdmin.connected(options) as admin:
            count = await admin.partitions(topic)
        partitions = tuple(TopicPartition(topic, number) for number in range(count))
        least, most = _PARTITION_FETCH_BYTES
        consumer = AIOKafkaConsumer(
            **options,
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=min(most, max(least, _FETCH_BYTES // count)),
            fetch_max_bytes=_FETCH_BYTES,
        )
        if empty_fetch_pause_ms:
            pause_after_empty_fetches(consumer, empty_fetch_pause_ms / 1_000)
        try:
            await consumer.start()
            consumer.assign(partitions)
            yield cls(consumer, partitions)
        finally:
            await end_member(consumer)

    async def end(self) -> Offsets:
        """Return where the topic ends now: an open transaction is not counted in."""
        ends: Offsets = await self._consumer.end_offsets(self.partitions)
        return ends

    async def beginning(self) -> Offsets:
        """Return where the topic begins now."""
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

    async def batches(
        self, begin: Offsets, end: dict[TopicPartition, int] | None
    ) -> AsyncGenerator[tuple[TopicPartition, list[Record]], None]:
        """Yield the records between two places, some of one partition at a time, each in its order.

        Args:
            begin: Where to begin.
            end: Where to end; the caller may lower a partition's meanwhile. None: never.

        Raises:
            KafkaError: Kafka refuses, or what works behind aiokafka's consumer does no more.
        """
        for partition in self.partitions:
            self._consumer.seek(partition, begin[partition])
        self._consumer.resume(*self.partitions)
        reading = set(self.partitions)
        while reading:
            if end is not None:
                for partition in list(reading):
                    # The position, not the last record's offset: a transaction's markers
                    # and the records of an aborted one take up offsets too.
                    if await self._consumer.position(partition) >= end[partition]:
                        reading.discard(partition)
                        # Naming the other partitions in getmany() instead slows every
                        # fetch from their node by 100 ms (facts C).
                        self._consumer.pause(partition)
                if not reading:
                    return
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
