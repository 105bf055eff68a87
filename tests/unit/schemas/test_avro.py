"""The Avro that we write and read ourselves is the Avro of the shipped schemas."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import pytest
from hypothesis import given
from tests.strategies import events, int64, signals
from tests.unit.schemas.records import Mode, headers

from completion_schemas import avro
from completion_schemas.avro_binary import Cursor, put_long
from completion_schemas.cloudevents import decode_record
from completion_schemas.codecs import AVRO
from completion_schemas.errors import DecodeError
from completion_schemas.events import CompletionEvent, CompletionSignal
from completion_schemas.signals import encode_signal

SCHEMAS = {
    kind: fastavro.parse_schema(dict(avro.latest(kind).definition)) for kind in ("event", "signal")
}


def through_fastavro(kind: str, value: bytes) -> tuple[Any, bytes]:
    """Return what fastavro reads by the shipped schema, and what it writes of that."""
    source = io.BytesIO(value)
    datum = fastavro.schemaless_reader(source, SCHEMAS[kind], None, return_record_name=True)
    assert not source.read()
    out = io.BytesIO()
    fastavro.schemaless_writer(out, SCHEMAS[kind], datum)
    return datum, out.getvalue()


@given(made=events)
def test_fastavro_reads_an_event_and_writes_the_same_bytes(made: CompletionEvent) -> None:
    value = Mode(AVRO, structured=False).record(made).value or b""

    datum, again = through_fastavro("event", value)

    assert (datum["event_id"], datum["occurred_at"]) == (made.event_id, made.occurred_at)
    assert datum["outcome"][0] == f"completion.v1.{type(made.outcome).__name__}"
    assert again == value


@given(made=signals)
def test_fastavro_reads_a_signal_and_writes_the_same_bytes(made: CompletionSignal) -> None:
    value = encode_signal(made, content_type=AVRO).value or b""

    datum, again = through_fastavro("signal", value)

    assert (datum["paused"], datum["observed_at"]) == (made.paused, made.observed_at)
    assert again == value


@given(number=int64)
def test_a_long_comes_back_as_it_was(number: int) -> None:
    out = bytearray()
    put_long(out, number)
    cursor = Cursor(bytes(out))

    assert cursor.long() == number
    cursor.end()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "ends too early"),
        (b"\x80", "ends too early"),
        (b"\xff" * 11, "a number is too long"),
        (b"\xff" * 9 + b"\x7f", "a number is too large"),
    ],
)
def test_what_is_no_long_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(DecodeError, match=says):
        Cursor(data).long()


@pytest.mark.parametrize("index", [b"\x01", b"\x03", b"\x04"])
def test_a_union_has_no_branches_but_its_own(index: bytes) -> None:
    """Fastavro counts -1 and -2 from the end, and takes another event for what was sent."""
    with pytest.raises(DecodeError, match="no such branch"):
        Cursor(index).branch(2)


def test_an_array_in_blocks_with_their_sizes_is_read() -> None:
    """Other writers send the size of a block, so that a reader can skip it."""
    cursor = Cursor(b"\x03\x04\x02\x04\x02\x06\x00")

    assert [cursor.long() for _ in cursor.items()] == [1, 2, 3]
    cursor.end()


def test_endless_nesting_is_an_error_and_not_the_end_of_the_process() -> None:
    """15 kB of nested causes crash fastavro's reader; see `avro_binary`."""
    event = b"\x02e\x02\x00\x00\x02" + b"\x00" * 5 + b"\x02w\x00\x021\x00\x00" + b"\x04\x02"
    failure = b"\x00\x00\x00\x00\x02"

    with pytest.raises(DecodeError, match="nested too deeply"):
        decode_record(headers(content_type=AVRO), event + failure * 20_000)


@pytest.mark.parametrize("kind", ["event", "signal", "audit"])
def test_versions_are_in_order_and_told_apart_by_their_fingerprints(kind: str) -> None:
    shipped = avro.versions(kind)

    assert [schema.version for schema in shipped] == list(range(1, len(shipped) + 1))
    assert len({schema.fingerprint for schema in shipped}) == len(shipped)


@pytest.mark.parametrize(
    ("kind", "fingerprint"),
    [("event", "7fde842b1a5b1004"), ("signal", "47f2c0cdeec0054d"), ("audit", "990ec22eb7eb6383")],
)
def test_a_released_schema_keeps_its_fingerprint(kind: str, fingerprint: str) -> None:
    """Changed in place, it would read what was written with it as something else."""
    assert avro.versions(kind)[0].fingerprint.hex() == fingerprint
