"""A waiting workflow and a relay under test, for the relay's integration tests."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiokafka.structs import RecordMetadata
from temporalio import activity
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker
from tests.chaos.proxy import Link
from tests.integration.relay.caller import Caller, Wait
from tests.integration.relay.process import READY_SECONDS
from tests.support import Topics, consume_all, eventually, produce

from completion_relay.embedded import EMPTY_FETCH_PAUSE_MS
from completion_relay.service import Relay, Serving
from completion_relay.settings import Settings
from completion_schemas.audit import AuditRecord, decode_audit
from completion_schemas.cloudevents import encode_record
from completion_schemas.events import (
    ActivityReference,
    Canceled,
    Completed,
    CompletionEvent,
    Failed,
    Heartbeat,
    Outcome,
    UnixNanos,
    unix_nanos,
)


@dataclass
class HandOffs:
    """What waiting activities handed over, by workflow id."""

    given: dict[str, list[ActivityReference]] = field(default_factory=dict)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @activity.defn(name="hand-off")
    async def hand_off(self) -> None:
        reference = ActivityReference.from_info(activity.info())
        async with self.news:
            self.given.setdefault(reference.workflow_id, []).append(reference)
            self.news.notify_all()
        activity.raise_complete_async()

    async def of(self, handle: WorkflowHandle[Any, Any], attempt: int = 1) -> ActivityReference:
        """Return the reference that an attempt of the workflow's activity handed over."""
        async with self.news:
            await asyncio.wait_for(
                self.news.wait_for(lambda: len(self.given.get(handle.id, [])) >= attempt), 30
            )
        return self.given[handle.id][attempt - 1]


@dataclass
class Scene:
    """One test's caller, topics and relay settings."""

    client: Client
    kafka: str
    temporal: str
    topics: Topics
    task_queue: str
    hand_offs: HandOffs = field(default_factory=HandOffs)

    @contextlib.asynccontextmanager
    async def worker(self) -> AsyncIterator[Worker]:
        async with Worker(
            self.client,
            task_queue=self.task_queue,
            workflows=[Caller],
            activities=[self.hand_offs.hand_off],
        ) as worker:
            yield worker

    async def start(self, **wait: Any) -> WorkflowHandle[Any, Any]:
        return await self.client.start_workflow(
            Caller.run, Wait(**wait), id=f"caller-{uuid.uuid4()}", task_queue=self.task_queue
        )

    async def waiting(self, **wait: Any) -> tuple[WorkflowHandle[Any, Any], ActivityReference]:
        """Start a caller and return it with the reference its activity handed over."""
        handle = await self.start(**wait)
        return handle, await self.hand_offs.of(handle)

    def settings(self, **sections: dict[str, Any]) -> Settings:
        base: dict[str, dict[str, Any]] = {
            "kafka": {
                "bootstrap_servers": self.kafka,
                "group_id": f"{self.topics.completions}.g",
                "empty_fetch_pause_ms": EMPTY_FETCH_PAUSE_MS,
            },
            "topics": {
                name: getattr(self.topics, name)
                for name in ("completions", "audit", "dead_letter", "parked", "signals")
            },
            "temporal": {"address": self.temporal, "namespaces": ("default",)},
            "relay": {
                "relay_id": "relay-under-test",
                "commit_interval": 0.05,
                "look_timeout": 3.0,
                "early_timeout": 5.0,
                "retry_maximum": 0.5,
            },
            "http": {"address": "127.0.0.1:0"},
        }
        for section, values in sections.items():
            base.setdefault(section, {}).update(values)
        return Settings.model_validate(base)

    async def emit(
        self, event: CompletionEvent, *, content_type: str = "application/protobuf"
    ) -> RecordMetadata:
        record = encode_record(event, content_type=content_type)
        return await produce(
            self.kafka,
            self.topics.completions,
            record.value,
            key=record.key,
            headers=[(name, value) for name, value in record.headers if value is not None],
        )

    async def audit(self) -> list[AuditRecord]:
        return [
            decode_audit(record.value)
            for record in await consume_all(self.kafka, self.topics.audit)
            if record.value is not None
        ]

    async def decided(self, at: RecordMetadata) -> AuditRecord:
        """Return the audit record of the record at that position, once there is one."""

        async def found() -> AuditRecord | None:
            for record in await self.audit():
                # With its topic: what others write to completions.parked has an audit record too.
                place = (record.topic, record.partition, record.offset)
                if place == (at.topic, at.partition, at.offset):
                    return record
            return None

        return await eventually(found, timeout=120, what=f"an audit record for {at}")


@dataclass
class Far:
    """A scene whose relays reach Temporal over a link: while it is stalled, a call stays under way."""

    scene: Scene
    link: Link

    async def under_way(self, count: int) -> list[tuple[WorkflowHandle[Any, Any], RecordMetadata]]:
        """Emit so many events; return each caller, and where its event is, with the link stalled."""
        waiting = [await self.scene.waiting() for _ in range(count)]
        self.link.stall()
        return [
            (handle, await self.scene.emit(event(reference, completed())))
            for handle, reference in waiting
        ]


@contextlib.asynccontextmanager
async def relay(settings: Settings) -> AsyncIterator[str]:
    """Run a relay in this process; give its address for HTTP once it is ready, and drain it."""
    stop = asyncio.Event()
    ready: asyncio.Future[Serving] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(Relay(settings).run(stop, on_ready=ready.set_result))
    try:
        first: set[asyncio.Future[Any]] = {ready, running}
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED, timeout=READY_SECONDS)
        if running.done():
            await running
        yield (await asyncio.wait_for(ready, 0.1)).http
    finally:
        stop.set()
        await running


@contextlib.asynccontextmanager
async def unready_relay(settings: Settings) -> AsyncIterator[None]:
    """Run a relay that is not ready, as while a namespace is missing; drain it."""
    stop = asyncio.Event()
    running = asyncio.create_task(Relay(settings).run(stop, on_ready=lambda _: None))
    try:
        yield
    finally:
        stop.set()
        await running


def payloads(*values: bytes) -> Payloads:
    """Return payloads as the default data converter writes JSON."""
    return Payloads(
        payloads=[Payload(metadata={"encoding": b"json/plain"}, data=value) for value in values]
    )


def failure(message: str, *, type_name: str = "SomeError", non_retryable: bool = False) -> Failure:
    """Return an application failure."""
    return Failure(
        message=message,
        application_failure_info=ApplicationFailureInfo(
            type=type_name, non_retryable=non_retryable
        ),
    )


def completed(value: bytes = b'"done"') -> Completed:
    return Completed(payloads(value))


def failed(message: str = "it broke", *, non_retryable: bool = True) -> Failed:
    return Failed(failure(message, non_retryable=non_retryable))


def canceled() -> Canceled:
    return Canceled(payloads(b'"stopped"'))


def heartbeat() -> Heartbeat:
    return Heartbeat(payloads(b"1"))


def event(
    reference: ActivityReference,
    outcome: Outcome,
    *,
    event_id: str | None = None,
    deadline: UnixNanos | None = None,
    occurred_at: UnixNanos | None = None,
) -> CompletionEvent:
    return CompletionEvent(
        event_id=event_id or str(uuid.uuid4()),
        occurred_at=occurred_at or unix_nanos(datetime.now(UTC)),
        activity=reference,
        outcome=outcome,
        deadline=deadline,
    )
