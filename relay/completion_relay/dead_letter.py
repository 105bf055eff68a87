"""Room `dead_letter`: the record for the dead-letter topic. Core: touches nothing.

Value, key and headers of the original stay untouched; what is known of the
failure goes into further headers (contract section 7). What was replayed and fails
again is known by where it was first, as the replay says it.
"""

from __future__ import annotations

from completion_relay.decision import Decision, Delivery
from completion_relay.replay.headers import TIMESTAMP, number_of, replay_of
from completion_schemas.events import UnixNanos
from completion_schemas.record import KafkaRecord
from completion_schemas.times import nanos_rfc3339

PREFIX = "completion-dlq-"
_ORIGIN = ("topic", "partition", "offset", "timestamp", "first-failed-at")
_MAX_DETAIL_BYTES = 4_096
"""An error text may quote much; the dead-letter topic has room for a bounded header."""
_LATEST = 2**63 - 1


def dead_letter(
    delivery: Delivery, decision: Decision, *, group: str, relay_id: str, now: UnixNanos
) -> KafkaRecord:
    """Return the record to write to the dead-letter topic.

    A record that was dead-lettered before keeps where it first came from and
    when it first failed; what is said of the failure is that of the last one.
    """
    kept: list[tuple[str, bytes | None]] = []
    first: dict[str, bytes] = {}
    for name, value in delivery.record.headers:
        if not name.startswith(PREFIX):
            kept.append((name, value))
        elif value is not None:
            first.setdefault(name.removeprefix(PREFIX), value)
    origin = replay_of(kept)
    stamp = None if origin is None else number_of(kept, TIMESTAMP, most=_LATEST)
    at = nanos_rfc3339(now)
    failure = {
        "reason": str(decision.reason),
        "detail": decision.detail.encode()[:_MAX_DETAIL_BYTES].decode("utf-8", "ignore"),
        "stage": decision.stage,
        "topic": (origin or delivery).topic,
        "partition": str((origin or delivery).partition),
        "offset": str((origin or delivery).offset),
        "timestamp": str(delivery.timestamp_ms if stamp is None else stamp),
        "consumer-group": group,
        "tries": str(decision.tries),
        "first-failed-at": at,
        "last-failed-at": at,
        "relay-id": relay_id,
    }
    added = {name: text.encode() for name, text in failure.items()}
    added.update({name: first[name] for name in _ORIGIN if name in first})
    return KafkaRecord(
        delivery.record.key,
        delivery.record.value,
        (*kept, *((PREFIX + name, value) for name, value in added.items())),
    )
