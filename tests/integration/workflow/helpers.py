"""Room `tests`: a worker with the plugin, a transport to look into, and the relay's job in a few lines."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import (
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    PayloadCodec,
)
from temporalio.worker import Worker
from tests.integration.workflow.samples import Activities, Callee, Caller, Waiter
from tests.support import PARTITIONS

from completion_schemas.cloudevents import decode_record
from completion_schemas.events import ActivityReference, Completed, CompletionEvent, UnixNanos
from completion_workflow import CompletionPlugin, Direct
from completion_workflow._sending import Sender

GIVES_UP_AFTER = 7.0
"""Seconds; the last of the attempts, after 0, 1 and 3 s, gives up with its own error, as the next one would
come too late. A machine that stands still for nearly 4 s meanwhile changes nothing."""


class Encryption(PayloadCodec):
    """AES-GCM, as in Temporal's samples."""

    def __init__(self) -> None:
        self._cipher = AESGCM(b"k" * 32)

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encrypt."""
        return [self._encrypted(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Decrypt; what is not encrypted, or twice, is an error."""
        return [self._decrypted(payload) for payload in payloads]

    def _encrypted(self, payload: Payload) -> Payload:
        nonce = os.urandom(12)
        data = nonce + self._cipher.encrypt(nonce, payload.SerializeToString(), None)
        return Payload(metadata={"encoding": b"binary/encrypted"}, data=data)

    def _decrypted(self, payload: Payload) -> Payload:
        assert payload.metadata["encoding"] == b"binary/encrypted"
        plain = self._cipher.decrypt(payload.data[:12], payload.data[12:], None)
        return Payload.FromString(plain)


CONVERTERS = {
    "default": DataConverter.default,
    "pydantic": pydantic_data_converter,
    "encrypted": replace(
        DataConverter.default,
        payload_codec=Encryption(),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    ),
    "encrypted pydantic": replace(pydantic_data_converter, payload_codec=Encryption()),
}


@dataclass
class Outbox:
    """A transport that keeps what it is given, fails when told, and can hold everything back."""

    problems: deque[Exception] = field(default_factory=deque)
    """What the next tries raise."""
    deliver: bool = False
    """Whether the waiting activities are completed too."""
    tried: list[CompletionEvent] = field(default_factory=list)
    sent: list[CompletionEvent] = field(default_factory=list)
    running: int = 0
    open: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.open.set()

    def sender(self) -> Sender:
        """Return itself."""
        return self

    async def start(self) -> None:
        """Count."""
        self.running += 1

    async def stop(self) -> None:
        """Count."""
        self.running -= 1

    async def send(self, event: CompletionEvent, client: Client) -> None:
        """Keep the event, or raise the next problem."""
        self.tried.append(event)
        await self.open.wait()
        if self.problems:
            raise self.problems.popleft()
        self.sent.append(event)
        if self.deliver:
            await Direct().sender().send(event, client)


@dataclass
class Side:
    """A running worker, caller and callee in one."""

    client: Client
    task_queue: str
    activities: Activities

    def id(self) -> str:
        """Return a workflow id that nobody has."""
        return f"w-{uuid.uuid4().hex[:12]}"


@contextlib.asynccontextmanager
async def worker(
    address: str,
    plugin: CompletionPlugin,
    task_queue: str,
    converter: DataConverter = DataConverter.default,
    *,
    more_workflows: Sequence[type] = (),
    more_activities: Sequence[Callable[..., Any]] = (),
    **options: Any,
) -> AsyncIterator[Side]:
    """Run a sandboxed worker with the plugin on its client."""
    client = await Client.connect(address, data_converter=converter, plugins=[plugin])
    activities = Activities(client, task_queue)
    async with Worker(
        client,
        task_queue=task_queue,
        workflows=[Callee, Caller, Waiter, *more_workflows],
        activities=[activities.ordinary, activities.waiting, *more_activities],
        **options,
    ):
        yield Side(client, task_queue, activities)


@contextlib.asynccontextmanager
async def relayed(kafka: str, topic: str, client: Client) -> AsyncIterator[list[CompletionEvent]]:
    """Do the relay's job for one topic: the events, as they come, complete their activities."""
    events: list[CompletionEvent] = []
    async with AIOKafkaConsumer(
        bootstrap_servers=kafka, enable_auto_commit=False, auto_offset_reset="earliest"
    ) as consumer:
        consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
        await consumer.seek_to_beginning()

        async def pump() -> None:
            async for record in consumer:
                event = decode_record(record.headers, record.value)
                assert record.key == event.activity_key.encode()
                events.append(event)
                await Direct(client).sender().send(event, client)

        task = asyncio.create_task(pump())
        try:
            yield events
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def somebody(**given: Any) -> ActivityReference:
    """Return a reference to an activity that nobody waits in."""
    fields: dict[str, Any] = {"namespace": "default", "task_token": "dG9rZW4gb2Ygbm9ib2R5IQ=="}
    return ActivityReference(**(fields | given))


def event_for_nobody(event_id: str) -> CompletionEvent:
    """Return an event that completes the activity that nobody waits in."""
    return CompletionEvent(
        event_id=event_id, occurred_at=UnixNanos(0), activity=somebody(), outcome=Completed()
    )
