"""Room `tests`: what several tests need. Touches Kafka where a function says so."""

from __future__ import annotations

import asyncio
import inspect
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar, overload

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import for_code
from aiokafka.structs import ConsumerRecord, OffsetAndMetadata, RecordMetadata

from completion_relay.patient_admin import PatientAdmin

PARTITIONS = 4
MAIN_TOPIC_BYTES = 4 * 1024 * 1024
"""The relay's default for the main topic's `max.message.bytes`."""
CLUSTER_DEFAULT_BYTES = 1024 * 1024 + 12
"""Kafka's own `message.max.bytes`, which `topics create` leaves to the audit and signals topics."""
LARGER_TOPIC_BYTES = MAIN_TOPIC_BYTES + 1024 * 1024
"""Room for a record at the main topic's limit with headers added (contract section 2)."""

_POLL_SECONDS = 0.02

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Topics:
    """The names of one test's own topics."""

    completions: str
    audit: str
    dead_letter: str
    parked: str
    signals: str

    @classmethod
    def unique(cls) -> Topics:
        """Return names that no other test has."""
        base = f"completions-{uuid.uuid4().hex[:12]}"
        return cls(
            completions=base,
            audit=f"{base}.audit",
            dead_letter=f"{base}.dead-letter",
            parked=f"{base}.parked",
            signals=f"{base}.signals",
        )

    def max_message_bytes(self) -> dict[str, int]:
        """Return each topic's `max.message.bytes`."""
        return {
            self.completions: MAIN_TOPIC_BYTES,
            self.audit: CLUSTER_DEFAULT_BYTES,
            self.dead_letter: LARGER_TOPIC_BYTES,
            self.parked: LARGER_TOPIC_BYTES,
            self.signals: CLUSTER_DEFAULT_BYTES,
        }


@overload
async def eventually(
    condition: Callable[[], Awaitable[_T | None]],
    *,
    timeout: float = ...,  # noqa: ASYNC109 - it bounds the polling and cancels nothing
    every: float = ...,
    what: str = ...,
) -> _T: ...
@overload
async def eventually(
    condition: Callable[[], _T | None],
    *,
    timeout: float = ...,  # noqa: ASYNC109 - as above
    every: float = ...,
    what: str = ...,
) -> _T: ...
async def eventually(
    condition: Callable[[], object],
    *,
    timeout: float = 15.0,  # noqa: ASYNC109 - as above
    every: float = _POLL_SECONDS,
    what: str = "",
) -> object:
    """Return the first true value of `condition`: the one place where a test polls.

    Use it only where there is nothing to wait on. An AssertionError of the
    condition means "not yet"; any other exception ends the wait.

    Args:
        condition: Asked again and again; a function, or one that returns an awaitable.
        timeout: Seconds.
        every: Seconds between two looks.
        what: What is waited for, for the failure's text.

    Raises:
        AssertionError: the time is over; it has the last value or the last assertion.
    """
    give_up = time.monotonic() + timeout
    while True:
        last: object
        try:
            value = condition()
            if inspect.isawaitable(value):
                value = await value
            if value:
                return value
            last = value
        except AssertionError as error:
            last = error
        if time.monotonic() > give_up:
            raise AssertionError(
                f"{what or 'the condition'} did not come true within {timeout:g} s; last: {last!r}"
            )
        await asyncio.sleep(every)


async def create_topics(
    kafka: str,
    topics: Mapping[str, Mapping[str, str]] | Iterable[str],
    *,
    partitions: int = PARTITIONS,
    replication: int = 1,
) -> None:
    """Create topics, with their configuration where a mapping gives one.

    Raises:
        KafkaError: one could not be created; the text names it.
    """
    configs = topics if isinstance(topics, Mapping) else {name: {} for name in topics}
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        response = await admin.create_topics(
            [
                NewTopic(name, partitions, replication, topic_configs=dict(config))
                for name, config in configs.items()
            ]
        )
        for name, code, *rest in response.topic_errors:
            if code:
                raise for_code(code)(f"{name}: {rest}")

        # Acknowledged is not yet known everywhere: Apache Kafka's brokers learn it a moment later.
        async def led() -> bool:
            described = await admin.describe_topics(list(configs))
            return all(
                topic["error_code"] == 0
                and len(topic["partitions"]) == partitions
                and all(partition["leader"] >= 0 for partition in topic["partitions"])
                for topic in described
            )

        await eventually(led, what=f"a leader for every partition of {sorted(configs)}")
    finally:
        await admin.close()


async def produce(
    kafka: str,
    topic: str,
    value: bytes | None,
    *,
    key: bytes | None = None,
    headers: Iterable[tuple[str, bytes]] = (),
    partition: int | None = None,
) -> RecordMetadata:
    """Write one record with `acks=all` and return where it is."""
    async with AIOKafkaProducer(
        bootstrap_servers=kafka, acks="all", max_request_size=LARGER_TOPIC_BYTES
    ) as producer:
        return await producer.send_and_wait(
            topic, value, key=key, headers=list(headers), partition=partition
        )


async def consume_all(kafka: str, topic: str) -> list[ConsumerRecord]:
    """Return what a topic holds now: all committed records, by partition and offset.

    Raises:
        KafkaError: `UnknownTopicOrPartitionError` when there is no such topic.
    """
    partitions = await _partitions(kafka, topic)
    async with AIOKafkaConsumer(
        bootstrap_servers=kafka,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    ) as consumer:
        ends = await consumer.end_offsets(partitions)
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        records: list[ConsumerRecord] = []
        while True:
            # The position, not a record's offset: a transaction's markers have offsets too.
            open_partitions = [
                partition
                for partition in partitions
                if await consumer.position(partition) < ends[partition]
            ]
            if not open_partitions:
                break
            batches = await consumer.getmany(*open_partitions, timeout_ms=100)
            for partition, batch in batches.items():
                records += [record for record in batch if record.offset < ends[partition]]
    return sorted(records, key=lambda record: (record.partition, record.offset))


async def committed_offsets(kafka: str, group: str, topic: str) -> dict[int, int]:
    """Return a group's committed offset by partition; a partition without one is left out."""
    commits = await group_commits(kafka, group, topic)
    return {number: commit.offset for number, commit in commits.items()}


async def group_commits(kafka: str, group: str, topic: str) -> dict[int, OffsetAndMetadata]:
    """Return what a group has committed by partition; a partition without a commit is left out."""
    admin = PatientAdmin(bootstrap_servers=kafka)
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(group)
    finally:
        await admin.close()
    return {
        partition.partition: committed
        for partition, committed in offsets.items()
        if partition.topic == topic and committed.offset >= 0
    }


async def _partitions(kafka: str, topic: str) -> list[TopicPartition]:
    admin = PatientAdmin(bootstrap_servers=kafka)
    await admin.start()
    try:
        (described,) = await admin.describe_topics([topic])
    finally:
        await admin.close()
    if described["error_code"]:
        raise for_code(described["error_code"])(topic)
    return [TopicPartition(topic, partition["partition"]) for partition in described["partitions"]]
