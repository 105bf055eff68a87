"""Room `cli`: `completion-relay audit export`. Touches the trail, the index, and `audit_export`."""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
from pathlib import Path
from typing import IO, Annotated, Final

import typer

from completion_relay.audit_export import Format, Writer, exported, format_of, written_to
from completion_relay.audit_filter import AuditFilter
from completion_relay.audit_index.store import Store
from completion_relay.audit_scan import scan
from completion_relay.audit_trail import Unreadable
from completion_relay.cli.audit import asking
from completion_relay.cli.audit.options import (
    ActivityOption,
    DispositionOption,
    EventOption,
    KeyOption,
    NamespaceOption,
    ReasonOption,
    SinceOption,
    UntilOption,
    WorkflowOption,
    selection,
)
from completion_relay.cli.audit.reading import opened_trail, print_unreadable
from completion_relay.cli.options import (
    ConfigOption,
    DatabaseOption,
    KafkaOption,
    settings_from,
)
from completion_relay.cli.output import plural, print_note
from completion_relay.cli.progress import scanning
from completion_relay.cli.reach import reaching_kafka
from completion_relay.cli.token_file import InputError
from completion_relay.load import ConfigurationError
from completion_relay.settings import Settings

STDOUT: Final = "-"


def export(
    *,
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="FILE", help="Where to; - is standard output."),
    ] = STDOUT,
    kind: Annotated[
        Format | None,
        typer.Option("--format", help="As the file's ending says; else jsonl.", show_default=False),
    ] = None,
    since: SinceOption = "24h",
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
    database: DatabaseOption = None,
) -> None:
    """Write decisions to a file: JSON Lines, CSV or Parquet, partition by partition as they stand.

    Fields are those of `--json`, times whole nanoseconds since 1970 in all three formats, and text is
    UTF-8, on standard output too. The file is there when all of it is written; until then it is
    FILE.part. What is no regular file, as a FIFO, is written to as it comes. Exits 0 also where there
    was nothing to write. Where an index is asked, it is said on standard error how far that goes.

    A TIME is `2026-01-31T12:00:00Z`, `2026-01-31` (midnight UTC), `now`, or how long ago: `90s`,
    `15m`, `1h`, `2d`.

    For example:

        completion-relay audit export --from 2026-01-01 --to 2026-02-01 --output january.parquet

        completion-relay audit export --from 1h --format csv > last-hour.csv
    """
    settings = settings_from(config, kafka=kafka, database=database)
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
    if not output:  # what an unset variable becomes
        raise InputError("--output is empty: give a file, or - for standard output")
    if output == STDOUT and sys.__stdout__ is None:  # as with `>&-`
        raise ConfigurationError("standard output is closed: name a file with --output")
    path = Path(output)
    kind = kind or (format_of(path) if output != STDOUT else None) or Format.JSONL
    unreadable: list[Unreadable] = []
    with reaching_kafka(settings.kafka), contextlib.ExitStack() as opened:
        if output == STDOUT:
            writer = written_to(_in_utf8(sys.stdout), kind)
        else:
            writer = opened.enter_context(exported(path, kind))
        if index := asking.own_index(settings):
            count = _write_from(index.store, wanted, writer)
        else:
            count = asyncio.run(_write(settings, wanted, writer, unreadable))
        if output == STDOUT:
            writer.close()
    where = "standard output" if output == STDOUT else output
    print_note(f"{plural(count, 'decision')} written to {where} as {kind}.")
    if index:
        index.print_bounds()
    print_unreadable(settings.topics.audit, unreadable)


def _in_utf8(stream: IO[str]) -> IO[str]:
    """Return standard output as the file that it becomes: a text in it stays what it is, whatever the locale."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding="utf-8", errors="strict")
    return stream


def _write_from(store: Store, wanted: AuditFilter, writer: Writer) -> int:
    count = 0
    for rows in asking.every(store, wanted):
        writer.write(rows)
        count += len(rows)
    return count


async def _write(
    settings: Settings, wanted: AuditFilter, writer: Writer, unreadable: list[Unreadable]
) -> int:
    count = 0
    async with opened_trail(settings) as trail:
        with scanning() as progress:
            async with contextlib.aclosing(scan(trail, wanted, progress=progress)) as found:
                async for scanned in found:
                    writer.write([hit.fields for hit in scanned.hits])
                    count += len(scanned.hits)
                    unreadable += scanned.unreadable
    return count
