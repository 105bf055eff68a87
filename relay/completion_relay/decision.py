"""Room `verdict`: what finally became of a record, and where it came from. Core: touches nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from completion_relay.identity import RecordMark
from completion_relay.verdict import Answer, DeadLetter, Status
from completion_schemas.audit import Call
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.events import UnixNanos
from completion_schemas.record import KafkaRecord

Stage = Literal["decode", "verify", "route", "complete"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivered record and its position."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    """The record's own time, milliseconds since the epoch, as Kafka keeps it."""
    record: KafkaRecord
    received_at: UnixNanos

    @property
    def position(self) -> str:
        """Topic, partition and offset, for a person."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    def mark(self, event_id: str) -> RecordMark:
        """Return the mark that this record leaves in Temporal's history."""
        return RecordMark(event_id, self.topic, self.partition, self.offset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The final outcome of a record."""

    disposition: Disposition
    detail: str = ""
    reason: DeadLetterReason | None = None
    stage: Stage = "complete"
    """How far the record came."""
    tries: int = 0
    """Completion calls that were made."""
    rpc_status: Status | None = None
    """The answer to the last of them."""
    calls: tuple[Call, ...] = ()
    """These calls, as the audit record has them."""
    signal: Answer | None = None
    """A heartbeat's answer that asks the callee for something."""

    @classmethod
    def dead_letter(
        cls,
        verdict: DeadLetter,
        *,
        stage: Stage,
        tries: int = 0,
        status: Status | None = None,
        calls: tuple[Call, ...] = (),
    ) -> Decision:
        """Return the decision that a dead-letter verdict is."""
        return cls(
            disposition=Disposition.DEAD_LETTERED,
            detail=verdict.detail,
            reason=verdict.reason,
            stage=stage,
            tries=tries,
            rpc_status=status,
            calls=calls,
        )


@dataclass(frozen=True, slots=True)
class Former:
    """What a parked record brings along from before it was parked."""

    tries: int = 0
    """Completion calls that were made."""
    first_failed_at: UnixNanos | None = None
    """When the first of the refusals was that nobody else explains; None: there was none."""
    may_land: bool = False
    """Whether one of the calls had no answer, and nothing has told since what came of it."""
    failed_itself: bool = False
    """Whether it was parked for something of its own, and not for its namespace or cluster alone."""
    early_for: float = 0.0
    """For how many seconds its activity, which is not scheduled yet, has been looked for."""
    behind: int | None = None
    """The offset of the latest earlier event of its activity that it has to wait for; None: of none. Such a
    one may be too large for the parked topic, which then does not tell of it."""
    keeps_place: float = 0.0
    """For how many seconds it keeps its place now, although others wait behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """Not decided: the event waits, and would hold up others if it waited here."""

    reason: str
    """What it waits for, for a person."""
    former: Former
    """What came of it so far, before an earlier parking too."""
    status: Status | None
    """The answer to the last call; None: none was made this time."""
