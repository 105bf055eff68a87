"""Which event is found among the undecided."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest
from aiokafka.structs import TopicPartition
from temporalio.api.common.v1 import Payloads
from tests.unit.relay.in_memory import InMemory, record

from completion_relay.decision import Delivery, Former, Park
from completion_relay.instruction import Instruction, instruction_record
from completion_relay.parking import parked_record
from completion_relay.settings import Settings
from completion_relay.topic_reader import Progress
from completion_relay.undecided import search as searching
from completion_relay.undecided.search import (
    Bound,
    Found,
    Wanted,
    _narrowed,
    _oldest,
    _search,
    find,
    look,
)
from completion_relay.undecided.spans import Span, Spans
from completion_schemas.cloudevents import encode_record
from completion_schemas.events import ActivityReference, Completed, CompletionEvent, UnixNanos
from completion_schemas.record import KafkaRecord

EVENTS, PARKED = "completions", "completions.parked"
SPANS = {TopicPartition(topic, 3): Span(0, 100) for topic in (EVENTS, PARKED)}

SAID = Instruction(
    topic=EVENTS, partition=3, offset=8, event_id="x", by="ann", why="ticket 7", at=UnixNanos(1)
)


def sent(event_id: str) -> KafkaRecord:
    return encode_record(
        CompletionEvent(
            event_id=event_id,
            occurred_at=UnixNanos(1),
            activity=ActivityReference(namespace="n", workflow_id="w", run_id="r", activity_id="1"),
            outcome=Completed(Payloads()),
        ),
        content_type="application/protobuf",
    )


def parked(event_id: str, *, offset: int, at_ms: int = 5_000) -> KafkaRecord:
    """Return the copy of an event that was at this offset of partition 3."""
    return parked_record(
        Delivery(EVENTS, 3, offset, at_ms, sent(event_id), UnixNanos(0)),
        Park(reason="halted", former=Former(tries=2), status=None),
        key="key",
        times=1,
        not_before=UnixNanos(7),
        relay_id="here",
    )


async def search(reader: InMemory, wanted: str) -> Found:
    found, meant = Found(), Wanted.parse(wanted)
    await _search(reader, _narrowed(SPANS, meant, EVENTS), meant, EVENTS, found)
    return found


async def test_an_event_is_found_by_its_id_where_it_was_written() -> None:
    reader = InMemory(record(EVENTS, 3, 8, sent("x")), record(EVENTS, 3, 9, sent("y")))
    assert list((await search(reader, "x")).undecided) == [(3, 8)]


async def test_a_parked_event_is_found_by_where_it_was_first() -> None:
    reader = InMemory(record(PARKED, 3, 40, parked("x", offset=8)))
    (event,) = (await search(reader, "x")).undecided.values()
    assert (event.place, event.topic, event.offset) == ((3, 8), PARKED, 40)


async def test_a_parked_copy_is_told_of_and_not_the_record_that_it_is_of() -> None:
    reader = InMemory(record(PARKED, 3, 40, parked("x", offset=8)), record(EVENTS, 3, 8, sent("x")))
    (event,) = (await search(reader, "x")).undecided.values()
    assert event.topic == PARKED


async def test_what_no_relay_has_parked_is_not_taken_for_the_event_at_the_same_place() -> None:
    """Who skips it by its id would have skipped the other one, at 3/8 of the events' topic."""
    reader = InMemory(record(PARKED, 3, 8, sent("x")), record(EVENTS, 3, 8, sent("innocent")))
    assert (await search(reader, "x")).undecided == {}


async def test_what_no_relay_has_parked_does_not_hide_the_event_at_the_same_place() -> None:
    reader = InMemory(record(EVENTS, 3, 8, sent("meant")), record(PARKED, 3, 8, sent("stranger")))
    (event,) = (await search(reader, "3/8")).undecided.values()
    assert (event.topic, event.event_id) == (EVENTS, "meant")


async def test_what_operators_have_said_is_noted_and_is_no_event() -> None:
    found = await search(InMemory(record(PARKED, 3, 41, instruction_record(SAID))), "x")
    assert (found.undecided, found.told) == ({}, {(3, 8): SAID})


def test_who_is_meant_by_its_place_is_one_record_or_parked() -> None:
    assert _narrowed(SPANS, Wanted.parse("3/8"), EVENTS) == {
        TopicPartition(EVENTS, 3): Span(8, 9),
        TopicPartition(PARKED, 3): Span(0, 100),
    }


def test_what_is_decided_is_not_read_by_its_place() -> None:
    spans = {at: Span(9, 100) for at in SPANS}
    assert list(_narrowed(spans, Wanted.parse("3/8"), EVENTS)) == [TopicPartition(PARKED, 3)]


