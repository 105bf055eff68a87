"""Whatever bytes and headers come: an event, or DecodeError, and no token in its text."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import events, headers, signals
from tests.unit.schemas.records import EVENT, MODES, Mode
from tests.unit.schemas.records import headers as right_headers

from completion_schemas import json_codec
from completion_schemas.cloudevents import claim, decode_record, trace_context
from completion_schemas.errors import DecodeError
from completion_schemas.events import CompletionEvent, CompletionSignal
from completion_schemas.record import Headers
from completion_schemas.signals import decode_signal, encode_signal
from completion_schemas.v1.event_pb2 import CompletionEvent as EventMessage

MEDIA = ["application/protobuf", "application/json", "avro/binary", "application/cloudevents+json"]
HOSTILE = [
    b"",
    b"\x00",
    b"\x01",
    b"null",
    b"[]",
    b'"text"',
    b"{",
    b'{"a":NaN}',
    b'{"a":-Infinity}',
    b'{"a":1,"a":2}',
    b"[" * 100_000,
    b'{"completed":' * 50_000,
    b'{"eventId":' + b"9" * 5_000 + b"}",
    b'{"eventId":"\\ud800"}',
    b'{"activity":5}',
    b'{"activity":{"attempt":1e400}}',
    b'{"activity":{"attempt":99999999999}}',
    b'{"occurredAt":{}}',
    b'{"occurredAt":"0000-00-00T00:00:00Z"}',
    b'{"completed":[]}',
    b'{"completed":{"result":{"payloads":{}}}}',
    b'{"completed":{"result":{"payloads":[{"metadata":[]}]}}}',
    b'{"failed":{"failure":' + b'{"cause":' * 20_000 + b"{}" + b"}" * 20_002,
    b'{"failed":{"failure":' + b'{"cause":' * 200 + b"{}" + b"}" * 202,
    b"\xff\xfe{\x00}\x00",
    b"\xc3\x01",
    b"\xc3\x01" + b"\x00" * 20,
    b"\xff" * 64,
    b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01" * 3,
]


def mutate(value: bytes, cuts: list[tuple[int, int, bytes]]) -> bytes:
    for at, length, instead in cuts:
        start = at % (len(value) + 1)
        value = value[:start] + instead + value[start + length :]
    return value


mutations = st.lists(
    st.tuples(st.integers(0, 10_000), st.integers(0, 4), st.binary(max_size=4)),
    min_size=1,
    max_size=4,
)
values = st.none() | st.binary(max_size=80) | st.sampled_from(HOSTILE)


@given(headers=headers, value=values)
def test_any_record_is_an_event_or_a_decode_error(headers: Headers, value: bytes | None) -> None:
    with contextlib.suppress(DecodeError):
        decode_record(headers, value)
    with contextlib.suppress(DecodeError):
        decode_signal(headers, value)


@pytest.mark.parametrize("media", MEDIA)
@given(value=st.binary(max_size=200))
def test_any_value_under_right_headers_is_an_event_or_a_decode_error(
    media: str, value: bytes
) -> None:
    with contextlib.suppress(DecodeError):
        decode_record(right_headers(content_type=media), value)


@pytest.mark.parametrize("media", MEDIA)
@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value[:30]))
def test_values_made_to_break_readers_are_decode_errors(media: str, value: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_record(right_headers(content_type=media), value)


@pytest.mark.parametrize("mode", MODES)
@given(made=events, cuts=mutations)
def test_a_damaged_event_is_an_event_or_a_decode_error(
    mode: Mode, made: CompletionEvent, cuts: list[tuple[int, int, bytes]]
) -> None:
    record = mode.record(made)

    with contextlib.suppress(DecodeError):
        decode_record(record.headers, mutate(record.value or b"", cuts))


@pytest.mark.parametrize("content_type", MEDIA[:3])
@given(made=signals, cuts=mutations)
def test_a_damaged_signal_is_a_signal_or_a_decode_error(
    content_type: str, made: CompletionSignal, cuts: list[tuple[int, int, bytes]]
) -> None:
    record = encode_signal(made, content_type=content_type)

    with contextlib.suppress(DecodeError):
        decode_signal(record.headers, mutate(record.value or b"", cuts))


@given(
    found=st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        *("eventId", "occurredAt", "activity", "completed", "failed", "failure"),
                        *("result", "payloads", "metadata", "data", "json", "type", "cause"),
                        *("nonRetryable", "taskToken", "applicationFailureInfo", "nextRetryDelay"),
                    ]
                ),
                inner,
                max_size=6,
            )
        ),
        max_leaves=15,
    )
)
def test_any_json_of_known_members_is_an_event_or_a_decode_error(found: Any) -> None:
    with contextlib.suppress(DecodeError):
        json_codec.from_object(found, EventMessage)


@given(headers=headers, value=values)
def test_a_claim_never_raises_and_can_always_be_written_down(
    headers: Headers, value: bytes | None
) -> None:
    said = claim(headers, value)

    assert len(said.event_id.encode()) <= 256
    assert said.type in ("", "completed", "failed", "canceled", "heartbeat")


@given(headers=headers)
def test_a_broken_trace_context_never_raises(headers: Headers) -> None:
    assert set(trace_context(headers)) <= {"traceparent", "tracestate"}


SECRET = bytes(range(200, 255)) * 2
TEXT = base64.b64encode(SECRET).decode("ascii")


@pytest.mark.parametrize(
    "value",
    [
        {**EVENT, "activity": {"taskToken": "!" + TEXT}},
        {**EVENT, "activity": {"taskToken": TEXT, "attempt": TEXT}},
        {**EVENT, "activity": {"taskToken": TEXT, "tokenFingerprint": "0"}, "completed": {}},
        {**EVENT, "activity": {"taskToken": [TEXT]}},
        {**EVENT, "activity": TEXT},
        {**EVENT, "activity": {TEXT: TEXT}},
        {**EVENT, "occurredAt": TEXT},
        {**EVENT, "completed": {TEXT: 1}},
        {**EVENT, "completed": {"result": {"payloads": [{TEXT: 1}]}}},
        {**EVENT, "completed": {"result": {"payloads": [{"metadata": {TEXT: "!"}}]}}},
        {**EVENT, "failed": {"failure": {"cause": {"message": {TEXT: TEXT}}}}},
    ],
    ids=range(11),
)
@pytest.mark.parametrize("media", ["application/json", "application/protobuf", "avro/binary"])
def test_no_error_text_repeats_a_token(media: str, value: dict[str, Any]) -> None:
    text = json.dumps(value).encode()

    with pytest.raises(DecodeError) as refused:
        decode_record(right_headers(content_type=media), text)

    assert TEXT[:12] not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize("name", ["content-type", "ce_id", "ce_type", "ce_specversion"])
def test_no_error_text_repeats_a_token_in_a_header(name: str) -> None:
    wrong = [(key, TEXT.encode() if key == name else raw) for key, raw in right_headers()]

    with pytest.raises(DecodeError) as refused:
        decode_record(wrong, json.dumps({**EVENT, "completed": {}}).encode())

    assert TEXT[:12] not in str(refused.value)
