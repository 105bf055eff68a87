"""Room `audit_index`: from the topic into a database, and on from wherever that is. Touches the opened topic.

A batch is decoded while the one before it is being written. Rows and progress are
one transaction, so it may end anywhere: what comes next begins at the progress.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from aiokafka import TopicPartition

from completion_relay.audit_batch import all_fields
from completion_relay.audit_index.belonging import progress_of
from completion_relay.audit_index.checksum import digest
from completion_relay.audit_index.columns import row_of
from completion_relay.audit_index.store import (
    Chunk,
    OvertakenError,
    Progress,
    Store,
)
from completion_relay.audit_trail import AuditTrail
from completion_relay.topic_reader import Offsets, Record
from completion_relay.topic_reader import Progress as Read
from completion_schemas.errors import DecodeError

BATCH_RECORDS: Final = 25_000
"""Of one transaction. Each is some 2 kB while it is in memory, and there are two batches."""
_BATCH_BYTES: Final = 16 * 2**20


@dataclass(slots=True)
class Added:
    """What an indexer has done since it began."""

    records: int = 0
    """Rows that were added."""
    unreadable: int = 0
    """Records on the topic that are no audit records."""
    gone: int = 0
    """Offsets that the topic deleted before they were indexed."""
    read: Read = field(default_factory=Read)
    """How far it is."""


class Indexer:
    """Keeps a database as far as the topic is.

    Args:
        trail: The opened topic.
        store: The database, prepared.
        told: Told how far it is, after each batch that was read.
    """

    def __init__(
        self, trail: AuditTrail, store: Store, told: Callable[[Read], None] = lambda _: None
    ) -> None:
        self._trail = trail
        self._store = store
        self._told = told
        self.added = Added()

    async def catch_up(self, stop: asyncio.Event | None = None) -> None:
        """Index what the topic holds now.

        Args:
            stop: Ends it early, with what was read until then written.

        Raises:
            OtherTopicError: the topic was made anew since, or cut; or the index is another topic's by now.
            AuditIndexError: the database cannot be used.
            KafkaError: Kafka cannot be reached any more, or refuses.
        """
        while not (stop and stop.is_set()):
            try:
                await self._round(stop)
            except OvertakenError:
                # Another indexer was faster: on from where it is, or it has made the index anew.
                continue
            return

    async def _round(self, stop: asyncio.Event | None) -> None:
        # Checked each time: whoever follows has the topic open for months, in which it may be made
        # anew, and so may the index, for another topic.
        progress = await progress_of(self._store, self._trail)
        end = dict(await self._trail.end())
        chunks = self._chunks(progress, await self._trail.beginning())
        begin = {at: chunk.next for at, chunk in chunks.items()}
        read = Read(sum(max(0, end[at] - begin[at]) for at in begin))
        self.added.read = read
        writer = _Writer(self._store)
        try:
            async with contextlib.aclosing(self._trail.batches(begin, end)) as batches:
                async for partition, records in batches:
                    size = _add(chunks[partition], records)
                    read.records += len(records)
                    read.done = sum(chunk.next - begin[at] for at, chunk in chunks.items())
                    self._told(read)
                    if writer.is_full(len(records), size):
                        self._count(await writer.write(chunks))
                    if stop and stop.is_set():
                        break
                else:
                    # The last offsets may be of markers and aborted records, which nobody hands over.
                    for at, chunk in chunks.items():
                        chunk.next = max(chunk.next, end[at])
            self._count(await writer.write(chunks))
        finally:
            self._count(await writer.finish())

    def _chunks(
        self, progress: dict[int, Progress], beginning: Offsets
    ) -> dict[TopicPartition, Chunk]:
        chunks = {}
        for at in self._trail.partitions:
            before = progress.get(at.partition)
            expected = before.next if before else None
            begin = max(expected or 0, beginning[at])
            self.added.gone += 0 if expected is None else begin - expected
            chunks[at] = Chunk(partition=at.partition, expected=expected, begin=begin, next=begin)
        return chunks

    def _count(self, written: list[Chunk]) -> None:
        self.added.records += sum(len(chunk.rows) for chunk in written)
        self.added.unreadable += sum(chunk.unreadable for chunk in written)


class _Writer:
    """Writes a batch while the next one is read: one at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._records = 0
        self._bytes = 0
        self._writing: asyncio.Task[list[Chunk]] | None = None

    def is_full(self, records: int, size: int) -> bool:
        """Count what was read, and return whether it is a batch."""
        self._records += records
        self._bytes += size
        return self._records >= BATCH_RECORDS or self._bytes >= _BATCH_BYTES

    async def write(self, chunks: dict[TopicPartition, Chunk]) -> list[Chunk]:
        """Begin to write what was read, and begin new chunks; return what is written since the last call."""
        written = await self.finish()
        # One of which there is nothing yet is written when something of it was looked at.
        batch = [chunk for chunk in chunks.values() if chunk.next != (chunk.expected or 0)]
        for at, chunk in chunks.items():
            if any(chunk is one for one in batch):
                chunks[at] = Chunk(
                    partition=chunk.partition,
                    expected=chunk.next,
                    begin=chunk.next,
                    next=chunk.next,
                )
        self._records = self._bytes = 0
        if batch:
            self._writing = asyncio.create_task(asyncio.to_thread(_written, self._store, batch))
        return written

    async def finish(self) -> list[Chunk]:
        """Wait for what is being written, and return it.

        Raises:
            AuditIndexError: it could not be written.
        """
        writing, self._writing = self._writing, None
        return await writing if writing else []


def _written(store: Store, batch: list[Chunk]) -> list[Chunk]:
    store.write(batch)
    return batch


def _add(chunk: Chunk, records: list[Record]) -> int:
    """Add what was read of a partition; return how many bytes it was."""
    size = checksum = 0
    values = [record.value for record in records]
    for record, fields in zip(records, all_fields(values), strict=True):
        size += len(record.value or b"")
        if isinstance(fields, DecodeError):
            chunk.unreadable += 1
            if chunk.first_unreadable is None:
                chunk.first_unreadable = record.offset
            continue
        row = row_of(record.partition, record.offset, fields)
        chunk.rows.append(row)
        checksum += digest(row)
    chunk.checksum += checksum
    chunk.next = records[-1].offset + 1
    return size
