"""What every database of the index does alike; one suite for DuckDB and PostgreSQL."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import TopicPartition
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.audit_index.records import chunk_of, rows_of
from tests.strategies import audit_records
from tests.unit.relay.trails import MemoryTrail

from completion_relay.audit_filter import AuditFilter
from completion_relay.audit_index import asking, tables
from completion_relay.audit_index.checksum import MODULUS, as_text, digest
from completion_relay.audit_index.columns import OFFSET, fields_of, row_of
from completion_relay.audit_index.indexing import Indexer
from completion_relay.audit_index.known import known
from completion_relay.audit_index.opening import store_at
from completion_relay.audit_index.store import (
    AuditIndexError,
    NoIndexError,
    OtherTopicError,
    OvertakenError,
    Progress,
    Store,
)
from completion_relay.audit_index.verify import verify
from completion_schemas.audit import AuditRecord, audit_to_json_dict
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.times import UnixNanos

TOPIC = "completions.audit"


def record(**more: Any) -> AuditRecord:
    fields: dict[str, Any] = {
        "event_id": "e",
        "type": "completed",
        "disposition": Disposition.APPLIED,
        "topic": "completions",
        "partition": 3,
        "offset": 17,
        "received_at": UnixNanos(1),
        "decided_at": UnixNanos(2),
        "relay_id": "r",
        "group": "g",
    }
    return AuditRecord(**fields | more)


@pytest.fixture
def store(database: str) -> Store:
    store = store_at(database)
    store.prepare(TOPIC)
    return store


# The store is empty again for each example: rebuild makes it so.
examples = settings(max_examples=15, suppress_health_check=list(HealthCheck))


@examples
@given(records=st.lists(audit_records(), min_size=1, max_size=8))
def test_every_record_comes_back_as_it_was_whatever_its_texts_hold(
    store: Store, records: list[AuditRecord]
) -> None:
    store.prepare(TOPIC, rebuild=True)
    rows = rows_of(records, begin=2**40)
    store.write([chunk_of(rows, begin=5)])
    found = list(store.rows(0, 2**40, 2**40 + len(rows)))
    assert found == rows
    assert [fields_of(row) for row in found] == [audit_to_json_dict(record) for record in records]
    assert sum(map(digest, found)) % MODULUS == store.progress()[0].checksum


@pytest.mark.parametrize(
    "text",
    ["\x00", "a\x00b\x1a", "\x1a0\x1a1", "\\N", '"', "a\r\nb\tc", "ü\U0001f600", "'", "null"],
)
def test_a_text_that_means_something_to_a_database_is_a_text(store: Store, text: str) -> None:
    rows = rows_of([record(event_id=text, detail=text, key_id=text)])
    store.write([chunk_of(rows)])
    assert list(store.rows(0, 0, 1)) == rows
    assert store.select(*asking.newest(AuditFilter(event_id=text), 0)) == rows


def test_a_text_of_a_megabyte_is_taken(store: Store) -> None:
    """Ids come from whoever may write to the topic: one was too long for a B-tree's page."""
    rows = rows_of([record(event_id="x" * 10**6, workflow_id="y" * 10**6)])
    store.write([chunk_of(rows)])
    assert list(store.rows(0, 0, 1)) == rows


words = st.sampled_from(["", "a", "b"])
some_records = st.builds(
    record,
    event_id=words,
    workflow_id=words,
    activity_id=words,
    namespace=words,
    key_id=st.none() | words,
    decided_at=st.integers(0, 5).map(UnixNanos),
    disposition=st.sampled_from([Disposition.APPLIED, Disposition.EXPIRED]),
) | st.builds(
    record,
    disposition=st.just(Disposition.DEAD_LETTERED),
    reason=st.sampled_from(DeadLetterReason),
)
filters = st.builds(
    AuditFilter,
    since=st.none() | st.integers(0, 5).map(UnixNanos),
    until=st.none() | st.integers(0, 5).map(UnixNanos),
    event_id=words,
    workflow_id=words,
    activity_id=words,
    namespace=words,
    key_id=words,
    dispositions=st.frozensets(st.sampled_from(Disposition), max_size=3),
    reasons=st.frozensets(st.sampled_from(DeadLetterReason), max_size=2),
    place=st.none() | st.tuples(st.just("completions"), st.integers(2, 3), st.integers(16, 17)),
)


@examples
@given(
    records=st.lists(some_records, min_size=1, max_size=12),
    asked=st.lists(filters, min_size=1, max_size=8),
)
def test_the_index_finds_what_reading_the_topic_finds(
    store: Store, records: list[AuditRecord], asked: list[AuditFilter]
) -> None:
    store.prepare(TOPIC, rebuild=True)
    rows = rows_of(records)
    store.write([chunk_of(rows)])
    for wanted in asked:
        expected = [row for row in rows if wanted.matches(fields_of(row))]
        newest = sorted(expected, key=lambda row: (fields_of(row)["decided_at"], row[1]))[::-1]
        assert store.select(*asking.newest(wanted, 0)) == newest
        assert store.select(*asking.newest(wanted, 2)) == newest[:2]
        assert store.select(*asking.count(wanted, 3)) == [(min(3, len(expected)),)]
        assert list(store.rows(0, 0, 99, only=asking.condition(wanted))) == expected


