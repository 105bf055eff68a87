"""Room `replay`: where the records come from: a topic, or an export file. Touches aiokafka's consumer and files.

A topic is read as the relay reads it, `read_committed`, in no group: nothing is
committed here. What is read ends where it was said to end.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from completion_relay.membership import end_member
from completion_relay.replay.again import Kept
from completion_relay.replay.headers import Position
from completion_relay.replay.line import from_line
from completion_relay.replay.selection import Span
from completion_relay.topic_admin import TopicAdmin
from completion_schemas.errors import CompletionError
from completion_schemas.record import KafkaRecord
from completion_schemas.times import UnixNanos

_POLL_MS: Final = 500
_MOST_RECORDS: Final = 500
_SILENCE_SECONDS: Final = 30.0
"""Without a step forward; aiokafka only brings nothing when Kafka is away."""


class FileError(CompletionError):
    """An export file cannot be read or written; the message names it, the problem and the fix."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some records, each partition's in their order."""

    records: list[Kept]
    reached: dict[int, int]
    """The next offset of each partition that was read on."""


class Source(Protocol):
    """Where records come from."""

    @property
    def topic(self) -> str | None:
        """The topic that is read; None: it is a file."""

    async def range(self, since: UnixNanos | None, until: UnixNanos | None) -> dict[int, Span]:
        """Return what it has now of these times, by partition; a file has the partition 0."""

    async def there(self, spans: Mapping[int, Span]) -> dict[int, Span]:
        """Return what it still has of the spans."""

    def read(self, spans: Mapping[int, Sequence[Span]]) -> AsyncGenerator[Batch, None]:
        """Yield what is in the spans."""


