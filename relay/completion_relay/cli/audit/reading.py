"""Room `cli`: opening the trail for a command, and what is newest on it. Touches the room `audit_trail`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from completion_relay.audit_filter import AuditFilter
from completion_relay.audit_scan import scan
from completion_relay.audit_tail import DECIDED_AT, Newest
from completion_relay.audit_trail import AuditTrail, Unreadable
from completion_relay.cli.audit.asking import UPGRADE
from completion_relay.cli.output import plural, print_note
from completion_relay.cli.progress import scanning
from completion_relay.cli.reach import REQUEST_TIMEOUT_MS, reaching_kafka
from completion_relay.connections import kafka_options
from completion_relay.settings import Settings
from completion_schemas.audit import AuditRecord


def reading_options(settings: Settings) -> dict[str, Any]:
    """Return what a command connects to Kafka with.

    Raises:
        ConfigurationError: a certificate file cannot be read.
    """
    return {**kafka_options(settings.kafka), "request_timeout_ms": REQUEST_TIMEOUT_MS}


@contextlib.asynccontextmanager
async def opened_trail(settings: Settings) -> AsyncIterator[AuditTrail]:
    """Open the audit topic of these settings.

    Raises:
        ConfigurationError: a certificate file cannot be read.
        TopicError: there is no such topic.
        KafkaError: Kafka cannot be reached, or refuses.
    """
    async with AuditTrail.open(
        reading_options(settings),
        settings.topics.audit,
        empty_fetch_pause_ms=settings.kafka.empty_fetch_pause_ms,
    ) as trail:
        yield trail


def print_unreadable(topic: str, unreadable: Sequence[Unreadable]) -> None:
    """Tell of the records on the topic that are no audit records, if there were any."""
    if unreadable:
        first = unreadable[0]
        print_note(
            f"{plural(len(unreadable), 'record')} on the topic cannot be read as audit records: left out, the "
            f"first of them {topic}/{first.partition}/{first.offset}: {first.problem}: {UPGRADE}."
        )


def newest_of_topic(
    settings: Settings, wanted: AuditFilter, limit: int
) -> tuple[list[AuditRecord], int, int]:
    """Return the newest decisions of the topic that are asked for, and how many others there are.

    Tells of the records that cannot be read.

    Returns:
        The decisions; how many older ones there are; how many records cannot be read.

    Args:
        settings: Where the topic is.
        wanted: What is asked for.
        limit: How many at most; 0 is all.

    Raises:
        UnreachableError: no broker answered.
        RefusedError: one answered with an error.
        TopicError: there is no such topic.
    """
    with reaching_kafka(settings.kafka):
        found = asyncio.run(_newest_of_topic(settings, wanted, limit))
    # Some are known to be unreadable only when they are decoded.
    records = found.records()
    print_unreadable(settings.topics.audit, found.unreadable)
    return records, found.left_out, len(found.unreadable)


async def _newest_of_topic(settings: Settings, wanted: AuditFilter, limit: int) -> Newest:
    async with opened_trail(settings) as trail:
        return await newest(trail, wanted, limit)


async def newest(
    trail: AuditTrail, wanted: AuditFilter, limit: int, *, after: Mapping[int, int] | None = None
) -> Newest:
    """Return the newest decisions of the topic that are asked for, and what cannot be read.

    Args:
        trail: The opened topic.
        wanted: What is asked for.
        limit: How many at most; 0 is all.
        after: Of partitions: nothing before this offset is read.

    Raises:
        KafkaError: Kafka cannot be reached any more, or refuses.
    """
    found = Newest(limit)
    with scanning("reading the audit trail") as progress:
        scanned = scan(trail, wanted, fields=DECIDED_AT, after=after, progress=progress)
        async with contextlib.aclosing(scanned) as batches:
            async for some in batches:
                found.add(some)
    return found
