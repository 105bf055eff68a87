"""What the sender makes of Kafka's answers; a producer that answers as told stands in for aiokafka's."""

import asyncio
from collections import deque
from typing import Any, ClassVar

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RecordListTooLargeError,
    SaslAuthenticationFailed,
    UnknownTopicOrPartitionError,
)
from tests.support import eventually

from completion_schemas.events import ActivityReference, Completed, CompletionEvent, UnixNanos
from completion_workflow import Kafka
from completion_workflow._sending import PublishError, TooLargeError
from completion_workflow.kafka import KafkaSender

# The bus needs no connection to a Temporal.
_NO_CLIENT: Any = None


class Producer:
    """Answers each send with the next of `answers`; none left: it stays open."""

    made: ClassVar[list["Producer"]] = []
    starts: ClassVar[deque[Exception | None]] = deque()
    answers: ClassVar[deque[Exception | None]] = deque()

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.sent: list[tuple[str, bytes]] = []
        self.stopped = False
        self.answered = asyncio.Event()
        self.made.append(self)

    async def start(self) -> None:
        if self.starts and (problem := self.starts.popleft()):
            raise problem

    async def flush(self) -> None:
        assert not self.stopped

    async def stop(self) -> None:
        self.stopped = True

    async def send_and_wait(
        self, topic: str, value: bytes, *, key: bytes, headers: list[tuple[str, bytes]]
    ) -> None:
        assert key
        assert headers
        self.sent.append((topic, value))
        if not self.answers:
            await self.answered.wait()
        elif problem := self.answers.popleft():
            raise problem


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> KafkaSender:
    """A sender whose producers are `Producer`s."""
    Producer.made, Producer.starts, Producer.answers = [], deque(), deque()
    monkeypatch.setattr("completion_workflow.kafka.AIOKafkaProducer", Producer)
    return Kafka(bootstrap_servers="k:9092").sender()


def _event(event_id: str = "e") -> CompletionEvent:
    return CompletionEvent(
        event_id=event_id,
        occurred_at=UnixNanos(0),
        activity=ActivityReference(task_token="dG9rZW4="),
        outcome=Completed(),
    )


async def _send(sender: KafkaSender, event_id: str = "e") -> None:
    await sender.send(_event(event_id), _NO_CLIENT)


async def test_the_producer_cannot_lose_what_it_acknowledged(sender: KafkaSender) -> None:
    """Idempotent, acks=all, and room for every result that Temporal takes."""
    Producer.answers.append(None)
    await _send(sender)
    settings = Producer.made[0].settings
    assert settings["enable_idempotence"] is True
    assert settings["acks"] == "all"
    assert settings["max_request_size"] >= 4 * 1024 * 1024


@pytest.mark.parametrize("problem", [MessageSizeTooLargeError(), RecordListTooLargeError()])
async def test_too_large_is_said_with_both_settings(
    sender: KafkaSender, problem: KafkaError
) -> None:
    """It may be the producer's limit or the topic's."""
    Producer.answers.append(problem)
    with pytest.raises(TooLargeError, match=r"max_request_size .*max\.message\.bytes of topic"):
        await _send(sender)
    assert len(Producer.made) == 1
    assert not Producer.made[0].stopped


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (UnknownTopicOrPartitionError(), "topic completions does not exist.*topics create"),
        (ProducerFenced(), "did not take event e: ProducerFenced"),
    ],
)
async def test_a_refusal_is_said_and_tried_again_by_temporal(
    sender: KafkaSender, problem: KafkaError, text: str
) -> None:
    """The text has the name, the problem and, where there is one, the fix."""
    Producer.answers.append(problem)
    with pytest.raises(PublishError, match=text):
        await _send(sender)


async def test_a_producer_that_never_recovers_is_replaced(sender: KafkaSender) -> None:
    """A fenced producer refuses everything for ever: the next try gets a new one."""
    Producer.answers.extend([ProducerFenced(), None])
    with pytest.raises(PublishError):
        await _send(sender)
    await _send(sender)
    first, second = Producer.made
    await sender.stop()
    assert first.stopped
    assert second.sent
    assert second.stopped


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (KafkaConnectionError("no"), "Kafka at k:9092 cannot be reached"),
        (SaslAuthenticationFailed("no"), "Kafka at k:9092 refuses: SaslAuthenticationFailed"),
    ],
)
async def test_a_kafka_that_does_not_let_us_in_is_said(
    sender: KafkaSender, problem: KafkaError, text: str
) -> None:
    """And asked again the next time."""
    Producer.starts.append(problem)
    Producer.answers.append(None)
    with pytest.raises(PublishError, match=text):
        await _send(sender)
    await _send(sender)
    assert [producer.stopped for producer in Producer.made] == [True, False]


async def test_a_try_that_is_still_under_way_is_waited_for_not_doubled(
    sender: KafkaSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Aiokafka never gives up a record: copies of it would pile up during an outage."""
    monkeypatch.setattr("completion_workflow.kafka._SEND_SECONDS", 0.01)
    with pytest.raises(PublishError, match="did not acknowledge event e within"):
        await _send(sender)
    with pytest.raises(PublishError):
        await _send(sender)
    (producer,) = Producer.made
    producer.answered.set()
    monkeypatch.setattr("completion_workflow.kafka._SEND_SECONDS", 30)
    await _send(sender)
    assert len(producer.sent) == 1


async def test_events_are_sent_side_by_side(sender: KafkaSender) -> None:
    """One that waits holds up no other, and both share a producer."""
    both = [asyncio.create_task(_send(sender, event_id)) for event_id in ("a", "b")]
    await eventually(lambda: Producer.made and len(Producer.made[0].sent) == 2)
    (producer,) = Producer.made
    producer.answered.set()
    await asyncio.gather(*both)


async def test_what_is_under_way_is_delivered_before_the_end(sender: KafkaSender) -> None:
    """A worker that stops flushes."""
    sending = asyncio.create_task(_send(sender))
    await eventually(lambda: Producer.made and Producer.made[0].sent)
    stopping = asyncio.create_task(sender.stop())
    Producer.made[0].answered.set()
    await asyncio.gather(sending, stopping)
    assert Producer.made[0].stopped


async def test_a_sender_starts_again_after_its_end(sender: KafkaSender) -> None:
    """A plugin may be given to one worker after another."""
    Producer.answers.extend([None, None])
    await _send(sender)
    await sender.stop()
    await _send(sender)
    assert len(Producer.made) == 2
    await sender.stop()
