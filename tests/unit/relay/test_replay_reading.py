"""What a replay that is taken up again finds of the range that it began with."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace

from tests.unit.relay.trails import MemoryTrail, decision

from completion_relay.replay.again import Changes, Kept, again
from completion_relay.replay.headers import Position
from completion_relay.replay.plan import Plan, Treatment
from completion_relay.replay.progress import Mark
from completion_relay.replay.reading import Order, Reading
from completion_relay.replay.selection import Selection, Span
from completion_relay.replay.source import Batch
from completion_relay.settings import Settings
from completion_schemas.audit import AuditRecord
from completion_schemas.dispositions import Disposition
from completion_schemas.record import KafkaRecord
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


async def test_of_events_asked_for_by_id_those_without_a_decision_are_named() -> None:
    """Others were found, and nothing was said of these: they may be on the topic, and not decided yet."""
    trail = MemoryTrail()
    trail.append(decision("of the topic", decided=1), written=1)
    ids = frozenset({"of the topic", "of the index", "b", "a"})
    reading = await prepared(
        Selection(event_ids=ids),
        Mark("d", Span(0, 10), 0),
        begin=0,
        trail=trail,
        known=[decision("of the index", decided=1)],
    )
    assert reading.not_decided == ["a", "b"]


async def test_what_is_no_audit_record_is_kept_to_be_told() -> None:
    trail = MemoryTrail()
    trail.append(decision("known", decided=1), written=1)
    unknown = replace(decision("unknown", decided=1), disposition="revoked")  # type: ignore[arg-type]
    trail.append(unknown, written=1)
    reading = await prepared(
        Selection(dispositions=frozenset(Disposition)),
        Mark("d", Span(0, 10), 0),
        begin=0,
        trail=trail,
    )
    assert [(bad.partition, bad.offset) for bad in reading.unreadable] == [(0, 1)]


async def gone(selection: Selection, mark: Mark, *, begin: int, offsets: Sequence[int]) -> int:
    """Return how many are told as gone, where an event at each of these offsets occurred at its second."""
    trail = MemoryTrail()
    for offset in offsets:
        when = UnixNanos(offset * 10**9)
        trail.append(
            replace(decision("e", decided=offset + 1), offset=offset, occurred_at=when), written=1
        )
    order = Order(selection=selection, changes=Changes("completions"), digest="d")
    reading = Reading(order, Settings(), {}, Source(begin), trail)
    reading.marks = {0: mark}
    await reading.prepare()
    return reading.gone


NAMED = Selection(event_ids=frozenset({"e"}))


async def test_of_events_that_are_gone_those_of_other_offsets_are_not_missed() -> None:
    asked = replace(NAMED, offsets=((0, Span(15, 20)), (1, Span(22, 23))))
    mark = Mark("d", Span(25, 100), 25)
    assert await gone(asked, mark, begin=25, offsets=[14, 15, 19, 20, 22]) == 2


async def test_of_events_that_are_gone_those_put_at_other_times_are_not_missed() -> None:
    """All of what is asked for is gone, and some of what came later, too."""
    asked = replace(NAMED, since=UnixNanos(10 * 10**9), until=UnixNanos(20 * 10**9))
    mark = Mark("d", Span(25, 25), 25, 0, asked.since, asked.until)
    assert await gone(asked, mark, begin=25, offsets=[8, 10, 15, 19, 20, 22]) == 3


async def test_of_events_that_are_gone_none_is_missed_where_older_ones_are_there() -> None:
    """The record at 15 is there and was put before the time: the clock of who made the one at 14 is fast."""
    asked = replace(NAMED, since=UnixNanos(10 * 10**9))
    mark = Mark("d", Span(18, 100), 18, 0, asked.since)
    assert await gone(asked, mark, begin=15, offsets=[14]) == 0


async def test_a_finished_replay_of_whose_other_events_some_are_gone_has_no_news() -> None:
    trail = MemoryTrail()
    trail.append(replace(decision("e", decided=1), offset=22), written=1)
    selection = replace(NAMED, offsets=((0, Span(10, 20)),))
    order = Order(selection=selection, changes=Changes("completions"), digest="d")
    reading = Progress(order, Settings(), {}, Grown(25), trail)
    reading.kept = {0: Mark("d", Span(10, 20), 20, 1)}
    await reading._find_out()
    await reading.prepare()
    assert not Plan(gone=reading.gone).has_news


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


class Progress(Reading):
    """A replay whose progress is in memory."""

    kept: Mapping[int, Mark]

    async def progress(self) -> dict[int, Mark]:
        return dict(self.kept)


class Grown(Source):
    """A topic that has its records 25 to 99 now."""

    async def range(self, since: UnixNanos | None, until: UnixNanos | None) -> dict[int, Span]:
        del since, until
        return {0: Span(25, 100)}


async def found_out(kept: Mark, source: Source | None = None) -> Progress:
    order = Order(
        selection=Selection(since=UnixNanos(7)), changes=Changes("completions"), digest="d"
    )
    reading = Progress(order, Settings(), {}, source or Grown(25), MemoryTrail())
    reading.kept = {0: kept}
    await reading._find_out()
    return reading


async def test_what_lies_beyond_a_replay_that_is_done_is_a_new_one() -> None:
    done = Mark("d", Span(10, 60), 60, 4, UnixNanos(1))
    reading = await found_out(done)
    assert not reading.is_done
    assert reading.finished == {0: done}
    assert (reading.sent_before, reading.sent_earlier) == (0, 4)
    mark = reading.marks[0]
    assert (mark.span, mark.reached, mark.since) == (Span(60, 100), 60, 7)


async def test_one_that_was_interrupted_goes_on_with_the_range_of_its_beginning() -> None:
    begun = Mark("d", Span(10, 60), 30, 4, UnixNanos(1))
    reading = await found_out(begun)
    assert (reading.has_begun, reading.finished, reading.marks) == (True, {}, {0: begun})


async def test_where_nothing_lies_beyond_it_is_done() -> None:
    reading = await found_out(Mark("d", Span(10, 100), 100, 4))
    assert (reading.is_done, reading.sent_before) == (True, 4)


async def test_a_copy_of_what_an_earlier_one_of_the_same_words_had_is_left_out() -> None:
    reading = await found_out(Mark("d", Span(30, 60), 60, 4))
    await reading.prepare()
    for origin, treatment in ((29, Treatment.SEND), (30, Treatment.COPY), (59, Treatment.COPY)):
        event = KafkaRecord(b"k", b"an event", ())
        of = Kept(Position("completions", 0, origin), 5, event, (0, origin))
        copy = again(of, Changes("completions"), count=1)
        kept = Kept(Position("completions", 0, 70 + origin), 5, copy, (0, 70 + origin))
        assert reading.sieve.treat(kept).treatment is treatment, origin


async def test_of_events_that_are_gone_those_before_a_later_replay_are_not_missed() -> None:
    """Of 15 and 22 an earlier one of the same words had the first."""
    trail = MemoryTrail()
    for offset in (15, 22):
        trail.append(replace(decision("e", decided=1), offset=offset), written=1)
    order = Order(
        selection=Selection(event_ids=frozenset({"e"})), changes=Changes("completions"), digest="d"
    )
    reading = Progress(order, Settings(), {}, Grown(25), trail)
    reading.kept = {0: Mark("d", Span(10, 20), 20, 1)}
    await reading._find_out()
    await reading.prepare()
    assert reading.gone == 1
