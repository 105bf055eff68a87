"""Room `journal`: what became of a partition's records, durable together with its offsets. Touches the producer.

One transactional producer per assigned partition and assignment, whose id names
group, topic and partition. Beginning it fences whoever had the partition before
and ends what he had not finished (InitProducerId), so a relay that was frozen or
cut off cannot write or commit any more: its epoch is the partition's lock. Only
after that may the committed offset be read. Audit records, dead letters, signals,
parked records and the offset itself then go in one transaction, or not at all.

The group's own fencing of offsets would be simpler, but aiokafka does not have it
(KIP-447: it speaks TxnOffsetCommit v0, which names no generation; facts C).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerFenced
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from completion_relay.aside import Aside
from completion_relay.clock import Clock
from completion_relay.entry import Entry
from completion_relay.ledger import PartitionLedger
from completion_relay.producing import TooLargeError, close_producer, transact
from completion_schemas.record import KafkaRecord

_TRANSACTION_SECONDS = 30.0
"""For one transaction; Kafka ends it itself after as long (`transaction.timeout.ms`), as an open one
keeps the readers of the audit topic waiting."""
_OPEN_SECONDS = 30.0
_CLOSE_SECONDS = 10.0
"""For writing what is decided when a partition goes."""
_CANCEL_SECONDS = 5.0
_RETRY_SECONDS = 1.0
_BATCH_BYTES = 256 * 1024
_HURRY_RECORDS = 1_000
"""Half the default window, which the other half then goes on filling; so of its bytes, too: where results
are large, a partition would else take no more than a window in each interval."""
_TRANSACTION_RECORDS = 2_000
_TRANSACTION_BYTES = 8 * 1024 * 1024
_UNLIMITED = 2**30
"""Bytes. A topic's limit counts the compressed batch, aiokafka's own counts before: the broker's
is the one that holds, or an event that its producer had compressed could not be dead-lettered."""


class LostPartitionError(KafkaError):  # type: ignore[misc]
    """Nothing more can be written for the partition in this assignment: it is another's."""


class Watches(Protocol):
    """Who is told of what happens to a journal."""

    def wrote(self, partition: TopicPartition, seconds: float) -> None:
        """A transaction is durable, and took so long."""

    def failed(self, partition: TopicPartition, error: BaseException) -> None:
        """A transaction failed; it is tried again."""

    def holds(self, partition: TopicPartition, what: str) -> None:
        """Some of it is too large for its topic, which `what` says; empty: nothing is any more."""

    def lost(self, partition: TopicPartition, error: LostPartitionError) -> None:
        """The partition has to be given up."""

    def closed(self, partition: TopicPartition) -> None:
        """Nothing is written for the partition any more."""


