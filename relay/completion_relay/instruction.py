"""Room `parking`: what an operator says is to become of one event. Core: touches nothing.

It travels through Kafka, so that it is not lost and outlives whoever heeds it: a
record without a value on the parked topic, in the partition of the event's own
number, which the same member of the group has. Its headers say all of it. It is
no event, and has no audit record of its own (promise 3): the event's says who and why.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from completion_relay.decision import Decision, Former, Park
from completion_relay.own_headers import HeaderError, OwnHeaders
from completion_relay.verdict import Status
from completion_schemas.audit import Call
from completion_schemas.dispositions import Disposition
from completion_schemas.errors import CompletionError
from completion_schemas.events import UnixNanos
from completion_schemas.record import Headers, KafkaRecord

PREFIX: Final = "completion-operator-"
LONGEST: Final = 7 * 86_400 * 10**9
"""Nanoseconds for which an event may be left alone: the events behind it wait as long, and a topic
keeps what it has for weeks, not for ever."""
MAX_TEXT: Final = 1_000
"""Characters of who and why: both go into the event's audit record."""
_NUMBER = 2**63 - 1
_PARTITION = 2**31 - 1


class InstructionError(CompletionError, ValueError):
    """An instruction that cannot be meant, or that nobody has written with this program."""


class Action(StrEnum):
    """What is to be done."""

    SKIP = "skip"
    """The event is not to be applied."""
    PARK = "park"
    """The event is to be left alone for some time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """That an operator had an event parked; what a parked record says of it."""

    by: str
    why: str
    until: UnixNanos
    """Before that it is not tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """What an operator says is to become of one event."""

    topic: str
    """Where the event was first: topic, partition and offset are its identity."""
    partition: int
    offset: int
    event_id: str
    """What the operator saw there; empty where the record shows none."""
    by: str
    """Who says so."""
    why: str
    at: UnixNanos
    """When; of two for the same event the later one counts."""
    until: UnixNanos | None = None
    """Park it, and do not try it before that; None: skip it."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            InstructionError: it names nobody, no reason, or no time that may be.
        """
        for name, text in (("by", self.by), ("why", self.why)):
            if not 0 < len(text.strip()) <= len(text) <= MAX_TEXT:
                raise InstructionError(f"{name} must have 1 to {MAX_TEXT} characters")
        if self.until is not None and not self.at < self.until <= self.at + LONGEST:
            raise InstructionError("until must be later than now, and at most 7 days")

    @property
    def action(self) -> Action:
        """What is to be done."""
        return Action.SKIP if self.until is None else Action.PARK

    @property
    def position(self) -> str:
        """The event's first one, for a person."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    @property
    def hold(self) -> Hold | None:
        """What the parked event then says; None: it is to be skipped."""
        return None if self.until is None else Hold(by=self.by, why=self.why, until=self.until)

    def obeyed(
        self, former: Former, *, status: Status | None = None, calls: tuple[Call, ...] = ()
    ) -> Decision | Park:
        """Return what becomes of the event by it.

        Args:
            former: What came of the tries so far.
            status: The answer to the last of them.
            calls: These calls, for the audit trail.
        """
        if self.until is not None:
            return held_back(Hold(by=self.by, why=self.why, until=self.until), former, status)
        return Decision(
            disposition=Disposition.SKIPPED,
            detail=who_and_why(self),
            stage="complete" if former.tries else "route",
            tries=former.tries,
            rpc_status=status,
            calls=calls,
        )


def held_back(hold: Hold, former: Former, status: Status | None = None) -> Park:
    """Return the parking that an operator asked for."""
    return Park(reason=who_and_why(hold), former=former, status=status)


def who_and_why(said: Instruction | Hold) -> str:
    """Return what audit records, headers and log lines say of it."""
    return f"by {said.by}: {said.why}"


def instruction_record(instruction: Instruction) -> KafkaRecord:
    """Return the record for the partition of the event's number on the parked topic."""
    said = {
        "action": str(instruction.action),
        "topic": instruction.topic,
        "partition": str(instruction.partition),
        "offset": str(instruction.offset),
        "event-id": instruction.event_id,
        "by": instruction.by,
        "why": instruction.why,
        "at": str(instruction.at),
    }
    if instruction.until is not None:
        said["until"] = str(instruction.until)
    headers = tuple((PREFIX + name, text.encode()) for name, text in said.items())
    # With a key, of whatever kind: aiokafka sends no record that has neither key nor value.
    return KafkaRecord(instruction.position.encode(), None, headers)


def is_instruction(value: bytes | None, headers: Headers) -> bool:
    """Whether a record of the parked topic is meant as one, and not as a parked event."""
    return value is None and any(name == PREFIX + "action" for name, _ in headers)


def read_instruction(headers: Headers, *, of: str, number: int) -> Instruction:
    """Return what an instruction's record says.

    Args:
        headers: The record's.
        of: The topic of the events.
        number: The partition that the record is in.

    Raises:
        InstructionError: it does not say all of it, or not clearly, or means another relay's event.
    """
    try:
        said = OwnHeaders(headers, PREFIX)
        action = said.text("action")
        if action not in list(Action):
            raise InstructionError(f"header {PREFIX}action must be skip or park")
        if said.text("topic") != of:
            raise InstructionError(f"header {PREFIX}topic must be {of}")
        if said.number("partition", most=_PARTITION) != number:
            raise InstructionError(
                f"header {PREFIX}partition must be {number}, as the record's own"
            )
        return Instruction(
            topic=of,
            partition=number,
            offset=said.number("offset", most=_NUMBER),
            event_id=said.text("event-id"),
            by=said.text("by"),
            why=said.text("why"),
            at=UnixNanos(said.number("at", most=_NUMBER)),
            until=UnixNanos(said.number("until", most=_NUMBER)) if action == Action.PARK else None,
        )
    except HeaderError as error:
        raise InstructionError(str(error)) from None
