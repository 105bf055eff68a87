"""Room `cli`: what `replay` says of its plan and its result. Touches the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from completion_relay.cli.output import (
    plural,
    print_fields,
    print_json,
    print_line,
    print_note,
    print_table,
)
from completion_relay.cli.times import SECOND, show_duration, show_time
from completion_relay.replay.plan import Plan, Treatment
from completion_relay.replay.planning import Row
from completion_relay.replay.reading import Reading
from completion_relay.replay.sending import Result
from completion_schemas.dispositions import Disposition

_LEFT_OUT: Final = (
    (Treatment.HEARTBEAT, "heartbeats (--heartbeats sends them, too)"),
    (
        Treatment.SKIPPED,
        "skipped by an operator (--event-id ID or --disposition skipped sends it all the same)",
    ),
    (Treatment.OVER_CAP, "replayed as often as --max-replays allows: for a person to look at"),
    (Treatment.COPY, "replays and dead letters of events that are here already"),
    (Treatment.SINCE, "ended otherwise since, by a replay"),
    (Treatment.OTHERWISE, "ended otherwise than is asked for, or not decided"),
)
_AWAY: Final = "not looked at: Temporal could not be asked"
_MILLION: Final = 10**6
_UNITS: Final = (("GB", 10**9), ("MB", 10**6), ("kB", 10**3))


def print_plan(reading: Reading, plan: Plan, *, rate: float | None, as_json: bool) -> None:
    """Print what would be done."""
    if as_json:
        print_json(_plan_as_json(reading, plan, rate))
        return
    print_fields(_heading(reading, plan, rate))
    print_line()
    print_table(("events", "what"), _rows(plan))


def _heading(reading: Reading, plan: Plan, rate: float | None) -> Iterator[tuple[str, str]]:
    yield "replay", reading.order.name
    if plan.first_ms is not None and plan.last_ms is not None:
        first, last = plan.first_ms * _MILLION, plan.last_ms * _MILLION
        yield "first put", f"{show_time(first)} to {show_time(last)}"
    yield "size", _size(plan.bytes)
    yield "to topic", reading.order.changes.topic
    for old, new in reading.order.changes.namespaces.items():
        yield "namespace", f"{old or '(none named)'} becomes {new}"
    if rate is not None:
        takes = show_duration(round(plan.to_send / rate * SECOND))
        yield "takes", f"about {takes}, at {rate:g} a second"
    if reading.finished:
        sent = plural(reading.sent_earlier, "event")
        yield (
            "follows",
            f"one of the same words that is done, {sent} sent: takes what has come since",
        )
    if reading.has_begun and reading.order.from_file is None:
        yield (
            "goes on",
            "with what there was when it began; once it is done, the same again takes the rest",
        )
    if plan.sent_before:
        yield "sent before", f"{plural(plan.sent_before, 'event')}, by a run that was interrupted"


def _size(count: int) -> str:
    for unit, of in _UNITS:
        if count >= of:
            return f"{count / of:.1f} {unit}"
    return plural(count, "byte")


def _rows(plan: Plan) -> Iterator[tuple[str, str]]:
    yield str(plan.selected), "selected"
    yield str(plan.to_send), "to send"
    for end, count in sorted(plan.by_last.items()):
        yield str(count), f"  ended as {end}" if end != "not decided" else "  not decided yet"
    for would, count in sorted(plan.outlook.items()):
        alone = ""
        if would == Disposition.APPLIED and plan.not_alone:
            alone = (
                f", each taken alone: {plan.not_alone} of them come after another of their activity"
            )
        yield str(count), f"  would now be: {would}{alone}"
    if plan.away:
        yield str(plan.away), f"  {_AWAY}"
    if more := plan.not_looked_at - plan.away:
        yield str(more), "  not looked at (--look-ups)"
    for treatment, what in _LEFT_OUT:
        if plan.treatments[treatment]:
            yield str(plan.treatments[treatment]), f"left out: {what}"
    if plan.gone:
        yield str(plan.gone), "no longer on the topic: its retention has passed"
    if plan.cut:
        yield f"up to {plan.cut}", "deleted from the topic since the replay began, and not sent"


def _plan_as_json(reading: Reading, plan: Plan, rate: float | None) -> dict[str, Any]:
    changes = reading.order.changes
    return {
        "replay": reading.order.name,
        "topic": changes.topic,
        "namespace_map": dict(changes.namespaces),
        "selected": plan.selected,
        "to_send": plan.to_send,
        "by_last": dict(sorted(plan.by_last.items())),
        "outlook": dict(sorted(plan.outlook.items())),
        "not_alone": plan.not_alone,
        "not_looked_at": plan.not_looked_at,
        "temporal_away": plan.away,
        "heartbeats_left_out": plan.treatments[Treatment.HEARTBEAT],
        "skipped": plan.treatments[Treatment.SKIPPED],
        "over_cap": plan.treatments[Treatment.OVER_CAP],
        "copies": plan.treatments[Treatment.COPY],
        "ended_otherwise_since": plan.treatments[Treatment.SINCE],
        "ended_otherwise": plan.treatments[Treatment.OTHERWISE],
        "not_decided": reading.not_decided,
        "unreadable": len(reading.unreadable),
        "gone": plan.gone,
        "cut": plan.cut,
        "goes_on": reading.has_begun,
        "sent_before": plan.sent_before,
        "sent_earlier": reading.sent_earlier,
        "bytes": plan.bytes,
        "first_at": None if plan.first_ms is None else plan.first_ms * _MILLION,
        "last_at": None if plan.last_ms is None else plan.last_ms * _MILLION,
        "rate": rate,
        "seconds": None if rate is None else plan.to_send / rate,
    }


def print_not_decided(reading: Reading, audit: str) -> None:
    """Tell which events that are asked for by their ids the trail does not have.

    A replay by id finds its events by what was decided of them: one that is on the topic and not
    decided yet would look as if it were not there.
    """
    if not reading.not_decided:
        return
    since = reading.order.selection.since
    then = f" since {show_time(since)}" if since else ""
    print_note(
        f"No decision{then} about {', '.join(reading.not_decided)} is on {audit}: a replay finds by its id "
        "what was decided, and what is not may be still to be: see `completion-relay audit show ID`."
    )


def print_row(row: Row, *, as_json: bool) -> None:
    """Print what one event would do now; never a token (promise 4)."""
    kept, event = row.treated.kept, row.treated.event
    would = row.outlook.would if row.outlook else _AWAY if row.is_away else "not looked at"
    if row.treated.treatment is not Treatment.SEND:
        would = f"left out: {row.treated.treatment}"
    fields = {
        "topic": kept.position.topic,
        "partition": kept.position.partition,
        "offset": kept.position.offset,
        "event_id": event.event_id if event else "",
        "type": event.type if event else "",
        "replay_of": str(kept.origin),
        "replays": row.treated.count,
        "last": row.last,
        "would": would,
        "detail": row.outlook.detail if row.outlook else "",
    }
    if as_json:
        print_json(fields)
        return
    last = f", ended as {row.last}" if row.last else ""
    detail = f": {fields['detail']}" if fields["detail"] else ""
    print_line(
        f"{kept.position}  {fields['type'] or '-'}  {fields['event_id'] or '-'}{last}  ->  "
        f"{would}{detail}"
    )


def print_done(reading: Reading, *, as_json: bool) -> None:
    """Print that there is nothing to be done: all was sent, and nothing that is asked for has come since."""
    if as_json:
        print_result(reading, Result(), None, as_json=True)
    sent = reading.sent_before + reading.sent_earlier
    print_note(
        f"Replay {reading.order.name} is done: it has sent {plural(sent, 'event')}, sends none of them "
        "again, and nothing new is asked for. To send them once more give another name with --id."
    )


def print_result(
    reading: Reading, result: Result, became: dict[str, int] | None, *, as_json: bool
) -> None:
    """Print what was done, and what became of it as far as that was waited for."""
    late = len(result.origins)
    if as_json:
        print_json(
            {
                "replay": reading.order.name,
                "sent": result.sent,
                "sent_before": reading.sent_before,
                "sent_earlier": reading.sent_earlier,
                "over_cap": result.over_cap,
                "too_large": [str(treated.kept.position) for treated in result.too_large],
                "became": became,
                "not_decided_in_time": None if became is None else late,
            }
        )
        return
    before = f", {reading.sent_before} before" if reading.sent_before else ""
    print_line()
    print_line(f"Replay {reading.order.name}: {plural(result.sent, 'event')} sent{before}.")
    for treated in result.too_large:
        print_note(
            f"{treated.kept.position} is too large for {reading.order.changes.topic} with the "
            "headers that say that it is replayed: raise the topic's max.message.bytes and replay it "
            "with another --id"
        )
    if became is not None:
        rows = [(str(count), end) for end, count in sorted(became.items())]
        print_table(
            ("events", "became"), [*rows, *([(str(late), "not decided in time")] if late else [])]
        )
