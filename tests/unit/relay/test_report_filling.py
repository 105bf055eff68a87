"""The index that is made for one report: all of what is asked for is in it, in however many batches it came."""

from __future__ import annotations

import pytest
from tests.unit.relay.trails import SECOND, MemoryTrail, decision

from completion_relay.audit_filter import AuditFilter
from completion_relay.audit_index.asking import count
from completion_relay.audit_report import filling
from completion_relay.audit_report.figures import figures
from completion_schemas.times import UnixNanos


@pytest.mark.parametrize("records", [0, 1, 20, 45])
async def test_all_that_is_asked_for_is_in_it(
    records: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trail hands over ten at a time, of two partitions with the same offsets."""
    monkeypatch.setattr(filling, "BATCH_RECORDS", 20)
    trail, wanted = MemoryTrail(partitions=2), AuditFilter(namespace="asked for")
    for number in range(2 * records):
        trail.append(decision("e", decided=number, namespace="asked for"), written=number)
        trail.append(decision("e", decided=number, namespace="no"), written=number)
        trail.append(
            decision("e", decided=number, namespace="asked for"), written=number, partition=1
        )
    async with filling.filled(
        trail, wanted, "audit", unreadable=[], progress=lambda _: None
    ) as store:
        assert store.select(*count(wanted, 1_000)) == [(4 * records,)]


@pytest.mark.parametrize(
    "wanted", [AuditFilter(), AuditFilter(since=UnixNanos(0), until=UnixNanos(2**62))]
)
async def test_a_bar_is_as_wide_as_what_is_there_asks_whatever_time_was_asked_for(
    wanted: AuditFilter,
) -> None:
    """From 1970 to now all of an hour was one bar of thirty days."""
    trail = MemoryTrail()
    begin = 1_700_000_000
    for minute in range(60):
        trail.append(decision("e", decided=begin + 60 * minute), written=begin)
    async with filling.filled(
        trail, wanted, "audit", unreadable=[], progress=lambda _: None
    ) as store:
        found = figures(store, wanted)
    assert found.width == 60 * SECOND
    assert [bucket.count for bucket in found.buckets] == [1] * 60


async def test_what_is_no_first_decision_is_in_no_latency_and_not_among_the_slowest() -> None:
    """Two replays after a minute made a median of 0.1 s one of a minute."""
    trail, begin = MemoryTrail(), 1_700_000_000
    occurred = UnixNanos(begin * SECOND)
    for event, after, more in (
        ("first", 1, {"tries": 2}),
        ("again", 60, {"redelivery": True}),
        ("replayed", 70, {"replay_of": "completions/0/1", "tries": 3}),
        ("both", 80, {"replay_of": "completions/0/1", "redelivery": True}),
    ):
        record = decision(event, decided=begin + after, occurred_at=occurred, **more)
        trail.append(record, written=begin + after)
    undecoded = decision("", decided=begin + 90, replay_of="completions/0/2")
    trail.append(undecoded, written=begin + 90)
    async with filling.filled(
        trail, AuditFilter(), "audit", unreadable=[], progress=lambda _: None
    ) as store:
        found = figures(store, AuditFilter())
    (latency,) = found.latencies
    assert (latency.count, latency.p50, latency.most) == (1, SECOND, SECOND)
    assert [row.event_id for row in found.slowest] == ["first"]
    assert (found.replays_left_out, found.read_again_left_out) == (2, 1)
    assert (found.decisions, found.redelivered) == (5, 2)
    # How often a replay was tried is its own; how long it took is not.
    assert [(row.event_id, row.took) for row in found.most_retried] == [
        ("replayed", None),
        ("first", SECOND),
    ]
