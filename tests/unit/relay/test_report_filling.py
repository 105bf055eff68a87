"""The index that is made for one report: all of what is asked for is in it, in however many batches it came."""

from __future__ import annotations

import pytest
from tests.unit.relay.trails import MemoryTrail, decision

from completion_relay.audit_filter import AuditFilter
from completion_relay.audit_index.asking import count
from completion_relay.audit_report import filling


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
