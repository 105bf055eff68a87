"""Records with header names that are not UTF-8: read like any others, and nothing else is forgiven."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.structs import ConsumerRecord, TopicPartition
from hypothesis import example, given
from hypothesis import strategies as st
from tests.odd_headers import Written, batch

import completion_relay
from completion_relay import odd_headers
from completion_relay.odd_headers import UnreadableBatchError, read_odd_headers

ODD = [(b"\xff\xfe", b"1"), (b"caf\xc3\xa9", None), (b"", b"")]
NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)

names = st.one_of(st.binary(max_size=12), st.text(max_size=4).map(str.encode))
maybe = st.one_of(st.none(), st.binary(max_size=12))
written = st.builds(
    Written, value=maybe, key=maybe, headers=st.lists(st.tuples(names, maybe), max_size=3)
)
batches_of = st.lists(st.lists(written, min_size=1, max_size=4), min_size=1, max_size=4)


def fetched(data: bytes, *, since: int = 0, aborted: list[tuple[int, int]] | None = None) -> Any:
    """Return the iterator over the records of a fetch that aiokafka's fetcher would make."""
    read_odd_headers()
    return fetcher.PartitionRecords(
        TopicPartition("t", 0),
        fetcher.MemoryRecords(data),
        aborted,
        since,
        None,
        None,
        True,
        fetcher.READ_COMMITTED,
    )


def fetch(of: list[list[Written]], codec: int = NONE) -> bytes:
    data, base = b"", 0
    for records in of:
        data += batch(records, base=base, codec=codec)
        base += len(records)
    return data


def values(records: list[ConsumerRecord]) -> list[tuple[int, bytes | None]]:
    return [(record.offset, record.value) for record in records]


@given(batches_of, st.sampled_from([NONE, GZIP, SNAPPY, LZ4, ZSTD]), st.integers(0, 3))
@example([[Written(b"a"), Written(b"b", headers=ODD), Written(b"c")]], NONE, 0)
@example([[Written(b"a", headers=ODD), Written(b"b", headers=ODD)]] * 3, GZIP, 1)
def test_whatever_the_names_are_all_else_is_read_as_with_clean_ones(
    of: list[list[Written]], codec: int, since: int
) -> None:
    since %= len(of[0])  # a broker's answer begins with the batch that holds it
    clean = [
        [record._replace(headers=[(b"name", value) for _, value in record.headers]) for record in b]
        for b in of
    ]
    found = list(fetched(fetch(of, codec), since=since))
    wanted = list(fetched(fetch(clean, codec), since=since))

    def without_names(record: ConsumerRecord) -> tuple[Any, ...]:
        return (
            *(record.topic, record.partition, record.offset, record.timestamp, record.checksum),
            *(record.timestamp_type, record.key, record.value),
            *(record.serialized_key_size, record.serialized_value_size),
            [value for _, value in record.headers],
        )

    assert [without_names(record) for record in found] == [without_names(r) for r in wanted]
    assert [[name for name, _ in record.headers] for record in found] == [
        [name.decode("utf-8", "replace") for name, _ in record.headers]
        for record in [record for records in of for record in records][since:]
    ]


def test_what_is_not_utf_8_is_replaced_in_names_and_in_nothing_else() -> None:
    (found,) = fetched(batch([Written(b"\xff", b"\xfe", [(b"ce_\xffid", b"\xff"), *ODD])]))
    assert (found.key, found.value) == (b"\xfe", b"\xff")
    assert found.headers == (
        ("ce_\ufffdid", b"\xff"),
        ("\ufffd\ufffd", b"1"),
        ("caf\u00e9", None),
        ("", b""),
    )
    assert {type(part) for header in found.headers for part in (*header,)} == {
        str,
        bytes,
        type(None),
    }
    assert (type(found.key), type(found.value)) == (bytes, bytes)


def test_only_a_batch_with_such_a_name_is_read_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    read = list[int]()
    original: Any = odd_headers._AnyNames.__init__

    def counted(self: Any, data: bytes) -> None:
        original(self, data)
        read.append(self.base_offset)

    monkeypatch.setattr(odd_headers._AnyNames, "__init__", counted)
    clean, odd = [Written(b"clean")] * 2, [Written(b"odd"), Written(b"odd", headers=ODD)]
    found = list(fetched(fetch([clean, odd, clean, odd, odd, clean])))
    assert [record.offset for record in found] == list(range(12))
    assert read == [2, 6, 8]


def test_where_reading_goes_on_is_told_after_each_record() -> None:
    """A fetch is read in several polls, and what is next is the consumer's position meanwhile."""
    records = fetched(fetch([[Written(b"a"), Written(b"b", headers=ODD)], [Written(b"c")]]))
    assert [(next(records).offset, records.next_fetch_offset) for _ in range(3)] == [
        (0, 1),
        (1, 2),
        (2, 3),
    ]
    assert list(records) == []


def test_what_an_aborted_transaction_wrote_stays_hidden() -> None:
    odd = [Written(b"a"), Written(b"b", headers=ODD)]
    data = (
        batch(odd, base=0, producer_id=1)
        + batch(odd, base=2, producer_id=2)
        + batch(odd, base=4, producer_id=1)
        + batch(odd, base=6)
    )
    found = list(fetched(data, aborted=[(1, 0)]))
    assert [record.offset for record in found] == [2, 3, 6, 7]


def test_a_batch_with_a_wrong_checksum_stays_an_error() -> None:
    """Its bytes are not what was written: a broker's storage is broken, and nothing in it counts."""
    data = bytearray(fetch([[Written(b"a")], [Written(b"b", headers=ODD)]]))
    data[-1] ^= 1
    assert [record.value for record in fetched(bytes(data))] == [b"a"]
    # What comes before it is read, and the next fetch begins with it.
    damaged = fetched(bytes(data[len(fetch([[Written(b"a")]])) :]), since=1)
    with pytest.raises(UnreadableBatchError, match=r"t/0/1 cannot be read: .*Invalid CRC"):
        next(damaged)


def test_a_batch_that_cannot_be_decoded_a_second_time_ends_the_reading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As if a later aiokafka decoded otherwise: an error, and no endless loop."""
    monkeypatch.setattr(odd_headers, "_Decodable", bytearray)
    records = fetched(fetch([[Written(b"a", headers=ODD)]]))
    with pytest.raises((UnicodeDecodeError, CorruptRecordException)):
        next(records)


@pytest.mark.source_tree
def test_whoever_makes_a_consumer_lets_it_read_any_name() -> None:
    """But for the demonstration, whose broker nobody else writes to."""
    package = Path(completion_relay.__file__).parent
    for path in sorted(package.rglob("*.py")):
        if path.is_relative_to(package / "demo"):
            continue
        called = {
            node.func.id
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert "AIOKafkaConsumer" not in called or "read_odd_headers" in called, path
