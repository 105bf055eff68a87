"""Room `status`: the first undecided record of each partition. Touches the room `undecided`.

Bounded in time, whatever is in the way.
"""

from __future__ import annotations

import asyncio
import contextlib

from aiokafka import TopicPartition

from completion_relay.topic_reader import TopicReader
from completion_relay.undecided.record import Undecided, undecided_record
from completion_relay.undecided.spans import Spans, first_undecided


async def first_of(
    reader: TopicReader, spans: Spans, *, parked_of: str, within: float
) -> dict[TopicPartition, Undecided | None]:
    """Return the first undecided record of each span; None: there is none.

    What a span counts may be the markers of transactions alone, which are no records.

    Args:
        reader: The opened topics.
        spans: Where to look.
        parked_of: The topic that records are parked of.
        within: Seconds; what is not known by then is left out.
    """
    found: dict[TopicPartition, Undecided | None] = {}
    try:
        async with (
            asyncio.timeout(within),
            contextlib.aclosing(first_undecided(reader, spans)) as records,
        ):
            async for record in records:
                at = TopicPartition(record.topic, record.partition)
                found[at] = undecided_record(record, parked_of=parked_of)
    except TimeoutError:
        return found
    return dict.fromkeys(spans) | found
