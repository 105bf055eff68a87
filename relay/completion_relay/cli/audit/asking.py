"""Room `cli`: decisions from the index, where there is one. Touches the room `audit_index`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from completion_relay.audit_filter import AuditFilter
from completion_relay.audit_index import asking
from completion_relay.audit_index.columns import Row, fields_of
from completion_relay.audit_index.opening import store_at
from completion_relay.audit_index.store import Source, Store
from completion_relay.audit_index.tables import check_source
from completion_relay.cli.times import show_time
from completion_relay.settings import Settings
from completion_schemas.audit import AuditRecord, audit_from_fields

MOST_COUNTED: Final = 100_000
"""Of those that are not shown; of more it is said that they are more."""
_ROWS_AT_ONCE: Final = 1_000


def own_index(settings: Settings) -> Store | None:
    """Return the index that is to be asked in the topic's stead; None: the topic is.

    Args:
        settings: Where it is, and of which topic it has to be.

    Raises:
        OtherTopicError: it is of a topic of another name.
        AuditIndexError: it cannot be asked.
    """
    store = index_of(settings)
    if store is not None:
        source, _, _ = store.look(())
        check_source(store.name, source, Source(settings.topics.audit, ""))
    return store


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


def newest(store: Store, wanted: AuditFilter, limit: int) -> tuple[list[AuditRecord], int]:
    """Return the newest decisions that are asked for, the newest last, and how many older ones there are.

    Of these `MOST_COUNTED` and one are counted at most.

    Args:
        store: The index.
        wanted: What is asked for.
        limit: How many at most; 0 is all.

    Raises:
        AuditIndexError: the database cannot be asked.
        DecodeError: a row of it is no audit record.
    """
    rows = store.select(*asking.newest(wanted, limit))
    records = [audit_from_fields(fields_of(row)) for row in reversed(rows)]
    if not limit or len(rows) < limit:
        return records, 0
    ((count,),) = store.select(*asking.count(wanted, len(rows) + MOST_COUNTED + 1))
    return records, max(0, count - len(rows))


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
