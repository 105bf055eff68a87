"""Room `demo`: what came of the scene against what should have. Core: touches nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from completion_relay.demo.script import SLOTS, Got, Part
from completion_relay.identity import RecordMark
from completion_schemas.audit import AuditRecord
from completion_schemas.dispositions import Disposition
from completion_schemas.times import UnixNanos


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What three witnesses say of one execution."""

    agent: str
    """The status of the agent's workflow; empty: Temporal has no such workflow."""
    got: Got | None = None
    """What the caller's activity got; None: nothing, or nobody waits."""
    ended_by: str = ""
    """The identity that ended the waiting activity, from Temporal's history; empty: nobody did."""
    trail: tuple[AuditRecord, ...] = ()
    """What the audit trail says, in the order of the decisions."""


@dataclass(frozen=True, slots=True)
class Line:
    """One execution, judged."""

    part: Part
    seen: Seen
    problems: tuple[str, ...]
    """What is not as it should be."""

    @property
    def is_right(self) -> bool:
        """Whether everything is as it should be."""
        return not self.problems

    @property
    def decisions(self) -> tuple[AuditRecord, ...]:
        """One audit record for each record on the topic."""
        return once_each(self.seen.trail)


@dataclass(frozen=True, slots=True)
class Check:
    """Something about the scene as a whole."""

    text: str
    is_right: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What was seen of the scene as a whole."""

    peak_waiting: int
    """Most activities that waited while every activity slot of the callers' worker was free."""
    killed: str
    """The relay that was killed; empty: none was."""
    orphaned: frozenset[int]
    """The partitions that it had."""
    killed_at: UnixNanos
    """When it was gone; later than everything that it decided."""
    trail: tuple[AuditRecord, ...]
    """Everything that the trail got during the scene, in the order of the decisions."""


def judge(part: Part, seen: Seen) -> Line:
    """Return the execution with everything about it that is not as it should be."""
    expected = part.expected
    problems = []
    if seen.agent != expected.agent:
        problems.append(f"the agent should be {expected.agent}, is {seen.agent or 'not there'}")
    if seen.got != expected.got:
        problems.append(f"the caller should get {describe(expected.got)}, got {describe(seen.got)}")
    problems += _disagreements(seen.trail)
    found = sorted((record.type, record.disposition) for record in once_each(seen.trail))
    if found != sorted(expected.trail):
        problems.append(f"the trail should say {_list(expected.trail)}, says {_list(found)}")
    problems += _wrong_ids(seen.trail)
    applied = {_mark(r) for r in seen.trail if r.disposition is Disposition.APPLIED}
    if applied and seen.ended_by not in applied:
        problems.append(
            "Temporal's history should name the applied record as what ended the activity, names "
            f"{seen.ended_by or 'nothing'}"
        )
    return Line(part, seen, tuple(problems))


def judge_scene(lines: Sequence[Line], seen: Circumstances) -> tuple[Check, ...]:
    """Return what must hold of the scene as a whole."""
    handed_off = sum(line.part.expected.got is not None for line in lines)
    of_lines = {_position(record) for line in lines for record in line.seen.trail}
    strangers = [record for record in seen.trail if _position(record) not in of_lines]
    before, after = _around_the_kill(seen)
    return (
        Check(
            f"{seen.peak_waiting} of {handed_off} activities waited at once while all {SLOTS} "
            "activity slots of the caller's worker were free",
            seen.peak_waiting > SLOTS,
        ),
        Check(
            f"{seen.killed} was killed (SIGKILL) after {len(before)} decisions; "
            f"{_relays(after)} decided the other {len(after)}, "
            f"{len(taken_over(seen))} of them on what had been its partitions"
            if seen.killed
            else "no relay was killed",
            bool(seen.killed and after),
        ),
        Check(
            f"the audit trail holds {len(strangers)} records of nobody's"
            if strangers
            else "the audit trail holds nothing else",
            not strangers,
        ),
    )


def once_each(trail: Iterable[AuditRecord]) -> tuple[AuditRecord, ...]:
    """Return the first record of each position.

    A relay that is killed between an audit record and the commit of its offset
    leaves the record to another one, which finds in Temporal's history that it
    was decided and says so again.
    """
    first: dict[tuple[str, int, int], AuditRecord] = {}
    for record in trail:
        first.setdefault(_position(record), record)
    return tuple(first.values())


def taken_over(seen: Circumstances) -> tuple[AuditRecord, ...]:
    """Return what others decided on the killed relay's partitions after it was killed."""
    _, after = _around_the_kill(seen)
    return tuple(record for record in after if record.partition in seen.orphaned)


def describe(got: Got | None) -> str:
    """Return it in words."""
    if got is None:
        return "nothing"
    error = f"{got.error_type}: " if got.error_type else ""
    return f"{got.outcome}: {error}{got.text}" if got.text else got.outcome


def _disagreements(trail: Sequence[AuditRecord]) -> list[str]:
    said: dict[tuple[str, int, int], list[AuditRecord]] = {}
    for record in trail:
        said.setdefault(_position(record), []).append(record)
    problems = []
    for records in said.values():
        if len({record.disposition for record in records}) > 1:
            problems.append(
                f"the trail contradicts itself: {_list((r.type, r.disposition) for r in records)}"
            )
        if len({record.relay_id for record in records}) < len(records):
            problems.append("the same relay wrote of the same record twice")
    return problems


def _wrong_ids(trail: Sequence[AuditRecord]) -> list[str]:
    if len({record.event_id for record in trail}) > 1:
        return ["every record of one outcome should have the same event id"]
    return []


def _position(record: AuditRecord) -> tuple[str, int, int]:
    return record.topic, record.partition, record.offset


def _mark(record: AuditRecord) -> str:
    return str(RecordMark(record.event_id, *_position(record)))


def _around_the_kill(seen: Circumstances) -> tuple[list[AuditRecord], list[AuditRecord]]:
    decisions = once_each(seen.trail)
    before = [record for record in decisions if record.decided_at <= seen.killed_at]
    return before, [record for record in decisions if record.decided_at > seen.killed_at]


def _relays(records: Iterable[AuditRecord]) -> str:
    return ", ".join(sorted({record.relay_id for record in records})) or "nobody"


def _list(said: Iterable[tuple[str, Disposition]]) -> str:
    return ", ".join(f"{kind} {disposition}" for kind, disposition in said) or "nothing"
