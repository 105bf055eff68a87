"""Room `tests`: what is larger than a fetch arrives all the same (KIP-74), also behind others."""

from __future__ import annotations

import itertools
import os

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from tests.support import MAIN_TOPIC_BYTES, PARTITIONS, Topics, eventually

from completion_relay.embedded import EMPTY_FETCH_PAUSE_MS
from completion_relay.membership import FETCH_BYTES, end_member, new_member
from completion_relay.settings import KafkaSettings

LARGEST = MAIN_TOPIC_BYTES - 100_000
"""3.9 MiB, an event that the main topic just takes."""
BATCHES = 40
"""On each of the other partitions, so that there is always something else to answer with."""


async def publish(kafka: str, topic: str, of_each: dict[int, list[list[bytes]]], how: str) -> None:
    """Write batches as they are, by partition; `how` they are compressed."""
    async with AIOKafkaProducer(
        bootstrap_servers=kafka,
        acks="all",
        max_request_size=MAIN_TOPIC_BYTES,
        max_batch_size=2 * MAIN_TOPIC_BYTES,
        compression_type=None if how == "none" else how,
    ) as producer:
        for partition, batches in of_each.items():
            for values in batches:
                batch = producer.create_batch()
                for value in values:
                    assert batch.append(key=None, value=value, timestamp=None)
                await (await producer.send_batch(batch, topic, partition=partition))


@pytest.mark.parametrize("how", ["none", "gzip", "lz4"])
async def test_what_is_larger_than_a_fetch_arrives_in_its_place(
    kafka_address: str, topics: Topics, how: str
) -> None:
    """One record of 3.9 MiB, then a batch of such a size, while other partitions fill each answer."""
    # Random bytes stay as large when they are compressed.
    small, filler = [b"small"], [[os.urandom(FETCH_BYTES // 2)] for _ in range(BATCHES)]
    first = [small, [os.urandom(LARGEST)], small, [os.urandom(LARGEST // 8) for _ in range(8)]]
    written = {0: [*first, small], **dict.fromkeys(range(1, PARTITIONS), filler)}
    await publish(kafka_address, topics.completions, written, how)

    kafka = KafkaSettings(group_id=topics.completions, empty_fetch_pause_ms=EMPTY_FETCH_PAUSE_MS)
    member = new_member({"bootstrap_servers": kafka_address}, kafka)
    partitions = [TopicPartition(topics.completions, number) for number in range(PARTITIONS)]
    found: dict[int, list[bytes | None]] = {number: [] for number in range(PARTITIONS)}
    wanted = {n: list(itertools.chain.from_iterable(batches)) for n, batches in written.items()}

    async def all_found() -> bool:
        for partition, records in (await member.getmany(timeout_ms=200)).items():
            found[partition.partition] += [record.value for record in records]
        return all(len(found[number]) >= len(wanted[number]) for number in wanted)

    await member.start()
    try:
        member.assign(partitions)
        for partition in partitions:
            member.seek(partition, 0)
        await eventually(all_found, timeout=60, what="every record")
    finally:
        await end_member(member)
    assert found == wanted
