"""Room `status`: all that is known of the relay together, and what of it needs a person. Touches nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from aiokafka.structs import TopicPartition

from completion_relay.settings import TopicSettings
from completion_relay.status.ask import Replica
from completion_relay.status.kafka import KafkaView, Partition
from completion_relay.status_page import NamespaceState, ReplicaState
from completion_relay.topics import partitions_apart
from completion_relay.undecided.record import Undecided
from completion_schemas.times import UnixNanos

_SHOWN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Oldest:
    """One of the records that have been undecided for longest."""

    event: Undecided
    age_seconds: float
    """Since it was written; a parked one: since it was written first."""
    here_seconds: float | None
    """For how long its replica has had it; None: nobody said."""
    is_stuck: bool
    """Whether that is longer than `relay.stuck_after`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The relay: its group, its replicas and its partitions."""

    group: str
    topics: TopicSettings
    kafka: KafkaView
    replicas: tuple[Replica, ...]
    others: tuple[ReplicaState, ...]
    """Processes that do not answer their supervisor and are in no group."""
    oldest: tuple[Oldest, ...]
    """The oldest one first."""
    now: UnixNanos
    """When it was so."""

    def age_of(self, event: Undecided) -> float:
        """Return how long ago an event was written, seconds."""
        return _age(event, self.now)

    @property
    def owners(self) -> dict[TopicPartition, Replica]:
        """Who has which partition."""
        return {at: replica for replica in self.replicas for at in replica.member.partitions}

    @property
    def lag(self) -> int:
        """Events that are not decided, at most."""
        return self._undecided(self.topics.completions)

    @property
    def parked(self) -> int:
        """Events that are parked: as many as the replicas say, else as Kafka tells at most."""
        said = {
            (state.topic, state.partition): state.parked_waiting
            for replica in self.replicas
            if replica.state
            for state in replica.state.partitions
        }
        return sum(
            said.get((found.topic, found.partition), found.undecided or 0)
            for found in self.kafka.partitions
            if found.topic == self.topics.parked
        )

    @property
    def unassigned(self) -> list[Partition]:
        """The partitions that nobody has."""
        owners = self.owners
        return [
            found
            for found in self.kafka.partitions
            if TopicPartition(found.topic, found.partition) not in owners
        ]

    def namespaces(self) -> Iterator[tuple[Replica, NamespaceState]]:
        """Yield each namespace as each replica finds it."""
        for replica in self.replicas:
            for namespace in replica.state.namespaces if replica.state else ():
                yield replica, namespace

    def summary(self) -> str:
        """Return the figures in one line."""
        count = len(self.replicas)
        total = self.kafka.counts[self.topics.completions]
        gone = sum(found.topic == self.topics.completions for found in self.unassigned)
        parts = [
            f"{count} {'replica' if count == 1 else 'replicas'}",
            f"{total - gone} of {total} partitions",
            f"lag {self.lag}",
        ]
        if self.parked:
            parts.append(f"{self.parked} parked")
        if silent := sum(replica.state is None for replica in self.replicas):
            parts.append(f"{silent} without an answer")
        return ", ".join(parts)

    def troubles(self) -> list[str]:
        """Return what needs a person; empty: all well."""
        return [
            *self._of_the_group(),
            *self._of_the_replicas(),
            *self._of_the_partitions(),
            *self._of_the_events(),
        ]

    def _of_the_group(self) -> Iterator[str]:
        group = self.kafka.group
        if not group.is_settled:
            yield (
                f"group {self.group} is sharing its partitions out anew ({group.state}): who has "
                "what is not told meanwhile; ask again in a moment"
            )
        elif not group.members:
            waiting = self.lag + self.parked
            waits = f"{waiting} {'event waits' if waiting == 1 else 'events wait'}"
            yield (
                f"no relay runs: group {self.group} has no member, and "
                f"{waits if waiting else 'nothing waits yet'}: start one with `completion-relay run`"
            )
        elif unassigned := self.unassigned:
            yield f"nobody has {_names(unassigned)}"
        if apart := partitions_apart(self.topics, self.kafka.counts):
            yield apart

    def _of_the_replicas(self) -> Iterator[str]:
        states = [(replica.name, replica.state) for replica in self.replicas if replica.state]
        states += [(state.relay_id, state) for state in self.others]
        who: dict[tuple[str, str], list[str]] = {}
        for name, state in states:
            for said in state.problems.items():
                who.setdefault(said, []).append(name)
        for (part, problem), (first, *more) in who.items():
            others = f" (and {len(more)} more {'replica' if len(more) == 1 else 'replicas'})"
            yield f"{first}: {part}: {problem}{others if more else ''}"
        for replica in self.replicas:
            if replica.is_missed:
                yield f"{replica.name} does not answer: {replica.note}"

    def _of_the_partitions(self) -> Iterator[str]:
        for found in self.kafka.partitions:
            if found.problem:
                yield f"{found.topic}/{found.partition}: {found.problem}"

    def _of_the_events(self) -> Iterator[str]:
        # What a replica has for long it says itself, as `stuck`.
        stuck = [item for item in self.oldest if item.is_stuck and item.here_seconds is None]
        if stuck and self.kafka.group.members:
            event = stuck[0].event
            yield (
                f"{event.topic}/{event.partition}/{event.offset} is undecided "
                f"{stuck[0].age_seconds:.0f} s after it was written, and no replica says why"
            )

    def _undecided(self, topic: str) -> int:
        return sum(found.undecided or 0 for found in self.kafka.partitions if found.topic == topic)


def oldest_of(
    events: Mapping[tuple[str, int, int], Undecided],
    replicas: tuple[Replica, ...],
    *,
    now: UnixNanos,
    stuck_after: float,
    most: int,
) -> tuple[Oldest, ...]:
    """Return the events that have been undecided for longest.

    Args:
        events: What was read of undecided records, by position.
        replicas: What the replicas said.
        now: The present.
        stuck_after: Seconds after which one is stuck.
        most: How many.
    """
    here = {
        (wait.topic, wait.partition, wait.offset): wait.age_seconds
        for replica in replicas
        if replica.state
        for wait in replica.state.oldest
    }
    answering = {at for replica in replicas if replica.state for at in replica.member.partitions}
    found = []
    for position, event in events.items():
        age = _age(event, now)
        seconds = here.get(position)
        # One that an answering replica does not name is behind others there, or decided since.
        is_told = seconds is not None or TopicPartition(*position[:2]) in answering
        stuck_for = (seconds or 0.0) if is_told else age
        found.append(
            Oldest(
                event=event,
                age_seconds=age,
                here_seconds=seconds,
                is_stuck=stuck_for > stuck_after,
            )
        )
    return tuple(sorted(found, key=lambda item: -item.age_seconds)[:most])


def _age(event: Undecided, now: UnixNanos) -> float:
    return round(max(0.0, (now - event.written_at) / 1e9), 3)


def _names(partitions: list[Partition]) -> str:
    names = [f"{found.topic}/{found.partition}" for found in partitions[:_SHOWN]]
    if more := len(partitions) - len(names):
        names.append(f"{more} more")
    return ", ".join(names)
