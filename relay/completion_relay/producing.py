"""Room `journal`: what aiokafka's producer needs around it. Touches the producer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RecordListTooLargeError,
)
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from completion_schemas.record import KafkaRecord

_STOP_SECONDS = 5.0


class RefusedError(KafkaError):  # type: ignore[misc]
    """A topic did not take a batch of records."""

    def __init__(self, topic: str, error: BaseException) -> None:
        """Name the topic.

        Args:
            topic: Which.
            error: What Kafka said.
        """
        super().__init__(f"topic {topic}: {error!r}")
        self.topic = topic


class TooLargeError(RefusedError):
    """It did not take it for its size: nothing is wrong with the topic, but with a record."""


async def transact(
    producer: AIOKafkaProducer,
    records: Mapping[str, Sequence[KafkaRecord]],
    offsets: Mapping[TopicPartition, OffsetAndMetadata],
    *,
    number: int,
    group: str,
) -> None:
    """Write records and offsets in one transaction.

    Args:
        producer: Of the transactions; started.
        records: To write, by topic.
        offsets: To commit.
        number: Which partition of each topic is written to, as far as it has as many: one, as every
            partition in a transaction gets a marker of its own.
        group: Whose offsets they are.

    Raises:
        RefusedError: as `transact_to`.
        KafkaError: as `transact_to`.
    """
    placed = {
        TopicPartition(topic, number % len(await producer.partitions_for(topic))): of_topic
        for topic, of_topic in records.items()
    }
    await transact_to(producer, placed, offsets, group=group)


async def transact_to(
    producer: AIOKafkaProducer,
    records: Mapping[TopicPartition, Iterable[KafkaRecord]],
    offsets: Mapping[TopicPartition, OffsetAndMetadata],
    *,
    group: str,
) -> None:
    """Write records and offsets in one transaction.

    Args:
        producer: Of the transactions; started.
        records: To write, by topic and partition.
        offsets: To commit.
        group: Whose offsets they are.

    Raises:
        RefusedError: a topic did not take some of the records, `TooLargeError` for their size. The
            transaction is not committed, and the producer is of no use any more.
        KafkaError: anything else; whether it is committed is not known.
    """
    await producer.begin_transaction()
    topics: list[str] = []
    sent: list[asyncio.Future[Any]] = []
    try:
        for (topic, partition), of_partition in records.items():
            for built in batches_of(of_partition, producer):
                topics.append(topic)
                sent.append(await producer.send_batch(built, topic, partition=partition))
        await producer.send_offsets_to_transaction(offsets, group)
    except BaseException:
        # Nobody waits for them now, least of all this: a coordinator that is away keeps them back.
        for one in sent:
            one.add_done_callback(_heard)
        raise
    # aiokafka commits a transaction without the batches that were refused.
    outcomes = await asyncio.gather(*sent, return_exceptions=True)
    for topic, outcome in zip(topics, outcomes, strict=True):
        if isinstance(outcome, ProducerFenced):
            raise outcome
        if isinstance(outcome, (MessageSizeTooLargeError, RecordListTooLargeError)):
            raise TooLargeError(topic, outcome) from outcome
        if isinstance(outcome, BaseException):
            raise RefusedError(topic, outcome) from outcome
    await producer.commit_transaction()


def _heard(sent: asyncio.Future[Any]) -> None:
    if not sent.cancelled():
        sent.exception()  # or asyncio complains that nobody asked for it


def batches_of(records: Iterable[KafkaRecord], producer: AIOKafkaProducer) -> Iterator[Any]:
    """Yield the records as batches that the producer sends: one future a batch, not one a record."""
    builder = producer.create_batch()
    for record in records:
        fields = {
            "key": record.key,
            "value": record.value,
            "timestamp": None,
            "headers": list(record.headers),
        }
        if builder.append(**fields) is None:
            builder.close()
            yield builder
            builder = producer.create_batch()
            builder.append(**fields)
    builder.close()
    yield builder


async def close_producer(producer: AIOKafkaProducer) -> None:
    """Stop in a bounded time, whatever state it is in; aiokafka's `stop` waits for an absent Kafka for ever.

    Raises nothing: what failed in it failed what was sent with it, too.
    """
    with contextlib.suppress(Exception):
        await asyncio.wait_for(producer.stop(), _STOP_SECONDS)
        return
    producer._closed = True  # noqa: SLF001 - what stop() does first; it would wait
    # Its sender goes on for as long as it has connections.
    for close in (producer.client.close, producer._sender.close):  # noqa: SLF001 - the same
        with contextlib.suppress(Exception):
            await asyncio.wait_for(close(), _STOP_SECONDS)
