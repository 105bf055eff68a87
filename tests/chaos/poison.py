"""Room `tests/chaos`: did a token that can never be taken end as it should, and hold up nobody? Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tests.chaos.found import Finding, Found
from tests.chaos.script import POISON_SECONDS, Kind

from completion_schemas.audit import AuditRecord

WINDOW_SECONDS: Final = 5.0
"""The last part of a poison token's wait, in which is looked for what got past it."""
SEVERAL_BEHIND: Final = 5
"""Records behind it that wait: with fewer, chance may have that none of them is decided in time."""
MANY_ELSEWHERE: Final = 20
"""Decisions of the same relay in other partitions: so Temporal and Kafka were there."""


def judge_poison(
    kinds: Mapping[str, Kind], found: Found, finding: Callable[[str], Finding]
) -> None:
    """Judge the poison tokens' events beyond their disposition.

    Args:
        kinds: Of the events, by id.
        found: What is there.
        finding: Returns the finding of a name.
    """
    early = finding("poison tokens given up untried, or before their deadline")
    held_up = finding("partitions that a poison token held up")
    for record in found.audit:
        if kinds.get(record.event_id) is not Kind.POISON:
            continue
        deadline = (record.occurred_at or 0) + round(POISON_SECONDS * 1e9)
        if not record.tries or record.decided_at < deadline:
            early.add((record.event_id, record.tries, record.detail))
        if _held_up(record, kinds, found):
            held_up.add((record.event_id, f"{record.partition}/{record.offset}", record.relay_id))


def _held_up(poison: AuditRecord, kinds: Mapping[str, Kind], found: Found) -> bool:
    """Whether nothing behind it got past it while its relay was busy with other partitions."""
    since = poison.decided_at - round(WINDOW_SECONDS * 1e9)
    others = [
        record
        for record in found.audit
        if record.relay_id == poison.relay_id and kinds.get(record.event_id) is not Kind.POISON
    ]
    behind = [
        record
        for record in others
        if record.partition == poison.partition
        and record.offset > poison.offset
        and poison.received_at <= record.received_at <= since
    ]
    elsewhere = sum(
        record.partition != poison.partition and since < record.decided_at < poison.decided_at
        for record in others
    )
    return (
        len(behind) >= SEVERAL_BEHIND
        and elsewhere >= MANY_ELSEWHERE
        and all(record.decided_at >= poison.decided_at for record in behind)
    )
