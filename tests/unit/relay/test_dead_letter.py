"""The record for the dead-letter topic."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from completion_relay.dead_letter import dead_letter
from completion_relay.decision import Decision, Delivery
from completion_relay.verdict import DeadLetter
from completion_schemas.dispositions import DeadLetterReason
from completion_schemas.events import UnixNanos
from completion_schemas.record import KafkaRecord

headers = st.lists(
    st.tuples(st.text(max_size=20), st.none() | st.binary(max_size=20)), max_size=5
).map(tuple)
records = st.builds(
    KafkaRecord, st.none() | st.binary(), st.none() | st.binary(max_size=64), headers
)


def letter(
    record: KafkaRecord, *, offset: int = 7, detail: str = "why", now: int = 10**18
) -> KafkaRecord:
    return dead_letter(
        Delivery("completions", 2, offset, 1_700_000_000_000, record, UnixNanos(0)),
        Decision.dead_letter(DeadLetter(DeadLetterReason.UNDECODABLE, detail), stage="decode"),
        group="g",
        relay_id="r",
        now=UnixNanos(now),
    )


def of(record: KafkaRecord, name: str) -> str:
    (value,) = [value for header, value in record.headers if header == f"completion-dlq-{name}"]
    assert value is not None
    return value.decode()


@given(records)
def test_key_value_and_headers_stay_untouched(record: KafkaRecord) -> None:
    written = letter(record)
    assert (written.key, written.value) == (record.key, record.value)
    assert written.headers[: len(record.headers)] == record.headers


def test_it_says_what_failed_where_and_when() -> None:
    written = letter(KafkaRecord(b"k", b"v"))
    said = {
        name: of(written, name)
        for name in [
            "reason",
            "detail",
            "stage",
            "topic",
            "partition",
            "offset",
            "timestamp",
            "consumer-group",
            "tries",
            "first-failed-at",
            "last-failed-at",
            "relay-id",
        ]
    }
    assert said == {
        "reason": "undecodable",
        "detail": "why",
        "stage": "decode",
        "topic": "completions",
        "partition": "2",
        "offset": "7",
        "timestamp": "1700000000000",
        "consumer-group": "g",
        "tries": "0",
        "first-failed-at": "2001-09-09T01:46:40Z",
        "last-failed-at": "2001-09-09T01:46:40Z",
        "relay-id": "r",
    }


def test_a_second_dead_lettering_keeps_the_first_origin_and_updates_the_failure() -> None:
    second = letter(letter(KafkaRecord(b"k", b"v")), offset=99, detail="again", now=2 * 10**18)
    assert of(second, "offset") == "7"
    assert of(second, "first-failed-at") == "2001-09-09T01:46:40Z"
    assert of(second, "last-failed-at") == "2033-05-18T03:33:20Z"
    assert of(second, "detail") == "again"


@given(st.text(alphabet="aä€", max_size=8000))
def test_a_long_detail_is_cut_between_characters(detail: str) -> None:
    cut = of(letter(KafkaRecord(b"k", b"v"), detail=detail), "detail")
    assert detail.startswith(cut)
    assert len(cut.encode()) <= 4096
