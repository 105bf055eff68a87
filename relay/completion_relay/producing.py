"""Room `journal`: what aiokafka's producer needs around it. Touches the producer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from aiokafka import AIOKafkaProducer

from completion_schemas.record import KafkaRecord

_STOP_SECONDS = 5.0


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
