"""Room `audit_trail`, the searching: goes over a span of the trail and keeps what is asked for.

Touches the opened topic. Made for millions of records: batches, no object for
what is not kept, and the broker's time index instead of a look at every record.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

from aiokafka import TopicPartition

from completion_relay.audit_batch import all_fields
from completion_relay.audit_filter import AuditFilter
from completion_relay.audit_trail import CLOCK_SLACK_MS, AuditTrail, Unreadable
from completion_relay.topic_reader import Offsets, Progress, Record
from completion_schemas.audit import AuditRecord, audit_fields, decode_audit
from completion_schemas.errors import DecodeError
from completion_schemas.times import UnixNanos

QUIET_MS: Final = 10 * 60 * 1_000
"""How long nothing may come that was decided in time, by the broker's clock, until reading ends."""


class Hit(NamedTuple):
    """A record that was asked for."""

    fields: dict[str, Any]
    """Those that were wanted of it, by the contract's names."""
    partition: int
    offset: int
    value: bytes
    """The audit record as it is in the topic."""

    def record(self) -> AuditRecord | Unreadable:
        """Return the whole record."""
        try:
            return decode_audit(self.value)
        except DecodeError as error:
            return Unreadable(str(error), self.partition, self.offset)


@dataclass(slots=True)
class Scanned:
    """Some records of one partition."""

    hits: list[Hit] = field(default_factory=list)
    """In their order."""
    unreadable: list[Unreadable] = field(default_factory=list)


async def scan(
    trail: AuditTrail,
    wanted: AuditFilter,
    *,
    fields: frozenset[str] | None = None,
    after: Mapping[int, int] | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> AsyncGenerator[Scanned, None]:
    """Yield what the topic holds now of what is asked for, each partition in its order.

    Args:
        trail: The opened topic.
        wanted: What is asked for.
        fields: The fields that are wanted of each; None: all.
        after: Of partitions: nothing before this offset is read, because it is known already.
        progress: Told how far it has come, after each batch.

    Raises:
        KafkaError: Kafka cannot be reached any more, or refuses.
    """
    end = dict(await trail.end())
    begin = await trail.since(wanted.since, end, after=after)
    horizon = None if wanted.until is None else await Horizon.of(trail, wanted.until, end)
    goal = horizon.after if horizon else dict(end)
    state = Progress(sum(max(0, goal[at] - begin[at]) for at in trail.partitions))
    done = dict.fromkeys(trail.partitions, 0)
    progress(state)
    async with _nothing_old_collected(), contextlib.aclosing(trail.batches(begin, end)) as batches:
        async for partition, read in batches:
            records = horizon.within(partition, read, end) if horizon else read
            yield matching(records, wanted, fields)
            state.records += len(read)
            state.done -= done[partition]
            done[partition] = max(0, min(read[-1].offset + 1, goal[partition]) - begin[partition])
            state.done += done[partition]
            progress(state)


@contextlib.asynccontextmanager
async def _nothing_old_collected() -> AsyncIterator[None]:
    """Keep the collector from going over all that is loaded, again and again: a third of a scan's time."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def matching(
    records: list[Record], wanted: AuditFilter, fields: frozenset[str] | None = None
) -> Scanned:
    """Return those of the records that are asked for, and those that cannot be read.

    What cannot be one of those asked for is not even looked into.
    """
    found = Scanned()
    asked = wanted.fields
    left = [record for record in records if wanted.may_match(record.key, record.value)]
    # One decoding where few fields are wanted anyway, two where all of the few that match are.
    if fields is not None:
        fields |= asked
    elif asked:
        left = [one for one, some in _decoded(left, asked, found) if wanted.matches(some)]
    for record, some in _decoded(left, fields, found):
        if wanted.matches(some):
            found.hits.append(Hit(some, record.partition, record.offset, record.value or b""))
    return found


def _decoded(
    records: list[Record], names: frozenset[str] | None, found: Scanned
) -> Iterator[tuple[Record, dict[str, Any]]]:
    """Yield the records with their fields; those that cannot be read are noted as found."""
    for record, fields in zip(
        records, all_fields([record.value for record in records], names), strict=True
    ):
        if isinstance(fields, DecodeError):
            found.unreadable.append(Unreadable(str(fields), record.partition, record.offset))
        else:
            yield record, fields


class Horizon:
    """Where reading may end when only what was decided before a time is asked for.

    A decision may be written long after it was made: its journal waits for as
    long as Kafka, or one topic of its transaction, does not take it. So there is
    no time of writing after which nothing could come, however much slack is
    given. But a journal writes in the order of the decisions, and after an outage
    what waited comes first. Hence: beyond the time asked for, go on until ten
    minutes of the partition's own records have passed without one that was
    decided in time; an outage has no records, and counts for nothing. A relay that
    is cut off alone for longer than its session is fenced, and its successor
    decides anew, with the time of then.

    What is missed even so is a record that was put aside alone, because its topic
    does not take its size, and that was written ten minutes or more after all
    that came with it (`aside.py`).
    """

    def __init__(self, until: UnixNanos, after: Offsets) -> None:
        self._until = until
        self.after = after
        """The first record of each partition that may be beyond."""
        self._limits: dict[TopicPartition, int] = {}

    @classmethod
    async def of(cls, trail: AuditTrail, until: UnixNanos, end: Offsets) -> Self:
        """Return that of a time, by the broker's time index.

        Args:
            trail: The opened topic.
            until: What was decided before it is asked for.
            end: Where the topic ends.

        Raises:
            KafkaError: Kafka cannot be reached any more, or refuses.
        """
        return cls(until, await trail.written_since(until // 10**6 + CLOCK_SLACK_MS, end))

    def within(
        self, partition: TopicPartition, records: list[Record], end: dict[TopicPartition, int]
    ) -> list[Record]:
        """Return those of the next records of a partition that are before the end of its reading.

        Args:
            partition: Which.
            records: In their order.
            end: Where `TopicReader.batches` ends: lowered as soon as that is known.
        """
        cut = self._cut(partition, records)
        if cut is None:
            return records
        end[partition] = cut
        return [record for record in records if record.offset < cut]

    def _cut(self, partition: TopicPartition, records: list[Record]) -> int | None:
        """Return the offset at which reading ends; None: not in these records."""
        after = self.after[partition]
        if records[-1].offset < after:
            return None
        for record in records:
            if record.offset < after:
                continue
            limit = self._limits.setdefault(partition, record.timestamp + QUIET_MS)
            if self._is_in_time(record):
                self._limits[partition] = max(limit, record.timestamp + QUIET_MS)
            elif record.timestamp > limit:
                cut: int = record.offset
                return cut
        return None

    def _is_in_time(self, record: Record) -> bool:
        try:
            fields = audit_fields(record.value or b"", frozenset({"decided_at"}))
        except DecodeError:
            return False
        return bool(fields["decided_at"] < self._until)
