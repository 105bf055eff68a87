"""Room `audit_trail`: reads the audit topic. Touches aiokafka's consumer; writes and commits nothing.

Read as promise 3 asks for it: `read_committed`, in no consumer group. What is
read ends with what was committed when the reading began, so that it ends at
all; a record that is no audit record is handed over as such and stops nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from completion_relay.topic_admin import TopicAdmin
from completion_schemas.audit import AuditRecord, decode_audit
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.errors import DecodeError
from completion_schemas.times import UnixNanos

Offsets = Mapping[TopicPartition, int]
"""A place in the topic: the next offset of each partition."""

# Kafka looks up times by the broker's or the producer's clock, a record's own
# decided_at is the relay's: begin early enough that clocks may differ so much.
_CLOCK_SLACK_MS: Final = 60_000
_POLL_MS: Final = 500


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An audit record and where it is."""

    record: AuditRecord
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record on the audit topic that is no audit record."""

    problem: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which audit records are asked for; what is left out asks for nothing."""

    since: UnixNanos | None = None
    """Decided at this time or later."""
    until: UnixNanos | None = None
    """Decided before this time."""
    event_id: str = ""
    workflow_id: str = ""
    """The waiting workflow's."""
    namespace: str = ""
    dispositions: frozenset[Disposition] = frozenset()
    reasons: frozenset[DeadLetterReason] = frozenset()

    def matches(self, record: AuditRecord) -> bool:
        """Return whether the record is one of those asked for."""
        return (
            (self.since is None or record.decided_at >= self.since)
            and (self.until is None or record.decided_at < self.until)
            and self.event_id in {"", record.event_id}
            and self.workflow_id in {"", record.workflow_id}
            and self.namespace in {"", record.namespace}
            and (not self.dispositions or record.disposition in self.dispositions)
            and (not self.reasons or record.reason in self.reasons)
        )


class AuditTrail:
    """The audit topic, opened for reading."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: tuple[TopicPartition, ...]) -> None:
        """Take a started consumer; `open` makes one."""
        self._consumer = consumer
        self._partitions = partitions

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, options: Mapping[str, Any], topic: str) -> AsyncIterator[AuditTrail]:
        """Open the topic for the length of the context.

        Args:
            options: What `connections.kafka_options` returns.
            topic: The audit topic's name.

        Raises:
            TopicError: there is no such topic.
            KafkaError: Kafka cannot be reached, or refuses.
        """
        async with TopicAdmin.connected(options) as admin:
            count = await admin.partitions(topic)
        partitions = tuple(TopicPartition(topic, number) for number in range(count))
        consumer = AIOKafkaConsumer(
            **options,
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
        )
        try:
            await consumer.start()
            consumer.assign(partitions)
            yield cls(consumer, partitions)
        finally:
            await consumer.stop()

    async def end(self) -> Offsets:
        """Return where the topic ends now: an open transaction is not counted in."""
        ends: Offsets = await self._consumer.end_offsets(self._partitions)
        return ends

    async def read(
        self, *, since: UnixNanos | None = None, event_id: str = ""
    ) -> AsyncGenerator[AuditEntry | Unreadable, None]:
        """Yield what the topic holds now, each partition in its order.

        Args:
            since: Only records that may have been decided at this time or later; some earlier
                ones come too.
            event_id: Only this event's records; the others are not even decoded.
        """
        end = await self.end()
        begin = await self._begin(since, end)
        async for item in self._records(begin, end, event_id):
            yield item

    async def follow(
        self, begin: Offsets, *, event_id: str = ""
    ) -> AsyncGenerator[AuditEntry | Unreadable, None]:
        """Yield what comes after `begin`, without end: the caller stops it."""
        async for item in self._records(begin, None, event_id):
            yield item

    async def _begin(self, since: UnixNanos | None, end: Offsets) -> Offsets:
        if since is None:
            begin: Offsets = await self._consumer.beginning_offsets(self._partitions)
            return begin
        stamp = max(0, since // 10**6 - _CLOCK_SLACK_MS)
        found = await self._consumer.offsets_for_times(dict.fromkeys(self._partitions, stamp))
        return {
            partition: found[partition].offset if found.get(partition) else end[partition]
            for partition in self._partitions
        }

    async def _records(
        self, begin: Offsets, end: Offsets | None, event_id: str
    ) -> AsyncGenerator[AuditEntry | Unreadable, None]:
        for partition in self._partitions:
            self._consumer.seek(partition, begin[partition])
        self._consumer.resume(*self._partitions)
        reading = set(self._partitions)
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
            batches = await self._consumer.getmany(timeout_ms=_POLL_MS)
            for partition, batch in batches.items():
                for record in batch:
                    if end is not None and record.offset >= end[partition]:
                        break
                    if not event_id or record.key == event_id.encode():
                        yield _entry(record)


def _entry(record: ConsumerRecord[bytes | None, bytes | None]) -> AuditEntry | Unreadable:
    try:
        if record.value is None:
            raise DecodeError("the value is null")  # noqa: TRY301 - one place answers it
        decoded = decode_audit(record.value)
    except DecodeError as error:
        return Unreadable(str(error), record.partition, record.offset)
    return AuditEntry(decoded, record.partition, record.offset)