async def test_an_event_that_is_found_by_its_place_is_read_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`InMemory` connects to nothing: it could not look at the record by itself."""
    opens(monkeypatch, InMemory(record(EVENTS, 3, 8, sent("x"))))
    assert list((await find(Settings(), {}, Wanted.parse("3/8"))).undecided) == [(3, 8)]


def opens(
    monkeypatch: pytest.MonkeyPatch, reader: InMemory, *, spans: Spans = SPANS, missing: str = ""
) -> None:
    """Have the topics opened without Kafka."""

    @contextlib.asynccontextmanager
    async def opened(
        _settings: object, _options: object, topics: Sequence[str] = (EVENTS, PARKED)
    ) -> AsyncIterator[tuple[InMemory, Spans]]:
        assert topics, "TopicReader cannot open none"
        yield reader, {at: span for at, span in spans.items() if at.topic in topics}

    async def named(*_: object) -> tuple[str, ...]:
        return tuple(missing.split())

    monkeypatch.setattr(searching, "opened", opened)
    monkeypatch.setattr(searching, "missing", named)


async def test_looking_goes_on_in_the_topic_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    opens(monkeypatch, InMemory(record(EVENTS, 3, 8, sent("x"))), missing=PARKED)
    found = await look(Settings(), {}, Wanted.parse("x"))
    assert (list(found.undecided), found.missing, found.bound) == ([(3, 8)], (PARKED,), None)


async def test_where_neither_topic_is_there_nothing_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opens(monkeypatch, InMemory(), missing=f"{EVENTS} {PARKED}")
    assert (await look(Settings(), {}, Wanted.parse("x"))).missing == (EVENTS, PARKED)


async def test_looking_that_meets_its_share_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "MOST_LOOKED_THROUGH", 198)
    opens(monkeypatch, InMemory(record(EVENTS, 3, 99, sent("x"))))
    found = await look(Settings(), {}, Wanted.parse("x"))
    assert (found.undecided, found.bound) == ({}, Bound.SHARE)


async def test_looking_at_a_place_meets_no_share_of_what_is_not_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(searching, "MOST_LOOKED_THROUGH", 100)
    events = {TopicPartition(EVENTS, 3): Span(0, 1_000)}
    opens(monkeypatch, InMemory(record(EVENTS, 3, 999, sent("x"))), spans=events, missing=PARKED)
    found = await look(Settings(), {}, Wanted.parse("3/999"))
    assert (list(found.undecided), found.bound) == ([(3, 999)], None)


async def test_looking_that_runs_out_of_time_says_so_and_what_it_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(searching, "LOOK_SECONDS", 0)
    silent = TopicPartition(PARKED, 3)
    opens(monkeypatch, InMemory(record(EVENTS, 3, 8, sent("x")), silent=silent))
    found = await look(Settings(), {}, Wanted.parse("x"))
    assert (list(found.undecided), found.bound) == ([(3, 8)], Bound.TIME)


async def test_the_oldest_parked_event_is_not_the_one_that_was_parked_first() -> None:
    reader = InMemory(
        record(EVENTS, 3, 60, sent("new"), at_ms=9_000),
        record(PARKED, 3, 40, parked("middle", offset=8, at_ms=5_000)),
        record(PARKED, 3, 41, parked("oldest", offset=5, at_ms=3_000)),
        record(PARKED, 3, 42, parked("again", offset=9, at_ms=6_000)),
    )
    event, bound = await _oldest(reader, SPANS, EVENTS)
    assert event is not None
    assert (event.event_id, event.written_at, bound) == ("oldest", 3_000 * 10**6, None)


async def test_where_not_all_that_is_parked_was_looked_at_the_oldest_may_be_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(searching, "MOST_LOOKED_THROUGH", 42)
    reader = InMemory(
        record(PARKED, 3, 40, parked("first", offset=8, at_ms=5_000)),
        record(PARKED, 3, 45, parked("oldest", offset=5, at_ms=3_000)),
    )
    event, bound = await _oldest(reader, SPANS, EVENTS)
    assert event is not None
    assert (event.event_id, bound) == ("first", Bound.SHARE)


async def test_the_oldest_is_no_instruction() -> None:
    reader = InMemory(
        record(EVENTS, 3, 60, sent("event"), at_ms=9_000),
        record(PARKED, 3, 40, instruction_record(SAID), at_ms=1),
    )
    event, _ = await _oldest(reader, SPANS, EVENTS)
    assert event is not None
    assert event.event_id == "event"


async def test_where_an_instruction_alone_waits_no_event_is_the_oldest() -> None:
    reader = InMemory(record(PARKED, 3, 40, instruction_record(SAID), at_ms=1))
    assert await _oldest(reader, SPANS, EVENTS) == (None, None)


async def test_progress_ends_with_all_that_was_read() -> None:
    """Offsets that hold no record, as of a transaction's marker, may be left at the end."""
    reader = InMemory(*(record(EVENTS, 3, offset, sent("y")) for offset in range(100)))
    seen: list[tuple[int, int, int]] = []
    told = {at: Span(0, 100) for at in SPANS}

    def note(progress: Progress) -> None:
        seen.append((progress.done, progress.offsets, progress.records))

    await _search(reader, told, Wanted("x"), EVENTS, Found(), progress=note)
    assert (seen[0], seen[-1]) == ((0, 200, 0), (100, 200, 100))
