"""Which audit records an audit command asks for."""

from __future__ import annotations

import pytest

from completion_relay.audit_filter import AuditFilter
from completion_schemas.audit import AuditRecord, audit_fields, encode_audit
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.times import UnixNanos

RECORD = AuditRecord(
    event_id="e1",
    type="completed",
    disposition=Disposition.DEAD_LETTERED,
    reason=DeadLetterReason.INVALID,
    namespace="orders",
    workflow_id="w1",
    activity_id="a1",
    key_id="k1",
    topic="completions",
    partition=0,
    offset=7,
    received_at=UnixNanos(90),
    decided_at=UnixNanos(100),
    relay_id="r",
    group="g",
)
VALUE = encode_audit(RECORD)


@pytest.mark.parametrize(
    "wanted",
    [
        AuditFilter(),
        AuditFilter(since=UnixNanos(100), until=UnixNanos(101)),
        AuditFilter(event_id="e1", workflow_id="w1", namespace="orders"),
        AuditFilter(activity_id="a1", key_id="k1"),
        AuditFilter(dispositions=frozenset({Disposition.APPLIED, Disposition.DEAD_LETTERED})),
        AuditFilter(reasons=frozenset({DeadLetterReason.INVALID})),
        AuditFilter(place=("completions", 0, 7)),
    ],
)
def test_a_record_that_is_all_that_is_asked_for_matches(wanted: AuditFilter) -> None:
    assert wanted.may_match(b"e1", VALUE)
    assert wanted.matches(audit_fields(VALUE, wanted.fields))


@pytest.mark.parametrize(
    "wanted",
    [
        AuditFilter(since=UnixNanos(101)),
        AuditFilter(until=UnixNanos(100)),
        AuditFilter(event_id="e2"),
        AuditFilter(workflow_id="w2"),
        AuditFilter(namespace="billing"),
        AuditFilter(activity_id="a"),
        AuditFilter(key_id="k2"),
        AuditFilter(dispositions=frozenset({Disposition.APPLIED})),
        AuditFilter(reasons=frozenset({DeadLetterReason.FORBIDDEN})),
        AuditFilter(place=("completions", 0, 8)),
        AuditFilter(place=("completions", 1, 7)),
        AuditFilter(place=("elsewhere", 0, 7)),
    ],
)
def test_one_thing_that_differs_is_enough_not_to_match(wanted: AuditFilter) -> None:
    assert not wanted.matches(audit_fields(VALUE, wanted.fields))


@pytest.mark.parametrize(
    "wanted",
    [
        AuditFilter(event_id="e2"),
        AuditFilter(workflow_id="w"),
        AuditFilter(workflow_id="w11"),
        AuditFilter(activity_id="a2"),
    ],
)
def test_an_id_that_is_not_in_the_bytes_needs_no_decoding(wanted: AuditFilter) -> None:
    """The length stands before a text: what an id begins with is not the id."""
    assert not wanted.may_match(b"e1", VALUE)


def test_what_is_no_audit_record_may_be_one_that_is_asked_for_unless_its_key_says_no() -> None:
    assert AuditFilter().may_match(None, b"garbage")
    assert AuditFilter(workflow_id="w1").may_match(b"e1", None)
    assert not AuditFilter(event_id="e1").may_match(b"e2", None)


def test_an_id_from_the_command_line_that_is_no_unicode_matches_nothing() -> None:
    """Python hands bytes that are no UTF-8 over as lone surrogates."""
    wanted = AuditFilter(workflow_id="w\udcff", event_id="e\udcff")
    assert not wanted.may_match(b"e1", VALUE)
    assert not wanted.matches(audit_fields(VALUE, wanted.fields))
