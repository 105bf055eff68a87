"""Room `replay`: where the records come from: a topic, or an export file. Touches `topic_reader` and files.

A topic is read as the relay reads it, `read_committed`, in no group: nothing is
committed here. What is read ends where it was said to end.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from aiokafka import TopicPartition

from completion_relay.replay.again import Kept
from completion_relay.replay.headers import Position
from completion_relay.replay.line import LineError, from_line
from completion_relay.replay.selection import Span
from completion_relay.topic_reader import Record, TopicReader
from completion_schemas.errors import CompletionError
from completion_schemas.record import KafkaRecord
from completion_schemas.times import UnixNanos

_MOST_RECORDS: Final = 500
"""Of a batch from a file."""


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

    def __init__(self, reader: TopicReader) -> None:
        """Take an opened topic; `open` opens one."""
        self._reader = reader
        self._topic: str = reader.partitions[0].topic

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
        async with TopicReader.open(
            options,
            topic,
            partition_fetch_bytes=max_message_bytes,
            # What retention takes away while it is read is an error, and no jump.
            when_gone="none",
        ) as reader:
            yield cls(reader)

    async def range(self, since: UnixNanos | None, until: UnixNanos | None) -> dict[int, Span]:
        """Return the offsets of these times, by the broker's time index."""
        begin, end = await self._reader.beginning(), await self._reader.end()
        # Kafka knows milliseconds: what was put within that of a time is read on either side of it, and
        # told by its own time (`Selection.matches`).
        first, last = begin, end
        if since is not None:
            first = await self._reader.written_since(since // 10**6, end)
        if until is not None:
            last = await self._reader.written_since(-(-until // 10**6), end)
        return {
            at.partition: Span(first[at], last[at]).within(Span(begin[at], end[at]))
            for at in self._reader.partitions
        }

    async def there(self, spans: Mapping[int, Span]) -> dict[int, Span]:
        """Return what retention has left of the spans."""
        begin, end = await self._reader.beginning(), await self._reader.end()
        return {
            at.partition: spans[at.partition].within(Span(begin[at], end[at]))
            for at in self._reader.partitions
            if at.partition in spans
        }

    async def read(self, spans: Mapping[int, Sequence[Span]]) -> AsyncGenerator[Batch, None]:
        """Yield what is in the spans, those of a partition one after the other.

        Raises:
            KafkaError: Kafka cannot be reached, or refuses, or says nothing.
        """
        # The first of each partition, then the second of each that has one, and so on.
        for round_ in itertools.count():
            now = {
                TopicPartition(self._topic, number): of[round_]
                for number, of in spans.items()
                if round_ < len(of)
            }
            if not now:
                return
            begin = {at: span.begin for at, span in now.items()}
            end = {at: span.end for at, span in now.items()}
            async with contextlib.aclosing(self._reader.batches(begin, end)) as batches:
                async for at, records in batches:
                    yield Batch(
                        [_kept(record) for record in records],
                        {at.partition: records[-1].offset + 1},
                    )


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
            mode = path.stat().st_mode
            if not (
                stat.S_ISREG(mode) or stat.S_ISDIR(mode)
            ):  # of a folder the system says it better
                raise FileError(
                    f"--from-file {path}: it is a pipe or a device, and is read more than once: write it to "
                    "a file first"
                )
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
                try:
                    batch.records.append(from_line(line, number))
                except LineError as error:
                    raise LineError(f"--from-file {self._path}: {error}") from None
                batch.reached[0] = number + 1
                if len(batch.records) == _MOST_RECORDS:
                    yield batch
                    batch = Batch([], {})
                    await asyncio.sleep(0)
        if batch.records:
            yield batch


def _kept(record: Record) -> Kept:
    return Kept(
        Position(record.topic, record.partition, record.offset),
        record.timestamp,
        KafkaRecord(record.key, record.value, tuple(record.headers)),
        (record.partition, record.offset),
    )
