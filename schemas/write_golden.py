"""Writes the golden files: `python schemas/write_golden.py` (`make protos` after a change of the schema).

They are promises to other languages: a released one changes only when the
contract does. Tests read and write each of them, and compare with a fresh run.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
from dataclasses import replace
from pathlib import Path

import fastavro
from google.protobuf import text_format
from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.enums.v1 import RetryState, TimeoutType
from temporalio.api.failure.v1 import Failure

from completion_schemas import avro
from completion_schemas.audit import AuditRecord, Call, audit_to_json_dict
from completion_schemas.cloudevents import encode_record
from completion_schemas.codecs import AVRO, JSON, PROTOBUF
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.events import (
    ActivityReference,
    Canceled,
    Completed,
    CompletionEvent,
    CompletionSignal,
    Failed,
    Heartbeat,
    Origin,
    Outcome,
)
from completion_schemas.messages import event_message, signal_message
from completion_schemas.record import KafkaRecord
from completion_schemas.signals import encode_signal
from completion_schemas.times import UnixNanos
from completion_schemas.tokens import token_fingerprint, token_preview

HERE = Path(__file__).resolve().parent / "golden"
TOKEN = bytes(range(256))[:111]
"""As long as a task token is; every byte another, so that a wrong alphabet of Base64 shows."""
NOON = UnixNanos(1_767_268_800_123_456_789)
ENCODINGS = {
    # folder: content type, structured mode, how the value's file ends
    "protobuf": (PROTOBUF, False, "binpb"),
    "json": (JSON, False, "json"),
    "avro": (AVRO, False, "avro"),
    "structured": (JSON, True, "json"),
}


def payloads(*data: tuple[str, bytes]) -> Payloads:
    """Return payloads as a data converter writes them."""
    return Payloads(
        payloads=[Payload(metadata={"encoding": name.encode()}, data=value) for name, value in data]
    )


def failure() -> Failure:
    """Return a failure with everything that must survive: type, details, cause, encoded attributes."""
    made = Failure(
        message="Größe überschritten ✗",
        source="PythonSDK",
        stack_trace='  File "agent.py", line 7',
        encoded_attributes=Payload(
            metadata={"encoding": b"binary/encrypted"}, data=b"\x00\xff\x80"
        ),
    )
    info = made.application_failure_info
    info.type, info.non_retryable = "AgentError", True
    info.details.CopyFrom(payloads(("json/plain", b'{"step":3}'), ("binary/null", b"")))
    info.next_retry_delay.seconds, info.next_retry_delay.nanos = 1, 500_000_000
    made.cause.message = "activity failed"
    made.cause.activity_failure_info.activity_id = "5"
    made.cause.activity_failure_info.scheduled_event_id = 2**53 + 1
    made.cause.activity_failure_info.retry_state = RetryState.RETRY_STATE_TIMEOUT
    made.cause.cause.message = "no route"
    made.cause.cause.timeout_failure_info.timeout_type = TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE
    return made


OUTCOMES: dict[str, Outcome] = {
    "completed": Completed(
        payloads(("json/plain", b'{"answer":42}'), ("binary/plain", b"\x00\x01\xfe\xff"))
    ),
    "failed": Failed(failure()),
    "canceled": Canceled(payloads(("json/plain", b'"as asked"'))),
    "heartbeat": Heartbeat(payloads(("json/plain", b"0.5"))),
}
BY_TOKEN = ActivityReference(
    task_token=base64.b64encode(TOKEN).decode("ascii"), token_fingerprint=token_fingerprint(TOKEN)
)
BY_IDS = ActivityReference(
    namespace="orders",
    workflow_id="order-1/ü",
    run_id="0197f1c2-0000-7000-8000-000000000001",
    activity_id="7",
)
REFERENCES = {
    "token": BY_TOKEN,
    "ids": BY_IDS,
    "both": replace(
        BY_IDS,
        task_token=BY_TOKEN.task_token,
        token_fingerprint=BY_TOKEN.token_fingerprint,
        cluster="eu",
        attempt=3,
        deadline="2026-01-01T13:00:00.500Z",
    ),
}
ORIGIN = Origin(
    namespace="agents",
    workflow_id="agent-9",
    run_id="0197f1c2-0000-7000-8000-000000000002",
    workflow_type="Agent",
    identity="4711@host",
)


def event(outcome: str, reference: str) -> CompletionEvent:
    """Return the golden event of an outcome and a way of naming the activity."""
    return CompletionEvent(
        event_id=f"golden-{outcome}-{reference}",
        occurred_at=NOON,
        deadline=UnixNanos(NOON + 3600 * 10**9) if reference == "both" else None,
        activity=REFERENCES[reference],
        outcome=OUTCOMES[outcome],
        # One without: what is not set must stay so.
        origin=Origin() if reference == "ids" else ORIGIN,
    )


SIGNAL = CompletionSignal(
    activity=REFERENCES["both"], cancel_requested=True, origin=ORIGIN, observed_at=NOON
)
AUDIT = AuditRecord(
    event_id="golden-failed-both",
    type="failed",
    disposition=Disposition.DEAD_LETTERED,
    reason=DeadLetterReason.TOO_LARGE,
    detail="the result has 3145728 bytes, the namespace takes 2097152",
    namespace=BY_IDS.namespace,
    workflow_id=BY_IDS.workflow_id,
    run_id=BY_IDS.run_id,
    activity_id=BY_IDS.activity_id,
    attempt=3,
    token_preview=token_preview(TOKEN),
    token_fingerprint=token_fingerprint(TOKEN),
    origin_workflow_id=ORIGIN.workflow_id,
    origin_run_id=ORIGIN.run_id,
    topic="completions",
    partition=3,
    offset=2**40,
    occurred_at=NOON,
    received_at=UnixNanos(NOON + 1),
    decided_at=UnixNanos(NOON + 2),
    tries=1,
    rpc_status="OK",
    relay_id="relay-1",
    group="completion-relay",
    redelivery=True,
    replay_of="completions/3/17",
)
CALLS = (Call(NOON, "UNAVAILABLE"), Call(UnixNanos(NOON + 1), "OK"))
AUDITS = {1: AUDIT, 2: replace(AUDIT, tries=2, calls=CALLS)}
"""By the version of the schema that the record is written with."""


def write(into: Path) -> None:
    """Write every golden file below a folder."""
    for outcome in OUTCOMES:
        for reference in REFERENCES:
            made = event(outcome, reference)
            name = f"{outcome}-{reference}"
            write_text(into / "events" / f"{name}.txtpb", event_message(made))
            for folder, (content_type, structured, ending) in ENCODINGS.items():
                record = encode_record(made, content_type=content_type, structured=structured)
                write_record(into / folder / name, record, ending)
    write_text(into / "signal" / "signal.txtpb", signal_message(SIGNAL))
    for folder, (content_type, structured, ending) in ENCODINGS.items():
        if not structured:
            record = encode_signal(SIGNAL, content_type=content_type)
            write_record(into / "signal" / folder, record, ending)
    for schema in avro.versions("audit"):
        write_audit(into / "audit" / f"v{schema.version}", schema)


def write_text(path: Path, message: Message) -> None:
    """Write a message in protobuf's text format, which a person can read."""
    comment = f"# proto-message: {message.DESCRIPTOR.full_name}\n"
    write_bytes(path, (comment + text_format.MessageToString(message, as_utf8=True)).encode())


def write_record(path: Path, record: KafkaRecord, ending: str) -> None:
    """Write a record's value, and its key and headers beside it."""
    write_bytes(path.with_suffix(f".{ending}"), record.value or b"")
    beside = {
        "key": (record.key or b"").decode(),
        "headers": [[name, (value or b"").decode()] for name, value in record.headers],
    }
    text = json.dumps(beside, indent=2, ensure_ascii=False) + "\n"
    write_bytes(path.with_suffix(".record.json"), text.encode())


def write_audit(path: Path, schema: avro.Schema) -> None:
    """Write the audit record as a version of its schema has it."""
    names = [field["name"] for field in schema.definition["fields"]]
    record = audit_to_json_dict(AUDITS[schema.version])
    fields = {name: value for name, value in record.items() if name in names}
    out = io.BytesIO()
    out.write(schema.header)
    fastavro.schemaless_writer(out, fastavro.parse_schema(dict(schema.definition)), fields)
    write_bytes(path.with_suffix(".avro"), out.getvalue())
    text = json.dumps(fields, indent=2, ensure_ascii=False) + "\n"
    write_bytes(path.with_suffix(".json"), text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, its folder first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, default=HERE, help="write below this folder instead")
    write(parser.parse_args().into)
