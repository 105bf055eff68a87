"""Room `consumer`: a pause after fetches that brought nothing, for brokers that do not wait for data.

Apache Kafka holds a fetch until there is data (`fetch.max.wait.ms`). The
embedded broker (noida-db 0.2.3) answers at once: an idle consumer then makes
5,600 requests a second and keeps most of a core busy (measured, with kcat as
with aiokafka), and so does the broker. Touches aiokafka, one private attribute
of it, and only where `kafka.empty_fetch_pause_ms` asks for it.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiokafka import AIOKafkaConsumer

_FETCH = 1
"""The API key of Fetch in Kafka's protocol."""


def pause_after_empty_fetches(consumer: AIOKafkaConsumer, seconds: float) -> None:
    """Let every fetch without records take at least so long.

    Args:
        consumer: Not started yet.
        seconds: How long; also what a record may be late by on a quiet partition.
    """
    client = consumer._client  # noqa: SLF001 - aiokafka has no hook for it
    send = client.send

    async def paused(node_id: int, request: Any, **options: Any) -> Any:
        started = time.monotonic()
        response = await send(node_id, request, **options)
        if getattr(response, "API_KEY", None) == _FETCH and not _has_records(response):
            await asyncio.sleep(max(0.0, started + seconds - time.monotonic()))
        return response

    client.send = paused


def _has_records(response: Any) -> bool:
    # An error must not wait either: it may say that the partition has moved.
    return any(
        partition[1] != 0 or partition[-1]
        for _, partitions in response.topics
        for partition in partitions
    )
