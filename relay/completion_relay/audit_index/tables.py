"""Room `audit_index`: the three tables, in the SQL that both databases have. Core: touches nothing.

What a database must do is given as a function that runs one statement in the
transaction that is open; so the two keep their books in the same way.
"""

# ruff: noqa: S608 - every name in these statements is one of ours, every value a parameter

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from completion_relay.audit_index.checksum import MODULUS, as_text
from completion_relay.audit_index.columns import COLUMNS, REQUIRED, definitions, quoted
from completion_relay.audit_index.store import (
    AuditIndexError,
    Chunk,
    NoIndexError,
    OtherTopicError,
    OvertakenError,
    Progress,
)

Execute = Callable[[str, Sequence[object]], list[tuple[Any, ...]]]
"""Runs a statement with `?` where values go; returns the rows that it finds."""

TABLE: Final = "completion_audit"
"""The records, one row each."""
PROGRESS: Final = "completion_audit_progress"
"""How far each partition of the topic is in it."""
ABOUT: Final = "completion_audit_index"
"""One row: the layout's version, and the topic."""
_LAYOUT: Final = 2
"""Of the tables. A column that an audit record gains is added without a new one. 1 had no `KEYS`."""


def prepare(execute: Execute, name: str, topic: str, *, rebuild: bool) -> bool:
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
        _check(name, found, topic)
        _add_columns(execute)
        return False
    execute(f"create table {TABLE} ({', '.join(definitions())})", ())
    execute(
        f"create table {PROGRESS} (audit_partition integer primary key, begin_offset bigint, "
        "next_offset bigint, records bigint, unreadable bigint, checksum text)",
        (),
    )
    execute(f"create table {ABOUT} (layout integer, topic text)", ())
    execute(f"insert into {ABOUT} values (?, ?)", (_LAYOUT, topic))
    return True


def topic_of(execute: Execute, name: str) -> str:
    """Return of which topic the index is.

    Raises:
        NoIndexError: there is none.
    """
    found = _about(execute)
    if found is None:
        raise no_index(name)
    return found[1]


def no_index(name: str) -> NoIndexError:
    """Return what is said where there is no index."""
    return NoIndexError(
        f"database {name} has no index of the audit trail: make it with `completion-relay audit "
        f"index --database {name}`"
    )


def progress(execute: Execute) -> dict[int, Progress]:
    """Return how far each partition is."""
    found = execute(
        "select audit_partition, begin_offset, next_offset, records, unreadable, checksum "
        f"from {PROGRESS}",
        (),
    )
    return {
        partition: Progress(
            begin=begin, next=at, records=records, unreadable=bad, checksum=int(checksum, 16)
        )
        for partition, begin, at, records, bad, checksum in found
    }


def progress_of(execute: Execute, name: str, topic: str) -> dict[int, Progress]:
    """Return how far each partition is, of an index that is of this topic; empty: of whichever it is.

    Raises:
        NoIndexError: there is none.
        OtherTopicError: it is another topic's.
    """
    found = topic_of(execute, name)
    if topic and found != topic:
        raise _other_topic(name, found, topic)
    return progress(execute)


def move_on(execute: Execute, name: str, chunks: Sequence[Chunk]) -> None:
    """Move the progress on to the end of what is written in the same transaction.

    Raises:
        OvertakenError: a partition is not where its chunk begins.
    """
    before = progress(execute)
    for chunk in chunks:
        at = before.get(chunk.partition)
        if at is None:
            at = Progress(begin=chunk.begin, next=chunk.begin)
            execute(
                f"insert into {PROGRESS} values (?, ?, ?, 0, 0, '0')",
                (chunk.partition, at.begin, at.next),
            )
        elif at.next != chunk.expected:
            raise OvertakenError(
                f"database {name}: partition {chunk.partition} is at offset {at.next}, not at "
                f"{chunk.expected}: another indexer writes to it: run it again"
            )
        execute(
            f"update {PROGRESS} set next_offset = ?, records = ?, unreadable = ?, checksum = ? "
            "where audit_partition = ?",
            (
                chunk.next,
                at.records + len(chunk.rows),
                at.unreadable + chunk.unreadable,
                as_text((at.checksum + chunk.checksum) % MODULUS),
                chunk.partition,
            ),
        )


def _about(execute: Execute) -> tuple[int, str] | None:
    if not _columns(execute, ABOUT):
        return None
    found = execute(f"select layout, topic from {ABOUT}", ())
    return (found[0][0], found[0][1]) if found else None


def _check(name: str, about: tuple[int, str], wanted: str) -> None:
    layout, topic = about
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
    if topic != wanted:
        raise _other_topic(name, topic, wanted)


def _other_topic(name: str, found: str, wanted: str) -> OtherTopicError:
    return OtherTopicError(
        f"database {name}: its index is of the topic {found}, not of {wanted}: give another "
        "--database, or make the index anew with --rebuild"
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
