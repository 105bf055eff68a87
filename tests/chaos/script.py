"""Room `tests/chaos`: which record comes when, and what each of them says. Pure.

The same seed gives the same script, kinds, references and garbage included; only
tokens and times are those of the run.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from tests.chaos.garbage import garbage

from completion_schemas.record import KafkaRecord

FAN: Final = 10
"""Activities a workflow. Few: all calls for one workflow queue for its lock (BUSY_WORKFLOW)."""
DUPLICATES: Final = 0.10
GARBAGE: Final = 0.02
FAILURE_TYPE: Final = "ChaosFailure"
ELSEWHERE: Final = "nobody-serves-this"
"""The namespace of the events of `Kind.ELSEWHERE`."""
POISON_SECONDS: Final = 8.0
"""From a poison token's event to its deadline: several calls, also such as have no answer."""
POISON_WORKFLOW: Final = "poison"
EARLY_SECONDS: Final = 6.0
"""From the acknowledgement of an early event until its activity is scheduled: so long it is undecided."""

_HANDFUL = 3
"""At least so many of what there is few of: a short run has them too."""

Address = tuple[str, str]
"""An activity: workflow id and activity id."""


class Kind(StrEnum):
    """What an emitted record is."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled, as asked for"
    UNASKED = "canceled, not asked for"
    RETRIED = "failed, to be tried again"
    HEARTBEAT = "heartbeat"
    POISON = "poison token"
    ELSEWHERE = "namespace not served"
    GARBAGE = "garbage"


ENDS: Final = frozenset({Kind.COMPLETED, Kind.FAILED, Kind.CANCELED, Kind.UNASKED})
"""What an activity ends with; each has one of them."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event, without the token and the time that it has in a run."""

    kind: Kind
    address: Address
    number: int = 0
    """Tells events of one kind and one activity apart."""
    by_ids: bool = False
    """Whether it names its activity by ids alone, not by the token."""
    attempt: int = 1
    """The attempt that it is for: the second where the first one's failure is retried."""
    early: bool = False
    """Whether its activity is scheduled only after it; such an event is by ids, there is no token yet."""
    odd: bool = False
    """Whether its record has a header more, with a name that is not UTF-8."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """A record that is no event."""

    number: int
    record: KafkaRecord


Item = Event | Garbage


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """How large a share of the activities has what, beside completions, duplicates and garbage."""

    failed: float = 0.0
    canceled: float = 0.0
    unasked: float = 0.0
    by_ids: float = 0.0
    """Whose events, duplicates included, name it by ids."""
    crossed: float = 0.0
    """Of the duplicates: those that name the activity in the other way than the first event did."""
    early: float = 0.0
    """Whose end comes before they are scheduled, and waits for that."""
    retried: float = 0.0
    """Whose first attempt fails with what Temporal retries: the end is for the second attempt."""
    beating: float = 0.0
    """With heartbeats before the end."""
    late: float = 0.0
    """Of those: with one more heartbeat behind the end."""
    poison: float = 0.0
    elsewhere: float = 0.0
    odd: float = 0.0


PLAIN: Final = Mix()
FULL: Final = Mix(
    failed=0.15,
    canceled=0.05,
    unasked=0.05,
    by_ids=0.20,
    crossed=0.20,
    early=0.05,
    retried=0.05,
    beating=0.06,
    late=0.30,
    poison=0.002,
    elsewhere=0.003,
    odd=0.005,
)


UPGRADE: Final = Mix(failed=0.10, early=0.40)
"""What a relay of an earlier revision does as this one: failures beside completions, and so many events
that wait that at any moment most partitions have something settled ahead of one."""


def workflow_id(number: int) -> str:
    """Return the id of the workflow with that number, from 0."""
    return f"fan-{number:04d}"


def addresses(count: int) -> list[Address]:
    """Return so many activities, `FAN` a workflow."""
    return [(workflow_id(number // FAN), str(number % FAN)) for number in range(count)]


def completions(activities: Iterable[Address]) -> list[Event]:
    """Return the event that completes each, by token."""
    return [Event(Kind.COMPLETED, address) for address in activities]


def ending(items: Iterable[Item]) -> dict[Address, Kind]:
    """Return how each activity is to end; those that only poison tokens name are left out."""
    return {
        item.address: item.kind
        for item in items
        if not isinstance(item, Garbage) and item.kind in ENDS
    }


def waiting_for(items: Iterable[Item]) -> list[Address]:
    """Return every activity that an item names, each once, those of a workflow together."""
    named = {item.address for item in items if not isinstance(item, Garbage)}
    return sorted(named, key=lambda address: (address[0], int(address[1])))


def event_id(seed: int, event: Event) -> str:
    """Return the event's id; of the events that end an activity all have one: they are duplicates."""
    workflow, activity = event.address
    what = "" if event.kind in ENDS else f"-{event.kind.name.lower()}-{event.number}"
    return f"chaos-{seed}-{workflow}-{activity}{what}"


