"""Room `cli`: decisions from the index, where there is one. Touches the room `audit_index`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from completion_relay.audit_filter import AuditFilter
from completion_relay.audit_index import asking
from completion_relay.audit_index.columns import Row, fields_of, record_of
from completion_relay.audit_index.opening import store_at
from completion_relay.audit_index.store import Source, Store
from completion_relay.audit_index.tables import check_source
from completion_relay.cli.output import plural, print_note
from completion_relay.cli.times import show_time
from completion_relay.settings import Settings
from completion_schemas.audit import AuditRecord
from completion_schemas.errors import DecodeError

MOST_COUNTED: Final = 100_000
"""Of those that are not shown; of more it is said that they are more."""
UPGRADE: Final = "if a newer relay wrote them, upgrade completion-relay"
"""What is to be done about records that cannot be read."""
_ROWS_AT_ONCE: Final = 1_000


class OwnIndex(NamedTuple):
    """An index that is asked in the topic's stead, and what its answers lack."""

    store: Store
    until: int | None
    """When the newest decision in it was made, ns since the epoch, before it was asked; None: it has none."""
    unreadable: int
    """How many records of the topic it could not read, and has not."""

    def print_bounds(self) -> None:
        """Say what its answers lack."""
        if self.unreadable:
            print_note(not_read(self.unreadable))
        print_note(how_far(self.until))


def own_index(settings: Settings) -> OwnIndex | None:
    """Return the index that is to be asked in the topic's stead; None: the topic is.

    Args:
        settings: Where it is, and of which topic it has to be.

    Raises:
        OtherTopicError: it is of a topic of another name.
        AuditIndexError: it cannot be asked.
    """
    store = index_of(settings)
    if store is None:
        return None
    source, progress, ((until,),) = store.look([asking.latest()])
    check_source(store.name, source, Source(settings.topics.audit, ""))
    return OwnIndex(store, until, sum(of.unreadable for of in progress.values()))


def index_of(settings: Settings, *, patience: float = 60.0) -> Store | None:
    """Return the index, of whatever topic it is; None: none is set.

    Args:
        settings: Where it is.
        patience: For how long to wait for a file that somebody else has open, seconds.

    Raises:
        AuditIndexError: the library that it needs is not installed.
    """
    if not settings.audit.database:
        return None
    return store_at(settings.audit.database, patience=patience)


class Newest(NamedTuple):
    """The newest decisions of the index that are asked for."""

    records: list[AuditRecord]
    """The newest last."""
    older: int
    """How many there are beside them; `MOST_COUNTED` and one are counted at most."""
    unknown: list[tuple[int, int]]
    """Of those that this version cannot read: partition and offset on the audit topic."""


def newest(store: Store, wanted: AuditFilter, limit: int) -> Newest:
    """Return the newest decisions that are asked for.

    Args:
        store: The index.
        wanted: What is asked for.
        limit: How many at most; 0 is all.

    Raises:
        AuditIndexError: the database cannot be asked.
    """
    rows = store.select(*asking.newest(wanted, limit))
    records, unknown = [], []
    for row in reversed(rows):
        record = record_of(row)
        if isinstance(record, DecodeError):
            unknown.append((row[0], row[1]))
        else:
            records.append(record)
    if not limit or len(rows) < limit:
        return Newest(records, 0, unknown)
    ((count,),) = store.select(*asking.count(wanted, len(rows) + MOST_COUNTED + 1))
    return Newest(records, max(0, count - len(rows)), unknown)


def print_unknown(settings: Settings, unknown: Sequence[tuple[int, int]]) -> None:
    """Tell of the rows of the index that this version cannot read, if there were any."""
    if unknown:
        partition, offset = unknown[0]
        print_note(
            f"{plural(len(unknown), 'row')} of the index cannot be read as audit records: left out, the first "
            f"of them that of {settings.topics.audit}/{partition}/{offset}: {UPGRADE}, else make the index "
            "anew with `audit index --rebuild`."
        )


def latest(store: Store) -> int | None:
    """Return when the newest decision in the index was made, ns since the epoch; None: it has none.

    Raises:
        AuditIndexError: the database cannot be asked.
    """
    ((decided_at,),) = store.select(*asking.latest())
    return None if decided_at is None else int(decided_at)


def how_far(index_until: int | None) -> str:
    """Return what is said of how far an answer of the index goes: what was decided since is not in it.

    Args:
        index_until: What `latest` returned, before the index was asked.
    """
    return f"The index goes as far as {show_time(index_until or 0) or 'nothing yet'}."


def not_read(unreadable: int) -> str:
    """Return what is said of records of the topic that an index could not read: of a newer relay, or garbage."""
    return (
        f"The index could not read {plural(unreadable, 'record')} of the topic: if a newer relay wrote "
        "them, make it anew with this version or a newer one, `audit index --rebuild`, which keeps what the "
        "topic still has."
    )


def every(store: Store, wanted: AuditFilter) -> Iterator[list[dict[str, Any]]]:
    """Yield the fields of all decisions that are asked for, partition by partition as they stand.

    Raises:
        AuditIndexError: the database cannot be asked.
    """
    only = asking.condition(wanted)
    for partition, of in sorted(store.progress().items()):
        some: list[Row] = []
        for row in store.rows(partition, of.begin, of.next, only=only):
            some.append(row)
            if len(some) == _ROWS_AT_ONCE:
                yield [fields_of(row) for row in some]
                some = []
        yield [fields_of(row) for row in some]
