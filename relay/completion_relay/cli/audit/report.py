"""Room `cli`: `completion-relay audit report`. Touches the trail or the index, Kafka, and the page's file."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from completion_relay.audit_filter import AuditFilter
from completion_relay.audit_index.belonging import progress_of
from completion_relay.audit_report.figures import Decision, Figures, figures
from completion_relay.audit_report.filling import filled
from completion_relay.audit_trail import Unreadable
from completion_relay.cli.audit import asking
from completion_relay.cli.audit.options import NamespaceOption, SinceOption, UntilOption, selection
from completion_relay.cli.audit.reading import (
    opened_trail,
    print_unreadable,
    reading_options,
)
from completion_relay.cli.options import (
    ConfigOption,
    DatabaseOption,
    JsonOption,
    KafkaOption,
    settings_from,
)
from completion_relay.cli.output import print_json, print_line, print_note, print_table
from completion_relay.cli.progress import scanning
from completion_relay.cli.reach import reaching_kafka
from completion_relay.cli.report.page import About, ReportError, page
from completion_relay.cli.times import show_duration, show_time
from completion_relay.cli.token_file import InputError
from completion_relay.settings import Settings
from completion_relay.undecided.record import Undecided
from completion_relay.undecided.search import MOST_LOOKED_THROUGH, Oldest, oldest
from completion_schemas.times import UnixNanos


def report(
    *,
    since: SinceOption = "24h",
    until: UntilOption = None,
    namespace: NamespaceOption = None,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a page with charts there, too: one file that needs no other.",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    kafka: KafkaOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a span of time amounts to: counts, latencies, the slowest, the most retried.

    And which event has been waiting for a decision the longest, now: of all namespaces, whatever
    `--namespace` says, because only the first undecided record of a partition is looked at. Latency
    is from the event's own time to the decision; percentiles are exact. Replays, and records that had been
    applied before they were read again, are left out of latencies and the slowest, and counted
    (`replays_left_out`, `read_again_left_out` with `--json`). After a group was lost, or its offsets were set
    back, whatever else is read again counts with its age: give a span that ends before, or begins after.

    Asks the index that `audit index` keeps, where one is given or set, and says how far that goes
    (`index_until` with `--json`). Else it reads the topic into a temporary file of DuckDB's (extra
    `audit`). What either could not read is counted (`unreadable`: by an index, of all
    the topic and not of the span alone). A TIME is as for `audit list`.

    For example:

        completion-relay audit report --from 7d --html week.html --database audit.duckdb
    """
    settings = settings_from(config, kafka=kafka, database=database)
    wanted = selection(since=since, until=until, namespace=namespace)
    if wanted.until is None:
        now = UnixNanos(time.time_ns())
        if wanted.since is not None and wanted.since > now:
            raise InputError("--from is still to come: give a time that is past")
        wanted = dataclasses.replace(wanted, until=now)
    with reaching_kafka(settings.kafka):
        gathered = asyncio.run(_gather(settings, wanted))
    found, waiting = gathered.figures, gathered.waiting
    about = About(
        topic=settings.topics.audit,
        since=wanted.since,
        until=wanted.until or 0,
        made_at=time.time_ns(),
        namespace=wanted.namespace,
        source=gathered.source,
        from_index=gathered.from_index,
        index_until=gathered.index_until,
        unreadable=gathered.not_indexed + len(gathered.unreadable),
    )
    if html is not None:
        _write(html, page(found, waiting, about))
    if as_json:
        print_json(_json(found, waiting, about))
    else:
        _print(found, waiting, about)
        if about.from_index:
            print_line()
            print_line(asking.how_far(about.index_until))
            if about.unreadable:
                print_line(asking.not_read(about.unreadable))
    if html is not None:
        print_note(f"The page is {html}.")
    print_unreadable(settings.topics.audit, gathered.unreadable)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Gathered:
    """What a report is made of."""

    figures: Figures
    waiting: Oldest
    source: str
    """What was asked, for a person."""
    from_index: bool = False
    index_until: int | None = None
    """How far the index goes, nanoseconds since the epoch; None: it has nothing, or was not asked."""
    not_indexed: int = 0
    """How many records of the topic the index could not read."""
    unreadable: list[Unreadable] = dataclasses.field(default_factory=list)
    """Of what was read on the topic."""


