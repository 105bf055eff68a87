"""Room `consumer`: what was fetched of a partition and is not begun, with its bytes. Touches nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from aiokafka.structs import ConsumerRecord

from completion_schemas.record import size_of


class Fetched:
    """One partition's, first come, first begun. The ledger does not know these records yet."""

    __slots__ = ("_records", "bytes")

    def __init__(self) -> None:
        """Hold nothing."""
        self._records: deque[tuple[ConsumerRecord, int]] = deque()
        self.bytes = 0
        """Of all of them: keys, values and headers."""

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._records)

    def extend(self, records: Iterable[ConsumerRecord]) -> None:
        """Take in what was fetched, in its order."""
        for record in records:
            size = size_of(record.key, record.value, record.headers)
            self._records.append((record, size))
            self.bytes += size

    def popleft(self) -> tuple[ConsumerRecord, int]:
        """Give the first record away, and its bytes.

        Raises:
            IndexError: there is none.
        """
        record, size = self._records.popleft()
        self.bytes -= size
        return record, size

    def clear(self) -> None:
        """Let go of all of them."""
        self._records.clear()
        self.bytes = 0
