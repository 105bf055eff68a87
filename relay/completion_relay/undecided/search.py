"""Room `undecided`: finds one event among the undecided. Touches the opened topics."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

from aiokafka import TopicPartition

from completion_relay.audit_filter import AuditFilter
from completion_relay.instruction import (
    Instruction,
    InstructionError,
    read_instruction,
)
from completion_relay.parking import without_ticket
from completion_relay.settings import Settings
from completion_relay.topic_reader import Progress, Record, TopicReader
from completion_relay.undecided.record import (
    Place,
    Undecided,
    ticket_of,
    undecided_record,
    written_at,
)
from completion_relay.undecided.spans import (
    Span,
    Spans,
    first_undecided,
    is_said,
    missing,
    opened,
    undecided,
)
from completion_schemas.audit import AuditRecord
from completion_schemas.cloudevents import claim
from completion_schemas.record import Headers
from completion_schemas.times import UnixNanos

MOST_LOOKED_THROUGH: Final = 200_000
"""Of the undecided, where looking is bounded: each partition has an equal share."""
LOOK_SECONDS: Final = 15.0
"""For which `look` goes on, connecting included."""
_POSITION = re.compile(r"(\d{1,10})/(\d{1,19})")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which event is meant: by its id, or by where it was first."""

    event_id: str
    place: Place | None = None
    """Where it was first; None: it is meant by its id."""

    @classmethod
    def parse(cls, text: str) -> Wanted:
        """Return what a person means by an id, or by PARTITION/OFFSET."""
        found = _POSITION.fullmatch(text)
        return cls(text) if found is None else cls("", (int(found[1]), int(found[2])))

    def __str__(self) -> str:
        return self.event_id if self.place is None else f"{self.place[0]}/{self.place[1]}"

    def is_meant(self, place: Place, headers: Headers, value: bytes | None) -> bool:
        """Whether it is this record."""
        if self.place is not None:
            return place == self.place
        for name, raw in headers:
            if name == "ce_id":
                return raw == self.event_id.encode("utf-8", "replace")
        # Structured mode has its id in the value alone.
        return claim(headers, value).event_id == self.event_id


class Bound(StrEnum):
    """Why not all that is undecided was looked through."""

    SHARE = "share"
    """A partition has more than its share of `MOST_LOOKED_THROUGH`."""
    TIME = "time"
    """`LOOK_SECONDS` were over."""


class Oldest(NamedTuple):
    """The undecided event that was written first."""

    event: Undecided | None
    """None: there is none."""
    bound: Bound | None
    """Which bound was met: one that was not looked at may be older. None: all were looked at."""


@dataclass(slots=True)
class Found:
    """What is known of the event that is meant."""

    undecided: dict[Place, Undecided] = field(default_factory=dict)
    """By where it was first: the same id may have been sent several times."""
    told: dict[Place, Instruction] = field(default_factory=dict)
    """What operators have said already, of any event."""
    decided: tuple[AuditRecord, ...] = ()
    """Not looked for here: the audit trail tells, `decided_by`."""
    bound: Bound | None = None
    """Which bound was met; None: all that is undecided was looked through."""
    event_id: str = ""
    """Where nothing is undecided: the event's id; empty where it shows none."""
    missing: tuple[str, ...] = ()
    """Topics that are not there, or may not be seen: nothing was looked for in them."""


