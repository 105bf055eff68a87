"""Room `audit`: the audit record of a decided record. Core: touches nothing."""

from __future__ import annotations

from completion_relay.decision import Decision, Delivery
from completion_relay.replay.headers import REPLAY_OF
from completion_relay.task_token import TokenHint, read_token, seems_to_name
from completion_relay.verdict import Status
from completion_schemas.audit import AuditRecord, encode_audit
from completion_schemas.cloudevents import Claim
from completion_schemas.dispositions import Disposition
from completion_schemas.events import ActivityReference, CompletionEvent, UnixNanos
from completion_schemas.record import Headers, KafkaRecord
from completion_schemas.tokens import token_fingerprint, token_preview

_MAX_ID_BYTES = 1_000
"""Temporal's own limit of an id (`limit.maxIDLength`); anybody may write longer ones to Kafka, and
an audit record that is too large for its topic could never be written."""
_MAX_DETAIL_BYTES = 4_096


def audit_record(
    delivery: Delivery,
    decision: Decision,
    *,
    event: CompletionEvent | None,
    claim: Claim,
    namespace: str,
    group: str,
    relay_id: str,
    decided_at: UnixNanos,
) -> AuditRecord:
    """Return what became of a record, as it goes into the trail.

    Args:
        delivery: The record and its position.
        decision: What became of it.
        event: The event in it; None where there is none.
        claim: What the record says it is, for a record that holds no event.
        namespace: Where it was routed; the one it named when it was not.
        group: The consumer group that decided it.
        relay_id: The replica that decided it.
        decided_at: When.
    """
    reference = event.activity if event else ActivityReference()
    token = reference.token_bytes()
    # The token decides, the ids explain: where they contradict each other, it is
    # the token's activity that was completed.
    named: TokenHint | ActivityReference = reference
    if token and not seems_to_name(token, reference):
        named = read_token(token) or reference
    return AuditRecord(
        event_id=event.event_id if event else claim.event_id,
        type=event.type if event else claim.type,
        disposition=decision.disposition,
        reason=decision.reason,
        detail=_cut(decision.detail, _MAX_DETAIL_BYTES),
        namespace=_cut(namespace),
        workflow_id=_cut(named.workflow_id),
        run_id=_cut(named.run_id),
        activity_id=_cut(named.activity_id),
        attempt=named.attempt,
        token_preview=token_preview(token),
        token_fingerprint=token_fingerprint(token) or _cut(reference.token_fingerprint),
        origin_workflow_id=_cut(event.origin.workflow_id) if event else "",
        origin_run_id=_cut(event.origin.run_id) if event else "",
        topic=delivery.topic,
        partition=delivery.partition,
        offset=delivery.offset,
        occurred_at=event.occurred_at if event else None,
        received_at=delivery.received_at,
        decided_at=decided_at,
        tries=decision.tries,
        rpc_status=str(decision.rpc_status) if decision.rpc_status else None,
        relay_id=relay_id,
        group=group,
        redelivery=_was_applied_before(decision),
        replay_of=_header(delivery, REPLAY_OF),
        calls=decision.calls,
    )


def to_kafka(record: AuditRecord, headers: Headers = ()) -> KafkaRecord:
    """Return the audit topic's record: keyed by the event's id, where it has one.

    Args:
        record: What became of the event.
        headers: Further headers: the trace context.
    """
    return KafkaRecord(
        record.event_id.encode() or None,
        encode_audit(record),
        (("content-type", b"application/avro"), *headers),
    )


def _header(delivery: Delivery, name: str) -> str | None:
    for header, value in delivery.record.headers:
        if header == name and value is not None:
            return _cut(value.decode("utf-8", "replace"))
    return None


def _cut(text: str, most: int = _MAX_ID_BYTES) -> str:
    if 4 * len(text) <= most:  # no character of UTF-8 has more bytes
        return text
    return text.encode()[:most].decode("utf-8", "ignore")


def _was_applied_before(decision: Decision) -> bool:
    # All that is known of an earlier delivery: that this very record had been
    # applied before the first try of this one.
    return (
        decision.disposition is Disposition.APPLIED
        and decision.tries <= 1
        and decision.rpc_status is not Status.OK
    )
