"""`completion-relay audit list`, and the trail that it reads, on a real broker."""

from __future__ import annotations

import time

import pytest
from aiokafka import AIOKafkaProducer
from tests.integration.cli.conftest import Commands
from tests.integration.cli.trail import MINUTE, decision, write
from tests.support import Topics, produce

from completion_relay.audit_trail import AuditEntry, AuditTrail, Unreadable
from completion_schemas.audit import audit_to_json_dict, encode_audit
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.times import UnixNanos, nanos_rfc3339


async def test_list_prints_the_newest_last_and_no_more_than_the_limit(
    commands: Commands, topics: Topics, kafka_address: str
) -> None:
    """The order is that of the decisions, across partitions."""
    now = time.time_ns()
    records = [decision(f"e{n}", decided_at=UnixNanos(now - n * MINUTE)) for n in range(5)]
    await write(kafka_address, topics, *records)
    done = await commands("audit", "list", "--limit", "3", "--json")
    assert done.code == 0, done.err
    assert [record["event_id"] for record in done.objects] == ["e2", "e1", "e0"]


async def test_json_has_the_fields_of_the_audit_record(
    commands: Commands, topics: Topics, kafka_address: str
) -> None:
    record = decision("e")
    await write(kafka_address, topics, record)
    done = await commands("audit", "show", "e", "--json")
    assert done.objects == [audit_to_json_dict(record)]


async def test_a_piped_list_is_one_line_an_event_with_whole_ids(
    commands: Commands, topics: Topics, kafka_address: str
) -> None:
    long = "order-" + "x" * 200
    await write(
        kafka_address,
        topics,
        decision("e", workflow_id=long),
        decision(
            "",
            disposition=Disposition.DEAD_LETTERED,
            reason=DeadLetterReason.UNDECODABLE,
            type="",
            workflow_id="",
            occurred_at=None,
        ),
    )
    done = await commands("audit", "list")
    heading, first, second = done.out.splitlines()
    assert heading.split()[:4] == ["decided", "event_id", "type", "disposition"]
    assert first.split()[1:6] == ["e", "completed", "applied", "-", long]
    assert second.split()[1:6] == ["-", "-", "dead_lettered", "undecodable", "-"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--disposition", "duplicate", "--disposition", "applied"), ["applied", "duplicate"]),
        (("--reason", "invalid", "--namespace", "default"), ["invalid"]),
        (("--workflow-id", "other", "--event-id", "other"), ["other"]),
        (("--from", "2h", "--to", "1h"), ["old"]),
        (("--key-id", "k2", "--activity-id", "other"), ["other"]),
    ],
    ids=" ".join,
)
async def test_list_takes_what_is_asked_for(
    commands: Commands,
    topics: Topics,
    kafka_address: str,
    options: tuple[str, ...],
    expected: list[str],
) -> None:
    now = time.time_ns()
    records = [
        decision(
            "old",
            decided_at=UnixNanos(now - 90 * MINUTE),
            workflow_id="w",
            namespace="n",
            disposition=Disposition.CLOSED,
        ),
        decision("applied"),
        decision("duplicate", disposition=Disposition.DUPLICATE),
        decision("invalid", disposition=Disposition.DEAD_LETTERED, reason=DeadLetterReason.INVALID),
        decision(
            "other",
            workflow_id="other",
            activity_id="other",
            key_id="k2",
            disposition=Disposition.CONFLICT,
        ),
        decision("billing", namespace="billing", disposition=Disposition.CONFLICT),
    ]
    await write(kafka_address, topics, *records)
    done = await commands("audit", "list", "--json", *options)
    assert [record["event_id"] for record in done.objects] == expected


async def test_list_exits_1_when_there_is_nothing(commands: Commands) -> None:
    done = await commands("audit", "list", "--from", "1h")
    assert (done.code, done.out) == (1, "")
    assert "Nothing that is asked for was decided since" in done.err


async def test_a_record_that_is_no_audit_record_is_counted_and_stops_nothing(
    commands: Commands, topics: Topics, kafka_address: str
) -> None:
    await produce(kafka_address, topics.audit, b"garbage")
    await produce(kafka_address, topics.audit, None, key=b"e")
    await write(kafka_address, topics, decision("e"))
    done = await commands("audit", "list")
    assert done.code == 0
    assert " e " in done.out
    assert done.err.startswith("2 records on the topic cannot be read as audit records")


async def test_aborted_records_are_not_read_and_an_open_transaction_does_not_hold_it_up(
    topics: Topics, kafka_address: str
) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=kafka_address, transactional_id=topics.audit
    ) as producer:

        async def send(event_id: str) -> None:
            value = encode_audit(decision(event_id))
            await producer.send_and_wait(topics.audit, value, key=b"k", partition=0)

        async with producer.transaction():
            await send("committed")
        await producer.begin_transaction()
        await send("aborted")
        await producer.abort_transaction()
        await producer.begin_transaction()
        await send("open")
        async with AuditTrail.open({"bootstrap_servers": kafka_address}, topics.audit) as trail:
            found = [entry async for entry in trail.read()]
        await producer.abort_transaction()
    assert [entry.record.event_id for entry in found if isinstance(entry, AuditEntry)] == [
        "committed"
    ]


async def test_a_trail_that_was_read_can_be_read_again_and_followed(
    topics: Topics, kafka_address: str
) -> None:
    await write(kafka_address, topics, decision("first"))
    async with AuditTrail.open({"bootstrap_servers": kafka_address}, topics.audit) as trail:
        end = await trail.end()
        for _ in range(2):
            assert [type(entry) async for entry in trail.read()] == [AuditEntry]
        await write(kafka_address, topics, decision("second"))
        await produce(kafka_address, topics.audit, b"garbage", key=b"third")
        entries = trail.follow(end)
        seen = [await anext(entries), await anext(entries)]
        await entries.aclose()
    assert {type(entry) for entry in seen} == {AuditEntry, Unreadable}


async def test_a_time_between_is_found_without_reading_all(
    topics: Topics, kafka_address: str
) -> None:
    """What is decided later than the newest record's time begins at the end."""
    await write(kafka_address, topics, decision("e"))
    async with AuditTrail.open({"bootstrap_servers": kafka_address}, topics.audit) as trail:
        later = UnixNanos(time.time_ns() + 10 * MINUTE)
        assert [entry async for entry in trail.read(since=later)] == []
        assert len([entry async for entry in trail.read(since=UnixNanos(0))]) == 1


async def test_absolute_times_are_taken(
    commands: Commands, topics: Topics, kafka_address: str
) -> None:
    when = UnixNanos(time.time_ns() - 30 * MINUTE)
    await write(kafka_address, topics, decision("e", decided_at=when))
    done = await commands("audit", "list", "--json", "--from", nanos_rfc3339(when))
    assert [record["event_id"] for record in done.objects] == ["e"]
    done = await commands("audit", "list", "--json", "--to", nanos_rfc3339(when))
    assert done.code == 1
