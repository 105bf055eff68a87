"""Topics in memory, to read from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

from aiokafka.structs import ConsumerRecord, TopicPartition

from completion_relay.topic_reader import Offsets, Record, TopicReader
from completion_schemas.record import KafkaRecord


def record(topic: str, partition: int, offset: int, of: KafkaRecord, *, at_ms: int = 0) -> Record:
    """Return a record as a consumer brings it."""
    found: ConsumerRecord[Any, Any] = ConsumerRecord(
        topic, partition, offset, at_ms, 0, of.key, of.value, None, 0, 0, tuple(of.headers)
    )
    return found


class InMemory(TopicReader):
    """Records, each partition's in their order."""

    def __init__(self, *records: Record, silent: TopicPartition | None = None) -> None:
        """Take what there is, and a partition of which nothing is ever heard."""
        self._records = records
        self._silent = silent
        self.partitions = tuple({TopicPartition(one.topic, one.partition) for one in records})

    async def batches(
        self,
        begin: Offsets,
        end: dict[TopicPartition, int] | None,
        *,
        at_end: Callable[[TopicPartition], object] = lambda _: None,
    ) -> AsyncGenerator[tuple[TopicPartition, list[Record]], None]:
        for at, first in sorted(begin.items(), key=lambda item: item[0] == self._silent):
            if at == self._silent:
                await asyncio.Event().wait()
            found = [one for one in self._records if (one.topic, one.partition) == at]
            found = [one for one in found if first <= one.offset < (end or {}).get(at, 2**63)]
            if found:
                yield at, found
            at_end(at)
