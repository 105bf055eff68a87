"""Room `tests/bench`: the floor, the libraries alone, as a process of its own.

    python -m tests.bench.floor --kafka HOST:PORT --temporal HOST:PORT --topic T --audit-topic T ...

What any relay in Python has to do for an event with the libraries that this one
uses, and no logic at all between: fetch (aiokafka), parse (protobuf), call (the
SDK), write an audit record (fastavro) and the offsets in transactions (aiokafka).
No checks, no order, no retries, no metrics, no log; killed, it loses events. What
the relay costs beyond it is the relay's own, what it costs beyond the bare loop
is not to be had for less. Runs until it is ended. Touches Kafka and Temporal.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import time
from collections import deque
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import fastavro
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import ConsumerRecord, OffsetAndMetadata, TopicPartition
from temporalio.api.workflowservice.v1 import RespondActivityTaskCompletedRequest
from tests.bench.events import NAMESPACE

from completion_relay.connections import TemporalConnection
from completion_relay.event_loop import run_relay
from completion_relay.fetch_pause import pause_after_empty_fetches
from completion_relay.settings import TemporalSettings
from completion_schemas import avro
from completion_schemas.v1.event_pb2 import CompletionEvent

_TIMEOUT = timedelta(seconds=10)
_FETCHED = 250
"""Records that wait at most, as in the relay."""
_INTERVAL = 1.0
"""Seconds for which records gather; the relay's default."""
_HURRY = 1_000
"""Records that are not waited with; as in the relay."""

Done = tuple[TopicPartition, int, bytes, bytes]
"""Where a record was, its offset, and key and value of its audit record."""


class Floor:
    """Fetched records, the workers that make the calls, and what is to be written."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = given
        self._schema = fastavro.parse_schema(dict(avro.latest("audit").definition))
        self._header = avro.latest("audit").header
        self._fetched: deque[ConsumerRecord[bytes, bytes]] = deque()
        self._news = asyncio.Condition()
        self._done: list[Done] = []
        self._hurry = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled."""
        given = self._given
        connection = TemporalConnection(
            TemporalSettings(address=given.temporal, namespaces=(NAMESPACE,))
        )
        service = (await connection.client()).workflow_service
        fetching = AIOKafkaConsumer(
            given.topic,
            bootstrap_servers=given.kafka,
            group_id=given.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        if given.empty_fetch_pause_ms:
            pause_after_empty_fetches(fetching, given.empty_fetch_pause_ms / 1_000)
        async with (
            fetching as consumer,
            AIOKafkaProducer(
                bootstrap_servers=given.kafka,
                transactional_id=given.group,
                compression_type="lz4",
                max_batch_size=256 * 1024,
            ) as producer,
            asyncio.TaskGroup() as tasks,
        ):
            for _ in range(given.in_flight):
                tasks.create_task(self._call(service))
            tasks.create_task(self._write(producer))
            while True:
                await self._fetch(consumer)

    async def _fetch(self, consumer: AIOKafkaConsumer) -> None:
        if len(self._fetched) >= _FETCHED:
            await asyncio.sleep(0.005)
            return
        batches = await consumer.getmany(timeout_ms=200, max_records=_FETCHED)
        async with self._news:
            for records in batches.values():
                self._fetched.extend(records)
            self._news.notify_all()

    async def _call(self, service: Any) -> None:
        while True:
            while self._fetched:
                record = self._fetched.popleft()
                received_at = time.time_ns()
                event = CompletionEvent.FromString(record.value)
                await service.respond_activity_task_completed(
                    RespondActivityTaskCompletedRequest(
                        task_token=event.activity.task_token,
                        result=event.completed.result,
                        identity="floor",
                        namespace=event.activity.namespace,
                    ),
                    retry=False,
                    timeout=_TIMEOUT,
                )
                self._done.append(self._audited(record, event, received_at))
                if len(self._done) >= _HURRY:
                    self._hurry.set()
            async with self._news:
                await self._news.wait_for(lambda: self._fetched)

    def _audited(
        self, record: ConsumerRecord[bytes, bytes], event: CompletionEvent, received_at: int
    ) -> Done:
        out = io.BytesIO()
        out.write(self._header)
        activity, at = event.activity, event.occurred_at
        fields = {
            "event_id": event.event_id,
            "type": "completed",
            "disposition": "applied",
            "reason": None,
            "detail": "",
            "namespace": activity.namespace,
            "workflow_id": activity.workflow_id,
            "run_id": activity.run_id,
            "activity_id": activity.activity_id,
            "attempt": activity.attempt,
            "token_preview": "",
            "token_fingerprint": activity.token_fingerprint,
            "origin_workflow_id": event.origin.workflow_id,
            "origin_run_id": event.origin.run_id,
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "occurred_at": at.seconds * 10**9 + at.nanos,
            "received_at": received_at,
            "decided_at": time.time_ns(),
            "tries": 1,
            "rpc_status": "OK",
            "key_id": None,
            "relay_id": "floor",
            "group": self._given.group,
            "redelivery": False,
            "replay_of": None,
        }
        fastavro.schemaless_writer(out, self._schema, fields)
        where = TopicPartition(record.topic, record.partition)
        return where, record.offset, event.event_id.encode(), out.getvalue()

    async def _write(self, producer: AIOKafkaProducer) -> None:
        offsets: dict[TopicPartition, OffsetAndMetadata] = {}
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_INTERVAL):
                    await self._hurry.wait()
            self._hurry.clear()
            done, self._done = self._done, []
            if not done:
                continue
            for partition, offset, _, _ in done:
                before = offsets.get(partition)
                if before is None or before.offset <= offset:
                    offsets[partition] = OffsetAndMetadata(offset + 1, "")
            await producer.begin_transaction()
            await self._send(producer, done)
            await producer.send_offsets_to_transaction(offsets, self._given.group)
            await producer.commit_transaction()

    async def _send(self, producer: AIOKafkaProducer, done: Iterable[Done]) -> None:
        headers = [("content-type", b"application/avro")]
        builder = producer.create_batch()
        for _, _, key, value in done:
            fields = {"key": key, "value": value, "timestamp": None, "headers": headers}
            if builder.append(**fields) is None:
                await producer.send_batch(builder, self._given.audit_topic, partition=0)
                builder = producer.create_batch()
                builder.append(**fields)
        await producer.send_batch(builder, self._given.audit_topic, partition=0)


def main() -> None:
    """Run the process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("kafka", "temporal", "topic", "audit-topic", "group"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--empty-fetch-pause-ms", type=int, default=0)
    run_relay(Floor(parser.parse_args()).run())


if __name__ == "__main__":
    main()
