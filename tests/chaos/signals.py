"""Room `tests/chaos`: did each answer that asked for a cancellation become one signal? Pure.

A signal does not name its heartbeat's position. But it is written in one transaction with
the audit record that says `applied`, and Temporal asks for the cancellation in every answer
after it was asked itself, which is before any event: so there are as many signals of an
activity as heartbeats of it that were applied.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from tests.chaos.found import Finding, Found, by_its_position, what
from tests.chaos.script import Address, Event, Item, Kind, ending, event_id

from completion_schemas.dispositions import Disposition
from completion_schemas.errors import DecodeError
from completion_schemas.record import KafkaRecord
from completion_schemas.signals import decode_signal

_Of = tuple[bytes | None, Address]
"""Kafka's key and the activity: the signal's are those of its heartbeat."""


def judge_signals(
    seed: int, items: Sequence[Item], found: Found, finding: Callable[[str], Finding]
) -> None:
    """Judge what is on the signals topic.

    Args:
        seed: The run's.
        items: What was emitted.
        found: What is there.
        finding: Returns the finding of a name.
    """
    broken = finding("signals that are none, or that say what Temporal did not")
    surplus = finding("signals without an applied heartbeat of their own")
    missing = finding("heartbeats applied to what is to be canceled, without their signal")
    ids = Counter(dict(record.headers).get("ce_id") for record in found.signals)
    twice = finding("second signals of one id")
    for name, count in ids.items():
        if count > 1:
            twice.add(name, count - 1)
    seen: Counter[_Of] = Counter()
    for record in found.signals:
        said = _said(record)
        if isinstance(said, str):
            broken.add((record.key, said))
        else:
            seen[record.key, said] += 1
    applied = _applied(_of_heartbeats(seed, items), found)
    for of, count in (seen - applied).items():
        surplus.add(of, count)
    for of, count in (applied - seen).items():
        missing.add(of, count)


def _of_heartbeats(seed: int, items: Sequence[Item]) -> dict[str, Address]:
    """Return the activities of the heartbeats whose answers ask for a cancellation, by event id."""
    ends = ending(items)
    return {
        event_id(seed, item): item.address
        for item in items
        if isinstance(item, Event)
        and item.kind is Kind.HEARTBEAT
        and ends.get(item.address) is Kind.CANCELED
    }


def _applied(asked: Mapping[str, Address], found: Found) -> Counter[_Of]:
    applied: Counter[_Of] = Counter()
    for position, (record, *_) in by_its_position(found.audit).items():
        heartbeat = found.main.get(position)
        address = asked.get(what(heartbeat)) if heartbeat else None
        if heartbeat and address and record.disposition is Disposition.APPLIED:
            applied[heartbeat.key, address] += 1
    return applied


def _said(record: KafkaRecord) -> Address | str:
    """Return whose cancellation a signal says is asked for, or what is wrong with it."""
    try:
        signal = decode_signal(record.headers, record.value)
    except DecodeError as error:
        return str(error)
    flags = (signal.cancel_requested, signal.paused, signal.reset)
    if flags != (True, False, False):
        return f"cancel_requested, paused, reset: {flags}"
    if record.key != signal.activity.key.encode():
        return f"its activity's key is {signal.activity.key}"
    return signal.activity.workflow_id, signal.activity.activity_id