def text(seed: int, address: Address) -> str:
    """Return the result, the failure's message or the details that only this activity has."""
    return f"result {seed} of {address[0]} activity {address[1]}"


def early_ones(items: Iterable[Item]) -> frozenset[Address]:
    """Return the activities that are scheduled only after their event."""
    return frozenset(item.address for item in items if isinstance(item, Event) and item.early)


def returned(seed: int, address: Address, kind: Kind) -> tuple[str, str, str]:
    """Return what the workflow must have seen of the activity: how it ended, a type and a text."""
    own = text(seed, address)
    match kind:
        case Kind.FAILED:
            return "failed", FAILURE_TYPE, own
        case Kind.CANCELED:
            return "canceled", "", own
        case Kind.UNASKED:
            # Temporal takes no cancellation that it did not ask for (contract section 4).
            return "failed", "CalleeCanceled", "the callee was canceled"
        case _:
            return "completed", "", own


def script(seed: int, activities: Sequence[Address], mix: Mix = FULL) -> tuple[Item, ...]:
    """Return what is emitted, in order: every activity's event, and all else that the mix has.

    A duplicate is the same event again, anywhere after the first; heartbeats come before
    their activity's end, and some behind it; what fails and is retried does so before its end.
    """
    rng = random.Random(seed)
    ends = list(enumerate(_ends(rng, activities, mix)))
    size = len(ends)
    retried = _retried(rng, ends, mix)
    ends = [(at, replace(end, attempt=2) if at in retried else end) for at, end in ends]
    once = [(at, end) for at, end in ends if at not in retried and not end.early]
    # Sorting by a place keeps a duplicate after its first and mixes all; of one place, what comes
    # first here comes first.
    placed: list[tuple[float, Item]] = []
    for number, at in enumerate(retried):
        placed += _failures(rng, at / size, replace(ends[at][1], number=number))
    for at, end in _beating(rng, once, round(size * mix.beating)):
        placed += _heartbeats(rng, at / size, end, mix)
    placed += [(at / size, end) for at, end in ends]
    for at, end in rng.sample(ends, round(size * DUPLICATES)):
        is_crossed = rng.random() < mix.crossed and not end.early
        again = replace(end, by_ids=end.by_ids != is_crossed)
        placed.append((_behind(rng, at / size), again))
    # By token, too, which those have none of that are not scheduled yet.
    early = {end.address for _, end in ends if end.early}
    known = [address for address in activities if address not in early]
    placed += _strangers(rng, known, mix, size=size)
    placed += [
        (rng.random(), Garbage(number, garbage(rng, number)))
        for number in range(round(size * GARBAGE))
    ]
    items = [item for _, item in sorted(placed, key=lambda one: one[0])]
    good = {
        at: item
        for at, item in enumerate(items)
        if not isinstance(item, Garbage) and item.kind in ENDS
    }
    for at in rng.sample(list(good), _few(mix.odd, size)):
        items[at] = replace(good[at], odd=True)
    return tuple(items)


