"""Room `verdict`: the mark that a record leaves on what it decided. Core: touches nothing.

Temporal keeps a request's `identity` in the history event that the request made
(seen on server 1.32.0), so the mark proves which record decided an activity.
"""

from __future__ import annotations

from dataclasses import dataclass

_PREFIX = "completion-relay/"


@dataclass(frozen=True, slots=True)
class RecordMark:
    """Which event, from which record: `completion-relay/<event_id>@<topic>/<partition>/<offset>`.

    At most 256 + 249 bytes and two numbers, below Temporal's limit of 1,000
    bytes (`limit.maxIDLength`, counted in bytes).
    """

    event_id: str
    topic: str
    partition: int
    offset: int

    @property
    def position(self) -> str:
        """Topic, partition and offset, for a person."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    def __str__(self) -> str:
        return f"{_PREFIX}{self.event_id}@{self.position}"


def event_id_in(identity: str) -> str | None:
    """Return the id of the event that left this identity; None: somebody else's.

    Also that of a worker that completes directly, whose position is `direct`.
    An event id may hold `@` and `/`; a topic's name may not (Kafka allows
    letters, digits, `.`, `_` and `-`), so the last `@` is the right one.
    """
    if not identity.startswith(_PREFIX):
        return None
    event_id, _, position = identity.removeprefix(_PREFIX).rpartition("@")
    return event_id if event_id and position else None
