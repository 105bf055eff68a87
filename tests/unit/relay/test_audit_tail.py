"""The newest of the trail, read backwards in steps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.relay.trails import SECOND, MemoryTrail, decision

from completion_relay.audit_filter import AuditFilter
from completion_relay.audit_tail import MOST_OFFSETS, last
from completion_schemas.times import UnixNanos


def filled(count: int, *, partitions: int = 1) -> MemoryTrail:
    trail = MemoryTrail(partitions)
    for number in range(count):
        record = decision(f"e{number}", decided=number)
        trail.append(record, written=number + 0.5, partition=number % partitions)
    return trail


@given(
    places=st.lists(st.integers(0, 3), max_size=400),
    lines=st.integers(0, 30),
    every=st.integers(1, 50),
    until=st.none() | st.integers(0, 450),
)
async def test_the_newest_are_those_that_reading_all_of_it_would_give(
    places: list[int], lines: int, every: int, until: int | None
) -> None:
    """Whatever partition each is in, however few of them are asked for, and whether up to a time."""
    trail = MemoryTrail(partitions=4)
    for number, partition in enumerate(places):
        namespace = "asked" if number % every == 0 else "other"
        record = decision(f"e{number}", decided=number, namespace=namespace)
        trail.append(record, written=number + 0.5, partition=partition)
    before = None if until is None else UnixNanos(until * SECOND)
    newest, _, gave_up = await last(trail, AuditFilter(namespace="asked", until=before), lines)
    count = len(places) if until is None else min(until, len(places))
    wanted = [f"e{number}" for number in range(0, count, every)]
    assert [record.event_id for record in newest.records()] == (wanted[-lines:] if lines else [])
    assert not gave_up


async def test_ten_of_very_many_are_found_by_reading_a_few() -> None:
    trail = filled(20_000, partitions=4)
    newest, end, _ = await last(trail, AuditFilter(), 10)
    assert [record.event_id for record in newest.records()] == [
        f"e{number}" for number in range(19_990, 20_000)
    ]
    assert len(trail.read_offsets) <= 4 * 100
    assert sum(end.values()) == 20_000


async def test_what_is_not_there_is_given_up_after_a_bounded_part_of_the_topic() -> None:
    trail = filled(MOST_OFFSETS + 30_000)
    newest, _, gave_up = await last(trail, AuditFilter(event_id="nobody"), 10)
    assert (newest.records(), gave_up) == ([], True)
    assert MOST_OFFSETS <= len(trail.read_offsets) < MOST_OFFSETS + 20_000


async def test_nothing_before_the_time_asked_for_is_read() -> None:
    trail = filled(10_000)
    wanted = AuditFilter(since=UnixNanos(9_000 * SECOND), event_id="nobody")
    await last(trail, wanted, 10)
    assert min(offset for _, offset in trail.read_offsets) == 9_000 - 60


async def test_the_newest_before_a_time_are_found_by_reading_a_few_however_long_ago_it_is() -> None:
    """A record a second: what is between it and the end of the topic is more than is ever read."""
    trail = filled(MOST_OFFSETS + 30_000)
    wanted = AuditFilter(until=UnixNanos(10_000 * SECOND))
    newest, end, gave_up = await last(trail, wanted, 10)
    assert [record.event_id for record in newest.records()] == [
        f"e{number}" for number in range(9_990, 10_000)
    ]
    assert not gave_up
    assert sum(end.values()) == MOST_OFFSETS + 30_000
    # The clocks' slack, the ten minutes in which something late may come, and a step back.
    assert len(trail.read_offsets) < 1_000


async def test_what_was_decided_before_a_time_and_written_long_after_is_among_the_newest() -> None:
    trail = filled(1_000)
    trail.append(decision("in the outage", decided=999.5), written=50_000)
    for number in range(50_001, 60_000):
        trail.append(decision("after", decided=number), written=number)
    newest, _, _ = await last(trail, AuditFilter(until=UnixNanos(1_000 * SECOND)), 2)
    assert [record.event_id for record in newest.records()] == ["e999", "in the outage"]
