"""Room `cli`: `completion-relay audit`. Touches the room `audit_trail`."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, Final

import typer
from rich.text import Text

from completion_relay.audit_trail import AuditEntry, AuditFilter, AuditTrail
from completion_relay.cli.boundary import NO
from completion_relay.cli.options import ConfigOption, JsonOption, KafkaOption, settings_from
from completion_relay.cli.output import (
    is_terminal,
    plural,
    print_fields,
    print_json,
    print_line,
    print_note,
    print_table,
    stacked,
)
from completion_relay.cli.reach import REQUEST_TIMEOUT_MS, reaching_kafka
from completion_relay.cli.times import parse_time, show_duration, show_time
from completion_relay.connections import kafka_options
from completion_relay.settings import Settings
from completion_schemas.audit import AuditRecord, audit_to_json_dict
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.times import UnixNanos

app = typer.Typer(no_args_is_help=True, help="Read the audit trail: what became of every event.")

_STYLES: Final = {
    Disposition.APPLIED: "green",
    Disposition.DUPLICATE: "cyan",
    Disposition.COALESCED: "cyan",
    Disposition.SKIPPED: "yellow",
    Disposition.DEAD_LETTERED: "bold red",
}
_OTHER_STYLE: Final = "yellow"


@dataclass(slots=True)
class _Read:
    """What was found, the oldest decision first."""

    records: list[AuditRecord] = field(default_factory=list)
    left_out: int = 0
    unreadable: list[str] = field(default_factory=list)


@app.command("list")
def list_(
    *,
    since: Annotated[
        str, typer.Option("--from", metavar="TIME", help="Decided at this time or later.")
    ] = "24h",
    until: Annotated[
        str | None,
        typer.Option("--to", metavar="TIME", help="Decided before this time.", show_default="now"),
    ] = None,
    event_id: Annotated[str, typer.Option(metavar="ID", help="Only this event.")] = "",
    workflow_id: Annotated[
        str, typer.Option(metavar="ID", help="Only of this waiting workflow.")
    ] = "",
    namespace: Annotated[str, typer.Option(metavar="NAME", help="Only of this namespace.")] = "",
    disposition: Annotated[
        list[Disposition] | None,
        typer.Option(metavar="NAME", help="Only with this disposition; repeatable."),
    ] = None,
    reason: Annotated[
        list[DeadLetterReason] | None,
        typer.Option(metavar="NAME", help="Only dead-lettered for this reason; repeatable."),
    ] = None,
    limit: Annotated[
        int, typer.Option(metavar="N", min=0, help="The newest N of them; 0 is all.")
    ] = 50,
    config: ConfigOption = None,
    kafka: KafkaOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what was decided, the newest last.

    A TIME is `2026-01-31T12:00:00Z`, `2026-01-31` (midnight UTC), `now`, or how long ago: `90s`,
    `15m`, `1h`, `2d`. Exits 1 if there is nothing to list.

    For example:

        completion-relay audit list --from 1h --disposition dead_lettered

        completion-relay audit list --from 2026-01-30 --to 2026-01-31 --limit 0 --json
    """
    settings = settings_from(config, kafka=kafka)
    now = UnixNanos(time.time_ns())
    wanted = AuditFilter(
        since=parse_time("--from", since, now),
        until=parse_time("--to", until, now) if until else None,
        event_id=event_id,
        workflow_id=workflow_id,
        namespace=namespace,
        dispositions=frozenset(disposition or ()),
        reasons=frozenset(reason or ()),
    )
    with reaching_kafka(settings.kafka):
        read = asyncio.run(_read(settings, wanted, limit=limit))
    if as_json:
        for record in read.records:
            print_json(audit_to_json_dict(record))
    elif read.records:
        _print_list(read.records)
    else:
        print_note(f"Nothing that is asked for was decided since {show_time(wanted.since or 0)}.")
    if read.left_out and not as_json:
        print_note(f"{read.left_out} older ones are not shown: give --limit 0 for all.")
    _print_unreadable(read)
    if not read.records:
        raise typer.Exit(NO)


