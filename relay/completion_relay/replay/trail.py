"""Room `replay`: the audit trail, read for a replay. Touches the room `audit_trail`."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from completion_relay.audit_trail import CLOCK_SLACK_MS, AuditEntry, AuditTrail, Unreadable
from completion_relay.replay.decisions import Decisions, Ended
from completion_relay.replay.headers import Position
from completion_relay.replay.selection import Selection
from completion_relay.topic_reader import Offsets, Progress
from completion_schemas.audit import AuditRecord
from completion_schemas.times import UnixNanos

Named: TypeAlias = Mapping[int, Mapping[int, bool]]
"""Partitions and offsets, and whether each may have been put there at a time that is asked for: a record
tells its own, but those that the topic has no more."""


@dataclass(slots=True)
class Told:
    """What the trail says of events."""

    decisions: Decisions = field(default_factory=Decisions)
    named: defaultdict[int, dict[int, bool]] = field(default_factory=lambda: defaultdict(dict))
    """Which records of a topic it names as asked for, as `Named`; none where the selection needs no trail."""
    decided_ids: set[str] = field(default_factory=set)
    """Of the events that are asked for by their ids: those of which it has any record."""
    unreadable: list[Unreadable] = field(default_factory=list)
    """Records of what was read of it that are no audit records."""


async def read_trail(
    trail: AuditTrail,
    selection: Selection,
    *,
    topic: str,
    since: UnixNanos | None,
    known: Iterable[AuditRecord] = (),
    known_until: Mapping[int, int] | None = None,
    progress: Callable[[Progress], None],
) -> Told:
    """Return what the trail says of events, and which records of a topic it names as asked for.

    Args:
        trail: To read, from `since` to its end.
        selection: What is asked for.
        topic: Of the records.
        since: When the first of what can be asked for was put there; None: nobody knows.
        known: What it says of what is asked for, as far as that is known already.
        known_until: Of its partitions: before which offset that is.
        progress: Told how far it has come.

    Raises:
        KafkaError: Kafka cannot be reached, or refuses.
    """
    told = Told()

    def note(record: AuditRecord) -> None:
        told.decisions.note(record)
        if record.event_id in selection.event_ids:
            told.decided_ids.add(record.event_id)
        if selection.needs_trail and record.topic == topic and _is_named(selection, record):
            of_partition = told.named[record.partition]
            of_partition[record.offset] = of_partition.get(
                record.offset, True
            ) and selection.may_be_of(record.occurred_at, record.received_at)

    for record in known:
        # The topic is read from that time on; an index has what was decided before, too.
        if since is None or record.decided_at >= since - CLOCK_SLACK_MS * 10**6:
            note(record)
        else:
            told.decisions.note(record)
    # A replay has the id of its event: no other records say anything of these.
    reading = trail.read(
        since=since, event_ids=selection.event_ids, after=known_until, progress=progress
    )
    async with contextlib.aclosing(reading) as entries:
        async for entry in entries:
            if isinstance(entry, AuditEntry):
                note(entry.record)
            else:
                told.unreadable.append(entry)
    return told


def _is_named(selection: Selection, record: AuditRecord) -> bool:
    return (
        (not selection.event_ids or record.event_id in selection.event_ids)
        and (not selection.workflow_ids or record.workflow_id in selection.workflow_ids)
        and (not selection.dispositions or record.disposition in selection.dispositions)
        and (not selection.reasons or record.reason in selection.reasons)
    )


async def follow(
    trail: AuditTrail,
    begin: Offsets,
    origins: set[Position],
    *,
    within: float,
    step: Callable[[int], None],
) -> Counter[str]:
    """Return what became of replayed events, as far as it is decided in time.

    Args:
        trail: To read.
        begin: From where on: what was there before they were sent.
        origins: Where the events were first; emptied of those that are decided.
        within: Seconds.
        step: Told how many were decided.

    Raises:
        KafkaError: Kafka cannot be reached, or refuses.
    """
    became: Counter[str] = Counter()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within), contextlib.aclosing(trail.follow(begin)) as entries:
            while origins:
                entry = await anext(entries)
                if not isinstance(entry, AuditEntry) or entry.record.replay_of is None:
                    continue
                origin = Position.parse(entry.record.replay_of)
                if origin is not None and origin in origins:
                    origins.discard(origin)
                    became[str(Ended(entry.record.disposition, entry.record.reason))] += 1
                    step(1)
    return became
