"""Room `tests/chaos`: what waits and what is emitted. Touches Temporal and Kafka, both directly.

A workflow fans out to many activities that hand their tokens over; each waits for
a result that no other has. The script says which record comes when: it is pure.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from tests.support import eventually

from completion_schemas.cloudevents import encode_record
from completion_schemas.events import ActivityReference, Completed, CompletionEvent, unix_nanos
from completion_schemas.record import KafkaRecord

TASK_QUEUE: Final = "chaos"
FAN: Final = 10
"""Activities a workflow. Few: all calls for one workflow queue for its lock (BUSY_WORKFLOW)."""
DUPLICATES: Final = 0.10
GARBAGE: Final = 0.02
GARBAGE_HEADER: Final = "chaos-garbage"

_SAID_EVERY = 100

Address = tuple[str, str]
"""An activity: workflow id and activity id."""


@workflow.defn
class Fan:
    """Waits for many activities and returns their results, in the order of their ids."""

    @workflow.run
    async def run(self, width: int) -> list[str]:
        results: list[str] = await asyncio.gather(
            *(
                workflow.execute_activity(
                    "hand-off",
                    activity_id=str(number),
                    # Longer than any run: nothing here may end by itself.
                    start_to_close_timeout=timedelta(hours=4),
                    retry_policy=RetryPolicy(maximum_attempts=1),
                    result_type=str,
                )
                for number in range(width)
            )
        )
        return results


async def connect(temporal: str) -> Client:
    """Return a client whose library is silent about a server that is killed on purpose."""
    quiet = LoggingConfig(filter=TelemetryFilter(core_level="ERROR", other_level="ERROR"))
    return await Client.connect(temporal, runtime=Runtime(telemetry=TelemetryConfig(logging=quiet)))


@dataclass
class Waiting:
    """The activities that wait, and the worker of their workflows."""

    client: Client
    references: dict[Address, ActivityReference] = field(default_factory=dict)

    @activity.defn(name="hand-off")
    async def hand_off(self) -> None:
        reference = ActivityReference.from_info(activity.info())
        self.references[reference.workflow_id, reference.activity_id] = reference
        activity.raise_complete_async()

    def worker(self) -> Worker:
        """Return the worker; it must run as long as results arrive."""
        return Worker(
            self.client,
            task_queue=TASK_QUEUE,
            workflows=[Fan],
            activities=[self.hand_off],
            # The sandbox would load this whole module again.
            workflow_runner=UnsandboxedWorkflowRunner(),
        )

    async def start(self, count: int, say: Callable[[str], None]) -> None:
        """Start workflows and return when `count` activities wait.

        Args:
            count: Of the activities.
            say: Told how many wait already.

        Raises:
            AssertionError: a hundred more did not begin to wait within a minute.
        """
        for number, begin in enumerate(range(0, count, FAN)):
            width = min(FAN, count - begin)
            await self.client.start_workflow(
                Fan.run, width, id=workflow_id(number), task_queue=TASK_QUEUE
            )
        for wanted in (*range(_SAID_EVERY, count, _SAID_EVERY), count):
            await eventually(
                partial(self._there_are, wanted),
                timeout=60,
                what=f"{wanted} waiting activities",
            )
            say(f"{wanted} of {count} activities wait")

    def _there_are(self, count: int) -> bool:
        return len(self.references) >= count


def workflow_id(number: int) -> str:
    """Return the id of the workflow with that number, from 0."""
    return f"fan-{number:04d}"


def addresses(count: int) -> list[Address]:
    """Return the activities of `Waiting.start(count)`."""
    return [(workflow_id(number // FAN), str(number % FAN)) for number in range(count)]


def event_id(seed: int, address: Address) -> str:
    """Return the id of the one event that may complete an activity."""
    return f"chaos-{seed}-{address[0]}-{address[1]}"


def result(seed: int, address: Address) -> str:
    """Return the result that only this activity has."""
    return f"result {seed} of {address[0]} activity {address[1]}"


@dataclass(frozen=True, slots=True)
class Garbage:
    """A record that is no event."""

    number: int
    record: KafkaRecord


Item = Address | Garbage


def script(seed: int, activities: Sequence[Address]) -> tuple[Item, ...]:
    """Return what is emitted, in order: every activity's event, duplicates and garbage.

    A duplicate is the same event again, anywhere after the first.
    """
    rng = random.Random(seed)
    events = list(activities)
    rng.shuffle(events)
    # Sorting by a random place keeps a duplicate after its first and mixes all.
    placed: list[tuple[float, Item]] = [
        (at / len(events), address) for at, address in enumerate(events)
    ]
    for at, address in rng.sample(list(enumerate(events)), round(len(events) * DUPLICATES)):
        first = at / len(events)
        placed.append((first + rng.random() ** 3 * (1 - first), address))
    placed += [
        (rng.random(), Garbage(number, _garbage(rng, number)))
        for number in range(round(len(events) * GARBAGE))
    ]
    return tuple(item for _, item in sorted(placed, key=lambda one: one[0]))


def _garbage(rng: random.Random, number: int) -> KafkaRecord:
    noise = rng.randbytes(rng.randrange(1, 400))
    mark = (GARBAGE_HEADER, str(number).encode())
    claims = (
        ("ce_specversion", b"1.0"),
        ("ce_source", b"/chaos"),
        ("ce_id", b"garbage-%d" % number),
        ("ce_type", b"completion.activity.completed.v1"),
    )
    # 0xFF begins a tag of wire type 7, which there is not: noise that never is an event.
    broken = b"\xff" + noise
    shapes: tuple[Callable[[], KafkaRecord], ...] = (
        lambda: KafkaRecord(None, noise, (mark,)),
        lambda: KafkaRecord(noise[:16], None, (mark,)),
        lambda: KafkaRecord(
            noise[:16], broken, (mark, ("content-type", b"application/protobuf"), *claims)
        ),
        lambda: KafkaRecord(b"k", b"{" + noise, (mark, ("content-type", b"application/json"))),
        lambda: KafkaRecord(b"", b"", (mark, ("content-type", b"avro/binary"), *claims)),
        lambda: KafkaRecord(noise, noise, (mark, ("ce_type", None), ("ce_type", noise))),
    )
    return shapes[number % len(shapes)]()


@dataclass
class Emitter:
    """Emits a script with an idempotent producer, directly to the brokers."""

    kafka: str
    topic: str
    seed: int
    references: Mapping[Address, ActivityReference]
    acknowledged: int = 0
    repeated: int = 0
    """How often a send failed and was made again: the record may then be there twice."""

    async def emit(self, items: Sequence[Item], *, seconds: float) -> None:
        """Emit all of it, evenly over `seconds`; return when every record was acknowledged."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self.kafka,
            enable_idempotence=True,
            acks="all",
            # A batch is given up after it: longer than any outage of the brokers.
            request_timeout_ms=120_000,
        )
        loop = asyncio.get_running_loop()
        begun = loop.time()
        async with producer, asyncio.TaskGroup() as sending:
            for number, item in enumerate(items):
                await asyncio.sleep(begun + seconds * number / len(items) - loop.time())
                sending.create_task(self._send(producer, self._record(item)))

    def _record(self, item: Item) -> KafkaRecord:
        if isinstance(item, Garbage):
            return item.record
        text = json.dumps(result(self.seed, item)).encode()
        return encode_record(
            CompletionEvent(
                event_id=event_id(self.seed, item),
                occurred_at=unix_nanos(datetime.now(UTC)),
                activity=self.references[item],
                outcome=Completed(
                    Payloads(payloads=[Payload(metadata={"encoding": b"json/plain"}, data=text)])
                ),
            )
        )

    async def _send(self, producer: AIOKafkaProducer, record: KafkaRecord) -> None:
        while True:
            try:
                await producer.send_and_wait(
                    self.topic, record.value, key=record.key, headers=list(record.headers)
                )
            except KafkaError:
                self.repeated += 1
            else:
                self.acknowledged += 1
                return
