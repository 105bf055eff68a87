"""Room `cli`: `completion-relay audit show`. Touches the trail, the index, and `audit_story`."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

import typer
from aiokafka.errors import KafkaError

from completion_relay.audit_filter import AuditFilter
from completion_relay.audit_now import NowhereToAskError, ask, place_of, unset_ui, workflow_link
from completion_relay.audit_original import Original, Position, originals
from completion_relay.audit_trail import Unreadable
from completion_relay.cli.audit.decisions import decisions_on, tell_how_far
from completion_relay.cli.audit.options import SinceEverOption, selection
from completion_relay.cli.audit.reading import print_unreadable, reading_options
from completion_relay.cli.audit.story import (
    print_now,
    print_story,
    print_undecided,
    print_waits,
)
from completion_relay.cli.boundary import NO
from completion_relay.cli.event import EventArgument, meant
from completion_relay.cli.options import (
    ConfigOption,
    DatabaseOption,
    JsonOption,
    KafkaOption,
    TemporalOption,
    settings_from,
)
from completion_relay.cli.output import plural, print_json, print_note
from completion_relay.cli.progress import scanning
from completion_relay.cli.reach import (
    RefusedError,
    UnreachableError,
    reaching_kafka,
    reaching_temporal,
)
from completion_relay.settings import Settings
from completion_relay.undecided.record import Undecided
from completion_relay.undecided.search import (
    LOOK_SECONDS,
    MOST_LOOKED_THROUGH,
    Bound,
    Found,
    Wanted,
    look,
)
from completion_schemas.audit import AuditRecord, audit_to_json_dict
from completion_schemas.dispositions import Disposition
from completion_schemas.times import UnixNanos

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
    """What of it is undecided: the event itself, or a replay of it."""
    not_looked: str = ""
    """Why that is not known."""
    not_read: str = ""
    """Why the events' own records were not read."""
    index_until: int | None = None
    """Where the topic could not be read beyond the index: how far this goes, nanoseconds since the epoch."""

    def undecided(self, events: str) -> list[Undecided]:
        """Return what of it is undecided and has not been decided since the offsets were asked for."""
        decided = {
            (record.partition, record.offset) for record in self.records if record.topic == events
        }
        return [waits for place, waits in self.waits.undecided.items() if place not in decided]


