"""Room `events`: the event as a Kafka record, by the CloudEvents 1.0 Kafka binding. Touches nothing.

Own parser: the reference SDK reads headers into a dict (duplicates are lost),
fails on a null header value and takes the key for UTF-8 (facts D).

What is looked at is what the contract names. `ce_specversion`, `ce_id`,
`ce_type` and `content-type` are read; names compare without regard to case;
a header that is there twice must say the same twice, as one reader would take
the first and another the last. `ce_source`, `ce_time`, `ce_subject` and every
other header are for people and other tools: written, never read.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote

from completion_schemas import codecs, structured_json
from completion_schemas.codecs import PROTOBUF
from completion_schemas.errors import DecodeError, EncodeError
from completion_schemas.events import MAX_EVENT_ID_BYTES, CompletionEvent, Origin
from completion_schemas.messages import event_from_message, event_message
from completion_schemas.record import Headers, KafkaRecord
from completion_schemas.times import nanos_rfc3339
from completion_schemas.v1.event_pb2 import CompletionEvent as EventMessage

SPEC_VERSION = "1.0"
TYPES = {
    outcome: f"completion.activity.{outcome}.v1"
    for outcome in ("completed", "failed", "canceled", "heartbeat")
}
"""The CloudEvents type of each outcome."""

_OUTCOMES = {ce_type: outcome for outcome, ce_type in TYPES.items()}
_READ = frozenset({"content-type", "ce_specversion", "ce_id", "ce_type"})
_WRITTEN = _READ | {"ce_source", "ce_time", "ce_subject"}
_STRUCTURED = ("content-type", structured_json.CONTENT_TYPE.encode())
_MAX_TRACE_BYTES = 1_024
"""W3C asks for at least 512 characters of `tracestate` to be passed on. What anybody may write to the
topic goes into the audit record from here, and must not make it too large for its topic."""
_TRACE = frozenset({"traceparent", "tracestate", "ce_traceparent", "ce_tracestate"})


class Claim(NamedTuple):
    """What a record says it is, without its value having been understood."""

    event_id: str
    """Empty where it does not say, or says more than an event id may have."""
    type: str
    """`completed`, `failed`, `canceled`, `heartbeat`; empty for anything else."""


def encode_record(
    event: CompletionEvent,
    *,
    content_type: str = PROTOBUF,
    structured: bool = False,
    headers: Headers = (),
) -> KafkaRecord:
    """Return the record to send.

    Args:
        event: What to send.
        content_type: How the event is encoded: `application/protobuf`, `application/json` or `avro/binary`.
        structured: Whether all of it, attributes and data, is one JSON value.
        headers: Further headers, such as `traceparent`, sent as they are.

    Raises:
        EncodeError: the encoding cannot carry the event, or a further header is one that this writes.
    """
    for name, _ in headers:
        if name.lower() in _WRITTEN:
            raise EncodeError(f"header {name.lower()} is written by encode_record: leave it out")
    message = event_message(event)
    attributes = {
        "specversion": SPEC_VERSION,
        "id": event.event_id,
        "source": source(event.origin),
        "type": TYPES[event.type],
        "time": nanos_rfc3339(event.occurred_at),
    }
    if event.activity.workflow_id:
        attributes["subject"] = event.activity.workflow_id
    key = event.activity_key.encode()
    media = codecs.media_type(content_type)
    if structured:
        value = structured_json.encode(attributes, media, message)
        return KafkaRecord(key, value, (_STRUCTURED, *headers))
    value = codecs.encode(media, message)
    own = [("content-type", media.encode())]
    own += [(f"ce_{name}", text.encode()) for name, text in attributes.items()]
    return KafkaRecord(key, value, (*own, *headers))


def decode_record(headers: Headers, value: bytes | None) -> CompletionEvent:
    """Return the event that a record holds.

    Args:
        headers: As they came: names may repeat, values may be null.
        value: As it came; null is None.

    Raises:
        DecodeError: the record holds no event, or headers and value contradict each other.
    """
    read = read_headers(headers)
    content_type = read.get("content-type")
    if content_type is None:
        raise DecodeError(
            "header content-type is missing: say how the value is encoded, for example application/json"
        )
    if value is None:
        raise DecodeError("the value is null: a completion event is never a tombstone")
    media = codecs.media_type(content_type)
    if media.startswith(structured_json.FAMILY):
        return _structured(media, value, read)
    if read.get("ce_specversion") != SPEC_VERSION:
        raise DecodeError(f"header ce_specversion must be there and say {SPEC_VERSION}")
    event = event_from_message(codecs.decode(media, value, EventMessage))
    _agree(event, "header ce_id", read.get("ce_id"), "header ce_type", read.get("ce_type"))
    return event


def _structured(media: str, value: bytes, read: dict[str, str]) -> CompletionEvent:
    envelope, message = structured_json.decode(media, value, EventMessage)
    if read.get("ce_specversion", SPEC_VERSION) != SPEC_VERSION:
        raise DecodeError(f"header ce_specversion must say {SPEC_VERSION} where it is there")
    event = event_from_message(message)
    _agree(event, "id", envelope.id, "type", envelope.type)
    # The binding allows headers beside the envelope; they may repeat it, not contradict it.
    _agree(
        event,
        "header ce_id",
        read.get("ce_id", envelope.id),
        "header ce_type",
        read.get("ce_type", envelope.type),
    )
    return event


def claim(headers: Headers, value: bytes | None = None) -> Claim:
    """Return what the record says it is, as far as it can be told; for the audit of a record that is no event.

    Never raises. The first header that can be read counts.
    """
    found: dict[str, str] = {}
    for name, raw in headers:
        if raw and name.lower() in _READ:
            found.setdefault(name.lower(), raw.decode("utf-8", "replace"))
    if value and found.get("content-type", "").lower().startswith(structured_json.FAMILY):
        envelope = structured_json.peek(value)
        found = {"ce_id": envelope.id, "ce_type": envelope.type, **found}
    # JSON can say a lone surrogate, which no audit record can hold.
    event_id = found.get("ce_id", "").encode("utf-8", "replace")
    return Claim(
        event_id.decode() if len(event_id) <= MAX_EVENT_ID_BYTES else "",
        _OUTCOMES.get(found.get("ce_type", ""), ""),
    )


def trace_context(headers: Headers) -> dict[str, str]:
    """Return W3C `traceparent` and `tracestate` as far as they are there, for an OpenTelemetry propagator.

    The plain headers win over CloudEvents' extension attributes (`ce_traceparent`).
    What cannot be read is left out: a broken trace never stops an event.
    """
    plain: dict[str, str] = {}
    extension: dict[str, str] = {}
    for name, raw in headers:
        key = name.lower()
        if key in _TRACE and raw and len(raw) <= _MAX_TRACE_BYTES and raw.isascii():
            into = extension if key.startswith("ce_") else plain
            into[key.removeprefix("ce_")] = raw.decode("ascii")
    return extension | plain


def read_headers(headers: Headers) -> dict[str, str]:
    """Return the headers that are looked at, by lower-case name.

    Raises:
        DecodeError: one has no value, is not UTF-8, or is there twice and says different things.
    """
    read: dict[str, str] = {}
    for name, raw in headers:
        key = name.lower()
        if key not in _READ:
            continue
        if raw is None:
            raise DecodeError(f"header {key} has no value")
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            raise DecodeError(f"header {key} is not UTF-8") from None
        if read.setdefault(key, text) != text:
            raise DecodeError(
                f"header {key} is there twice and says different things: send it once"
            )
    return read


def _agree(
    event: CompletionEvent, id_name: str, event_id: str | None, type_name: str, ce_type: str | None
) -> None:
    """Refuse a record whose attributes say another event than its value."""
    if event_id is None:
        raise DecodeError(f"{id_name} is missing: it must be the value's event_id")
    if event_id != event.event_id:
        raise DecodeError(f"{id_name} contradicts the value: it must be the value's event_id")
    expected = TYPES[event.type]
    if ce_type is None:
        raise DecodeError(f"{type_name} is missing: it must be {expected}, as the value says")
    if ce_type != expected:
        raise DecodeError(f"{type_name} contradicts the value: it must be {expected}")


def source(origin: Origin) -> str:
    """Return the URI reference that CloudEvents wants as the source: the callee as far as it is known."""
    parts = [
        (kind, text)
        for kind, text in (
            ("namespaces", origin.namespace),
            ("workflows", origin.workflow_id),
            ("runs", origin.run_id),
        )
        if text
    ]
    if not parts:
        return "/" + quote(origin.identity, safe="")
    return "".join(f"/{kind}/{quote(text, safe='')}" for kind, text in parts)
