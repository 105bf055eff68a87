"""Room `pipeline`: which events an operator has spoken of, and how far that is heeded. Touches `bell.py` alone.

The two partitions of a number share it: the instruction comes in the one, its
event is in the other or has been parked in the first. An event that is under way
heeds it before its next wait ends, any other before it is begun.
"""

from __future__ import annotations

import contextlib
import dataclasses

from completion_relay.bell import Bell
from completion_relay.decision import Decision, Park
from completion_relay.entry import Entry
from completion_relay.identity import RecordMark
from completion_relay.instruction import (
    Instruction,
    InstructionError,
    is_instruction,
    read_instruction,
)
from completion_relay.ledger import PartitionLedger
from completion_schemas.dispositions import Disposition
from completion_schemas.record import Headers


class Told:
    """One instruction, and what came of it."""

    __slots__ = ("instruction", "is_claimed", "outcome", "over")

    def __init__(self, instruction: Instruction) -> None:
        """Take note of it."""
        self.instruction = instruction
        self.is_claimed = False
        """Whether the event has ended by it or before it, and what it leaves behind is being written."""
        self.outcome = ""
        """What came of it, for the log."""
        self.over = Bell()
        """Set once nothing is left to be done for it, durably."""

    def claim(self, entry: Entry, outcome: Decision | Park) -> Entry:
        """Return the event's entry so that it ends the instruction, too, once it is durable.

        Args:
            entry: What the event leaves behind.
            outcome: What that is, by the instruction or in spite of it.
        """
        self.is_claimed = True
        if isinstance(outcome, Park):
            said = "parked"
        elif outcome.disposition is Disposition.SKIPPED:
            said = "skipped"
        else:
            said = f"too late: {outcome.disposition}"

        def durable() -> None:
            entry.on_durable()
            self.end(said)

        return dataclasses.replace(entry, on_durable=durable)

    def end(self, outcome: str) -> None:
        """Nothing is left to be done for it; what is said first stays."""
        if not self.over.is_set():
            self.outcome = outcome
            self.over.set()


class Instructions:
    """What operators have said of the events of one partition number, during one assignment."""

    def __init__(self) -> None:
        self._told: dict[int, Told] = {}
        self.news = Bell()
        """Rings, and is never set: whoever waits looks whether it is meant."""
        self.events: PartitionLedger | None = None
        """That of the partition that the events were in first; None: this member does not have it."""

    def __len__(self) -> int:
        """How many events are spoken of."""
        return len(self._told)

    def tell(self, instruction: Instruction) -> Told:
        """Take note of an instruction; the same one again is the same.

        Of two for one event the one that was given later counts, in whatever order they come:
        one that waits for long is written anew behind others.
        """
        before = self._told.get(instruction.offset)
        if before is not None:
            if before.instruction == instruction:
                return before
            if before.instruction.at > instruction.at:
                told = Told(instruction)
                told.end("a later instruction counts")
                return told
            if not before.is_claimed:
                before.end("a later instruction counts")
        told = self._told[instruction.offset] = Told(instruction)
        self.news.ring()
        return told

    def hear(self, value: bytes | None, headers: Headers, *, of: str, number: int) -> bool:
        """Take note of a record of the parked topic if it is an instruction; True if it is meant as one.

        Args:
            value: The record's.
            headers: The record's.
            of: The topic of the events.
            number: The partition that it is in.
        """
        if not is_instruction(value, headers):
            return False
        with contextlib.suppress(InstructionError):  # is refused when it is its turn
            self.tell(read_instruction(headers, of=of, number=number))
        return True

    def of(self, mark: RecordMark) -> Told | None:
        """Return the instruction that an event has to heed; None: there is none."""
        if not self._told:
            return None
        told = self._told.get(mark.offset)
        if told is None or told.is_claimed or told.over.is_set():
            return None
        said = told.instruction
        if (said.topic, said.partition) != (mark.topic, mark.partition):
            # Garbage on the parked topic has its own place there, and a copy may come from a
            # partition of another number while the topics differ in these.
            return None
        meant = said.event_id
        if meant and mark.event_id and meant != mark.event_id:
            # The topic was made anew, or somebody wrote it by hand: it is not for this event.
            told.end(f"refused: the event there is {mark.event_id}")
            return None
        return told

    def forget(self, told: Told) -> None:
        """Let go of one that is over and whose record is settled."""
        if self._told.get(told.instruction.offset) is told:
            del self._told[told.instruction.offset]
