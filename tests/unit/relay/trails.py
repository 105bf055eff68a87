"""Room `tests`: an audit topic in memory, for what reads one. Touches nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, cast

from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from completion_relay.audit_trail import AuditTrail
from completion_relay.topic_reader import Offsets, Record
from completion_schemas.audit import AuditRecord, encode_audit
from completion_schemas.dispositions import Disposition
from completion_schemas.times import UnixNanos

SECOND = 10**9


def decision(event_id: str, *, decided: float, **more: Any) -> AuditRecord:
    """Return what was decided at so many seconds."""
    when = UnixNanos(int(decided * SECOND))
    return AuditRecord(
        event_id=event_id,
        type="completed",
        disposition=Disposition.APPLIED,
        topic="completions",
        partition=0,
        offset=0,
        received_at=when,
        decided_at=when,
        relay_id="r",
        group="g",
        **more,
    )


class MemoryTrail(AuditTrail):
    """An audit topic in memory: all of a partition in batches of ten."""

    def __init__(self, partitions: int = 1) -> None:
        self.partitions = tuple(TopicPartition("audit", number) for number in range(partitions))
        self.cluster = ""
        self.begins = 0
        """The first offset that retention has left."""
        self.when_read: Callable[[], object] = lambda: None
        """Called before anything is handed over; a test may have the topic change there."""
        self._held: defaultdict[int, list[Record]] = defaultdict(list)
        self.read_offsets: list[tuple[int, int]] = []
        """Partition and offset of each record that was handed over."""

    def append(self, record: AuditRecord, *, written: float, partition: int = 0) -> None:
        """Take what was written at so many seconds."""
        held = self._held[partition]
        held.append(
            cast(
                "Record",
                ConsumerRecord(
                    "audit",
                    partition,
                    len(held),
                    int(written * 1_000),
                    1,
                    record.event_id.encode(),
                    encode_audit(record),
                    None,
                    0,
                    0,
                    (),
                ),
            )
        )

    def make_anew(self) -> None:
        """Delete the topic, and create one of the same name."""
        self._held.clear()

    async def end(self) -> Offsets:
        return {at: len(self._held[at.partition]) for at in self.partitions}

    async def beginning(self) -> Offsets:
        return dict.fromkeys(self.partitions, self.begins)

    async def written_since(self, when_ms: int, end: Offsets) -> Offsets:
        return {
            at: next(
                (one.offset for one in self._held[at.partition] if one.timestamp >= when_ms),
                end[at],
            )
            for at in self.partitions
        }

    async def batches(
        self,
        begin: Mapping[TopicPartition, int],
        end: dict[TopicPartition, int] | None,
        *,
        at_end: Callable[[TopicPartition], object] = lambda _: None,
    ) -> AsyncGenerator[tuple[TopicPartition, list[Record]], None]:
        self.when_read()
        for at in self.partitions:
            held = self._held[at.partition]
            place = max(begin[at], self.begins)
            while place < (end[at] if end else len(held)):
                batch = held[place : min(place + 10, end[at] if end else len(held))]
                place += len(batch)
                self.read_offsets += [(at.partition, record.offset) for record in batch]
                yield at, batch
            at_end(at)
