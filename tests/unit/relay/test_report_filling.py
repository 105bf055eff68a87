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
