"""Of what operators say of an event the later counts, whatever comes in which order, and once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.relay.test_instruction import said

from completion_relay.identity import RecordMark
from completion_relay.instruction import instruction_record
from completion_relay.told import Instructions
from completion_schemas.events import UnixNanos

MARK = RecordMark("e-1", "completions", 3, 17)


def at(nanos: int) -> UnixNanos:
    return UnixNanos(nanos)


def test_the_same_instruction_again_is_the_same() -> None:
    """It is read at the takeover, when it is fetched and when its record is begun."""
    instructions = Instructions()
    first = instructions.tell(said(until=None))
    assert instructions.tell(said(until=None)) is first
    assert len(instructions) == 1


@given(st.permutations([1, 2, 3, 4]))
def test_of_several_the_one_that_was_given_last_counts(times: list[int]) -> None:
    instructions = Instructions()
    told = {n: instructions.tell(said(at=at(n), until=None, why=f"{n}")) for n in times}
    open_one = instructions.of(MARK)
    assert open_one is told[4]
    assert [n for n in told if not told[n].over.is_set()] == [4]


def test_one_that_is_being_heeded_stays_so_and_the_next_one_is_another() -> None:
    instructions = Instructions()
    first = instructions.tell(said(at=at(1)))
    first.is_claimed = True
    second = instructions.tell(said(at=at(2), until=None))
    assert not first.over.is_set()
    assert instructions.of(MARK) is second


def test_an_instruction_for_another_event_at_that_place_is_refused() -> None:
    instructions = Instructions()
    told = instructions.tell(said(event_id="e-of-before"))
    assert instructions.of(MARK) is None
    assert told.over.is_set()
    assert told.outcome == "refused: the event there is e-1"


@pytest.mark.parametrize(
    "elsewhere",
    [RecordMark("", "completions.parked", 3, 17), RecordMark("e-2", "completions", 15, 17)],
    ids=["garbage on the parked topic", "a copy from a partition of another number"],
)
def test_a_record_of_the_same_offset_elsewhere_is_not_meant(elsewhere: RecordMark) -> None:
    """Nor does it use the instruction up: that is still heeded by the event that is meant."""
    instructions = Instructions()
    told = instructions.tell(said())
    assert instructions.of(elsewhere) is None
    assert instructions.of(MARK) is told


def test_where_the_operator_saw_no_id_the_position_alone_counts() -> None:
    instructions = Instructions()
    told = instructions.tell(said(event_id=""))
    assert instructions.of(MARK) is told


def test_what_was_forgotten_is_not_heeded_and_takes_no_later_one_along() -> None:
    instructions = Instructions()
    first = instructions.tell(said(at=at(1)))
    second = instructions.tell(said(at=at(2)))
    instructions.forget(first)
    assert instructions.of(MARK) is second
    instructions.forget(second)
    assert len(instructions) == 0


def test_a_record_that_says_nothing_clear_is_not_heard() -> None:
    instructions = Instructions()
    record = instruction_record(said())
    assert instructions.hear(None, record.headers[:2], of="completions", number=3)
    assert not instructions.hear(b"an event", record.headers, of="completions", number=3)
    assert len(instructions) == 0
