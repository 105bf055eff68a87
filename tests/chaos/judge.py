"""Room `tests/chaos`: was everything as promised? Pure: from what was found at the end to numbers.

Each finding is a number that must be 0, with examples. The truth about records is
the main topic itself, about activities Temporal's history, about both what the
script says; the relay's own word (audit, dead letters, offsets) is held against them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.ahead import judge_ahead
from tests.chaos.found import (
    DLQ,
    Finding,
    Found,
    Position,
    by_its_position,
    is_odd,
    origin,
    what,
)
from tests.chaos.poison import judge_poison
from tests.chaos.retries import judge_retries
from tests.chaos.script import (
    ENDS,
    Address,
    Event,
    Garbage,
    Item,
    Kind,
    ending,
    event_id,
    returned,
)
from tests.chaos.signals import judge_signals

from completion_schemas.audit import AuditRecord
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.record import KafkaRecord

_BECOMES: Mapping[Kind, frozenset[Disposition]] = {
    **dict.fromkeys((*ENDS, Kind.RETRIED), frozenset({Disposition.APPLIED, Disposition.DUPLICATE})),
    Kind.HEARTBEAT: frozenset({Disposition.APPLIED, Disposition.COALESCED}),
    # Temporal never says no, and its activity waits on: the deadline alone ends it.
    Kind.POISON: frozenset({Disposition.EXPIRED}),
    Kind.ELSEWHERE: frozenset({Disposition.DEAD_LETTERED}),
    Kind.GARBAGE: frozenset({Disposition.DEAD_LETTERED}),
}
"""What may become of a record."""
_REASONS: Mapping[Kind, DeadLetterReason] = {
    Kind.ELSEWHERE: DeadLetterReason.FORBIDDEN,
    Kind.GARBAGE: DeadLetterReason.UNDECODABLE,
}
"""Why it is a dead letter, where it must be one."""
_TYPES: Mapping[Kind, str] = {
    Kind.COMPLETED: "completed",
    Kind.FAILED: "failed",
    Kind.RETRIED: "failed",
    Kind.CANCELED: "canceled",
    Kind.UNASKED: "canceled",
    Kind.HEARTBEAT: "heartbeat",
    Kind.POISON: "completed",
    Kind.ELSEWHERE: "completed",
}
"""The type of the event. Of garbage the audit record says what it claims, if anything."""


@dataclass(frozen=True, slots=True)
class Script:
    """What was emitted, by what identifies it."""

    seed: int
    items: Sequence[Item]
    kinds: Mapping[str, Kind]
    """By the id of the event; garbage by its own."""
    ends: Mapping[Address, Kind]
    """How each activity is to end."""

    @classmethod
    def of(cls, seed: int, items: Sequence[Item]) -> Script:
        """Return the script of a run."""
        kinds = {
            named(seed, item): Kind.GARBAGE if isinstance(item, Garbage) else item.kind
            for item in items
        }
        return cls(seed, items, kinds, ending(items))

    def event_id(self, address: Address) -> str:
        """Return the id of the one event that may end an activity."""
        return event_id(self.seed, Event(self.ends[address], address))


def named(seed: int, item: Item) -> str:
    """Return what a record of the item is called by `found.what`."""
    return f"garbage {item.number}" if isinstance(item, Garbage) else event_id(seed, item)


def judge(seed: int, items: Sequence[Item], found: Found) -> list[Finding]:
    """Return every finding, those of 0 too.

    Args:
        seed: The run's.
        items: What was emitted.
        found: What is there now.
    """
    script = Script.of(seed, items)
    findings: dict[str, Finding] = {}

    def finding(name: str) -> Finding:
        return findings.setdefault(name, Finding(name))

    _judge_kafka(script, found, finding)
    _judge_activities(script, found, finding)
    _judge_audit(script, found, finding)
    _judge_heartbeats(script, found, finding)
    judge_poison(script.kinds, found, finding)
    judge_retries(seed, items, found, finding)
    judge_signals(seed, items, found, finding)
    _judge_dead_letters(script, found, finding)
    _judge_offsets(found, finding)
    judge_ahead(found, finding)
    return list(findings.values())


_Named = Callable[[str], Finding]


def _judge_kafka(script: Script, found: Found, finding: _Named) -> None:
    lost = finding("acknowledged records that Kafka lost")
    there = Counter((what(record), is_odd(record)) for record in found.main.values())
    wanted = Counter(
        (named(script.seed, item), isinstance(item, Event) and item.odd) for item in script.items
    )
    for record, count in (wanted - there).items():
        lost.add(record, count)


def _judge_activities(script: Script, found: Found, finding: _Named) -> None:
    lost = finding("activities never ended")
    unreturned = finding("activities whose workflow did not end")
    other = finding("activities with an outcome that is not theirs")
    doubled = finding("activities ended twice")
    wrong = finding("activities ended by a wrong event")
    for address, kind in script.ends.items():
        ends = found.ends.get(address, ())
        own = returned(script.seed, address, kind)
        if not ends:
            lost.add(address)
        elif address not in found.results:
            unreturned.add(address)
        elif found.results[address] != own:
            other.add((address, found.results[address], own))
        if len(ends) > 1:
            doubled.add((address, [end.identity for end in ends]), len(ends) - 1)
        for end in ends:
            if end.outcome != own[0] or _event_of(end.identity) != script.event_id(address):
                wrong.add((address, end))
    # Those that have no event: a poison token names them, which ends nothing.
    for address in found.ends.keys() - script.ends.keys():
        wrong.add((address, found.ends[address]))


def _judge_audit(script: Script, found: Found, finding: _Named) -> None:
    missing = finding("positions without an audit record")
    second = finding("second audit records of a position")
    strange = finding("audit records of no position")
    misjudged = finding("records with a disposition that is not theirs")
    contradicting = finding("activities applied by another position than history says")
    by_position = by_its_position(found.audit)
    for position in found.main.keys() - by_position.keys():
        missing.add(position)
    applied: defaultdict[str, set[Position]] = defaultdict(set)
    for position, records in by_position.items():
        if position not in found.main:
            strange.add(position, len(records))
            continue
        if len(records) > 1:
            second.add((position, _told(records)), len(records) - 1)
        name = what(found.main[position])
        for record in records:
            if not _fits(name, script.kinds.get(name), record):
                misjudged.add((position, name, str(record.disposition), record.detail))
            if record.disposition is Disposition.APPLIED:
                applied[name].add(position)
    for address in script.ends:
        marks = {_position_of(end.identity) for end in found.ends.get(address, ())}
        own = applied[script.event_id(address)]
        if marks != {f"{found.topic}/{p}/{o}" for p, o in own}:
            contradicting.add((address, sorted(marks), sorted(own)))


def _fits(name: str, kind: Kind | None, record: AuditRecord) -> bool:
    if kind is None or record.disposition not in _BECOMES[kind]:
        return False
    if record.reason is not _REASONS.get(kind):
        return False
    return kind is Kind.GARBAGE or (record.event_id, record.type) == (name, _TYPES[kind])


def _judge_heartbeats(script: Script, found: Found, finding: _Named) -> None:
    """Of one key, what is behind the end of the activity cannot have been taken by Temporal."""
    late = finding("heartbeats applied behind the end of their activity")
    applied = [
        (position, found.main[position], script.kinds.get(what(found.main[position])))
        for position, (record, *_) in by_its_position(found.audit).items()
        if record.disposition is Disposition.APPLIED and position in found.main
    ]
    ended = {
        (position[0], record.key): position[1] for position, record, kind in applied if kind in ENDS
    }
    for (partition, offset), record, kind in applied:
        end = ended.get((partition, record.key))
        if kind is Kind.HEARTBEAT and end is not None and end < offset:
            late.add(((partition, offset), what(record)))


def _judge_dead_letters(script: Script, found: Found, finding: _Named) -> None:
    wrongly = finding("events wrongly dead-lettered")
    second = finding("second dead letters of a position")
    changed = finding("dead letters that are not the original bytes")
    missing = finding("records that were not dead-lettered, and should be")
    reasons = finding("dead letters with a reason that is not theirs")
    kinds = ((at, script.kinds.get(what(record))) for at, record in found.main.items())
    wanted = {at: _REASONS[kind] for at, kind in kinds if kind is not None and kind in _REASONS}
    seen: Counter[Position] = Counter()
    for letter in found.dead_letters:
        added = dict(letter.headers)
        reason, detail = (added.get(f"{DLQ}{name}") for name in ("reason", "detail"))
        at = origin(letter)
        seen[at] += 1
        if at not in wanted:
            wrongly.add((at, reason, detail))
            continue
        if _original(letter) != found.main[at]:
            changed.add(at)
        if reason != wanted[at].value.encode():
            reasons.add((at, reason, detail))
    for at in wanted.keys() - seen.keys():
        missing.add(at)
    for at, count in seen.items():
        if count > 1:
            second.add(at, count - 1)


def _judge_offsets(found: Found, finding: _Named) -> None:
    behind = finding("records behind the committed offsets")
    back = finding("commits that moved an offset back")
    for where, count in found.uncommitted.items():
        if count:
            behind.add((where, count), count)
    last: dict[tuple[str, int], int] = {}
    for commit in found.commits:
        at = (commit.topic, commit.partition)
        if commit.offset < last.get(at, 0):
            back.add((*at, last[at], commit.offset))
        last[at] = commit.offset


def _told(records: Sequence[AuditRecord]) -> str:
    return ", ".join(f"{record.disposition} by {record.relay_id}" for record in records)


def _original(letter: KafkaRecord) -> KafkaRecord:
    headers = tuple(header for header in letter.headers if not header[0].startswith(DLQ))
    return KafkaRecord(letter.key, letter.value, headers)


def _event_of(identity: str) -> str:
    # The contract's form (section 4): completion-relay/<event_id>@<topic>/<partition>/<offset>
    return identity.removeprefix("completion-relay/").rpartition("@")[0]


def _position_of(identity: str) -> str:
    return identity.rpartition("@")[2]
