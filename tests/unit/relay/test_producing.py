# ruff: noqa: ARG002 - as the real ones are called
"""A transaction that does not come to its commit, where Kafka answers nothing; and what producers ask for."""

from __future__ import annotations

import ast
import asyncio
import gc
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition

import completion_relay
from completion_relay.producing import transact
from completion_schemas.record import KafkaRecord

PLENTY = 60.0
"""Seconds that no test needs."""
RECORD = KafkaRecord(None, b"v", ())
PARTITION = TopicPartition("completions", 3)
PACKAGE = Path(completion_relay.__file__).parent
DURABILITY = ("acks", "enable_idempotence", "transactional_id")
"""What aiokafka is told of when a record is taken, and how often."""


class Batch:
    """As aiokafka's builder, with room for everything."""

    def append(self, **_: object) -> object:
        return object()

    def close(self) -> None:
        pass


class Producer:
    """A producer whose coordinator is away: batches are taken and never sent."""

    def __init__(self, *, fails: bool = False) -> None:
        self._fails = fails
        self.sent: list[asyncio.Future[Any]] = []
        self.is_at_the_offsets = asyncio.Event()
        self.is_committed = False

    async def begin_transaction(self) -> None:
        pass

    async def partitions_for(self, topic: str) -> set[int]:
        return {0}

    def create_batch(self) -> Batch:
        return Batch()

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[Any]:
        self.sent.append(asyncio.get_running_loop().create_future())
        return self.sent[-1]

    async def send_offsets_to_transaction(self, *_: object) -> None:
        self.is_at_the_offsets.set()
        if self._fails:
            raise KafkaError("the coordinator is away")
        await asyncio.Event().wait()

    async def commit_transaction(self) -> None:
        self.is_committed = True


def transaction(producer: Producer) -> asyncio.Task[None]:
    going = transact(
        cast("AIOKafkaProducer", producer),
        {"audit": [RECORD], "dlq": [RECORD]},
        {PARTITION: OffsetAndMetadata(11, "")},
        number=PARTITION.partition,
        group="g",
    )
    return asyncio.create_task(going)


async def test_a_transaction_that_is_given_up_does_not_wait_for_its_batches() -> None:
    """They are kept back for as long as the coordinator is away: its time-out would never end it."""
    producer = Producer()
    going = transaction(producer)
    async with asyncio.timeout(PLENTY):
        await producer.is_at_the_offsets.wait()
        going.cancel()
        await asyncio.wait({going})
    assert going.cancelled()
    assert [sent.done() for sent in producer.sent] == [False, False]
    assert not producer.is_committed


async def test_a_transaction_that_fails_says_so_at_once_and_what_its_batches_come_to_is_no_complaint() -> (
    None
):
    """They fail when their producer is closed, and nobody is there to ask for that."""
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    producer = Producer(fails=True)
    with pytest.raises(KafkaError, match="the coordinator is away"):
        await asyncio.wait_for(transaction(producer), PLENTY)
    first, second = producer.sent
    first.set_exception(KafkaError("closed"))
    second.cancel()
    await asyncio.wait({first, second})
    producer.sent.clear()
    del first, second
    gc.collect()  # a future complains when it goes
    assert complaints == []
    assert not producer.is_committed


@cache
def producers() -> dict[str, dict[str, Any]]:
    """Return how each producer of the relay is made, by its place: of what it is told, the durability."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("AIOKafkaProducer"):
                found[f"{path.relative_to(PACKAGE)}:{node.lineno}"] = {
                    given.arg: "some id"
                    if given.arg == "transactional_id"
                    else ast.literal_eval(given.value)
                    for given in node.keywords
                    if given.arg in DURABILITY
                }
    return found


@pytest.mark.source_tree
def test_every_writer_is_among_the_producers_that_are_looked_at() -> None:
    files = {place.partition(":")[0] for place in producers()}
    writers = {"journal.py", "cli/publish.py", "cli/instruct.py", "replay/sender.py"}
    assert files >= writers, files


@pytest.mark.source_tree
@pytest.mark.parametrize("place", producers())
async def test_every_producer_waits_for_all_replicas_and_writes_once(place: str) -> None:
    """White-box: aiokafka is content with one replica, and writes twice what it sends again."""
    producer = AIOKafkaProducer(**producers()[place])
    all_replicas = -1
    acks, is_idempotent = producer._sender._acks, producer._txn_manager is not None
    await producer.stop()
    assert (acks, is_idempotent) == (all_replicas, True)