def _ends(rng: random.Random, activities: Sequence[Address], mix: Mix) -> list[Event]:
    shuffled = list(activities)
    rng.shuffle(shuffled)
    kinds: list[Kind] = []
    for kind, share in (
        (Kind.FAILED, mix.failed),
        (Kind.CANCELED, mix.canceled),
        (Kind.UNASKED, mix.unasked),
    ):
        kinds += [kind] * round(len(shuffled) * share)
    kinds += [Kind.COMPLETED] * (len(shuffled) - len(kinds))
    rng.shuffle(kinds)
    by_ids = set(rng.sample(shuffled, round(len(shuffled) * mix.by_ids)))
    # What is not scheduled cannot be asked to cancel.
    able = [at for at, kind in enumerate(kinds) if kind is not Kind.CANCELED]
    early = set(rng.sample(able, min(len(able), round(len(kinds) * mix.early))))
    return [
        Event(kind, address, by_ids=address in by_ids or at in early, early=at in early)
        for at, (kind, address) in enumerate(zip(kinds, shuffled, strict=True))
    ]


def _retried(rng: random.Random, ends: Sequence[tuple[int, Event]], mix: Mix) -> list[int]:
    """Return the places of the ends that come after a retry."""
    # Where a cancellation was asked for, Temporal makes no further attempt.
    able = [at for at, end in ends if end.kind is not Kind.CANCELED and not end.early]
    return rng.sample(able, min(len(able), round(len(ends) * mix.retried)))


def _beating(
    rng: random.Random, once: Sequence[tuple[int, Event]], count: int
) -> list[tuple[int, Event]]:
    """Return the ends that have heartbeats before them; of those that are asked for a few at least.

    The answer to such a heartbeat asks for the cancellation.
    """
    asked = [one for one in once if one[1].kind is Kind.CANCELED]
    chosen = rng.sample(asked, min(len(asked), count, _HANDFUL))
    others = [one for one in once if one not in chosen]
    return chosen + rng.sample(others, count - len(chosen))


def _failures(rng: random.Random, at: float, end: Event) -> list[tuple[float, Event]]:
    """Return the failure of the first attempt, anywhere before the end, and duplicates of it.

    Those name the activity as the first does: by ids and by token side by side, the one by ids
    could find the first attempt and meet the second, which Temporal does not tell apart.
    """
    failed = replace(end, kind=Kind.RETRIED, attempt=1, by_ids=bool(end.number % 2))
    place = at * rng.random()
    return [(place, failed), *((_behind(rng, place), failed) for _ in range(rng.randint(0, 2)))]


def _behind(rng: random.Random, first: float) -> float:
    return first + rng.random() ** 3 * (1 - first)


def _heartbeats(rng: random.Random, at: float, end: Event, mix: Mix) -> list[tuple[float, Event]]:
    """Return some before the end, close to it and to each other: so that some are overtaken.

    One that is answered with a cancel request comes anywhere before the end: so that it is not.
    """
    places = [at * (1 - rng.random() ** 12) for _ in range(rng.randint(2, 4))]
    if end.kind is Kind.CANCELED:
        places[0] = at * rng.random()
    places.sort()
    if rng.random() < mix.late:
        places.append(_behind(rng, at))
    return [
        (place, replace(end, kind=Kind.HEARTBEAT, number=number))
        for number, place in enumerate(places)
    ]


def _strangers(
    rng: random.Random, activities: Sequence[Address], mix: Mix, *, size: int
) -> list[tuple[float, Event]]:
    """Return what may end no activity: poison tokens, and what is for a namespace that nobody serves."""
    poison = _few(mix.poison, size)
    found = [
        # Spread out, and early enough for the deadline to pass within the run.
        (0.75 * (number + rng.random()) / poison, _poison(number))
        for number in range(poison)
    ]
    for number, address in enumerate(rng.sample(list(activities), _few(mix.elsewhere, size))):
        found.append((rng.random(), Event(Kind.ELSEWHERE, address, number, bool(number % 2))))
    return found


def _poison(number: int) -> Event:
    return Event(Kind.POISON, (POISON_WORKFLOW, str(number)), number)


def _few(share: float, size: int) -> int:
    return min(size, max(_HANDFUL, round(size * share))) if share else 0
