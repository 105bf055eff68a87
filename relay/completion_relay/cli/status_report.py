"""Room `cli`: how the relay is, as tables for a person and as one object for a program. Touches nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import zip_longest
from typing import Any, Final

from aiokafka.structs import TopicPartition
from rich.text import Text

from completion_relay.cli.output import print_line, print_note, print_table, printable
from completion_relay.cli.times import SECOND, show_duration, show_time
from completion_relay.status.ask import Replica
from completion_relay.status.judge import Oldest, Overview
from completion_relay.status.kafka import Partition
from completion_schemas.times import UnixNanos

_ALL_WELL: Final = "all well: "
_NOT_WELL: Final = "not well: "


def print_report(found: Overview, *, show_all: bool) -> None:
    """Print the verdict, then a table of each kind of thing of which there is something to say."""
    troubles = found.troubles()
    if troubles:
        for begin, trouble in zip_longest([_NOT_WELL], troubles, fillvalue=" " * len(_NOT_WELL)):
            print_line(Text.assemble((begin, "bold red"), printable(trouble)))
        print_line(found.summary())
    else:
        print_line(Text.assemble((_ALL_WELL, "bold green"), found.summary()))
    _table("replicas", ("replica", "version", "partitions", "pages", "state"), _replicas(found))
    _table(
        "partitions",
        ("partition", "replica", "committed", "end", "undecided", "oldest", "note"),
        _partitions(found, show_all=show_all),
    )
    _table(
        "namespaces",
        ("namespace", "replica", "state", "calls", "under way", "queued"),
        _namespaces(found, show_all=show_all),
    )
    _table(
        "oldest undecided",
        ("position", "age", "event", "type", "activity", "note"),
        [_undecided(item, found.now) for item in found.oldest],
    )
    for replica in found.replicas:
        if replica.note and not replica.is_missed:
            print_note(f"{replica.name} was not asked: {replica.note}")


def as_object(found: Overview) -> dict[str, Any]:
    """Return all that is known, for programs."""
    troubles = found.troubles()
    owners = found.owners
    return {
        "well": not troubles,
        "troubles": troubles,
        "group": found.group,
        "group_state": found.kafka.group.state,
        "lag": found.lag,
        "parked": found.parked,
        "replicas": [
            *(_replica_object(replica) for replica in found.replicas),
            *(
                {"relay_id": state.relay_id, "version": state.version, "ready": False}
                | {"problems": state.problems, "partitions": []}
                for state in found.others
            ),
        ],
        "partitions": [
            _partition_object(partition, found, owners) for partition in found.kafka.partitions
        ],
        "namespaces": [
            {"relay_id": replica.name, **asdict(namespace)}
            for replica, namespace in found.namespaces()
        ],
        "clusters": [
            {"relay_id": replica.name, **asdict(cluster)}
            for replica in found.replicas
            for cluster in (replica.state.clusters if replica.state else ())
        ],
        "oldest": [
            {
                **asdict(item.event),
                "age_seconds": item.age_seconds,
                "here_seconds": item.here_seconds,
                "is_stuck": item.is_stuck,
            }
            for item in found.oldest
        ],
    }


def _replica_object(replica: Replica) -> dict[str, Any]:
    introduction, state = replica.member.introduction, replica.state
    return {
        "relay_id": introduction.relay_id if introduction else None,
        "version": introduction.version if introduction else None,
        "member_id": replica.member.member_id,
        "client_host": replica.member.client_host,
        "http": replica.address or None,
        "ready": None if state is None else state.is_ready,
        "problems": {} if state is None else state.problems,
        "note": replica.note,
        "partitions": [
            {"topic": at.topic, "partition": at.partition} for at in replica.member.partitions
        ],
    }


def _partition_object(
    partition: Partition, found: Overview, owners: dict[TopicPartition, Replica]
) -> dict[str, Any]:
    at = TopicPartition(partition.topic, partition.partition)
    first, owner = found.kafka.first.get(at), owners.get(at)
    return {
        **asdict(partition),
        "relay_id": owner.name if owner else None,
        "oldest_offset": first.offset if first else None,
        "oldest_age_seconds": _age(found, at),
    }


def _table(title: str, headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    if rows:
        print_line()
        print_line(title)
        print_table(headings, rows)


def _replicas(found: Overview) -> Sequence[tuple[str, ...]]:
    rows = [
        (
            replica.name,
            replica.member.introduction.version if replica.member.introduction else "",
            str(_events_partitions(replica, found)),
            replica.address,
            _state(replica),
        )
        for replica in found.replicas
    ]
    return rows + [
        (state.relay_id, state.version, "0", "", f"not ready: {', '.join(state.problems)}")
        for state in found.others
    ]


def _events_partitions(replica: Replica, found: Overview) -> int:
    return sum(at.topic == found.topics.completions for at in replica.member.partitions)


def _state(replica: Replica) -> str:
    if replica.state is None:
        return "does not answer" if replica.is_missed else "not asked"
    if replica.state.is_ready:
        return "ready"
    return f"not ready: {', '.join(replica.state.problems)}"  # which the verdict has at length


def _partitions(found: Overview, *, show_all: bool) -> Sequence[tuple[str, ...]]:
    owners = found.owners
    # Without a replica nobody has any of them, which is said above.
    is_shared = bool(owners)
    rows = []
    for partition in found.kafka.partitions:
        at = TopicPartition(partition.topic, partition.partition)
        owner = owners.get(at)
        is_orphan = is_shared and owner is None
        if not (show_all or partition.undecided or partition.problem or is_orphan):
            continue
        age = _age(found, at)
        rows.append(
            (
                f"{partition.topic}/{partition.partition}",
                owner.name if owner else "nobody",
                "" if partition.committed is None else str(partition.committed),
                _number(partition.end),
                _number(partition.undecided),
                "" if age is None else show_duration(round(age * SECOND)),
                partition.problem or _note(at, owner),
            )
        )
    return rows


def _note(at: TopicPartition, owner: Replica | None) -> str:
    for state in owner.state.partitions if owner and owner.state else ():
        if (state.topic, state.partition) == at and state.is_full:
            return "window full: no more is taken until the oldest is decided"
    return ""


def _age(found: Overview, at: TopicPartition) -> float | None:
    first = found.kafka.first.get(at)
    return None if first is None else found.age_of(first)


def _namespaces(found: Overview, *, show_all: bool) -> Sequence[tuple[str, ...]]:
    return [
        (
            namespace.name,
            replica.name,
            f"halted: {namespace.halted}"
            if namespace.halted
            else "sick"
            if namespace.is_sick
            else "well",
            str(namespace.calls_limit),
            str(namespace.in_flight),
            str(namespace.queued),
        )
        for replica, namespace in found.namespaces()
        if show_all or namespace.halted or namespace.is_sick
    ]


def _undecided(item: Oldest, now: UnixNanos) -> tuple[str, ...]:
    event = item.event
    notes = ["stuck"] if item.is_stuck else []
    if hold := event.held_at(now):
        notes.append(f"parked by {hold.by} until {show_time(hold.until)}: {hold.why}")
    elif event.parked_times:
        again = f", again by {show_time(event.not_before)}" if event.not_before else ""
        notes.append(f"parked {event.parked_times} times{again}: {event.reason}")
    activity = "/".join(
        part for part in (event.namespace, event.workflow_id, event.activity_id) if part
    )
    return (
        f"{event.topic}/{event.partition}/{event.offset}",
        show_duration(round(item.age_seconds * SECOND)),
        event.event_id,
        event.type,
        activity or event.token_fingerprint,
        "; ".join(notes),
    )


def _number(value: int | None) -> str:
    return "?" if value is None else str(value)
