"""Events that cannot be decided now and hold up others: parked durably, taken up again, in order and once.

The events are for a namespace that is not there until the test registers it:
that halts the namespace and nothing else (contract section 4, "ours").
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord, RecordMetadata, TopicPartition
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError
from tests.integration.relay.caller import Caller, Wait
from tests.integration.relay.process import get
from tests.integration.relay.test_promises import limit_topic
from tests.integration.relay.waiting import Scene, completed, event, relay, unready_relay
from tests.support import committed_offsets, consume_all, eventually, produce

from completion_relay.embedded.process import free_port
from completion_relay.ledger import PartitionLedger, Receipt
from completion_relay.settings import HttpSettings, Settings
from completion_relay.takeover import Takeover
from completion_schemas.audit import AuditRecord
from completion_schemas.cloudevents import encode_record
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.events import ActivityReference, CompletionEvent, UnixNanos

WINDOW = 4
PARTITION = 0
AN_HOUR = 3_600 * 10**9
"""Nanoseconds."""


@dataclass
class Missing:
    """A namespace that the relay serves and Temporal does not have yet."""

    scene: Scene
    name: str

    def settings(self, **relay_settings: Any) -> Settings:
        """Return settings under which little fits into a window, and what is parked comes back soon."""
        return self.scene.settings(
            temporal={"namespaces": ("default", self.name)},
            relay={
                "window": WINDOW,
                "park_initial": 0.2,
                "park_maximum": 1.0,
                "retry_maximum": 0.5,
                "early_timeout": 60.0,
                "drain_timeout": 0.5,
                # The run will be another one than any that the event could name.
                "allow_current_run": True,
                **relay_settings,
            },
        )

    def event(self, workflow_id: str, value: str) -> CompletionEvent:
        reference = ActivityReference(
            namespace=self.name, workflow_id=workflow_id, activity_id="approval"
        )
        # By ids, an event counts only for an activity that was scheduled before it occurred.
        occurred_at = UnixNanos(time.time_ns() + AN_HOUR)
        return event(reference, completed(f'"{value}"'.encode()), occurred_at=occurred_at)

    async def emit(self, sent: CompletionEvent) -> RecordMetadata:
        """Publish an event; all of a test's are in one partition, and so in one window."""
        record = encode_record(sent)
        return await produce(
            self.scene.kafka,
            self.scene.topics.completions,
            record.value,
            key=record.key,
            headers=[(name, value or b"") for name, value in record.headers],
            partition=PARTITION,
        )

    async def parked(self) -> list[ConsumerRecord[Any, Any]]:
        """Return what was ever written to the parked topic."""
        return await consume_all(self.scene.kafka, self.scene.topics.parked)

    async def until_parked(self, positions: Sequence[RecordMetadata]) -> None:
        """Return once each of the records has a copy on the parked topic."""
        wanted = {at.offset for at in positions}

        async def all_of_them() -> bool:
            return {_origin(record) for record in await self.parked()} >= wanted

        await eventually(all_of_them, timeout=60, what=f"parked copies of {sorted(wanted)}")

    async def appear(self) -> Client:
        """Register the namespace; return a client of it once it takes workflows."""
        await self.scene.client.workflow_service.register_namespace(
            RegisterNamespaceRequest(
                namespace=self.name, workflow_execution_retention_period=Duration(seconds=86_400)
            )
        )
        return await Client.connect(self.scene.temporal, namespace=self.name)

    async def start(self, client: Client, workflow_id: str) -> WorkflowHandle[Any, Any]:
        async def started() -> WorkflowHandle[Any, Any] | None:
            # Temporal's frontend may not know a namespace of a moment ago yet.
            with contextlib.suppress(RPCError):
                return await client.start_workflow(
                    Caller.run,
                    Wait(activity_id="approval", timeout=600.0),
                    id=workflow_id,
                    task_queue=self.scene.task_queue,
                )
            return None

        return await eventually(started, timeout=60, what=f"a workflow in {self.name}")

    async def all_decided(self, count: int) -> list[AuditRecord]:
        async def decided() -> list[AuditRecord] | None:
            audit = await self.scene.audit()
            return audit if len(audit) >= count else None

        return await eventually(decided, timeout=60, what=f"{count} audit records")

    async def nothing_left(self) -> None:
        """Return once the group has committed beyond every record of both topics."""

        async def left() -> bool:
            for topic in (self.scene.topics.completions, self.scene.topics.parked):
                committed = await committed_offsets(
                    self.scene.kafka, f"{self.scene.topics.completions}.g", topic
                )
                for record in await consume_all(self.scene.kafka, topic):
                    assert record.offset < committed.get(record.partition, 0), record
            return True

        await eventually(left, timeout=30, what="commits beyond every record")


