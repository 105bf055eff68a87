"""Room `tests`: audit records on a topic, for the tests of what reads them. Touches Kafka."""

from __future__ import annotations

import dataclasses
import time

from tests.support import Topics, produce

from completion_schemas.audit import AuditRecord, encode_audit
from completion_schemas.dispositions import Disposition
from completion_schemas.times import UnixNanos

MINUTE = 60 * 10**9


def decision(event_id: str, **changes: object) -> AuditRecord:
    now = UnixNanos(time.time_ns())
    record = AuditRecord(
        event_id=event_id,
        type="completed",
        disposition=Disposition.APPLIED,
        detail="Temporal took it",
        namespace="default",
        workflow_id="order-42",
        run_id="run",
        activity_id="5",
        attempt=1,
        token_preview="CiQ...",
        token_fingerprint="f" * 32,
        topic="completions",
        partition=0,
        offset=17,
        occurred_at=UnixNanos(now - 12 * 10**6),
        received_at=now,
        decided_at=now,
        tries=1,
        rpc_status="OK",
        relay_id="relay-1",
        group="g",
    )
    return dataclasses.replace(record, **changes)  # type: ignore[arg-type]


async def write(kafka: str, topics: Topics, *records: AuditRecord) -> None:
    for record in records:
        await produce(
            kafka, topics.audit, encode_audit(record), key=record.event_id.encode() or None
        )
