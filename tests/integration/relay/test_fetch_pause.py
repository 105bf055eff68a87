"""The pause after fetches that brought nothing, on the broker of this run."""

from __future__ import annotations

import time

from aiokafka import AIOKafkaConsumer
from tests.support import Topics, produce

from completion_relay.fetch_pause import pause_after_empty_fetches


async def fetches(consumer: AIOKafkaConsumer, seconds: float) -> int:
    """Return how many requests the consumer made in that time."""
    client = consumer._client
    send, count = client.send, 0

    async def counted(*arguments: object, **options: object) -> object:
        nonlocal count
        count += 1
        return await send(*arguments, **options)

    client.send = counted
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        await consumer.getmany(timeout_ms=50)
    return count


async def test_an_idle_consumer_makes_few_requests(kafka_address: str, topics: Topics) -> None:
    consumer = AIOKafkaConsumer(
        topics.completions, bootstrap_servers=kafka_address, group_id=topics.completions
    )
    pause_after_empty_fetches(consumer, 0.05)
    async with consumer:
        assert await fetches(consumer, 1.0) <= 30


async def test_records_come_through_the_pause(kafka_address: str, topics: Topics) -> None:
    consumer = AIOKafkaConsumer(
        topics.completions,
        bootstrap_servers=kafka_address,
        group_id=topics.completions,
        auto_offset_reset="earliest",
    )
    pause_after_empty_fetches(consumer, 0.05)
    async with consumer:
        for value in (b"one", b"two"):
            await produce(kafka_address, topics.completions, value, partition=0)
        assert [(await consumer.getone()).value for _ in range(2)] == [b"one", b"two"]
