"""What an undecided record says of itself, whatever it holds."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

from aiokafka.structs import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payloads

from completion_relay.decision import Delivery, Former, Park
from completion_relay.parking import parked_record
from completion_relay.undecided.record import Undecided, undecided_record
from completion_schemas.cloudevents import encode_record
from completion_schemas.events import ActivityReference, Completed, CompletionEvent, UnixNanos
from completion_schemas.record import KafkaRecord
from completion_schemas.tokens import token_fingerprint

PARKED = "completions.parked"
TOKEN = b"a task token of forty bytes, and a few more"
WRITTEN_MS = 5_000
RECORD = encode_record(
    CompletionEvent(
        event_id="event",
        occurred_at=UnixNanos(1),
        activity=ActivityReference(
            task_token=base64.b64encode(TOKEN).decode(), namespace="orders", workflow_id="w"
        ),
        outcome=Completed(Payloads()),
    ),
    content_type="application/protobuf",
)


def read(
    record: KafkaRecord, *, topic: str = "completions", timestamp_ms: int = WRITTEN_MS
) -> Undecided:
    read_from_kafka: ConsumerRecord[Any, Any] = ConsumerRecord(
        topic, 3, 9, timestamp_ms, 0, record.key, record.value, None, 0, 0, tuple(record.headers)
    )
    return undecided_record(read_from_kafka, parked_of="completions")


def parked() -> KafkaRecord:
    delivery = Delivery(
        topic="completions",
        partition=3,
        offset=2,
        timestamp_ms=WRITTEN_MS,
        record=RECORD,
        received_at=UnixNanos(0),
    )
    park = Park(reason="orders is halted", former=Former(tries=2), status=None)
    return parked_record(
        delivery, park, key="key", times=4, not_before=UnixNanos(7), relay_id="here"
    )


def test_an_event_is_told_by_its_ids_and_its_tokens_fingerprint() -> None:
    event = read(RECORD)
    assert (event.topic, event.partition, event.offset) == ("completions", 3, 9)
    assert (event.event_id, event.type, event.written_at) == ("event", "completed", 5 * 10**9)
    assert (event.namespace, event.workflow_id) == ("orders", "w")
    assert event.token_fingerprint == token_fingerprint(TOKEN)
    assert event.parked_times == 0


def test_a_parked_event_is_as_old_as_when_it_was_written_first() -> None:
    event = read(parked(), topic=PARKED, timestamp_ms=90_000)
    assert (event.topic, event.offset) == (PARKED, 9)
    assert event.written_at == 5 * 10**9
    assert (event.parked_times, event.not_before, event.reason) == (4, 7, "orders is halted")


def test_what_no_relay_has_parked_is_taken_as_it_is() -> None:
    event = read(RECORD, topic=PARKED)
    assert (event.event_id, event.parked_times) == ("event", 0)


def test_a_replayed_event_is_for_the_namespace_that_its_replay_names() -> None:
    header = ("completion-replay-namespace", b"billing")
    assert read(replace(RECORD, headers=(*RECORD.headers, header))).namespace == "billing"


def test_a_replay_whose_namespace_cannot_be_told_is_no_event_and_keeps_its_id() -> None:
    """An operator's instruction names it: it is refused where another event is by then."""
    header = ("completion-replay-namespace", b"")
    event = read(replace(RECORD, headers=(*RECORD.headers, header)))
    assert (event.is_event, event.is_readable, event.event_id) == (False, True, "event")


def test_what_cannot_be_decoded_is_told_by_what_it_claims() -> None:
    event = read(KafkaRecord(b"k", b"nonsense", (("ce_id", b"event"),)))
    assert (event.event_id, event.type) == ("event", "undecodable")
    assert (event.is_event, event.is_readable, event.audited_type) == (False, False, "")


@given(st.binary(), st.lists(st.tuples(st.text(), st.none() | st.binary())))
def test_no_record_is_too_strange(value: bytes, headers: list[tuple[str, bytes | None]]) -> None:
    for topic in ("completions", PARKED):
        assert read(KafkaRecord(None, value, tuple(headers)), topic=topic).offset == 9
