"""Room `replay`: sends what is replayed, exactly once a replay. Touches aiokafka's producer.

A transaction has some of the events and, as the offsets of the replay's own group, how
far its source has been read: after whatever interruption both are there or neither is.
The transactional id is the replay's: who opens it ends whatever an earlier run of the
same replay had under way, and that run can send no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidProducerEpoch, ProducerFenced
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from completion_relay.producing import TooLargeError, close_producer, transact_to
from completion_relay.replay.again import Changes, again, home
from completion_relay.replay.checkpoint import ReplayError, group_of, transactional_id_of
from completion_relay.replay.plan import Treated
from completion_relay.replay.progress import Mark
from completion_schemas.record import KafkaRecord

_OPEN_SECONDS: Final = 60.0
_TRANSACTION_MS: Final = 10_000
"""A relay reads no further than an open transaction: one of a replay that was killed in mid-air holds
up the new events of its partitions until Kafka aborts it."""
_UNLIMITED: Final = 2**30
"""Bytes. A topic's limit counts the compressed batch: the broker's is the one that holds."""
_BATCH_BYTES: Final = 256 * 1024


@dataclass(slots=True)
class Sender:
    """Sends the events of one replay."""

    options: Mapping[str, Any]
    """What `connections.kafka_options` returns."""
    name: str
    """Of the replay."""
    changes: Changes
    progress_topic: str
    """Whose partitions the progress is kept for."""
    marks: dict[int, Mark] = field(default_factory=dict)
    """How far it has come, as Kafka knows it."""
    too_large: list[Treated] = field(default_factory=list)
    """What its topic did not take for its size."""
    _producer: AIOKafkaProducer | None = None

    async def open(self) -> None:
        """Become the one that sends: after this nobody else's transaction of this replay is under way.

        Raises:
            KafkaError: Kafka does not let us.
            TimeoutError: it does not answer.
        """
        await self.close()
        self._producer = AIOKafkaProducer(
            **self.options,
            transactional_id=transactional_id_of(self.name),
            transaction_timeout_ms=_TRANSACTION_MS,
            acks="all",
            max_request_size=_UNLIMITED,
            max_batch_size=_BATCH_BYTES,
            compression_type="lz4",
        )
        async with asyncio.timeout(_OPEN_SECONDS):
            await self._producer.start()

    async def close(self) -> None:
        """Disconnect; what is not committed then never happened."""
        if self._producer is not None:
            await close_producer(self._producer)
            self._producer = None

    async def begin(self, marks: Mapping[int, Mark]) -> None:
        """Write down what is replayed, before any of it is."""
        await self._commit({}, dict(marks))

    async def put(self, batch: Sequence[Treated], reached: Mapping[int, int]) -> int:
        """Send some events and write down how far the source has been read; return how many were sent.

        Args:
            batch: The events, in the order of their reading.
            reached: The next offset of each partition that was read on.

        Raises:
            ReplayError: another run of the same replay has begun, or this one stood still for too long.
            KafkaError: whether it is sent, only the committed offsets know.
        """
        try:
            await self._transact(batch, reached)
        except TooLargeError:
            await self.open()
            if len(batch) > 1:
                half = len(batch) // 2
                sent = await self.put(batch[:half], {})
                return sent + await self.put(batch[half:], reached)
            self.too_large.extend(batch)
            after = {kept.at[0]: kept.at[1] + 1 for kept in (one.kept for one in batch)}
            await self._transact((), {**after, **reached})
            return 0
        return len(batch)

    async def _transact(self, batch: Sequence[Treated], reached: Mapping[int, int]) -> None:
        records: dict[TopicPartition, list[KafkaRecord]] = {}
        next_of: dict[int, int] = {}
        sent_of: dict[int, int] = {}
        for treated in batch:
            kept = treated.kept
            record = again(kept, self.changes, count=treated.count + 1)
            records.setdefault(await self._partition(treated, record), []).append(record)
            number, offset = kept.at
            next_of[number] = offset + 1
            sent_of[number] = sent_of.get(number, 0) + 1
        marks = {
            number: self.marks[number].at(offset, sent=sent_of.get(number, 0))
            for number, offset in {**next_of, **reached}.items()
        }
        await self._commit(records, marks)

    async def _commit(
        self, records: Mapping[TopicPartition, list[KafkaRecord]], marks: dict[int, Mark]
    ) -> None:
        assert self._producer is not None  # noqa: S101 - `open` comes first
        # Of all partitions, also those that have not moved: Kafka forgets each one's progress so long after
        # it was last written, and a replay would go on without those that were forgotten.
        offsets = {
            TopicPartition(self.progress_topic, number): OffsetAndMetadata(
                mark.reached, mark.metadata
            )
            for number, mark in {**self.marks, **marks}.items()
        }
        try:
            await transact_to(self._producer, records, offsets, group=group_of(self.name))
        except (ProducerFenced, InvalidProducerEpoch):
            raise ReplayError(
                f"replay {self.name}: Kafka lets this run send no more: another run of it has begun, and goes "
                f"on in its place; or it stood still for {_TRANSACTION_MS // 1_000} s with a transaction open. "
                "If no other one runs, type the same command again: it goes on where this one stopped"
            ) from None
        self.marks.update(marks)

    async def _partition(self, treated: Treated, record: KafkaRecord) -> TopicPartition:
        assert self._producer is not None  # noqa: S101 - as above
        topic, origin = self.changes.topic, treated.kept.origin
        numbers = sorted(await self._producer.partitions_for(topic))
        number = home(origin, topic, len(numbers))
        if number is None:
            # Without a key no partition is the right one; the same one each time will do.
            number = (
                origin.partition % len(numbers)
                if record.key is None
                else DefaultPartitioner()(record.key, numbers, numbers)
            )
        return TopicPartition(topic, number)
