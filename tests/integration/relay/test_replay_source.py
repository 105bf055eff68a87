"""A topic as the source of a replay: which of its records are read, and that none is left out without a word."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.structs import TopicPartition
from tests.support import Topics, produce

from completion_relay.replay.selection import Span
from completion_relay.replay.source import TopicSource


async def read(
    source: TopicSource, spans: Mapping[int, Sequence[Span]]
) -> list[tuple[int, int, bytes | None]]:
    """Return partition, offset and value of each record, in the order in which they come."""
    async with contextlib.aclosing(source.read(spans)) as batches:
        return [(*kept.at, kept.record.value) async for batch in batches for kept in batch.records]


async def put(kafka: str, topic: str, count: int, *, partition: int) -> None:
    for number in range(count):
        await produce(kafka, topic, b"%d" % number, partition=partition)


async def test_two_spans_of_a_partition_are_read_and_nothing_between_them(
    topics: Topics, kafka_address: str
) -> None:
    await put(kafka_address, topics.completions, 6, partition=0)
    await put(kafka_address, topics.completions, 2, partition=1)
    options = {"bootstrap_servers": kafka_address}
    async with TopicSource.open(options, topics.completions, max_message_bytes=1_000_000) as source:
        found = await read(source, {0: [Span(0, 2), Span(4, 5)], 1: [Span(1, 2)]})
    assert [one for one in found if one[0] == 0] == [(0, 0, b"0"), (0, 1, b"1"), (0, 4, b"4")]
    assert [one for one in found if one[0] == 1] == [(1, 1, b"1")]


async def test_what_retention_takes_before_it_is_read_is_an_error_and_no_jump(
    topics: Topics, kafka_address: str
) -> None:
    await put(kafka_address, topics.completions, 4, partition=0)
    options = {"bootstrap_servers": kafka_address}
    async with TopicSource.open(options, topics.completions, max_message_bytes=1_000_000) as source:
        admin = AIOKafkaAdminClient(**options)
        await admin.start()
        try:
            at = TopicPartition(topics.completions, 0)
            await admin.delete_records({at: RecordsToDelete(before_offset=2)})
        finally:
            await admin.close()
        with pytest.raises(OffsetOutOfRangeError):
            await read(source, {0: [Span(0, 4)]})
