"""Room `parking`: records that are there more than once, by their position. Core: touches nothing.

Whoever parks a record settles it where it was, in one transaction. But once a group's offsets are lost, or
set back, a record that was parked is read where it was first, too, and all its copies are on the parked topic.
The last of these counts, for it knows the most: what has been tried, and what an operator said. (An event
that was parked, and skipped there, was applied by its first record's side.)
"""

from __future__ import annotations

from typing import Final

from completion_relay.ledger import PartitionLedger
from completion_schemas.record import Headers, KafkaRecord

_BITS: Final = 64
_MASK: Final = 2**_BITS - 1


class Copies:
    """Those of the events of one partition, as they were found when it was taken."""

    __slots__ = ("_last", "_to_come")

    def __init__(self) -> None:
        """Know of none."""
        self._last: dict[int, int] = {}
        """By the offset where an event was first, the last copy's with its fingerprint, as one number."""
        self._to_come: set[int] = set()

    def note(self, first: int, *, at: int, what: int, is_to_come: bool) -> None:
        """Take note of a copy whose event is there more than once.

        Args:
            first: The offset where its event was first.
            at: The copy's own, on the parked topic: later than those noted before.
            what: Its `fingerprint`.
            is_to_come: Whether its first record will be read again.
        """
        self._last[first] = at << _BITS | what
        if is_to_come:
            self._to_come.add(first)

    def awaits(self, first: int, events: PartitionLedger) -> bool:
        """Whether the copies have to wait for their first record.

        Who found the copy decided and that one not, after a crash between the two, would decide it anew.

        Args:
            first: The offset where it was.
            events: That partition's.
        """
        return first in self._to_come and not events.is_settled(first)

    def has_later(self, first: int, record: KafkaRecord, *, at: int | None) -> bool:
        """Whether another copy counts instead of a record.

        Args:
            first: The offset where its event was first.
            record: What is there: of a topic that was made anew it may be something else.
            at: The copy's offset on the parked topic; None: it is the first record itself.
        """
        last = self._last.get(first)
        if last is None or (at is not None and at >= last >> _BITS):
            return False
        return fingerprint(record.key, record.value, record.headers) == last & _MASK


def fingerprint(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """Return a number by which this process knows the same record again."""
    return hash((key, value, tuple(headers))) & _MASK
