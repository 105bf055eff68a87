"""Room `audit_index`: what the index knows of some events, for who reads the rest on the topic. Touches the database.

The index is as far as its indexer. So what it has is taken, and of what it has not nothing
follows: from where it ends the topic says. So does it from the first record of a partition on that
the index could not read, as far as the topic still goes back: an indexer of an older version takes what
a newer relay writes for no audit record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from completion_relay.audit_filter import AuditFilter
from completion_relay.audit_index import asking
from completion_relay.audit_index.columns import record_of
from completion_relay.audit_index.store import AuditIndexError, Progress, Source, Store
from completion_relay.audit_index.tables import check_source
from completion_relay.audit_trail import AuditEntry
from completion_relay.topic_reader import Offsets
from completion_schemas.audit import AuditRecord
from completion_schemas.errors import DecodeError

_AT_ONCE: Final = 10_000
"""Ids of one query: PostgreSQL takes 65,535 values, two an id."""


@dataclass(frozen=True, slots=True)
class Known:
    """What an index has of some events."""

    name: str
    """The database's, where a person reads it."""
    source: Source
    """Of what the index is."""
    entries: tuple[AuditEntry, ...]
    """In the order in which they were decided; those of one moment in that of their partition."""
    progress: Mapping[int, Progress]

    @property
    def records(self) -> list[AuditRecord]:
        """All that it has: some of them are also what is read on the topic from `after` on."""
        return [entry.record for entry in self.entries]

    @property
    def after(self) -> dict[int, int]:
        """From which offset on each partition of the topic may have what is not known."""
        return {number: _until(of) for number, of in self.progress.items()}

    def beside(self, beginning: Offsets) -> list[AuditRecord]:
        """Return what nobody finds who reads the topic from `after` on.

        Args:
            beginning: Where its partitions begin; what was before is the index's alone.
        """
        begins = {at.partition: offset for at, offset in beginning.items()}
        after = self.after
        return [
            entry.record
            for entry in self.entries
            if entry.offset < max(after.get(entry.partition, 0), begins.get(entry.partition, 0))
        ]


NOTHING: Final = Known("", Source("", ""), (), {})
"""What no index has."""


def known(
    store: Store, topic: str, wanted: AuditFilter | None = None, *, event_ids: Sequence[str] = ()
) -> Known:
    """Return what the index has of what is asked for.

    Args:
        store: The index.
        topic: The audit topic.
        wanted: What is asked for; None: the events by their ids alone.
        event_ids: All of these events.

    Raises:
        OtherTopicError: the index is of another topic.
        AuditIndexError: the database cannot be asked, or a row of it is no audit record.
    """
    queries = [] if wanted is None else [asking.newest(wanted, 0)]
    queries += [
        asking.of_events(event_ids[first : first + _AT_ONCE])
        for first in range(0, len(event_ids), _AT_ONCE)
    ]
    source, progress, rows = store.look(queries)
    check_source(store.name, source, Source(topic, ""))
    entries = []
    for row in rows:
        record = record_of(row)
        if isinstance(record, DecodeError):
            raise AuditIndexError(
                f"database {store.name}: a row of its index is no audit record ({record}): if a newer relay "
                "wrote it, upgrade, else make it anew with `completion-relay audit index --rebuild`"
            )
        entries.append(AuditEntry(record, row[0], row[1]))
    entries.sort(key=lambda entry: (entry.record.decided_at, entry.partition, entry.offset))
    return Known(store.name, source, tuple(entries), progress)


def _until(of: Progress) -> int:
    return of.next if of.first_unreadable is None else of.first_unreadable