def test_progress_is_where_the_chunks_ended(store: Store) -> None:
    first, second = rows_of([record(), record()]), rows_of([record()], begin=7)
    chunk = chunk_of(first)
    chunk.unreadable = 3
    store.write([chunk, chunk_of(rows_of([record()], partition=1, begin=4), partition=1, begin=4)])
    store.write([chunk_of(second, expected=2)])
    assert store.progress() == {
        0: Progress(
            begin=0,
            next=8,
            records=3,
            unreadable=3,
            checksum=sum(map(digest, first + second)) % MODULUS,
            last=7,
            last_digest=as_text(digest(second[-1])),
        ),
        1: Progress(
            begin=4,
            next=5,
            records=1,
            checksum=(other := digest(row_of(1, 4, audit_to_json_dict(record())))),
            last=4,
            last_digest=as_text(other),
        ),
    }


def test_who_has_read_further_than_an_index_that_was_made_anew_writes_nothing(store: Store) -> None:
    """It would be left without its beginning."""
    rows = rows_of([record(event_id=str(number)) for number in range(3)])
    store.write([chunk_of(rows[:2])])
    store.prepare(TOPIC, rebuild=True)
    with pytest.raises(
        OvertakenError, match="partition 0 is not there, expected at offset 2: another indexer"
    ):
        store.write([chunk_of(rows[2:], expected=2)])
    assert store.progress() == {}


def test_who_was_overtaken_writes_nothing(store: Store) -> None:
    """Two indexers: the second one's rows are those that the first has written already."""
    rows = rows_of([record(event_id=str(number)) for number in range(4)])
    store.write([chunk_of(rows[:2])])
    with pytest.raises(
        OvertakenError, match="partition 0 is at offset 2, expected not there: another indexer"
    ):
        store.write(
            [
                chunk_of(rows_of([record()], partition=1), partition=1),
                chunk_of(rows[:3]),
            ]
        )
    assert store.progress().keys() == {0}
    assert store.select(f"select count(*) from {tables.TABLE}") == [(2,)]
    store.write([chunk_of(rows[2:], expected=2)])
    assert list(store.rows(0, 0, 9)) == rows


def test_what_fails_within_a_batch_leaves_no_part_of_it(store: Store) -> None:
    good, bad = rows_of([record(), record(decided_at="later")])
    with pytest.raises(AuditIndexError):
        store.write([chunk_of([good, bad])])
    assert store.progress() == {}
    assert list(store.rows(0, 0, 9)) == []


def test_preparing_again_keeps_what_is_there(store: Store) -> None:
    store.write([chunk_of(rows_of([record()]))])
    store.prepare(TOPIC)
    assert store.progress()[0].records == 1


def test_a_rebuild_begins_with_nothing(store: Store) -> None:
    store.write([chunk_of(rows_of([record()]))])
    store.prepare("another.audit", rebuild=True)
    assert store.progress() == {}
    assert list(store.rows(0, 0, 9)) == []


def test_the_index_of_another_topic_is_refused_with_the_fix(store: Store) -> None:
    with pytest.raises(
        OtherTopicError, match=r"is of the topic completions\.audit, not of x: .*--rebuild"
    ):
        store.prepare("x")


def test_what_is_known_of_events_is_all_before_the_place_where_the_index_ends(
    store: Store,
) -> None:
    store.write([chunk_of(rows_of([record(event_id=name) for name in ("a", "b", "a", "c")]))])
    found = known(store, TOPIC, event_ids=["a", "b", "nobody", "a\udcff"])
    assert [one.event_id for one in found.records] == ["a", "b", "a"]
    assert found.after == {0: 4}
    found = known(store, TOPIC, AuditFilter(event_id="a"))
    assert [one.event_id for one in found.records] == ["a", "a"]


def test_what_was_decided_at_one_moment_is_known_in_its_order(store: Store) -> None:
    rows = rows_of([record(event_id="a", offset=offset) for offset in (7, 8, 9)])
    store.write([chunk_of(rows)])
    found = known(store, TOPIC, AuditFilter(event_id="a"))
    assert [one.offset for one in found.records] == [7, 8, 9]


def test_from_a_record_on_that_could_not_be_read_the_topic_tells_what_it_still_has(
    store: Store,
) -> None:
    rows = rows_of([record(event_id="a") for _ in range(5)])
    del rows[3]
    chunk = chunk_of(rows)
    chunk.unreadable, chunk.first_unreadable = 1, 3
    store.write([chunk])
    store.write([chunk_of(rows_of([record(event_id="a")], begin=5), expected=5)])
    found = known(store, TOPIC, event_ids=["a"])
    assert (len(found.records), found.after) == (5, {0: 3})
    for begins, beside in ((0, 3), (3, 3), (5, 4), (9, 5)):
        assert len(found.beside({TopicPartition(TOPIC, 0): begins})) == beside, begins


