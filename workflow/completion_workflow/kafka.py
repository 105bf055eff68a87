"""Room `workflow`: the bus. Touches Kafka, through one producer for all workers of a plugin."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    UnknownTopicOrPartitionError,
)
from temporalio.client import Client

from completion_schemas.cloudevents import encode_record
from completion_schemas.codecs import PROTOBUF
from completion_schemas.errors import EncodeError
from completion_schemas.events import CompletionEvent
from completion_workflow._kafka_checks import check
from completion_workflow._sending import PublishError, TooLargeError, UnpublishableError

logger = logging.getLogger("completion_workflow")

_REQUEST_SECONDS = 20
# Within the publish activity's minute: it must get to say what is wrong.
_SEND_SECONDS = 45
_STOP_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class Kafka:
    """Where events are published to; the settings are aiokafka's, and so Kafka's own.

    Raises:
        ValueError: a setting is wrong; the text says which, and the fix.
    """

    bootstrap_servers: str | Sequence[str]
    """`HOST:PORT`, or several, separated by commas or in a list (bootstrap.servers)."""
    topic: str = "completions"
    """The topic that the relay consumes."""
    content_type: str = PROTOBUF
    """How events are encoded: `application/protobuf`, `application/json` or `avro/binary`."""
    max_request_size: int = 4 * 1024 * 1024
    """Bytes (max.request.size). Fits every result that Temporal takes (2 MiB). The topic's
    `max.message.bytes` has to fit too: what it refuses fails the waiting activity."""
    compression_type: str | None = None
    """`gzip`; `snappy`, `lz4` and `zstd` need the package cramjam (compression.type):
    `pip install 'aiokafka[lz4,snappy,zstd]'`."""
    client_id: str = "completion-workflow"
    """How the broker's logs and quotas name this producer (client.id)."""
    security_protocol: str = "PLAINTEXT"
    """`PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL` (security.protocol)."""
    ssl_context: ssl.SSLContext | None = None
    """For SSL and SASL_SSL: `ssl.create_default_context(...)`."""
    sasl_mechanism: str = "PLAIN"
    """`PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`, `OAUTHBEARER` or `GSSAPI` (sasl.mechanism)."""
    sasl_plain_username: str | None = None
    """For PLAIN and SCRAM, with the password."""
    sasl_plain_password: str | None = field(default=None, repr=False)
    sasl_oauth_token_provider: AbstractTokenProvider | None = None
    """For OAUTHBEARER."""
    sasl_kerberos_service_name: str = "kafka"
    sasl_kerberos_domain_name: str | None = None

    def __post_init__(self) -> None:
        check(self)

    def sender(self) -> "KafkaSender":
        """Return a sender to this Kafka; for `CompletionPlugin`."""
        return KafkaSender(self)


