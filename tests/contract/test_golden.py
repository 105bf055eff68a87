"""The golden files: what other languages were promised is what we read and write."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import text_format

from completion_schemas import avro
from completion_schemas.audit import audit_to_json_dict, decode_audit, encode_audit
from completion_schemas.cloudevents import decode_record, encode_record
from completion_schemas.codecs import AVRO, JSON, PROTOBUF
from completion_schemas.messages import event_from_message, signal_from_message
from completion_schemas.record import KafkaRecord
from completion_schemas.signals import decode_signal, encode_signal
from completion_schemas.v1.event_pb2 import CompletionEvent as EventMessage
from completion_schemas.v1.signal_pb2 import CompletionSignal as SignalMessage

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
GOLDEN = SCHEMAS / "golden"
ENCODINGS = {
    "protobuf": (PROTOBUF, False, "binpb"),
    "json": (JSON, False, "json"),
    "avro": (AVRO, False, "avro"),
    "structured": (JSON, True, "json"),
}
NAMES = [
    f"{outcome}-{reference}"
    for outcome in ("completed", "failed", "canceled", "heartbeat")
    for reference in ("token", "ids", "both")
]

pytestmark = pytest.mark.source_tree


def golden(folder: str, name: str, ending: str) -> KafkaRecord:
    """Return the record that the files of this name say."""
    beside = json.loads((GOLDEN / folder / f"{name}.record.json").read_text())
    return KafkaRecord(
        beside["key"].encode(),
        (GOLDEN / folder / f"{name}.{ending}").read_bytes(),
        tuple((header, value.encode()) for header, value in beside["headers"]),
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("folder", ENCODINGS)
def test_a_golden_record_is_the_event_that_its_description_says(folder: str, name: str) -> None:
    text = (GOLDEN / "events" / f"{name}.txtpb").read_text()
    event = event_from_message(text_format.Parse(text, EventMessage()))
    content_type, structured, ending = ENCODINGS[folder]
    record = golden(folder, name, ending)

    assert decode_record(record.headers, record.value) == event
    assert encode_record(event, content_type=content_type, structured=structured) == record


@pytest.mark.parametrize("folder", ["protobuf", "json", "avro"])
def test_a_golden_signal_is_the_signal_that_its_description_says(folder: str) -> None:
    text = (GOLDEN / "signal" / "signal.txtpb").read_text()
    signal = signal_from_message(text_format.Parse(text, SignalMessage()))
    content_type, _, ending = ENCODINGS[folder]
    record = golden("signal", folder, ending)

    assert decode_signal(record.headers, record.value) == signal
    assert encode_signal(signal, content_type=content_type) == record


@pytest.mark.parametrize("schema", avro.versions("audit"), ids=lambda schema: f"v{schema.version}")
def test_the_golden_audit_record_of_every_version_is_read(schema: avro.Schema) -> None:
    """What its version did not have yet is as if nothing were known of it."""
    golden = GOLDEN / "audit" / f"v{schema.version}"
    value = golden.with_suffix(".avro").read_bytes()
    fields = json.loads(golden.with_suffix(".json").read_text())
    record = decode_audit(value)
    newer = {
        field["name"]: field["default"]
        for field in avro.latest("audit").definition["fields"]
        if field["name"] not in fields
    }

    assert value.startswith(schema.header)
    assert audit_to_json_dict(record) == fields | newer
    assert decode_audit(encode_audit(record)) == record


def test_the_golden_files_are_those_that_the_script_writes(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, SCHEMAS / "write_golden.py", "--into", tmp_path], check=True, timeout=60
    )

    written = {path.relative_to(tmp_path): path.read_bytes() for path in files(tmp_path)}
    committed = {path.relative_to(GOLDEN): path.read_bytes() for path in files(GOLDEN)}
    assert written == {path: data for path, data in committed.items() if path.suffix != ".md"}


def files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]
