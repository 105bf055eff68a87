"""Room `audit_index`: the three tables, in the SQL that both databases have. Core: touches nothing.

What a database must do is given as a function that runs one statement in the
transaction that is open; so the two keep their books in the same way.
"""

# ruff: noqa: S608 - every name in these statements is one of ours, every value a parameter

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from completion_relay.audit_index.checksum import MODULUS, as_text, digest
from completion_relay.audit_index.columns import COLUMNS, REQUIRED, definitions, quoted
from completion_relay.audit_index.store import (
    AuditIndexError,
    Chunk,
    NoIndexError,
    OtherTopicError,
    OvertakenError,
    Progress,
    Query,
    Source,
)

Execute = Callable[[str, Sequence[object]], list[tuple[Any, ...]]]
"""Runs a statement with `?` where values go; returns the rows that it finds."""

TABLE: Final = "completion_audit"
"""The records, one row each."""
PROGRESS: Final = "completion_audit_progress"
"""How far each partition of the topic is in it."""
ABOUT: Final = "completion_audit_index"
"""One row: the layout's version, the topic, and the Kafka that has it."""
_LAYOUT: Final = 3
"""Of the tables. A column that an audit record gains is added without a new one. 1 had no `KEYS`, 2 no cluster
and no last row."""


def prepare(execute: Execute, name: str, source: Source, *, rebuild: bool) -> bool:
    """Make the tables, or bring those of an earlier version up to this one.

    Returns:
        Whether they are new.

    Raises:
        OtherTopicError: the index is another topic's.
        AuditIndexError: it is of a later layout.
    """
    if rebuild:
        for table in (ABOUT, PROGRESS, TABLE):
            execute(f"drop table if exists {table}", ())
    elif found := _about(execute):
        _check(name, found, source)
        _add_columns(execute)
        return False
    execute(f"create table {TABLE} ({', '.join(definitions())})", ())
    execute(
        f"create table {PROGRESS} (audit_partition integer primary key, begin_offset bigint, "
        "next_offset bigint, records bigint, unreadable bigint, first_unreadable bigint, checksum text, "
        "last_offset bigint, last_digest text)",
        (),
    )
    execute(f"create table {ABOUT} (layout integer, topic text, cluster text)", ())
    execute(f"insert into {ABOUT} values (?, ?, ?)", (_LAYOUT, *source))
    return True


def source_of(execute: Execute, name: str) -> Source:
    """Return of which topic the index is.

    Raises:
        NoIndexError: there is none.
        AuditIndexError: it is of another layout, or lacks a column that this version has.
    """
    found = _about(execute)
    if found is None:
        raise no_index(name)
    layout, source = found
    _check_layout(name, layout)
    if missing := {column.name for column in COLUMNS} - _columns(execute, TABLE):
        raise AuditIndexError(
            f"database {name}: its index is of an earlier version, without {', '.join(sorted(missing))}: "
            "run `completion-relay audit index` once, which adds it"
        )
    return source


def look(
    execute: Execute, name: str, queries: Sequence[Query]
) -> tuple[Source, dict[int, Progress], list[tuple[Any, ...]]]:
    """See `Store.look`; in one transaction, which sees one moment."""
    source = source_of(execute, name)
    return source, progress(execute), [row for query in queries for row in execute(*query)]


def no_index(name: str) -> NoIndexError:
    """Return what is said where there is no index."""
    return NoIndexError(
        f"database {name} has no index of the audit trail: make it with `completion-relay audit "
        f"index --database {name}`"
    )


def progress(execute: Execute) -> dict[int, Progress]:
    """Return how far each partition is."""
    found = execute(
        "select audit_partition, begin_offset, next_offset, records, unreadable, first_unreadable, "
        f"checksum, last_offset, last_digest from {PROGRESS}",
        (),
    )
    return {
        partition: Progress(
            begin=begin,
            next=at,
            records=records,
            unreadable=bad,
            first_unreadable=first_bad,
            checksum=int(checksum, 16),
            last=last,
            last_digest=last_digest,
        )
        for partition, begin, at, records, bad, first_bad, checksum, last, last_digest in found
    }


