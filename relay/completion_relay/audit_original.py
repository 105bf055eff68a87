"""Room `audit_story`: an event's own records, by position. Touches `topic_reader`.

Of a record it is told when it was written, how large and of what type it is;
never what is in it (promise 4).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import TopicPartition

from completion_relay.topic_admin import TopicError
from completion_relay.topic_reader import Record, TopicReader

_LOOK_SECONDS: Final = 15.0
_SHOWN_OF_A_TYPE: Final = 100

Position = tuple[str, int, int]
"""Topic, partition and offset."""


@dataclass(frozen=True, slots=True)
class Original:
    """An event's own record, seen from outside."""

    timestamp_ms: int
    """When it was written, milliseconds since the epoch, as Kafka keeps it."""
    size: int
    """Key, value and headers, bytes."""
    content_type: str
    """Empty where it says none."""


async def originals(
    options: Mapping[str, Any], positions: Iterable[Position]
) -> tuple[dict[Position, Original | None], dict[str, str]]:
    """Return the records at these positions, and of which topics not all of them were read, and why.

    None stands for a record that is not there any more.

    Raises:
        KafkaError: Kafka cannot be reached, or refuses.
    """
    wanted = dict.fromkeys(positions)
    found: dict[Position, Original | None] = {}
    not_read = {}
    for topic in sorted({topic for topic, _, _ in wanted}):
        try:
            async with asyncio.timeout(_LOOK_SECONDS), TopicReader.open(options, topic) as reader:
                for position in [position for position in wanted if position[0] == topic]:
                    record = await reader.record_at(TopicPartition(*position[:2]), position[2])
                    found[position] = None if record is None else _seen(record)
        except TopicError:
            not_read[topic] = "is not there, or this user may not see it"
        except TimeoutError:
            not_read[topic] = f"took more than {_LOOK_SECONDS:g} s"
    return found, not_read


def _seen(record: Record) -> Original:
    headers = [(name, value or b"") for name, value in record.headers]
    said = next((value for name, value in headers if name.lower() == "content-type"), b"")
    return Original(
        record.timestamp,
        len(record.key or b"")
        + len(record.value or b"")
        + sum(len(name.encode()) + len(value) for name, value in headers),
        said.decode("utf-8", "replace")[:_SHOWN_OF_A_TYPE],
    )
