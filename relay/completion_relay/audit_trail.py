"""Room `audit_trail`: the audit topic, opened for reading. Touches `topic_reader`.

Read as promise 3 asks for it: `read_committed`, in no consumer group. What is
read ends with what was committed when the reading began, so that it ends at
all; a record that is no audit record is handed over as such and stops nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from aiokafka import TopicPartition

from completion_relay.topic_reader import Advance, Offsets, Progress, Record, TopicReader
from completion_schemas.audit import AuditRecord, decode_audit
from completion_schemas.errors import DecodeError
from completion_schemas.times import UnixNanos

CLOCK_SLACK_MS: Final = 60_000
"""How far the broker's clock, by which Kafka looks up times, may be from the relay's, whose
`decided_at` is."""


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


class AuditTrail(TopicReader):
    """The audit topic, opened for reading."""

    async def since(
        self, decided: UnixNanos | None, end: Offsets, *, after: Mapping[int, int] | None = None
    ) -> Offsets:
        """Return where to begin so as to miss nothing that was decided at a time or later.

        A record is written after it was decided: none of those before is missed,
        however late it was written.

        Args:
            decided: The time; None: all that there is.
            end: Where a partition begins in which nothing is so late.
            after: Of partitions: it begins at this offset at the earliest.
        """
        begin = (
            await self.beginning()
            if decided is None
            else await self.written_since(decided // 10**6 - CLOCK_SLACK_MS, end)
        )
        known = after or {}
        return {at: max(offset, known.get(at.partition, 0)) for at, offset in begin.items()}

    async def read(
        self,
        *,
        since: UnixNanos | None = None,
        event_ids: Collection[str] = (),
        after: Mapping[int, int] | None = None,
        progress: Callable[[Progress], None] = lambda _: None,
    ) -> AsyncGenerator[AuditEntry | Unreadable, None]:
        """Yield what the topic holds now, each partition in its order.

        Args:
            since: Only records that may have been decided at this time or later; some earlier
                ones come too.
            event_ids: Only these events' records; the others are not even decoded. Empty: all.
            after: Of partitions: nothing before this offset is read.
            progress: Told how far it has come, with each batch.
        """
        end = await self.end()
        begin = await self.since(since, end, after=after)
        async for item in self._entries(begin, dict(end), event_ids, progress):
            yield item

    async def follow(
        self, begin: Offsets, *, event_id: str = ""
    ) -> AsyncGenerator[AuditEntry | Unreadable, None]:
        """Yield what comes after `begin`, without end: the caller stops it."""
        async for item in self._entries(begin, None, (event_id,) if event_id else ()):
            yield item

    async def _entries(
        self,
        begin: Offsets,
        end: dict[TopicPartition, int] | None,
        event_ids: Collection[str],
        progress: Callable[[Progress], None] = lambda _: None,
    ) -> AsyncGenerator[AuditEntry | Unreadable, None]:
        # What the command line takes may be no Unicode; no record's id is that.
        keys = {event_id.encode("utf-8", "replace") for event_id in event_ids}
        advance = Advance(begin, end, progress)
        async with contextlib.aclosing(self.batches(begin, end)) as batches:
            async for at, records in batches:
                for record in records:
                    if not keys or record.key in keys:
                        yield _entry(record)
                advance.by(at, records)


def _entry(record: Record) -> AuditEntry | Unreadable:
    try:
        if record.value is None:
            raise DecodeError("the value is null")  # noqa: TRY301 - one place answers it
        decoded = decode_audit(record.value)
    except DecodeError as error:
        return Unreadable(str(error), record.partition, record.offset)
    return AuditEntry(decoded, record.partition, record.offset)
