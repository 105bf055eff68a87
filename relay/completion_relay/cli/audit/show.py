"""Room `cli`: `completion-relay audit show`. Touches the trail, the index, and `audit_story`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Annotated, Final

import typer

from completion_relay.audit_filter import AuditFilter
from completion_relay.audit_now import NowhereToAskError, ask, place_of, workflow_link
from completion_relay.audit_original import Original, Position, originals
from completion_relay.audit_trail import Unreadable
from completion_relay.cli.audit import asking
from completion_relay.cli.audit.options import SinceEverOption, selection
from completion_relay.cli.audit.reading import newest, print_unreadable, reading_options
from completion_relay.cli.audit.story import print_now, print_story, print_undecided
from completion_relay.cli.boundary import NO
from completion_relay.cli.options import (
    ConfigOption,
    DatabaseOption,
    JsonOption,
    KafkaOption,
    TemporalOption,
    settings_from,
)
from completion_relay.cli.output import print_json, print_note
from completion_relay.cli.reach import (
    RefusedError,
    UnreachableError,
    reaching_kafka,
    reaching_temporal,
)
from completion_relay.settings import Settings
from completion_relay.undecided.search import MOST_LOOKED_THROUGH, Found, Wanted, look
from completion_schemas.audit import AuditRecord, audit_to_json_dict
from completion_schemas.dispositions import Disposition

_MOST_ORIGINALS: Final = 20
_MOST_ACTIVITIES: Final = 5


@dataclass(slots=True)
class _Story:
    """What is known of an event."""

    records: list[AuditRecord]
    """The oldest decision first."""
    unreadable: list[Unreadable]
    originals: dict[Position, Original | None] = field(default_factory=dict)
    waits: Found = field(default_factory=Found)
    """Where nothing was decided: what of it is undecided."""


def show(
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="The event's id.")],
    *,
    since: SinceEverOption = None,
    no_temporal: Annotated[
        bool, typer.Option("--no-temporal", help="Do not ask Temporal what it says now.")
    ] = False,
    config: ConfigOption = None,
    kafka: KafkaOption = None,
    temporal: TemporalOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell one event's story: emitted, each delivery with its tries and what was decided, replays.

    And what Temporal says now of the activity, with a link to its UI where `temporal.ui_url` is
    set. Reads the whole audit topic, unless `--from` says when the event may have been decided at
    the earliest, or an index is given or set. An event that is not in it is looked for among those that no relay has decided.
    With `--json` the audit records alone. Exits 1 if the event was not decided.

    For example:

        completion-relay audit show 0193a5f2-7c1e-7d4a-9b52-1f0f5c2d8e11 --from 2d
    """
    settings = settings_from(config, kafka=kafka, temporal=temporal, database=database)
    wanted = selection(since=since, event_id=event_id)
    with reaching_kafka(settings.kafka):
        story = asyncio.run(_story(settings, wanted, whole=not as_json))
    if as_json:
        for record in story.records:
            print_json(audit_to_json_dict(record))
    elif story.records:
        print_story(event_id, story.records, story.originals)
        if not no_temporal:
            print_now([asyncio.run(_now(settings, record)) for record in _activities(story)])
    else:
        print_undecided(event_id, settings, list(story.waits.undecided.values()))
        if not story.waits.is_all:
            print_note(
                "Not all of the events that are not decided were looked at, for there are many: "
                f"{MOST_LOOKED_THROUGH:,} at most, and for a short time."
            )
    print_unreadable(settings.topics.audit, story.unreadable)
    if not story.records:
        raise typer.Exit(NO)


async def _decided(settings: Settings, wanted: AuditFilter) -> _Story:
    if store := asking.index_of(settings):
        records, _ = await asyncio.to_thread(asking.newest, store, wanted, 0)
        if records:
            return _Story(records, [])
        # The index is as far as its indexer, and "there is none" must be true of the topic.
    found = await newest(settings, wanted, 0)
    return _Story(found.records(), found.unreadable)


async def _story(settings: Settings, wanted: AuditFilter, *, whole: bool) -> _Story:
    story = await _decided(settings, wanted)
    options = reading_options(settings)
    if whole and story.records:
        # Someone who sends one id a thousand times gets no thousand look-ups.
        shown = story.records[:_MOST_ORIGINALS]
        story.originals = await originals(
            options, [(record.topic, record.partition, record.offset) for record in shown]
        )
    elif whole:
        story.waits = await look(settings, options, Wanted(wanted.event_id))
    return story


def _activities(story: _Story) -> list[AuditRecord]:
    """Return a record of each activity that the deliveries name, the one that was applied first of all."""
    found: dict[tuple[str, ...], AuditRecord] = {}
    for record in sorted(
        story.records, key=lambda record: record.disposition is not Disposition.APPLIED
    ):
        key = (record.namespace, record.workflow_id, record.run_id, record.activity_id)
        found.setdefault(key, record)
    return list(found.values())[:_MOST_ACTIVITIES]


async def _now(settings: Settings, record: AuditRecord) -> tuple[AuditRecord, str, str | None]:
    try:
        place = place_of(record, settings.temporal)
        with reaching_temporal(place.connection):
            return record, await ask(place, record), workflow_link(place, record)
    except NowhereToAskError as error:
        return record, f"not known: {error}", None
    except (UnreachableError, RefusedError) as error:
        # The story is told all the same: the trail has what was decided.
        return record, f"not known: {error}", workflow_link(place, record)