async def _gather(settings: Settings, wanted: AuditFilter) -> _Gathered:
    unreadable: list[Unreadable] = []
    with scanning("looking through what is parked") as progress:
        waiting = await oldest(settings, reading_options(settings), progress)
    async with opened_trail(settings) as trail:
        if index := asking.index_of(settings):
            progress_of_index = await progress_of(index, trail)
            # Asked before: what an indexer adds meanwhile makes it true all the more.
            until = await asyncio.to_thread(asking.latest, index)
            return _Gathered(
                figures=await asyncio.to_thread(figures, index, wanted),
                waiting=waiting,
                source=f"the index {index.name}",
                from_index=True,
                index_until=until,
                not_indexed=sum(of.unreadable for of in progress_of_index.values()),
            )
        with scanning() as progress:
            async with filled(
                trail, wanted, settings.topics.audit, unreadable=unreadable, progress=progress
            ) as store:
                found = await asyncio.to_thread(figures, store, wanted)
    return _Gathered(
        figures=found, waiting=waiting, source="the topic itself", unreadable=unreadable
    )


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise ReportError(
            f"{path} cannot be written: {error.strerror or error}: give a file that can be written "
            "with --html"
        ) from None


def _json(found: Figures, waiting: Oldest, about: About) -> dict[str, Any]:
    """Return all of it for a program; times and durations are nanoseconds, Kafka's timestamp milliseconds."""
    event = waiting.event
    return {
        **dataclasses.asdict(about),
        **dataclasses.asdict(found),
        "oldest_undecided": None
        if event is None
        else {
            "topic": event.topic,
            "partition": event.partition,
            "offset": event.offset,
            "timestamp_ms": event.written_at // 10**6,
            "event_id": event.event_id,
            "type": event.type,
            "age": _age(event, about),
        },
        "oldest_undecided_of_all_namespaces": True,
        "all_parked_looked_at": waiting.bound is None,
    }


def _age(event: Undecided, about: About) -> int:
    return max(0, about.made_at - event.written_at)


def _print(found: Figures, waiting: Oldest, about: About) -> None:
    begin = about.since or found.oldest
    span = f"from {show_time(begin)} to" if begin else "until"
    print_line(
        f"{found.decisions:,} decisions {span} {show_time(about.until)}, from {about.source}."
    )
    event = waiting.event
    title = f"Oldest undecided{', of all namespaces' if about.namespace else ''}"
    if event is None:
        print_line(f"{title}: none.")
    else:
        print_line(
            f"{title}: {event.topic}/{event.partition}/{event.offset}, for "
            f"{show_duration(_age(event, about))}."
        )
    if waiting.bound:
        print_note(
            f"Of those that are parked {MOST_LOOKED_THROUGH:,} were looked at, an equal share of each "
            "partition: another one may be older."
        )
    if not found.decisions:
        return
    print_line()
    print_table(
        ("namespace", "disposition", "reason", "decisions"),
        [(of.namespace, of.disposition, of.reason or "", f"{of.count:,}") for of in found.counts],
    )
    print_line()
    print_table(
        ("type", "decisions", "p50", "p90", "p99", "longest"),
        [
            (of.type, f"{of.count:,}", *map(show_duration, (of.p50, of.p90, of.p99, of.most)))
            for of in found.latencies
        ],
    )
    if found.left_out:
        print_line(found.left_out)
    for title, rows in (("Slowest", found.slowest), ("Most retried", found.most_retried)):
        if rows:
            print_line()
            print_line(f"{title}:")
            print_table(
                ("took", "tries", "event", "disposition", "workflow", "decided"),
                [_row(row) for row in rows],
            )


def _row(row: Decision) -> tuple[str, ...]:
    return (
        "-" if row.took is None else show_duration(row.took),
        str(row.tries),
        row.event_id,
        row.disposition,
        row.workflow_id,
        show_time(row.decided_at),
    )
