"""Room `audit_trail`, the newest of it: its last records, and those that come. Touches the topic.

The last ones are read from the ends of the partitions backwards, in steps: who
wants ten of a hundred million reads some thousand. Who wants the last before a time
reads backwards from there, and first the little that is beyond and may be late.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from completion_relay.audit_filter import AuditFilter
from completion_relay.audit_scan import Hit, Horizon, Scanned, matching
from completion_relay.audit_trail import AuditTrail, Unreadable
from completion_relay.topic_admin import TopicError
from completion_relay.topic_reader import Offsets
from completion_schemas.audit import AuditRecord

DECIDED_AT: Final = frozenset({"decided_at"})
"""What `Newest` needs of a hit."""
MOST_OFFSETS: Final = 100_000
"""How far `last` goes back in all, in offsets."""
_FIRST_STEP: Final = 100
_LONGEST_STEP: Final = 10_000
_AGAIN_SECONDS: Final = 1.0


class Newest:
    """The newest decisions of those that were found; only these are decoded.

    Args:
        limit: How many; 0 is all.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._heap: list[tuple[int, int, int, Hit]] = []
        self.left_out = 0
        """How many older ones were found."""
        self.unreadable: list[Unreadable] = []

    def add(self, scanned: Scanned) -> None:
        """Take in what was found, in any order."""
        self.unreadable += scanned.unreadable
        for hit in scanned.hits:
            self._add(hit)

    def _add(self, hit: Hit) -> None:
        item = (hit.fields["decided_at"], hit.partition, hit.offset, hit)
        if self._limit and len(self._heap) == self._limit:
            heapq.heappushpop(self._heap, item)
            self.left_out += 1
        else:
            heapq.heappush(self._heap, item)

    @property
    def full_since(self) -> int | None:
        """When the oldest of them was decided, nanoseconds; None while there is room for more."""
        return self._heap[0][0] if self._heap and len(self._heap) == self._limit else None

    def records(self) -> list[AuditRecord]:
        """Return them, the oldest decision first."""
        found = []
        for *_, hit in sorted(self._heap, key=lambda item: item[:3]):
            record = hit.record()
            if isinstance(record, Unreadable):
                self.unreadable.append(record)
            else:
                found.append(record)
        return found


async def last(trail: AuditTrail, wanted: AuditFilter, lines: int) -> tuple[Newest, Offsets, bool]:
    """Read backwards from the end, or from a time, until nothing newer can come.

    Args:
        trail: The opened topic.
        wanted: What is asked for. Where that ends with a time, what was written after it is read as
            far as something late may be there (`Horizon`), and no further.
        lines: How many decisions.

    Returns:
        What was found, where the topic ended, and whether it was given up after `MOST_OFFSETS`
        before there were so many; what is late does not count.

    Raises:
        KafkaError: Kafka cannot be reached any more, or refuses.
    """
    end = await trail.end()
    newest = Newest(lines)
    begin = await trail.since(wanted.since, end)
    at = await _late(trail, wanted, begin, end, newest) if lines else dict(end)
    reading = {partition for partition in trail.partitions if at[partition] > begin[partition]}
    step = max(_FIRST_STEP, 2 * lines)
    gone_back = 0
    while lines and reading:
        if gone_back >= MOST_OFFSETS:
            return newest, end, True
        window = {p: max(begin[p], at[p] - step) if p in reading else at[p] for p in at}
        oldest: dict[TopicPartition, int] = {}
        async with contextlib.aclosing(trail.batches(window, dict(at))) as batches:
            async for partition, records in batches:
                oldest.setdefault(partition, records[0].timestamp)
                newest.add(matching(records, wanted, DECIDED_AT))
        gone_back += sum(at[p] - window[p] for p in at)
        at = window
        for partition in list(reading):
            # What is before was written earlier still, and decided before it was written. (To
            # the clocks: what is a second apart may change places here.)
            is_older = (
                newest.full_since is not None
                and partition in oldest
                and oldest[partition] * 10**6 < newest.full_since
            )
            if is_older or at[partition] <= begin[partition]:
                reading.discard(partition)
        step = min(_LONGEST_STEP, 2 * step)
    return newest, end, False


async def _late(
    trail: AuditTrail, wanted: AuditFilter, begin: Offsets, end: Offsets, newest: Newest
) -> dict[TopicPartition, int]:
    """Take in what was decided in time and written long after; return from where to go back.

    Args:
        trail: The opened topic.
        wanted: What is asked for.
        begin: What is before is not asked for.
        end: Where the topic ends.
        newest: Takes in what is found.
    """
    if wanted.until is None:
        return dict(end)
    horizon, until = await Horizon.of(trail, wanted.until, end), dict(end)
    beyond = {partition: max(begin[partition], at) for partition, at in horizon.after.items()}
    async with contextlib.aclosing(trail.batches(beyond, until)) as batches:
        async for partition, records in batches:
            newest.add(matching(horizon.within(partition, records, until), wanted, DECIDED_AT))
    return dict(horizon.after)


async def follow_trail(
    options: Mapping[str, Any],
    topic: str,
    begin: Offsets,
    wanted: AuditFilter,
    *,
    empty_fetch_pause_ms: int,
    say: Callable[[str], None],
) -> AsyncGenerator[Scanned, None]:
    """Yield what comes, without end, whatever becomes of Kafka meanwhile.

    Args:
        options: What `connections.kafka_options` returns.
        topic: The audit topic's name.
        begin: Where to begin.
        wanted: What is asked for.
        empty_fetch_pause_ms: The setting `kafka.empty_fetch_pause_ms`.
        say: Told when Kafka is away, and when it is back.
    """
    at = dict(begin)
    is_away = False
    while True:
        try:
            async with AuditTrail.open(
                options, topic, empty_fetch_pause_ms=empty_fetch_pause_ms
            ) as trail:
                if is_away:
                    is_away = False
                    say("Kafka is back.")
                # A partition that was added since has nothing that was seen before.
                start = {partition: at.get(partition, 0) for partition in trail.partitions}
                async with contextlib.aclosing(trail.batches(start, None)) as batches:
                    async for partition, records in batches:
                        at[partition] = records[-1].offset + 1
                        yield matching(records, wanted, DECIDED_AT)
        except (KafkaError, TopicError, OSError, TimeoutError) as error:
            if not is_away:
                is_away = True
                say(f"Kafka is away ({type(error).__name__}): trying again until it is back.")
            await asyncio.sleep(_AGAIN_SECONDS)
