"""Room `cli`: what `skip` and `park` say to a person, and to a program. Touches standard output and error."""

from __future__ import annotations

import time
from typing import Any

from completion_relay.cli.instruct import Outcome
from completion_relay.cli.output import plural, print_fields, print_json, print_line, print_note
from completion_relay.cli.times import show_duration, show_time
from completion_relay.instruction import Instruction, who_and_why
from completion_relay.settings import Settings
from completion_relay.undecided.record import Undecided
from completion_relay.undecided.search import Found, Wanted
from completion_schemas.audit import AuditRecord, audit_to_json_dict
from completion_schemas.dispositions import Disposition


def tell_why_not(settings: Settings, wanted: Wanted, found: Found, *, as_json: bool) -> None:
    """Say why there is not one event that could be meant."""
    if found.undecided:
        places = ", ".join(f"{partition}/{offset}" for partition, offset in sorted(found.undecided))
        print_note(
            f"Event {wanted} is undecided at {plural(len(found.undecided), 'place')}: say which "
            f"by PARTITION/OFFSET: {places}."
        )
    elif found.decided:
        for record in found.decided:
            if as_json:
                print_json(audit_to_json_dict(record))
        last = found.decided[-1]
        detail = f" ({last.detail})" if last.detail else ""
        print_note(
            f"Event {wanted} is decided already: {last.disposition}{detail} at "
            f"{show_time(last.decided_at)}. Nothing was changed."
        )
    else:
        topics = settings.topics
        print_note(
            f"No event {wanted} is on {topics.completions} or {topics.parked} that group "
            f"{settings.kafka.group_id} has not decided, and none is on {topics.audit}: check the id, "
            "and the settings kafka.group_id and [topics]."
        )


def show(settings: Settings, event: Undecided, told: Instruction | None) -> None:
    """Show what the event is, and how it is with it.

    Args:
        settings: The topics.
        event: The event.
        told: What an operator has said of it already.
    """
    print_fields((name, value) for name, value in _shown(settings, event, told) if value)


def _shown(settings: Settings, event: Undecided, told: Instruction | None) -> list[tuple[str, str]]:
    place = f"{settings.topics.completions}/{event.first_partition}/{event.first_offset}"
    waited = time.time_ns() - event.written_at
    hold = event.hold
    return [
        ("event", event.event_id or "without an id"),
        ("type", event.type if event.is_event else "cannot be read as an event"),
        ("workflow", event.workflow_id),
        ("activity", event.activity_id),
        ("record", place),
        ("since", f"{show_time(event.written_at)} ({show_duration(waited)})"),
        (
            "parked",
            f"{plural(event.parked_times, 'time')}, {plural(event.tries, 'try', 'tries')}, next "
            f"by {show_time(event.not_before or 0)}"
            if event.parked_times
            else "",
        ),
        (
            "parked by",
            f"{hold.by}: {hold.why}, until {show_time(hold.until)}" if hold else "",
        ),
        ("told", f"{told.action} {who_and_why(told)}" if told else ""),
    ]


def tell(
    instruction: Instruction, event: Undecided, outcome: Outcome, *, wait: float, as_json: bool
) -> bool:
    """Say what became of the event; True if it is what was asked for, or nobody waits for that."""
    disposition = outcome.disposition if isinstance(outcome, AuditRecord) else None
    if outcome is None:
        is_done = not wait
        said = (
            "written: a relay does it when it reads it"
            if is_done
            else f"not done within {wait:g} s: it is written, and a relay does it when it reads it; "
            "see `completion-relay audit show`"
        )
    elif isinstance(outcome, AuditRecord):
        is_done = instruction.until is None and disposition is Disposition.SKIPPED
        said = str(disposition) if is_done else f"too late: {disposition} {outcome.detail}".rstrip()
    else:
        is_done = True
        said = f"parked until {show_time(instruction.until or 0)}"
    if as_json:
        print_json(_object(instruction, event, outcome))
    else:
        print_line(f"{said}.")
    return is_done


def _object(instruction: Instruction, event: Undecided, outcome: Outcome) -> dict[str, Any]:
    """Return what is known by the names of the audit record where it has them."""
    decided = outcome if isinstance(outcome, AuditRecord) else None
    return {
        "event_id": event.event_id,
        "type": event.audited_type,
        "workflow_id": event.workflow_id,
        "activity_id": event.activity_id,
        "topic": instruction.topic,
        "partition": instruction.partition,
        "offset": instruction.offset,
        "action": str(instruction.action),
        "by": instruction.by,
        "why": instruction.why,
        "until": instruction.until,
        "parked": outcome is not None and decided is None,
        "disposition": decided and decided.disposition,
        "detail": decided and decided.detail,
    }