@app.command("show")
def show(
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="The event's id.")],
    *,
    config: ConfigOption = None,
    kafka: KafkaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell one event's story: every delivery of it, and what was decided.

    Reads the whole audit topic. Exits 1 if the event is not in it.

    For example:

        completion-relay audit show 0193a5f2-7c1e-7d4a-9b52-1f0f5c2d8e11
    """
    settings = settings_from(config, kafka=kafka)
    with reaching_kafka(settings.kafka):
        read = asyncio.run(_read(settings, AuditFilter(event_id=event_id), limit=0))
    if as_json:
        for record in read.records:
            print_json(audit_to_json_dict(record))
    elif read.records:
        _print_story(event_id, read.records)
    else:
        print_note(
            f"No decision about event {event_id} is on {settings.topics.audit}: it was not "
            "delivered to a relay yet, has another id, or is older than the topic's retention."
        )
    _print_unreadable(read)
    if not read.records:
        raise typer.Exit(NO)


async def _read(settings: Settings, wanted: AuditFilter, *, limit: int) -> _Read:
    options = {**kafka_options(settings.kafka), "request_timeout_ms": REQUEST_TIMEOUT_MS}
    read = _Read()
    newest: list[tuple[tuple[int, int, int], AuditRecord]] = []
    async with (
        AuditTrail.open(options, settings.topics.audit) as trail,
        contextlib.aclosing(trail.read(since=wanted.since, event_id=wanted.event_id)) as entries,
    ):
        async for entry in entries:
            if not isinstance(entry, AuditEntry):
                read.unreadable.append(
                    f"{settings.topics.audit}/{entry.partition}/{entry.offset}: {entry.problem}"
                )
            elif wanted.matches(entry.record):
                place = (entry.record.decided_at, entry.partition, entry.offset)
                if limit and len(newest) == limit:
                    heapq.heappushpop(newest, (place, entry.record))
                    read.left_out += 1
                else:
                    heapq.heappush(newest, (place, entry.record))
    read.records = [record for _, record in sorted(newest, key=lambda item: item[0])]
    return read


def _print_list(records: list[AuditRecord]) -> None:
    if is_terminal():
        print_table(
            ("decided", "event", "outcome", "took"),
            [
                (
                    stacked(*show_time(record.decided_at).split(" ")),
                    stacked(record.event_id, _activity(record)),
                    stacked(record.type or "-", _disposition(record)),
                    stacked(_latency(record), _tries(record)),
                )
                for record in records
            ],
        )
        return
    print_table(
        (
            "decided",
            "event_id",
            "type",
            "disposition",
            "reason",
            "workflow_id",
            "activity_id",
            "tries",
            "took",
        ),
        [
            (
                show_time(record.decided_at).replace(" ", "T"),
                record.event_id,
                record.type,
                str(record.disposition),
                str(record.reason or ""),
                record.workflow_id,
                record.activity_id,
                str(record.tries),
                _latency(record).replace(" ", ""),
            )
            for record in records
        ],
    )


def _print_story(event_id: str, records: list[AuditRecord]) -> None:
    counted = Counter(str(record.disposition) for record in records)
    outcome = ", ".join(f"{name} {n} times" if n > 1 else name for name, n in counted.items())
    times = "once" if len(records) == 1 else f"{len(records)} times"
    print_line(f"Event {event_id} was delivered {times}: {outcome}.")
    for number, record in enumerate(records, 1):
        print_line()
        print_line(
            Text.assemble(f"{number}  ", _disposition(record), f"  {show_time(record.decided_at)}")
        )
        print_fields([(name, value) for name, value in _story(record) if value], indent=3)


def _story(record: AuditRecord) -> list[tuple[str, str]]:
    delivery = f"{record.topic}/{record.partition}/{record.offset}"
    if record.redelivery:
        delivery += ", delivered before"
    if record.replay_of:
        delivery += f", a replay of {record.replay_of}"
    run = f" (run {record.run_id})" if record.run_id else ""
    attempt = f", attempt {record.attempt}" if record.attempt else ""
    origin_run = f" (run {record.origin_run_id})" if record.origin_run_id else ""
    return [
        ("why", record.detail),
        ("type", record.type),
        ("activity", f"{_activity(record)}{attempt}" if _activity(record) else ""),
        ("workflow", f"{record.namespace}/{record.workflow_id}{run}" if record.workflow_id else ""),
        (
            "token",
            record.token_fingerprint and f"{record.token_preview} ({record.token_fingerprint})",
        ),
        ("emitted by", record.origin_workflow_id and record.origin_workflow_id + origin_run),
        ("record", delivery),
        ("occurred", show_time(record.occurred_at or 0)),
        ("received", show_time(record.received_at)),
        ("took", f"{_latency(record)}, {_tries(record)}"),
        ("Temporal", record.rpc_status or ""),
        ("signed with", record.key_id or ""),
        ("decided by", f"{record.relay_id} (group {record.group})"),
    ]


def _print_unreadable(read: _Read) -> None:
    if read.unreadable:
        count = len(read.unreadable)
        print_note(
            f"{plural(count, 'record')} on the topic cannot be read as audit records, the first: "
            f"{read.unreadable[0]}"
        )


def _activity(record: AuditRecord) -> str:
    return (
        f"{record.workflow_id} / {record.activity_id}" if record.workflow_id else record.activity_id
    )


def _disposition(record: AuditRecord) -> Text:
    reason = f" ({record.reason})" if record.reason else ""
    return Text(f"{record.disposition}{reason}", _STYLES.get(record.disposition, _OTHER_STYLE))


def _latency(record: AuditRecord) -> str:
    return show_duration(record.decided_at - record.occurred_at) if record.occurred_at else "-"


def _tries(record: AuditRecord) -> str:
    return plural(record.tries, "try", "tries")
