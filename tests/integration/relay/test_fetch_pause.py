"""The pause after fetches that brought nothing, on the broker of this run."""

from __future__ import annotations

import asyncio
import time

from aiokafka import AIOKafkaConsumer
from tests.support import Topics, produce

from completion_relay.fetch_pause import pause_after_empty_fetches

_FETCH = 1
"""The API key of Fetch in Kafka's protocol."""


async def seconds_of(consumer: AIOKafkaConsumer, fetches: int) -> float:
    """Return how long the consumer took from the end of one fetch to that of the so-manieth after it."""
    client = consumer._client
    send, ends, enough = client.send, list[float](), asyncio.Event()

    async def timed(*arguments: object, **options: object) -> object:
        response = await send(*arguments, **options)
        if getattr(response, "API_KEY", None) == _FETCH:
            ends.append(time.monotonic())
            if len(ends) > fetches:
                enough.set()
        return response

    client.send = timed
    async with asyncio.timeout(60):
        await enough.wait()
    return ends[fetches] - ends[0]


async def test_an_idle_consumer_makes_few_requests(kafka_address: str, topics: Topics) -> None:
    """A machine that is slow makes fewer still. Apache Kafka holds each fetch longer by itself."""
    consumer = AIOKafkaConsumer(
        topics.completions, bootstrap_servers=kafka_address, group_id=topics.completions
    )
    pause_after_empty_fetches(consumer, 0.05)
    async with consumer:
        assert await seconds_of(consumer, 20) >= 20 * 0.05 * 0.99


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