def test_a_row_that_is_no_audit_record_is_said_to_be_none(store: Store, database: str) -> None:
    store.write([chunk_of(rows_of([record(event_id="a")]))])
    change(database, f"update {tables.TABLE} set calls = 'no JSON'")
    with pytest.raises(AuditIndexError, match=r"a row of its index is no audit record .*--rebuild"):
        known(store, TOPIC, event_ids=["a"])


def test_an_index_of_an_earlier_version_names_the_command_that_mends_it(
    store: Store, database: str
) -> None:
    change(database, f"alter table {tables.TABLE} drop column replay_of")
    with pytest.raises(
        AuditIndexError, match="without replay_of: run `completion-relay audit index`"
    ):
        known(store, TOPIC, event_ids=["a"])


def test_the_index_of_another_kafka_is_refused_with_the_fix(store: Store) -> None:
    store.prepare(TOPIC, cluster="production", rebuild=True)
    store.prepare(TOPIC, cluster="production")
    with pytest.raises(OtherTopicError, match="on the Kafka cluster production, not on staging"):
        store.prepare(TOPIC, cluster="staging")


def test_the_last_row_of_a_partition_is_kept_beside_its_progress(store: Store) -> None:
    rows = rows_of([record(event_id=name) for name in ("a", "b")])
    store.write([chunk_of(rows)])
    assert store.progress()[0].last == rows[-1][1]
    assert int(store.progress()[0].last_digest, 16) == digest(rows[-1])


def test_of_the_index_of_another_topic_nothing_is_known(store: Store) -> None:
    with pytest.raises(OtherTopicError, match=r"is of the topic completions\.audit, not of x: "):
        known(store, "x", AuditFilter())


def test_a_later_layout_is_refused(store: Store, database: str) -> None:
    change(database, f"update {tables.ABOUT} set layout = 99")
    with pytest.raises(AuditIndexError, match="of layout 99, this version knows 3: upgrade"):
        store.prepare(TOPIC)


def test_a_text_that_is_no_unicode_is_asked_for_and_not_found(store: Store) -> None:
    """As a shell hands over a byte that is no UTF-8."""
    assert store.select(*asking.newest(AuditFilter(event_id="a\udcff"), 0)) == []


def test_a_column_that_an_older_version_did_not_have_is_added(store: Store, database: str) -> None:
    """The checksum of what was indexed before stays what it was."""
    rows = rows_of([record()])
    store.write([chunk_of(rows)])
    change(database, f"alter table {tables.TABLE} drop column replay_of")
    store.prepare(TOPIC)
    assert [digest(row) for row in store.rows(0, 0, 1)] == [digest(row) for row in rows]


@pytest.mark.parametrize("ask", ["progress", "select", "rows"])
def test_where_there_is_no_index_the_command_that_makes_one_is_named(
    database: str, ask: str
) -> None:
    store = store_at(database)
    asked: dict[str, Callable[[], object]] = {
        "progress": store.progress,
        "select": lambda: store.select(*asking.newest(AuditFilter(), 1)),
        "rows": lambda: list(store.rows(0, 0, 1)),
    }
    with pytest.raises(NoIndexError, match="make it with `completion-relay audit index --database"):
        asked[ask]()


def test_rows_are_those_between_the_offsets_in_their_order(store: Store) -> None:
    rows = rows_of([record() for _ in range(5)], begin=10)
    store.write([chunk_of(rows, begin=10)])
    found = [row[1] for row in store.rows(0, 11, 14)]
    assert found == [11, 12, 13]
    assert all(a < b for a, b in itertools.pairwise(found)), OFFSET


@pytest.mark.parametrize("key", ["event_key", "workflow_key"])
@pytest.mark.parametrize("value", ["7", "null"])
async def test_verify_tells_of_rows_that_are_not_found_by_their_id(
    store: Store, database: str, key: str, value: str
) -> None:
    """They are in no checksum, and the index answered that there is no such event."""
    trail = MemoryTrail()
    for event_id in ("e", "\x00", "\x1a"):
        trail.append(record(event_id=event_id), written=1)
    store.prepare(trail.partitions[0].topic, rebuild=True)
    await Indexer(trail, store).catch_up(asyncio.Event())
    (whole,) = await verify(trail, store)
    assert (whole.records, whole.problems) == (3, ())
    change(database, f"update {tables.TABLE} set {key} = {value} where {OFFSET} = 1")
    (damaged,) = await verify(trail, store)
    (problem,) = damaged.problems
    assert problem.startswith("1 of its rows are not found by their event's or workflow's id")


def change(database: str, sql: str) -> None:
    """Run a statement beside the store."""
    if "://" in database:
        import psycopg  # noqa: PLC0415 - an extra

        with psycopg.connect(database) as db:
            db.execute(sql.encode())
        return
    import duckdb  # noqa: PLC0415 - the same

    with duckdb.connect(database) as db:
        db.execute(sql)