def _origin(record: ConsumerRecord[Any, Any]) -> int:
    return int(dict(record.headers)["completion-park-offset"])


def _places(audit: Sequence[AuditRecord]) -> list[tuple[str, int, int]]:
    return sorted((record.topic, record.partition, record.offset) for record in audit)


@pytest.fixture
def missing(scene: Scene) -> Missing:
    return Missing(scene, f"missing-{uuid.uuid4().hex[:8]}")


@contextlib.asynccontextmanager
async def callers(
    missing: Missing, ids: Sequence[str]
) -> AsyncIterator[list[WorkflowHandle[Any, Any]]]:
    """Have the namespace appear, with a worker and workflows that wait."""
    client = await missing.appear()
    handles = [await missing.start(client, workflow_id) for workflow_id in ids]
    async with replace(missing.scene, client=client).worker():
        yield handles


async def test_a_halted_namespace_fills_no_window_and_gets_its_events_when_it_is_there(
    missing: Missing,
) -> None:
    """Three windows of its events stand before those of another namespace, in one partition."""
    scene = missing.scene
    ids = [f"w-{number}" for number in range(3 * WINDOW)]
    started = [await scene.waiting(timeout=600.0) for _ in range(3)]
    async with unready_relay(missing.settings()):
        of_the_missing = [await missing.emit(missing.event(one, one)) for one in ids]

        async def room_was_made() -> bool:
            # The last ones may wait in the window: there is room again.
            return len({_origin(record) for record in await missing.parked()}) > 2 * WINDOW

        await eventually(room_was_made, timeout=30, what="parked events")
        others = [await missing.emit(event(reference, completed())) for _, reference in started]
        for at in others:
            assert (await scene.decided(at)).disposition is Disposition.APPLIED
        assert len(await scene.audit()) == len(others)
        await missing.appear()
        audit = await missing.all_decided(len(ids) + len(others))
        await missing.nothing_left()
    # The workflows never were: what counts is that the namespace answered.
    dispositions = {record.event_id: record.disposition for record in audit}
    assert sorted(dispositions.values()) == sorted(
        [Disposition.UNKNOWN] * len(ids) + [Disposition.APPLIED] * len(others)
    )
    assert _places(audit) == sorted(
        (at.topic, at.partition, at.offset) for at in [*of_the_missing, *others]
    )


