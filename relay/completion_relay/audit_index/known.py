"""Room `audit_index`: what the index knows of some events, for who reads the rest on the topic. Touches the database.

The index is as far as its indexer. So what it has is taken, and of what it has not nothing
follows: from where it ends the topic says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from completion_relay.audit_filter import AuditFilter
from completion_relay.audit_index import asking
from completion_relay.audit_index.columns import fields_of
from completion_relay.audit_index.store import OtherTopicError, Progress, Store
from completion_relay.topic_reader import Offsets
from completion_schemas.audit import AuditRecord, audit_from_fields


@dataclass(frozen=True, slots=True)
class Known:
    """What an index has of some events."""

    name: str
    """The database's, where a person reads it."""
    records: tuple[AuditRecord, ...]
    """Of all that is before `after`."""
    progress: Mapping[int, Progress]

    @property
    def after(self) -> dict[int, int]:
        """From which offset on each partition of the topic has what is not known."""
        return {number: of.next for number, of in self.progress.items()}

    def check(self, beginning: Offsets, end: Offsets) -> None:
        """Raise unless it can be of the topic that begins and ends here.

        Raises:
            OtherTopicError: it is of one that was made anew since.
        """
        for at, begins in beginning.items():
            of = self.progress.get(at.partition)
            if of is not None and (of.begin > begins or of.next > end[at]):
                raise OtherTopicError(
                    f"database {self.name}: its index is at offset {of.next} of {at.topic}/{at.partition}, "
                    f"which ends at {end[at]}: the topic was made anew or cut: make the index anew with "
                    "--rebuild"
                )


NOTHING: Final = Known("", (), {})
"""What no index has."""


def known(store: Store, topic: str, wanted: Iterable[AuditFilter]) -> Known:
    """Return what the index has of what is asked for.

    Args:
        store: The index.
        topic: The audit topic.
        wanted: What is asked for: one of them is enough.

    Raises:
        OtherTopicError: the index is of another topic.
        AuditIndexError: the database cannot be asked.
        DecodeError: a row of it is no audit record.
    """
    # Before the rows: what is written in between is read on the topic.
    progress = store.progress(of=topic)
    records = []
    for one in wanted:
        for row in store.select(*asking.newest(one, 0)):
            partition, offset, *_ = row
            if partition in progress and offset < progress[partition].next:
                records.append(audit_from_fields(fields_of(row)))
    return Known(store.name, tuple(records), progress)
