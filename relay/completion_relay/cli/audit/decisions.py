"""Room `cli`: what was decided of one event: by the index as far as it goes, by the topic from there on.

Touches the rooms `audit_index` and `audit_trail`. An index is asked to save time, and what it has not
the topic may have: where it cannot be asked the topic is read as a whole.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from aiokafka.errors import KafkaError

from completion_relay.audit_filter import AuditFilter
from completion_relay.audit_index.belonging import check_topic
from completion_relay.audit_index.known import NOTHING, Known, known
from completion_relay.audit_index.store import AuditIndexError, Source
from completion_relay.audit_index.tables import check_source
from completion_relay.audit_trail import AuditTrail, Unreadable
from completion_relay.cli.audit import asking
from completion_relay.cli.audit.reading import newest, opened_trail
from completion_relay.cli.output import plural, print_note
from completion_relay.settings import Settings
from completion_relay.topic_admin import TopicError
from completion_schemas.audit import AuditRecord
from completion_schemas.errors import CompletionError

_PATIENCE: Final = 3.0
"""Seconds to wait for a file that somebody else has open: the topic has all of it."""


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
            beside = of_index.beside(await trail.beginning())
            found = await newest(trail, wanted, 0, after=of_index.after)
    except (KafkaError, TopicError):
        if not of_index.records:
            raise
        until = await asyncio.to_thread(_latest, settings)
        return Decisions(of_index.records, [], until)
    # What cannot be read is known when all that was found is.
    of_topic = found.records()
    return Decisions(_in_order([*beside, *of_topic]), found.unreadable)


async def ask_index(
    settings: Settings, wanted: AuditFilter | None = None, *, event_ids: Sequence[str] = ()
) -> Known:
    """Return what the index has of what is asked for: nothing where there is none.

    Of one that cannot be asked it is said, and it has nothing.

    Args:
        settings: Where it is.
        wanted: What is asked for; None: the events by their ids alone.
        event_ids: All of these events.
    """
    if wanted is None and not event_ids:
        return NOTHING
    try:
        store = asking.index_of(settings, patience=_PATIENCE)
        if store is None:
            return NOTHING
        return await asyncio.to_thread(
            known, store, settings.topics.audit, wanted, event_ids=event_ids
        )
    except AuditIndexError as error:
        _tell(error)
        return NOTHING


async def checked(of_index: Known, trail: AuditTrail) -> Known:
    """Return the same; of an index whose topic was made anew since it is said, and it has nothing.

    Raises:
        KafkaError: Kafka cannot be reached any more, or refuses.
    """
    if not of_index.progress:
        return of_index
    try:
        topic = trail.partitions[0].topic
        check_source(of_index.name, of_index.source, Source(topic, trail.cluster))
        await check_topic(of_index.name, of_index.progress, trail)
    except AuditIndexError as error:
        _tell(error)
        return NOTHING
    for number, of in sorted(of_index.progress.items()):
        if of.first_unreadable is not None:
            print_note(
                f"The index could not read {plural(of.unreadable, 'record')} of partition {number}, so the "
                f"topic is read from offset {of.first_unreadable} on: if a newer relay wrote them, make the "
                "index anew with `audit index --rebuild`, which keeps what the topic still has."
            )
    return of_index


def tell_how_far(index_until: int | None) -> None:
    """Say how far an answer goes that is the index's alone; None: it is not."""
    if index_until is not None:
        print_note(f"{asking.how_far(index_until)} The topic cannot be read.")


def _tell(error: CompletionError) -> None:
    print_note(f"The index cannot be asked, so the topic is read: {error}")


def _latest(settings: Settings) -> int | None:
    # It has just been asked; if it cannot be any more, Kafka's error is not to be hidden by its.
    with contextlib.suppress(AuditIndexError):
        store = asking.index_of(settings, patience=_PATIENCE)
        return None if store is None else asking.latest(store)
    return None


def _in_order(records: Iterable[AuditRecord]) -> list[AuditRecord]:
    # The sort keeps what was decided at the same time in the order of its partition.
    return sorted(records, key=lambda record: record.decided_at)
