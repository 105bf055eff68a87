"""Header names that are not UTF-8, on the broker of this run: such a record stops nobody."""

from __future__ import annotations

import asyncio
import contextlib

from aiokafka import TopicPartition
from tests.integration.relay.waiting import Scene, completed, event, relay
from tests.odd_headers import Written, produce_batch
from tests.support import Topics, committed_offsets, consume_all, eventually, produce

from completion_relay.topic_reader import TopicReader
from completion_schemas.audit import AuditRecord
from completion_schemas.cloudevents import encode_record
from completion_schemas.dispositions import DeadLetterReason, Disposition

ODD = (b"x-\xff\xfe", b"\xff")
READ = ("x-\ufffd\ufffd", b"\xff")


async def test_records_with_odd_header_names_go_their_ordinary_way(scene: Scene) -> None:
    """An event is applied, what is none is dead-lettered, and what is before and behind them is decided."""
    (before, one), (inside, two), (odd, three), (behind, four) = [
        await scene.waiting() for _ in range(4)
    ]
    first, *batched, last = [
        encode_record(event(reference, completed())) for reference in (one, two, three, four)
    ]
    headers = [[(name.encode(), value) for name, value in sent.headers] for sent in batched]
    topic = scene.topics.completions
    async with relay(scene.settings()):
        for sent in (first, last):
            if sent is last:
                await produce_batch(
                    scene.kafka,
                    topic,
                    [
                        Written(batched[0].value, batched[0].key, headers[0]),
                        Written(b"garbage", b"\xfe", [ODD, (b"y", None)]),
                        Written(batched[1].value, batched[1].key, [ODD, *headers[1]]),
                    ],
                    partition=0,
                )
            await produce(
                scene.kafka,
                topic,
                sent.value,
                key=sent.key,
                headers=[(name, value or b"") for name, value in sent.headers],
                partition=0,
            )
        async with asyncio.timeout(30):
            for handle in (before, inside, odd, behind):
                assert await handle.result() == "done"

        async def all_five() -> list[AuditRecord] | None:
            records = await scene.audit()
            return records if len(records) >= 5 else None

        audit = await eventually(all_five, what="five audit records")
    applied = (Disposition.APPLIED, None)
    assert {record.offset: (record.disposition, record.reason) for record in audit} == {
        **dict.fromkeys(range(5), applied),
        2: (Disposition.DEAD_LETTERED, DeadLetterReason.UNDECODABLE),
    }
    assert len(audit) == 5
    (letter,) = await consume_all(scene.kafka, scene.topics.dead_letter)
    assert (letter.key, letter.value) == (b"\xfe", b"garbage")
    assert letter.headers[:2] == (READ, ("y", None))
    assert dict(letter.headers)["completion-dlq-reason"] == b"undecodable"
    assert await committed_offsets(scene.kafka, f"{topic}.g", topic) == {0: 5}


async def test_a_reader_of_a_topic_reads_them_too(topics: Topics, kafka_address: str) -> None:
    await produce_batch(
        kafka_address,
        topics.completions,
        [Written(b"a"), Written(b"b", headers=[ODD]), Written(b"c")],
        partition=1,
    )
    await produce(kafka_address, topics.completions, b"d", partition=1)
    at = TopicPartition(topics.completions, 1)
    async with TopicReader.open({"bootstrap_servers": kafka_address}, topics.completions) as reader:
        async with contextlib.aclosing(reader.batches({at: 0}, {at: 4})) as batches:
            found = [record async for _, records in batches for record in records]
        one = await reader.record_at(at, 1)
    assert [record.value for record in found] == [b"a", b"b", b"c", b"d"]
    assert one is not None
    assert found[1].headers == one.headers == (READ,)
