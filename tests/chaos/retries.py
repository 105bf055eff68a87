"""Room `tests/chaos`: did a failure that Temporal retries cost its activity one attempt, and not two? Pure.

By ids Temporal takes such a failure as often as it comes, each time from another
attempt, and history has one end all the same: only the number of the last attempt
tells that it was delivered twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from tests.chaos.found import Finding, Found
from tests.chaos.script import Address, Event, Item, Kind, event_id

from completion_schemas.dispositions import Disposition


def judge_retries(
    seed: int, items: Sequence[Item], found: Found, finding: Callable[[str], Finding]
) -> None:
    """Judge how many attempts each activity took, and what made it take another one.

    Args:
        seed: The run's.
        items: What was emitted.
        found: What is there.
        finding: Returns the finding of a name.
    """
    attempts = finding("activities with more or fewer attempts than theirs")
    contradicting = finding("retries by another position than the audit trail says")
    retried: dict[Address, str] = {
        item.address: event_id(seed, item)
        for item in items
        if isinstance(item, Event) and item.kind is Kind.RETRIED
    }
    applied: defaultdict[str, set[str]] = defaultdict(set)
    for record in found.audit:
        if record.disposition is Disposition.APPLIED:
            place = f"{record.topic}/{record.partition}/{record.offset}"
            applied[record.event_id].add(f"completion-relay/{record.event_id}@{place}")
    for address, started in found.started.items():
        own = retried.get(address)
        if started.attempt != (1 if own is None else 2):
            attempts.add((address, started))
        marks = {started.after} if started.after else set()
        wanted = set() if own is None else applied[own]
        if marks != wanted:
            contradicting.add((address, started, sorted(wanted)))