async def find(
    settings: Settings,
    options: Mapping[str, Any],
    wanted: Wanted,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Found:
    """Return what is known of an event without the audit trail.

    Args:
        settings: Group and topics.
        options: What aiokafka takes to connect.
        wanted: Which event is meant.
        progress: Told how far it has come.

    Raises:
        TopicError: a topic is not there.
        KafkaError: Kafka cannot be reached, or refuses.
    """
    found, events = Found(), settings.topics.completions
    async with opened(settings, options) as (reader, spans):
        await _search(
            reader, _narrowed(spans, wanted, events), wanted, events, found, progress=progress
        )
        if not found.undecided:
            found.event_id = await _id_of(reader, events, wanted)
    return found


def decided_by(wanted: Wanted, found: Found, events: str) -> AuditFilter:
    """Return what to ask the audit trail for of an event that is not undecided.

    One that shows no id is looked for among all there are, by its place.

    Args:
        wanted: Which event is meant.
        found: What is known of it.
        events: The events' topic.
    """
    place = None if wanted.place is None else (events, *wanted.place)
    return AuditFilter(event_id=found.event_id, place=place)


async def look(
    settings: Settings,
    options: Mapping[str, Any],
    wanted: Wanted,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Found:
    """Look for an event among the undecided, for `LOOK_SECONDS` and no longer, where there is a topic.

    Args:
        settings: Group and topics.
        options: What aiokafka takes to connect.
        wanted: Which event is meant.
        progress: Told how far it has come.

    Raises:
        KafkaError: Kafka cannot be reached, or refuses.
    """
    found, events = Found(), settings.topics.completions
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            found.missing = await missing(settings, options)
            both = (events, settings.topics.parked)
            there = [topic for topic in both if topic not in found.missing]
            if not there:
                return found
            async with opened(settings, options, there) as (reader, spans):
                narrowed = _narrowed(spans, wanted, events)
                bounded = _bounded(narrowed)
                if bounded != narrowed:
                    found.bound = Bound.SHARE
                await _search(reader, bounded, wanted, events, found, progress=progress)
    except TimeoutError:
        found.bound = Bound.TIME
    return found


async def oldest(
    settings: Settings,
    options: Mapping[str, Any],
    progress: Callable[[Progress], None] = lambda _: None,
) -> Oldest:
    """Return the undecided event that was written first.

    The first one of each partition of the events' topic, where they are in the order in which
    they were written, and each parked one: these are in the order in which they were parked. Of
    them `MOST_LOOKED_THROUGH` are looked at, and no more.

    A commit that is a second old is the relay's habit (`relay.commit_interval`), so a busy
    relay always has something of that age.

    Args:
        settings: Group and topics.
        options: What aiokafka takes to connect.
        progress: Told how far it has come among those that are parked.

    Raises:
        TopicError: a topic is not there.
        KafkaError: Kafka cannot be reached, or refuses.
    """
    events = settings.topics.completions
    async with opened(settings, options) as (reader, spans):
        return await _oldest(reader, spans, events, progress)


async def _oldest(
    reader: TopicReader,
    spans: Spans,
    events: str,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Oldest:
    first = {at: span for at, span in spans.items() if at.topic == events}
    all_parked = {at: span for at, span in spans.items() if at.topic != events}
    parked = _bounded(all_parked)
    found: Record | None = None
    for records in (
        first_undecided(reader, first, parked_of=events),
        undecided(reader, parked, progress),
    ):
        async with contextlib.aclosing(records):
            async for record in records:
                if not is_said(record, events) and (
                    found is None or _written_at(record, events) < _written_at(found, events)
                ):
                    found = record
    return Oldest(
        None if found is None else undecided_record(found, parked_of=events),
        None if parked == all_parked else Bound.SHARE,
    )


def _written_at(record: Record, events: str) -> UnixNanos:
    return written_at(record, ticket_of(record, parked_of=events))


def _bounded(spans: Spans) -> Spans:
    """Return of each span its share of `MOST_LOOKED_THROUGH`."""
    share = MOST_LOOKED_THROUGH // max(1, len(spans))
    return {
        at: Span(span.start, min(span.end, span.start + share), span.settled)
        for at, span in spans.items()
    }


def _narrowed(spans: Spans, wanted: Wanted, events: str) -> Spans:
    """Return where the event can be: one that is meant by its place is one record, or parked."""
    if wanted.place is None:
        return spans
    number, offset = wanted.place
    return {
        at: Span(offset, offset + 1, span.settled) if at.topic == events else span
        for at, span in spans.items()
        if at.topic != events or (at.partition == number and span.start <= offset < span.end)
    }


async def _search(
    reader: TopicReader,
    spans: Spans,
    wanted: Wanted,
    events: str,
    found: Found,
    *,
    progress: Callable[[Progress], None] = lambda _: None,
) -> None:
    """Note what of the undecided is meant, and what operators have said."""
    async with contextlib.aclosing(undecided(reader, spans, progress)) as records:
        async for record in records:
            if is_said(record, events):
                _note(record, events, found)
                continue
            ticket = ticket_of(record, parked_of=events)
            if record.topic != events and ticket is None:
                # No relay has parked it. Its own place there is also that of some event, which
                # must not be skipped in its stead.
                continue
            place = (ticket or record).partition, (ticket or record).offset
            # A parked copy says more than the record that it is of, which may be here for a moment still.
            is_known = place in found.undecided and ticket is None
            if not is_known and wanted.is_meant(
                place, without_ticket(record.headers), record.value
            ):
                found.undecided[place] = undecided_record(record, parked_of=events)


def _note(record: Record, events: str, found: Found) -> None:
    """Note what an operator has said."""
    with contextlib.suppress(InstructionError):
        said = read_instruction(record.headers, of=events, number=record.partition)
        found.told[(record.partition, said.offset)] = said


async def _id_of(reader: TopicReader, events: str, wanted: Wanted) -> str:
    """Return the event's id; empty where it is meant by its place, and is not there to be read any more."""
    if wanted.place is None:
        return wanted.event_id
    number, offset = wanted.place
    record = await reader.record_at(TopicPartition(events, number), offset)
    return "" if record is None else claim(record.headers, record.value).event_id
