"""Room `audit_index`: what is asked for, as SQL. Core: touches nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from completion_relay.audit_filter import AuditFilter
from completion_relay.audit_index.columns import KEYS, NAMES, OFFSET, PARTITION, key_of, quoted
from completion_relay.audit_index.store import EVERY, Condition
from completion_relay.audit_index.tables import TABLE

_TEXTS: Final = ("event_id", "workflow_id", "activity_id", "namespace", "key_id")
_NAMES: Final = ", ".join(quoted(name) for name in NAMES)


def condition(wanted: AuditFilter) -> Condition:
    """Return what is asked for as SQL."""
    parts: list[str] = []
    values: list[object] = []

    def add(part: str, *of: object) -> None:
        parts.append(part)
        values.extend(of)

    if wanted.since is not None:
        add("decided_at >= ?", wanted.since)
    if wanted.until is not None:
        add("decided_at < ?", wanted.until)
    for name in _TEXTS:
        if text := _unicode(getattr(wanted, name)):
            if name in KEYS:
                add(f"{KEYS[name]} = ?", key_of(text))
            add(f"{quoted(name)} = ?", text)
    for name, chosen in (("disposition", wanted.dispositions), ("reason", wanted.reasons)):
        if chosen:
            of = sorted(str(value) for value in chosen)
            add(f"{name} in ({', '.join('?' * len(of))})", *of)
    if wanted.place is not None:
        add('topic = ? and "partition" = ? and "offset" = ?', *wanted.place)
    return " and ".join(parts) or "true", values


def newest(wanted: AuditFilter, limit: int) -> tuple[str, Sequence[Any]]:
    """Return the query for the newest records that are asked for, the newest first.

    Args:
        wanted: What is asked for.
        limit: How many at most; 0: all.
    """
    where, values = condition(wanted)
    sql = (
        f"select {_NAMES} from {TABLE} where {where} "  # noqa: S608 - values are parameters
        f"order by decided_at desc, {PARTITION} desc, {OFFSET} desc"
    )
    if limit:
        return f"{sql} limit ?", [*values, limit]
    return sql, values


def of_events(event_ids: Sequence[str]) -> tuple[str, Sequence[Any]]:
    """Return the query for all records of some events, in the order of the topic."""
    texts = [_unicode(text) for text in event_ids]
    some = ", ".join("?" * len(texts))
    sql = (
        f"select {_NAMES} from {TABLE} where {KEYS['event_id']} in ({some}) "  # noqa: S608 - as above
        f"and {quoted('event_id')} in ({some}) order by {PARTITION}, {OFFSET}"
    )
    return sql, [*(key_of(text) for text in texts), *texts]


def count(wanted: AuditFilter, most: int) -> tuple[str, Sequence[Any]]:
    """Return the query for how many records are asked for, counted up to a number.

    PostgreSQL looks at each of them, so counting all takes the longer the more there are.
    """
    where, values = condition(wanted)
    some = f"select 1 from {TABLE} where {where} limit ?"  # noqa: S608 - as above
    return f"select count(*) from ({some}) as some_of_them", [*values, most]  # noqa: S608 - as above


def latest() -> tuple[str, Sequence[Any]]:
    """Return the query for when the newest decision was made."""
    return f"select max(decided_at) from {TABLE}", ()  # noqa: S608 - as above


def between(
    partition: int, begin: int, end: int, only: Condition = EVERY
) -> tuple[str, Sequence[Any]]:
    """Return the query for a partition's rows from an offset to before another, in their order."""
    where, values = only
    sql = (
        f"select {_NAMES} from {TABLE} where {PARTITION} = ? and {OFFSET} >= ? "  # noqa: S608 - as above
        f"and {OFFSET} < ? and {where} order by {OFFSET}"
    )
    return sql, (partition, begin, end, *values)


def keys_between(partition: int, begin: int, end: int) -> tuple[str, Sequence[Any]]:
    """Return the query for the texts of `KEYS` and the numbers in their place, of the rows as of `between`."""
    names = ", ".join(f"{quoted(name)}, {key}" for name, key in KEYS.items())
    sql = (
        f"select {names} from {TABLE} where {PARTITION} = ? "  # noqa: S608 - as above
        f"and {OFFSET} >= ? and {OFFSET} < ?"
    )
    return sql, (partition, begin, end)


def _unicode(text: str) -> str:
    # A text of the command line may hold what is no Unicode; no record does.
    return text.encode("utf-8", "replace").decode()