def show(
    event: EventArgument,
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
    the earliest; where an index is given or set, only what that has not yet. The event, and replays
    of it, are also looked for among those that no relay has decided, for a short time. With `--json`
    the audit records alone. Exits 1 if the event was not decided.

    A record that shows no id, as garbage does, is named by its place, PARTITION/OFFSET on the events'
    topic, which `audit list` shows; of any other the place means that delivery alone.

    For example:

        completion-relay audit show 0193a5f2-7c1e-7d4a-9b52-1f0f5c2d8e11 --from 2d

        completion-relay audit show 3/1017
    """
    wanted = meant(event)
    settings = settings_from(config, kafka=kafka, temporal=temporal, database=database)
    asked = _asked(settings, wanted, since)
    with reaching_kafka(settings.kafka):
        story = asyncio.run(_story(settings, wanted, asked, whole=not as_json))
    now = UnixNanos(time.time_ns())
    if as_json:
        for record in story.records:
            print_json(audit_to_json_dict(record))
    elif story.records:
        print_story(wanted, story.records, story.originals)
        print_waits(story.undecided(settings.topics.completions), now)
        if not no_temporal:
            _print_now(settings, _activities(story))
    else:
        waits = list(story.waits.undecided.values())
        print_undecided(wanted, settings, waits, now, since=asked.since)
    tell_how_far(story.index_until)
    if not as_json:
        _print_bounds(story)
    print_unreadable(settings.topics.audit, story.unreadable)
    if not story.records:
        raise typer.Exit(NO)


def _print_now(settings: Settings, activities: Sequence[AuditRecord]) -> None:
    """Print what Temporal says of the first activities, and why there is no more of it."""
    asked = activities[:_MOST_ACTIVITIES]
    print_now([asyncio.run(_now(settings, record)) for record in asked])
    if more := len(activities) - len(asked):
        print_note(
            f"{plural(more, 'more activity', 'more activities')} of this event {'is' if more == 1 else 'are'} "
            f"not asked about: {_MOST_ACTIVITIES} at most are."
        )
    if unset := _unset_uis(settings, asked):
        print_note(f"There are no links to Temporal's UI: set {' and '.join(unset)}.")


def _unset_uis(settings: Settings, asked: Sequence[AuditRecord]) -> list[str]:
    """Return the settings without which the workflows of these records have no link, each once."""
    unset: dict[str, None] = {}
    for record in asked:
        with contextlib.suppress(NowhereToAskError):
            setting = unset_ui(place_of(record, settings.temporal))
            # Without a run there is no link, whatever is set.
            if setting and record.run_id:
                unset[setting] = None
    return list(unset)


def _print_bounds(story: _Story) -> None:
    """Say of what else there may be why it is not told."""
    if (more := len(story.records) - _MOST_ORIGINALS) > 0:
        print_note(
            f"The event's own records were read of the first {_MOST_ORIGINALS} deliveries, and not of "
            f"{more} more."
        )
    if story.not_read:
        print_note(f"The event's own record was not read: {story.not_read}.")
    if story.not_looked:
        print_note(f"Whether it waits for another decision is not known: {story.not_looked}.")
    if story.waits.bound is Bound.SHARE:
        print_note(
            f"Not all undecided events were looked at: {MOST_LOOKED_THROUGH:,} at most, an equal share "
            "of each partition."
        )
    if story.waits.bound is Bound.TIME:
        print_note(
            f"Not all undecided events were looked at: looking ended after {LOOK_SECONDS:g} s."
        )
    for topic in story.waits.missing:
        print_note(
            f"No undecided event was looked for on {topic}: it is not there, or this user may not "
            "see it."
        )


def _asked(settings: Settings, wanted: Wanted, since: str | None) -> AuditFilter:
    """Return what to ask the trail for: of one that is meant by its place that delivery alone."""
    asked = selection(since=since, event_id=wanted.event_id or None)
    if wanted.place is None:
        return asked
    return dataclasses.replace(asked, place=(settings.topics.completions, *wanted.place))


async def _story(settings: Settings, wanted: Wanted, asked: AuditFilter, *, whole: bool) -> _Story:
    found = await decisions_on(settings, asked)
    story = _Story(found.records, found.unreadable, index_until=found.index_until)
    if not whole:
        return story
    options = reading_options(settings)
    # Who may read the trail is told what it has: the events and the group are not everybody's to see.
    if story.records:
        # Someone who sends one id a thousand times gets no thousand look-ups.
        shown = story.records[:_MOST_ORIGINALS]
        try:
            story.originals, not_read = await originals(
                options, [(record.topic, record.partition, record.offset) for record in shown]
            )
        except KafkaError as error:
            story.not_read = type(error).__name__
        else:
            story.not_read = "; ".join(f"topic {name} {why}" for name, why in not_read.items())
    try:
        with scanning("looking through what is undecided") as progress:
            story.waits = await look(settings, options, wanted, progress)
    except KafkaError as error:
        if not story.records:
            raise
        story.not_looked = type(error).__name__
    return story


def _activities(story: _Story) -> list[AuditRecord]:
    """Return a record of each activity that the deliveries name, the one that was applied first of all."""
    found: dict[tuple[str, ...], AuditRecord] = {}
    for record in sorted(
        story.records, key=lambda record: record.disposition is not Disposition.APPLIED
    ):
        key = (record.namespace, record.workflow_id, record.run_id, record.activity_id)
        found.setdefault(key, record)
    return list(found.values())


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
