"""Room `audit_index`: whether a database has what the topic has. Touches the opened topic."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiokafka import TopicPartition

from completion_relay.audit_index import asking
from completion_relay.audit_index.checksum import MODULUS, as_text, digest
from completion_relay.audit_index.columns import key_of, row_of
from completion_relay.audit_index.store import Progress, Store
from completion_relay.audit_trail import AuditTrail
from completion_relay.topic_reader import Offsets
from completion_relay.topic_reader import Progress as Read
from completion_schemas.audit import audit_fields
from completion_schemas.errors import DecodeError

_OFFSETS_AT_ONCE: Final = 100_000


@dataclass(slots=True)
class Sum:
    """Records, counted and summed up."""

    records: int = 0
    checksum: int = 0

    def add(self, number: int) -> None:
        """Take in a record's digest."""
        self.records += 1
        self.checksum = (self.checksum + number) % MODULUS

    def __str__(self) -> str:
        return f"{self.records} records of checksum {as_text(self.checksum)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was found out about one partition."""

    partition: int
    records: int
    """Rows that the database has of it."""
    compared: int
    """Records of these that the topic still has."""
    checksum: str
    """Of the rows."""
    not_indexed: int
    """Offsets of the topic that come after what is indexed: no difference, but not compared."""
    problems: tuple[str, ...]
    """How the two differ; empty where they do not."""


async def verify(
    trail: AuditTrail, store: Store, told: Callable[[Read], None] = lambda _: None
) -> list[Verified]:
    """Compare the database's rows with what the index wrote down, and with the topic.

    With the topic as far as it still has what was indexed: what its retention
    deleted is compared with the checksum that was kept of it alone.

    Args:
        trail: The opened topic.
        store: The database.
        told: Told how far it is.

    Raises:
        NoIndexError: there is no index.
        AuditIndexError: the database cannot be used.
        KafkaError: Kafka cannot be reached any more, or refuses.
    """
    progress = await asyncio.to_thread(store.progress)
    first, end = await trail.beginning(), await trail.end()
    known = {at: progress[at.partition] for at in trail.partitions if at.partition in progress}
    in_topic = await _in_topic(trail, known, first, end, told)
    after = await trail.beginning()
    found = []
    for at, of in known.items():
        whole, rest = await asyncio.to_thread(_in_database, store, at.partition, of, first[at])
        problems = []
        if of.next > end[at]:
            problems.append(f"the index is at offset {of.next}, the topic ends at {end[at]}")
        kept = Sum(of.records, of.checksum)
        if whole != kept:
            problems.append(f"the database has {whole}, and noted {kept} when it was indexed")
        if lost := await asyncio.to_thread(_not_found_by_id, store, at.partition, of):
            problems.append(
                f"{lost} of its rows are not found by their event's or workflow's id: the number in the id's "
                "place is another"
            )
        if after[at] != first[at]:
            problems.append("the topic deleted records meanwhile: verify again")
        elif rest != in_topic[at]:
            problems.append(
                f"from offset {first[at]} on the database has {rest}, the topic {in_topic[at]}"
            )
        found.append(
            Verified(
                partition=at.partition,
                records=whole.records,
                compared=in_topic[at].records,
                checksum=as_text(whole.checksum),
                not_indexed=max(0, end[at] - max(of.next, first[at])),
                problems=tuple(problems),
            )
        )
    found += [
        Verified(
            partition=at.partition,
            records=0,
            compared=0,
            checksum=as_text(0),
            not_indexed=end[at] - first[at],
            problems=(),
        )
        for at in trail.partitions
        if at not in known
    ]
    numbers = {at.partition for at in trail.partitions}
    found += [
        Verified(
            partition=number,
            records=of.records,
            compared=0,
            checksum=as_text(of.checksum),
            not_indexed=0,
            problems=("the topic has no such partition",),
        )
        for number, of in progress.items()
        if number not in numbers
    ]
    return sorted(found, key=lambda one: one.partition)


async def _in_topic(
    trail: AuditTrail,
    known: dict[TopicPartition, Progress],
    first: Offsets,
    end: Offsets,
    told: Callable[[Read], None],
) -> dict[TopicPartition, Sum]:
    sums = {at: Sum() for at in known}
    # What is beyond the index is not read, and neither is a partition that it does not know.
    until = {at: min(known[at].next, end[at]) if at in known else first[at] for at in first}
    read = Read(sum(max(0, until[at] - first[at]) for at in first))
    async with contextlib.aclosing(trail.batches(first, until)) as batches:
        async for at, records in batches:
            for record in records:
                with contextlib.suppress(DecodeError):
                    fields = audit_fields(record.value or b"")
                    sums[at].add(digest(row_of(record.partition, record.offset, fields)))
            read.records += len(records)
            read.done += len(records)
            told(read)
    return sums


def _not_found_by_id(store: Store, partition: int, of: Progress) -> int:
    """Return how many rows have another number in an id's place than the id's own: they are in no checksum."""
    count = 0
    for first in range(of.begin, of.next, _OFFSETS_AT_ONCE):
        last = min(of.next, first + _OFFSETS_AT_ONCE)
        for row in store.select(*asking.keys_between(partition, first, last)):
            pairs = zip(row[::2], row[1::2], strict=True)
            # Of a text that is not there the checksum tells.
            count += any(text is not None and key != key_of(text) for text, key in pairs)
    return count


def _in_database(store: Store, partition: int, of: Progress, first: int) -> tuple[Sum, Sum]:
    """Return the sum of a partition's rows, and of those that the topic still has."""
    whole, rest = Sum(), Sum()
    for row in store.rows(partition, of.begin, of.next):
        number = digest(row)
        whole.add(number)
        if row[1] >= first:
            rest.add(number)
    return whole, rest
