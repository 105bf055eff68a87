"""Reading between two places of a topic: what is read, and that a Kafka that says nothing is told."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaTimeoutError
from tests.support import Topics, produce

from completion_relay import topic_reader
from completion_relay.topic_reader import TopicReader


async def read(
    reader: TopicReader, begin: Mapping[TopicPartition, int], end: dict[TopicPartition, int]
) -> list[bytes | None]:
    async with contextlib.aclosing(reader.batches(begin, end)) as batches:
        return [record.value async for _, records in batches for record in records]


async def test_only_the_named_partitions_are_read_from_begin_to_end(
    topics: Topics, kafka_address: str
) -> None:
    for number in range(4):
        await produce(kafka_address, topics.completions, b"a%d" % number, partition=0)
        await produce(kafka_address, topics.completions, b"b%d" % number, partition=1)
    at = TopicPartition(topics.completions, 1)
    async with TopicReader.open({"bootstrap_servers": kafka_address}, topics.completions) as reader:
        assert await read(reader, {at: 1}, {at: 3}) == [b"b1", b"b2"]
        # Another time, with another one, on the same connection.
        other = TopicPartition(topics.completions, 0)
        assert await read(reader, {other: 3}, {other: 4}) == [b"a3"]


async def test_each_partition_is_told_when_it_is_read_to_its_end(
    topics: Topics, kafka_address: str
) -> None:
    await produce(kafka_address, topics.completions, b"only", partition=0)
    full, empty = (TopicPartition(topics.completions, number) for number in (0, 1))
    told: list[TopicPartition] = []
    async with (
        TopicReader.open({"bootstrap_servers": kafka_address}, topics.completions) as reader,
        contextlib.aclosing(
            reader.batches({full: 0, empty: 0}, {full: 1, empty: 0}, at_end=told.append)
        ) as batches,
    ):
        read_of = [at async for at, _ in batches]
    assert (read_of, sorted(told)) == ([full], [full, empty])


async def test_where_a_record_is_none_a_transactions_marker_is_none_either(
    topics: Topics, kafka_address: str
) -> None:
    at = TopicPartition(topics.completions, 0)
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka_address, transactional_id=f"{topics.completions}.reader"
    )
    await producer.start()
    try:
        async with producer.transaction():
            await producer.send_and_wait(topics.completions, b"record", partition=0)
    finally:
        await producer.stop()
    async with TopicReader.open({"bootstrap_servers": kafka_address}, topics.completions) as reader:
        assert (await reader.end())[at] == 2
        found = [await reader.record_at(at, offset) for offset in (0, 1, 2)]
    assert [record and record.value for record in found] == [b"record", None, None]


async def test_a_kafka_that_says_nothing_is_told_and_not_waited_for(
    topics: Topics, kafka_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the topic ends before the place that was said, as for a broker that has gone: nothing comes."""
    monkeypatch.setattr(topic_reader, "_SILENCE_SECONDS", 0.5)
    await produce(kafka_address, topics.completions, b"only", partition=0)
    at = TopicPartition(topics.completions, 0)
    async with TopicReader.open({"bootstrap_servers": kafka_address}, topics.completions) as reader:
        with pytest.raises(
            KafkaTimeoutError, match=rf"nothing of {topics.completions}/0 for 0.5 s"
        ):
            await read(reader, {at: 0}, {at: 9})
