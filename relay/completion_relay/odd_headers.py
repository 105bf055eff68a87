"""Room `consumer`: records whose headers have names that are not UTF-8 are read like any others.

aiokafka 0.14 decodes the names in a batch's iterator, strictly. The UnicodeDecodeError comes out of
`getmany()`, which reads the same batch again at the next try: one such record, and nothing of its
partition is read any more. A broker looks at no header's name, and a C client may write any bytes.
A batch that cannot be read at all is an error that says where it is: aiokafka's own stops every partition.
Touches aiokafka, two private names of its fetcher.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord, TopicPartition

_LENGTH = struct.Struct(">8xi")
"""Of any batch: its first offset, and how many bytes come behind this (`memory_records.py`)."""


class UnreadableBatchError(CorruptRecordException):  # type: ignore[misc]
    """A batch is there and cannot be read: its bytes are damaged, or a codec is missing."""

    def __init__(self, partition: TopicPartition, offset: int, why: Exception) -> None:
        """Name it.

        Args:
            partition: Where it is.
            offset: The first one that cannot be read.
            why: What reading it raised.
        """
        self.partition = partition
        place = f"{partition.topic}/{partition.partition}/{offset}"
        super().__init__(f"the batch at {place} cannot be read: {why!r}")

    def __str__(self) -> str:
        """Return the text alone: aiokafka puts a number and a name before it."""
        return str(self.args[0])


def read_odd_headers() -> None:
    """Let the consumers of this process read any header name: U+FFFD for what is not UTF-8.

    To be called by whoever makes a consumer, as often as it likes. It cannot be for one
    consumer alone: the fetcher has the two classes from its module, at each fetch. What aiokafka
    can read it reads as ever, and as fast: a batch costs one call more, a record nothing. A batch
    that is corrupt stays an error, an `UnreadableBatchError`.
    """
    fetcher.MemoryRecords = _Batches
    fetcher.PartitionRecords = _Records


class _Records(PartitionRecords):  # type: ignore[misc]
    """What was fetched of a partition, as aiokafka has it, except for a batch that it cannot decode."""

    _records: Any

    def _unpack_records(self) -> Iterator[ConsumerRecord]:
        begin = self.next_fetch_offset
        try:
            yield from self._any_names()
        except Exception as error:
            if self.next_fetch_offset > begin:
                # What came before it would be dropped with the error. The next fetch begins here.
                return
            raise UnreadableBatchError(self._tp, self.next_fetch_offset, error) from error

    def _any_names(self) -> Iterator[ConsumerRecord]:
        records = self._records
        while True:
            try:
                yield from super()._unpack_records()
            except (UnicodeDecodeError, CorruptRecordException) as error:
                if not _is_of_a_name(error):
                    raise
            else:
                return
            # The iterator that raised has ended. What it knew of transactions and of the next offset
            # is here: those after it leave out what came out of this batch before.
            self._records = _Alone(_AnyNames(records.latest()))
            yield from super()._unpack_records()
            self._records = records


def _is_of_a_name(error: Exception) -> bool:
    # aiokafka without its C extension wraps whatever it comes across. Nothing else is decoded there.
    return isinstance(error, UnicodeDecodeError) or isinstance(error.__cause__, UnicodeDecodeError)


class _Batches(MemoryRecords):  # type: ignore[misc]
    """The batches of a fetch, as aiokafka has them; the bytes of the latest can be had."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._data = data
        self._at = 0
        """Where the first batch begins of those that `_taken` counts."""
        self._taken = 0

    def next_batch(self) -> Any:
        self._taken += 1
        return super().next_batch()

    def latest(self) -> bytes:
        """Return the bytes of the batch that was taken last; once for each."""
        begin = self._at
        for _ in range(self._taken):
            begin = self._at
            self._at += _LENGTH.size + _LENGTH.unpack_from(self._data, begin)[0]
        self._taken = 0
        return self._data[begin : self._at]


class _Alone:
    """One batch, as the batches of a fetch."""

    def __init__(self, batch: _AnyNames) -> None:
        self._left = [batch]

    def has_next(self) -> bool:
        return bool(self._left)

    def next_batch(self) -> _AnyNames:
        return self._left.pop()


class _AnyNames(_DefaultRecordBatchPy):  # type: ignore[misc]
    """aiokafka's batch in Python, over bytes that can always be decoded."""

    _buffer: Any

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _Decodable(self._buffer)


class _Decodable(bytearray):
    """Bytes of which each part is decoded with U+FFFD for what cannot be; the names alone are."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Decodable(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)