async def test_large_results_of_a_halted_namespace_wait_in_bounded_memory_and_are_all_applied(
    missing: Missing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By their count, a hundred times as many could be undecided before one of them is parked."""
    undecided: list[int] = []
    original = PartitionLedger.receive

    def spy(self: PartitionLedger, offset: int, *, size: int, at: float) -> Receipt:
        receipt = original(self, offset, size=size, at=at)
        waiting = self.first_undecided(self.undecided)
        undecided.append(sum(self.bytes_of(one) for one, _ in waiting))
        return receipt

    monkeypatch.setattr(PartitionLedger, "receive", spy)
    scene = missing.scene
    window_bytes, large = 4 * 1024 * 1024, 900_000
    settings = missing.settings(window=2_000, window_bytes=window_bytes, park_after=600.0)
    ids = [f"w-{number}-{uuid.uuid4().hex[:6]}" for number in range(2 * window_bytes // large)]
    results = {one: one.ljust(large, ".") for one in ids}
    async with unready_relay(settings):
        for one in ids:
            await missing.emit(missing.event(one, results[one]))
        _, reference = await scene.waiting(timeout=600.0)
        other = await missing.emit(event(reference, completed()))
        # It is behind all of them: their window was full, and they were parked for it.
        assert (await scene.decided(other)).disposition is Disposition.APPLIED
        assert await missing.parked()
    # Another relay, or the namespace would be there a moment before its workflows.
    async with callers(missing, ids) as handles, unready_relay(settings):
        found = await asyncio.gather(*(handle.result() for handle in handles))
        assert found == list(results.values())
        await missing.all_decided(len(ids) + 1)
        await missing.nothing_left()
    assert window_bytes <= max(undecided) < window_bytes + 1.1 * large


async def test_what_one_relay_parked_another_takes_up_in_order_and_once(
    missing: Missing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later event of each activity comes while nobody is there to see it.

    The spy tells that the other knows what is parked before it has any event: which of the two
    topics comes first is chance.
    """
    known: list[int] = []
    original = Takeover.take

    async def spy(self: Takeover, *arguments: Any, **options: Any) -> Any:
        taken, left = await original(self, *arguments, **options)
        known.append(len(taken[TopicPartition(scene.topics.completions, PARTITION)].order))
        return taken, left

    monkeypatch.setattr(Takeover, "take", spy)
    scene = missing.scene
    ids = [f"w-{number}-{uuid.uuid4().hex[:6]}" for number in range(2 * WINDOW)]
    # Long enough for the next relay to see the later events before the time of the earlier ones.
    patient = missing.settings(park_after=0.2, park_initial=8.0, park_maximum=8.0)
    async with unready_relay(patient):
        first = [await missing.emit(missing.event(one, f"first of {one}")) for one in ids]
        await missing.until_parked(first)
    async with callers(missing, ids) as handles:
        second = [await missing.emit(missing.event(one, f"second of {one}")) for one in ids]
        async with unready_relay(patient):
            results = await asyncio.gather(*(handle.result() for handle in handles))
            assert results == [f"first of {one}" for one in ids]
            await missing.all_decided(len(first) + len(second))
            await missing.nothing_left()
    audit = await scene.audit()
    assert _places(audit) == sorted((at.topic, at.partition, at.offset) for at in [*first, *second])
    assert known == [0, len(ids)]
    applied = [record.offset for record in audit if record.disposition is Disposition.APPLIED]
    assert sorted(applied) == sorted(at.offset for at in first)


async def test_an_event_that_the_parked_topic_does_not_take_is_decided_once_it_can_be(
    missing: Missing,
) -> None:
    """`max.message.bytes` of the parked topic is less than that of the events', and nobody mends it."""
    scene = missing.scene
    parked = scene.topics.parked
    await limit_topic(scene, parked, 10_000)
    large = random.Random(1).randbytes(30_000).hex()  # that no compression makes small
    settings = missing.settings(park_after=1.0)
    http = f"127.0.0.1:{free_port()}"
    settings = settings.model_copy(update={"http": HttpSettings(address=http)})
    async with unready_relay(settings):
        at = await missing.emit(missing.event("w", large))

        async def is_named() -> bool:
            return f"1 too large for topic {parked}" in (await get(f"http://{http}/readyz"))[1]

        await eventually(is_named, timeout=30, what="readiness that names the parked topic")
        assert await scene.audit() == []
        async with callers(missing, ["w"]) as (handle,):
            assert await handle.result() == large
            (audit,) = await missing.all_decided(1)

            async def is_ready() -> bool:
                return (await get(f"http://{http}/readyz"))[0] == 200

            await eventually(is_ready, timeout=30, what="readiness green")
    assert (audit.disposition, audit.offset) == (Disposition.APPLIED, at.offset)
    assert await missing.parked() == []
    await missing.nothing_left()


async def test_what_somebody_else_writes_to_the_parked_topic_is_put_aside(scene: Scene) -> None:
    _, reference = await scene.waiting()
    async with relay(scene.settings()):
        stray = await produce(
            scene.kafka,
            scene.topics.parked,
            encode_record(event(reference, completed())).value,
            headers=[("completion-park-topic", scene.topics.completions.encode())],
            partition=PARTITION,
        )

        async def decided() -> list[AuditRecord]:
            return await scene.audit()

        (audit,) = await eventually(decided, what="an audit record")
        # It holds up nobody.
        at = await scene.emit(event(reference, completed()))
        assert (await scene.decided(at)).disposition is Disposition.APPLIED
    assert (audit.topic, audit.partition, audit.offset) == (
        scene.topics.parked,
        stray.partition,
        stray.offset,
    )
    assert audit.reason is DeadLetterReason.UNDECODABLE
    (letter,) = await consume_all(scene.kafka, scene.topics.dead_letter)
    headers = dict(letter.headers)
    assert headers["completion-dlq-topic"] == scene.topics.parked.encode()
    assert headers["completion-park-topic"] == scene.topics.completions.encode()


async def test_a_parked_event_that_is_put_aside_after_all_tells_where_it_came_from(
    missing: Missing,
) -> None:
    """The next relay does not serve its namespace any more."""
    scene = missing.scene
    before = await missing.emit(missing.event("w-0", "first"))
    sent = missing.event("w-1", "second")
    async with unready_relay(missing.settings(park_after=0.2)):
        at = await missing.emit(sent)
        await missing.until_parked([before, at])
    async with relay(scene.settings()):
        audit = await missing.all_decided(2)
        await missing.nothing_left()
    assert {record.reason for record in audit} == {DeadLetterReason.FORBIDDEN}
    letters = {
        int(dict(letter.headers)["completion-dlq-offset"]): letter
        for letter in await consume_all(scene.kafka, scene.topics.dead_letter)
    }
    assert letters.keys() == {before.offset, at.offset}
    headers = dict(letters[at.offset].headers)
    assert headers["completion-dlq-topic"] == scene.topics.completions.encode()
    assert headers["completion-dlq-partition"] == str(PARTITION).encode()
    assert letters[at.offset].value == encode_record(sent).value
    assert not [name for name in headers if name.startswith("completion-park-")]
