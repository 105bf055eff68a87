"""Room `ledger`: what of a partition is received, settled and may be committed. Core: touches nothing.

One ledger per partition and assignment: after a rebalance the partition may
come back with a new ledger, and what was received under the old one settles
into the void: nobody writes for it any more. Offsets here are those of records; the +1 that
Kafka's commit wants happens once, at the commit (invariant 2). Offsets have
gaps: read_committed hides control and aborted records.

All is told by three things: the undecided records in their order, the last
record received, and what a former owner settled beyond that one. Everything
between that is not undecided is settled or is never delivered.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection, Iterable, Iterator
from enum import Enum, auto
from itertools import islice
from typing import NamedTuple

from completion_relay.offset_map import encode, longest, weight

INTAKE_LIMIT = 3_000
"""Characters of metadata beyond which a partition takes no more records.

The intake asks before each record, so one at most comes on top of that: 20 characters in Base64,
however far its offset is from the one before (`offset_map.weight`). The rest of the 4,096 that Kafka
takes is a reserve, which costs little: a dense partition takes 15,000 records all the same.
"""


class Receipt(Enum):
    """What is to be done with a delivered record."""

    NEW = auto()
    """To be decided, then settled."""
    SETTLED_BEFORE = auto()
    """Settled by a former owner of the partition: nothing, it must not be decided again."""
    REFETCHED = auto()
    """Delivered before in this assignment: the offsets were reset, this may be another record."""


class Position(NamedTuple):
    """How far a partition is settled."""

    offset: int
    """The last record of those that are settled without a hole; the commit is of `offset + 1`."""
    metadata: str
    """What is settled ahead of that, for the commit of `offset + 1` (`offset_map.decode`)."""


class _Undecided(NamedTuple):
    previous: int
    """The offset of the record that was received before this one, or of what was settled then up to it."""
    number: int
    """How many records were received before."""
    weight: int
    """What those may take in the metadata, in sum."""
    size: int
    """Bytes of its key, value and headers."""
    at: float
    """When it was received."""


class PartitionLedger:
    """One partition during one assignment."""

    def __init__(
        self,
        *,
        epoch: int,
        window: int,
        window_bytes: int,
        begin: int,
        settled_ahead: Iterable[range] = (),
    ) -> None:
        """Start with nothing received.

        Args:
            epoch: Which assignment this is; grows with each.
            window: How many records, from the first undecided one on, may be received
                before the partition is full.
            window_bytes: How many bytes its undecided records may have before it is full.
            begin: The offset that the partition is read from: the committed one, or
                the partition's first where that is gone or was never written.
            settled_ahead: What is settled from there on: `offset_map.decode` of the
                committed offset and its metadata.
        """
        self.epoch = epoch
        self._window = window
        self.window_bytes = window_bytes
        self._undecided: OrderedDict[int, _Undecided] = OrderedDict()
        """In order of offsets; the first one is found in constant time, unlike in a dict."""
        self._received = 0
        self._weight = 0
        self._bytes = 0
        """Of the undecided records."""
        self._received_through = begin - 1
        self._settled_ahead = deque(settled_ahead)
        """By a former owner; ranges that end before the last received record are gone."""
        self._inherited_through = (
            self._settled_ahead[-1].stop - 1 if self._settled_ahead else begin - 1
        )

    def receive(self, offset: int, *, size: int, at: float) -> Receipt:
        """Take note of a delivered record.

        Kafka delivers a partition's records in order, so all that is not beyond
        the last one has been seen.

        Args:
            offset: Of the record.
            size: Its bytes, which count until it is settled.
            at: When it was received, seconds on any clock.
        """
        previous = self._received_through
        if offset <= previous:
            return Receipt.REFETCHED
        number, weight_before = self._received, self._weight
        self._received_through = offset
        self._received += 1
        self._weight += weight(offset - previous)
        ahead = self._settled_ahead
        while ahead and ahead[0].stop <= offset:
            # Its records may be gone by now, and were counted all the same: see `position`.
            previous = _through(ahead.popleft(), previous)
        if ahead and offset in ahead[0]:
            return Receipt.SETTLED_BEFORE
        self._undecided[offset] = _Undecided(previous, number, weight_before, size, at)
        self._bytes += size
        return Receipt.NEW

    def settle(self, offset: int) -> None:
        """Take note that a received record has its final outcome.

        That outcome must be durable, together with a position that says so (invariant 1).

        Raises:
            ValueError: the record was not received, or is settled already.
        """
        record = self._undecided.pop(offset, None)
        if record is None:
            raise ValueError(f"offset {offset} is not undecided in this ledger")
        self._bytes -= record.size

    def is_settled(self, offset: int) -> bool:
        """Whether nothing of a record is left to decide; also where there is none and later ones came."""
        if offset <= self._received_through:
            return offset not in self._undecided
        return any(offset in run for run in self._settled_ahead)

    def position(self, also: Collection[int] = ()) -> Position:
        """What to commit once these offsets are settled too; they are not, by this.

        Never moves back. Takes time by the undecided records, not by the received ones.
        """
        left = [item for item in self._undecided.items() if item[0] not in also]
        if left:
            prefix = left[0][1].previous
        else:
            prefix = self._received_through
            # Whoever reads on there finds nothing to decide, and so nothing to commit.
            for run in self._settled_ahead:
                prefix = _through(run, prefix)
        return Position(prefix, encode(prefix + 1, self._settled_beyond(prefix, left)))

    @property
    def undecided(self) -> int:
        """How many received records are not settled."""
        return len(self._undecided)

    def bytes_of(self, offset: int) -> int:
        """Return the bytes of an undecided record; 0 of any other."""
        record = self._undecided.get(offset)
        return 0 if record is None else record.size

    @property
    def oldest_undecided(self) -> int | None:
        """The first received record that is not settled; None: all are."""
        return next(iter(self._undecided), None)

    def first_undecided(self, count: int) -> list[tuple[int, float]]:
        """Return so many of the first undecided records at most: offset, and when it was received."""
        first = islice(self._undecided.items(), count)
        return [(offset, record.at) for offset, record in first]

    @property
    def oldest_undecided_since(self) -> float | None:
        """When that record was received; None: all are settled."""
        first = self._first
        return None if first is None else first.at

    @property
    def is_full(self) -> bool:
        """Whether to take no more records for now.

        Full is a used up window, settled records behind an open one included; or
        undecided records of `window_bytes`, which the last of them may exceed, so
        that none is too large to be taken; or metadata that could grow beyond
        `INTAKE_LIMIT` if just the wrong ones of these were settled. The latter does
        not stop records that a former owner had received as well: its map has their
        place. Never full without an undecided record, so there is always one whose
        decision makes room.
        """
        first = self._first
        if first is None:
            return False
        if self._bytes >= self.window_bytes or self._received - first.number >= self._window:
            return True
        if self._received_through < self._inherited_through:
            return False
        return longest(self._weight - first.weight) > INTAKE_LIMIT

    @property
    def next_offset(self) -> int:
        """Where to read on: beyond the last received record."""
        return self._received_through + 1

    @property
    def _first(self) -> _Undecided | None:
        return next(iter(self._undecided.values()), None)

    def _settled_beyond(
        self, prefix: int, left: Iterable[tuple[int, _Undecided]]
    ) -> Iterator[range]:
        """Settled offsets beyond the prefix; a gap between two received records counts as such."""
        hole: int | None = None
        for offset, record in left:
            # More than a gap between the two: a record that is settled.
            if hole is not None and record.previous > hole:
                yield range(hole + 1, offset)
            hole = offset
        received = self._received_through + 1
        if hole is not None and received > hole + 1:
            yield range(hole + 1, received)
        received = max(received, prefix + 1)
        for run in self._settled_ahead:
            if run.stop > received:
                yield range(max(run.start, received), run.stop)


def _through(run: range, settled: int) -> int:
    """Return the last settled offset, where all to `settled` are and those of the run."""
    return max(settled, run.stop - 1) if run.start <= settled + 1 else settled
