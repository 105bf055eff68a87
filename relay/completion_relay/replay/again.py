"""Room `replay`: the record that is put again. Core: touches nothing.

Value, key and every header of the original stay, in their order: a replayed event
verifies as the original did. What a relay has added to it on its way to the
dead-letter or the parked topic goes, and what this replay says of itself is added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from completion_relay import dead_letter, parking
from completion_relay.replay import headers as said
from completion_relay.replay.headers import Position
from completion_relay.route import redirected
from completion_schemas.cloudevents import decode_record
from completion_schemas.errors import DecodeError
from completion_schemas.events import CompletionEvent
from completion_schemas.record import KafkaRecord

_ADDED: Final = (dead_letter.PREFIX, parking.PREFIX, said.PREFIX)
_NUMBER: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Kept:
    """A record that a topic or an export file has kept."""

    position: Position
    """Where it was read; of an export file, where the file's writer read it."""
    timestamp_ms: int
    """Its own time there, milliseconds since the epoch."""
    record: KafkaRecord
    at: tuple[int, int] = (0, 0)
    """Where in its source: partition and offset, of a file 0 and its line, from 0."""

    @property
    def size(self) -> int:
        """Bytes of value, key and headers."""
        return self.record.size

    @property
    def origin(self) -> Position:
        """Where it was first: what names it in every replay, dead letter and audit record."""
        return (
            said.replay_of(self.record.headers) or _dead_lettered_from(self.record) or self.position
        )

    @property
    def first_timestamp_ms(self) -> int:
        """Its own time at its origin, as far as that is told."""
        if self.origin == self.position:
            return self.timestamp_ms
        headers = self.record.headers
        for name in (said.TIMESTAMP, dead_letter.PREFIX + "timestamp"):
            stamp = said.number_of(headers, name, most=_NUMBER)
            if stamp is not None:
                return stamp
        return self.timestamp_ms

    @property
    def replays(self) -> int:
        """How often it had been replayed when it was put there, as it says itself."""
        return said.number_of(self.record.headers, said.COUNT) or 0

    def event(self) -> CompletionEvent:
        """Return the event in it, with the namespace that an earlier replay has given it.

        Raises:
            DecodeError: there is none.
        """
        record = self.record
        return redirected(decode_record(record.headers, record.value), record.headers)


@dataclass(frozen=True, slots=True)
class Changes:
    """What a replay changes: nothing, unless the cause is to be got round."""

    topic: str
    """Where it puts the events."""
    namespaces: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """The namespace that events get, by the one that they are for now; the empty one is that of events
    which name none."""

    def applied_to(self, event: CompletionEvent) -> CompletionEvent:
        """Return the event as it is once it has been put again."""
        namespace = self.namespaces.get(event.activity.namespace)
        if namespace is None:
            return event
        return replace(event, activity=replace(event.activity, namespace=namespace))


def again(kept: Kept, changes: Changes, *, count: int) -> KafkaRecord:
    """Return the record to put.

    Args:
        kept: What is replayed.
        changes: What this replay changes.
        count: How often it has been replayed, this time included.
    """
    record, origin = kept.record, kept.origin
    own = [
        (said.REPLAY_OF, str(origin)),
        (said.TIMESTAMP, str(kept.first_timestamp_ms)),
        (said.COUNT, str(count)),
    ]
    if origin.topic != changes.topic:
        own.append((said.TO_TOPIC, changes.topic))
    return KafkaRecord(
        record.key,
        record.value,
        (
            *((name, value) for name, value in record.headers if not name.startswith(_ADDED)),
            *((name, text.encode()) for name, text in own),
            *_namespace(kept, changes),
        ),
    )


def home(origin: Position, topic: str, partitions: int) -> int | None:
    """Return the partition to put it to; None: the one that its key says.

    On its own topic the one it was in, by whatever partitioner its producer had: events of one
    activity must stay in one partition.

    Args:
        origin: Where it was first.
        topic: Where it is put.
        partitions: How many that has.
    """
    return origin.partition if origin.topic == topic and origin.partition < partitions else None


def _namespace(kept: Kept, changes: Changes) -> list[tuple[str, bytes | None]]:
    had = [(name, value) for name, value in kept.record.headers if name == said.NAMESPACE]
    if not changes.namespaces:
        return had  # what an earlier replay has changed stays changed
    try:
        own = decode_record(kept.record.headers, kept.record.value)
        now = redirected(own, kept.record.headers)
    except DecodeError:
        return had
    new = changes.applied_to(now).activity.namespace
    if new == own.activity.namespace:
        return []
    return had if new == now.activity.namespace else [(said.NAMESPACE, new.encode())]


def _dead_lettered_from(record: KafkaRecord) -> Position | None:
    topic, partition, offset = (
        said.text_of(record.headers, dead_letter.PREFIX + name)
        for name in ("topic", "partition", "offset")
    )
    return Position.parse(f"{topic}/{partition}/{offset}") if topic else None