class TopicSource:
    """A topic."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: tuple[TopicPartition, ...]) -> None:
        """Take a started consumer; `open` makes one."""
        self._consumer = consumer
        self._partitions = partitions
        self._topic: str = partitions[0].topic

    @property
    def topic(self) -> str | None:
        """Its name."""
        return self._topic

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, options: Mapping[str, Any], topic: str, *, max_message_bytes: int
    ) -> AsyncIterator[TopicSource]:
        """Open a topic for the length of the context.

        Args:
            options: What `connections.kafka_options` returns.
            topic: Its name.
            max_message_bytes: Of the largest event.

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
            # What retention takes away while it is read is an error, and no jump.
            auto_offset_reset="none",
            max_partition_fetch_bytes=max_message_bytes,
        )
        try:
            await consumer.start()
            yield cls(consumer, partitions)
        finally:
            await end_member(consumer)

    async def range(self, since: UnixNanos | None, until: UnixNanos | None) -> dict[int, Span]:
        """Return the offsets of these times, by the broker's time index."""
        begins = await self._offsets(since, await self._beginnings())
        ends = await self._offsets(until, await self._ends())
        return {number: Span(begin, max(begin, ends[number])) for number, begin in begins.items()}

    async def there(self, spans: Mapping[int, Span]) -> dict[int, Span]:
        """Return what retention has left of the spans."""
        beginnings, ends = await self._beginnings(), await self._ends()
        return {
            number: span.within(Span(beginnings[number], ends[number]))
            for number, span in spans.items()
            if number in beginnings
        }

    async def read(self, spans: Mapping[int, Sequence[Span]]) -> AsyncGenerator[Batch, None]:
        """Yield what is in the spans, those of a partition one after the other.

        Raises:
            KafkaError: Kafka cannot be reached, or refuses.
            TimeoutError: Kafka says nothing.
        """
        left = {number: list(of) for number, of in spans.items() if of}
        if not left:
            return
        # In one go: a partition without a position would be looked up in no group, in vain.
        self._consumer.assign([self._tp(number) for number in left])
        for number, of in left.items():
            self._consumer.seek(self._tp(number), of[0].begin)
        before, since = await self._positions(left), time.monotonic()
        while left:
            for number, position in before.items():
                self._go_on(left, number, position)
            if not left:
                return
            batches = await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=_MOST_RECORDS)
            batch = Batch([], {})
            for tp, records in batches.items():
                span = left[tp.partition][0]
                inside = [_kept(record) for record in records if record.offset in span]
                batch.records.extend(inside)
                batch.reached[tp.partition] = min(span.end, records[-1].offset + 1)
            if batch.reached:
                yield batch
            # The position, not a record's offset: a transaction's markers have offsets too.
            now = await self._positions(left)
            if now != before:
                before, since = now, time.monotonic()
            elif time.monotonic() - since > _SILENCE_SECONDS:
                raise TimeoutError(f"nothing of {self.topic} for {_SILENCE_SECONDS:g} s")

    def _go_on(self, left: dict[int, list[Span]], number: int, position: int) -> None:
        """Go to the partition's next span where one is at its end."""
        if number not in left or position < left[number][0].end:
            return
        left[number].pop(0)
        if left[number]:
            self._consumer.seek(self._tp(number), left[number][0].begin)
        else:
            del left[number]
            # Naming the others in getmany() instead slows every fetch by 100 ms (facts C).
            self._consumer.pause(self._tp(number))

    async def _positions(self, numbers: Mapping[int, object]) -> dict[int, int]:
        return {number: await self._consumer.position(self._tp(number)) for number in numbers}

    async def _beginnings(self) -> dict[int, int]:
        found = await self._consumer.beginning_offsets(self._partitions)
        return {tp.partition: offset for tp, offset in found.items()}

    async def _ends(self) -> dict[int, int]:
        found = await self._consumer.end_offsets(self._partitions)
        return {tp.partition: offset for tp, offset in found.items()}

    async def _offsets(self, when: UnixNanos | None, otherwise: dict[int, int]) -> dict[int, int]:
        """Return where a time begins; where nothing is that new, the end of what is read."""
        if when is None:
            return otherwise
        # Kafka knows milliseconds: what was put within that of `when` is told by its own time.
        found = await self._consumer.offsets_for_times(
            dict.fromkeys(self._partitions, when // 10**6)
        )
        ends = await self._ends()
        return {
            tp.partition: min(at.offset, ends[tp.partition]) if at else ends[tp.partition]
            for tp, at in ((tp, found.get(tp)) for tp in self._partitions)
        }

    def _tp(self, number: int) -> TopicPartition:
        return TopicPartition(self._topic, number)


class FileSource:
    """An export file."""

    topic: str | None = None

    def __init__(self, path: Path) -> None:
        """Read it once, to know how long it is and which one it is.

        Raises:
            FileError: it cannot be read.
        """
        self._path = path
        digest, self._lines = hashlib.sha256(), 0
        try:
            with path.open("rb") as file:
                for line in file:
                    digest.update(line)
                    self._lines += 1
        except OSError as error:
            raise FileError(
                f"--from-file {path}: {error.strerror}: give a file that `replay --to-file` has "
                "written"
            ) from None
        self.digest = digest.hexdigest()
        """Of all that is in it: a replay goes on only with the very file that it began with."""

    async def range(self, since: UnixNanos | None, until: UnixNanos | None) -> dict[int, Span]:
        """Return all its lines: only each line tells its time."""
        del since, until
        return {0: Span(0, self._lines)}

    async def there(self, spans: Mapping[int, Span]) -> dict[int, Span]:
        """Return the spans: it is the same file."""
        return dict(spans)

    async def read(self, spans: Mapping[int, Sequence[Span]]) -> AsyncGenerator[Batch, None]:
        """Yield the records of the lines in the spans.

        Raises:
            LineError: a line holds no record.
        """
        wanted = spans.get(0, ())
        batch = Batch([], {})
        with self._path.open("rb") as file:
            for number, line in enumerate(file):
                if not any(number in span for span in wanted):
                    continue
                batch.records.append(from_line(line, number))
                batch.reached[0] = number + 1
                if len(batch.records) == _MOST_RECORDS:
                    yield batch
                    batch = Batch([], {})
                    await asyncio.sleep(0)
        if batch.records:
            yield batch


def _kept(record: ConsumerRecord[bytes | None, bytes | None]) -> Kept:
    return Kept(
        Position(record.topic, record.partition, record.offset),
        record.timestamp,
        KafkaRecord(record.key, record.value, tuple(record.headers)),
        (record.partition, record.offset),
    )
