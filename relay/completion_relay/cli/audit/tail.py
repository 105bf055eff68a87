"""Room `cli`: `completion-relay audit tail`. Touches the room `audit_trail`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Annotated

import typer

from completion_relay.audit_filter import AuditFilter
from completion_relay.audit_tail import MOST_OFFSETS, follow_trail, last
from completion_relay.audit_trail import Unreadable
from completion_relay.cli.audit.options import (
    ActivityOption,
    DispositionOption,
    EventOption,
    KeyOption,
    NamespaceOption,
    ReasonOption,
    SinceEverOption,
    UntilOption,
    WorkflowOption,
    selection,
)
from completion_relay.cli.audit.reading import opened_trail, print_unreadable, reading_options
from completion_relay.cli.audit.rendering import line
from completion_relay.cli.boundary import NO
from completion_relay.cli.options import ConfigOption, JsonOption, KafkaOption, settings_from
from completion_relay.cli.output import print_json, print_line, print_note
from completion_relay.cli.reach import reaching_kafka
from completion_relay.settings import Settings
from completion_relay.topic_reader import Offsets
from completion_schemas.audit import AuditRecord, audit_to_json_dict

Print = Callable[[AuditRecord], None]


def tail(
    *,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow", "-f", help="Go on with what is decided from now on, until Ctrl-C."
        ),
    ] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", metavar="N", min=0, help="The newest N decisions.")
    ] = 10,
    since: SinceEverOption = None,
    until: UntilOption = None,
    event_id: EventOption = None,
    workflow_id: WorkflowOption = None,
    activity_id: ActivityOption = None,
    namespace: NamespaceOption = None,
    disposition: DispositionOption = None,
    reason: ReasonOption = None,
    key_id: KeyOption = None,
    config: ConfigOption = None,
    kafka: KafkaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the newest decisions, and with `-f` each further one as it comes.

    Reads backwards from the end, or from `--to`, 100,000 records at most: what is older is found by
    `audit list`. With `-f` it goes on through an outage of Kafka, which has to be there only when it
    begins, misses nothing meanwhile, and exits 130 at Ctrl-C; without, it exits 1 if there is nothing
    to print.

    A TIME is `2026-01-31T12:00:00Z`, `2026-01-31` (midnight UTC), `now`, or how long ago: `90s`,
    `15m`, `1h`, `2d`.

    For example:

        completion-relay audit tail -f --disposition dead_lettered --disposition expired

        completion-relay audit tail -n 100 --workflow-id order-42 --json
    """
    if follow and until:
        raise typer.BadParameter("--follow goes on for ever: leave out --to")
    settings = settings_from(config, kafka=kafka)
    wanted = selection(
        since=since,
        until=until,
        event_id=event_id,
        workflow_id=workflow_id,
        activity_id=activity_id,
        namespace=namespace,
        disposition=disposition,
        reason=reason,
        key_id=key_id,
    )
    show: Print = _print_json if as_json else _print_line
    with reaching_kafka(settings.kafka):
        found = asyncio.run(_tail(settings, wanted, lines, show, on=follow))
    if lines and not found:
        raise typer.Exit(NO)


async def _tail(
    settings: Settings, wanted: AuditFilter, lines: int, show: Print, *, on: bool
) -> int:
    async with opened_trail(settings) as trail:
        newest, end, gave_up = await last(trail, wanted, lines)
    records = newest.records()
    for record in records:
        show(record)
    if gave_up and len(records) < lines:
        of = "of the topic" if wanted.until is None else "before that time"
        print_note(
            f"These are among the newest {MOST_OFFSETS:,} records {of}: `audit list --from` finds "
            "older ones."
        )
    print_unreadable(settings.topics.audit, newest.unreadable)
    if on:
        await _follow(settings, wanted, end, show)
    elif not records and not newest.unreadable:
        print_note("Nothing that is asked for is there.")
    return len(records)


async def _follow(settings: Settings, wanted: AuditFilter, begin: Offsets, show: Print) -> None:
    coming = follow_trail(
        reading_options(settings),
        settings.topics.audit,
        begin,
        wanted,
        empty_fetch_pause_ms=settings.kafka.empty_fetch_pause_ms,
        say=print_note,
    )
    async with contextlib.aclosing(coming) as batches:
        async for scanned in batches:
            unreadable = scanned.unreadable
            for hit in scanned.hits:
                record = hit.record()
                if isinstance(record, Unreadable):
                    unreadable.append(record)
                else:
                    show(record)
            print_unreadable(settings.topics.audit, unreadable)


def _print_line(record: AuditRecord) -> None:
    print_line(line(record))


def _print_json(record: AuditRecord) -> None:
    print_json(audit_to_json_dict(record))
