"""What an operator says of one event, as a record: it comes back as it was, or is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion_relay.decision import Decision, Former, Park
from completion_relay.instruction import (
    LONGEST,
    PREFIX,
    Action,
    Instruction,
    InstructionError,
    instruction_record,
    is_instruction,
    read_instruction,
)
from completion_schemas.dispositions import Disposition
from completion_schemas.events import UnixNanos
from completion_schemas.record import Headers

NUMBERS = st.integers(0, 2**63 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(str.strip)


@st.composite
def instructions(draw: st.DrawFn) -> Instruction:
    at = draw(st.integers(0, 2**63 - 1 - LONGEST))
    until = draw(st.none() | st.integers(at + 1, at + LONGEST))
    return Instruction(
        topic="completions",
        partition=draw(st.integers(0, 2**31 - 1)),
        offset=draw(NUMBERS),
        event_id=draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=40)),
        by=draw(TEXTS),
        why=draw(TEXTS),
        at=UnixNanos(at),
        until=None if until is None else UnixNanos(until),
    )


def said(**changes: Any) -> Instruction:
    fields: dict[str, Any] = {
        "topic": "completions",
        "partition": 3,
        "offset": 17,
        "event_id": "e-1",
        "by": "ann",
        "why": "ticket 7",
        "at": UnixNanos(100),
        "until": UnixNanos(200),
    }
    return Instruction(**(fields | changes))


GOOD = instruction_record(said())


def changed(name: str, value: bytes | None) -> Headers:
    """Return a good instruction's headers with one of them changed; None: without it."""
    headers = dict(GOOD.headers)
    headers[PREFIX + name] = value
    return tuple((n, v) for n, v in headers.items() if v is not None)


@given(instructions())
def test_an_instruction_comes_back_as_it_was(instruction: Instruction) -> None:
    record = instruction_record(instruction)
    assert is_instruction(record.value, record.headers)
    number = instruction.partition
    assert read_instruction(record.headers, of="completions", number=number) == instruction


@given(
    st.lists(
        st.tuples(
            st.sampled_from([name for name, _ in GOOD.headers]),
            st.none() | st.binary(max_size=30) | st.integers().map(lambda n: str(n).encode()),
        ),
        max_size=20,
    )
)
def test_whatever_somebody_writes_is_an_instruction_or_refused(
    headers: list[tuple[str, bytes | None]],
) -> None:
    replaced = dict(GOOD.headers) | dict(headers)
    for some in (tuple(headers), (*GOOD.headers, *headers), tuple(replaced.items())):
        try:
            instruction = read_instruction(some, of="completions", number=3)
        except InstructionError:
            continue
        assert instruction.by.strip()
        assert instruction.why.strip()


@pytest.mark.parametrize("name", [name.removeprefix(PREFIX) for name, _ in GOOD.headers])
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(InstructionError, match=PREFIX + name):
        read_instruction(changed(name, None), of="completions", number=3)


@pytest.mark.parametrize(
    ("name", "value"),
    [("action", b"replay"), ("topic", b"others"), ("partition", b"4"), ("offset", b"-1")],
)
def test_what_cannot_be_meant_is_named(name: str, value: bytes) -> None:
    with pytest.raises(InstructionError, match=PREFIX + name):
        read_instruction(changed(name, value), of="completions", number=3)


@pytest.mark.parametrize(
    "changes",
    [
        {"by": ""},
        {"why": "  "},
        {"why": "x" * 1_001},
        {"until": UnixNanos(100)},
        {"until": UnixNanos(101 + LONGEST)},
    ],
)
def test_nobody_no_reason_and_no_such_time_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InstructionError, match="must"):
        said(**changes)


def test_a_parked_event_and_a_stray_record_are_no_instructions() -> None:
    assert not is_instruction(b"an event", GOOD.headers)
    assert not is_instruction(None, (("completion-park-topic", b"completions"),))


def test_a_skip_says_who_and_why_and_keeps_the_tries() -> None:
    skip = said(until=None)
    assert skip.action is Action.SKIP
    decision = skip.obeyed(Former(tries=4))
    assert isinstance(decision, Decision)
    assert (decision.disposition, decision.detail) == (Disposition.SKIPPED, "by ann: ticket 7")
    assert decision.tries == 4


def test_a_park_says_who_and_why_and_keeps_the_tries() -> None:
    former = Former(tries=4, first_failed_at=UnixNanos(9), may_land=True)
    park = said().obeyed(former)
    assert isinstance(park, Park)
    assert (park.reason, park.former) == ("by ann: ticket 7", former)
