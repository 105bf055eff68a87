"""Room `cli`: `completion-relay audit list`. Touches the trail, or the index."""

from __future__ import annotations

from typing import Annotated

import typer

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
from completion_relay.cli.audit.rendering import print_list
from completion_relay.cli.boundary import NO
from completion_relay.cli.options import (
    ConfigOption,
    DatabaseOption,
    JsonOption,
    KafkaOption,
    settings_from,
)
from completion_relay.cli.output import print_json, print_note
from completion_relay.cli.times import show_time
from completion_schemas.audit import audit_to_json_dict


def list_(
    *,
    since: SinceOption = "24h",
    until: UntilOption = None,
    event_id: EventOption = None,
    workflow_id: WorkflowOption = None,
    activity_id: ActivityOption = None,
    namespace: NamespaceOption = None,
    disposition: DispositionOption = None,
    reason: ReasonOption = None,
    key_id: KeyOption = None,
    limit: Annotated[
        int, typer.Option(metavar="N", min=0, help="The newest N of them; 0 is all.")
    ] = 50,
    config: ConfigOption = None,
    kafka: KafkaOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what was decided, the newest last.

    A TIME is `2026-01-31T12:00:00Z`, `2026-01-31` (midnight UTC), `now`, or how long ago: `90s`,
    `15m`, `1h`, `2d`. Exits 1 if there is nothing to list.

    Reads the topic, or asks the index that `audit index` keeps, where one is given or set, and says
    on standard error how far that goes.

    For example:

        completion-relay audit list --from 1h --disposition dead_lettered

        completion-relay audit list --from 2026-01-30 --to 2026-01-31 --limit 0 --json
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
    if index := asking.own_index(settings):
        records, left_out, unknown = asking.newest(index.store, wanted, limit)
        unreadable = len(unknown)
    else:
        # Imported here: what reads Kafka takes longer to import than an index to answer.
        from completion_relay.cli.audit.reading import newest_of_topic  # noqa: PLC0415

        records, left_out, unreadable = newest_of_topic(settings, wanted, limit)
    if as_json:
        for record in records:
            print_json(audit_to_json_dict(record))
    elif records:
        print_list(records)
    elif not (left_out or unreadable):  # else it would not be true
        # Since the epoch is since ever.
        bounds = [
            f"{word} {show_time(bound)}"
            for word, bound in (("since", wanted.since), ("before", wanted.until))
            if bound
        ]
        when = f" {' and '.join(bounds)}" if bounds else ""
        print_note(f"Nothing that is asked for was decided{when}.")
    if left_out and not as_json:
        more = (
            f"More than {asking.MOST_COUNTED:,}"
            if index and left_out > asking.MOST_COUNTED
            else left_out
        )
        print_note(f"{more} older ones are not shown: give --limit 0 for all.")
    if index:
        asking.print_unknown(settings, unknown)
        # With --json too, where it is no record, and stands where it does not mix with them.
        index.print_bounds()
    if not records:
        raise typer.Exit(NO)
