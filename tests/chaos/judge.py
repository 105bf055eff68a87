"""Room `tests/chaos`: was everything as promised? Pure: from what was found at the end to numbers.

Each finding is a number that must be 0, with examples. The truth about records is
the main topic itself, about activities Temporal's history, about both what the
script says; the relay's own word (audit, dead letters, offsets) is held against them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.load import GARBAGE_HEADER, Address, Garbage, Item, event_id, result

from completion_schemas.audit import AuditRecord
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.record import KafkaRecord

Position = tuple[int, int]
"""Partition and offset on the main topic."""

_DLQ = "completion-dlq-"
_EXAMPLES = 5
_OF_AN_EVENT = frozenset({Disposition.APPLIED, Disposition.DUPLICATE})


@dataclass(frozen=True, slots=True)
class Ended:
    """How an activity ended, as Temporal's history has it."""

    identity: str
    """Of the request that ended it."""
    outcome: str
    """`completed`, or what else."""


@dataclass(frozen=True, slots=True)
class Commit:
    """An offset commit, as the group's own log has it."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is there at the end of a run."""

    topic: str
    """The main topic."""
    main: Mapping[Position, KafkaRecord]
    audit: Sequence[AuditRecord]
    """Read with `read_committed`."""
    dead_letters: Sequence[KafkaRecord]
    """Read with `read_committed`."""
    results: Mapping[Address, str]
    """What the workflows returned for their activities."""
    ends: Mapping[Address, Sequence[Ended]]
    """Every end that history has for an activity."""
    commits: Sequence[Commit]
    """All commits of the group, oldest first."""
    uncommitted: Mapping[str, int]
    """Records behind the committed offset, by topic and partition as text."""


@dataclass
class Finding:
    """A number that must be 0."""

    name: str
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: object, count: int = 1) -> None:
        """Count something found."""
        self.count += count
        if len(self.examples) < _EXAMPLES:
            self.examples.append(str(example))


def judge(seed: int, items: Sequence[Item], found: Found) -> list[Finding]:
    """Return every finding, those of 0 too.

    Args:
        seed: The run's.
        items: What was emitted.
        found: What is there now.
    """
    addresses = {event_id(seed, item): item for item in items if not isinstance(item, Garbage)}
    named: dict[str, Finding] = {}

    def finding(name: str) -> Finding:
        return named.setdefault(name, Finding(name))

    _judge_kafka(seed, items, found, finding)
    _judge_activities(seed, addresses, found, finding)
    _judge_audit(addresses, found, finding)
    _judge_dead_letters(found, finding)
    _judge_offsets(found, finding)
    return list(named.values())


_Named = Callable[[str], Finding]


def _judge_kafka(seed: int, items: Sequence[Item], found: Found, finding: _Named) -> None:
    lost = finding("acknowledged records that Kafka lost")
    there = Counter(_what(record) for record in found.main.values())
    wanted = Counter(
        f"garbage {item.number}" if isinstance(item, Garbage) else event_id(seed, item)
        for item in items
    )
    for what, count in (wanted - there).items():
        lost.add(what, count)


def _judge_activities(
    seed: int, addresses: Mapping[str, Address], found: Found, finding: _Named
) -> None:
    lost = finding("activities never completed")
    unreturned = finding("activities whose workflow did not end")
    other = finding("activities with a result that is not theirs")
    doubled = finding("activities completed twice")
    wrong = finding("activities ended by a wrong event")
    for own_id, address in addresses.items():
        ends = found.ends.get(address, ())
        if not ends:
            lost.add(address)
        elif address not in found.results:
            unreturned.add(address)
        elif found.results[address] != result(seed, address):
            other.add((address, found.results[address]))
        if len(ends) > 1:
            doubled.add((address, [end.identity for end in ends]), len(ends) - 1)
        for end in ends:
            if end.outcome != "completed" or _event_of(end.identity) != own_id:
                wrong.add((address, end))


def _judge_audit(addresses: Mapping[str, Address], found: Found, finding: _Named) -> None:
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
        what = _what(found.main[position])
        for record in records:
            if not _fits(what, record):
                misjudged.add((position, str(record.disposition), record.detail))
            if record.disposition is Disposition.APPLIED:
                applied[what].add(position)
    for own_id, address in addresses.items():
        marks = {_position_of(end.identity) for end in found.ends.get(address, ())}
        if marks != {f"{found.topic}/{p}/{o}" for p, o in applied[own_id]}:
            contradicting.add((address, sorted(marks), sorted(applied[own_id])))


def _judge_dead_letters(found: Found, finding: _Named) -> None:
    wrongly = finding("events wrongly dead-lettered")
    second = finding("second dead letters of a position")
    changed = finding("dead letters that are not the original bytes")
    missing = finding("garbage that was not dead-lettered")
    garbage = {at for at, record in found.main.items() if _is_garbage(record)}
    seen: Counter[Position] = Counter()
    for letter in found.dead_letters:
        added = dict(letter.headers)
        at = origin(letter)
        seen[at] += 1
        if at not in garbage:
            wrongly.add((at, added.get(f"{_DLQ}reason"), added.get(f"{_DLQ}detail")))
        elif _original(letter) != found.main[at]:
            changed.add(at)
    for at in garbage - seen.keys():
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


def by_its_position(audit: Iterable[AuditRecord]) -> dict[Position, list[AuditRecord]]:
    """Return the audit records by the position they are about."""
    by_position: defaultdict[Position, list[AuditRecord]] = defaultdict(list)
    for record in audit:
        by_position[record.partition, record.offset].append(record)
    return dict(by_position)


def origin(letter: KafkaRecord) -> Position:
    """Return the position that a dead letter says it is of; -1 for what it does not say."""
    headers = dict(letter.headers)
    partition, offset = (headers.get(f"{_DLQ}{name}") or b"-1" for name in ("partition", "offset"))
    return int(partition), int(offset)


def _told(records: Iterable[AuditRecord]) -> str:
    return ", ".join(f"{record.disposition} by {record.relay_id}" for record in records)


def _fits(what: str, record: AuditRecord) -> bool:
    if what.startswith("garbage "):
        return (record.disposition, record.reason) == (
            Disposition.DEAD_LETTERED,
            DeadLetterReason.UNDECODABLE,
        )
    return record.disposition in _OF_AN_EVENT and record.event_id == what


def _what(record: KafkaRecord) -> str:
    headers = dict(record.headers)
    number = headers.get(GARBAGE_HEADER)
    if number is not None:
        return f"garbage {number.decode()}"
    return (headers.get("ce_id") or b"").decode()


def _is_garbage(record: KafkaRecord) -> bool:
    return _what(record).startswith("garbage ")


def _original(letter: KafkaRecord) -> KafkaRecord:
    headers = tuple(header for header in letter.headers if not header[0].startswith(_DLQ))
    return KafkaRecord(letter.key, letter.value, headers)


def _event_of(identity: str) -> str:
    # The contract's form (section 4): completion-relay/<event_id>@<topic>/<partition>/<offset>
    return identity.removeprefix("completion-relay/").rpartition("@")[0]


def _position_of(identity: str) -> str:
    return identity.rpartition("@")[2]
