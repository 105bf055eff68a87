"""Which records a replay takes: what is asked for, what the trail says, and one record an event."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import strategies

from completion_relay.replay.again import Changes, Kept, again
from completion_relay.replay.decisions import Decisions, Ended
from completion_relay.replay.headers import Position
from completion_relay.replay.plan import Plan, Sieve, Treatment
from completion_relay.replay.selection import (
    END,
    Selection,
    SelectionError,
    Span,
    after,
    parse_offsets,
    runs_of,
)
from completion_schemas.audit import AuditRecord
from completion_schemas.cloudevents import encode_record
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.events import (
    ActivityReference,
    Completed,
    CompletionEvent,
    Heartbeat,
    Outcome,
    UnixNanos,
)
from completion_schemas.record import KafkaRecord

TOPIC = "completions"


def kept(
    offset: int, *, event_id: str = "", outcome: Outcome | None = None, at_ms: int = 0
) -> Kept:
    event = CompletionEvent(
        event_id=event_id or f"e-{offset}",
        occurred_at=UnixNanos(1),
        activity=ActivityReference(
            task_token=base64.b64encode(b"some token").decode(), workflow_id=f"w-{offset}"
        ),
        outcome=Completed() if outcome is None else outcome,
    )
    return Kept(Position(TOPIC, 0, offset), at_ms, encode_record(event), (0, offset))


def replayed(of: Kept, offset: int, *, count: int = 1) -> Kept:
    return Kept(Position(TOPIC, 0, offset), 0, again(of, Changes(TOPIC), count=count), (0, offset))


def decided(
    position: Position,
    disposition: Disposition = Disposition.APPLIED,
    *,
    reason: DeadLetterReason | None = None,
    replay_of: Position | None = None,
    at: int = 0,
) -> AuditRecord:
    return AuditRecord(
        event_id="e",
        type="completed",
        disposition=disposition,
        reason=reason,
        detail="",
        namespace="",
        workflow_id="",
        run_id="",
        activity_id="",
        attempt=0,
        token_preview="",
        token_fingerprint="",
        origin_workflow_id="",
        origin_run_id="",
        topic=position.topic,
        partition=position.partition,
        offset=position.offset,
        occurred_at=None,
        received_at=UnixNanos(0),
        decided_at=UnixNanos(at),
        tries=1,
        rpc_status=None,
        key_id=None,
        relay_id="",
        group="",
        redelivery=False,
        replay_of=None if replay_of is None else str(replay_of),
    )


def sieve(
    selection: Selection | None = None,
    *records: AuditRecord,
    max_replays: int = 3,
    is_read: Callable[[Position], bool] = lambda position: position.topic == TOPIC,
) -> Sieve:
    decisions = Decisions()
    for record in records:
        decisions.note(record)
    return Sieve(selection or Selection(), decisions, max_replays=max_replays, is_read=is_read)


def test_a_heartbeat_is_left_out_unless_asked_for() -> None:
    beat = kept(1, outcome=Heartbeat())
    assert sieve().treat(beat).treatment is Treatment.HEARTBEAT
    assert sieve(Selection(heartbeats=True)).treat(beat).treatment is Treatment.SEND


def test_a_replay_of_an_event_that_is_read_itself_is_left_out() -> None:
    first = kept(1)
    which = sieve()
    assert which.treat(first).treatment is Treatment.SEND
    assert which.treat(replayed(first, 9)).treatment is Treatment.COPY


def test_of_several_replays_whose_event_is_not_read_one_is_taken() -> None:
    first = kept(1)
    which = sieve(is_read=lambda position: position.offset > 5)
    taken = [which.treat(replayed(first, offset)).treatment for offset in (8, 9, 10)]
    assert taken == [Treatment.SEND, Treatment.COPY, Treatment.COPY]


def test_the_second_reading_takes_what_the_first_one_took() -> None:
    first = kept(1)
    which = sieve(is_read=lambda position: position.offset > 5)
    records = [replayed(first, offset) for offset in (8, 9)]
    planned = [which.treat(record) for record in records]
    assert [which.treat(record) for record in records] == planned
    assert [which.treat(record) for record in records[1:]] == planned[1:]


def test_a_record_that_a_file_has_twice_is_taken_once() -> None:
    which = sieve(is_read=lambda _: False)
    taken = [which.treat(replace(kept(1), at=(0, line))).treatment for line in (0, 1)]
    assert taken == [Treatment.SEND, Treatment.COPY]


@pytest.mark.parametrize(("count", "treatment"), [(2, Treatment.SEND), (3, Treatment.OVER_CAP)])
def test_the_cap_counts_what_the_record_says(count: int, treatment: Treatment) -> None:
    which = sieve(is_read=lambda position: position.offset > 5)
    assert which.treat(replayed(kept(1), 9, count=count)).treatment is treatment


def test_the_cap_counts_what_the_trail_says_and_each_replay_once() -> None:
    origin = Position(TOPIC, 0, 1)
    places = [Position(TOPIC, 0, offset) for offset in (7, 8, 8)]
    trail = [decided(place, replay_of=origin) for place in places]
    assert sieve(None, *trail, max_replays=3).treat(kept(1)).treatment is Treatment.SEND
    assert sieve(None, *trail, max_replays=2).treat(kept(1)).treatment is Treatment.OVER_CAP
    assert sieve(None, *trail).treat(kept(1)).count == 2


def test_what_a_replay_has_settled_since_is_left_out() -> None:
    first = kept(1)
    dead = decided(
        first.position, Disposition.DEAD_LETTERED, reason=DeadLetterReason.FORBIDDEN, at=1
    )
    since = decided(Position(TOPIC, 0, 9), Disposition.APPLIED, replay_of=first.position, at=2)
    for asked in (
        Selection(dispositions=frozenset({Disposition.DEAD_LETTERED})),
        Selection(reasons=frozenset({DeadLetterReason.FORBIDDEN})),
    ):
        assert sieve(asked, dead).treat(first).treatment is Treatment.SEND
        assert sieve(asked, dead, since).treat(first).treatment is Treatment.SINCE


def test_what_never_ended_as_is_asked_for_was_ended_otherwise_by_no_replay() -> None:
    """Dead letters are read whatever the trail says of them; nothing was replayed."""
    first = kept(1)
    dead = decided(
        first.position, Disposition.DEAD_LETTERED, reason=DeadLetterReason.FORBIDDEN, at=1
    )
    asked = Selection(dead_letters=True, dispositions=frozenset({Disposition.APPLIED}))
    assert sieve(asked, dead).treat(first).treatment is Treatment.OTHERWISE
    assert sieve(asked).treat(first).treatment is Treatment.OTHERWISE


@pytest.mark.parametrize(
    ("asked", "treatment"),
    [
        (Selection(since=UnixNanos(0)), Treatment.SKIPPED),
        (Selection(offsets=((0, Span(1, 2)),)), Treatment.SKIPPED),
        (Selection(workflow_ids=frozenset({"w-1"})), Treatment.SKIPPED),
        (Selection(event_ids=frozenset({"e-1"})), Treatment.SEND),
        (Selection(dispositions=frozenset({Disposition.SKIPPED})), Treatment.SEND),
    ],
)
def test_what_an_operator_skipped_is_left_out_unless_it_is_asked_for(
    asked: Selection, treatment: Treatment
) -> None:
    first = kept(1)
    assert sieve(asked, decided(first.position, Disposition.SKIPPED)).treat(first).treatment is (
        treatment
    )


def test_a_replay_that_was_skipped_leaves_its_event_out_and_one_that_was_not_takes_it_back() -> (
    None
):
    first, again_at = kept(1), Position(TOPIC, 0, 9)
    for before, since, treatment in (
        (Disposition.UNKNOWN, Disposition.SKIPPED, Treatment.SKIPPED),
        (Disposition.SKIPPED, Disposition.UNKNOWN, Treatment.SEND),
    ):
        trail = (
            decided(first.position, before, at=1),
            decided(again_at, since, replay_of=first.position, at=2),
        )
        assert sieve(None, *trail).treat(first).treatment is treatment


def test_a_skipped_event_that_is_there_twice_is_left_out_as_one_skipped_event() -> None:
    first = kept(1)
    which = sieve(None, decided(first.position, Disposition.SKIPPED))
    taken = [which.treat(record).treatment for record in (first, replayed(first, 9))]
    assert taken == [Treatment.SKIPPED, Treatment.COPY]


def test_what_holds_no_event_is_replayed_as_it_is() -> None:
    """A newer relay may read it."""
    garbage = Kept(Position(TOPIC, 0, 1), 0, KafkaRecord(b"k", b"\xff"), (0, 1))
    treated = sieve().treat(garbage)
    assert (treated.event, treated.treatment) == (None, Treatment.SEND)
    assert sieve(Selection(workflow_ids=frozenset({"w"}))).treat(garbage).treatment is (
        Treatment.NOT_ASKED
    )


@pytest.mark.parametrize(
    ("selection", "is_asked"),
    [
        (Selection(event_ids=frozenset({"e-1"})), True),
        (Selection(event_ids=frozenset({"e-2"})), False),
        (Selection(workflow_ids=frozenset({"w-1"})), True),
        (Selection(workflow_ids=frozenset({"w-2"})), False),
        (Selection(since=UnixNanos(5 * 10**6)), True),
        (Selection(since=UnixNanos(6 * 10**6)), False),
        (Selection(until=UnixNanos(5 * 10**6)), False),
        (Selection(until=UnixNanos(6 * 10**6)), True),
        (Selection(dead_letters=True, reasons=frozenset({DeadLetterReason.INVALID})), False),
    ],
)
def test_a_record_is_asked_for_by_what_it_says(selection: Selection, *, is_asked: bool) -> None:
    record = kept(1, at_ms=5)
    assert selection.matches(record, record.event()) is is_asked


def test_the_plan_adds_up_what_is_sent_and_what_is_not() -> None:
    decisions, plan = Decisions(), Plan()
    decisions.note(decided(Position(TOPIC, 0, 1)))
    which = Sieve(Selection(), decisions, max_replays=3, is_read=lambda _: True)
    for record in (kept(1, at_ms=3), kept(2, at_ms=9), kept(3, outcome=Heartbeat())):
        plan.add(which.treat(record), decisions)
    assert (plan.selected, plan.to_send, plan.not_looked_at) == (3, 2, 2)
    assert dict(plan.by_last) == {"applied": 1, "not decided": 1}
    assert (plan.first_ms, plan.last_ms) == (3, 9)


_ends = st.one_of(
    st.sampled_from([d for d in Disposition if d is not Disposition.DEAD_LETTERED]).map(Ended),
    st.sampled_from(DeadLetterReason).map(lambda r: Ended(Disposition.DEAD_LETTERED, r)),
)
_places = st.builds(
    Position, st.sampled_from(["a", "b"]), st.integers(0, 1), st.sampled_from([0, 1, 4_096, END])
)


@given(st.lists(st.tuples(_places, _ends), max_size=20))
def test_the_trail_is_remembered_as_it_was_told(told: list[tuple[Position, Ended]]) -> None:
    decisions = Decisions()
    for place, end in told:
        decisions.note(decided(place, end.disposition, reason=end.reason))
    for place, _ in told:
        assert decisions.last(place) == dict(told)[place]
        assert decisions.replays(place) == 0


@given(st.lists(st.tuples(st.integers(1, 5), _ends), min_size=1, max_size=8))
def test_the_latest_replay_says_how_an_event_ended(told: list[tuple[int, Ended]]) -> None:
    origin, decisions = Position("a", 0, 0), Decisions()
    decisions.note(decided(origin, Disposition.UNKNOWN))
    for at, (offset, end) in enumerate(told):
        place = Position("a", 0, offset)
        decisions.note(decided(place, end.disposition, reason=end.reason, replay_of=origin, at=at))
    assert decisions.last(origin) == told[-1][1]
    assert decisions.replays(origin) == len({offset for offset, _ in told})


@given(st.sets(st.integers(0, 10_000), max_size=30))
def test_what_is_read_for_single_offsets_has_them_all_in_order_and_once(offsets: set[int]) -> None:
    runs = runs_of(offsets)
    assert all(sum(offset in run for run in runs) == 1 for offset in offsets)
    assert all(before.end < later.begin for before, later in pairwise(runs))
    assert {run.begin for run in runs} <= offsets


_spans = st.builds(lambda begin, more: Span(begin, begin + more), *[st.integers(0, 60)] * 2)


@given(st.lists(_spans, max_size=5), _spans, st.integers(0, 130), st.integers(0, 120))
def test_offsets_that_are_asked_for_are_read_once_as_far_as_they_are_there(
    asked: list[Span], there: Span, offset: int, reached: int
) -> None:
    selection = Selection(offsets=tuple((0, span) for span in asked))
    spans = selection.spans(0, there)
    wanted = offset in there and (not asked or any(offset in span for span in asked))
    assert sum(offset in span for span in spans) == wanted
    left = after(spans, reached)
    assert any(offset in span for span in left) == (wanted and offset >= reached)


@given(st.integers(0, 10**9), st.integers(0, 10**17), st.integers(0, 10**6))
def test_offsets_are_read_as_they_are_written(partition: int, begin: int, more: int) -> None:
    end = begin + more
    assert parse_offsets(f"{partition}:{begin}-{end}") == (partition, Span(begin, end + 1))
    assert parse_offsets(f"{partition}:{begin}") == (partition, Span(begin, begin + 1))
    assert parse_offsets(f"{partition}:{begin}-") == (partition, Span(begin, END))


@given(strategies.texts | st.sampled_from(["1", "1:", "1:5-3", "-1:2", "1:2-3-4", "1:²", "a:b-c"]))
def test_what_are_no_offsets_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SelectionError, match="write "):
        parse_offsets(text)
