"""Room `tests/chaos`: which fault comes when. Pure: the same seed gives the same plan.

Resources are what a fault takes: one relay, the brokers as a whole (two down at
once would be the end of `min.insync.replicas`), Temporal, one link. A resource has
one fault at a time; faults of different resources overlap freely.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

BROKERS: Final = 3
LINES: Final = 2
"""The relays' ways to the servers: each relay uses one, so that a cut hits some and not others."""
FIRST_RELAYS: Final = 3
MOST_RELAYS: Final = 5
FEWEST_RELAYS: Final = 2
SESSION_SECONDS: Final = 6.0
"""The group's session: Kafka refuses less (`group.min.session.timeout.ms`)."""
BEGIN_SECONDS: Final = 2.0
BROKER_RECOVERY_SECONDS: Final = 20.0
"""From a broker's start until its replicas are in sync: a JVM on two busy cores."""
_TEMPORAL_RECOVERY_SECONDS = 5.0


class Kind(StrEnum):
    """What may go wrong."""

    RELAY_KILLED = "relay killed"
    RELAY_FROZEN = "relay frozen"
    RELAY_ADDED = "relay added"
    RELAY_REMOVED = "relay removed"
    BROKER_KILLED = "broker killed"
    TEMPORAL_KILLED = "temporal killed"
    TEMPORAL_CUT = "temporal cut"
    TEMPORAL_STALLED = "temporal stalled"
    TEMPORAL_SLOW = "temporal slow"
    KAFKA_CUT = "kafka cut"
    KAFKA_STALLED = "kafka stalled"
    KAFKA_SLOW = "kafka slow"


_SECONDS: Final[dict[Kind, tuple[float, float]]] = {
    Kind.RELAY_KILLED: (0.3, 2.0),
    # Beyond the session: the group gives its partitions to others while it sleeps.
    Kind.RELAY_FROZEN: (SESSION_SECONDS + 2, SESSION_SECONDS + 6),
    Kind.RELAY_ADDED: (0.0, 0.0),
    Kind.RELAY_REMOVED: (0.0, 0.0),
    Kind.BROKER_KILLED: (2.0, 8.0),
    Kind.TEMPORAL_KILLED: (0.5, 4.0),
    Kind.TEMPORAL_CUT: (0.0, 4.0),
    Kind.TEMPORAL_STALLED: (1.0, 6.0),
    Kind.TEMPORAL_SLOW: (2.0, 8.0),
    # A longer one ends the session of whoever uses the line.
    Kind.KAFKA_CUT: (0.0, SESSION_SECONDS + 3),
    Kind.KAFKA_STALLED: (1.0, SESSION_SECONDS + 3),
    Kind.KAFKA_SLOW: (2.0, 8.0),
}
ALL: Final = frozenset(Kind)
RELAYS_ONLY: Final = frozenset({Kind.RELAY_KILLED})


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: what, to whom, from when and for how long."""

    at: float
    """Seconds from the begin of the run."""
    kind: Kind
    target: int
    """Relay, broker or line, from 0; 0 for Temporal itself."""
    seconds: float
    """Until it is made good: restarted, woken, connected again."""

    @property
    def ends(self) -> float:
        """Seconds from the begin of the run until it has been made good."""
        return self.at + self.seconds

    def __str__(self) -> str:
        lasting = f", for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.at:6.1f} s  {self.kind} {self.target}{lasting}"


def plan(
    seed: int, seconds: float, *, pause: float = 2.0, kinds: frozenset[Kind] = ALL
) -> tuple[Fault, ...]:
    """Return the faults of a run, by time; all are made good within `seconds`.

    Every kind comes before any comes again, as far as the time allows.

    Args:
        seed: Repeats the plan.
        seconds: How long faults may last.
        pause: Mean time between two faults, seconds.
        kinds: Those that may happen.
    """
    rng = random.Random(seed)
    relays = _Relays()
    free_from: dict[str, float] = {}
    faults: list[Fault] = []
    now = BEGIN_SECONDS
    bag: list[Kind] = []
    while now < seconds:
        if not bag:
            bag = sorted(kinds)
            rng.shuffle(bag)
        # The first that is possible now; what is not keeps its place for later.
        for kind in tuple(bag):
            fault = _fault(rng, kind, now, relays)
            if fault is None:
                continue
            taken = resource(fault)
            if fault.ends <= seconds and free_from.get(taken, 0.0) <= now:
                bag.remove(kind)
                free_from[taken] = fault.ends + _recovery(kind)
                relays.apply(fault)
                faults.append(fault)
                break
        now = round(now + rng.uniform(0.5, 1.5) * pause, 1)
    return tuple(faults)


class _Relays:
    """Which relays run, by number; a number is used again only after it was removed."""

    def __init__(self) -> None:
        self.running = set(range(FIRST_RELAYS))

    def apply(self, fault: Fault) -> None:
        if fault.kind is Kind.RELAY_ADDED:
            self.running.add(fault.target)
        elif fault.kind is Kind.RELAY_REMOVED:
            self.running.remove(fault.target)

    def free(self) -> Iterator[int]:
        return (number for number in range(MOST_RELAYS) if number not in self.running)


def _fault(rng: random.Random, kind: Kind, now: float, relays: _Relays) -> Fault | None:
    if kind is Kind.RELAY_ADDED:
        target = next(relays.free(), None)
    elif kind is Kind.RELAY_REMOVED and len(relays.running) <= FEWEST_RELAYS:
        target = None
    elif kind in {Kind.RELAY_KILLED, Kind.RELAY_FROZEN, Kind.RELAY_REMOVED}:
        target = rng.choice(sorted(relays.running))
    elif kind is Kind.BROKER_KILLED:
        target = rng.randrange(BROKERS)
    elif kind is Kind.TEMPORAL_KILLED:
        target = 0
    else:
        target = rng.randrange(LINES)
    least, most = _SECONDS[kind]
    return None if target is None else Fault(now, kind, target, round(rng.uniform(least, most), 1))


def resource(fault: Fault) -> str:
    """Return what the fault takes; one fault at a time may have it."""
    owner = fault.kind.split()[0]
    if fault.kind in {Kind.BROKER_KILLED, Kind.TEMPORAL_KILLED}:
        return f"{owner} itself"
    return f"{owner} {fault.target}"


def _recovery(kind: Kind) -> float:
    if kind is Kind.BROKER_KILLED:
        return BROKER_RECOVERY_SECONDS
    return _TEMPORAL_RECOVERY_SECONDS if kind is Kind.TEMPORAL_KILLED else 0.0
