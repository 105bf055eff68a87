"""A demo that went as it should, for tests to break."""

from __future__ import annotations

from dataclasses import replace

from completion_relay.demo.judge import Circumstances, Seen
from completion_relay.demo.script import Part
from completion_relay.identity import RecordMark
from completion_schemas.audit import AuditRecord
from completion_schemas.dispositions import Disposition
from completion_schemas.times import UnixNanos

KILLED_AT = UnixNanos(1_000)


def audit(part: Part, *, offset: int = 0, partition: int = 0) -> AuditRecord:
    """Return an `applied` of the part, decided before the kill."""
    return AuditRecord(
        event_id=f"event-{part.name}",
        type="completed",
        disposition=Disposition.APPLIED,
        workflow_id="demo",
        activity_id=part.name,
        origin_workflow_id=f"demo-{part.name}",
        topic="completions",
        partition=partition,
        offset=offset,
        received_at=UnixNanos(1),
        decided_at=UnixNanos(2),
        relay_id="relay-1",
        group="g",
    )


def as_it_should_be(part: Part, number: int = 0) -> Seen:
    """Return what is seen of a part when all is well; each number has positions of its own."""
    trail = tuple(
        replace(audit(part, partition=number, offset=offset), type=kind, disposition=disposition)
        for offset, (kind, disposition) in enumerate(part.expected.trail)
    )
    return Seen(
        agent=part.expected.agent,
        got=part.expected.got,
        ended_by=mark(trail[0]) if trail else "",
        trail=trail,
    )


def mark(record: AuditRecord) -> str:
    """Return the identity that the record leaves in Temporal's history."""
    return str(RecordMark(record.event_id, record.topic, record.partition, record.offset))


def circumstances(*trail: AuditRecord, killed: str = "relay-1", peak: int = 24) -> Circumstances:
    """Return a scene in which a relay was killed at `KILLED_AT`."""
    return Circumstances(
        peak_waiting=peak,
        killed=killed,
        orphaned=frozenset({1}),
        killed_at=KILLED_AT,
        trail=trail,
    )


def after_the_kill(record: AuditRecord) -> AuditRecord:
    """Return the record, decided by the other relay after the kill."""
    later = UnixNanos(KILLED_AT + 1)
    return replace(record, decided_at=later, relay_id="relay-2")
