"""The audit record: what is written can be read for years, and nothing else is taken for one."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import audit_records

from completion_schemas import avro
from completion_schemas.audit import AuditRecord, audit_to_json_dict, decode_audit, encode_audit
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.errors import DecodeError, EncodeError, SchemaError
from completion_schemas.times import UnixNanos

CONTRACT = [
    "event_id",
    "type",
    "disposition",
    "reason",
    "detail",
    "namespace",
    "workflow_id",
    "run_id",
    "activity_id",
    "attempt",
    "token_preview",
    "token_fingerprint",
    "origin_workflow_id",
    "origin_run_id",
    "topic",
    "partition",
    "offset",
    "occurred_at",
    "received_at",
    "decided_at",
    "tries",
    "rpc_status",
    "key_id",
    "relay_id",
    "group",
    "redelivery",
    "replay_of",
    "calls",
]


def record(**more: Any) -> AuditRecord:
    return AuditRecord(
        **{
            "event_id": "e",
            "type": "completed",
            "disposition": Disposition.APPLIED,
            "topic": "t",
            "partition": 0,
            "offset": 1,
            "received_at": UnixNanos(1),
            "decided_at": UnixNanos(2),
            "relay_id": "r",
            "group": "g",
            **more,
        }
    )


@given(made=audit_records())
def test_an_audit_record_comes_back_as_it_was(made: AuditRecord) -> None:
    assert decode_audit(encode_audit(made)) == made


@given(made=audit_records())
def test_its_json_has_the_contracts_fields_in_their_order(made: AuditRecord) -> None:
    said = json.loads(json.dumps(audit_to_json_dict(made)))

    assert list(said) == CONTRACT
    assert said["disposition"] == made.disposition.value


def test_its_schema_has_the_contracts_fields_in_their_order() -> None:
    assert [field["name"] for field in avro.latest("audit").definition["fields"]] == CONTRACT


def test_a_value_names_the_version_of_its_schema() -> None:
    assert encode_audit(record()).startswith(b"\xc3\x01" + avro.latest("audit").fingerprint)


@given(value=st.binary(max_size=80))
def test_other_bytes_are_no_audit_record(value: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_audit(value)


@given(
    made=audit_records(),
    at=st.integers(0, 10_000),
    instead=st.binary(max_size=3),
    length=st.integers(0, 3),
)
def test_a_damaged_record_is_a_record_or_a_decode_error(
    made: AuditRecord, at: int, instead: bytes, length: int
) -> None:
    value = encode_audit(made)
    start = at % (len(value) + 1)

    with contextlib.suppress(DecodeError):
        decode_audit(value[:start] + instead + value[start + length :])


def test_bytes_after_a_record_are_refused() -> None:
    with pytest.raises(DecodeError, match="left over"):
        decode_audit(encode_audit(record()) + b"\x00")


@pytest.mark.parametrize(
    "more",
    [
        {"partition": 2**31},
        {"offset": 2**63},
        {"detail": "\ud800"},
        {"attempt": -(2**31) - 1},
    ],
    ids=lambda more: next(iter(more)),
)
def test_what_the_schema_cannot_say_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(EncodeError):
        encode_audit(record(**more))


@pytest.mark.parametrize(
    "more",
    [{"disposition": Disposition.DEAD_LETTERED}, {"reason": DeadLetterReason.INVALID}],
    ids=["dead letter without", "reason without"],
)
def test_a_reason_belongs_to_a_dead_letter_and_to_nothing_else(more: dict[str, Any]) -> None:
    with pytest.raises(SchemaError, match="if and only if it is dead_lettered"):
        record(**more)
