"""Whether an index is of the topic that is open: not by its name, but by the last row of each partition."""

from __future__ import annotations

import pytest
from tests.unit.relay.trails import MemoryTrail, decision

from completion_relay.audit_index.belonging import check_topic
from completion_relay.audit_index.checksum import as_text, digest
from completion_relay.audit_index.columns import row_of
from completion_relay.audit_index.store import OtherTopicError, Progress
from completion_schemas.audit import AuditRecord, audit_fields, encode_audit


def trail_of(*names: str, partitions: int = 1) -> MemoryTrail:
    trail = MemoryTrail(partitions)
    for number, name in enumerate(names):
        trail.append(decision(name, decided=number), written=number)
    return trail


def at(offset: int, record: AuditRecord) -> Progress:
    row = row_of(0, offset, audit_fields(encode_audit(record)))
    return Progress(begin=0, next=offset + 1, last=offset, last_digest=as_text(digest(row)))


async def test_one_whose_last_row_stands_there_is_of_it_however_much_came_since() -> None:
    progress = {0: at(1, decision("b", decided=1))}
    await check_topic("x", progress, trail_of("a", "b", "c", partitions=2))


async def test_one_that_has_nothing_yet_is_of_any() -> None:
    await check_topic("x", {}, trail_of("a"))


async def test_a_topic_that_was_made_anew_and_has_grown_beyond_the_index_is_another() -> None:
    progress = {0: at(1, decision("b", decided=1))}
    with pytest.raises(OtherTopicError, match="at offset 1 audit/0 has another record"):
        await check_topic("x", progress, trail_of("p", "q", "r"))


async def test_a_topic_that_ends_before_the_index_is_another() -> None:
    progress = {0: at(1, decision("b", decided=1))}
    with pytest.raises(OtherTopicError, match="which ends at 1: the topic was made anew or cut"):
        await check_topic("x", progress, trail_of("a"))


async def test_a_topic_with_fewer_partitions_than_the_index_is_another() -> None:
    progress = {3: Progress(begin=0, next=1)}
    with pytest.raises(OtherTopicError, match="its index has partition 3 of audit, which has 1"):
        await check_topic("x", progress, trail_of("a"))


async def test_a_last_row_that_retention_has_deleted_says_nothing() -> None:
    trail = trail_of("p", "q", "r")
    trail.begins = 2
    await check_topic("x", {0: at(1, decision("b", decided=1))}, trail)


async def test_a_last_row_that_retention_deletes_while_it_is_looked_for_says_nothing() -> None:
    trail = trail_of("a", "b", "c")

    def cut() -> None:
        trail.begins = 2

    trail.when_read = cut
    await check_topic("x", {0: at(1, decision("b", decided=1))}, trail)
    assert trail.read_offsets == []
