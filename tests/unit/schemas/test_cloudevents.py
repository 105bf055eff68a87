"""The record around the event: the rules of CloudEvents' Kafka binding that the contract names."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from tests.unit.schemas.records import EVENT, headers

from completion_schemas.avro import latest
from completion_schemas.cloudevents import claim, decode_record, encode_record, trace_context
from completion_schemas.codecs import AVRO, JSON, PROTOBUF
from completion_schemas.errors import DecodeError, EncodeError
from completion_schemas.events import (
    ActivityReference,
    Completed,
    CompletionEvent,
    CompletionSignal,
    Origin,
)
from completion_schemas.record import Headers
from completion_schemas.signals import decode_signal, encode_signal
from completion_schemas.times import UnixNanos

MADE = CompletionEvent(
    event_id="e-1",
    occurred_at=UnixNanos(1_769_860_800_000_000_000),
    activity=ActivityReference(workflow_id="w", run_id="r", activity_id="1"),
    outcome=Completed(),
)
VALUE = json.dumps({**EVENT, "completed": {}}).encode()
ENVELOPE: dict[str, Any] = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/test",
    "type": "completion.activity.completed.v1",
    "data": {**EVENT, "completed": {}},
}
STRUCTURED: Headers = [("content-type", b"application/cloudevents+json; charset=UTF-8")]


def with_header(name: str, raw: bytes | None) -> Headers:
    return [(key, raw if key == name else value) for key, value in headers()]


def without(name: str) -> Headers:
    return [(key, value) for key, value in headers() if key != name]


def test_binary_mode_writes_every_attribute_of_the_contract() -> None:
    origin = Origin(namespace="n", workflow_id="a/ü", run_id="r2")
    made = CompletionEvent(
        event_id="e-1",
        occurred_at=MADE.occurred_at,
        activity=MADE.activity,
        outcome=Completed(),
        origin=origin,
    )

    record = encode_record(made, headers=[("traceparent", b"00-1-2-01")])

    assert record.headers == (
        ("content-type", b"application/protobuf"),
        ("ce_specversion", b"1.0"),
        ("ce_id", b"e-1"),
        ("ce_source", b"/namespaces/n/workflows/a%2F%C3%BC/runs/r2"),
        ("ce_type", b"completion.activity.completed.v1"),
        ("ce_time", b"2026-01-31T12:00:00Z"),
        ("ce_subject", b"w"),
        ("traceparent", b"00-1-2-01"),
    )


def test_a_further_header_cannot_contradict_the_event() -> None:
    with pytest.raises(EncodeError, match="header ce_id is written by encode_record"):
        encode_record(MADE, headers=[("CE_ID", b"other")])


def test_a_record_by_hand_is_the_event() -> None:
    assert decode_record(headers(), VALUE) == MADE


@pytest.mark.parametrize(
    ("content_type", "same_as"),
    [
        ("application/x-protobuf", PROTOBUF),
        ("APPLICATION/PROTOBUF", PROTOBUF),
        ("application/json; charset=utf-8", JSON),
        ("application/json;charset=utf-8", JSON),
        ("application/avro", AVRO),
        ("application/vnd.apache.avro+binary", AVRO),
    ],
)
def test_other_names_of_a_content_type_are_read(content_type: str, same_as: str) -> None:
    value = encode_record(MADE, content_type=same_as).value

    assert decode_record(headers(content_type=content_type), value) == MADE


@pytest.mark.parametrize(
    ("name", "raw", "says"),
    [
        ("content-type", None, "header content-type has no value"),
        ("content-type", b"", "content-type is not supported"),
        ("content-type", b"text/plain", "content-type text/plain is not supported"),
        ("content-type", b"application/cloudevents-batch+json", "is not supported"),
        ("content-type", b"\xff", "header content-type is not UTF-8"),
        ("ce_id", b"another", "ce_id contradicts the value"),
        ("ce_id", None, "header ce_id has no value"),
        ("ce_type", b"completion.activity.failed.v1", "ce_type contradicts the value"),
        ("ce_type", b"completed", "it must be completion.activity.completed.v1"),
        ("ce_specversion", b"0.3", "ce_specversion must be there and say 1.0"),
    ],
)
def test_a_wrong_header_is_undecodable(name: str, raw: bytes | None, says: str) -> None:
    with pytest.raises(DecodeError, match=says):
        decode_record(with_header(name, raw), VALUE)


@pytest.mark.parametrize("name", ["content-type", "ce_specversion", "ce_id", "ce_type"])
def test_a_missing_header_is_undecodable(name: str) -> None:
    with pytest.raises(DecodeError, match=name):
        decode_record(without(name), VALUE)


@pytest.mark.parametrize("name", ["ce_source", "ce_time", "ce_subject"])
def test_a_header_that_is_never_read_may_be_missing_or_wrong(name: str) -> None:
    assert decode_record([*without(name), (name, None), (name, b"\xff")], VALUE) == MADE


def test_a_header_twice_that_says_the_same_is_one() -> None:
    assert decode_record([*headers(), ("CE_ID", b"e-1")], VALUE) == MADE


@pytest.mark.parametrize("name", ["content-type", "ce_specversion", "ce_id", "ce_type"])
def test_a_header_twice_that_says_two_things_is_undecodable(name: str) -> None:
    with pytest.raises(DecodeError, match=f"header {name} is there twice"):
        decode_record([*headers(), (name, b"other")], VALUE)


def test_a_tombstone_is_undecodable() -> None:
    with pytest.raises(DecodeError, match="the value is null"):
        decode_record(headers(), None)


@pytest.mark.parametrize("content_type", [PROTOBUF, JSON, AVRO, "application/cloudevents+json"])
@pytest.mark.parametrize("framing", [b"\x00\x00\x00\x00\x07", b"\x01" + bytes(16)])
def test_confluent_framing_is_named(content_type: str, framing: bytes) -> None:
    with pytest.raises(DecodeError, match=r"Confluent wire format .* no schema registry"):
        decode_record(headers(content_type=content_type), framing + VALUE)


def test_avro_in_single_object_encoding_is_read() -> None:
    bare = encode_record(MADE, content_type=AVRO).value or b""

    value = b"\xc3\x01" + latest("event").fingerprint + bare

    assert decode_record(headers(content_type=AVRO), value) == MADE


def test_avro_by_an_unknown_schema_is_undecodable() -> None:
    with pytest.raises(DecodeError, match="none of the event versions"):
        decode_record(headers(content_type=AVRO), b"\xc3\x01" + bytes(8) + b"x")


def test_bytes_after_an_avro_event_are_undecodable() -> None:
    bare = encode_record(MADE, content_type=AVRO).value or b""

    with pytest.raises(DecodeError, match="1 bytes are left over"):
        decode_record(headers(content_type=AVRO), bare + b"\x00")


def test_structured_mode_needs_no_other_header() -> None:
    assert decode_record(STRUCTURED, json.dumps(ENVELOPE).encode()) == MADE


@pytest.mark.parametrize("content_type", [PROTOBUF, AVRO, JSON])
def test_structured_mode_carries_any_encoding_in_base64(content_type: str) -> None:
    value = encode_record(MADE, content_type=content_type).value or b""
    envelope = {
        **{name: text for name, text in ENVELOPE.items() if name != "data"},
        "datacontenttype": content_type,
        "data_base64": base64.b64encode(value).decode(),
    }

    assert decode_record(STRUCTURED, json.dumps(envelope).encode()) == MADE


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"specversion": None}, 'specversion must be there and say "1.0"'),
        ({"specversion": 1.0}, 'specversion must be there and say "1.0"'),
        ({"id": "another"}, "id contradicts the value"),
        ({"id": 5}, "id contradicts the value"),
        ({"type": "completion.activity.failed.v1"}, "type contradicts the value"),
        ({"data": None}, "data or in data_base64, one of the two"),
        ({"data_base64": ""}, "data or in data_base64, one of the two"),
        ({"data": None, "data_base64": "!"}, "data_base64 is not Base64"),
        ({"data": None, "data_base64": 5}, "data_base64 must be a text"),
        ({"datacontenttype": "avro/binary"}, "use data_base64"),
        ({"datacontenttype": 5}, "datacontenttype must be a text"),
        ({"data": "text"}, "must be a JSON object"),
    ],
)
def test_a_wrong_envelope_is_undecodable(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(DecodeError, match=says):
        decode_record(STRUCTURED, json.dumps({**ENVELOPE, **changed}).encode())


@pytest.mark.parametrize("name", ["ce_id", "ce_type", "ce_specversion"])
def test_headers_beside_an_envelope_must_not_contradict_it(name: str) -> None:
    with pytest.raises(DecodeError, match=name):
        decode_record([*STRUCTURED, (name, b"other")], json.dumps(ENVELOPE).encode())


def test_a_claim_is_what_the_headers_say() -> None:
    assert claim(headers("failed"), b"garbage") == ("e-1", "failed")


def test_a_claim_of_structured_mode_is_what_the_envelope_says() -> None:
    broken = {**ENVELOPE, "data": None}

    assert claim(STRUCTURED, json.dumps(broken).encode()) == ("e-1", "completed")


def test_a_record_without_attributes_claims_nothing() -> None:
    assert claim([("ce_id", None), ("ce_type", b"something.else")], None) == ("", "")


def test_a_trace_that_is_too_long_is_left_out() -> None:
    """It goes into the audit record, whose topic takes less than that of the events."""
    headers = [("traceparent", b"00-1-2-01"), ("tracestate", b"a" * 1_025)]
    assert trace_context(headers) == {"traceparent": "00-1-2-01"}


def test_the_plain_trace_context_wins_over_the_extension() -> None:
    found = trace_context(
        [
            ("traceparent", b"00-a-b-01"),
            ("ce_traceparent", b"00-c-d-01"),
            ("ce_tracestate", b"k=v"),
        ]
    )

    assert found == {"traceparent": "00-a-b-01", "tracestate": "k=v"}


def test_a_signal_without_an_activity_is_refused() -> None:
    with pytest.raises(EncodeError, match="names no activity"):
        encode_signal(CompletionSignal(activity=ActivityReference()))


def test_an_event_is_no_signal() -> None:
    record = encode_record(MADE)

    with pytest.raises(DecodeError, match=r"ce_type must be completion\.activity\.signal\.v1"):
        decode_signal(record.headers, record.value)
