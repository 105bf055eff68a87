"""What a replay that is taken up again finds of the range that it began with."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace

from tests.unit.relay.trails import MemoryTrail, decision

from completion_relay.replay.again import Changes
from completion_relay.replay.headers import Position
from completion_relay.replay.progress import Mark
from completion_relay.replay.reading import Order, Reading
from completion_relay.replay.selection import Selection, Span
from completion_relay.replay.source import Batch
from completion_relay.settings import Settings
from completion_schemas.audit import AuditRecord
from completion_schemas.times import UnixNanos


class Source:
    """A topic of one partition, of which retention has left something."""

    topic: str | None = "completions"

    def __init__(self, begin: int) -> None:
        self._there = Span(begin, 100)

    async def range(self, since: UnixNanos | None, until: UnixNanos | None) -> dict[int, Span]:
        raise NotImplementedError

    async def there(self, spans: Mapping[int, Span]) -> dict[int, Span]:
        return {number: span.within(self._there) for number, span in spans.items()}

    def read(self, spans: Mapping[int, Sequence[Span]]) -> AsyncGenerator[Batch, None]:
        raise NotImplementedError


async def prepared(
    selection: Selection,
    mark: Mark,
    *,
    begin: int,
    trail: MemoryTrail | None = None,
    known: Sequence[AuditRecord] = (),
) -> Reading:
    order = Order(selection=selection, changes=Changes("completions"), digest="d")
    reading = Reading(order, Settings(), {}, Source(begin), trail or MemoryTrail())
    reading.marks, reading.has_begun = {0: mark}, True
    await reading.prepare(known=known)
    return reading


async def test_what_retention_took_before_it_was_sent_is_counted() -> None:
    """Of 10 to 49 the first 10 were sent, and 20 to 24 are gone."""
    mark = Mark("d", Span(10, 50), 20)
    reading = await prepared(Selection(since=UnixNanos(1)), mark, begin=25)
    assert (reading.cut, reading.gone) == (5, 0)


async def test_what_retention_took_of_what_was_sent_is_not_missed() -> None:
    mark = Mark("d", Span(10, 50), 30)
    assert (await prepared(Selection(since=UnixNanos(1)), mark, begin=25)).cut == 0


async def test_all_that_was_left_may_be_gone() -> None:
    mark = Mark("d", Span(10, 50), 20)
    assert (await prepared(Selection(since=UnixNanos(1)), mark, begin=60)).cut == 30


async def test_only_offsets_that_were_asked_for_are_counted() -> None:
    asked = Selection(offsets=((0, Span(10, 12)), (0, Span(22, 24)), (0, Span(40, 50))))
    assert (await prepared(asked, Mark("d", Span(10, 50), 10), begin=25)).cut == 4


async def test_of_events_that_the_trail_names_those_alone_are_gone_that_were_not_sent() -> None:
    trail = MemoryTrail()
    for offset in (15, 22, 40):
        trail.append(replace(decision("e", decided=1), offset=offset), written=1)
    named = Selection(event_ids=frozenset({"e"}))
    reading = await prepared(named, Mark("d", Span(10, 50), 20), begin=25, trail=trail)
    assert (reading.gone, reading.cut) == (1, 0)


async def test_of_what_the_index_has_nothing_counts_that_was_decided_before_the_range() -> None:
    """On the topic it is not even read. How the event ended is known all the same."""
    old, new = (
        replace(decision("e", decided=decided), offset=offset)
        for decided, offset in ((100, 5), (9_000, 60))
    )
    named = Selection(event_ids=frozenset({"e"}), since=UnixNanos(8_000 * 10**9))
    mark = Mark("d", Span(0, 100), 0, since=named.since)
    reading = await prepared(named, mark, begin=25, known=(old, new))
    assert reading.gone == 0
    assert reading.decisions.last(Position("completions", 0, 5)) is not None
