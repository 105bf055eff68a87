"""Room `events`: a Kafka record as the codecs make and read it. Touches nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Headers = Sequence[tuple[str, bytes | None]]
"""Header names and values in their order, as aiokafka hands them over: names may repeat, values may be null."""


@dataclass(frozen=True, slots=True)
class KafkaRecord:
    """What is sent: key, value and headers; null is None."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()

    @property
    def size(self) -> int:
        """Bytes of key, value and headers."""
        return size_of(self.key, self.value, self.headers)


def size_of(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """Return the bytes of a record's key, value and headers, before any compression.

    Of a header's name its characters are counted, which is near enough for a bound.
    """
    size = len(key or b"") + len(value or b"")
    for name, content in headers:
        size += len(name) + len(content or b"")
    return size
