"""Which records a scan of the trail goes over, and which it keeps."""

from __future__ import annotations

from tests.unit.relay.trails import SECOND, MemoryTrail, decision

from completion_relay.audit_filter import AuditFilter
from completion_relay.audit_scan import QUIET_MS, scan
from completion_relay.topic_reader import Progress
from completion_schemas.times import UnixNanos

QUIET = QUIET_MS / 1_000
SLACK = 60.0


def seconds(when: float) -> UnixNanos:
    return UnixNanos(int(when * SECOND))


async def found(trail: MemoryTrail, wanted: AuditFilter) -> list[str]:
    return [hit.fields["event_id"] async for scanned in scan(trail, wanted) for hit in scanned.hits]


async def test_a_scan_begins_and_ends_by_the_time_of_writing() -> None:
    """Of a day that is asked for, neither those before nor those after are read."""
    trail = MemoryTrail()
    for hour in range(100):
        trail.append(decision(f"e{hour}", decided=hour * 3_600), written=hour * 3_600 + 1)
    wanted = AuditFilter(since=seconds(40 * 3_600), until=seconds(50 * 3_600))
    assert await found(trail, wanted) == [f"e{hour}" for hour in range(40, 50)]
    offsets = [offset for _, offset in trail.read_offsets]
    assert min(offsets) == 40
    assert max(offsets) < 60 + 10


async def test_what_an_outage_made_late_is_found() -> None:
    """It was decided before `--to` and written hours later, first of all that was written then."""
    trail = MemoryTrail()
    trail.append(decision("before", decided=100), written=101)
    trail.append(decision("in the outage", decided=900), written=50_000)
    trail.append(decision("after", decided=50_000), written=50_001)
    assert await found(trail, AuditFilter(until=seconds(1_000))) == ["before", "in the outage"]


async def test_a_late_one_is_found_behind_others_that_are_not() -> None:
    """Two journals write to one partition, each in its order, and both were out."""
    trail = MemoryTrail()
    trail.append(decision("other journal", decided=50_000), written=50_000)
    trail.append(decision("late", decided=900), written=50_000 + QUIET - 1)
    trail.append(decision("later", decided=901), written=50_000 + 2 * QUIET - 2)
    assert await found(trail, AuditFilter(until=seconds(1_000))) == ["late", "later"]


async def test_reading_ends_when_nothing_late_has_come_for_long_enough() -> None:
    trail = MemoryTrail(partitions=2)
    for number in range(1_000):
        when = 2_000 + number * 10
        trail.append(decision(f"e{number}", decided=when), written=when, partition=number % 2)
    assert await found(trail, AuditFilter(until=seconds(1_000))) == []
    within = int(QUIET / 20)
    assert all(offset <= within + 10 for _, offset in trail.read_offsets)


async def test_what_cannot_match_by_its_bytes_still_tells_where_to_end() -> None:
    """The late one is another event's: the one asked for comes after it."""
    trail = MemoryTrail()
    trail.append(decision("first", decided=2_000), written=2_000)
    trail.append(decision("late", decided=10), written=2_000 + QUIET - 1)
    trail.append(decision("asked for", decided=20), written=2_000 + 2 * QUIET - 2)
    wanted = AuditFilter(event_id="asked for", until=seconds(1_000))
    assert await found(trail, wanted) == ["asked for"]


async def test_progress_ends_with_all_that_there_is_to_read() -> None:
    trail = MemoryTrail(partitions=3)
    for number in range(100):
        trail.append(decision("e", decided=number), written=number, partition=number % 3)
    seen: list[tuple[int, int, int]] = []

    def note(progress: Progress) -> None:
        seen.append((progress.done, progress.offsets, progress.records))

    async for _ in scan(trail, AuditFilter(), progress=note):
        pass
    assert seen[0] == (0, 100, 0)
    assert seen[-1] == (100, 100, 100)
    assert seen == sorted(seen)
