"""The session's servers do what the tests and the relay need of them."""

from __future__ import annotations

import uuid

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import MessageSizeTooLargeError
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from tests.support import (
    LARGER_TOPIC_BYTES,
    MAIN_TOPIC_BYTES,
    PARTITIONS,
    Topics,
    committed_offsets,
    consume_all,
    create_topics,
    eventually,
    produce,
)


async def test_consume_all_returns_every_record_with_key_and_headers(
    kafka_address: str, topics: Topics
) -> None:
    await produce(kafka_address, topics.completions, b"one", key=b"k", headers=[("h", b"\x00\xff")])
    await produce(kafka_address, topics.completions, None, key=b"k")

    records = await consume_all(kafka_address, topics.completions)

    assert [(record.value, record.key) for record in records] == [(b"one", b"k"), (None, b"k")]
    assert records[0].headers == (("h", b"\x00\xff"),)


async def test_consume_all_of_an_empty_topic_is_empty(kafka_address: str, topics: Topics) -> None:
    assert await consume_all(kafka_address, topics.audit) == []


async def test_consume_all_sees_committed_transactions_only(
    kafka_address: str, topics: Topics
) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=kafka_address, transactional_id=f"t-{uuid.uuid4().hex}"
    ) as producer:
        async with producer.transaction():
            await producer.send(topics.audit, b"kept", partition=0)
        await producer.begin_transaction()
        await producer.send_and_wait(topics.audit, b"dropped", partition=0)
        await producer.abort_transaction()

    assert [record.value for record in await consume_all(kafka_address, topics.audit)] == [b"kept"]


async def test_a_group_commits_within_a_transaction_and_another_member_goes_on_there(
    kafka_address: str, topics: Topics
) -> None:
    group = f"g-{uuid.uuid4().hex}"
    for value in (b"0", b"1", b"2"):
        await produce(kafka_address, topics.completions, value, partition=0)
    source = TopicPartition(topics.completions, 0)

    async with AIOKafkaConsumer(
        topics.completions,
        bootstrap_servers=kafka_address,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    ) as consumer:
        assert (await consumer.getone()).value == b"0"
        async with (
            AIOKafkaProducer(
                bootstrap_servers=kafka_address, transactional_id=f"t-{uuid.uuid4().hex}"
            ) as producer,
            producer.transaction(),
        ):
            await producer.send(topics.audit, b"decided 0")
            await producer.send_offsets_to_transaction({source: 1}, group)
    await eventually(lambda: _committed(kafka_address, group, topics.completions, {0: 1}))

    async with AIOKafkaConsumer(
        topics.completions,
        bootstrap_servers=kafka_address,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    ) as successor:
        assert (await successor.getone()).value == b"1"


async def test_every_topic_has_its_partitions(kafka_address: str, topics: Topics) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka_address) as producer:
        for topic in topics.max_message_bytes():
            assert await producer.partitions_for(topic) == set(range(PARTITIONS))


async def test_a_record_at_the_main_topics_limit_fits_the_dead_letter_topic_with_headers_added(
    kafka_address: str, topics: Topics
) -> None:
    value = bytes(MAIN_TOPIC_BYTES - 200)
    added = [("completion-dlq-detail", bytes(2_000))]

    await produce(kafka_address, topics.completions, value)
    await produce(kafka_address, topics.dead_letter, value, headers=added)

    (record,) = await consume_all(kafka_address, topics.dead_letter)
    assert (len(record.value), len(record.headers)) == (len(value), 1)


async def test_a_topic_refuses_a_record_over_its_limit(kafka_address: str) -> None:
    topic = f"small-{uuid.uuid4().hex}"
    await create_topics(kafka_address, {topic: {"max.message.bytes": "10000"}})

    with pytest.raises(MessageSizeTooLargeError):
        await produce(kafka_address, topic, bytes(LARGER_TOPIC_BYTES // 100))


async def test_the_client_is_connected_to_the_default_namespace(client: Client) -> None:
    described = await client.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace=client.namespace)
    )

    assert described.namespace_info.name == "default"


async def _committed(kafka: str, group: str, topic: str, expected: dict[int, int]) -> bool:
    return await committed_offsets(kafka, group, topic) == expected
