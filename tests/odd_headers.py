"""Room `tests`: records whose headers' names are any bytes, as a C client may write them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy


class Name(str):
    """A header's name that is written as these bytes, by a builder in Python: that in C wants a `str`."""

    __slots__ = ("raw",)
    raw: bytes

    @classmethod
    def of(cls, raw: bytes) -> Name:
        name = cls()
        name.raw = raw
        return name

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:  # noqa: ARG002
        return self.raw


class Written(NamedTuple):
    """A record, as `batch` writes it."""

    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[bytes, bytes | None]] = ()

    def named(self) -> list[tuple[str, bytes | None]]:
        return [(Name.of(name), value) for name, value in self.headers]


def batch(
    records: Iterable[Written], *, base: int = 0, codec: int = 0, producer_id: int = -1
) -> bytes:
    """Return a batch as a broker sends it.

    Args:
        records: One or more.
        base: Offset of the first.
        codec: How it is compressed: the number that Kafka's batch has for it.
        producer_id: Of the transaction that it is part of; -1: of none.
    """
    builder = _DefaultRecordBatchBuilderPy(
        magic=2,
        compression_type=codec,
        is_transactional=int(producer_id >= 0),
        producer_id=producer_id,
        producer_epoch=0,
        base_sequence=0,
        batch_size=2**30,
    )
    for delta, record in enumerate(records):
        builder.append(delta, 1_000 + delta, record.key, record.value, record.named())
    built = bytes(builder.build())
    return struct.pack(">q", base) + built[8:]  # the broker sets it, and no checksum covers it


async def produce_batch(
    kafka: str, topic: str, records: Iterable[Written], *, partition: int
) -> list[tuple[int, int]]:
    """Write records as one batch; return partition and offset of each."""
    written = list(records)
    async with AIOKafkaProducer(bootstrap_servers=kafka, acks="all") as producer:
        first = await send_batch(producer, topic, written, partition=partition)
    return [(partition, first + delta) for delta in range(len(written))]


async def send_batch(
    producer: AIOKafkaProducer, topic: str, records: Iterable[Written], *, partition: int
) -> int:
    """Write records as one batch; return the offset of the first.

    Args:
        producer: One without idempotence, which asks for a builder of its own.
        topic: Where to.
        records: One or more.
        partition: Where to.

    Raises:
        KafkaError: the brokers did not take it.
    """
    building: Any = producer.create_batch()
    building._builder = _DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, 0, 2**20)
    for record in records:
        assert building.append(
            timestamp=None, key=record.key, value=record.value, headers=record.named()
        )
    sent = await (await producer.send_batch(building, topic, partition=partition))
    return int(sent.offset)
