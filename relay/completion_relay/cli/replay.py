"""Room `cli`: `completion-relay replay`. Touches the room `replay`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from completion_relay.cli.options import (
    ConfigOption,
    DatabaseOption,
    JsonOption,
    KafkaOption,
    TemporalOption,
    settings_from,
)
from completion_relay.cli.replay_order import Asked, How
from completion_relay.cli.replay_run import run_replay
from completion_relay.cli.token_file import InputError
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.times import UnixNanos

_WHICH = "Which events"
_CHANGES = "What is changed"
_HOW = "How it is done"


def replay(
    *,
    since: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TIME",
            help="Put on the topic at this time or later.",
            rich_help_panel=_WHICH,
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--to", metavar="TIME", help="Before this time.", rich_help_panel=_WHICH),
    ] = None,
    offsets: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PARTITION:FROM-TO",
            help="At these offsets, both included; repeatable. `3:1200-` is to the end.",
            rich_help_panel=_WHICH,
        ),
    ] = None,
    event_id: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="With this id, also where an operator skipped it; repeatable.",
            rich_help_panel=_WHICH,
        ),
    ] = None,
    workflow_id: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID", help="For this waiting workflow; repeatable.", rich_help_panel=_WHICH
        ),
    ] = None,
    disposition: Annotated[
        list[Disposition] | None,
        typer.Option(
            metavar="NAME",
            help="That ended so, by the audit trail, the latest replay included; repeatable.",
            rich_help_panel=_WHICH,
        ),
    ] = None,
    reason: Annotated[
        list[DeadLetterReason] | None,
        typer.Option(
            metavar="NAME",
            help="Dead-lettered for this reason; repeatable.",
            rich_help_panel=_WHICH,
        ),
    ] = None,
    dead_letters: Annotated[
        bool,
        typer.Option(
            "--dead-letters",
            help="From the dead-letter topic instead of the events' own.",
            rich_help_panel=_WHICH,
        ),
    ] = False,
    from_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="From a file that --to-file has written, for when the topic has them no more.",
            rich_help_panel=_WHICH,
        ),
    ] = None,
    heartbeats: Annotated[
        bool,
        typer.Option(
            "--heartbeats",
            help="Heartbeats, too. They are left out otherwise: they decide nothing, and what they "
            "say is of then.",
            rich_help_panel=_WHICH,
        ),
    ] = False,
    namespace_map: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD=NEW",
            help="Events for namespace OLD are for NEW now, which the relay has to serve; repeatable. "
            "`=NEW` is for events that name none.",
            rich_help_panel=_CHANGES,
        ),
    ] = None,
    to_topic: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Put them on this topic instead of the relay's own.",
            rich_help_panel=_CHANGES,
        ),
    ] = None,
    to_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write them to a new file instead of sending them. It is there when all of it is "
            "written; until then it is FILE.part. They are as they were: what is to be changed is given "
            "with --from-file. It holds task tokens: whoever reads it may end the "
            "activities. Only you can, as it is made.",
            rich_help_panel=_CHANGES,
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            min=0.01,
            max=1_000_000,
            help="Events a second at most.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    max_replays: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=1_000,
            help="How many decided replays one event may have in all. Beyond that a person should look at "
            "it: it is not sent, but counted, and written to --parked-file, without which nothing is "
            "sent or written then. It does not go to the parked topic, from which the relay would take "
            "it up again by itself.",
            rich_help_panel=_HOW,
        ),
    ] = 3,
    parked_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where events over that cap are written, in the format of --to-file.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    look_ups: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            max=1_000_000,
            help="Events at most that are looked up at Temporal for the plan.",
            rich_help_panel=_HOW,
        ),
    ] = 1_000,
    name: Annotated[
        str | None,
        typer.Option(
            "--id",
            metavar="NAME",
            help="The replay's name: with the same one it goes on where it stopped, and sends nothing "
            "twice. If left out, it follows from the options above: the same command goes on. A new "
            "name sends all of it once more.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Only say, event by event, what each would do now.",
            rich_help_panel=_HOW,
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Send them, after the plan.", rich_help_panel=_HOW)
    ] = False,
    wait: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="With --yes: wait so long for a relay to decide them, and say what became of them.",
            rich_help_panel=_HOW,
        ),
    ] = 0.0,
    config: ConfigOption = None,
    kafka: KafkaOption = None,
    temporal: TemporalOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    r"""Put events again: what is decided stays decided, what is not gets its chance.

    Prints the plan first: how many events, how they ended, and what they would do now. Nothing is
    written anywhere until `--yes`. A TIME is `2026-01-31T12:00:00Z`, `2026-01-31` (midnight UTC),
    `now`, or how long ago: `90s`, `15m`, `1h`, `2d`.

    An event is put as it was, key, value and headers; `completion-replay-*` headers say that it is
    a replay, of what, and what was changed. It goes to the partition that it came from.

    Left out, and counted in the plan: heartbeats, and what an operator skipped, unless it is asked
    for by --event-id or --disposition skipped.

    An interrupted replay goes on where it stopped when the same command is typed again, within
    Kafka's `offsets.retention.minutes` (7 days unless set). Its range is that of its beginning:
    `--from 1h` typed tomorrow goes on with today's hour. Once it is done, the same command begins
    a new one, for what has come to the topic since: `--from 1h` is of tomorrow's hour then. What
    was there before and was decided only since takes another `--id`. A file gets no more.

    Exits 1 if nothing is selected, or with `--wait` if some were not decided in time.

    For example:

        completion-relay replay --dead-letters --reason forbidden --namespace-map ordes=orders

        completion-relay replay --from 2h --disposition unknown --rate 50 --yes --wait 60

        completion-relay replay --from 2026-01-30 --to 2026-01-31 --to-file january.jsonl
    """
    # What an unset variable becomes; no id is empty but that of a record that tells none.
    for option, ids in (("--event-id", event_id), ("--workflow-id", workflow_id)):
        if not all(one.strip() for one in ids or ()):
            raise InputError(f"{option} is empty: give an id, or leave it out for all events")
    settings = settings_from(config, kafka=kafka, temporal=temporal, database=database)
    asked = Asked(
        since=since,
        until=until,
        offsets=tuple(offsets or ()),
        event_ids=frozenset(event_id or ()),
        workflow_ids=frozenset(workflow_id or ()),
        dispositions=frozenset(disposition or ()),
        reasons=frozenset(reason or ()),
        dead_letters=dead_letters,
        from_file=from_file,
        heartbeats=heartbeats,
        namespace_map=tuple(namespace_map or ()),
        to_topic=to_topic,
        is_export=to_file is not None,
        name=name,
        max_replays=max_replays,
        look_ups=look_ups,
    )
    how = How(
        dry_run=dry_run,
        yes=yes,
        from_file=from_file,
        to_file=to_file,
        parked_file=parked_file,
        rate=rate,
        wait=wait,
        as_json=as_json,
    )
    run_replay(settings, asked.order(settings, UnixNanos(time.time_ns())), how)
