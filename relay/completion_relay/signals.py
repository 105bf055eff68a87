"""Room `signals`: what Temporal answered a heartbeat with, for the callee. Core: touches nothing."""

from __future__ import annotations

from completion_relay.verdict import Answer
from completion_schemas.events import CompletionEvent, CompletionSignal, UnixNanos
from completion_schemas.record import Headers, KafkaRecord
from completion_schemas.signals import encode_signal


def signal_record(
    event: CompletionEvent, answer: Answer, *, now: UnixNanos, headers: Headers
) -> KafkaRecord:
    """Return the record for the signals topic, keyed as the heartbeat was.

    Args:
        event: The heartbeat.
        answer: What Temporal asked for in its answer.
        now: When.
        headers: Further headers: the trace context.
    """
    return encode_signal(
        CompletionSignal(
            activity=event.activity,
            cancel_requested=answer.cancel_requested,
            paused=answer.paused,
            reset=answer.reset,
            origin=event.origin,
            observed_at=now,
        ),
        headers=headers,
    )
