"""Room `audit_index`: whether an index is of the topic that is open. Touches the opened topic.

A name says little: another Kafka has topics of the same names, and one that was made anew, or cut,
may have grown beyond the index since. So the last row of each partition is compared with the
record that stands at its offset.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from completion_relay.audit_index.checksum import as_text, digest
from completion_relay.audit_index.columns import row_of
from completion_relay.audit_index.store import OtherTopicError, Progress, Source, Store
from completion_relay.audit_index.tables import check_source
from completion_relay.audit_trail import AuditTrail
from completion_relay.topic_reader import Record
from completion_schemas.audit import audit_fields
from completion_schemas.errors import DecodeError


async def progress_of(store: Store, trail: AuditTrail) -> dict[int, Progress]:
    """Return how far an index of the topic that is open is.

    Args:
        store: The index.
        trail: The opened topic.

    Raises:
        OtherTopicError: it is of another topic, or of one that was made anew or cut since.
        AuditIndexError: the database cannot be used.
        KafkaError: Kafka cannot be reached any more, or refuses.
    """
    source, progress, _ = await asyncio.to_thread(store.look, ())
    check_source(store.name, source, Source(trail.partitions[0].topic, trail.cluster))
    await check_topic(store.name, progress, trail)
    return progress


async def check_topic(name: str, progress: Mapping[int, Progress], trail: AuditTrail) -> None:
    """Raise unless what is indexed can be of the topic that is open.

    Args:
        name: The database's.
        progress: How far its index is.
        trail: The opened topic.

    Raises:
        OtherTopicError: it is of one that was made anew or cut since, or has more partitions.
        KafkaError: Kafka cannot be reached any more, or refuses.
    """
    anew = "the topic was made anew or cut: make the index anew with --rebuild"
    beginning, end = await trail.beginning(), await trail.end()
    topic = trail.partitions[0].topic
    if more := progress.keys() - {at.partition for at in trail.partitions}:
        raise OtherTopicError(
            f"database {name}: its index has partition {min(more)} of {topic}, which has "
            f"{len(trail.partitions)}: {anew}"
        )
    begin, until, indexed = dict(end), dict(end), {}
    for at in trail.partitions:
        of = progress.get(at.partition)
        if of is None:
            continue
        if of.begin > beginning[at] or of.next > end[at]:
            raise OtherTopicError(
                f"database {name}: its index is at offset {of.next} of {at.topic}/{at.partition}, which "
                f"ends at {end[at]}: {anew}"
            )
        if of.last is not None and of.last >= beginning[at]:
            begin[at], until[at], indexed[at] = of.last, of.last + 1, of
    async with contextlib.aclosing(trail.batches(begin, until)) as batches:
        async for at, records in batches:
            if _digest(records[0]) == indexed[at].last_digest:
                del indexed[at]
    if indexed:
        # Retention may have taken them meanwhile.
        beginning = await trail.beginning()
    for at, of in indexed.items():
        if of.last is not None and of.last >= beginning[at]:
            raise OtherTopicError(
                f"database {name}: at offset {of.last} {at.topic}/{at.partition} has another record than "
                f"its index: {anew}"
            )


def _digest(record: Record) -> str:
    try:
        fields = audit_fields(record.value or b"")
    except DecodeError:
        return ""
    return as_text(digest(row_of(record.partition, record.offset, fields)))