def move_on(execute: Execute, name: str, chunks: Sequence[Chunk]) -> None:
    """Move the progress on to the end of what is written in the same transaction.

    Raises:
        OvertakenError: a partition is not where its chunk begins.
    """
    before = progress(execute)
    for chunk in chunks:
        at = before.get(chunk.partition)
        if (None if at is None else at.next) != chunk.expected:
            is_, wanted = (
                "not there" if offset is None else f"at offset {offset}"
                for offset in (None if at is None else at.next, chunk.expected)
            )
            raise OvertakenError(
                f"database {name}: partition {chunk.partition} is {is_}, expected {wanted}: another "
                "indexer writes to it: run it again"
            )
        if at is None:
            at = Progress(begin=chunk.begin, next=chunk.begin)
            execute(
                f"insert into {PROGRESS} values (?, ?, ?, 0, 0, null, '0', null, '')",
                (chunk.partition, at.begin, at.next),
            )
        last, last_digest = at.last, at.last_digest
        if chunk.rows:
            last, last_digest = chunk.rows[-1][1], as_text(digest(chunk.rows[-1]))
        execute(
            f"update {PROGRESS} set next_offset = ?, records = ?, unreadable = ?, "
            "first_unreadable = ?, checksum = ?, "
            "last_offset = ?, last_digest = ? where audit_partition = ?",
            (
                chunk.next,
                at.records + len(chunk.rows),
                at.unreadable + chunk.unreadable,
                chunk.first_unreadable if at.first_unreadable is None else at.first_unreadable,
                as_text((at.checksum + chunk.checksum) % MODULUS),
                last,
                last_digest,
                chunk.partition,
            ),
        )


def _about(execute: Execute) -> tuple[int, Source] | None:
    there = _columns(execute, ABOUT)
    if not there:
        return None
    cluster = "cluster" if "cluster" in there else "''"
    found = execute(f"select layout, topic, {cluster} from {ABOUT}", ())
    return (found[0][0], Source(*found[0][1:])) if found else None


def _check(name: str, about: tuple[int, Source], wanted: Source) -> None:
    layout, source = about
    _check_layout(name, layout)
    check_source(name, source, wanted)


def _check_layout(name: str, layout: int) -> None:
    if layout > _LAYOUT:
        raise AuditIndexError(
            f"database {name}: its index is of layout {layout}, this version knows {_LAYOUT}: upgrade "
            "completion-relay, or make the index anew with --rebuild"
        )
    if layout < _LAYOUT:
        raise AuditIndexError(
            f"database {name}: its index is of layout {layout}, which was never released: make it anew "
            "with --rebuild"
        )


def check_source(name: str, found: Source, wanted: Source) -> None:
    """Raise unless an index is of the topic that is wanted.

    Raises:
        OtherTopicError: it is another topic's, or another Kafka's of the same name.
    """
    if found.topic != wanted.topic:
        raise OtherTopicError(
            f"database {name}: its index is of the topic {found.topic}, not of {wanted.topic}: give "
            "another --database, or make the index anew with --rebuild"
        )
    if found.cluster and wanted.cluster and found.cluster != wanted.cluster:
        raise OtherTopicError(
            f"database {name}: its index is of {found.topic} on the Kafka cluster {found.cluster}, not on "
            f"{wanted.cluster}: give another --database, or make the index anew with --rebuild"
        )


def _columns(execute: Execute, table: str) -> set[str]:
    found = execute(
        "select column_name from information_schema.columns "
        "where table_name = ? and table_schema = current_schema()",
        (table,),
    )
    return {name for (name,) in found}


def _add_columns(execute: Execute) -> None:
    there = _columns(execute, TABLE)
    for column in COLUMNS:
        if column.name in there:
            continue
        execute(f"alter table {TABLE} add column {quoted(column.name)} {column.kind}", ())
        if column.default not in (None, REQUIRED):
            # All that is there was written before there was the field.
            execute(f"update {TABLE} set {quoted(column.name)} = ?", (column.default,))
