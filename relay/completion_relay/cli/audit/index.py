"""Room `cli`: `completion-relay audit index`. Touches the rooms `audit_trail` and `audit_index`."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Sequence
from typing import Annotated

import typer

from completion_relay.audit_index.following import follow as follow_trail
from completion_relay.audit_index.indexing import Added, Indexer
from completion_relay.audit_index.opening import store_at
from completion_relay.audit_index.store import Source, Store
from completion_relay.audit_index.tables import check_source
from completion_relay.audit_index.verify import Verified, verify
from completion_relay.cli.audit.reading import opened_trail
from completion_relay.cli.boundary import NO
from completion_relay.cli.options import ConfigOption, JsonOption, KafkaOption, settings_from
from completion_relay.cli.output import plural, print_json, print_line, print_note, print_table
from completion_relay.cli.progress import scanning
from completion_relay.cli.reach import reaching_kafka
from completion_relay.load import ConfigurationError
from completion_relay.settings import Settings
from completion_relay.stop import stop_on_signals


def index(
    *,
    database: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|postgresql://…",
            help="The database (setting audit.database): a file, made if it is not there, or a URL.",
            show_default=False,
        ),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C or SIGTERM."),
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--verify", help="Compare the database with the topic; index nothing."),
    ] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Throw the index away and make it anew.")
    ] = False,
    config: ConfigOption = None,
    kafka: KafkaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep the audit trail in a database, in which an event is found without reading the topic.

    Goes on from where it was; it may be stopped at any moment, and may run twice. The topic stays
    the truth: an index can be made anew from it, as far as its retention goes back.

    A file is DuckDB's (extra `audit`), which one process writes at a time: it is open for a moment
    a batch, and `audit list` waits for that. A shared database is PostgreSQL's (extra `postgres`),
    in tables `completion_audit…`; a password is better in PGPASSWORD or `~/.pgpass` than here.

    `--verify` sums up every row and every record that the topic still has of what was indexed,
    and exits 1 where the two differ.

    For example:

        completion-relay audit index --database audit.duckdb --follow

        completion-relay audit index --database postgresql://audit@db/relay --verify
    """
    if check and (follow or rebuild):
        raise typer.BadParameter("--verify changes nothing: leave out --follow and --rebuild")
    settings = settings_from(config, kafka=kafka, database=database)
    if settings.audit.database is None:
        raise ConfigurationError(
            "setting audit.database is not set: give --database FILE or --database postgresql://…"
        )
    store = store_at(settings.audit.database)
    with reaching_kafka(settings.kafka):
        if check:
            found = asyncio.run(_verify(settings, store))
            _print_verified(store, found, as_json=as_json)
            if any(verified.problems for verified in found):
                raise typer.Exit(NO)
            return
        begun = time.monotonic()
        added = asyncio.run(_index(settings, store, rebuild=rebuild, on=follow))
        _print_added(store, added, time.monotonic() - begun, as_json=as_json)


async def _index(settings: Settings, store: Store, *, rebuild: bool, on: bool) -> Added:
    stop = stop_on_signals()
    async with opened_trail(settings) as trail:
        await asyncio.to_thread(
            store.prepare, settings.topics.audit, cluster=trail.cluster, rebuild=rebuild
        )
        with scanning() as told:
            indexer = Indexer(trail, store, told)
            await indexer.catch_up(stop)
    added = indexer.added
    if on and not stop.is_set():
        print_note(
            f"{plural(added.records, 'decision')} indexed in {store.name}; following the topic."
        )

        def count(records: int) -> None:
            added.records += records

        await follow_trail(lambda: opened_trail(settings), store, stop, say=print_note, added=count)
    return added


async def _verify(settings: Settings, store: Store) -> list[Verified]:
    async with opened_trail(settings) as trail:
        source, _, _ = await asyncio.to_thread(store.look, ())
        check_source(store.name, source, Source(settings.topics.audit, trail.cluster))
        with scanning() as told:
            return await verify(trail, store, told)


def _print_added(store: Store, added: Added, seconds: float, *, as_json: bool) -> None:
    progress = store.progress()
    records = sum(of.records for of in progress.values())
    unreadable = sum(of.unreadable for of in progress.values())
    if as_json:
        print_json(
            {
                "database": store.name,
                "added": added.records,
                "records": records,
                "unreadable": unreadable,
                "deleted_before_indexed": added.gone,
                "seconds": round(seconds, 3),
            }
        )
        return
    print_line(
        f"{plural(added.records, 'decision')} indexed in {seconds:.1f} s, {records:,} in all in "
        f"{store.name}."
    )
    if added.gone:
        print_note(
            f"Up to {plural(added.gone, 'record')} had been deleted from the topic before they were "
            "indexed: its retention is shorter than the time between two runs."
        )
    if unreadable:
        print_note(
            f"{plural(unreadable, 'record')} on the topic cannot be read as audit records. If a newer "
            "relay wrote them, upgrade and make the index anew with --rebuild."
        )


def _print_verified(store: Store, found: Sequence[Verified], *, as_json: bool) -> None:
    if as_json:
        for verified in found:
            print_json(dataclasses.asdict(verified) | {"equal": not verified.problems})
        return
    print_table(
        ("partition", "in the index", "in the topic", "not indexed yet", "checksum", ""),
        [
            (
                str(verified.partition),
                f"{verified.records:,}",
                f"{verified.compared:,}",
                f"{verified.not_indexed:,}",
                verified.checksum,
                "; ".join(verified.problems) or "equal",
            )
            for verified in found
        ],
    )
    differing = sum(bool(verified.problems) for verified in found)
    if differing:
        print_note(
            f"{store.name} differs from the topic in {plural(differing, 'partition')}: make the index "
            "anew with --rebuild."
        )
