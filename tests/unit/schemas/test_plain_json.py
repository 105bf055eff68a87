"""What a producer without a Temporal library may write, and what it gets told when it is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload
from temporalio.converter import DataConverter
from tests.unit.schemas.records import EVENT, from_json, headers

from completion_schemas.cloudevents import decode_record
from completion_schemas.errors import DecodeError
from completion_schemas.events import Canceled, Completed, Failed, Heartbeat

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Lone surrogates included: JSON can say them.
    | st.text(st.characters(), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


def result(text: str) -> bytes:
    """Return the payload data that this JSON text becomes."""
    value = json.dumps({**EVENT, "completed": {"result": {"payloads": [{"json": 0}]}}})
    made = decode_record(headers(), value.replace('"json": 0', f'"json": {text}').encode())
    assert isinstance(made.outcome, Completed)
    return made.outcome.result.payloads[0].data


def failure(value: dict[str, Any]) -> Any:
    outcome = from_json("failed", {"failure": value}).outcome
    assert isinstance(outcome, Failed)
    return outcome.failure


@given(value=anything)
def test_any_json_is_a_payload_that_temporals_own_converter_reads(value: Any) -> None:
    made = from_json("completed", {"result": {"payloads": [{"json": value}]}})

    assert isinstance(made.outcome, Completed)
    read = DataConverter.default.payload_converter.from_payloads(made.outcome.result.payloads)
    assert read == [value]


@pytest.mark.parametrize(
    "text",
    [
        "0.30",
        "1e400",
        "-0.0",
        "1E+2",
        "0.1000000000000000055511151231257827",
        "9" * 4000,
        '"\\ud800"',
        "null",
    ],
    ids=lambda text: text[:12],
)
def test_json_keeps_its_spelling(text: str) -> None:
    """Another language may read more digits than Python's float has."""
    assert result(text) == text.encode()


@pytest.mark.parametrize(
    ("outcome", "kind", "member"),
    [
        ("completed", Completed, "result"),
        ("canceled", Canceled, "details"),
        ("heartbeat", Heartbeat, "details"),
    ],
)
def test_plain_json_may_stand_in_every_outcome(outcome: str, kind: type, member: str) -> None:
    made = from_json(outcome, {member: {"payloads": [{"json": 1}, {"json": "zwei"}]}})

    assert type(made.outcome) is kind
    assert list(getattr(made.outcome, member).payloads) == [
        Payload(metadata={"encoding": b"json/plain"}, data=b"1"),
        Payload(metadata={"encoding": b"json/plain"}, data=b'"zwei"'),
    ]


def test_a_plain_failure_becomes_an_application_failure() -> None:
    made = failure({"message": "m", "type": "T", "nonRetryable": True})

    assert made.message == "m"
    assert made.application_failure_info.type == "T"
    assert made.application_failure_info.non_retryable


@pytest.mark.parametrize("name", ["nonRetryable", "non_retryable"])
def test_a_plain_failure_is_understood_as_a_cause_too(name: str) -> None:
    made = failure({"message": "m", "cause": {"message": "c", name: True}})

    assert made.cause.application_failure_info.non_retryable
    assert not made.HasField("application_failure_info")


def test_plain_json_may_stand_in_the_details_of_a_failure() -> None:
    made = failure({"applicationFailureInfo": {"details": {"payloads": [{"json": [1]}]}}})

    assert made.application_failure_info.details.payloads[0].data == b"[1]"


def test_plain_json_may_stand_in_encoded_attributes() -> None:
    made = failure({"message": "m", "encodedAttributes": {"json": {"message": "x"}}})

    assert made.encoded_attributes.data == b'{"message":"x"}'


def test_a_failure_with_a_message_alone_stays_as_it_is() -> None:
    """It is canonical JSON of a failure without a kind; the relay makes it acceptable to Temporal."""
    assert failure({"message": "m"}).WhichOneof("failure_info") is None


def test_no_result_is_an_empty_object() -> None:
    assert from_json("completed", {}).outcome == Completed()


def test_field_names_may_be_those_of_the_proto_file() -> None:
    value = {
        "event_id": "e-1",
        "occurred_at": "2026-01-31T13:00:00.5+01:00",
        "activity": {"workflow_id": "w", "activity_id": "1", "attempt": "2"},
        "completed": {},
    }

    made = decode_record(headers(), json.dumps(value).encode())

    assert (made.activity.workflow_id, made.activity.attempt) == ("w", 2)
    assert made.occurred_at == 1_769_860_800_500_000_000


def test_unknown_members_are_ignored() -> None:
    value = {**EVENT, "completed": {"result": {"payloads": []}, "new": 1}, "later": {"x": [1]}}

    assert decode_record(headers(), json.dumps(value).encode()).outcome == Completed()


def test_a_byte_order_mark_is_ignored() -> None:
    value = json.dumps({**EVENT, "completed": {}}).encode("utf-8-sig")

    assert decode_record(headers(), value).event_id == "e-1"


@pytest.mark.parametrize(
    ("outcome", "value", "says"),
    [
        ("completed", {"json": 4}, r'completed has no member that is known: write {"result"'),
        ("completed", {"result": {"json": 4}}, r'completed.result has no .*"payloads": \[{"json"'),
        ("completed", {"result": {"payloads": [{"x": 4}]}}, r"payloads\[0\] has no member that is"),
        ("completed", {"result": {"payloads": [4]}}, "result.payloads is not valid"),
        (
            "completed",
            {"result": {"payloads": [{"json": 4, "data": "eA=="}]}},
            r'payloads\[0\] has "json" beside other members',
        ),
        ("completed", {"result": {"payloads": [{"data": "not Base64"}]}}, r"\.data is not Base64"),
        ("failed", {}, "failed.failure is missing"),
        ("failed", {"message": "m"}, 'failed has no member that is known: write {"failure"'),
        (
            "failed",
            {"failure": {"type": "T", "timeoutFailureInfo": {}}},
            'failed.failure has "type" or "nonRetryable" beside a failure info',
        ),
        ("failed", {"failure": {"message": "m", "type": 5}}, "failure.type is not valid"),
        ("paused", {}, "no outcome that this version knows"),
        ("completed", None, "no outcome that this version knows"),
    ],
)
def test_a_mistake_is_named(outcome: str, value: Any, says: str) -> None:
    text = json.dumps({**EVENT, outcome: value}).encode()

    with pytest.raises(DecodeError, match=says):
        decode_record(headers(), text)


def test_two_outcomes_are_none() -> None:
    with pytest.raises(
        DecodeError, match="the event has both completed and failed: give one outcome"
    ):
        from_json("completed", {}, failed={"failure": {"message": "m"}})


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"eventId": ""}, "event_id must have 1 to 256 bytes"),
        ({"occurredAt": None}, "occurred_at is missing"),
        ({"occurredAt": "9999-12-31T00:00:00Z"}, "between the years 1678 and 2262"),
        ({"activity": {}}, "activity names nothing"),
        ({"activity": {"workflowId": "w", "activityId": "1", "attempt": -1}}, "activity.attempt"),
    ],
)
def test_an_incomplete_event_is_undecodable(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(DecodeError, match=says):
        from_json("completed", {}, **changed)
