"""Room `cli`: one event's story as a person reads it. Touches nothing but the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rich.text import Text

from completion_relay.audit_original import Original, Position
from completion_relay.cli.audit.rendering import activity, disposition, latency, place, tries
from completion_relay.cli.output import plural, print_fields, print_line, print_note
from completion_relay.cli.times import show_time
from completion_relay.settings import Settings
from completion_relay.undecided.record import Undecided
from completion_relay.undecided.search import Wanted
from completion_schemas.audit import AuditRecord
from completion_schemas.times import UnixNanos

Fields = list[tuple[str, str | Text]]


def print_story(
    wanted: Wanted,
    records: Sequence[AuditRecord],
    originals: Mapping[Position, Original | None],
) -> None:
    """Print who emitted the event, and each delivery of it with what was decided.

    Args:
        wanted: Which event it is.
        records: What was decided, the oldest first.
        originals: The event's own records; one that is not looked up is not told of.
    """
    counted = Counter(str(record.disposition) for record in records)
    outcome = ", ".join(f"{name} {n} times" if n > 1 else name for name, n in counted.items())
    times = "once" if len(records) == 1 else f"{len(records)} times"
    name = _name(wanted, records[0].event_id)
    print_line(f"{name} was delivered {times}: {outcome}.")
    if emitted := _emitted(records):
        print_line()
        print_line("emitted")
        print_fields(emitted, indent=3)
    for number, record in enumerate(records, 1):
        print_line()
        print_line(
            Text.assemble(f"{number}  ", disposition(record), f"  {show_time(record.decided_at)}")
        )
        shown = _delivery(record, originals)
        print_fields([(name, value) for name, value in shown if value], indent=3)


def print_now(said: Sequence[tuple[AuditRecord, str, str | None]]) -> None:
    """Print what Temporal says now.

    Args:
        said: For each activity a record that names it, what is said of it, and a link.
    """
    for record, text, link in said:
        print_line()
        print_line("now at Temporal")
        shown: Fields = [("activity", activity(record)), ("is", text), ("see", link or "")]
        print_fields([(name, value) for name, value in shown if value], indent=3)


def print_undecided(
    wanted: Wanted,
    settings: Settings,
    found: Sequence[Undecided],
    now: UnixNanos,
    *,
    since: UnixNanos | None = None,
) -> None:
    """Print where an event is that is not in the trail.

    Args:
        wanted: Which event it is.
        settings: The names of the topics and the group.
        found: Where it waits.
        now: The time of day.
        since: From which time on the trail was asked; None: all of it.
    """
    events = settings.topics.completions
    if found:
        print_line(f"{_name(wanted, found[0].event_id)} is not decided yet.")
        print_waits(found, now)
        return
    what, why = f"event {wanted}", f"it was not sent to {events}, has another id"
    if wanted.place:
        what, why = f"the record at {wanted}", f"none was ever at that place of {events}"
    then = ""
    if since:
        then, why = f" since {show_time(since)}", f"it was decided before --from, {why}"
    print_note(
        f"No decision about {what}{then} is on {settings.topics.audit}, and it is not among the undecided of "
        f"group {settings.kafka.group_id}: {why}, or is older than the topics' retention."
    )


def _name(wanted: Wanted, event_id: str) -> str:
    """Return what the event is called at the beginning of a sentence.

    Args:
        wanted: How it was asked for.
        event_id: The id that its record shows; empty: none.
    """
    if wanted.place is None:
        return f"Event {wanted}"
    return f"Event {event_id} at {wanted}" if event_id else f"The record at {wanted}"


def print_waits(found: Iterable[Undecided], now: UnixNanos) -> None:
    """Print where an event waits for a decision."""
    for waits in found:
        hold = waits.held_at(now)
        print_line()
        print_line("parked" if waits.not_before else "waits")
        shown: Fields = [
            ("record", f"{waits.topic}/{waits.partition}/{waits.offset}"),
            ("written", show_time(waits.written_at)),
            ("why", hold.why if hold else waits.reason),
            ("parked by", f"{hold.by} until {show_time(hold.until)}" if hold else ""),
            ("tried again by", "" if hold else show_time(waits.not_before or 0)),
        ]
        print_fields([(name, value) for name, value in shown if value], indent=3)


def _emitted(records: Sequence[AuditRecord]) -> Fields:
    # An event's own words are the same in each delivery; where it could not be
    # decoded there are none.
    told = next((record for record in records if record.occurred_at), None)
    if told is None:
        return []
    run = f" (run {told.origin_run_id})" if told.origin_run_id else ""
    shown: Fields = [
        ("occurred", show_time(told.occurred_at or 0)),
        ("type", told.type),
        ("by", told.origin_workflow_id and told.origin_workflow_id + run),
        ("signed with", told.key_id or ""),
    ]
    return [(name, value) for name, value in shown if value]


def _delivery(record: AuditRecord, originals: Mapping[Position, Original | None]) -> Fields:
    position = (record.topic, record.partition, record.offset)
    delivery = place(record)
    if record.redelivery:
        delivery += ", delivered before"
    if record.replay_of:
        delivery += f", a replay of {record.replay_of}"
    run = f" (run {record.run_id})" if record.run_id else ""
    attempt = f", attempt {record.attempt}" if record.attempt else ""
    return [
        ("why", record.detail),
        ("activity", f"{activity(record)}{attempt}" if activity(record) else ""),
        ("workflow", f"{record.namespace}/{record.workflow_id}{run}" if record.workflow_id else ""),
        (
            "token",
            record.token_fingerprint and f"{record.token_preview} ({record.token_fingerprint})",
        ),
        ("record", delivery),
        ("written", _original(originals[position]) if position in originals else ""),
        ("received", show_time(record.received_at)),
        *_tries(record),
        ("decided by", f"{record.relay_id} (group {record.group})"),
    ]


def _tries(record: AuditRecord) -> Fields:
    """Return the tries of one delivery, in their order."""
    took = ("took", f"{latency(record)}, {tries(record)}")
    if not record.calls:
        return [took, ("Temporal", record.rpc_status or "")]
    shown = [("Temporal", f"{show_time(call.at)}  {call.status}") for call in record.calls]
    if more := record.tries - len(shown):
        shown.append(
            ("Temporal", f"and {plural(more, 'try', 'tries')} of which only the number is kept")
        )
    return [took, *shown]


def _original(seen: Original | None) -> str:
    if seen is None:
        return "not on its topic any more"
    when = show_time(max(0, seen.timestamp_ms) * 10**6)
    kind = seen.content_type or "no content type"
    return f"{when}, {plural(seen.size, 'byte')}, {kind}"
