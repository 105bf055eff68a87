"""Room `audit_index`: what a database must do, and what can go wrong. Core: touches nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from completion_relay.audit_index.columns import Row
from completion_schemas.errors import CompletionError


class AuditIndexError(CompletionError):
    """The database cannot be used; the message says which, why, and what to do."""


class NoIndexError(AuditIndexError):
    """There is no index in the database yet."""


class AwayError(AuditIndexError):
    """It cannot be had now, and may be later: it is away, or somebody else has it open."""


class OtherTopicError(AuditIndexError):
    """The index is of another topic, or of one that was made anew since."""


class OvertakenError(AuditIndexError):
    """Another indexer has written since this one read how far the index is."""


class Source(NamedTuple):
    """Of which topic an index is."""

    topic: str
    cluster: str
    """The id that Kafka gives itself; empty where it gave none. Topics of other clusters have the same names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a partition of the topic is in the index."""

    begin: int
    """The first offset that was looked at."""
    next: int
    """The offset to go on from."""
    records: int = 0
    """How many rows it has."""
    unreadable: int = 0
    """How many records there were that are no audit records, and have no row."""
    first_unreadable: int | None = None
    """The offset of the first of them; None: there was none."""
    checksum: int = 0
    """Of its rows, modulo `checksum.MODULUS`."""
    last: int | None = None
    """The offset of its last row; None: it has none. By that row one tells whether the topic is still the same."""
    last_digest: str = ""
    """Of that row."""


@dataclass(slots=True, kw_only=True)
class Chunk:
    """Records of one partition that follow one another, to be written."""

    partition: int
    expected: int | None
    """Where the index must be, `Progress.next`; None: it has nothing of the partition. It says whether
    somebody else has written, or made the index anew."""
    begin: int
    """The first offset that was looked at: beyond `expected` where the topic has deleted some."""
    next: int
    """The offset to go on from afterwards."""
    rows: list[Row] = field(default_factory=list)
    unreadable: int = 0
    first_unreadable: int | None = None
    checksum: int = 0
    """Of the rows."""


Query = tuple[str, Sequence[object]]
"""SQL, with `?` for values, and the values."""
Condition = tuple[str, Sequence[object]]
"""What comes after `where`, with `?` for values, and the values."""
EVERY: Final[Condition] = ("true", ())


class Store(Protocol):
    """A database with the audit trail in it. Each method may block: they are not for the event loop."""

    @property
    def name(self) -> str:
        """What it is called where a person reads it: without a password."""

    def prepare(self, topic: str, *, cluster: str = "", rebuild: bool = False) -> None:
        """Make the tables, or bring those of an earlier version up to this one.

        Args:
            topic: The audit topic's name.
            cluster: The id of the Kafka that has it; empty: not known, and any.
            rebuild: Throw away what is there.

        Raises:
            OtherTopicError: the index is another topic's.
            AuditIndexError: the database cannot be used.
        """

    def progress(self) -> dict[int, Progress]:
        """Return how far each partition is; one of which nothing was looked at is not there.

        Raises:
            NoIndexError: there is no index yet.
            AuditIndexError: the database cannot be used.
        """

    def look(
        self, queries: Sequence[Query]
    ) -> tuple[Source, dict[int, Progress], list[tuple[Any, ...]]]:
        """Return of what the index is, how far it is, and what all the queries find, at one moment.

        Raises:
            NoIndexError: there is no index yet.
            AuditIndexError: the database cannot be used, or its index is of an older version.
        """

    def write(self, chunks: Sequence[Chunk]) -> None:
        """Add records and move the progress on, both or neither.

        Args:
            chunks: At most one of a partition.

        Raises:
            OvertakenError: a partition is not where its chunk expects it; nothing was written.
            AuditIndexError: the database cannot be used.
        """

    def select(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return what a query finds.

        Args:
            sql: What both databases understand, with `?` where values go.
            values: These.

        Raises:
            NoIndexError: there is no index yet.
            AuditIndexError: the database cannot be used.
        """

    def rows(
        self, partition: int, begin: int, end: int, *, only: Condition = EVERY
    ) -> Iterator[Row]:
        """Yield a partition's rows from an offset to before another, in the order of their offsets.

        Args:
            partition: Of the audit topic.
            begin: The first offset.
            end: The one after the last.
            only: Which of them.

        Raises:
            NoIndexError: there is no index yet.
            AuditIndexError: the database cannot be used.
        """
