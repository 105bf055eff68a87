"""Room `events`: Avro's binary encoding of primitive values. Touches nothing.

Reading is our own and not fastavro's, because the event is recursive and comes
from anybody: 15 kB of nested causes end the process in fastavro 1.13's C code
(segmentation fault, no exception), and it takes a negative union index for one
counted from the end. Whatever bytes come, these raise DecodeError or return.
"""

from __future__ import annotations

from collections.abc import Iterator

from completion_schemas.errors import DecodeError


def put_long(out: bytearray, number: int) -> None:
    """Append an int or long: zigzag, seven bits a byte."""
    left = (number << 1) ^ (number >> 63)
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)


def put_bytes(out: bytearray, data: bytes) -> None:
    """Append bytes."""
    put_long(out, len(data))
    out += data


def put_string(out: bytearray, text: str) -> None:
    """Append a string."""
    put_bytes(out, text.encode())


def put_boolean(out: bytearray, value: bool) -> None:  # noqa: FBT001 - it is the value
    """Append a boolean."""
    out.append(value)


class Cursor:
    """Reads one value after another; every method raises DecodeError for what is none."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def end(self) -> None:
        """Raise unless everything was read."""
        if self._at != len(self._data):
            raise DecodeError(
                f"the value is not Avro of this schema: {len(self._data) - self._at} bytes are left over"
            )

    def long(self) -> int:
        """Return an int or long."""
        number = shift = 0
        while True:
            if self._at >= len(self._data):
                raise _too_short()
            byte = self._data[self._at]
            self._at += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 63:
                raise DecodeError("the value is not Avro of this schema: a number is too long")
        if number >> 64:
            raise DecodeError("the value is not Avro of this schema: a number is too large")
        return (number >> 1) ^ -(number & 1)

    def bytes(self) -> bytes:
        """Return bytes."""
        length = self.long()
        end = self._at + length
        if length < 0 or end > len(self._data):
            raise _too_short()
        data = self._data[self._at : end]
        self._at = end
        return data

    def string(self) -> str:
        """Return a string."""
        try:
            return self.bytes().decode()
        except UnicodeDecodeError:
            raise DecodeError(
                "the value is not Avro of this schema: a string is not UTF-8"
            ) from None

    def boolean(self) -> bool:
        """Return a boolean."""
        if self._at >= len(self._data):
            raise _too_short()
        byte = self._data[self._at]
        self._at += 1
        if byte > 1:
            raise DecodeError("the value is not Avro of this schema: a boolean is not 0 or 1")
        return byte == 1

    def branch(self, count: int) -> int:
        """Return the index of a union of so many types."""
        index = self.long()
        if not 0 <= index < count:
            raise DecodeError("the value is not Avro of this schema: a union has no such branch")
        return index

    def items(self) -> Iterator[None]:
        """Yield once for each item of an array or map; the caller reads it."""
        while count := self.long():
            if count < 0:
                # A block that also says its size in bytes, for skipping: not needed here.
                count = -count
                self.long()
            for _ in range(count):
                yield


def _too_short() -> DecodeError:
    return DecodeError("the value is not Avro of this schema: it ends too early")
