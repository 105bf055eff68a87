"""Every encoding says the same event, and says it without loss."""

from __future__ import annotations

import pytest
from hypothesis import given
from temporalio.api.failure.v1 import Failure
from tests.strategies import events, signals
from tests.unit.schemas.records import ENCODINGS, MODES, Mode

from completion_schemas import codecs
from completion_schemas.cloudevents import decode_record, encode_record
from completion_schemas.codecs import AVRO, JSON, PROTOBUF
from completion_schemas.errors import EncodeError
from completion_schemas.events import ActivityReference, CompletionEvent, CompletionSignal, Failed
from completion_schemas.messages import MAX_CAUSES, event_message
from completion_schemas.signals import decode_signal, encode_signal
from completion_schemas.times import UnixNanos

REFERENCE = ActivityReference(workflow_id="w", run_id="r", activity_id="1")


def event(failure: Failure) -> CompletionEvent:
    return CompletionEvent(
        event_id="e", occurred_at=UnixNanos(0), activity=REFERENCE, outcome=Failed(failure)
    )


def chain(causes: int) -> Failure:
    """Return a failure with so many causes, the innermost with payloads, which nest deepest."""
    made = Failure()
    inner = made
    for _ in range(causes):
        inner = inner.cause
    inner.application_failure_info.details.payloads.add(data=b"x", metadata={"encoding": b"y"})
    return made


@pytest.mark.parametrize("mode", MODES)
@given(made=events)
def test_an_event_comes_back_as_it_was(mode: Mode, made: CompletionEvent) -> None:
    record = mode.record(made)

    assert decode_record(record.headers, record.value) == made


@given(made=events)
def test_all_encodings_say_the_same_message(made: CompletionEvent) -> None:
    records = [mode.record(made) for mode in MODES]

    said = {
        event_message(decode_record(record.headers, record.value)).SerializeToString(
            deterministic=True
        )
        for record in records
    }

    assert said == {event_message(made).SerializeToString(deterministic=True)}


@pytest.mark.parametrize("mode", MODES)
@given(made=events)
def test_equal_events_are_equal_bytes(mode: Mode, made: CompletionEvent) -> None:
    first = mode.record(made)
    again = mode.record(decode_record(first.headers, first.value))

    assert first == again


@pytest.mark.parametrize("content_type", ENCODINGS)
@given(made=signals)
def test_a_signal_comes_back_as_it_was(content_type: str, made: CompletionSignal) -> None:
    record = encode_signal(made, content_type=content_type)

    assert decode_signal(record.headers, record.value) == made


@given(made=events)
def test_a_signal_has_the_key_of_the_event_that_it_answers(made: CompletionEvent) -> None:
    answer = CompletionSignal(activity=made.activity)

    assert encode_signal(answer).key == encode_record(made).key


@pytest.mark.parametrize("mode", MODES)
def test_the_longest_chain_of_causes_comes_back(mode: Mode) -> None:
    made = event(chain(MAX_CAUSES))

    record = mode.record(made)

    assert decode_record(record.headers, record.value) == made


def test_a_longer_chain_of_causes_is_refused_before_it_is_sent() -> None:
    """Protobuf would write it and no reader could read it."""
    with pytest.raises(EncodeError, match="more than 90 causes"):
        encode_record(event(chain(MAX_CAUSES + 1)))


@pytest.mark.parametrize("content_type", [JSON, AVRO])
def test_fields_of_a_newer_temporal_are_refused_where_they_would_be_lost(content_type: str) -> None:
    failure = Failure.FromString(Failure(message="m").SerializeToString() + b"\xc2\x3e\x01x")

    with pytest.raises(EncodeError, match="newer Temporal; use protobuf"):
        encode_record(event(failure), content_type=content_type)


def test_fields_of_a_newer_temporal_pass_through_protobuf() -> None:
    failure = Failure.FromString(Failure(message="m").SerializeToString() + b"\xc2\x3e\x01x")

    record = encode_record(event(failure))
    outcome = decode_record(record.headers, record.value).outcome

    assert isinstance(outcome, Failed)
    assert outcome.failure.SerializeToString() == failure.SerializeToString()


@pytest.mark.parametrize("content_type", [JSON, AVRO])
def test_a_duration_that_an_encoding_cannot_say_is_refused(content_type: str) -> None:
    failure = Failure()
    failure.application_failure_info.next_retry_delay.seconds = 2**62

    with pytest.raises(EncodeError, match="out of range"):
        encode_record(event(failure), content_type=content_type)


@pytest.mark.parametrize("mode", MODES)
def test_text_that_is_not_unicode_is_refused_before_it_is_sent(mode: Mode) -> None:
    made = CompletionEvent(
        event_id="\ud800",
        occurred_at=UnixNanos(0),
        activity=REFERENCE,
        outcome=Failed(Failure()),
    )

    with pytest.raises(EncodeError, match="valid Unicode"):
        mode.record(made)


def test_an_unknown_content_type_cannot_be_written() -> None:
    with pytest.raises(EncodeError, match="content-type text/plain is not supported"):
        encode_record(event(Failure()), content_type="text/plain")


@given(made=events)
def test_a_parameter_of_the_content_type_changes_nothing(made: CompletionEvent) -> None:
    assert codecs.encode("Application/JSON; charset=utf-8", event_message(made)) == codecs.encode(
        JSON, event_message(made)
    )


def test_the_key_is_that_of_the_activity() -> None:
    assert encode_record(event(Failure()), content_type=PROTOBUF).key == b"/w/1"
