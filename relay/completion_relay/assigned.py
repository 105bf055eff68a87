"""Room `consumer`: where a partition is read from when it is assigned, and what is held of it since. Touches nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from aiokafka.structs import ConsumerRecord, OffsetAndMetadata, TopicPartition

from completion_relay.fetched import Fetched
from completion_relay.journal import Journal
from completion_relay.ledger import PartitionLedger
from completion_relay.offset_map import MetadataError, decode
from completion_relay.parking import Order
from completion_relay.place import Place


@dataclass(slots=True)
class Assigned:
    """One partition of this member, from its assignment to its revocation."""

    partition: TopicPartition
    ledger: PartitionLedger
    journal: Journal
    order: Order
    """What is parked of the partition of this number; shared by the two that have it."""
    fetched: Fetched = field(default_factory=Fetched)
    """Records that are not begun."""
    turn_at: float = 0.0
    """When one of them was last begun, or the first came; seconds of the clock."""
    place: Place = field(default_factory=Place)
    """Where its events wait."""

    def hear(self, records: Iterable[ConsumerRecord], *, of: str) -> None:
        """Take note of what operators say, which does not wait for its records to be begun.

        Where every namespace is sick nothing is, and an event may well be why.

        Args:
            records: Fetched of the parked topic.
            of: The topic of the events.
        """
        for record in records:
            if record.value is None and not self.ledger.is_settled(record.offset):
                number = record.partition
                self.place.instructions.hear(None, record.headers, of=of, number=number)

    @property
    def oldest(self) -> int:
        """The offset of the oldest undecided record; of the next one to begin where all are decided."""
        undecided = self.ledger.oldest_undecided
        return self.ledger.next_offset if undecided is None else undecided

    def age(self, now: float) -> float:
        """Return for how many seconds the oldest undecided record has been one.

        Where nothing is begun although something is here, since it could have been.
        """
        since = self.ledger.oldest_undecided_since
        if since is None and self.fetched:
            since = self.turn_at
        return 0.0 if since is None else now - since

    def crowd(self, *, is_crowded: bool) -> None:
        """Take note whether the window is full."""
        crowded = self.place.crowded
        if is_crowded != crowded.is_set():
            (crowded.set if is_crowded else crowded.clear)()


@dataclass(frozen=True, slots=True)
class Start:
    """Where to read from."""

    offset: int
    """Of the first record to read."""
    settled_ahead: list[range]
    """What lies behind it and is decided."""
    problem: str | None
    """What an operator must know: other records are there, or the commit cannot be read."""
    deleted: str | None = None
    """What retention took from the committed offset on. No alarm: a quiet partition may end in
    transactions' markers, which it takes like records, and offsets do not tell them apart."""

    def is_to_come(self, offset: int, *, end: int) -> bool:
        """Whether a record that is there will be delivered, and decided, from here on.

        Args:
            offset: Its own.
            end: Where the partition ends.
        """
        return self.offset <= offset < end and not any(offset in run for run in self.settled_ahead)


def reached_by(committed: OffsetAndMetadata) -> int:
    """Return the offset behind the last record that a commit says is decided."""
    try:
        ahead = decode(committed.offset, committed.metadata)
    except MetadataError:
        ahead = []  # told where the partition is read from
    return ahead[-1].stop if ahead else int(committed.offset)


def start_of(committed: OffsetAndMetadata | None, *, beginning: int, end: int) -> Start:
    """Return where to read a partition from.

    Explicitly, because aiokafka's `auto_offset_reset` moves a position that is
    out of range without a word above INFO (facts C).

    Args:
        committed: What the group has committed; None: it is new to the partition.
        beginning: Offset of the oldest record that there still is.
        end: Offset of the next record to be written, asked for after the commit: what is decided lies
            before it, unless the log has lost its end.
    """
    if committed is None:
        return Start(beginning, [], None)
    if reached_by(committed) > end:
        # An event that is lost is worse than one that is decided twice: that changes nothing, but for an
        # event that an operator has skipped.
        ahead_of_it = (
            f", and up to {reached_by(committed)} decided" if committed.offset <= end else ""
        )
        return Start(
            beginning,
            [],
            f"committed is {committed.offset}{ahead_of_it}, but the partition ends at {end}: the log has "
            "lost its end, or the topic was made anew; what it has is decided (again) from "
            f"{beginning} on",
        )
    ahead: list[range] = []
    problem = deleted = None
    try:
        ahead = decode(committed.offset, committed.metadata)
    except MetadataError as error:
        problem = f"the commit's metadata cannot be read: {error}"
    if committed.offset < beginning:
        deleted = (
            f"records {committed.offset} to {beginning - 1}, or transaction markers, were deleted "
            "before all of them were decided: if they were records, the topic's retention is shorter "
            "than the backlog is old"
        )
        # What is decided beyond them stays so.
        ahead = [
            range(max(run.start, beginning), run.stop) for run in ahead if run.stop > beginning
        ]
    return Start(max(committed.offset, beginning), ahead, problem, deleted)
