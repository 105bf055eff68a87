"""Room `tests/chaos`: what there is, at the end of a run or amid it, and what is wrong with it. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.garbage import GARBAGE_HEADER
from tests.chaos.script import Address

from completion_schemas.audit import AuditRecord
from completion_schemas.record import KafkaRecord

Position = tuple[int, int]
"""Partition and offset on the main topic."""

DLQ = "completion-dlq-"
_PARK = "completion-park-"
_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Ended:
    """How an activity ended, as Temporal's history has it."""

    identity: str
    """Of the request that ended it."""
    outcome: str
    """`completed`, or what else."""


@dataclass(frozen=True, slots=True)
class Started:
    """The last attempt of an activity, as Temporal's history has it."""

    attempt: int
    after: str = ""
    """The mark of the failure that it came after (`Failure.source`)."""


@dataclass(frozen=True, slots=True)
class Commit:
    """An offset commit, as the group's own log has it."""

    topic: str
    partition: int
    offset: int
    metadata: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What Kafka has of the events, and of who settled them."""

    topic: str
    """The main topic."""
    main: Mapping[Position, KafkaRecord]
    audit: Sequence[AuditRecord]
    """Read with `read_committed`."""
    parked: Mapping[Position, Sequence[str]]
    """Which of the main topic were parked, and by which relays, the first one first; read with
    `read_committed`."""
    commits: Sequence[Commit]
    """All commits of the group, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found(Log):
    """What is there at the end of a run."""

    dead_letters: Sequence[KafkaRecord]
    """Read with `read_committed`."""
    signals: Sequence[KafkaRecord]
    """Read with `read_committed`."""
    results: Mapping[Address, tuple[str, ...]]
    """What the workflows returned for their activities: see `script.returned`."""
    ends: Mapping[Address, Sequence[Ended]]
    """Every end that history has for an activity."""
    started: Mapping[Address, Started]
    """Of activities that have ended: before, history says nothing of their attempts."""
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


def what(record: KafkaRecord) -> str:
    """Return the id of the event that a record holds, `garbage N` for what holds none."""
    headers = dict(record.headers)
    number = headers.get(GARBAGE_HEADER)
    if number is not None:
        return f"garbage {number.decode()}"
    return (headers.get("ce_id") or b"").decode()


def is_odd(record: KafkaRecord) -> bool:
    """Whether a header of the record has a name that is not UTF-8, as it was read."""
    return any("\ufffd" in name for name, _ in record.headers)


def by_its_position(audit: Iterable[AuditRecord]) -> dict[Position, list[AuditRecord]]:
    """Return the audit records by the position they are about."""
    by_position: defaultdict[Position, list[AuditRecord]] = defaultdict(list)
    for record in audit:
        by_position[record.partition, record.offset].append(record)
    return dict(by_position)


def origin(letter: KafkaRecord) -> Position:
    """Return the position that a dead letter says it is of; -1 for what it does not say."""
    return _origin(dict(letter.headers), DLQ)


def parked_by(copies: Iterable[KafkaRecord]) -> dict[Position, list[str]]:
    """Return the positions that parked records are of, and which relays wrote them, in order."""
    relays: defaultdict[Position, list[str]] = defaultdict(list)
    for copy in copies:
        headers = dict(copy.headers)
        relays[_origin(headers, _PARK)].append((headers.get(f"{_PARK}relay-id") or b"").decode())
    return dict(relays)


def _origin(headers: Mapping[str, bytes | None], prefix: str) -> Position:
    partition, offset = (
        headers.get(f"{prefix}{name}") or b"-1" for name in ("partition", "offset")
    )
    return int(partition), int(offset)
