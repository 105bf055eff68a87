"""Which audit records an audit command asks for."""

from __future__ import annotations

import pytest

from completion_relay.audit_trail import AuditFilter
from completion_schemas.audit import AuditRecord
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.times import UnixNanos

RECORD = AuditRecord(
    event_id="e1",
    type="completed",
    disposition=Disposition.DEAD_LETTERED,
    reason=DeadLetterReason.INVALID,
    namespace="orders",
    workflow_id="w1",
    topic="completions",
    partition=0,
    offset=7,
    received_at=UnixNanos(90),
    decided_at=UnixNanos(100),
    relay_id="r",
    group="g",
)


@pytest.mark.parametrize(
    "wanted",
    [
        AuditFilter(),
        AuditFilter(since=UnixNanos(100), until=UnixNanos(101)),
        AuditFilter(event_id="e1", workflow_id="w1", namespace="orders"),
        AuditFilter(dispositions=frozenset({Disposition.APPLIED, Disposition.DEAD_LETTERED})),
        AuditFilter(reasons=frozenset({DeadLetterReason.INVALID})),
    ],
)
def test_a_record_that_is_all_that_is_asked_for_matches(wanted: AuditFilter) -> None:
    assert wanted.matches(RECORD)


@pytest.mark.parametrize(
    "wanted",
    [
        AuditFilter(since=UnixNanos(101)),
        AuditFilter(until=UnixNanos(100)),
        AuditFilter(event_id="e2"),
        AuditFilter(workflow_id="w2"),
        AuditFilter(namespace="billing"),
        AuditFilter(dispositions=frozenset({Disposition.APPLIED})),
        AuditFilter(reasons=frozenset({DeadLetterReason.FORBIDDEN})),
    ],
)
def test_one_thing_that_differs_is_enough_not_to_match(wanted: AuditFilter) -> None:
    assert not wanted.matches(RECORD)