class Journal:
    """One partition during one assignment."""

    def __init__(
        self,
        options: dict[str, Any],
        *,
        group: str,
        partition: TopicPartition,
        interval: float,
        clock: Clock,
        committed: Callable[[], Awaitable[OffsetAndMetadata | None]],
        observer: Watches,
    ) -> None:
        """Connect to nothing yet.

        Args:
            options: What aiokafka takes to connect.
            group: The consumer group whose offsets are written.
            partition: Whose.
            interval: Seconds for which entries gather before they are written.
            clock: Time.
            committed: Reads the partition's committed offset from Kafka.
            observer: Told of what happens.
        """
        self._options = options
        self._group = group
        self._partition = partition
        self._interval = interval
        self._clock = clock
        self._committed = committed
        self._observer = observer
        self._producer: AIOKafkaProducer | None = None
        self._ledger: PartitionLedger | None = None
        self._durable: OffsetAndMetadata | None = None
        self._entries: deque[Entry] = deque()
        self._gathered_bytes = 0
        """Of the records that these are of, as the ledger has them."""
        self._aside = Aside(clock, again=self.add, tell=partial(observer.holds, partition))
        self._news = asyncio.Event()
        self._hurry = asyncio.Event()
        self._is_closing = False
        self._writing: asyncio.Task[None] | None = None

    async def open(self) -> OffsetAndMetadata | None:
        """Take the partition: whoever had it can write no more when this returns.

        Returns:
            The committed offset; None: nothing was ever committed.

        Raises:
            KafkaError: Kafka does not let us.
        """
        if self._producer is not None:
            await close_producer(self._producer)
        self._producer = AIOKafkaProducer(
            **self._options,
            transactional_id=(
                f"completion-relay/{self._group}/{self._partition.topic}/"
                f"{self._partition.partition}"
            ),
            transaction_timeout_ms=round(_TRANSACTION_SECONDS * 1_000),
            acks="all",
            max_request_size=_UNLIMITED,
            max_batch_size=_BATCH_BYTES,
            compression_type="lz4",
        )
        async with asyncio.timeout(_OPEN_SECONDS):
            await self._producer.start()
            # Not before: a transaction of whoever had the partition may have
            # been under way until now.
            self._durable = await self._committed()
        return self._durable

    def begin(self, ledger: PartitionLedger) -> None:
        """Begin to write, with the ledger of what was read from the committed offset on."""
        self._ledger = ledger
        self._writing = asyncio.create_task(self._write_for_ever())

    def add(self, entry: Entry) -> None:
        """Take in what became of a record; durable a moment later."""
        self._entries.append(entry)
        self._news.set()
        assert self._ledger is not None  # noqa: S101 - `begin` comes first
        self._gathered_bytes += self._ledger.bytes_of(entry.offset)
        if (
            len(self._entries) >= _HURRY_RECORDS
            or 2 * self._gathered_bytes >= self._ledger.window_bytes
        ):
            self._hurry.set()

    async def close(self, *, within: float) -> None:
        """Write what is there as far as time allows, and disconnect.

        What is not written was not settled either: it is delivered again.

        Args:
            within: Seconds for the writing.
        """
        self._is_closing = True
        self._aside.close()
        self._news.set()
        self._hurry.set()
        if self._writing is not None:
            await asyncio.wait({self._writing}, timeout=within)
            self._writing.cancel()
            await asyncio.wait({self._writing}, timeout=_CANCEL_SECONDS)
        if self._producer is not None:
            await close_producer(self._producer)
        self._observer.closed(self._partition)

    async def _write_for_ever(self) -> None:
        try:
            while True:
                await self._news.wait()
                if not self._is_closing:
                    await self._gather()
                self._news.clear()
                self._hurry.clear()
                while batch := self._next_batch():
                    await self._write_until_durable(batch)
                self._gathered_bytes = 0
                if self._is_closing:
                    return
        except LostPartitionError as error:
            if not self._is_closing:  # else it is given up anyway
                self._observer.lost(self._partition, error)
        except Exception as error:  # noqa: BLE001 - a defect: begin anew, or nothing is ever written
            self._observer.failed(self._partition, error)
            what = f"{type(error).__name__}: {error}"
            self._observer.lost(self._partition, LostPartitionError(what))

    async def _gather(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._interval):
                await self._hurry.wait()

    def _next_batch(self) -> list[Entry]:
        batch: list[Entry] = []
        size = 0
        while self._entries and len(batch) < _TRANSACTION_RECORDS and size < _TRANSACTION_BYTES:
            entry = self._entries.popleft()
            if self._aside.is_tried(entry):
                if batch:  # in a transaction of its own: it may well be refused again
                    self._entries.appendleft(entry)
                    return batch
                return [entry]
            if self._aside.is_as_large(entry):
                self._aside.hold(entry)
                continue
            batch.append(entry)
            size += entry.size
        return batch

    async def _write_until_durable(self, batch: list[Entry]) -> None:
        offset = self._offset_after(batch)
        started = self._clock.monotonic()
        while True:
            try:
                async with asyncio.timeout(_TRANSACTION_SECONDS):
                    await self._transact(batch, offset)
            except ProducerFenced as error:
                raise LostPartitionError("another relay has taken the partition over") from error
            except TooLargeError as error:
                await self._is_durable_after_all(offset, wait=0.0)
                await self._without_what_is_too_large(batch, error.topic)
                return
            except (KafkaError, TimeoutError, AssertionError) as error:
                # AssertionError: what aiokafka raises for a state it did not expect.
                self._observer.failed(self._partition, error)
                if await self._is_durable_after_all(offset):
                    break
            else:
                break
        self._settle(batch)
        self._durable = offset
        self._observer.wrote(self._partition, self._clock.monotonic() - started)

    def _offset_after(self, batch: Iterable[Entry]) -> OffsetAndMetadata:
        assert self._ledger is not None  # noqa: S101 - `begin` comes first
        # What the offsets say is settled must have its records in this transaction or an
        # earlier one: so it is settled only when they are durable.
        position = self._ledger.position({entry.offset for entry in batch})
        return OffsetAndMetadata(position.offset + 1, position.metadata)

    def _settle(self, batch: Iterable[Entry]) -> None:
        assert self._ledger is not None  # noqa: S101 - as above
        for entry in batch:
            self._ledger.settle(entry.offset)
            self._aside.written(entry)
            entry.on_durable()

    async def _transact(self, batch: Iterable[Entry], offset: OffsetAndMetadata) -> None:
        assert self._producer is not None  # noqa: S101 - `open` comes first
        records: dict[str, list[KafkaRecord]] = {}
        for entry in batch:
            for topic, record in entry.records:
                records.setdefault(topic, []).append(record)
        await transact(
            self._producer,
            records,
            {self._partition: offset},
            number=self._partition.partition,
            group=self._group,
        )

    async def _without_what_is_too_large(self, batch: list[Entry], topic: str) -> None:
        """Write what is not, and put aside what is.

        Kafka refuses batches, and does not say for which of their records: the smaller half
        is tried first, and once one alone was refused, what is as large is not.
        """
        if len(batch) == 1:
            self._aside.hold(batch[0], refused_by=topic)
            return
        others = [entry for entry in batch if entry.largest(topic) < 0]
        suspects = [entry for entry in batch if entry.largest(topic) >= 0]
        suspects.sort(key=lambda entry: entry.largest(topic))
        middle = 0 if others else len(suspects) // 2
        for part in (others, suspects[:middle], suspects[middle:]):
            left = [entry for entry in part if not self._aside.is_as_large(entry)]
            for entry in part:
                if entry not in left:
                    self._aside.hold(entry)
            if left:
                await self._write_until_durable(left)

    async def _is_durable_after_all(
        self, offset: OffsetAndMetadata, *, wait: float = _RETRY_SECONDS
    ) -> bool:
        """Take the partition anew, and find out what became of the transaction that failed.

        The producer cannot go on after most errors (its sequence numbers are
        off, or its sender has died), and a commit whose answer was lost may have
        happened. What is committed tells: each transaction moves it.

        Raises:
            LostPartitionError: somebody else has moved it, or the journal is closing.
        """
        before = self._durable
        while not self._is_closing:
            if wait:
                await self._clock.sleep(wait)
            wait = _RETRY_SECONDS
            try:
                now = await self.open()
            except (KafkaError, TimeoutError, AssertionError) as error:
                self._observer.failed(self._partition, error)
                continue
            if now in (before, offset):
                return bool(now == offset)
            raise LostPartitionError("another relay has committed for the partition")
        raise LostPartitionError("the end came before Kafka took what was to be written")


async def close_journals(journals: Iterable[Journal]) -> None:
    """Close them side by side, each in a bounded time."""
    await asyncio.gather(
        *(journal.close(within=_CLOSE_SECONDS) for journal in journals), return_exceptions=True
    )
