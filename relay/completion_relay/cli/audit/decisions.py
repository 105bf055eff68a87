"""Room `cli`: what was decided of one event: by the index as far as it goes, by the topic from there on.

Touches the rooms `audit_index` and `audit_trail`. An index is asked to save time, and what it has not
the topic may have: where it cannot be asked the topic is read as a whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from aiokafka.errors import KafkaError

from completion_relay.audit_filter import AuditFilter
from completion_relay.audit_index.known import NOTHING, Known, known
from completion_relay.audit_index.store import AuditIndexError
from completion_relay.audit_trail import AuditTrail, Unreadable
from completion_relay.cli.audit import asking
from completion_relay.cli.audit.reading import newest, opened_trail
from completion_relay.cli.output import print_note
from completion_relay.settings import Settings
from completion_relay.topic_admin import TopicError
from completion_schemas.audit import AuditRecord
from completion_schemas.errors import CompletionError, DecodeError


@dataclass(frozen=True, slots=True)
class Decisions:
    """What was decided of an event."""

    records: list[AuditRecord]
    """The oldest decision first."""
    unreadable: list[Unreadable]
    """Of what was read on the topic."""
    index_until: int | None = None
    """Where the topic could not be read beyond the index: when the newest decision in this was made,
    nanoseconds since the epoch."""


async def decisions_on(settings: Settings, wanted: AuditFilter) -> Decisions:
    """Return what was decided of an event, the index's and the topic's together.

    Args:
        settings: Where both are.
        wanted: Which event.

    Raises:
        TopicError: there is no such topic, and the index has nothing.
        KafkaError: Kafka cannot be reached, or refuses, and the index has nothing.
    """
    of_index = await ask_index(settings, wanted)
    try:
        async with opened_trail(settings) as trail:
            of_index = await checked(of_index, trail)
            found = await newest(trail, wanted, 0, after=of_index.after)
    except (KafkaError, TopicError):
        if not of_index.records:
            raise
        until = await asyncio.to_thread(_latest, settings)
        return Decisions(_in_order(of_index.records), [], until)
    # What cannot be read is known when all that was found is.
    of_topic = found.records()
    return Decisions(_in_order([*of_index.records, *of_topic]), found.unreadable)


async def ask_index(settings: Settings, *wanted: AuditFilter) -> Known:
    """Return what the index has of what is asked for: nothing where there is none.

    Of one that cannot be asked it is said, and it has nothing.

    Args:
        settings: Where it is.
        wanted: What is asked for: one of them is enough.
    """
    if not wanted:
        return NOTHING
    try:
        store = asking.index_of(settings)
        if store is None:
            return NOTHING
        return await asyncio.to_thread(known, store, settings.topics.audit, wanted)
    except (AuditIndexError, DecodeError) as error:
        _tell(error)
        return NOTHING


async def checked(of_index: Known, trail: AuditTrail) -> Known:
    """Return the same; of an index whose topic was made anew since it is said, and it has nothing.

    Raises:
        KafkaError: Kafka cannot be reached any more, or refuses.
    """
    try:
        of_index.check(await trail.beginning(), await trail.end())
    except AuditIndexError as error:
        _tell(error)
        return NOTHING
    return of_index


def _tell(error: CompletionError) -> None:
    print_note(f"The index cannot be asked, so the topic is read: {error}")


def _latest(settings: Settings) -> int | None:
    store = asking.index_of(settings)
    return None if store is None else asking.latest(store)


def _in_order(records: Iterable[AuditRecord]) -> list[AuditRecord]:
    # The sort keeps what was decided at the same time in the order of its partition.
    return sorted(records, key=lambda record: record.decided_at)
