"""Room `tests/bench`: numbered activities, their tokens, and the events that complete them.

Touches Kafka where a function takes a producer. A token has the layout and size
of a real one (`temporal.server.api.token.v1.Task`, 111 bytes seen) and ends in its
number, which is how the null frontend knows it without parsing.
"""

from __future__ import annotations

import base64
import itertools
import time
import uuid
from collections.abc import Callable, Iterable, Iterator

from aiokafka import AIOKafkaProducer
from temporalio.api.common.v1 import Payload, Payloads
from tests.support import PARTITIONS

from completion_schemas.cloudevents import encode_record
from completion_schemas.events import (
    ActivityReference,
    Completed,
    CompletionEvent,
    Origin,
    UnixNanos,
)
from completion_schemas.record import KafkaRecord
from completion_schemas.tokens import token_fingerprint

NAMESPACE = "default"
RESULT = Payloads(
    payloads=[
        Payload(
            metadata={"encoding": b"json/plain"},
            data=b'{"order": "0197f1c2", "status": "shipped", "carrier": "north"}',
        )
    ]
)
_BATCH_BYTES = 512 * 1024
_NAMESPACE_ID = str(uuid.UUID(int=1))
_RUN_ID = str(uuid.UUID(int=2))
_PLACE = 12_345_678
"""The number of the template; its digits are nowhere else in a record."""
_TOKEN_START = b"\x0a\x24" + _NAMESPACE_ID.encode()
_TOKEN_MIDDLE = b"\x1a\x24" + _RUN_ID.encode() + b"\x20\x05\x28\x01\x32\x08"


def task_token(number: int) -> bytes:
    """Return the token of an activity, a number of up to eight digits."""
    return _TOKEN_START + b"\x12\x0eorder-%08d" % number + _TOKEN_MIDDLE + b"%08d" % number


def reference(number: int) -> ActivityReference:
    """Return the reference to a numbered activity, as `hand_off` would."""
    return ActivityReference(
        namespace=NAMESPACE,
        task_token=base64.b64encode(task_token(number)).decode("ascii"),
        workflow_id=f"order-{number:08d}",
        run_id=_RUN_ID,
        activity_id=f"{number:08d}",
        attempt=1,
    )


def completed(activity: ActivityReference) -> KafkaRecord:
    """Return the record of an event that completes an activity."""
    return encode_record(
        CompletionEvent(
            event_id=f"bench/{activity.workflow_id}/{activity.activity_id}",
            occurred_at=UnixNanos(time.time_ns()),
            activity=activity,
            outcome=Completed(RESULT),
            origin=Origin(
                namespace="agents",
                workflow_id=f"agent-{activity.workflow_id}",
                run_id=_RUN_ID,
                workflow_type="Agent",
                identity="bench",
            ),
        )
    )


def completions(first: int, count: int) -> Iterator[KafkaRecord]:
    """Return the records that complete so many activities, `completed(reference(number))` each.

    From one template: encoding a million would take minutes.
    """
    template = completed(reference(_PLACE))
    place = b"%08d" % _PLACE
    value = template.value or b""
    named = [(name, text or b"", place in (text or b"")) for name, text in template.headers]
    for number in range(first, first + count):
        digits = b"%08d" % number
        yield KafkaRecord(
            token_fingerprint(task_token(number)).encode("ascii"),
            value.replace(place, digits),
            tuple(
                (name, text.replace(place, digits) if has else text) for name, text, has in named
            ),
        )


async def publish_at_once(
    kafka: str, topic: str, records: Iterable[KafkaRecord], *, now: Callable[[], None]
) -> None:
    """Publish a backlog that becomes visible at one moment: one Kafka transaction.

    Args:
        kafka: `bootstrap.servers`.
        topic: Where to.
        records: What to publish, spread evenly over the partitions.
        now: Called just before the commit.
    """
    async with AIOKafkaProducer(
        bootstrap_servers=kafka, transactional_id=f"bench-{uuid.uuid4()}", linger_ms=5
    ) as producer:
        await producer.begin_transaction()
        for number, record in enumerate(records):
            await producer.send(
                topic,
                record.value,
                key=record.key,
                headers=list(record.headers),
                partition=number % PARTITIONS,
            )
        await producer.flush()
        now()
        await producer.commit_transaction()


async def publish_fast(
    kafka: str, topic: str, first: int, count: int, *, published: Callable[[int], None]
) -> None:
    """Publish a backlog of very many completions.

    Args:
        kafka: `bootstrap.servers`.
        topic: Where to.
        first: The first activity's number.
        count: How many.
        published: Told how many are out, now and then.
    """
    async with AIOKafkaProducer(
        bootstrap_servers=kafka, acks="all", max_batch_size=_BATCH_BYTES
    ) as producer:
        records = completions(first, count)
        for number in itertools.count():
            batch = producer.create_batch()
            record = next(records, None)
            while record is not None and batch.append(
                key=record.key, value=record.value, timestamp=None, headers=list(record.headers)
            ):
                record = next(records, None)
            if not batch.record_count():
                return
            # What did not fit is left out of the batch and put at the head of the next.
            if record is not None:
                records = itertools.chain((record,), records)
            await (await producer.send_batch(batch, topic, partition=number % PARTITIONS))
            published(batch.record_count())
