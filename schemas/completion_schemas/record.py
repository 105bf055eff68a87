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