class KafkaSender:
    """Sends events with an idempotent producer, `acks=all`, started when it is needed.

    Every method runs in the workers' event loop.

    Args:
        settings: Where to.
    """

    def __init__(self, settings: Kafka) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._background: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Connect in the background: a worker starts without Kafka and publishes when it is there."""
        self._in_background(self._warm_up())

    async def send(self, event: CompletionEvent, client: Client) -> None:  # noqa: ARG002 - Sender
        """See `Sender.send`."""
        # aiokafka never gives up a record of an idempotent producer. Trying
        # again while it still tries would pile up copies during an outage.
        sending = self._sending.get(event.event_id)
        if sending is None:
            sending = asyncio.create_task(self._send(event))
            self._sending[event.event_id] = sending
            sending.add_done_callback(lambda task: self._sent(event.event_id, task))
        done, _ = await asyncio.wait({sending}, timeout=_SEND_SECONDS)
        if not done:
            raise PublishError(
                f"Kafka at {self._where} did not acknowledge event {event.event_id} within "
                f"{_SEND_SECONDS} s: is the topic {self._settings.topic} available (min.insync.replicas)?"
            )
        sending.result()

    async def stop(self) -> None:
        """Deliver what is on its way, for at most 10 s, and close the connections."""
        seconds: float = _STOP_SECONDS
        if self._sending:
            _, late = await asyncio.wait(set(self._sending.values()), timeout=seconds)
            if late:
                # Nor will the producer deliver them; Temporal tries again elsewhere.
                seconds = 0.1
        left = [*self._sending.values(), *self._background]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        producer, self._producer = self._producer, None
        if producer is not None:
            await _close(producer, seconds)

    @property
    def _where(self) -> str:
        servers = self._settings.bootstrap_servers
        return servers if isinstance(servers, str) else ",".join(servers)

    async def _warm_up(self) -> None:
        try:
            await self._started()
        except PublishError as error:
            logger.warning("%s. The worker runs; publishing is retried until Kafka is there", error)

    async def _send(self, event: CompletionEvent) -> None:
        settings = self._settings
        try:
            record = encode_record(event, content_type=settings.content_type)
        except EncodeError as error:
            raise UnpublishableError(str(error)) from error
        producer = await self._started()
        try:
            await producer.send_and_wait(
                settings.topic, record.value, key=record.key, headers=list(record.headers)
            )
        except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
            raise TooLargeError(
                f"Kafka takes (producer max_request_size {settings.max_request_size}, or "
                f"max.message.bytes of topic {settings.topic})"
            ) from error
        except UnknownTopicOrPartitionError as error:
            raise PublishError(
                f"topic {settings.topic} does not exist at Kafka {self._where}: "
                "create it with `completion-relay topics create`"
            ) from error
        except KafkaError as error:
            # A producer that was fenced or whose sender died never recovers.
            self._give_up(producer)
            raise PublishError(
                f"Kafka at {self._where} did not take event {event.event_id}: {_text(error)}"
            ) from error

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                self._producer = await self._connect()
            return self._producer

    async def _connect(self) -> AIOKafkaProducer:
        settings = self._settings
        try:
            producer = AIOKafkaProducer(
                bootstrap_servers=settings.bootstrap_servers,
                client_id=settings.client_id,
                acks="all",
                enable_idempotence=True,
                request_timeout_ms=_REQUEST_SECONDS * 1_000,
                max_request_size=settings.max_request_size,
                compression_type=settings.compression_type,
                security_protocol=settings.security_protocol,
                ssl_context=settings.ssl_context,
                sasl_mechanism=settings.sasl_mechanism,
                sasl_plain_username=settings.sasl_plain_username,
                sasl_plain_password=settings.sasl_plain_password,
                sasl_oauth_token_provider=settings.sasl_oauth_token_provider,
                sasl_kerberos_service_name=settings.sasl_kerberos_service_name,
                sasl_kerberos_domain_name=settings.sasl_kerberos_domain_name,
            )
        except (ValueError, RuntimeError) as error:
            raise PublishError(f"a Kafka setting is wrong: {error}") from error
        try:
            await producer.start()
        except BaseException as error:
            await _close(producer)
            if isinstance(error, KafkaConnectionError):
                raise PublishError(f"Kafka at {self._where} cannot be reached") from error
            if isinstance(error, KafkaError):
                raise PublishError(f"Kafka at {self._where} refuses: {_text(error)}") from error
            raise
        logger.info("Publishing completions to %s at Kafka %s", settings.topic, self._where)
        return producer

    def _give_up(self, producer: AIOKafkaProducer) -> None:
        if self._producer is producer:
            self._producer = None
            self._in_background(_close(producer))

    def _sent(self, event_id: str, task: asyncio.Task[None]) -> None:
        self._sending.pop(event_id, None)
        if not task.cancelled():
            task.exception()  # whoever waited has it; nobody may be left

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


async def _close(producer: AIOKafkaProducer, seconds: float = _STOP_SECONDS) -> None:
    """Flush and stop the producer in a bounded time.

    aiokafka's `stop` waits for an absent Kafka for ever, and what it leaves
    behind when it is interrupted cannot be ended from outside (0.14.0).
    """
    with contextlib.suppress(TimeoutError, KafkaError):
        await asyncio.wait_for(producer.flush(), seconds)
        await asyncio.wait_for(producer.stop(), seconds)
        return
    producer._closed = True  # noqa: SLF001 - what stop() does first; it would wait
    await producer.client.close()
    sender = producer._sender  # noqa: SLF001 - nothing public ends its task
    with contextlib.suppress(TimeoutError, KafkaError):
        await asyncio.wait_for(sender.close(), _STOP_SECONDS)


def _text(error: KafkaError) -> str:
    return f"{type(error).__name__}: {error}"
