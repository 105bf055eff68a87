"""Room `replay`: sends what a plan has found, or writes it to a file. Touches Kafka and files, through the rooms it puts together."""

from __future__ import annotations

import contextlib
import time
from asyncio import sleep
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from completion_relay.replay.again import Kept
from completion_relay.replay.file import Export
from completion_relay.replay.headers import Position
from completion_relay.replay.plan import Sieve, Treated, Treatment
from completion_relay.replay.reading import Reading, Step, silent
from completion_relay.replay.sender import Sender

_CHUNK_RECORDS: Final = 500
_CHUNK_BYTES: Final = 4 * 1024 * 1024


@dataclass(slots=True)
class Result:
    """What was done."""

    sent: int = 0
    over_cap: int = 0
    too_large: list[Treated] = field(default_factory=list)
    origins: set[Position] = field(default_factory=set)
    """Where the sent events were first; kept only where they are followed."""


async def export(
    reading: Reading, to: Export, result: Result, *, parked: Export | None, step: Step = silent
) -> None:
    """Write the events to a file instead of sending them.

    Args:
        reading: What was planned.
        to: The file.
        result: Where what was done is noted.
        parked: Where events over the cap go; None: nowhere.
        step: Told how many were written.

    Raises:
        KafkaError: Kafka cannot be reached, or refuses.
    """
    async with contextlib.aclosing(reading.read()) as batches:
        async for batch in batches:
            for treated in _wanted(reading.sieve, batch.records, result, parked):
                to.write(treated.kept)
                result.sent += 1
                step(1)


async def send(
    reading: Reading,
    result: Result,
    *,
    rate: float | None,
    parked: Export | None,
    is_followed: bool,
    step: Step = silent,
) -> None:
    """Send what is left, each event once whatever happens.

    Args:
        reading: What was planned.
        result: Where what was done is noted, also of a run that is interrupted.
        rate: Events a second at most; None: as fast as they can be read.
        parked: Where events over the cap go; None: nowhere.
        is_followed: Whether their origins are kept in `result`.
        step: Told how many were sent.

    Raises:
        ReplayError: another run of the same replay has begun, meanwhile or since the plan, or this one stood
            still for too long.
        KafkaError: Kafka cannot be reached, or refuses.
    """
    order, pace = reading.order, _Pace(rate)
    sender = Sender(reading.options, order.name, order.changes, reading.progress_topic)
    try:
        # Another run that has begun otherwise meanwhile is not ended for a plan that does not hold any more.
        reading.check(await reading.progress())
        await sender.open()
        # Asked again: a transaction of an earlier run may have been under way until now.
        sender.marks = await reading.progress()
        reading.check(sender.marks, has_ended_it=True)
        if sender.marks == reading.finished:
            await sender.begin(reading.marks)
        reached: dict[int, int] = {}
        async with contextlib.aclosing(reading.read_on(sender.marks)) as batches:
            async for batch in batches:
                wanted = list(_wanted(reading.sieve, batch.records, result, parked))
                reached |= batch.reached
                chunks = list(_chunks(wanted, pace.records))
                for number, chunk in enumerate(chunks, 1):
                    sent = await sender.put(chunk, reached if number == len(chunks) else {})
                    result.sent += sent
                    if is_followed:
                        result.origins.update(treated.kept.origin for treated in chunk)
                        # Nobody decides what its topic did not take.
                        result.origins.difference_update(
                            one.kept.origin for one in sender.too_large
                        )
                    step(sent)
                    await pace.after(len(chunk))
        await sender.put((), {number: mark.span.end for number, mark in sender.marks.items()})
    finally:
        result.too_large = sender.too_large
        await sender.close()


def _wanted(
    sieve: Sieve, records: Sequence[Kept], result: Result, parked: Export | None
) -> Iterator[Treated]:
    for treated in map(sieve.treat, records):
        if treated.treatment is Treatment.SEND:
            yield treated
        elif treated.treatment is Treatment.OVER_CAP:
            result.over_cap += 1
            if parked is not None:
                parked.write(treated.kept)
    if parked is not None:
        parked.flush()


class _Pace:
    """So many events a second at most."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._next = time.monotonic()

    @property
    def records(self) -> int:
        """How many at most to send in one go: what a second takes."""
        return (
            _CHUNK_RECORDS if self._rate is None else max(1, min(_CHUNK_RECORDS, int(self._rate)))
        )

    async def after(self, count: int) -> None:
        """Wait until the next may go."""
        if self._rate is not None:
            self._next = max(self._next, time.monotonic() - 1.0) + count / self._rate
            await sleep(max(0.0, self._next - time.monotonic()))


def _chunks(treated: Sequence[Treated], most: int) -> Iterator[list[Treated]]:
    chunk: list[Treated] = []
    size = 0
    for one in treated:
        if chunk and (len(chunk) == most or size + one.kept.size > _CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(one)
        size += one.kept.size
    if chunk:
        yield chunk
