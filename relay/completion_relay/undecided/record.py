"""Room `undecided`: what an undecided record says of itself, whatever it holds. Touches nothing.

Nothing of a token is told but its fingerprint, and nothing of a result (promise 4).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from completion_relay.instruction import Hold, is_instruction
from completion_relay.parking import PREFIX, ParkedRecordError, Ticket, read_ticket, without_ticket
from completion_relay.replay.headers import namespace_of, text_of
from completion_schemas.cloudevents import claim, decode_record
from completion_schemas.errors import CompletionError
from completion_schemas.events import ActivityReference
from completion_schemas.times import UnixNanos
from completion_schemas.tokens import token_fingerprint

if TYPE_CHECKING:
    from completion_relay.topic_reader import Record

_MOST_REASON: Final = 300
_UNDECODABLE: Final = "undecodable"
_INSTRUCTION: Final = "instruction"

Place = tuple[int, int]
"""Partition and offset at which an event was first, on the events' topic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    """An undecided record, by what it says of itself."""

    topic: str
    """Where it is: parked, or where it was written."""
    partition: int
    offset: int
    first_partition: int
    """Where it was written first: its identity. Another one only where it is parked."""
    first_offset: int
    written_at: UnixNanos
    """When it was written first."""
    event_id: str
    type: str
    """`undecodable` where it holds no event, `instruction` where an operator says what is to become of one."""
    is_event: bool
    """False: what cannot be decoded is dead-lettered when it is its turn, and waits until then like any other."""
    is_readable: bool = True
    """Whether its bytes hold an event, also where a header of a replay makes it none: its id is then its own."""
    namespace: str = ""
    workflow_id: str = ""
    run_id: str = ""
    activity_id: str = ""
    token_fingerprint: str = ""
    parked_times: int = 0
    """How often it was parked; 0: it is where it was written."""
    tries: int = 0
    """Of a parked one: how often Temporal was called for it."""
    not_before: UnixNanos | None = None
    """Of a parked one: when it is tried again."""
    reason: str = ""
    """Of a parked one: what it waits for."""
    hold: Hold | None = None
    """That an operator had it parked."""

    def held_at(self, now: UnixNanos) -> Hold | None:
        """Return the operator's hold that it waits for; None: nobody has it parked, or not any more.

        `not_before` is that of its next look meanwhile, a minute ahead at most.
        """
        return self.hold if self.hold is not None and self.hold.until > now else None

    @property
    def audited_type(self) -> str:
        """What its audit record will have as its type; empty where it does not say one."""
        return "" if self.type in (_UNDECODABLE, _INSTRUCTION) else self.type

    @property
    def place(self) -> Place:
        """Where it was first."""
        return (self.first_partition, self.first_offset)


def undecided_record(record: Record, *, parked_of: str) -> Undecided:
    """Return what a record says of itself.

    Args:
        record: Of the events' topic, or of the parked one.
        parked_of: The events' topic.
    """
    ticket = ticket_of(record, parked_of=parked_of)
    headers = record.headers if ticket is None else without_ticket(record.headers)
    said, is_event, is_readable, namespace = claim(headers, record.value), False, False, ""
    event_id, kind, activity = said.event_id, said.type or _UNDECODABLE, ActivityReference()
    if record.topic != parked_of and is_instruction(record.value, headers):
        kind = _INSTRUCTION
    with contextlib.suppress(CompletionError):
        event = decode_record(headers, record.value)
        event_id, is_readable = event.event_id, True
        namespace = namespace_of(headers) or event.activity.namespace
        kind, activity, is_event = event.type, event.activity, True
    return Undecided(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        first_partition=ticket.partition if ticket else record.partition,
        first_offset=ticket.offset if ticket else record.offset,
        written_at=written_at(record, ticket),
        event_id=event_id,
        type=kind,
        is_event=is_event,
        is_readable=is_readable,
        namespace=namespace,
        workflow_id=activity.workflow_id,
        run_id=activity.run_id,
        activity_id=activity.activity_id,
        token_fingerprint=token_fingerprint(activity.token_bytes()) or activity.token_fingerprint,
        parked_times=ticket.times if ticket else 0,
        tries=ticket.former.tries if ticket else 0,
        not_before=ticket.not_before if ticket else None,
        reason=(text_of(record.headers, f"{PREFIX}reason") or "")[:_MOST_REASON] if ticket else "",
        hold=ticket.hold if ticket else None,
    )


def written_at(record: Record, ticket: Ticket | None) -> UnixNanos:
    """Return when a record was written first; a parked one shows it in its ticket."""
    # A record without a time has -1 as its timestamp (Kafka's NO_TIMESTAMP).
    return UnixNanos(max(0, ticket.timestamp_ms if ticket else record.timestamp) * 10**6)


def ticket_of(record: Record, *, parked_of: str) -> Ticket | None:
    """Return what a parked record says of itself; None: no relay has parked it."""
    if record.topic == parked_of:
        return None
    with contextlib.suppress(ParkedRecordError):
        return read_ticket(record.headers, of=parked_of)
    # A relay decides it as a record of that topic.
    return None
