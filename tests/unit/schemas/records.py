"""Room `tests`: records by hand, as a producer without our library writes them."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from completion_schemas.cloudevents import TYPES, decode_record, encode_record
from completion_schemas.codecs import AVRO, JSON, PROTOBUF
from completion_schemas.events import CompletionEvent
from completion_schemas.record import KafkaRecord


class Mode(NamedTuple):
    """How an event is sent."""

    content_type: str
    structured: bool

    def record(self, event: CompletionEvent) -> KafkaRecord:
        """Return the event's record."""
        return encode_record(event, content_type=self.content_type, structured=self.structured)


ENCODINGS = [PROTOBUF, JSON, AVRO]
MODES = [Mode(encoding, structured) for structured in (False, True) for encoding in ENCODINGS]
"""Every encoding in binary and in structured mode."""

EVENT = {
    "eventId": "e-1",
    "occurredAt": "2026-01-31T12:00:00Z",
    "activity": {"workflowId": "w", "runId": "r", "activityId": "1"},
}


def headers(
    outcome: str = "completed", content_type: str = JSON, event_id: str = "e-1"
) -> list[tuple[str, bytes | None]]:
    """Return the headers that the contract asks for."""
    return [
        ("content-type", content_type.encode()),
        ("ce_specversion", b"1.0"),
        ("ce_id", event_id.encode()),
        ("ce_source", b"/test"),
        ("ce_type", TYPES[outcome].encode()),
    ]


def from_json(outcome: str, value: Any, **more: Any) -> CompletionEvent:
    """Return what a plain producer's JSON event with this outcome is read as."""
    text = json.dumps({**EVENT, outcome: value, **more})
    return decode_record(headers(outcome), text.encode())
