"""`completion-relay audit report` on a real broker, from the topic and from databases."""

from __future__ import annotations

import time
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata
from tests.integration.cli.conftest import Commands
from tests.integration.cli.trail import MINUTE, decision, write
from tests.support import Topics, produce

from completion_relay.cli.times import show_time
from completion_relay.offset_map import encode
from completion_schemas.audit import AuditRecord
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.times import UnixNanos

MILLI = 10**6


def decisions() -> list[AuditRecord]:
    """A hundred that took 1 to 100 ms, two later ones of theirs, three dead letters, one long ago."""
    now = UnixNanos(time.time_ns() - MINUTE)
    took = [
        decision(
            f"e{millis}",
            decided_at=now,
            occurred_at=UnixNanos(now - millis * MILLI),
            tries=1 + millis // 98,
        )
        for millis in range(1, 101)
    ]
    dead = [
        decision(
            f"dead{number}",
            decided_at=now,
            occurred_at=None,
            type="",
            namespace="",
            disposition=Disposition.DEAD_LETTERED,
            reason=DeadLetterReason.UNDECODABLE,
        )
        for number in range(3)
    ]
    late = UnixNanos(now - 100 * MINUTE)
    later = [
        decision("e1", decided_at=now, occurred_at=late, replay_of="completions/0/17"),
        decision("e2", decided_at=now, occurred_at=late, redelivery=True),
    ]
    return [*took, *later, *dead, decision("old", decided_at=UnixNanos(now - 3 * 24 * 60 * MINUTE))]


async def test_a_report_from_an_index_is_the_one_from_the_topic(
    commands: Commands, topics: Topics, kafka_address: str, database: str
) -> None:
    await write(kafka_address, topics, *decisions())
    assert (await commands("audit", "index", "--database", database)).code == 0
    until = ("--to", "now", "--json")
    (of_topic,) = (await commands("audit", "report", *until)).objects
    done = await commands("audit", "report", *until, "--database", database)
    assert done.code == 0, done.err
    (of_index,) = done.objects
    for name in (
        "counts",
        "latencies",
        "replays_left_out",
        "read_again_left_out",
        "buckets",
        "slowest",
        "most_retried",
        "decisions",
        "width",
    ):
        assert of_index[name] == of_topic[name], name
    assert of_index["decisions"] == 105
    assert (of_index["replays_left_out"], of_index["read_again_left_out"]) == (1, 1)
    assert of_index["counts"] == [
        {"namespace": "", "disposition": "dead_lettered", "reason": "undecodable", "count": 3},
        {"namespace": "default", "disposition": "applied", "reason": None, "count": 102},
    ]
    (latency,) = of_index["latencies"]
    assert latency == {
        "type": "completed",
        "count": 100,
        "p50": 50 * MILLI,
        "p90": 90 * MILLI,
        "p99": 99 * MILLI,
        "most": 100 * MILLI,
    }
    assert [row["event_id"] for row in of_index["slowest"]] == [f"e{n}" for n in range(100, 90, -1)]
    assert [row["event_id"] for row in of_index["most_retried"]] == ["e100", "e99", "e98"]


async def test_a_report_from_an_index_says_how_far_that_goes_in_each_form(
    commands: Commands, topics: Topics, kafka_address: str, tmp_path: Path
) -> None:
    record, file = decision("e"), tmp_path / "report.html"
    await write(kafka_address, topics, record)
    option = ("--database", str(tmp_path / "audit.duckdb"))
    assert (await commands("audit", "index", *option)).code == 0
    await write(kafka_address, topics, decision("later"))
    said = f"The index goes as far as {show_time(record.decided_at)}."
    done = await commands("audit", "report", "--html", str(file), *option)
    assert done.out.endswith(f"\n\n{said}\n")
    assert said in file.read_text("utf-8")
    (of_index,) = (await commands("audit", "report", "--json", *option)).objects
    assert (of_index["from_index"], of_index["index_until"]) == (True, record.decided_at)
    (of_topic,) = (await commands("audit", "report", "--json")).objects
    assert (of_topic["from_index"], of_topic["index_until"]) == (False, None)


async def test_what_could_not_be_read_is_counted_by_the_index_and_by_the_topic(
    commands: Commands, topics: Topics, kafka_address: str, tmp_path: Path
) -> None:
    await write(kafka_address, topics, decision("e"))
    await produce(kafka_address, topics.audit, b"garbage")
    option = ("--database", str(tmp_path / "audit.duckdb"))
    assert (await commands("audit", "index", *option)).code == 0
    for args in ((), option):
        (found,) = (await commands("audit", "report", "--json", *args)).objects
        assert (found["decisions"], found["unreadable"]) == (1, 1)
    done = await commands("audit", "report", *option)
    assert "The index could not read 1 record of the topic: " in done.out


async def test_the_page_is_written_beside_the_table(
    commands: Commands, topics: Topics, kafka_address: str, tmp_path: Path
) -> None:
    await write(kafka_address, topics, *decisions())
    file = tmp_path / "report.html"
    done = await commands("audit", "report", "--html", str(file), "--namespace", "default")
    assert done.code == 0, done.err
    assert done.out.startswith("102 decisions from ")
    assert "Oldest undecided, of all namespaces: none." in done.out
    assert "Slowest:" in done.out
    text = file.read_text("utf-8")
    assert text.startswith("<!doctype html>")
    assert text.count("<svg") == 2


async def test_a_span_without_decisions_is_a_report_too(commands: Commands, tmp_path: Path) -> None:
    done = await commands("audit", "report", "--html", str(tmp_path / "report.html"))
    assert done.code == 0, done.err
    assert done.out.startswith("0 decisions from ")


async def test_a_page_that_cannot_be_written_is_told_with_the_fix(
    commands: Commands, tmp_path: Path
) -> None:
    done = await commands("audit", "report", "--html", str(tmp_path / "no" / "report.html"))
    assert done.code == 2
    assert "cannot be written: No such file or directory: give a file" in done.err


async def test_the_oldest_undecided_is_not_one_that_is_settled_ahead(
    commands: Commands, topics: Topics, kafka_address: str
) -> None:
    """Offset 0 is committed, 1 stands in the commit's metadata: 2 is what waits."""
    for number in range(3):
        await produce(kafka_address, topics.completions, b"%d" % number, partition=1)
    partition = TopicPartition(topics.completions, 1)
    member = AIOKafkaConsumer(
        bootstrap_servers=kafka_address,
        group_id=f"{topics.completions}.group",
        enable_auto_commit=False,
    )
    await member.start()
    try:
        member.assign([partition])
        await member.commit({partition: OffsetAndMetadata(1, encode(1, [range(1, 2)]))})
    finally:
        await member.stop()
    (report,) = (await commands("audit", "report", "--json")).objects
    waiting = report["oldest_undecided"]
    assert (waiting["topic"], waiting["partition"], waiting["offset"]) == (*partition, 2)
    assert waiting["age"] > 0
